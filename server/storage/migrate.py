"""Brings a database to the schema of this release, and refuses to work on any other.

A new revision, after a change to `schema`:  `python -m server.storage.migrate "what changes"`.
Until the first release the first revision is made anew instead: delete it and run the same.
`tests/storage/test_migrate.py` fails while the two differ.
"""

import functools
import sys
import tempfile
import time
import uuid
from importlib import resources
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, insert, select

from server.storage import schema
from server.storage.database import Database

#: Any number will do, as long as every release uses the same one.
_ADVISORY_LOCK: Final = 7_239_148_113
#: A worker waits this long for another one that migrates at the same time.
_WAIT_MILLISECONDS: Final = 300_000


class SchemaError(Exception):
    """The database has another schema than this release; the message says what to do."""


def upgrade(database: Database) -> None:
    """Brings the database to the newest schema.  Repeating it changes nothing.

    All steps happen in one transaction, so that a failure leaves the schema as it was.
    """
    with database.writer.begin() as connection:
        _take_turns(connection)
        _require_known(_revision(connection))
        command.upgrade(_config(connection), "head")
        _name_history(connection)


def downgrade(database: Database, revision: str = "base") -> None:
    """Goes back to an older schema, "base" being none at all.  The data is lost."""
    with database.writer.begin() as connection:
        _take_turns(connection)
        command.downgrade(_config(connection), revision)
        if revision == "base":
            connection.exec_driver_sql("DROP TABLE alembic_version")


def current_revision(database: Database) -> str | None:
    """The revision that the database has, or None when it was never migrated."""
    with database.connect_reader() as connection:
        return _revision(connection)


def has_current_schema(connection: Connection) -> bool:
    """Whether a database that was migrated once still has the schema of this release."""
    return _revision(connection) == head_revision()


@functools.cache
def head_revision() -> str:
    """The revision that this release works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise AssertionError("there is no revision")
    return head


def require_current(database: Database) -> None:
    """Raises `SchemaError` unless the database has exactly the schema of this release."""
    revision = current_revision(database)
    if revision == head_revision():
        return
    _require_known(revision)
    found = "has no tables yet" if revision is None else f"has the older schema {revision}"
    raise SchemaError(f"The database {found}. Back it up, then run giftcard migrate.")


def _require_known(revision: str | None) -> None:
    if revision is None:
        return
    try:
        ScriptDirectory.from_config(_config()).get_revision(revision)
    except CommandError as error:
        raise SchemaError(
            f"The database has the schema {revision}, which this release does not know: a newer"
            " release made it. Run that release."
        ) from error


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    folder = resources.files("server.storage").joinpath("migrations")
    # A % in the path of the installation would be taken for the start of a variable.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _take_turns(connection: Connection) -> None:
    """Lets one process migrate at a time.  On SQLite there is but one process."""
    if connection.dialect.name != "postgresql":
        return
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_WAIT_MILLISECONDS}")
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def _name_history(connection: Connection) -> None:
    """Gives a new database the id by which its feeds are told from those of any other."""
    if connection.execute(select(schema.history.c.id)).first() is None:
        row = {"id": uuid.uuid4().hex, "create_time": time.time_ns() // 1000}
        connection.execute(insert(schema.history).values(row))


def write_revision(message: str) -> str:
    """Writes the revision that leads from the newest one to `schema`; returns its path.

    For developers.  Read it, mend what a comparison cannot know, and run `make fix`.
    """
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/scratch.db")
        try:
            with database.writer.begin() as connection:
                config = _config(connection)
                command.upgrade(config, "head")
                script = command.revision(
                    config, message, autogenerate=True, rev_id=_next_revision()
                )
        finally:
            database.close()
    if script is None or isinstance(script, list):
        raise AssertionError("exactly one revision was asked for")
    path = Path(script.path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ###" not in line), encoding="utf-8")
    return script.path


def _next_revision() -> str:
    revisions = list(ScriptDirectory.from_config(_config()).walk_revisions())
    return f"{len(revisions) + 1:04d}"


if __name__ == "__main__":
    sys.stdout.write(write_revision(" ".join(sys.argv[1:])) + "\n")
