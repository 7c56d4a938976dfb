"""`giftcard log` as a user sees it, and the log of a running shim."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import pytest

from compat_http.strict_json import write
from tests.cli.giftcard import invoke, run
from tests.compat.exchanges import exchange, opened, reversal, url_of
from tests.compat.retail7.messages import message
from tests.compat.stage import ShimServer, basic, call
from tests.grpc_server import GrpcServer

NOON: Final = 1_772_366_400_000_000
HOUR: Final = 3_600_000_000

Done = subprocess.CompletedProcess[str]


def giftcard(directory: Path, *arguments: str, **settings: str) -> Done:
    settings = {"GIFTCARD_EXCHANGE_DATABASE_URL": url_of(directory), **settings}
    return run(directory, "log", *arguments, settings={"COLUMNS": "200", **settings})


@pytest.fixture
async def kept(tmp_path: Path) -> Path:
    """A directory with four exchanges, two gaps and two reversals in its file."""
    odd = {"cardID": "12399", "amount": 5, "text": "a\u202eb", "cvv": "4711"}
    async with opened(tmp_path, exchanges_max=4, now=lambda: NOON) as store:
        store.log(exchange(time_microseconds=NOON - HOUR, request=odd, answer=None))
        store.log(exchange(time_microseconds=NOON, operation="LOAD", legacy_request_id="GC111"))
        store.log(
            exchange(
                time_microseconds=NOON + HOUR, dialect="cp", operation="Create",
                legacy_request_id="", code_last_four="9HE1", status=504, reason="OUTCOME_UNKNOWN",
                transaction="", duration_microseconds=8_000_049, request_id="cp/s-1",
            )
        )  # fmt: skip
        store.log(exchange(time_microseconds=NOON + 2 * HOUR, status=401, code_last_four=""))
        for _ in range(3):
            store.log(exchange())
        await store.queue_reversal(reversal("cp/s-1", dialect="cp", operation="Create"))
        (claimed,) = await store.claim(1)
        await store.postpone(claimed, 60)
        await store.queue_reversal(reversal("cp/s-2", book="training", grace_seconds=10))
    return tmp_path


def test_the_list_is_a_table(kept: Path) -> None:
    done = giftcard(kept, "list")
    assert done.returncode == 0
    assert (
        done.stdout
        == """\
ID  TIME                  DIALECT  OPERATION  STATUS  REASON           CARD   REQUEST ID      MS
 4  2026-03-01 14:00:00Z  retail7  REDEEM        401                          GC10          12.3
 3  2026-03-01 13:00:00Z  cp       Create        504  OUTCOME_UNKNOWN  …9HE1  cp/s-1      8000.0
 2  2026-03-01 12:00:00Z  retail7  LOAD          200                   …99    GC111         12.3
 1  2026-03-01 11:00:00Z  retail7  REDEEM        200                   …99    GC10          12.3
"""
    )
    assert done.stderr == (
        "3 exchanges of that time were not logged: more came than could be written.\n"
    )


FILTERS: list[tuple[tuple[str, ...], list[int]]] = [
    ((), [4, 3, 2, 1]),
    (("--last", "2"), [4, 3]),
    (("--last-four", "9he1"), [3]),
    (("--last-four", "99", "--request-id", "GC10"), [1]),
    (("--request-id", "GC111"), [2]),
    (("--request-id", "cp/s-1"), [3]),
    (("--request-id", "retail7/1001/1001/REDEEM/GC10"), [4, 2, 1]),
    (("--dialect", "cp"), [3]),
    (("--dialect", "resico"), []),
    (("--status", "504"), [3]),
    (("--status", "4xx"), [4]),
    (("--status", "2xx"), [2, 1]),
    (("--since", "2026-03-01"), [4, 3, 2, 1]),
    (("--since", "2026-03-02"), []),
    (("--since", "2026-03-01T12:00:00Z", "--until", "2026-03-01T14:00:00Z"), [3, 2]),
    (("--since", "2026-03-01T14:00:00+01:00"), [4, 3]),
    (("--until", "2026-03-01T12:00:00.000001"), [2, 1]),
    (("--dialect", "retail7", "--status", "200", "--since", "2026-03-01T12:00"), [2]),
]


def test_filters_narrow(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    settings = {"GIFTCARD_EXCHANGE_DATABASE_URL": url_of(kept)}
    for filters, _ in FILTERS:
        done = invoke(monkeypatch, settings, "log", "list", "--json", *filters)
        assert (done.exit_code, done.stderr) == (0, "")
        found.append((filters, [each["id"] for each in json.loads(done.stdout)["exchanges"]]))
    assert found == FILTERS


def test_the_list_as_json(kept: Path) -> None:
    found = json.loads(giftcard(kept, "list", "--json", "--dialect", "cp").stdout)
    assert found == {
        "exchanges": [
            {
                "id": 3,
                "time": "2026-03-01T13:00:00.000000Z",
                "durationMicroseconds": 8_000_049,
                "dialect": "cp",
                "operation": "Create",
                "method": "POST",
                "path": "/retail7/giftcards",
                "status": 504,
                "reason": "OUTCOME_UNKNOWN",
                "codeLastFour": "9HE1",
                "requestId": "",
                "derivedRequestId": "cp/s-1",
                "transaction": "",
            }
        ],
        "dropped": 3,
    }


def test_one_exchange_with_its_documents(kept: Path) -> None:
    done = giftcard(kept, "show", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
id           1
time         2026-03-01 11:00:00.000000Z
took         12.3 ms
dialect      retail7
operation    REDEEM
http         POST /retail7/giftcards
status       200
card         …99
request id   GC10
derived id   retail7/1001/1001/REDEEM/GC10
transaction  transactions/01a2

REQUEST
{
  "cardID": "…99",
  "amount": 5,
  "text": "***",
  "(undeclared members)": 1
}
"""
    )
    found = json.loads(giftcard(kept, "show", "1", "--json").stdout)
    assert found["request"].startswith('{"cardID":"…99","amount":5,')
    assert found["answer"] == ""


def test_what_waits_to_be_reversed(kept: Path) -> None:
    done = giftcard(kept, "reversals")
    assert (
        done.stdout
        == """\
QUEUED                DIALECT  OPERATION  DERIVED ID  ATTEMPTS  NEXT
2026-03-01 12:00:00Z  cp       Create     cp/s-1             1  2026-03-01 12:01:00Z
2026-03-01 12:00:00Z  retail7  REDEEM     cp/s-2             0  2026-03-01 12:00:10Z
"""
    )
    found = json.loads(giftcard(kept, "reversals", "--json").stdout)["reversals"]
    assert [(each["derivedRequestId"], each["book"], each["started"]) for each in found] == [
        ("cp/s-1", "live", True),
        ("cp/s-2", "training", False),
    ]


def test_a_reversal_that_nobody_may_send_is_given_up(kept: Path, demo_server: GrpcServer) -> None:
    settings = {"GIFTCARD_EXCHANGE_DATABASE_URL": url_of(kept)}
    with ShimServer(demo_server.address, kept, environment=settings) as shim:
        shim.start()
        busy = giftcard(kept, "forget-reversal", "cp/s-1")
        assert (busy.returncode, busy.stdout) == (2, "")
        assert "Another shim has" in busy.stderr
        shim.kill()
    done = giftcard(kept, "forget-reversal", "cp/s-1")
    assert (done.returncode, done.stdout) == (0, "Forgotten. It will not be sent.\n")
    found = json.loads(giftcard(kept, "reversals", "--json").stdout)["reversals"]
    assert [each["derivedRequestId"] for each in found] == ["cp/s-2"]


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("forget-reversal", "cp/s-9"), 1, "giftcard: No reversal of cp/s-9 waits.\n"),
    (("show", "9"), 1, "giftcard: There is no exchange 9.\n"),
    (("list", "--status", "6xx"), 2, "giftcard: 6xx is not a status such as 504 or 5xx.\n"),
    (("list", "--since", "soon"), 2,
     "giftcard: soon is not a time such as 2027-12-31 or 2027-12-31T18:00:00Z.\n"),
    (("list", "--database", "sqlite:///none.db"), 2,
     "giftcard: There is no exchange log at none.db. The shim makes it when it starts.\n"),
    (("reversals", "--database", "postgresql://u:canary@h/d"), 2,
     "giftcard: GIFTCARD_EXCHANGE_DATABASE_URL must be a SQLite file: sqlite:///var/exchange.db\n"),
    (("create-key", "exchange.db"), 2,
     "giftcard: The exchange key file exists already and is not overwritten.\n"),
]  # fmt: skip


def test_a_no_is_one_sentence(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    settings = {"GIFTCARD_EXCHANGE_DATABASE_URL": url_of(kept)}
    monkeypatch.chdir(kept)
    for arguments, _, _ in REFUSED:
        done = invoke(monkeypatch, settings, "log", *arguments)
        assert done.stdout == ""
        found.append((arguments, done.exit_code, done.stderr))
    assert found == REFUSED


async def test_an_empty_log_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    for command, remark in (("list", "There are none.\n"), ("reversals", "None waits.\n")):
        done = giftcard(tmp_path, command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", remark)


def test_a_key_for_production(tmp_path: Path, demo_server: GrpcServer) -> None:
    done = giftcard(tmp_path, "create-key", "key.json")
    assert (done.returncode, done.stdout) == (0, "Key written to key.json.\n")
    production = {"GIFTCARD_PROFILE": "production", "GIFTCARD_DEMO": "0"}
    with (
        ShimServer(demo_server.address, tmp_path, environment=production) as shim,
        pytest.raises(RuntimeError, match="Set GIFTCARD_EXCHANGE_KEY_FILE to a key file"),
    ):
        shim.start()
    production["GIFTCARD_EXCHANGE_KEY_FILE"] = "key.json"
    with ShimServer(demo_server.address, tmp_path, environment=production) as shim:
        shim.start()
        assert shim.stop() == 0


PASSWORD: Final = "demo-pos"


def _post(address: str, password: str = PASSWORD, **members: Any) -> int:
    body = write(message("STATUS", **members))
    return call(address, "POST", "/retail7/giftcards", body, basic("demo-pos", password)).status


def test_a_running_shim_logs_every_call(tmp_path: Path, demo_server: GrpcServer) -> None:
    """Also one that was refused, also while it runs, and nothing secret in it."""
    settings = {"GIFTCARD_EXCHANGE_DATABASE_URL": "sqlite:///var/exchange.db"}
    canary = "canary-password-1f8e"
    with ShimServer(demo_server.address, tmp_path, environment=settings) as shim:
        address = shim.start()
        assert _post(address, cardID="12399", requestIDExternal="look-1", cvv="canary") == 200
        assert _post(address, cardID="4111222233334444", requestIDExternal="look-2") == 404
        assert _post(address, canary, cardID="12399", requestIDExternal="look-3") == 401
        assert call(address, "POST", "/retail7/giftcards", b'{"cardID": "4111', {}).status == 400
        arguments = ("log", "list", "--json", "--dialect", "retail7")
        shown: list[Any] = []
        deadline = time.monotonic() + 60
        while len(shown) < 4 and time.monotonic() < deadline:
            shown = json.loads(run(tmp_path, *arguments, settings={}).stdout)["exchanges"]
        assert [(each["requestId"], each["status"], each["reason"]) for each in shown] == [
            ("", 400, "MALFORMED_REQUEST"),
            ("look-3", 401, "UNAUTHENTICATED"),
            ("look-2", 404, "GIFT_CARD_NOT_FOUND"),
            ("look-1", 200, ""),
        ]
        assert [each["codeLastFour"] for each in shown] == ["", "99", "4444", "99"]
        one = run(tmp_path, "log", "show", str(shown[-1]["id"]), settings={})
        files = b"".join(each.read_bytes() for each in (tmp_path / "var").glob("exchange.db*"))
        log = shim.log
        assert shim.stop() == 0
    assert '"cardID": "…99"' in one.stdout
    assert '"balance": 25.00' in one.stdout
    assert '"(undeclared members)": 1' in one.stdout
    assert "REQUEST" in one.stdout
    for secret in ("12399", "4111222233334444", canary, "canary", PASSWORD):
        assert secret.encode() not in files, secret
        assert secret not in log + one.stdout, secret


def test_a_second_shim_on_the_same_file_is_refused(tmp_path: Path, demo_server: GrpcServer) -> None:
    with (
        ShimServer(demo_server.address, tmp_path) as first,
        ShimServer(demo_server.address, tmp_path) as second,
    ):
        first.start()
        with pytest.raises(RuntimeError, match="giftcard: Another shim has"):
            second.start()
        assert first.stop() == 0
        second.start()
