"""Whether the database can be worked with just now, asked cheaply and again and again.

Nothing is written: a probe that waits for the disk would take its time from those who pay.
"""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from server.storage import migrate
from server.storage.database import Connection, Database

logger = logging.getLogger("giftcard.probe")

#: False on a standby, and on a primary that an operator or a full disk has made read-only.
_WRITABLE: Final = (
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
)


class Findings(NamedTuple):
    """What a probe has found; `disk_free_bytes` only where the database is a file of ours."""

    writable: bool
    schema_current: bool
    disk_free_bytes: int | None = None


class Probe:
    """Owns a connection.  One use at a time: the caller sees to that."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._path = Path(database.url.database or "") if database.is_sqlite else None
        self._connection: Connection | None = None

    def look(self) -> Findings:
        """Never raises; on PostgreSQL it may take as long as the network does."""
        try:
            if self._path is None:
                return self._look_at_server()
            return self._look_at_file(self._path)
        except Exception:
            logger.exception("the database does not answer")
            self.close()
            return Findings(writable=False, schema_current=False)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                logger.exception("closing a probing connection failed")

    def _look_at_server(self) -> Findings:
        if self._connection is None:
            self._connection = self._database.connect_writer()
        writable = bool(self._connection.exec_driver_sql(_WRITABLE).scalar_one())
        return Findings(writable, self._is_current(self._connection))

    def _look_at_file(self, path: Path) -> Findings:
        if self._connection is None:
            self._connection = self._database.connect_reader()
        # A file that was moved away is still readable, and its writes go where nobody looks.
        disk = os.statvfs(path)
        writable = os.access(path, os.W_OK) and not disk.f_flag & os.ST_RDONLY
        return Findings(writable, self._is_current(self._connection), _free(path.parent))

    def _is_current(self, connection: Connection) -> bool:
        current = migrate.has_current_schema(connection)
        connection.rollback()
        return current


def file_sizes(database: Database) -> dict[str, Callable[[], int]]:
    """What tells the bytes of each of SQLite's files and what is free beside them; else nothing."""
    if not database.is_sqlite:
        return {}
    path = database.url.database or ""
    return {
        "main": partial(_size, path),
        "wal": partial(_size, f"{path}-wal"),
        "disk_free": partial(_free, Path(path).parent),
    }


def _free(directory: Path) -> int:
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
