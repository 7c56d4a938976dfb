"""A disk that fails or is full: what is not known is said to be unknown, and nothing is made up.

An error of COMMIT does not mean that nothing was committed, so the process ends, and the next one
looks.  Where the disk failed before, the caller is told that nothing was done, and that is true.
"""

from collections import Counter
from typing import Any, Final

import pytest

from tests.prove.disk.story import Told
from tests.prove.disk.system_calls import DATA_OPTIONS, points, read_calls
from tests.prove.disk.worker import FATAL_STATUS, GAVE_UP_STATUS, read_said
from tests.prove.disk.workers import Stage, sample
from tests.prove.proof import Proof

#: (error, system calls that it may come from, whether it stays or passes)
_FAULTS: Final = [
    ("EIO", ("fsync", "fdatasync"), False),
    ("EIO", ("pwrite64",), False),
    ("EIO", ("pwrite64", "fsync"), True),
    ("ENOSPC", ("pwrite64",), False),
    ("ENOSPC", ("pwrite64", "ftruncate"), True),
]
_TRIES: Final = 3


@pytest.mark.slow
def test_errors_of_the_disk(proof: Proof, stage: Stage) -> None:
    check_bad_disk(proof, stage, proof.cases(push=160, release=1000))


def test_a_few_errors_of_the_disk(stage: Stage) -> None:
    check_bad_disk(Proof("push", 1), stage, 5)


@pytest.mark.slow
def test_an_unknown_outcome_that_is_denied_is_found(proof: Proof, stage: Stage) -> None:
    with pytest.raises(AssertionError, match=r"denied=.'1/"):
        check_bad_disk(Proof("push", 1), stage, 15, plant="deny what is unknown")
    proof.report("Bug found by a failing disk, an unknown outcome that is denied", faults=15)


def check_bad_disk(proof: Proof, stage: Stage, wanted: int, *, plant: str = "") -> None:
    seed = proof.seed
    more: dict[str, Any] = {"seed": seed}
    place = stage.open_shop("bad-recorded")
    log = place / "strace.log"
    job = stage.job("live", "bad-recorded", trace="self", **more)
    assert stage.workers.run(job, *DATA_OPTIONS, "-o", str(log)) == 0
    every = points(list(read_calls(log)), str(place))
    stage.close_shop("bad-recorded")
    expected = stage.undisturbed(**more)
    endings: Counter[int] = Counter()
    said: Counter[str] = Counter()
    wrong: list[str] = []
    cases = 0
    for error, calls, stays in _FAULTS:
        reachable = [each for each in every if each[0] in calls]
        for name, number in sample(reachable, wanted // len(_FAULTS)):
            what = f"seed {seed}, {error} from {name} {number}{'+' if stays else ''}"
            cases += 1
            place = stage.open_shop("bad")
            job = stage.job("live", "bad", trace="self", plant=plant, tries_max=_TRIES, **more)
            when = f"when={number}+" if stays else f"when={number}"
            # A disk that is full is full for every call that needs more of it.
            names = ",".join(calls) if stays else name
            inject = f"inject={names}:error={error}:{when}"
            status = stage.workers.run(job, "-e", f"trace={names}", "-e", inject)
            endings[status] += 1
            told = read_said(place / "said.jsonl")
            said.update({each.failure for each in told if each.failure})
            wrong += [f"{what}: {each}" for each in _unfit(status, told)]
            verdict = stage.workers.recover(stage.job("recover", "bad", **more))
            stage.close_shop("bad")
            if not verdict.ok or verdict.cards != expected:
                wrong.append(f"{what}: {verdict}")
    proof.report(
        "EIO and ENOSPC on write and sync, SQLite",
        faults=cases, unknown_and_ended=endings[FATAL_STATUS], gave_up=endings[GAVE_UP_STATUS],
        went_on=endings[0], lost_doubled_or_denied=len(wrong),
    )  # fmt: skip
    assert not wrong, "\n".join(wrong[:10])
    assert endings[FATAL_STATUS], "no fault met a COMMIT"
    assert said.keys() <= {"OUTCOME_UNKNOWN", "UNAVAILABLE"}, said


def _unfit(status: int, told: list[Told]) -> list[str]:
    """How the process ended against what it said before."""
    unknown = any(each.failure == "OUTCOME_UNKNOWN" for each in told)
    if status not in (0, FATAL_STATUS, GAVE_UP_STATUS):
        return [f"ended with status {status}"]
    if unknown != (status == FATAL_STATUS):
        return [f"ended with status {status}, unknown outcomes: {unknown}"]
    return []
