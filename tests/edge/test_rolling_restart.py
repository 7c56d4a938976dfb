"""Two replicas of the service behind Envoy are restarted one after the other, and no call fails.

The callers repeat nothing, so a call that Envoy or a replica gave up shows.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from giftcard import v1

from tests.edge.envoy import UNLIMITED
from tests.edge.process import Envoy, wait_until
from tests.edge.production import Site, port_of
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client
from tests.grpc_server import GrpcServer
from tests.ports import free_port
from tests.prove.proof import Proof

_WIDTH = 16
#: Less than in production, as is the interval in which Envoy asks: the restarts are what counts.
_DRAIN_DELAY_SECONDS = 2
_LOOKS = """\
          interval: {0}s
          interval_jitter: 0.1s
          no_traffic_interval: {0}s
          unhealthy_threshold: 1 """
_LOOKS_OFTEN = {_LOOKS.format(1): _LOOKS.format(0.2)}
#: Between two calls of a caller, so that a replica that starts gets some of two cores.
_PAUSE_SECONDS = 0.02


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def replicas(site: Site, postgresql_url: str, tmp_path: Path) -> Iterator[list[GrpcServer]]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                GrpcServer(
                    postgresql_url,
                    tmp_path,
                    port=free_port(),
                    log_name=f"server-{number}.log",
                    environment={
                        **site.settings,
                        "GIFTCARD_DRAIN_DELAY_SECONDS": str(_DRAIN_DELAY_SECONDS),
                    },
                )
            )
            for number in (1, 2)
        ]
        for server in servers:
            server.start()
        yield servers


@pytest.fixture
def envoy(site: Site, replicas: list[GrpcServer]) -> Iterator[Envoy]:
    ports = [port_of(server) for server in replicas]
    with Envoy(site.configuration(ports, {**UNLIMITED, **_LOOKS_OFTEN}), site.folder) as running:
        yield running


async def test_no_call_fails(
    site: Site, replicas: list[GrpcServer], envoy: Envoy, postgresql_url: str
) -> None:
    made, failed = await _restart_under_load(site, replicas, envoy, times=1)
    assert not failed
    assert made > _WIDTH
    for server in replicas:
        server.kill()
    check_books(postgresql_url)


@pytest.mark.slow
async def test_no_call_fails_in_many_restarts(
    site: Site, replicas: list[GrpcServer], envoy: Envoy, postgresql_url: str, proof: Proof
) -> None:
    times = proof.cases(push=10, release=200)
    started = time.monotonic()
    made, failed = await _restart_under_load(site, replicas, envoy, times=times)
    seconds = time.monotonic() - started
    proof.report(
        "Rolling restarts of two replicas",
        restarts=times,
        calls=made,
        failed=sum(failed.values()),
        calls_per_second=round(made / seconds),
        sent_again_by_envoy=envoy.counter("cluster.service.upstream_rq_retry"),
    )
    assert not failed
    for server in replicas:
        server.kill()
    check_books(postgresql_url)


async def _restart_under_load(
    site: Site, replicas: list[GrpcServer], envoy: Envoy, *, times: int
) -> tuple[int, Counter[str]]:
    """How many calls were made, and how those that failed did."""
    both = {port_of(server): True for server in replicas}
    wait_until("both replicas are healthy", lambda: envoy.healthy("service") == both)
    made = 0
    failed: Counter[str] = Counter()
    stopped = asyncio.Event()

    async def work(client: Client, card: str) -> None:
        """Redeems and reads the card, in turn."""
        nonlocal made
        for number in itertools.count():
            if stopped.is_set():
                return
            for method, request in (
                ("RedeemGiftCard", c.redeem(card, 1, f"{card}/{number}")),
                ("GetGiftCard", v1.GetGiftCardRequest(name=card)),
            ):
                said = await client.call(method, request)
                made += 1
                if not said.ok:
                    failed[str(said)] += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    channels = [site.caller(envoy).channel() for _ in range(4)]
    try:
        client = Client(channels)
        cards = await client.issue(count=_WIDTH)
        workers = [asyncio.create_task(work(client, card)) for card in cards]
        for _ in range(times):
            for server in replicas:
                assert await asyncio.to_thread(server.stop) == 0
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(
                    wait_until, "it is healthy again", lambda: envoy.healthy("service") == both
                )
        stopped.set()
        await asyncio.gather(*workers)
    finally:
        for channel in channels:
            await channel.close()
    return made, failed
