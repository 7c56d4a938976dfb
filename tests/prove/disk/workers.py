"""The tests' side of `worker`: runs jobs, traced by strace where a fault is to be injected."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import Watchdog, kill_family
from tests.prove.disk.worker import Job, Verdict

_ROOT: Final = Path(__file__).parents[3]
_STRACE_TIMEOUT_SECONDS: Final = 60.0
_NEEDS_STRACE: Final = (
    "No strace on this machine: faults of the disk are injected with it (on Debian and Ubuntu:"
    " apt-get install strace)."
)

Cards = dict[str, list[Any]]


def require_strace() -> str:
    """The path of strace; without it the test fails, since what it proves would be unproved."""
    found = shutil.which("strace")
    if found is None:
        pytest.fail(_NEEDS_STRACE, pytrace=False)
    return found


@contextlib.contextmanager
def traced(process_id: int, *options: str) -> Iterator[None]:
    """strace attached to a process and its children to come, until the block ends."""
    command = [require_strace(), "-f", "-q", "-p", str(process_id)]
    if "-o" not in options:
        command += ["-o", os.devnull]
    strace = subprocess.Popen(
        [*command, *options], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield
    finally:
        if strace.poll() is None:
            # Detaches and leaves the process alone; it has ended already where that was traced.
            with contextlib.suppress(subprocess.TimeoutExpired):
                strace.wait(timeout=0.2)
            strace.terminate()
        _, said = strace.communicate(timeout=_STRACE_TIMEOUT_SECONDS)
        assert strace.returncode in (0, -15, 1), said


class Workers:
    """One `worker`; jobs run one after the other."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prove.disk.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=_ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_ROOT / "generated"))),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                start_new_session=True,
            )
        self._watchdog = Watchdog(self._process.pid, "KILL")

    def close(self) -> None:
        if self._process.poll() is None:
            kill_family(self._process.pid)
        self._process.communicate()
        self._watchdog.stand_down()

    def start(self, job: Job) -> int:
        """Returns the process id of the fork; `wait` must follow."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """The exit status of the fork, negative for the signal that ended it."""
        return self._read()

    def run(self, job: Job, *strace_options: str) -> int:
        """A job from start to end, traced from before its story begins where options are given."""
        process_id = self.start(job)
        if not strace_options:
            return self.wait()
        with traced(process_id, *strace_options):
            return self.wait()

    def recover(self, job: Job) -> Verdict:
        status = self.run(job)
        assert status == 0, f"the restart failed with status {status}"
        return Verdict(**json.loads(Path(job.verdict).read_text()))

    def _read(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker has ended"
        return int(line)


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder in which stories happen on copies of one empty shop, and how each should end."""

    workers: Workers
    folder: Path

    def job(self, do: str, name: str, **more: Any) -> Job:
        paths = {
            "url": f"sqlite:///{self.folder / name / 'shop.db'}",
            "said": str(self.folder / name / "said.jsonl"),
            "verdict": str(self.folder / name / "verdict.json"),
        }
        return Job(do=do, **{**paths, **more})

    def open_shop(self, name: str) -> Path:
        """A new folder with a database in which nothing was sold yet."""
        template = self.folder / "template"
        if not template.exists():
            template.mkdir()
            assert self.workers.run(self.job("found", "template")) == 0
        place = self.folder / name
        place.mkdir()
        shutil.copy(template / "shop.db", place / "shop.db")
        return place

    def undisturbed(self, **more: Any) -> Cards:
        """The cards at the end of a day on which nothing went wrong."""
        # A day is told by all of its facts: suites of one run have days of different lengths.
        facts = json.dumps(more, sort_keys=True, default=str).encode()
        name = f"undisturbed-{hashlib.sha256(facts).hexdigest()[:16]}"
        if not (self.folder / name).exists():
            self.open_shop(name)
        verdict = self.workers.recover(self.job("recover", name, **more))
        assert verdict.ok, verdict
        return verdict.cards

    def close_shop(self, name: str) -> None:
        shutil.rmtree(self.folder / name)


def wait_until(true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def sample(points: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of them, spread evenly."""
    if len(points) <= count:
        return list(points)
    return [points[number * len(points) // count] for number in range(count)]
