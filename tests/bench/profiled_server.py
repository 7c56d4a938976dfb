"""The server with a sampler inside: `python -m tests.bench.profiled_server OUTPUT`.

SIGUSR1 starts the sampling, SIGUSR2 ends it and writes OUTPUT as JSON.  A timer interrupts the
main thread, where the event loop, the edge and (on SQLite) the ledger run; a sampling thread
would instead wait for the interpreter and see only where it is given up.  What other threads use
is asked of the operating system.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from server.__main__ import main
from server.settings import from_environment

_INTERVAL_SECONDS: Final = 0.001
_ROOT: Final = str(Path(__file__).resolve().parent.parent.parent) + os.sep
#: Below these frames runs the event loop; they do no work of their own.
_BENEATH: Final = ("server/__main__.py", "server/app.py")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Sampler:
    """Counts where the main thread is, by the function of ours that is innermost."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._samples: Counter[tuple[str, str]] = Counter()
        self._places: dict[CodeType, tuple[str, str]] = {}
        self._before: dict[str, float] = {}

    def start(self, *_: object) -> None:
        self._samples.clear()
        self._before = _thread_seconds()
        signal.signal(signal.SIGALRM, self._sample)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, _INTERVAL_SECONDS, _INTERVAL_SECONDS)

    def stop(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        after = _thread_seconds()
        found = {
            "samples": [[*place, count] for place, count in self._samples.most_common()],
            "threads": {name: used - self._before.get(name, 0) for name, used in after.items()},
        }
        # Renamed into place, so that a reader sees all of it or nothing.
        part = self._output.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.rename(self._output)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        innermost: tuple[str, str] | None = None
        while frame is not None:
            place = self._place(frame)
            if place[0].startswith("server/") and place[0] not in _BENEATH:
                self._samples[place] += 1
                return
            innermost = innermost or place
            frame = frame.f_back
        self._samples[innermost or ("", "")] += 1

    def _place(self, frame: FrameType) -> tuple[str, str]:
        code = frame.f_code
        if code not in self._places:
            path = code.co_filename.removeprefix(_ROOT)
            if path.startswith(os.sep):
                path = "/".join(Path(path).parts[-2:])
            self._places[code] = (path, code.co_qualname)
        return self._places[code]


def _thread_seconds() -> dict[str, float]:
    """Processor time so far of each named Python thread; all others are gRPC's own."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    used: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
        name = names.get(int(task.name), "gRPC")
        used[name] = used.get(name, 0.0) + seconds
    return used


if __name__ == "__main__":
    sampler = Sampler(Path(sys.argv[1]))
    signal.signal(signal.SIGUSR1, sampler.start)
    signal.signal(signal.SIGUSR2, sampler.stop)
    sys.exit(main(from_environment(os.environ)))
