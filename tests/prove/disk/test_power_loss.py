"""The power fails at every moment of a day: what was acknowledged is on the disk.

kill -9 leaves what was written in the system's memory, so it says nothing about a power failure.
Here the disk itself is made, as it may be left, and opened.
"""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.prove.disk.images import Recording, Tally, examine
from tests.prove.disk.system_calls import DATA_OPTIONS
from tests.prove.disk.workers import Stage
from tests.prove.proof import Proof

_IMAGES_OF_ONE_STORY: Final = 2500
#: One image in so many is put back into service: told to its end, and every row verified.
_CLOSER_LOOK: Final = 250
_FULL: Final = 2
_NORMAL: Final = 1
_OFF: Final = 0


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: images need no disk to be read from."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        yield Path(name)


def record(stage: Stage, name: str, **more: Any) -> Recording:
    """Lives a story undisturbed, with strace's log of what it wrote."""
    place = stage.open_shop(name)
    before, log = place / "before.db", place / "strace.log"
    shutil.copy(place / "shop.db", before)
    job = stage.job("live", name, trace="self", **more)
    assert stage.workers.run(job, *DATA_OPTIONS, "-o", str(log)) == 0
    return Recording(log, before, more["seed"])


def _examine(
    stage: Stage, seed: int, wanted: int, memory: Path, *, synchronous: int, closer: int = 0
) -> Tally:
    """About `wanted` images, of as many stories as that takes, on all cores."""
    whole = Tally()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        running = []
        for number in range(-(-wanted // _IMAGES_OF_ONE_STORY)):
            name = f"power-{synchronous}-{number}"
            recording = record(stage, name, seed=seed + number, synchronous=synchronous)
            count = min(_IMAGES_OF_ONE_STORY, wanted - number * _IMAGES_OF_ONE_STORY)
            running.append(pool.submit(examine, recording, count, closer, memory / name))
        for done in running:
            tally = done.result()
            whole.images += tally.images
            whole.acknowledged += tally.acknowledged
            whole.lost += tally.lost
            whole.corrupt += tally.corrupt
            whole.samples += tally.samples
    return whole


def _look_closer(stage: Stage, samples: list[Path]) -> list[str]:
    """Tells the stories to their ends on these disks; returns what is wrong with the books."""
    wrong: list[str] = []
    for sample in samples:
        seed = int(sample.name.partition("-")[0])
        verdict = stage.workers.recover(
            stage.job(
                "recover", sample.name, seed=seed, url=f"sqlite:///{sample / 'shop.db'}",
                said=str(sample / "said.jsonl"), verdict=str(sample / "verdict.json"),
            )
        )  # fmt: skip
        if not verdict.ok or verdict.cards != stage.undisturbed(seed=seed):
            wrong.append(f"{sample.parent.name}/{sample.name}: {verdict}")
    return wrong


@pytest.mark.slow
def test_power_may_fail_at_any_moment(proof: Proof, stage: Stage, memory: Path) -> None:
    # Some come out alike and are counted once.
    wanted = proof.cases(push=20_000, release=1_000_000) * 9 // 8
    tally = _examine(stage, proof.seed, wanted, memory, synchronous=_FULL, closer=_CLOSER_LOOK)
    wrong = _look_closer(stage, tally.samples)
    proof.report(
        "Power-loss images, synchronous=FULL",
        images=tally.images, acknowledged=tally.acknowledged, lost=len(tally.lost),
        corrupt=len(tally.corrupt), put_back_into_service=len(tally.samples), wrong=len(wrong),
    )  # fmt: skip
    assert not tally.lost + tally.corrupt + wrong, (tally.lost + tally.corrupt + wrong)[:10]


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", [_NORMAL, _OFF], ids=["normal", "off"])
def test_with_less_than_full_it_is_lost(
    proof: Proof, stage: Stage, memory: Path, synchronous: int
) -> None:
    """The control: where SQLite does not wait for the disk, the same images must show a loss."""
    tally = _examine(stage, proof.seed, 1500, memory, synchronous=synchronous)
    name = "NORMAL" if synchronous == _NORMAL else "OFF"
    proof.report(
        f"Power-loss images, synchronous={name} (must fail)",
        images=tally.images, lost=len(tally.lost), corrupt=len(tally.corrupt),
    )  # fmt: skip
    assert tally.lost, "images that cannot show a loss prove nothing"
    if synchronous == _NORMAL:
        assert not tally.corrupt, "NORMAL loses, but never corrupts"
    else:
        assert tally.corrupt, "images that cannot show a corruption prove nothing"


def test_a_few_power_failures(stage: Stage, memory: Path) -> None:
    recording = record(stage, "power-few", seed=1)
    tally = examine(recording, 100, 0, memory / "few")
    assert tally.images > 50
    assert not tally.lost + tally.corrupt
