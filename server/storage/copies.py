"""Whole databases into files and back, each as it was at one instant, while a server writes on.

SQLite: the backup API, from a read-only connection.  Another process may have the file open: a
reader that neither writes nor checkpoints does not break the rule of the one writer; it only keeps
the log from starting anew meanwhile.  PostgreSQL: its own pg_dump and pg_restore.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
import pysqlite3
from sqlalchemy import Connection, inspect, select
from sqlalchemy.engine import URL

from server.storage import schema
from server.storage.database import Database, lock_file, normalize_url

#: Told (done, in all) now and then.
Progress = Callable[[int, int], None]

_PAGES_AT_ONCE: Final = 2048
_DEBIAN: Final = Path("/usr/lib/postgresql")
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")


class CopyError(Exception):
    """The copy was not made, or not loaded; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SealedSample:
    """One code as it is stored under one version of the keys."""

    key_version: int
    merchant_id: str
    book: int
    code_hash: bytes
    ciphertext: bytes


def engine_of(url: str) -> str:
    """ "sqlite" or "postgresql".  Raises UnsafeDatabaseError."""
    return normalize_url(url).get_backend_name()


# What a copy says of itself


def feeds(connection: Connection) -> list[dict[str, Any]]:
    """How far each feed goes: with the hash, that tells one prefix of history from any other."""
    head = schema.feed_head.c
    query = select(head.merchant_id, head.book, head.cell, head.head, head.hash, head.commit_time)
    rows = connection.execute(query.order_by(head.merchant_id, head.book, head.cell)).mappings()
    return [dict(row) for row in rows]


def history_id(connection: Connection) -> str:
    found: str = connection.execute(select(schema.history.c.id)).scalar_one()
    return found


def sealed_samples(connection: Connection) -> list[SealedSample]:
    """A code for each version of the keys that any code is stored under."""
    code = schema.code.c
    versions = connection.execute(select(code.key_version).distinct()).scalars().all()
    query = select(code.key_version, code.merchant_id, code.book, code.code_hash, code.ciphertext)
    return [
        SealedSample(*connection.execute(query.where(code.key_version == version).limit(1)).one())
        for version in sorted(versions)
    ]


def is_empty(database: Database) -> bool:
    """Whether the database has none of our tables yet."""
    with database.connect_reader() as connection:
        names = set(inspect(connection).get_table_names())
    return not names & {"alembic_version", *schema.metadata.tables}


# SQLite


def copy_sqlite(url: str, target: Path, progress: Progress) -> None:
    """Copies the database into a new file.  Raises CopyError."""
    path = _sqlite_file(url)
    if not path.exists():
        raise CopyError(f"There is no database {path}.")
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    with (
        closing(pysqlite3.connect(address, uri=True, isolation_level=None)) as source,
        closing(pysqlite3.connect(target, isolation_level=None)) as copy,
    ):
        source.execute("PRAGMA trusted_schema = 0")
        # From here on the copy's instant: a snapshot that spans all steps, whatever is written.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        # Synced as a whole at the end, and worth nothing before.
        copy.execute("PRAGMA synchronous = OFF")

        def tell(status: int, remaining: int, total: int) -> None:
            progress(total - remaining, total)

        source.backup(copy, pages=_PAGES_AT_ONCE, progress=tell)
        check_sqlite(copy)


def check_sqlite(connection: Any) -> None:
    """SQLite's own check of every page and index.  Raises CopyError."""
    found = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise CopyError(f"SQLite finds the copy damaged: {found}")


@contextmanager
def replaced_sqlite(url: str, *, force: bool) -> Iterator[Path]:
    """Yields a new file beside the database, which takes its place when the block succeeds.

    What stood there is kept under another name, its log with it.  Nobody else has the database
    open meanwhile: the lock that a server holds is held here.  Raises CopyError.
    """
    path = _sqlite_file(url).resolve()
    lock = lock_file(path)
    try:
        if path.stat().st_size and not force:
            raise CopyError(
                f"{path} is there already. Name another one in GIFTCARD_DATABASE_URL, or use"
                " --force: what is there is then kept beside it under another name."
            )
        with _draft_beside(path) as draft:
            yield draft
            sync(draft)
            _put_aside(path)
            draft.replace(path)
            sync(path.parent)
    finally:
        # Taking the lock made an empty file; a server must not take that for a new database.
        if path.exists() and not path.stat().st_size:
            path.unlink()
        os.close(lock)


@contextmanager
def _draft_beside(path: Path) -> Iterator[Path]:
    """In a folder of a name of its own, so that what a killed restore left is found and removed."""
    folder = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder / "restored.db"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_aside(path: Path) -> None:
    """Leaves nothing under the name: neither a database nor a log that another one would take for
    its own.

    At every moment what stood there is whole under one of two names, its log with it.
    """
    number = 1
    while any(_beside(path, number, suffix).exists() for suffix in ("", *_SIDE_FILES)):
        number += 1
    logs = [suffix for suffix in _SIDE_FILES if _beside(path, 0, suffix).exists()]
    if path.stat().st_size:
        for suffix in logs:
            copy = _beside(path, number, suffix)
            shutil.copyfile(_beside(path, 0, suffix), copy)
            copy.chmod(0o600)
            sync(copy)
        path.replace(_beside(path, number, ""))
        sync(path.parent)
    for suffix in logs:
        log = _beside(path, 0, suffix)
        copied = _beside(path, number, suffix).exists()
        log.unlink() if copied else log.replace(_beside(path, number, suffix))
    sync(path.parent)


def _beside(path: Path, number: int, suffix: str) -> Path:
    """A file of the database, or of the one that was put aside under this number."""
    aside = f".replaced-{number}" if number else ""
    return path.with_name(f"{path.name}{aside}{suffix}")


def _sqlite_file(url: str) -> Path:
    return Path(normalize_url(url).database or "")


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# PostgreSQL


def export_snapshot(connection: Connection) -> str:
    """Names what this transaction sees, so that pg_dump sees the same."""
    name: str = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
    return name


def dump_postgresql(url: str, target: Path, snapshot: str, progress: Progress) -> None:
    """Writes an archive of the database as of `snapshot`.  Raises CopyError."""
    arguments = ["--format=custom", f"--snapshot={snapshot}", f"--file={target}"]
    arguments += ["--no-owner", "--no-privileges"]
    _run_client("pg_dump", arguments, url, "dumping contents of table", progress)
    _run_client("pg_restore", ["--list", str(target)], None, "", progress)


def load_postgresql(url: str, archive: Path, progress: Progress, *, force: bool) -> None:
    """Loads an archive in one transaction: all of it or nothing.  Raises CopyError."""
    arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    arguments += ["--clean", "--if-exists"] if force else []
    arguments.append(str(archive))
    _run_client("pg_restore", arguments, url, "processing data for table", progress)


def others_connected(database: Database) -> int:
    """Connections of servers to this PostgreSQL database."""
    with database.connect_reader() as connection:
        count: int = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'giftcard' AND pid <> pg_backend_pid()"
        ).scalar_one()
    return count


def _run_client(
    name: str, arguments: Sequence[str], url: str | None, said_once: str, progress: Progress
) -> None:
    """Runs one of PostgreSQL's programs; `said_once` is what it says of each table."""
    program, environment = _program(name), dict(os.environ)
    command = [program]
    if url is not None:
        address, secrets = _address(normalize_url(url))
        environment |= secrets
        command += ["--verbose", f"--dbname={address}"]
    tables, done, last = len(schema.metadata.tables), 0, ""
    process = subprocess.Popen(  # noqa: S603 - PostgreSQL's own program, and our arguments
        [*command, *arguments], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if said_once and said_once in line:
                done = min(done + 1, tables)
                progress(done, tables)
            elif "error:" in line or "FATAL" in line:
                last = last or line.strip()
    if process.wait() != 0:
        raise CopyError(f"{name} failed: {last or f'exit status {process.returncode}'}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is not None:
        return found
    versions = [path for path in _DEBIAN.glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
    if not versions:
        raise CopyError(
            f"There is no {name} on PATH. Install PostgreSQL's client programs, of the server's"
            " version or newer."
        )
    return str(max(versions, key=lambda path: int(path.parts[-3])))


def _address(url: URL) -> tuple[str, dict[str, str]]:
    """How libpq finds the database; a password never stands among the arguments."""
    options = {name: str(value) for name, value in url.query.items()}
    secrets = {}
    password = url.password or options.pop("password", None)
    if password is not None:
        secrets["PGPASSWORD"] = str(password)
    parts = {
        "host": url.host, "port": url.port, "user": url.username, "dbname": url.database,
    }  # fmt: skip
    named = {name: value for name, value in parts.items() if value is not None}
    return psycopg.conninfo.make_conninfo("", **{**named, **options}), secrets
