"""kill -9 at every system call by which SQLite writes: nothing acknowledged is lost or doubled."""

import signal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.prove.disk.system_calls import DATA_OPTIONS, points, read_calls
from tests.prove.disk.workers import Stage, sample
from tests.prove.proof import Proof

_POINTS_OF_ONE_STORY: Final = 750


def record(stage: Stage, name: str, **more: Any) -> Path:
    """Lives a story undisturbed and returns strace's log of it."""
    place = stage.open_shop(name)
    log = place / "strace.log"
    job = stage.job("live", name, trace="self", **more)
    assert stage.workers.run(job, *DATA_OPTIONS, "-o", str(log)) == 0
    return log


@pytest.mark.slow
def test_killed_at_every_system_call(proof: Proof, stage: Stage) -> None:
    """The process dies on entering the call; a restart finds all that was said, tells the story
    again, and ends where a day without a crash ends."""
    wanted = proof.cases(push=150, release=5000)
    check_crash_points(proof, stage, wanted)


def test_killed_at_a_few_system_calls(stage: Stage) -> None:
    check_crash_points(Proof("push", 1), stage, 5)


def test_an_answer_before_the_commit_is_found(stage: Stage) -> None:
    with pytest.raises(AssertionError, match=r"seed 1, .*: 1/"):
        check_crash_points(Proof("push", 1), stage, 6, hasty=True)


def check_crash_points(proof: Proof, stage: Stage, wanted: int, *, hasty: bool = False) -> None:
    killed, acknowledged, in_doubt, calls = 0, 0, 0, 0
    lost: list[str] = []
    doubled: list[str] = []
    wrong: list[str] = []
    seed = proof.seed
    while killed < wanted:
        more = {"seed": seed}
        log = record(stage, "recorded", hasty=hasty, **more)
        every = points(list(read_calls(log)), str(log.parent))
        stage.close_shop("recorded")
        expected = stage.undisturbed(**more)
        calls += len(every)
        for name, number in sample(every, min(wanted - killed, _POINTS_OF_ONE_STORY)):
            what = f"seed {seed}, {name} {number}"
            stage.open_shop("killed")
            job = stage.job("live", "killed", trace="self", hasty=hasty, **more)
            inject = f"inject={name}:signal=SIGKILL:when={number}"
            status = stage.workers.run(job, "-e", f"trace={name}", "-e", inject)
            assert status == -signal.SIGKILL, f"{what}: ended with {status}"
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
        "Crash points by system call, SQLite",
        points=killed, of_calls=calls, acknowledged=acknowledged, kept_unsaid=in_doubt,
        lost=len(lost), doubled=len(doubled), wrong=len(wrong),
    )  # fmt: skip
    assert not lost + doubled + wrong, "\n".join((lost + doubled + wrong)[:20])
