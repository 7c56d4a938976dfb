"""Opening the database, and refusing one on which money would not be safe.

The one narrow place that knows which engine runs.  SQLite: one process (an OS lock), one writing
connection, WAL, synchronous=FULL, a library without the WAL-reset bug, readers that cannot write.
PostgreSQL: READ COMMITTED, bounded waits, and a COMMIT that answers with a warning counts as
unknown.  The reasons are in DECISIONS.
"""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import Any, Final

import psycopg
import pysqlite3
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, PoolProxiedConnection

_WRITER_PRAGMAS: Final = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "busy_timeout": 5000,
    # 256 MiB.  Far behind the checkpointer, which copies the log beside the writer.
    "wal_autocheckpoint": 65536,
}
_CHECKPOINTER_PRAGMAS: Final = {
    "synchronous": 2,
    "wal_autocheckpoint": 0,
    "trusted_schema": 0,
    "cell_size_check": 1,
}
_READER_PRAGMAS: Final = {
    "query_only": 1,
    "wal_autocheckpoint": 0,
    "trusted_schema": 0,
    "busy_timeout": 5000,
}
_CACHE_KIBIBYTES: Final = 64 * 1024

_COMMON_OPTIONS: Final = (
    "-c lock_timeout=2000 -c statement_timeout=5000 -c jit=off"
    " -c idle_in_transaction_session_timeout=10000"
)
_WRITER_OPTIONS: Final = rf"{_COMMON_OPTIONS} -c default_transaction_isolation=read\ committed"
_READER_OPTIONS: Final = (
    rf"{_COMMON_OPTIONS} -c default_transaction_isolation=repeatable\ read"
    " -c default_transaction_read_only=on"
)


# Set-wise statements raise the driver's errors, the others SQLAlchemy's.
_INTEGRITY_ERRORS: Final = (IntegrityError, pysqlite3.IntegrityError, psycopg.IntegrityError)
_UNREACHABLE_ERRORS: Final = (
    OperationalError,
    pysqlite3.OperationalError,
    psycopg.OperationalError,
)
#: Serialization, deadlock, lock time-out; shutdown, crash and start of the server, a session that
#: was idle for too long.  The connection went where there is no state, or one of class 08.
_LOST_RACE_STATES: Final = frozenset({
    "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25P03",
})  # fmt: skip

__all__ = [
    "Connection",
    "Database",
    "UnknownOutcomeError",
    "UnsafeDatabaseError",
    "break_off",
    "commit",
    "driver_cursor",
    "is_broken",
    "is_duplicate",
    "is_lock_timeout",
    "is_lost_race",
    "is_unreachable",
    "lock_file",
    "normalize_url",
    "sqlite_is_safe",
]


class UnsafeDatabaseError(Exception):
    """The server refuses to keep money here; the message says why and what to do."""


class UnknownOutcomeError(Exception):
    """COMMIT neither clearly succeeded nor clearly failed."""


class Database:
    """Two engines on one database: `writer` for the ledger's one thread, `reader` for the rest."""

    def __init__(self, url: str, *, production: bool = False) -> None:
        self.url = normalize_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        #: How often the writer lost its server: who reads asks then where the primary is now.
        self.losses = 0
        self._lock: int | None = None
        if self.is_sqlite:
            _require_safe_sqlite()
            self._lock = lock_file(Path(self.url.database or ""))
            self.writer = _sqlite_engine(self.url, _WRITER_PRAGMAS)
            self.reader = _sqlite_engine(self.url, _READER_PRAGMAS)
        else:
            self.writer = _postgresql_engine(self.url, _WRITER_OPTIONS)
            self.reader = _postgresql_engine(_for_readers(self.url), _READER_OPTIONS)
            if production:
                self._require_durable_postgresql()

    def connect_writer(self) -> Connection:
        """A connection whose notices are kept in `info["notices"]` (PostgreSQL)."""
        return self.writer.connect()

    def connect_reader(self) -> Connection:
        """A transaction on it is one snapshot: a card and its accounts are never torn apart."""
        return self.reader.connect()

    def connect_checkpointer(self) -> PoolProxiedConnection:
        """The driver's own connection, outside any transaction: SQLite only."""
        return _sqlite_engine(self.url, _CHECKPOINTER_PRAGMAS).raw_connection()

    def close(self) -> None:
        self.writer.dispose()
        self.reader.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _require_durable_postgresql(self) -> None:
        with self.reader.connect() as connection:
            for name, unsafe in (
                ("fsync", {"off"}),
                ("full_page_writes", {"off"}),
                ("synchronous_commit", {"off", "local"}),
            ):
                value = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                if value in unsafe:
                    raise UnsafeDatabaseError(
                        f"PostgreSQL runs with {name}={value}: an acknowledged payment could be"
                        f" lost. Set {name} to on, or leave the production profile."
                    )


def normalize_url(url: str) -> URL:
    """The address with its driver.  Raises UnsafeDatabaseError for what is not supported."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Its text may hold a password, so neither it nor what the parser says of it is repeated.
        raise UnsafeDatabaseError(
            "GIFTCARD_DATABASE_URL is no address of a database. Use sqlite:///FILE or"
            " postgresql://…"
        ) from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise UnsafeDatabaseError(
                "A database in memory keeps nothing. Name a file: sqlite:///var/giftcard.db"
            )
        return parsed.set(drivername="sqlite+pysqlite")
    raise UnsafeDatabaseError(
        f"{parsed.get_backend_name()} is not supported. Use sqlite:///FILE or postgresql://…"
    )


def _for_readers(url: URL) -> URL:
    """Readers want the primary as well, and cannot ask for it by "read-write": they never write."""
    if url.query.get("target_session_attrs") != "read-write":
        return url
    return url.update_query_dict({"target_session_attrs": "primary"})


def sqlite_is_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug (https://sqlite.org/wal.html)."""
    return (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def _require_safe_sqlite(version: tuple[int, ...] = pysqlite3.sqlite_version_info) -> None:
    if not sqlite_is_safe(version):
        raise UnsafeDatabaseError(
            f"SQLite {'.'.join(map(str, version))} can corrupt a WAL database."
            " Install pysqlite3 0.6.1 or newer."
        )


def lock_file(path: Path) -> int:
    """Holds an OS lock beside the database: a second server process must not start.

    Beside the file itself, whatever link it was reached by: one file, one lock.
    """
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{real}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UnsafeDatabaseError(
            f"Another process has {path} open. Stop it first, or talk to it with --server."
        ) from error
    # A new database is its owner's alone; SQLite gives its log and index the same mode.
    os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return descriptor


def _sqlite_engine(url: URL, pragmas: dict[str, Any]) -> Engine:
    engine = create_engine(
        url,
        module=pysqlite3,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "cached_statements": 1024},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, record: Any) -> None:
        # The driver's own BEGIN is deferred; ours below is immediate.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        _require_sqlite_file(cursor)
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
            found = cursor.execute(f"PRAGMA {name}").fetchone()[0]
            if found != value:
                raise UnsafeDatabaseError(
                    f"SQLite did not accept {name}={value} (it says {found}):"
                    " is the file on a network file system?"
                )
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        immediate = "foreign_keys" in pragmas
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _require_sqlite_file(cursor: Any) -> None:
    try:
        cursor.execute("PRAGMA schema_version")  # reads the file's first page
    except pysqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_NOTADB":
            raise
        raise UnsafeDatabaseError(
            "The file that GIFTCARD_DATABASE_URL names is no SQLite database."
        ) from error


def _postgresql_engine(url: URL, options: str) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "options": options,
            "application_name": "giftcard",
            "prepare_threshold": 2,
            "connect_timeout": 5,
        },
    )

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, record: Any) -> None:
        notices: list[str] = []
        record.info["notices"] = notices

        def _on_notice(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.severity_nonlocalized == "WARNING":
                notices.append(diagnostic.message_primary or "")

        dbapi_connection.add_notice_handler(_on_notice)
        # By default the driver picks int2, int4 or int8 by the value, and each mixture would be
        # prepared anew.
        dbapi_connection.adapters.register_dumper(int, Int8Dumper)
        dbapi_connection.prepared_max = 512

    return engine


def driver_cursor(connection: Connection) -> Any:
    """The driver's own cursor on this connection.

    PostgreSQL's takes the server's placeholders as they are: the driver would otherwise search
    each text for its own, and texts for many rows are too long for its cache.
    """
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.dbapi_connection
        return psycopg.RawCursor(driver)
    return connection.connection.cursor()


def is_broken(connection: Connection) -> bool:
    """Whether the connection can no longer be used."""
    if connection.closed or connection.invalidated:
        return True
    return bool(getattr(connection.connection.dbapi_connection, "closed", False))


def break_off(connection: Connection) -> None:
    """From any thread: whoever waits for the server's answer on this connection gets an error.

    A server that stopped, or a network that swallows everything, would be waited for without end.
    Nothing is cancelled: what the server was told to do it may still do.
    """
    if connection.dialect.name != "postgresql" or connection.closed or connection.invalidated:
        return
    # Its own thread may end the connection at any moment: then there is nobody to wake any more.
    with contextlib.suppress(SQLAlchemyError, psycopg.Error, OSError):
        driver: Any = connection.connection.dbapi_connection
        if driver is not None:
            with socket.socket(fileno=os.dup(driver.pgconn.socket)) as wire:
                wire.shutdown(socket.SHUT_RDWR)


class LostRaceError(Exception):
    """A statement met no row, since another process had changed it meanwhile."""


def is_duplicate(error: Exception) -> bool:
    """A unique key or another wall of the schema stood in the way."""
    return isinstance(error, _INTEGRITY_ERRORS)


def is_lost_race(error: Exception) -> bool:
    """Another process won a key, a lock or a serialization, or the connection was lost: surely
    not committed, and the same command may find another world when it is tried again."""
    if is_duplicate(error) or isinstance(error, LostRaceError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate in _LOST_RACE_STATES or error.sqlstate.startswith("08")


def is_lock_timeout(error: Exception) -> bool:
    """Another transaction that had not ended kept a row or a key for too long."""
    return isinstance(getattr(error, "orig", error), psycopg.errors.LockNotAvailable)


def is_unreachable(error: Exception) -> bool:
    """The database could not be asked; waiting may help."""
    return isinstance(error, _UNREACHABLE_ERRORS)


def commit(connection: Connection) -> None:
    """Commits.  Raises UnknownOutcomeError for any error and for any warning.

    An error from COMMIT does not mean "not committed": the write may have reached the disk, or
    the primary without its standby.  And success does not mean "committed" where there was no
    sound transaction: PostgreSQL ends a spoiled one with ROLLBACK, a driver without one does
    nothing, and neither complains.
    """
    try:
        notices = connection.info.get("notices")
        if notices is not None:
            notices.clear()
        sound = _has_sound_transaction(connection)
        if sound:
            connection.commit()
    except Exception as error:
        raise UnknownOutcomeError("COMMIT failed") from error
    if not sound:
        raise UnknownOutcomeError("there was no transaction to commit")
    if notices:
        raise UnknownOutcomeError("COMMIT answered with a warning")


def _has_sound_transaction(connection: Connection) -> bool:
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "postgresql":
        open_ = driver.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    else:
        open_ = driver.in_transaction
    return connection.in_transaction() and open_
