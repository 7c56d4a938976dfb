"""Hours of ordinary load: memory and descriptors stay where they were.

SQLite's page cache, which fills up as the file grows, is kept small here: with its 64 MiB it would
hide for minutes what else grows.
"""

import asyncio
import os
import random
import statistics
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.ack_log import AckLog
from tests.faults.checks import check_books
from tests.faults.client import connected
from tests.faults.conftest import MakeServer
from tests.faults.workload import Load
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof, engine_of

#: For a night's run: seconds instead of those of the size.
_SECONDS_SETTING = "SOAK_SECONDS"
_SAMPLE_SECONDS = 1.0
#: Until then a server that was just started fills its caches; the second half counts.
_PUSH_SECONDS = 60
#: Of one that leaks.
_LEAK_SECONDS = 24
_DESCRIPTORS_MAX = 20
#: Whoever keeps each command grows by 105 MiB. Half a minute of a busy machine is 12,000 requests,
#: and four mebibytes that a cache took late look like 33.
_MEBIBYTES_PER_100_000_MAX = 60


@dataclass(frozen=True, slots=True)
class Soak:
    """What was seen second by second: (requests so far, bytes of memory), and open descriptors."""

    memory: list[tuple[int, int]]
    descriptors: list[int]
    unanswered: int

    @property
    def mebibytes_per_100_000(self) -> float:
        """How much memory grows with the requests, once the server is warm: in the second half."""
        requests, sizes = zip(*self.memory[len(self.memory) // 2 :], strict=True)
        return statistics.linear_regression(requests, sizes).slope * 100_000 / 2**20

    def mebibytes(self, sample: int) -> float:
        return round(self.memory[sample][1] / 2**20, 1)


@pytest.mark.slow
async def test_memory_stays_flat(proof: Proof, make_server: MakeServer, tmp_path: Path) -> None:
    seconds = int(os.environ.get(_SECONDS_SETTING, proof.cases(push=_PUSH_SECONDS, release=3600)))
    server = make_server("small_cache")
    soak = await _soak(server, tmp_path, proof.random("soak"), seconds)
    more_descriptors = soak.descriptors[-1] - soak.descriptors[len(soak.descriptors) // 2]
    proof.report(
        f"Soak, {engine_of(server.database_url)}",
        seconds=seconds, requests=soak.memory[-1][0], mebibytes_at_start=soak.mebibytes(0),
        at_half=soak.mebibytes(len(soak.memory) // 2), at_end=soak.mebibytes(-1),
        mebibytes_per_100_000_requests=round(soak.mebibytes_per_100_000, 1),
        more_descriptors=more_descriptors, unanswered=soak.unanswered,
    )  # fmt: skip
    assert soak.mebibytes_per_100_000 < _MEBIBYTES_PER_100_000_MAX
    assert more_descriptors < _DESCRIPTORS_MAX
    assert server.stop() == 0
    check_books(server.database_url)


@pytest.mark.slow
async def test_a_leak_is_found(proof: Proof, sqlite_url: str, tmp_path: Path) -> None:
    plants = ("small_cache", "keep_every_request")
    with GrpcServer(sqlite_url, tmp_path, module=("tests.faults.planted", *plants)) as server:
        soak = await _soak(server, tmp_path, proof.random("leak"), _LEAK_SECONDS)
    proof.report(
        "Bug found by soak, keep_every_request", seconds=_LEAK_SECONDS, requests=soak.memory[-1][0],
        mebibytes_per_100_000_requests=round(soak.mebibytes_per_100_000, 1),
    )  # fmt: skip
    assert soak.mebibytes_per_100_000 > _MEBIBYTES_PER_100_000_MAX


async def _soak(server: GrpcServer, folder: Path, dice: random.Random, seconds: int) -> Soak:
    """Starts the server and puts it under load."""
    server.start()
    process = psutil.Process(server.process_id)
    memory, descriptors = [], []
    with AckLog(folder / "acks.jsonl") as log:
        load = Load(log, dice, width=16)
        async with connected(server.address) as client:
            load.start(client)
            for _ in range(int(seconds / _SAMPLE_SECONDS)):
                await asyncio.sleep(_SAMPLE_SECONDS)
                memory.append((len(log), process.memory_info().rss))
                descriptors.append(process.num_fds())
            await load.stop()
    return Soak(memory, descriptors, len(load.failures))
