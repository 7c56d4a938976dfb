"""kill -9 and a full disk: what was acknowledged is there after the next start."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import pytest

from compat_http.records import ReversalStartedError
from compat_http.store import StoreError, reading
from tests.compat.exchanges import AUTHORIZATION, opened, url_of
from tests.compat.store_child import STEPS_EACH_ROUND, state_after

_ROOT: Final = Path(__file__).parents[2]
_TIMEOUT_SECONDS: Final = 60


def _child(directory: Path, what: str, number: int) -> "subprocess.Popen[bytes]":
    path = os.pathsep.join((str(_ROOT), str(_ROOT / "generated")))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.compat.store_child", str(directory), what, str(number)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _output(child: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert child.stdout is not None
    return child.stdout


async def _check(directory: Path, expected: dict[str, bool]) -> None:
    """What waits is what must, and can be claimed or taken back as far as it has come."""
    with reading.opened(url_of(directory)) as connection:
        found = {each["key"]: bool(each["started"]) for each in reading.reversals(connection)}
    assert found == expected
    async with opened(directory) as store:
        for key, started in expected.items():
            if started:
                with pytest.raises(ReversalStartedError):
                    await store.take_back(AUTHORIZATION, key)
            else:
                assert await store.take_back(AUTHORIZATION, key)


@pytest.mark.parametrize("count", range(1, 2 * STEPS_EACH_ROUND + 1))
async def test_each_step_is_durable_when_it_returned(tmp_path: Path, count: int) -> None:
    child = _child(tmp_path, "steps", count)
    _, errors = child.communicate(timeout=_TIMEOUT_SECONDS)
    assert child.returncode == -signal.SIGKILL, errors.decode()
    await _check(tmp_path, state_after(count))


async def test_a_flood_cut_anywhere_loses_nothing(tmp_path: Path) -> None:
    """Many callers share a COMMIT; each was told only after its own."""
    dice = random.Random(7)
    for cycle in range(4):
        directory = tmp_path / str(cycle)
        directory.mkdir()
        child = _child(directory, "flood", 8)
        said = [_output(child).readline() for _ in range(dice.randint(1, 200))]
        child.kill()
        said += _output(child).read().splitlines(keepends=True)
        _, errors = child.communicate()
        acknowledged = {line.decode().strip() for line in said if line.endswith(b"\n")}
        assert acknowledged, errors.decode()
        async with opened(directory) as store:
            kept = {each.reversal.key: each.reversal for each in await store.claim(100_000)}
        assert acknowledged <= kept.keys()
        # At most what each caller was waiting for has been written beyond that.
        assert len(kept.keys() - acknowledged) <= 8
        assert {each.authorization for each in kept.values()} == {AUTHORIZATION}


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    child = _child(tmp_path, "hold", 0)
    assert _output(child).readline() == b"ready\n"
    try:
        with pytest.raises(StoreError, match="Another shim has"):
            async with opened(tmp_path):
                pass
        with reading.opened(url_of(tmp_path)) as connection:  # looking is allowed
            assert reading.reversals(connection) == []
    finally:
        child.kill()
        child.communicate()
    async with opened(tmp_path):
        pass


async def test_a_full_disk_is_the_end_and_says_so(tmp_path: Path) -> None:
    child = _child(tmp_path, "full", 300_000)
    output, errors = child.communicate(timeout=_TIMEOUT_SECONDS)
    said = output.decode().split()
    assert (child.returncode, said[-2:]) == (0, ["refused", "refused"]), errors.decode()
    acknowledged = set(said[:-2])
    assert len(acknowledged) > 10
    async with opened(tmp_path) as store:
        kept = {each.reversal.key for each in await store.claim(100_000)}
    assert acknowledged <= kept
    assert len(kept - acknowledged) <= 1
