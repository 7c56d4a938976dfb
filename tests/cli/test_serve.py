"""`giftcard serve` as the process it is: ready, asked to stop, started again, refused."""

import asyncio
import contextlib
import signal
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
import pytest
from giftcard import v1

from tests.certificates import Authority
from tests.cli.giftcard import Service, invoke, run, serving
from tests.ports import free_port
from tests.processes import is_alive
from tests.prove.proof import Proof

DEMO = {"GIFTCARD_DEMO": "1"}
TOKEN = "demo-service-token"
METADATA = (("authorization", f"Bearer {TOKEN}"),)

REFUSED = [
    ({"GIFTCARD_PROFILE": "production"}, "No keys: set GIFTCARD_KEY_FILE"),
    ({**DEMO, "GIFTCARD_GRPC_ADDRESS": "0.0.0.0:0"}, "must be a loopback address"),
    ({"GIFTCARD_WORKER": "2"}, "GIFTCARD_WORKER is not a setting"),
    ({"GIFTCARD_DATABASE_URL": "sqlite://"}, "A database in memory keeps nothing"),
    ({"GIFTCARD_DATABASE_URL": "mysql://h/d"}, "mysql is not supported"),
    # A key file is made in development only, so nothing here writes outside its directory.
    (
        {"GIFTCARD_PROFILE": "production", "GIFTCARD_KEY_FILE": "missing.json"},
        "The key file cannot be read: No such file or directory.",
    ),
    ({"GIFTCARD_GRPC_ADDRESS": "unix:missing/socket"}, "cannot be listened on"),
]


def _redeem(card: str, request_id: str) -> v1.RedeemGiftCardRequest:
    return v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(code=card),
        amount=v1.Money(minor_units=1, currency_code="USD"),
        request_id=request_id,
    )


def _balance(directory: Path, address: str, card: str) -> str:
    settings = {"GIFTCARD_SERVER": address, "GIFTCARD_TOKEN": TOKEN}
    shown = run(directory, "card", "show", card, settings=settings)
    assert shown.returncode == 0, shown.stderr
    return next(line for line in shown.stdout.splitlines() if line.startswith("balance"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_and_stops(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, DEMO) as service:
        assert service.address.startswith("127.0.0.1:")
        assert _balance(tmp_path, service.address, "12399").endswith("25.00 USD")
        assert service.stop(number) == 0
        assert service.more_output == []


def test_the_next_start_keeps_the_data(tmp_path: Path) -> None:
    with serving(tmp_path, DEMO) as service:
        settings = {"GIFTCARD_SERVER": service.address, "GIFTCARD_TOKEN": TOKEN}
        assert run(tmp_path, "card", "redeem", "12399", "5.00", settings=settings).returncode == 0
        assert service.stop() == 0
    with serving(tmp_path, DEMO) as service:
        assert _balance(tmp_path, service.address, "12399").endswith("20.00 USD")
        assert service.stop() == 0
    assert run(tmp_path, "verify", settings={}).stdout.endswith("verified\n")


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, {}):
        for command in (["serve"], ["verify"], ["migrate"], ["admin", "merchant", "list"]):
            second = run(tmp_path, *command, settings={})
            assert (second.returncode, second.stdout) == (2, "")
            assert "Another process has var/giftcard.db open" in second.stderr
            assert len(second.stderr.splitlines()) == 1


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    with serving(first, {}) as service:
        refused = run(second, "serve", settings={"GIFTCARD_GRPC_ADDRESS": service.address})
    assert refused.returncode == 2
    (_, sentence) = refused.stderr.splitlines()  # the first tells of the new development keys
    assert "is another server running there?" in sentence


@pytest.mark.parametrize(("settings", "sentence"), REFUSED)
def test_it_refuses_to_start(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    refused = run(tmp_path, "serve", settings=settings)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("mutual", [False, True], ids=["TLS", "mTLS"])
def test_with_tls_the_shim_and_the_command_line_use_it_too(tmp_path: Path, mutual: bool) -> None:
    authority = Authority()
    # The shim calls an address, and is told the name that the certificate has.
    served = authority.issue(names=("localhost",)).write(tmp_path, "server")
    shown = authority.issue("shim").write(tmp_path, "shim")
    trusted = str(authority.write(tmp_path))
    settings = {
        **DEMO,
        "GIFTCARD_TLS_CERTIFICATE_FILE": str(served.certificate_file),
        "GIFTCARD_TLS_KEY_FILE": str(served.key_file),
        "GIFTCARD_HTTP_UPSTREAM_CA_FILE": trusted,
        "GIFTCARD_HTTP_UPSTREAM_NAME": "localhost",
    }
    client = {"GIFTCARD_TOKEN": TOKEN, "GIFTCARD_CA_FILE": trusted}
    own = {"CERTIFICATE_FILE": str(shown.certificate_file), "KEY_FILE": str(shown.key_file)}
    if mutual:
        settings["GIFTCARD_TLS_CLIENT_CA_FILE"] = trusted
        settings |= {f"GIFTCARD_HTTP_UPSTREAM_{name}": path for name, path in own.items()}
        client |= {f"GIFTCARD_CLIENT_{name}": path for name, path in own.items()}
    with serving(tmp_path, settings) as service:
        client["GIFTCARD_SERVER"] = service.address.replace("127.0.0.1", "localhost")
        done = run(tmp_path, "card", "redeem", "12399", "5.00", settings=client)
        assert done.returncode == 0, done.stderr
        plain = run(tmp_path, "card", "show", "12399", "--plaintext", settings=client)
        assert plain.returncode == 1
        assert "No server answers" in plain.stderr
        with urllib.request.urlopen(f"http://{service.http_address}/readyz") as ready:
            assert ready.status == 200
        assert service.stop() == 0


def test_a_shim_that_could_not_reach_its_service_is_refused(tmp_path: Path) -> None:
    pair = Authority().issue().write(tmp_path, "server")
    tls = {
        "GIFTCARD_TLS_CERTIFICATE_FILE": str(pair.certificate_file),
        "GIFTCARD_TLS_KEY_FILE": str(pair.key_file),
    }
    mutual = {**tls, "GIFTCARD_TLS_CLIENT_CA_FILE": str(pair.certificate_file)}
    ca = {"GIFTCARD_HTTP_UPSTREAM_CA_FILE": str(pair.certificate_file)}
    for settings, sentence in (
        (tls, "so the shim beside it needs GIFTCARD_HTTP_UPSTREAM_CA_FILE"),
        ({**mutual, **ca}, "so the shim beside it needs GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE"),
        (ca, "but the service has no GIFTCARD_TLS_CERTIFICATE_FILE"),
    ):
        refused = run(tmp_path, "serve", settings=settings)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert sentence in refused.stderr


def test_calls_in_flight_are_answered_before_it_ends(proof: Proof, tmp_path: Path) -> None:
    """Nobody who was being served when the signal came gets an error."""
    with serving(tmp_path, DEMO) as service:
        outcomes = asyncio.run(_redeem_until_stopped(service, "DYN0000001"))
        assert service.process.wait(timeout=60) == 0
    assert outcomes.answered >= 100
    assert outcomes.failed == []
    with serving(tmp_path, DEMO) as service:
        left = _balance(tmp_path, service.address, "DYN0000001")
    spent = 5000 - int(left.split()[1].replace(".", ""))
    proof.report(
        "Stop of giftcard serve", answered=outcomes.answered, failed_in_flight=len(outcomes.failed)
    )
    assert spent >= outcomes.answered


@dataclass(slots=True)
class _Outcomes:
    """`failed` are the errors of calls that were begun before the signal; later ones may fail."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)


async def _redeem_until_stopped(service: Service, card: str) -> _Outcomes:
    """Eight callers, each with one call at a time; the signal comes while all of them wait."""
    outcomes = _Outcomes()
    signalled = asyncio.Event()

    async def caller(number: int) -> None:
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = v1.GiftCardServiceStub(channel)
            for count in range(1000):
                begun_before = not signalled.is_set()
                try:
                    await stub.RedeemGiftCard(_redeem(card, f"{number}/{count}"), metadata=METADATA)
                except grpc.aio.AioRpcError as error:
                    if begun_before:
                        outcomes.failed.append(f"{error.code()} {error.details()}")
                    return
                outcomes.answered += 1
                if outcomes.answered == 100:
                    service.process.terminate()
                    signalled.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(caller(number))
    return outcomes


# Several workers


def _children(service: Service) -> list[psutil.Process]:
    """The workers, and the shim."""
    return psutil.Process(service.process.pid).children()


def _workers(service: Service) -> list[psutil.Process]:
    return [child for child in _children(service) if "compat_http" not in child.cmdline()]


def _connections(worker: psutil.Process, address: str, status: str) -> int:
    port = int(address.rpartition(":")[2])
    return sum(
        connection.status == status and connection.laddr.port == port
        for connection in worker.net_connections(kind="tcp")
    )


async def _share_of_calls(service: Service, calls: int) -> list[int]:
    """How many of so many connections, each with an answered call, each worker has."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(calls):
            # Channels to one address share a connection unless they are told not to.
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(
                    service.address, options=(("grpc.use_local_subchannel_pool", 1),)
                )
            )
            stub = v1.GiftCardServiceStub(channel)
            await stub.RedeemGiftCard(_redeem("DYN0000001", f"w/{number}"), metadata=METADATA)
        return [
            _connections(worker, service.address, psutil.CONN_ESTABLISHED)
            for worker in _workers(service)
        ]


@pytest.fixture
def workers(postgresql_url: str) -> dict[str, str]:
    return {**DEMO, "GIFTCARD_DATABASE_URL": postgresql_url, "GIFTCARD_WORKERS": "2"}


def test_workers_share_the_port_and_drain(tmp_path: Path, workers: dict[str, str]) -> None:
    with serving(tmp_path, workers) as service:
        children = _children(service)
        listening = [
            _connections(child, service.address, psutil.CONN_LISTEN) for child in _workers(service)
        ]
        assert listening == [1, 1]
        share = asyncio.run(_share_of_calls(service, 40))
        assert sum(share) in (40, 41), "the shim keeps one of its own"
        assert min(share) > 0
        outcomes = asyncio.run(_redeem_until_stopped(service, "DYN0000001"))
        assert service.process.wait(timeout=60) == 0
        assert service.more_output == []
        assert outcomes.failed == []
        assert [child for child in children if is_alive(child)] == []


def test_workers_do_not_outlive_a_killed_supervisor(
    tmp_path: Path, workers: dict[str, str]
) -> None:
    with serving(tmp_path, workers) as service:
        children = _children(service)
        service.process.kill()
        gone, alive = psutil.wait_procs(children, timeout=30)
        assert [child for child in alive if is_alive(child)] == []
        assert len(gone) == 3


def test_a_worker_that_dies_takes_the_others_along(tmp_path: Path, workers: dict[str, str]) -> None:
    with serving(tmp_path, workers) as service:
        children = _children(service)
        _workers(service)[0].kill()
        assert service.process.wait(timeout=60) != 0
        assert [child for child in children if is_alive(child)] == []
        assert "a worker ended by itself" in service.errors


def test_two_supervisors_do_not_share_a_port(tmp_path: Path, workers: dict[str, str]) -> None:
    fixed = {**workers, "GIFTCARD_GRPC_ADDRESS": f"127.0.0.1:{free_port()}"}
    with serving(tmp_path, fixed) as service:
        assert service.address == fixed["GIFTCARD_GRPC_ADDRESS"]
        second = run(tmp_path, "serve", settings=fixed)
        assert (second.returncode, second.stdout) == (2, "")
        assert "is another server running there?" in second.stderr


def test_workers_refuse_what_one_process_refuses(tmp_path: Path, workers: dict[str, str]) -> None:
    for settings, sentence in (
        ({"GIFTCARD_PROFILE": "production", "GIFTCARD_DEMO": "0"}, "No keys"),
        ({"GIFTCARD_GRPC_ADDRESS": "unix:/tmp/socket"}, "needs a port to share"),
        ({"GIFTCARD_DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "does not answer"),
    ):
        refused = run(tmp_path, "serve", settings={**workers, **settings})
        assert refused.stdout == ""
        assert refused.returncode in {1, 2}
        assert sentence in refused.stderr
        assert "Traceback" not in refused.stderr


# The shim beside it


def _http(service: Service, path: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(f"http://{service.http_address}{path}", timeout=30) as answer:
        return answer.status, answer.read()


def test_the_shim_serves_beside_it_and_ends_with_it(tmp_path: Path) -> None:
    with serving(tmp_path, DEMO) as service:
        assert _http(service, "/readyz") == (200, b'{"status":"ready"}')
        (shim,) = _children(service)
        assert service.stop() == 0
        assert not is_alive(shim)


def test_without_an_address_there_is_no_shim(tmp_path: Path) -> None:
    with serving(tmp_path, {"GIFTCARD_HTTP_ADDRESS": ""}) as service:
        assert (service.http_address, _children(service)) == ("", [])


def test_the_shim_does_not_outlive_a_killed_server(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service:
        children = _children(service)
        service.process.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert len(children) == 1
        assert [child for child in alive if is_alive(child)] == []


def test_a_shim_that_dies_ends_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service:
        _children(service)[0].kill()
        assert service.process.wait(timeout=60) != 0
        assert "the shim ended by itself" in service.errors


def test_a_shim_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", settings={"GIFTCARD_RETAIL7_PATHS": "/"})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1] == (
        "giftcard: GIFTCARD_RETAIL7_PATHS is not a setting. Check its spelling."
    )


# A client of a running server


def test_no_output_contains_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path, DEMO) as service:
        made = run(
            tmp_path, "call", "CreateCredential",
            '{"parent": "merchants/demo/apiClients/service", "credential": {"kind": "TOKEN"}}',
            settings={"GIFTCARD_SERVER": service.address, "GIFTCARD_TOKEN": TOKEN},
        )  # fmt: skip
        token = made.stdout.split('"secret": "')[1].split('"')[0]
        settings = {"GIFTCARD_SERVER": service.address, "GIFTCARD_TOKEN": token}
        wrong = {**settings, "GIFTCARD_TOKEN": token[:-1]}
        m = ("--merchant", "demo")
        outputs = {
            (*arguments, used["GIFTCARD_TOKEN"] == token): invoke(monkeypatch, used, *arguments)
            for used in (settings, wrong)
            for arguments in (
                ("card", "show", "12399"),
                ("card", "redeem", "12399", "1.00", "--json"),
                ("card", "redeem", "12399", "100.00"),
                ("call", "ListHolds"),
                ("admin", "token", "list", "service", *m),
                ("admin", "program", "list"),
                ("demo", "show"),
                ("card", "show"),
            )
        }
        log = service.errors
    assert Counter(done.exit_code for done in outputs.values()) == {0: 6, 1: 8, 2: 2}
    leaks = [command for command, done in outputs.items() if token[:-1] in done.output]
    assert leaks == []
    assert token[:-1] not in log


def test_a_client_without_token_or_server_is_told(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    missing = run(tmp_path, "card", "show", "1", "--server", address, settings={})
    assert (missing.returncode, "Set GIFTCARD_TOKEN" in missing.stderr) == (2, True)
    settings = {"GIFTCARD_TOKEN": TOKEN, "GIFTCARD_SERVER": address}
    absent = run(tmp_path, "card", "show", "1", settings=settings)
    assert (absent.returncode, "No server answers at" in absent.stderr) == (1, True)
    unknown = run(tmp_path, "card", "redeem", "1", "1.00", "--request-id", "r-7", settings=settings)
    assert unknown.returncode == 3
    assert "--request-id r-7" in unknown.stderr
    nowhere = run(tmp_path, "card", "show", "1", "--server", "x", settings=settings)
    assert (nowhere.returncode, "--server must be host:port" in nowhere.stderr) == (2, True)
