"""The test PostgreSQL is real, isolates databases, survives a crash and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import sqlalchemy

from tests.ports import free_port
from tests.postgres import (
    Postgres,
    PostgresServer,
    PostgresUnavailableError,
    start_postgres,
    temporary_directory,
)
from tests.postgres_programs import find_programs
from tests.processes import is_alive

# Ends as a test run does that is killed from outside: no exit hook runs.
_STARTS_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.postgres import start_postgres
server = start_postgres(Path(sys.argv[1]), durable=False)
print(server.process_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_database_url_gives_a_real_and_empty_engine(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("create table filled (n integer)"))
    engine.dispose()


def test_the_server_is_a_supported_postgresql(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        row = connection.execute(
            "select version(), current_setting('server_version_num')"
        ).fetchone()
    assert row is not None
    assert row[0].startswith("PostgreSQL ")
    assert int(row[1]) >= 150000


def test_databases_are_isolated_and_templates_are_copied(postgres: Postgres) -> None:
    names = [f"isolation_{role}_{os.getpid()}" for role in ("first", "second", "copy")]
    first, second, copy = names
    try:
        postgres.create_database(first)
        postgres.create_database(second)
        with postgres.connect(first) as connection:
            connection.execute("create table only_here (n integer)")
        postgres.create_database(copy, template=first)
        found = {}
        for name in names:
            with postgres.connect(name) as connection:
                row = connection.execute("select to_regclass('only_here') is not null").fetchone()
                found[name] = row is not None and row[0]
    finally:
        for name in names:
            postgres.drop_database(name)
    assert found == {first: True, second: False, copy: True}


def test_a_durable_server_keeps_a_committed_row_when_killed(
    durable_postgres: PostgresServer,
) -> None:
    with durable_postgres.connect() as connection:
        assert connection.execute("show fsync").fetchone() == ("on",)
        connection.execute("create table kept (n integer)")
        connection.execute("insert into kept values (7)")
    postmaster = psutil.Process(durable_postgres.process_id)
    family = [postmaster, *postmaster.children(recursive=True)]
    assert len(family) > 1

    durable_postgres.kill()
    assert [process for process in family if is_alive(process)] == []

    durable_postgres.restart()
    with durable_postgres.connect() as connection:
        assert connection.execute("select n from kept").fetchall() == [(7,)]


@pytest.mark.parametrize("immediate", [False, True])
def test_a_stopped_server_is_gone_and_starts_again(immediate: bool) -> None:
    with temporary_directory() as directory:
        server = start_postgres(directory, durable=False, settings={"max_connections": "7"})
        process = psutil.Process(server.process_id)
        server.stop(immediate=immediate)
        assert not is_alive(process)
        server.restart()
        with server.connect() as connection:
            assert connection.execute("show max_connections").fetchone() == ("7",)
        server.stop()
        server.stop()


def test_a_server_does_not_outlive_a_killed_test_run() -> None:
    with temporary_directory() as directory:
        command = [sys.executable, "-c", _STARTS_AND_IS_KILLED, str(directory)]
        # The killed run could not remove a copy of the programs, should one be needed.
        environment = {**os.environ, "TEST_POSTGRES_BIN": str(find_programs().directory)}
        run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert run.returncode == -signal.SIGKILL, run.stderr
        process_id = int(run.stdout)
        deadline = time.monotonic() + 10
        while _runs(process_id) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _runs(process_id)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "No PostgreSQL for the tests: TEST_DATABASE_URL is not set"),
        ({"TEST_POSTGRES_BIN": "/nonexistent"}, "TEST_POSTGRES_BIN=/nonexistent holds no initdb"),
    ],
)
def test_a_missing_postgresql_is_named(environment: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(PostgresUnavailableError, match=re.escape(sentence)):
        find_programs(environment, candidates=[Path("/nonexistent")])


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long a path"):
        start_postgres(tmp_path / ("x" * 100), durable=False)


def test_a_free_port_can_be_listened_on() -> None:
    assert 1024 <= free_port() <= 65535


def _runs(process_id: int) -> bool:
    try:
        return is_alive(psutil.Process(process_id))
    except psutil.NoSuchProcess:
        return False
