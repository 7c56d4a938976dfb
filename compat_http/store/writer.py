"""The one thread that writes: what callers wait for first, then the log in batches.

Operations of one moment share a transaction, and whoever asked for one is told after its COMMIT.
An error of the database leaves open what the disk has, so it is the end: nothing is written any
more, everybody is told, and only a fresh start can tell.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from compat_http.records import Exchange
from compat_http.store import log

logger = logging.getLogger("giftcard.shim")

Result = TypeVar("Result")

#: What the log may lose with the process.
_LOG_SECONDS: Final = 0.25
_LOG_ROWS_AT_ONCE: Final = 200
_PRUNE_MICROSECONDS: Final = 3600 * 1_000_000


class StoreBrokenError(Exception):
    """The file does not take what has to be kept.  Start again, once the disk is mended."""


class Writer:
    """Owns the connection from `start` on."""

    def __init__(
        self,
        connection: Connection,
        *,
        now: Callable[[], int],
        keep_microseconds: int,
        exchanges_max: int,
        on_broken: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._now = now
        self._keep_microseconds = keep_microseconds
        self._exchanges_max = exchanges_max
        self._on_broken = on_broken
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._operations: deque[tuple[Callable[[Connection], Any], Future[Any]]] = deque()
        self._exchanges: deque[Exchange] = deque()
        self._dropped = 0
        self._dropped_said = 0
        self._prune_time = 0
        self._closing = False
        self.broken = False
        self._thread = threading.Thread(target=self._run, name="exchange-writer")

    def start(self) -> None:
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Exchanges that found no room, or no working file."""
        return self._dropped

    def submit(self, operation: Callable[[Connection], Result]) -> "Future[Result]":
        """Its result, once that is on the disk; StoreBrokenError when it may not be."""
        future: Future[Result] = Future()
        # It runs to its end, whoever stops waiting for it.
        future.set_running_or_notify_cancel()
        with self._guard:
            if self.broken or self._closing:
                future.set_exception(StoreBrokenError("Nothing is written any more."))
                return future
            self._operations.append((operation, future))
        self._wake.set()
        return future

    def log(self, exchange: Exchange) -> None:
        """From one thread only.  The writer comes by itself: waking it would cost the caller."""
        if len(self._exchanges) >= self._exchanges_max or self.broken or self._closing:
            self._dropped += 1
        else:
            self._exchanges.append(exchange)

    def close(self) -> None:
        """Returns once everything is written."""
        with self._guard:
            self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait(_LOG_SECONDS)
                self._wake.clear()
                closing = self._closing
                self._do_operations()
                while self._write_log():
                    self._do_operations()
                if closing:
                    return
                self._prune()
        except Exception:
            logger.critical("the exchange database failed: start again", exc_info=True)
            self._break()

    def _do_operations(self) -> None:
        with self._guard:
            asked = list(self._operations)
            self._operations.clear()
        if not asked:
            return
        try:
            with self._connection.begin():
                results = [operation(self._connection) for operation, _ in asked]
        except Exception:
            self.broken = True
            for _, future in asked:
                future.set_exception(StoreBrokenError("It may not have been written."))
            raise
        for (_, future), result in zip(asked, results, strict=True):
            future.set_result(result)

    def _write_log(self) -> bool:
        """Writes one batch; True while there is more."""
        count = min(len(self._exchanges), _LOG_ROWS_AT_ONCE)
        dropped = self._dropped - self._dropped_said
        if not count and not dropped:
            return False
        rows = [log.row_of(self._exchanges.popleft()) for _ in range(count)]
        with self._connection.begin():
            log.write(self._connection, rows, dropped, self._now())
        if dropped:
            logger.warning("exchanges were not logged", extra={"count": dropped})
        self._dropped_said += dropped
        return True

    def _prune(self) -> None:
        now = self._now()
        if self._prune_time <= now <= self._prune_time + _PRUNE_MICROSECONDS:
            return
        with self._connection.begin():
            more = log.prune(self._connection, now - self._keep_microseconds)
        if not more:
            self._prune_time = now

    def _break(self) -> None:
        with self._guard:
            self.broken = True
            waiting = list(self._operations)
            self._operations.clear()
        self._exchanges.clear()
        for _, future in waiting:
            future.set_exception(StoreBrokenError("It was not written."))
        self._on_broken()
