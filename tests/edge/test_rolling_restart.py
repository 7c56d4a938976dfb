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

import grpc
import pytest
from giftcard import v1

from compat_http.envoy import certificate, config
from tests.edge.envoy import UNLIMITED
from tests.edge.process import Envoy, wait_until
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client
from tests.grpc_server import GrpcServer
from tests.ports import free_port
from tests.prove.proof import Proof

_WIDTH = 16
_DRAIN_DELAY_SECONDS = 3


@pytest.fixture
def replicas(postgresql_url: str, tmp_path: Path) -> Iterator[list[GrpcServer]]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                GrpcServer(
                    postgresql_url,
                    tmp_path,
                    port=free_port(),
                    log_name=f"server-{number}.log",
                    environment={"GIFTCARD_DRAIN_DELAY_SECONDS": str(_DRAIN_DELAY_SECONDS)},
                )
            )
            for number in (1, 2)
        ]
        for server in servers:
            server.start()
        yield servers


@pytest.fixture
def envoy(replicas: list[GrpcServer], tmp_path: Path) -> Iterator[Envoy]:
    text = _configuration([_port(server) for server in replicas], tmp_path / "edge")
    with Envoy(text, tmp_path / "edge") as running:
        yield running


async def test_no_call_fails(replicas: list[GrpcServer], envoy: Envoy, postgresql_url: str) -> None:
    made, failed = await _restart_under_load(replicas, envoy, times=1)
    assert not failed
    assert made > _WIDTH
    for server in replicas:
        server.stop()
    check_books(postgresql_url)


@pytest.mark.slow
async def test_no_call_fails_in_many_restarts(
    replicas: list[GrpcServer], envoy: Envoy, postgresql_url: str, proof: Proof
) -> None:
    times = proof.cases(push=20, release=100)
    started = time.monotonic()
    made, failed = await _restart_under_load(replicas, envoy, times=times)
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
        server.stop()
    check_books(postgresql_url)


async def _restart_under_load(
    replicas: list[GrpcServer], envoy: Envoy, *, times: int
) -> tuple[int, Counter[str]]:
    """How many calls were made, and how those that failed did."""
    both = {_port(server): True for server in replicas}
    wait_until("both replicas are healthy", lambda: envoy.healthy("service") == both)
    made = 0
    failed: Counter[str] = Counter()
    stopped = asyncio.Event()

    async def work(client: Client, card: str) -> None:
        """Redeems, looks the answer up, and reads the card, in turn."""
        nonlocal made
        for number in itertools.count():
            if stopped.is_set():
                return
            request = c.redeem(card, 1, f"{card}/{number}")
            said = await client.call("RedeemGiftCard", request)
            made += 1
            if not said.ok:
                failed[str(said)] += 1
                continue
            said = await client.call("GetGiftCard", v1.GetGiftCardRequest(name=card))
            made += 1
            if not said.ok:
                failed[str(said)] += 1

    channels = [_channel(envoy) for _ in range(4)]
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


def _port(server: GrpcServer) -> int:
    return int(server.address.rpartition(":")[2])


def _channel(envoy: Envoy) -> grpc.aio.Channel:
    trusted = (envoy.directory / "tls" / certificate.CERTIFICATE).read_bytes()
    options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
    return grpc.aio.secure_channel(
        f"127.0.0.1:{envoy.port}", grpc.ssl_channel_credentials(trusted), options
    )


def _configuration(ports: list[int], folder: Path) -> str:
    certificate.ensure(folder / "tls")
    text = config.development(folder, edge_port=0, admin_port=0, grpc_port=ports[0], http_port=1)
    (line,) = (each for each in text.splitlines() if f"port_value: {ports[0]}}}" in each)
    text = text.replace(line, line + "\n" + line.replace(str(ports[0]), str(ports[1])))
    for old, new in UNLIMITED.items():
        text = text.replace(old, new)
    return text
