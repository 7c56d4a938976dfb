"""Copies SQLite's log back into the database beside the writer, so that no COMMIT has to.

A checkpoint of 64 MiB takes some 30 ms, most of it waiting for the disk, and SQLite makes it inside
the COMMIT that crosses the limit: everybody waits.  A connection that never writes does the same
work meanwhile.  The log starts anew only when a write finds that all of it was copied, so short
passes follow the long one until that has happened.  The writer's own limit stands far behind.

https://sqlite.org/wal.html#ckpt; the measurement is in DECISIONS.
"""

import logging
import threading
from typing import Any, Final

from server.storage.database import Database

logger = logging.getLogger("giftcard.checkpoint")

#: Pages of 4 KiB in the log from which it is worth copying them: 32 MiB.
_PAGES: Final = 8192
_LOOK_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 1.0


class Checkpointer:
    """A thread with a connection of its own.  An error is logged, and tried again: as long as it
    lasts the log only grows, and nothing that was committed is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Returns when the connection is closed.  Does nothing where it was never started."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look_after_log()
            except Exception:
                logger.exception("the log could not be copied into the database; trying again")
                self._stopping.wait(_RETRY_SECONDS)

    def _look_after_log(self) -> None:
        connection = self._database.connect_checkpointer()
        try:
            cursor = connection.cursor()
            while not self._stopping.wait(_LOOK_SECONDS):
                logged, copied = _pages(cursor, "NOOP")
                moved = True
                # No further while a long read keeps what it sees.
                while logged >= _PAGES and copied < logged and moved:
                    before, (logged, copied) = copied, _pages(cursor, "PASSIVE")
                    moved = copied > before
        finally:
            connection.close()


def _pages(cursor: Any, mode: str) -> tuple[int, int]:
    """Checkpoints, and tells how many pages the log has and how many of them are copied."""
    cursor.execute(f"PRAGMA wal_checkpoint({mode})")
    _, logged, copied = cursor.fetchone()
    return logged, copied
