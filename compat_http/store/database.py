"""Opening the shim's SQLite file: one process, one writing connection, durable when committed."""

import fcntl
import os
from pathlib import Path
from typing import Any, Final

import pysqlite3
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from compat_http.store.schema import VERSION, metadata

_WRITER_PRAGMAS: Final = {
    "journal_mode": "wal",
    "synchronous": 2,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "busy_timeout": 5000,
}
_READER_PRAGMAS: Final = {
    "query_only": 1,
    "wal_autocheckpoint": 0,
    "trusted_schema": 0,
    "busy_timeout": 5000,
}


class StoreError(Exception):
    """The file cannot be used; one sentence that says what to do."""


class Database:
    """The file, locked for this process, and its one writing connection."""

    def __init__(self, path: Path) -> None:
        _require_safe_sqlite()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            _create_private(path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}.") from None
        try:
            self.connection = _engine(path, _WRITER_PRAGMAS).connect()
            with self.connection.begin():
                _prepare(self.connection, path)
        except DBAPIError as error:
            os.close(self._lock)
            raise StoreError(f"{path} cannot be opened: {error.orig}.") from None
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """The lock goes last."""
        self.connection.close()
        os.close(self._lock)


def connect_reader(path: Path) -> Connection:
    """A connection that cannot write; the shim may run meanwhile, in another process.

    Raises:
        StoreError: there is no such file, or it is not the shim's.
    """
    _require_safe_sqlite()
    if not path.is_file():
        raise StoreError(f"There is no exchange log at {path}. The shim makes it when it starts.")
    try:
        connection = _engine(path, _READER_PRAGMAS).connect()
        with connection.begin():
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    except DBAPIError as error:
        raise StoreError(f"{path} cannot be opened: {error.orig}.") from None
    if found != VERSION:
        connection.close()
        raise StoreError(f"{path} is no exchange log of this release.")
    return connection


def path_of(url: str) -> Path:
    """The file that a URL names.

    Raises:
        StoreError: it names none.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite":
        raise StoreError(
            "GIFTCARD_EXCHANGE_DATABASE_URL must be a SQLite file: sqlite:///var/exchange.db"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError("A database in memory keeps nothing. Name a file: sqlite:///FILE")
    return Path(parsed.database)


def sqlite_is_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug (https://sqlite.org/wal.html)."""
    return (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def _require_safe_sqlite() -> None:
    version: tuple[int, ...] = pysqlite3.sqlite_version_info
    if not sqlite_is_safe(version):
        raise StoreError(
            f"SQLite {'.'.join(map(str, version))} can corrupt a WAL database."
            " Install pysqlite3 0.6.1 or newer."
        )


def _lock(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreError(
            f"Another shim has {path} open. Stop it first, or set GIFTCARD_EXCHANGE_DATABASE_URL"
            " to a file of its own."
        ) from None
    return descriptor


def _create_private(path: Path) -> None:
    """SQLite gives its other files the rights of this one."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        # The file's name has to outlive a power failure too.
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _prepare(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found == VERSION:
        return
    if found != 0:
        raise StoreError(f"{path} was written by another release, with schema {found}.")
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def _engine(path: Path, pragmas: dict[str, Any]) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        module=pysqlite3,
        poolclass=NullPool,
        connect_args={"check_same_thread": False},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, record: Any) -> None:
        # The driver's own BEGIN is deferred; ours below is immediate.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
            found = cursor.execute(f"PRAGMA {name}").fetchone()[0]
            if found != value:
                raise StoreError(
                    f"SQLite did not accept {name}={value} (it says {found}):"
                    " is the file on a network file system?"
                )
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = "synchronous" in pragmas
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
