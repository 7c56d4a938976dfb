"""Metrics as Prometheus scrapes them; dashboard, alerts and documentation speak of these."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import yaml
from cryptography import x509
from giftcard import v1

from tests.certificates import Authority
from tests.cli.giftcard import serving
from tests.compat import speak
from tests.compat.stage import ShimServer
from tests.faults import client as c
from tests.faults.client import connected
from tests.faults.planted import TRIGGER
from tests.grpc_server import GrpcServer
from tests.telemetry.scrape import ADMIN, Scrape, admin_address

DOCS: Final = Path(__file__).parents[2] / "docs"
RULES: Final = DOCS / "observability" / "alerts.yaml"
RULES_TEST: Final = DOCS / "observability" / "alerts-test.yaml"
DASHBOARD: Final = DOCS / "observability" / "grafana.json"
#: Made by Prometheus itself, about a scrape.
OF_PROMETHEUS: Final = {"up"}
#: Only there with a certificate; a test of its own sees it.
WITH_TLS: Final = "giftcard_certificate_expiry_timestamp_seconds"


class Seen:
    """What service and shim showed after some traffic of every kind."""

    def __init__(self, service: Scrape, shim: Scrape) -> None:
        self.service = service
        self.shim = shim
        self.names = {sample.name for sample in (*service.samples, *shim.samples)} | {WITH_TLS}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    directory = tmp_path_factory.mktemp("metrics")
    environment = {**ADMIN, "GIFTCARD_DEMO": "1"}
    url = f"sqlite:///{directory / 'giftcard.db'}"
    with GrpcServer(url, directory, environment=environment) as server:
        server.start()
        with ShimServer(server.address, directory, environment=environment) as shim:
            shim.start()
            asyncio.run(_traffic(server.address))
            for request_id, amount in (("m1", 1), ("m1", 1), ("m2", 9999)):
                speak.retail7(shim.address, "REDEEM", "12399", request_id, amount=amount)
            speak.cp(shim.address, "/Giftcard/nobody/BalanceCheck")
            last = _until_the_last_is_counted(admin_address(shim.log))
            yield Seen(Scrape(admin_address(server.log)), last)


def _until_the_last_is_counted(address: str) -> Scrape:
    """The shim counts a request after its answer was sent."""
    deadline = time.monotonic() + _COUNTED_SECONDS
    while not (scrape := Scrape(address)).value("giftcard_shim_requests_total", dialect="cp"):
        assert time.monotonic() < deadline, "the last request is not counted"
        time.sleep(0.02)
    return scrape


async def _traffic(address: str) -> None:
    """Of each kind one: approved, replayed, refused, malformed, unknown, wrong, nobody's, late."""
    metadata = (("authorization", "Bearer demo-service-token"),)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = v1.GiftCardServiceStub(channel)

        async def call(method: str, request: Any, seconds: float = 30, meta: Any = metadata) -> str:
            try:
                await getattr(stub, method)(request, metadata=meta, timeout=seconds)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        issue = v1.IssueGiftCardRequest(
            program="programs/GC", amount=v1.Money(minor_units=500, currency_code="USD"),
            code="MEASURED-0001", pin="1234", request_id="issue",
        )  # fmt: skip
        for _ in range(2):
            assert await call("IssueGiftCard", issue) == "OK"
        for minor_units, expected in ((100, "OK"), (9999, "FAILED_PRECONDITION")):
            redeem = v1.RedeemGiftCardRequest(
                gift_card=v1.GiftCardReference(code="MEASURED-0001", pin="1234"),
                amount=v1.Money(minor_units=minor_units, currency_code="USD"),
                request_id=f"redeem-{minor_units}",
            )
            assert await call("RedeemGiftCard", redeem) == expected
        for pin in ["1234", *["9999"] * 6]:
            card = v1.GiftCardReference(code="MEASURED-0001", pin=pin)
            await call("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=card))
        nobody = v1.GiftCardReference(code="NOBODY-HAS-THIS")
        await call("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=nobody))
        await call("LookupGiftCard", v1.LookupGiftCardRequest())
        await call("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=nobody), meta=())
        await call("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=nobody), seconds=0.015)
        strange: Any = channel.unary_unary("/giftcard.v1.GiftCardService/AStrangersText")
        with pytest.raises(grpc.aio.AioRpcError):
            await strange(b"", metadata=metadata)


_COUNTED_SECONDS: Final = 30
#: name, labels, at least so much.
SERVICE: Final[list[tuple[str, dict[str, str], float]]] = [
    ("giftcard_calls_total", {"method": "IssueGiftCard", "code": "OK", "reason": ""}, 2),
    (
        "giftcard_calls_total",
        {
            "method": "RedeemGiftCard",
            "code": "FAILED_PRECONDITION",
            "reason": "INSUFFICIENT_FUNDS",
        },
        1,
    ),
    ("giftcard_calls_total", {"method": "LookupGiftCard", "reason": "INVALID_FIELD"}, 1),
    ("giftcard_calls_total", {"method": "LookupGiftCard", "reason": "UNAUTHENTICATED"}, 1),
    ("giftcard_calls_total", {"method": "unknown", "code": "UNIMPLEMENTED"}, 1),
    ("giftcard_call_duration_seconds_count", {"method": "RedeemGiftCard"}, 2),
    ("giftcard_replays_total", {"method": "IssueGiftCard"}, 1),
    ("giftcard_misses_total", {"kind": "unknown_card"}, 1),
    ("giftcard_misses_total", {"kind": "wrong_pin"}, 5),
    ("giftcard_misses_total", {"kind": "locked_pin"}, 1),
    ("giftcard_pin_lockouts_total", {}, 1),
    ("giftcard_batch_commands_count", {}, 4),
    ("giftcard_batch_prepare_duration_seconds_count", {}, 4),
    ("giftcard_commit_duration_seconds_count", {}, 4),
    ("giftcard_queue_limit_commands", {"queue": "urgent"}, 500),
    ("giftcard_sqlite_main_bytes", {}, 1),
    ("giftcard_sqlite_disk_free_bytes", {}, 1),
    ("giftcard_ready", {}, 1),
    ("process_open_fds", {}, 1),
]
SHIM: Final[list[tuple[str, dict[str, str], float]]] = [
    (
        "giftcard_shim_requests_total",
        {"dialect": "retail7", "operation": "REDEEM", "status": "200", "reason": ""},
        2,
    ),
    ("giftcard_shim_requests_total", {"dialect": "retail7", "reason": "INSUFFICIENT_FUNDS"}, 1),
    ("giftcard_shim_requests_total", {"dialect": "cp", "reason": "GIFT_CARD_NOT_FOUND"}, 1),
    ("giftcard_shim_request_duration_seconds_count", {"dialect": "retail7"}, 3),
    ("giftcard_shim_upstream_calls_total", {"method": "RedeemGiftCard", "reason": ""}, 2),
    ("giftcard_shim_upstream_call_duration_seconds_count", {"method": "RedeemGiftCard"}, 3),
]


def test_what_happened_was_counted(seen: Seen) -> None:
    for scrape, expected in ((seen.service, SERVICE), (seen.shim, SHIM)):
        for name, labels, least in expected:
            assert scrape.value(name, **labels) >= least, (name, labels)
    assert seen.service.value("giftcard_pin_lockouts_total") == 1
    assert seen.service.value("giftcard_unknown_outcomes_total") == 0


def test_no_label_is_a_strangers_text(seen: Seen) -> None:
    """Every value of a label is a name of ours: of a method, code, reason, route or check."""
    known = re.compile(r"[A-Za-z0-9_.+ -]{0,40}")
    for scrape in (seen.service, seen.shim):
        assert "stranger" not in scrape.text.lower()
        assert "MEASURED" not in scrape.text
        for sample in scrape.samples:
            assert all(known.fullmatch(value) for value in sample.labels.values()), sample
            assert not sample.labels.keys() & {"merchant", "client", "card", "code_hash"}


async def test_an_unknown_outcome_is_counted(tmp_path: Path) -> None:
    trigger = tmp_path / "fail-the-next-commit"
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    server = GrpcServer(
        url,
        tmp_path,
        module=("tests.faults.planted", "stuck_commit"),
        environment={**ADMIN, TRIGGER: str(trigger), "GIFTCARD_COMMIT_TIMEOUT_SECONDS": "1"},
    )
    with server:
        server.start()
        trigger.touch()
        async with connected(server.address, channels=1) as client:
            said = await client.call("IssueGiftCard", c.issue())
            assert said.reason == "OUTCOME_UNKNOWN"
        scrape = await asyncio.to_thread(Scrape, admin_address(server.log))
    assert scrape.value("giftcard_unknown_outcomes_total") == 1


def test_a_certificate_tells_when_it_ends(tmp_path: Path) -> None:
    pair = Authority().issue("localhost").write(tmp_path, "server")
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    environment = {
        **ADMIN,
        "GIFTCARD_TLS_CERTIFICATE_FILE": str(pair.certificate_file),
        "GIFTCARD_TLS_KEY_FILE": str(pair.key_file),
    }
    with GrpcServer(url, tmp_path, environment=environment) as server:
        server.start()
        shown = Scrape(admin_address(server.log)).value(WITH_TLS)
    certificate = x509.load_pem_x509_certificate(pair.certificate_file.read_bytes())
    assert shown == certificate.not_valid_after_utc.timestamp()


def test_workers_are_seen_as_one(tmp_path: Path, postgresql_url: str) -> None:
    settings = {
        **ADMIN, "GIFTCARD_DEMO": "1", "GIFTCARD_WORKERS": "2", "GIFTCARD_HTTP_ADDRESS": "",
        "GIFTCARD_DATABASE_URL": postgresql_url,
    }  # fmt: skip
    with serving(tmp_path, settings) as service:
        for number in range(12):
            options = (("grpc.use_local_subchannel_pool", 1),)
            with grpc.insecure_channel(service.address, options=options) as channel:
                stub: Any = v1.GiftCardServiceStub(channel)  # type: ignore[arg-type]
                stub.LookupGiftCard(
                    v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code="12399")),
                    metadata=(("authorization", "Bearer demo-service-token"),),
                    timeout=30 + number,
                )
        scrape = Scrape(admin_address(service.errors))
        assert service.stop() == 0
    assert scrape.value("giftcard_calls_total", method="LookupGiftCard", code="OK") == 12
    for name in ("giftcard_ready", "process_resident_memory_bytes"):
        workers = [sample.labels["worker"] for sample in scrape.samples if sample.name == name]
        assert sorted(workers) == ["0", "1"], name
    assert scrape.families["giftcard_calls"].type == "counter"


# What is written about them


def _expressions(node: Any) -> Iterator[str]:
    """Every PromQL expression, and the query of a variable, anywhere in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(node, list):
        for each in node:
            yield from _expressions(each)


def _metrics_in(expression: str) -> set[str]:
    """Names that are neither functions, nor keywords, nor labels."""
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", text)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\boffset\s+\w+", "", text)
    names = re.findall(r"[a-z_][a-z0-9_]*(?!\s*\()\b", text)
    functions = set(re.findall(r"([a-z_]+)\s*\(", text))
    return {name for name in names if "_" in name or name in OF_PROMETHEUS} - functions


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_dashboard_and_alerts_ask_for_what_there_is(seen: Seen) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked: set[str] = set()
    for expression in (*_expressions(dashboard), *(rule["expr"] for rule in _rules())):
        found = _metrics_in(expression)
        assert found, expression
        assert expression.count("(") == expression.count(")"), expression
        asked |= found
    assert len(asked) > 30
    assert sorted(asked - seen.names - OF_PROMETHEUS) == []


def test_everything_there_is_has_its_place_on_the_dashboard(seen: Seen) -> None:
    shown = "".join(_expressions(json.loads(DASHBOARD.read_text())))
    told = shown + "".join(rule["expr"] for rule in _rules())
    families = {**seen.service.families, **seen.shim.families}
    missing = [name for name in families if name.startswith("giftcard_") and name not in told]
    assert missing == []


def test_the_documentation_tells_of_each(seen: Seen) -> None:
    text = (DOCS / "observability.md").read_text()
    families = {**seen.service.families, **seen.shim.families}
    for family in families.values():
        if family.name.startswith("giftcard_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            assert f"| `{name}` |" in text, name
    for rule in _rules():
        assert f"| `{rule['alert']}` |" in text, rule["alert"]
    told = set(re.findall(r"^\| `(giftcard_[a-z_]+)` \|", text, re.MULTILINE))
    known = {f.name + ("_total" if f.type == "counter" else "") for f in families.values()}
    assert told - known == {WITH_TLS}


def test_every_rule_is_whole() -> None:
    for rule in _rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="this machine has no promtool")
def test_prometheus_takes_the_rules_and_the_dashboard(tmp_path: Path) -> None:
    """By its own program; the dashboard's queries as if each were a rule."""
    queries = [
        {"record": f"query:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(_expressions(json.loads(DASHBOARD.read_text())))
    ]
    dashboard = tmp_path / "dashboard.yaml"
    dashboard.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": queries}]}))
    for action, path in (("check", RULES), ("test", RULES_TEST), ("check", dashboard)):
        done = subprocess.run(
            ["promtool", action, "rules", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
