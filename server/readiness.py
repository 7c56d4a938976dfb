"""Whether this process may be sent calls: one truth for /readyz, gRPC's health and the metrics.

Readiness refuses nothing by itself.  It tells a balancer to go elsewhere while the database is not
to be written, its disk is nearly full, a batch is stuck, the clock has jumped, or the process ends.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from server.storage.database import Database
from server.storage.probe import Findings, Probe
from server.telemetry.metrics import Metrics

logger = logging.getLogger("giftcard.readiness")

_PROBE_SECONDS: Final = 2.0
#: A probe that has not answered for so long is an answer too.
_STALE_SECONDS: Final = 10.0
_STOP_TIMEOUT_SECONDS: Final = 6.0

STEP_FORWARD_SECONDS_MAX: Final = 300
#: Keeping time moves a clock by less; a step back of more is somebody's hand, or a broken clock.
STEP_BACK_SECONDS_MAX: Final = 1
STEADY_SECONDS: Final = 60


class ClockWatch:
    """Compares the wall clock (microseconds) with one that cannot be set (seconds)."""

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() / 1e6 - monotonic()
        self._steady_time = monotonic()
        self.step_seconds = 0.0

    def is_sane(self) -> bool:
        """To be asked every moment: False after a step, until the clock has been steady again.

        No money hangs on it: ledger time never goes back.  But after a step forward cards and holds
        expire that should not, so calls had better go to a process whose clock is right.
        """
        now = self._monotonic()
        offset = self._wall() / 1e6 - now
        step, self._offset = offset - self._offset, offset
        if step > STEP_FORWARD_SECONDS_MAX or step < -STEP_BACK_SECONDS_MAX:
            self.step_seconds = step
            self._steady_time = now + STEADY_SECONDS
            logger.error("the clock has jumped")
        return now >= self._steady_time


class Readiness:
    """`start`, `look` every moment on the event loop, `drain` when it ends, `stop`.

    `stuck` says whether the writer is; `disk_free_min_bytes` must be left beside a SQLite file.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], int],
        stuck: Callable[[], bool],
        disk_free_min_bytes: int,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = Probe(database)
        self._stuck = stuck
        self._disk_free_min_bytes = disk_free_min_bytes
        self._metrics = metrics
        self._clock = ClockWatch(now, monotonic)
        self._findings = Findings(writable=False, schema_current=False)
        self._found_time = 0.0
        self._draining = False
        self._problems: tuple[str, ...] = ()
        self._ending = threading.Event()
        # A daemon, since a network may keep it for ever.
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)
        metrics.gauge(
            "giftcard_clock_step_seconds", "The last jump of the clock; 0 for none.",
            lambda: self._clock.step_seconds,
        )  # fmt: skip

    def start(self) -> None:
        """Returns with the first findings."""
        self._probe_once()
        self._thread.start()
        self.look()

    def stop(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT_SECONDS)

    def drain(self) -> None:
        """The process ends: no new calls, please."""
        self._draining = True

    def problems(self) -> list[str]:
        """From any thread: the names of the checks that do not hold."""
        return [*self._problems, *(["open"] if self._draining else [])]

    def look(self) -> bool:
        """Whether all is well."""
        found = self._findings
        fresh = time.monotonic() - self._found_time < _STALE_SECONDS
        free = found.disk_free_bytes
        checks = {
            "database": fresh and found.writable,
            "schema": found.schema_current,
            "writer": not self._stuck(),
            "disk": free is None or free >= self._disk_free_min_bytes,
            "clock": self._clock.is_sane(),
        }
        problems = tuple(name for name, holds in checks.items() if not holds)
        if problems != self._problems:
            self._problems = problems
            logger.warning("readiness has changed", extra={"checks": " ".join(problems) or "all"})
        self._metrics.readiness([*checks.items(), ("open", not self._draining)])
        return not problems and not self._draining

    def _run(self) -> None:
        while not self._ending.wait(_PROBE_SECONDS):
            self._probe_once()
        self._probe.close()

    def _probe_once(self) -> None:
        self._findings = self._probe.look()
        self._found_time = time.monotonic()
