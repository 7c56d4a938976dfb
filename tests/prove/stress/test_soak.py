"""Hours of ordinary load: memory and descriptors stay where they were."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from tests.ack_log import AckLog
from tests.faults.checks import check_books
from tests.faults.client import connected
from tests.faults.conftest import MakeServer
from tests.faults.workload import Load
from tests.prove.proof import Proof, engine_of

#: For a night's run: seconds instead of those of the size.
_SECONDS_SETTING = "SOAK_SECONDS"
_SAMPLE_SECONDS = 1.0
_WARM_UP_SHARE = 0.3
_DESCRIPTORS_MAX = 20
#: More than caches that fill up may take; what leaks for hours takes more.
_GROWTH_BYTES_MAX = 256 * 2**20


@pytest.mark.slow
async def test_memory_stays_flat(proof: Proof, make_server: MakeServer, tmp_path: Path) -> None:
    seconds = int(os.environ.get(_SECONDS_SETTING, proof.cases(push=45, release=3600)))
    server = make_server()
    server.start()
    process = psutil.Process(server.process_id)
    samples: list[tuple[float, int]] = []
    with AckLog(tmp_path / "acks.jsonl") as log:
        load = Load(log, proof.random("soak"), width=16)
        async with connected(server.address) as client:
            load.start(client)
            began = time.monotonic()
            descriptors = 0
            while (passed := time.monotonic() - began) < seconds:
                await asyncio.sleep(_SAMPLE_SECONDS)
                if passed > seconds * _WARM_UP_SHARE:
                    descriptors = descriptors or process.num_fds()
                    samples.append((passed, process.memory_info().rss))
            more_descriptors = process.num_fds() - descriptors
            await load.stop()
    growth = samples[-1][1] - samples[0][1]
    proof.report(
        f"Soak, {engine_of(server.database_url)}",
        seconds=seconds, rss_mebibytes=samples[-1][1] // 2**20,
        growth_mebibytes=round(growth / 2**20, 1),
        kibibytes_an_hour=round(_slope(samples) * 3600 / 1024),
        more_descriptors=more_descriptors, unanswered=len(load.failures),
    )  # fmt: skip
    assert growth < _GROWTH_BYTES_MAX
    assert more_descriptors < _DESCRIPTORS_MAX
    assert server.stop() == 0
    check_books(server.database_url)


def _slope(samples: list[tuple[float, int]]) -> float:
    """Bytes a second, by least squares."""
    count = len(samples)
    middle_time = sum(time for time, _ in samples) / count
    middle_size = sum(size for _, size in samples) / count
    over = sum((time - middle_time) * (size - middle_size) for time, size in samples)
    under = sum((time - middle_time) ** 2 for time, _ in samples)
    return over / under if under else 0.0
