"""The primary is lost under load: nothing acknowledged is, and the old one acknowledges nothing.

The service has the addresses of all nodes and finds the primary by itself.  Beside it, a second
process of it knows the old primary only: what that one is told while it is deposed counts as well.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.ack_log import AckLog
from tests.faults import client as c
from tests.faults.checks import check_books, check_history, check_since, known_ids
from tests.faults.client import Client, connected
from tests.faults.workload import Load, settle
from tests.grpc_server import GrpcServer, keys_in, seed
from tests.postgres import temporary_directory
from tests.postgres_programs import PostgresUnavailableError
from tests.prove.network.cluster import Cluster, ClusterUnavailableError, Node
from tests.prove.proof import Proof

pytestmark = pytest.mark.slow

_DATABASE: Final = "giftcard"
_FAULTS: Final = ("kill", "stop", "cut off")
_LOAD_SECONDS: Final = 2.0
_PROBE_SECONDS: Final = 1.0
_WIDTH: Final = 8
_PINNED_WIDTH: Final = 2


@pytest.fixture
def cluster(own_engine: None) -> Iterator[Cluster]:
    missing = ""
    try:
        with temporary_directory() as directory:
            # Each node's own directory is closed to others; on the way there they must pass.
            directory.chmod(0o755)
            with Cluster(directory) as cluster:
                yield cluster
    except (ClusterUnavailableError, PostgresUnavailableError) as error:
        missing = str(error)
    if missing:
        pytest.fail(missing, pytrace=False)


async def test_failover_under_load(proof: Proof, cluster: Cluster, tmp_path: Path) -> None:
    url = _create_database(cluster)
    seed(url, keys_in(tmp_path))
    dice = proof.random("failover")
    faults = [_FAULTS[n % len(_FAULTS)] for n in range(proof.cases(push=3, release=200))]
    times: list[float] = []
    with GrpcServer(url, tmp_path) as server, AckLog(tmp_path / "acks.jsonl") as log:
        server.start()
        async with connected(server.address) as client:
            load = Load(log, dice, _WIDTH)
            for fault in faults:
                primary = await asyncio.to_thread(cluster.wait_until_whole)
                times.append(
                    await _one_failover(cluster, primary, fault, client, load, log, tmp_path)
                )
            await asyncio.to_thread(cluster.wait_until_whole)
            await check_history(client, log)
        assert server.stop() == 0
    times.sort()
    proof.report(
        "Failover under load",
        failovers=len(times),
        acknowledged=sum(sent.known for sent in log),
        cut_off=sum(bool(sent.failures) for sent in log),
        rto_p50_seconds=round(times[len(times) // 2], 1),
        rto_p99_seconds=round(times[min(len(times) - 1, len(times) * 99 // 100)], 1),
    )
    check_books(url)


async def _one_failover(
    cluster: Cluster,
    primary: Node,
    fault: str,
    client: Client,
    load: Load,
    log: AckLog,
    directory: Path,
) -> float:
    """Returns how long nothing was acknowledged, in seconds."""
    seen = known_ids(log)
    pinned_url = cluster.url(primary, database=_DATABASE)
    with GrpcServer(pinned_url, directory, log_name="pinned.log") as pinned:
        await asyncio.to_thread(pinned.start)
        async with connected(pinned.address, channels=1) as to_old:
            pinned_load = Load(log, random.Random(len(log)), _PINNED_WIDTH, timeout_seconds=12.0)
            load.start(client)
            pinned_load.start(to_old)
            await asyncio.sleep(_LOAD_SECONDS)
            print(f"{fault}: {primary.name}")
            began = time.monotonic()
            await asyncio.to_thread(_FAULT_OF[fault], primary)
            down = await _until_acknowledged(client, log) - began
            await asyncio.to_thread(cluster.wait_for_another, primary)
            await asyncio.sleep(_LOAD_SECONDS)
            # The old one comes back in the midst of the load, and believes for a moment.
            await asyncio.to_thread(cluster.heal, primary)
            await asyncio.sleep(_LOAD_SECONDS)
            await asyncio.gather(load.stop(), pinned_load.stop())
    # Until the old one has stepped down, a look-up may meet it and find nothing there.
    await asyncio.to_thread(cluster.wait_until_whole)
    await check_since(client, log, seen)
    return down


_FAULT_OF: Final = {"kill": Node.kill, "stop": Node.stop, "cut off": Node.cut_off}


async def _until_acknowledged(client: Client, log: AckLog) -> float:
    """When a request was acknowledged that was sent from now on."""
    while True:
        request = c.issue(100)
        sent = log.sending("IssueGiftCard", request)
        said = await client.call("IssueGiftCard", request, timeout_seconds=_PROBE_SECONDS)
        if settle(log, sent, said):
            return time.monotonic()
        await asyncio.sleep(0.05)


def _create_database(cluster: Cluster) -> str:
    primary = cluster.primary()
    assert primary is not None
    address = f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_DATABASE}".encode())
    return cluster.url(database=_DATABASE)
