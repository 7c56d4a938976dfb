import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, select, text

from server.storage import migrate, schema
from server.storage.database import Database
from tests.postgres import Postgres

_RECIPE = "schema.py has no migration yet: see the docstring of server/storage/migrate.py"


def _sqlite_objects(database: Database) -> dict[str, list[str]]:
    """Each table and index with the lines of its definition, in no particular order."""
    with database.connect_reader() as connection:
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE name <> 'alembic_version'")
        ).all()
    return {
        name: sorted(line.strip().rstrip(",") for line in (sql or "").splitlines() if line.strip())
        for name, sql in rows
        if "alembic_version" not in name
    }


def _postgresql_objects(database: Database) -> set[tuple[str, ...]]:
    """Columns with collation and default, constraints and indexes as the server words them."""
    columns = """
        SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, ''),
               coalesce(collation_name, '')
        FROM information_schema.columns WHERE table_schema = 'public'
    """
    constraints = """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    """
    indexes = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    with database.connect_reader() as connection:
        return {
            tuple(str(value) for value in row)
            for query in (columns, constraints, indexes)
            for row in connection.exec_driver_sql(query)
            if row[0] != "alembic_version"
        }


def _from_metadata(url: str) -> Database:
    database = Database(url)
    with database.writer.begin() as connection:
        schema.metadata.create_all(connection)
    return database


def test_no_difference_is_left_to_alembic(database: Database) -> None:
    with database.connect_reader() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, schema.metadata) == [], _RECIPE


def test_sqlite_tables_are_those_of_the_schema(sqlite_url: str, tmp_path: Path) -> None:
    migrated = Database(sqlite_url)
    migrate.upgrade(migrated)
    created = _from_metadata(f"sqlite:///{tmp_path / 'created.db'}")
    objects = _sqlite_objects(migrated)
    assert objects == _sqlite_objects(created), _RECIPE
    assert objects.keys() >= schema.metadata.tables.keys()
    tables = [objects[name] for name in schema.metadata.tables]
    assert all(re.search(r"\bSTRICT\b", " ".join(lines)) for lines in tables)
    assert any("WITHOUT ROWID" in " ".join(lines) for lines in tables)
    migrated.close()
    created.close()


def test_postgresql_tables_are_those_of_the_schema(postgresql_url: str, postgres: Postgres) -> None:
    migrated = Database(postgresql_url)
    migrate.upgrade(migrated)
    name = f"{migrated.url.database}_created"
    try:
        created = _from_metadata(postgres.create_database(name))
        assert _postgresql_objects(migrated) == _postgresql_objects(created), _RECIPE
        created.close()
    finally:
        postgres.drop_database(name)
    migrated.close()


def test_upgrade_may_be_repeated_and_keeps_the_history(database: Database) -> None:
    with database.connect_reader() as connection:
        before = connection.execute(select(schema.history)).all()
    migrate.upgrade(database)
    with database.connect_reader() as connection:
        assert connection.execute(select(schema.history)).all() == before
    assert len(before) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", before[0].id)
    assert before[0].create_time > 0


def test_up_down_up_with_data(database: Database) -> None:
    merchant = {
        "id": "m1", "home_cell": 1, "cells": 1, "time_zone": "UTC", "state": 1,
        "create_time": 1, "update_time": 1,
    }  # fmt: skip
    with database.writer.begin() as connection:
        connection.execute(insert(schema.merchant).values(merchant))
        first = connection.execute(select(schema.history.c.id)).scalar_one()
    migrate.downgrade(database)
    with database.connect_reader() as connection:
        assert inspect(connection).get_table_names() == []
    assert migrate.current_revision(database) is None
    migrate.upgrade(database)
    with database.connect_reader() as connection:
        assert connection.execute(select(schema.merchant)).all() == []
        # A database whose rows are gone must not be taken for the old one by who reads its feed.
        assert connection.execute(select(schema.history.c.id)).scalar_one() != first
    migrate.require_current(database)


def test_a_failed_step_leaves_nothing_behind(
    empty_database: Database,
) -> None:
    with empty_database.writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE posting (n integer)")
    with pytest.raises(Exception, match="posting"):
        migrate.upgrade(empty_database)
    with empty_database.connect_reader() as connection:
        assert inspect(connection).get_table_names() == ["posting"]


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        (None, "no tables yet.*run giftcard migrate"),
        ("0000", "does not know.*newer release"),
    ],
    ids=["empty", "unknown"],
)
def test_another_schema_is_refused(
    empty_database: Database, revision: str | None, message: str
) -> None:
    if revision is not None:
        with empty_database.writer.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32))")
            connection.execute(
                text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision}
            )
        with pytest.raises(migrate.SchemaError, match=message):
            migrate.upgrade(empty_database)
    with pytest.raises(migrate.SchemaError, match=message):
        migrate.require_current(empty_database)


def test_the_newest_schema_is_accepted(database: Database) -> None:
    assert migrate.current_revision(database) == migrate.head_revision()
    migrate.require_current(database)


def test_two_workers_may_start_at_once(postgresql_url: str) -> None:
    databases = [Database(postgresql_url) for _ in range(4)]
    start = threading.Barrier(len(databases))
    errors: list[BaseException] = []

    def work(database: Database) -> None:
        start.wait()
        try:
            migrate.upgrade(database)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with databases[0].connect_reader() as connection:
        assert len(connection.execute(select(schema.history)).all()) == 1
    for database in databases:
        database.close()


def test_it_is_found_from_any_directory(tmp_path: Path) -> None:
    """Alembic must not look for its files where the process happens to stand."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from server.storage import migrate\n"
        "from server.storage.database import Database\n"
        "database = Database('sqlite:///here.db')\n"
        "migrate.upgrade(database)\n"
        "print(migrate.current_revision(database))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == migrate.head_revision()
    assert (tmp_path / "here.db").exists()
