"""What /livez, /readyz and gRPC's health say, on a running server and about a clock that jumps."""

import asyncio
import threading
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.readiness import STEADY_SECONDS, ClockWatch
from tests.compat.stage import ShimServer
from tests.faults import client as c
from tests.faults.client import connected
from tests.faults.conftest import MakeServer
from tests.faults.planted import CLOCK, TRIGGER
from tests.grpc_server import GrpcServer
from tests.postgres import PostgresServer
from tests.telemetry.scrape import ADMIN, Scrape, admin_address, get, wait_for

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

#: What a clock does: at which second of real time, by how many seconds it is set.
STEPS: Final = {
    "keeps-time": ([], []),
    "forward-4-minutes": ([(10, 240.0)], []),
    "forward-6-minutes": ([(10, 360.0)], [(10, 70)]),
    "forward-a-year": ([(10, 31_536_000.0)], [(10, 70)]),
    "back-half-a-second": ([(10, -0.5)], []),
    "back-2-seconds": ([(10, -2.0)], [(10, 70)]),
    "forward-and-back": ([(10, 3600.0), (40, -3600.0)], [(10, 100)]),
    "twice": ([(10, 3600.0), (200, 3600.0)], [(10, 70), (200, 260)]),
}


@pytest.mark.parametrize(("steps", "unready"), STEPS.values(), ids=STEPS.keys())
def test_a_clock_that_steps(steps: list[tuple[int, float]], unready: list[tuple[int, int]]) -> None:
    """Not ready from the step until the clock has been steady for a minute."""
    second = 0

    def wall() -> int:
        return int(1e6 * (1_750_000_000 + second + sum(s for at, s in steps if at <= second)))

    watch = ClockWatch(wall, lambda: float(second))
    assert STEADY_SECONDS == 60
    for second in range(1, 400):
        expected = not any(start <= second < end for start, end in unready)
        assert watch.is_sane() is expected, second


def _health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        status: int = stub.Check(health_pb2.HealthCheckRequest()).status
        return status


def test_all_that_tells_follows_the_clock(tmp_path: Path) -> None:
    """A step forward is no reason to refuse anybody, but for a balancer to go elsewhere."""
    moved = tmp_path / "clock"
    moved.write_bytes(bytes(8))
    server = GrpcServer(
        f"sqlite:///{tmp_path / 'giftcard.db'}",
        tmp_path,
        module=("tests.faults.planted", "clock"),
        environment={**ADMIN, CLOCK: str(moved)},
    )
    with server:
        server.start()
        admin = admin_address(server.log)
        assert (get(admin, "/readyz").status, _health(server.address)) == (200, SERVING)
        assert Scrape(admin).value("giftcard_ready") == 1
        with moved.open("r+b") as file:
            file.write((600 * 1_000_000).to_bytes(8, "little"))
        assert wait_for(admin, "/readyz", 503) == "clock\n"
        assert _health(server.address) == NOT_SERVING
        assert get(admin, "/livez").status == 200
        scrape = Scrape(admin)
        assert scrape.value("giftcard_ready") == 0
        assert scrape.value("giftcard_ready_check", check="clock") == 0
        assert round(scrape.value("giftcard_clock_step_seconds")) == 600
        asyncio.run(_issues(server.address))
        assert server.stop() == 0


async def _issues(address: str) -> None:
    async with connected(address, channels=1) as client:
        await client.answer("IssueGiftCard", c.issue())


def test_without_a_database_to_write_it_is_not_ready(
    durable_postgres: PostgresServer, tmp_path: Path
) -> None:
    """Gone, or read-only as a standby or a primary whose disk ran full."""
    url = durable_postgres.create_database("readiness")
    with GrpcServer(url, tmp_path, environment=dict(ADMIN)) as server:
        server.start()
        admin = admin_address(server.log)
        assert get(admin, "/readyz").status == 200
        durable_postgres.stop(immediate=True)
        assert "database" in wait_for(admin, "/readyz", 503)
        assert get(admin, "/livez").status == 200
        durable_postgres.start()
        assert wait_for(admin, "/readyz", 200) == "ok\n"
        assert _health(server.address) == SERVING
        with durable_postgres.connect() as connection:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
        assert wait_for(admin, "/readyz", 503) == "database\n"
        assert server.stop() == 0


def test_a_file_that_is_gone_is_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "giftcard.db"
    with GrpcServer(f"sqlite:///{path}", tmp_path, environment=dict(ADMIN)) as server:
        server.start()
        admin = admin_address(server.log)
        assert get(admin, "/readyz").status == 200
        path.rename(tmp_path / "moved.db")
        assert "database" in wait_for(admin, "/readyz", 503)
        assert Scrape(admin).value("giftcard_ready_check", check="database") == 0


def test_a_full_disk_is_not_ready(tmp_path: Path) -> None:
    """No disk has room enough for this server."""
    environment = {**ADMIN, "GIFTCARD_DISK_FREE_MIN_MEBIBYTES": str(1 << 40)}
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with GrpcServer(url, tmp_path, environment=environment) as server:
        server.start()
        said = get(admin_address(server.log), "/readyz")
        assert (said.status, said.body) == (503, b"disk\n")
        assert _health(server.address) == NOT_SERVING


def test_readiness_goes_first_when_it_ends(make_server: MakeServer) -> None:
    """While a slow call is still being answered, nobody is sent here any more."""
    server = make_server("slow_commit", environment=ADMIN)
    server.start()
    admin = admin_address(server.log)
    seen: list[int] = []

    async def drain() -> None:
        async with connected(server.address, channels=1) as client:
            await client.answer("IssueGiftCard", c.issue())
            slow = [asyncio.create_task(client.call("IssueGiftCard", c.issue())) for _ in range(8)]
            await asyncio.sleep(0)
            server.terminate()
            while not all(task.done() for task in slow):
                try:
                    seen.append((await asyncio.to_thread(get, admin, "/readyz")).status)
                except OSError:
                    break
            assert [(await task).code for task in slow] == ["OK"] * 8

    asyncio.run(drain())
    assert server.wait() == 0
    assert seen[-1:] == [503], seen


def test_a_loop_that_stands_still_is_not_alive(tmp_path: Path) -> None:
    trigger = tmp_path / "stand-still"
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    module = ("tests.faults.planted", "stuck_loop")
    environment = {**ADMIN, TRIGGER: str(trigger)}
    with GrpcServer(url, tmp_path, module=module, environment=environment) as server:
        server.start()
        admin = admin_address(server.log)
        trigger.touch()
        caller = threading.Thread(target=lambda: asyncio.run(_issues(server.address)))
        caller.start()
        assert wait_for(admin, "/livez", 503) == "the event loop stands still\n"
        trigger.unlink()
        assert wait_for(admin, "/livez", 200) == "ok\n"
        caller.join()


def test_the_shim_follows_the_service(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    environment = {**ADMIN, "GIFTCARD_DEMO": "1"}
    with GrpcServer(url, tmp_path, environment=environment) as server:
        server.start()
        with ShimServer(server.address, tmp_path, environment=environment) as shim:
            shim.start()
            admin = admin_address(shim.log)
            assert wait_for(admin, "/readyz", 200) == "ok\n"
            server.kill()
            assert wait_for(admin, "/readyz", 503) == "service\n"
            assert get(admin, "/livez").status == 200
            assert Scrape(admin).value("giftcard_shim_ready") == 0
            assert shim.stop() == 0


async def test_a_commit_that_never_returns_ends_with_the_process(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """The callers hear that nobody knows; asked to stop, it waits no longer than for a COMMIT."""
    trigger = tmp_path / "never-return"
    server = make_server(
        "stuck_commit",
        environment={
            **ADMIN, TRIGGER: str(trigger),
            "GIFTCARD_COMMIT_TIMEOUT_SECONDS": "1", "GIFTCARD_DRAIN_SECONDS": "2",
        },
    )  # fmt: skip
    server.start()
    admin = admin_address(server.log)
    trigger.touch()
    async with connected(server.address, channels=1) as client:
        said = await client.call("IssueGiftCard", c.issue())
        assert said.reason == "OUTCOME_UNKNOWN"
        assert "writer" in await asyncio.to_thread(wait_for, admin, "/readyz", 503)
    assert server.stop() == 70
    assert "a statement does not return" in server.log
