import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from server.storage import database as module
from server.storage import schema
from server.storage.database import (
    Database,
    UnknownOutcomeError,
    UnsafeDatabaseError,
    break_off,
    commit,
    is_broken,
    is_lost_race,
    sqlite_is_safe,
)

_SQLITE_VERSIONS = [
    ((3, 37, 0), False),
    ((3, 44, 5), False),
    ((3, 44, 6), True),
    ((3, 44, 9), True),
    ((3, 45, 0), False),
    ((3, 49, 2), False),
    ((3, 50, 6), False),
    ((3, 50, 7), True),
    ((3, 51, 0), False),
    ((3, 51, 2), False),
    ((3, 51, 3), True),
    ((3, 52, 0), True),
    ((4, 0, 0), True),
]


@pytest.mark.parametrize(("version", "safe"), _SQLITE_VERSIONS)
def test_only_a_sqlite_that_keeps_its_log_is_used(version: tuple[int, ...], safe: bool) -> None:
    assert sqlite_is_safe(version) == safe
    if safe:
        module._require_safe_sqlite(version)
    else:
        with pytest.raises(UnsafeDatabaseError, match=r"pysqlite3 0\.6\.1"):
            module._require_safe_sqlite(version)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "in memory keeps nothing"),
        ("sqlite:///:memory:", "in memory keeps nothing"),
        ("mysql://localhost/giftcard", "mysql is not supported"),
        ("oracle://localhost/giftcard", "oracle is not supported"),
    ],
)
def test_other_databases_are_refused(url: str, message: str) -> None:
    with pytest.raises(UnsafeDatabaseError, match=message):
        Database(url)


_OPENS = """
import sys
from server.storage.database import Database, UnsafeDatabaseError
try:
    Database(sys.argv[1])
except UnsafeDatabaseError as error:
    print(error)
else:
    print("opened")
"""


def _opened_elsewhere(url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _OPENS, url], capture_output=True, text=True, check=True,
        cwd=Path(module.__file__).parents[2],
    )  # fmt: skip
    return done.stdout


def test_a_second_process_cannot_open_the_same_file(sqlite_url: str) -> None:
    first = Database(sqlite_url)
    assert "Another process has" in _opened_elsewhere(sqlite_url)
    with pytest.raises(UnsafeDatabaseError, match="Another process has"):
        Database(sqlite_url)
    first.close()
    assert _opened_elsewhere(sqlite_url).strip() == "opened"
    Database(sqlite_url).close()


def test_production_refuses_a_postgresql_that_may_forget(postgresql_url: str) -> None:
    # The tests' own server runs without fsync; a role may be set to forget as well.
    with pytest.raises(UnsafeDatabaseError, match=r"fsync=off.*Set fsync to on"):
        Database(postgresql_url, production=True)
    Database(postgresql_url).close()


_PRAGMAS = [
    ("writer", "journal_mode", "wal"),
    ("writer", "synchronous", 2),
    ("writer", "foreign_keys", 1),
    ("writer", "trusted_schema", 0),
    ("writer", "cell_size_check", 1),
    ("writer", "busy_timeout", 5000),
    ("writer", "query_only", 0),
    ("reader", "query_only", 1),
    ("reader", "wal_autocheckpoint", 0),
    ("reader", "trusted_schema", 0),
    ("reader", "busy_timeout", 5000),
]


@pytest.mark.parametrize(("engine", "name", "value"), _PRAGMAS)
def test_sqlite_pragmas_are_in_force(
    sqlite_url: str, engine: str, name: str, value: object
) -> None:
    database = Database(sqlite_url)
    connect = database.connect_writer if engine == "writer" else database.connect_reader
    for _ in range(2):
        with connect() as connection:
            assert connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() == value
    database.close()


_SETTINGS = [
    ("writer", "transaction_isolation", "read committed"),
    ("writer", "transaction_read_only", "off"),
    ("reader", "transaction_isolation", "repeatable read"),
    ("reader", "transaction_read_only", "on"),
    ("writer", "lock_timeout", "2s"),
    ("writer", "statement_timeout", "5s"),
    ("writer", "idle_in_transaction_session_timeout", "10s"),
    ("writer", "synchronous_commit", "on"),
]


@pytest.mark.parametrize(("engine", "name", "value"), _SETTINGS)
def test_postgresql_settings_are_in_force(
    postgres_on_disk: str, engine: str, name: str, value: str
) -> None:
    database = Database(postgres_on_disk)
    connect = database.connect_writer if engine == "writer" else database.connect_reader
    with connect() as connection:
        assert connection.exec_driver_sql(f"SHOW {name}").scalar_one() == value
    database.close()


@pytest.fixture
def postgres_on_disk(postgresql_url: str) -> str:
    """As an operator leaves it: our tests' own server switches off what costs time."""
    database = Database(postgresql_url)
    with database.writer.begin() as connection:
        name = database.url.database
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = on')
    database.close()
    return postgresql_url


def test_readers_cannot_write(database: Database) -> None:
    row = {"id": "x", "create_time": 1}
    with database.connect_reader() as connection, pytest.raises(DBAPIError, match=r"read.?only"):
        connection.execute(insert(schema.history).values(row))


def test_a_reader_sees_one_instant(database: Database) -> None:
    with database.connect_reader() as connection:
        count = schema.history.select()
        before = connection.execute(count).all()
        with database.writer.begin() as writer:
            writer.execute(insert(schema.history).values({"id": "x", "create_time": 1}))
        assert connection.execute(count).all() == before
        connection.rollback()
        assert len(connection.execute(count).all()) == len(before) + 1


_TRIGGER = """
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE {level} 'not so sure'; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER complain AFTER INSERT ON history
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION complain();
"""


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("EXCEPTION", "COMMIT failed"),
        ("WARNING", "COMMIT answered with a warning"),
        ("NOTICE", None),
    ],
)
def test_postgresql_commit_that_complains_is_unknown(
    postgresql_url: str, level: str, message: str | None
) -> None:
    database = Database(postgresql_url)
    with database.writer.begin() as connection:
        schema.metadata.create_all(connection)
        connection.exec_driver_sql(_TRIGGER.format(level=level))
    with database.connect_writer() as connection:
        connection.execute(insert(schema.history).values({"id": "x", "create_time": 1}))
        if message is None:
            commit(connection)
        else:
            with pytest.raises(UnknownOutcomeError, match=message):
                commit(connection)
    database.close()


def test_a_warning_before_commit_does_not_make_it_unknown(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.connect_writer() as connection:
        connection.exec_driver_sql("DO $$ BEGIN RAISE WARNING 'earlier'; END $$")
        assert connection.info["notices"] == ["earlier"]
        commit(connection)
    database.close()


def test_postgresql_that_is_gone_at_commit_is_unknown(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.connect_writer() as connection:
        identity = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with database.connect_writer() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({identity})")
        with pytest.raises(UnknownOutcomeError, match="COMMIT failed"):
            commit(connection)
    database.close()


def test_sqlite_commit_that_fails_is_unknown(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.writer.begin() as connection:
        schema.metadata.create_all(connection)
    with database.connect_writer() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = 1")
        connection.exec_driver_sql(
            "INSERT INTO hold_line VALUES ('no such hold', 'account', 1, 1, 5, 5)"
        )
        with pytest.raises(UnknownOutcomeError, match="COMMIT failed"):
            commit(connection)
    database.close()


def test_commit_makes_it_durable_for_others(database: Database) -> None:
    with database.connect_writer() as connection:
        connection.execute(insert(schema.history).values({"id": "x", "create_time": 1}))
        commit(connection)
    with database.connect_reader() as connection:
        ids = {row.id for row in connection.execute(schema.history.select())}
    assert "x" in ids


_AFTER_WHICH_TO_TRY_AGAIN = [
    ("40001", True),  # serialization
    ("40P01", True),  # deadlock
    ("55P03", True),  # lock time-out
    ("23505", True),  # unique key
    ("57P01", True),  # shutdown by the administrator
    ("57P02", True),  # another backend crashed
    ("57P03", True),  # the server is starting
    ("25P03", True),  # idle in transaction for too long
    ("08006", True),  # the connection went
    ("57014", False),  # statement time-out: the next try would take as long
    ("53100", False),  # disk full
    ("42P01", False),  # no such table: ours to mend
    ("22003", False),  # number out of range
]


@pytest.mark.parametrize(("state", "again"), _AFTER_WHICH_TO_TRY_AGAIN)
def test_what_was_surely_not_committed_is_tried_again(state: str, again: bool) -> None:
    assert is_lost_race(psycopg.errors.lookup(state)()) == again


def test_an_error_without_a_state_is_a_lost_connection_only_where_the_server_is_at_fault() -> None:
    assert is_lost_race(psycopg.OperationalError("consuming input failed"))
    assert not is_lost_race(psycopg.DataError("text cannot contain NUL"))
    assert not is_lost_race(AssertionError())


def test_a_second_process_cannot_open_the_same_file_by_another_name(
    sqlite_url: str, tmp_path: Path
) -> None:
    link = tmp_path / "link.sqlite3"
    link.symlink_to(sqlite_url.removeprefix("sqlite:///"))
    first = Database(sqlite_url)
    assert "Another process has" in _opened_elsewhere(f"sqlite:///{link}")
    first.close()


def test_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    with database.connect_writer() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER) STRICT")
        connection.commit()
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    database.close()
    assert set(modes) == {"new.db", "new.db-wal", "new.db-shm", "new.db.lock"}
    assert set(modes.values()) == {0o600}


def test_readers_find_the_primary_too(postgresql_url: str) -> None:
    """A session that cannot write would not be taken for one that is "read-write"."""
    url = make_url(postgresql_url).update_query_dict({"target_session_attrs": "read-write"})
    with closing(Database(url.render_as_string(hide_password=False))) as database:
        for connect in (database.connect_writer, database.connect_reader):
            with connect() as connection:
                assert (
                    connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one() is False
                )


def test_who_waits_for_a_server_can_be_called_back(postgresql_url: str) -> None:
    with closing(Database(postgresql_url)) as database, database.connect_writer() as connection:
        timer = threading.Timer(0.2, break_off, (connection,))
        timer.start()
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql("SELECT pg_sleep(4)")
        timer.join()
        assert isinstance(caught.value.orig, psycopg.Error)
        assert is_lost_race(caught.value.orig)
        assert is_broken(connection)
        # Of one that is over already nothing is asked.
        break_off(connection)


def test_a_commit_that_is_called_back_is_unknown(postgresql_url: str) -> None:
    with closing(Database(postgresql_url)) as database, database.connect_writer() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE one (n int)")
        break_off(connection)
        with pytest.raises(UnknownOutcomeError):
            commit(connection)


def test_a_connection_that_ends_meanwhile_is_left_alone(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own thread closes it between the look at it and the grasp for its socket."""

    def gone(_: Connection) -> None:
        raise ResourceClosedError

    with closing(Database(postgresql_url)) as database, database.connect_writer() as connection:
        monkeypatch.setattr(Connection, "connection", property(gone))
        break_off(connection)
        monkeypatch.undo()
