"""kill -9 at every system call by which SQLite writes: nothing acknowledged is lost or doubled."""

import signal
from typing import Any, Final

import pytest

from tests.prove.disk.system_calls import DATA_OPTIONS, points, read_calls
from tests.prove.disk.workers import Stage, sample
from tests.prove.proof import Proof

_POINTS_OF_ONE_STORY: Final = 750


@pytest.mark.slow
@pytest.mark.parametrize("checkpointer", [False, True], ids=["in commit", "beside"])
def test_killed_at_every_system_call(proof: Proof, stage: Stage, checkpointer: bool) -> None:
    """The process dies on entering the call; a restart finds all that was said, tells the story
    again, and ends where a day without a crash ends.

    The log is copied into the database inside a COMMIT, or by a thread beside it.
    """
    wanted = proof.cases(push=80, release=2500)
    check_crash_points(proof, stage, wanted, checkpointer=checkpointer)


def test_killed_at_a_few_system_calls(stage: Stage) -> None:
    check_crash_points(Proof("push", 1), stage, 5)


def test_an_answer_before_the_commit_is_found(proof: Proof, stage: Stage) -> None:
    with pytest.raises(AssertionError, match=r"seed 1, .*: 1/"):
        check_crash_points(Proof("push", 1), stage, 6, plant="answer before commit")
    proof.report("Bug found by crash points, an answer before the commit", points=6)


def check_crash_points(
    proof: Proof, stage: Stage, wanted: int, *, plant: str = "", checkpointer: bool = False
) -> None:
    killed, missed, acknowledged, in_doubt, calls = 0, 0, 0, 0, 0
    lost: list[str] = []
    doubled: list[str] = []
    wrong: list[str] = []
    seed = proof.seed
    while killed < wanted:
        more = {"seed": seed}
        live = {**more, "trace": "self", "plant": plant, "checkpointer": checkpointer}
        every = _record_points(stage, **live)
        expected = stage.undisturbed(**more)
        calls += len(every)
        for name, number in sample(every, min(wanted - killed, _POINTS_OF_ONE_STORY)):
            what = f"seed {seed}, {name} {number}"
            stage.open_shop("killed")
            inject = f"inject={name}:signal=SIGKILL:when={number}"
            job = stage.job("live", "killed", **live)
            status = stage.workers.run(job, "-e", f"trace={name}", "-e", inject)
            # Two threads do not share their work in the same way each time.
            missed += checkpointer and status == 0
            assert status == -signal.SIGKILL or (checkpointer and status == 0), f"{what}: {status}"
            verdict = stage.workers.recover(stage.job("recover", "killed", **more))
            stage.close_shop("killed")
            killed += 1
            acknowledged += verdict.acknowledged
            in_doubt += verdict.refound > verdict.acknowledged
            lost += [f"{what}: {each}" for each in verdict.lost]
            doubled += [f"{what}: {each}" for each in verdict.doubled]
            wrong += [f"{what}: {each}" for each in verdict.problems]
            if verdict.cards != expected:
                wrong.append(f"{what}: {verdict.cards} instead of {expected}")
        seed += 1
    proof.report(
        f"Crash points by system call, SQLite{', checkpointer' if checkpointer else ''}",
        points=killed - missed, of_calls=calls, acknowledged=acknowledged,
        kept_unsaid=in_doubt, lost=len(lost), doubled=len(doubled), wrong=len(wrong),
    )  # fmt: skip
    assert missed <= killed // 4, f"{missed} of {killed} points were not met"
    assert not lost + doubled + wrong, "\n".join((lost + doubled + wrong)[:20])


def _record_points(stage: Stage, **live: Any) -> list[tuple[str, int]]:
    """Lives a story undisturbed and returns what it calls."""
    place = stage.open_shop("recorded")
    log = place / "strace.log"
    job = stage.job("live", "recorded", **live)
    assert stage.workers.run(job, *DATA_OPTIONS, "-o", str(log)) == 0
    every = points(list(read_calls(log)), str(place))
    stage.close_shop("recorded")
    return every
