"""kill -9 around PostgreSQL: of our process, of its backend at a system call, of the whole server.

Where the database goes away, the process lives on, says that it does not know, and asks again.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.postgres import PostgresServer, start_postgres, temporary_directory
from tests.prove.disk.worker import Job, read_said
from tests.prove.disk.workers import Stage, traced, wait_until
from tests.prove.proof import Proof

_BATCHES: Final = 20
#: By which a backend writes the log, and waits for it.
_CALLS: Final = ("pwrite64", "fdatasync")
_KINDS: Final = ("process", "backend", "server")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with temporary_directory() as directory:
        server = start_postgres(directory, durable=True)
        try:
            yield server
        finally:
            server.stop(immediate=True)


@pytest.mark.slow
def test_killed_at_any_moment(proof: Proof, stage: Stage, server: PostgresServer) -> None:
    points = proof.cases(push=51, release=1002)
    dice = proof.random("postgresql crashes")
    killed: Counter[str] = Counter()
    said: Counter[str] = Counter()
    wrong: list[str] = []
    acknowledged = 0
    (stage.folder / "template-pg").mkdir(exist_ok=True)
    template = server.create_database("template_shop")
    assert stage.workers.run(stage.job("found", "template-pg", url=template)) == 0
    story_seconds = _undisturbed_seconds(stage, server)
    for number in range(points):
        kind = _KINDS[number % len(_KINDS)]
        name, seed = f"crash-{number}", proof.seed + number
        (stage.folder / name).mkdir()
        url = server.create_database(f"shop_{number}", "template_shop")
        facts: dict[str, Any] = {"url": url, "seed": seed, "batches": _BATCHES}
        if kind == "backend":
            call, nth = dice.choice(_CALLS), dice.randint(1, _BATCHES)
            what = f"seed {seed}, backend at {call} {nth}"
            job = stage.job("live", name, trace="backend", process=str(stage.folder / name / "pid"),
                            **facts)  # fmt: skip
            status = _kill_backend(stage, job, call, nth)
        else:
            seconds = dice.uniform(0, story_seconds)
            what = f"seed {seed}, {kind} after {seconds:.3f} s"
            status = _kill_after(stage, stage.job("live", name, **facts), server, kind, seconds)
        # A killed process says no more; any other one must have come to the end of the story.
        allowed = (0, -signal.SIGKILL) if kind == "process" else (0,)
        if status not in allowed:
            wrong.append(f"{what}: ended with {status}")
        told = read_said(stage.folder / name / "said.jsonl")
        said.update({each.failure for each in told if each.failure})
        killed[kind] += status != 0 if kind == "process" else 1
        verdict = stage.workers.recover(stage.job("recover", name, **facts))
        acknowledged += verdict.acknowledged
        expected = stage.undisturbed(seed=seed, batches=_BATCHES)
        if not verdict.ok or verdict.cards != expected:
            wrong.append(f"{what}: {verdict}")
        server.drop_database(f"shop_{number}")
    proof.report(
        "Crash points, PostgreSQL",
        points=killed.total(), of_our_process=killed["process"], of_a_backend=killed["backend"],
        of_the_server=killed["server"], acknowledged=acknowledged,
        runs_with_unknown=said["OUTCOME_UNKNOWN"], runs_with_unavailable=said["UNAVAILABLE"],
        lost_doubled_or_wrong=len(wrong),
    )  # fmt: skip
    assert not wrong, "\n".join(wrong[:10])
    assert killed["process"] >= points // len(_KINDS) // 3, "most stories ended before the kill"
    assert said.keys() <= {"OUTCOME_UNKNOWN", "UNAVAILABLE"}, said
    assert said["OUTCOME_UNKNOWN"], "no kill met a COMMIT"


def _undisturbed_seconds(stage: Stage, server: PostgresServer) -> float:
    """How long a story takes here when nobody is killed: moments beyond it would meet nothing."""
    (stage.folder / "whole").mkdir()
    url = server.create_database("whole_shop", "template_shop")
    started = time.monotonic()
    assert stage.workers.run(stage.job("live", "whole", url=url, seed=0, batches=_BATCHES)) == 0
    return time.monotonic() - started


def _kill_backend(stage: Stage, job: Job, call: str, nth: int) -> int:
    stage.workers.start(job)
    file = Path(job.process)
    wait_until(file.exists, "the backend is not known")
    inject = f"inject={call}:signal=SIGKILL:when={nth}"
    with traced(int(file.read_text()), "-e", f"trace={call}", "-e", inject):
        return stage.workers.wait()


def _kill_after(stage: Stage, job: Job, server: PostgresServer, kind: str, seconds: float) -> int:
    process = os.pidfd_open(stage.workers.start(job))
    try:
        time.sleep(seconds)
        if kind == "process":
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            return stage.workers.wait()
    finally:
        os.close(process)
    server.kill()
    starting = threading.Thread(target=server.start)
    starting.start()
    try:
        return stage.workers.wait()
    finally:
        starting.join()
