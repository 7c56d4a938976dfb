"""The fixtures every suite shares. Databases are real: no test replaces one."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import (
    Postgres,
    PostgresServer,
    PostgresUnavailableError,
    open_postgres,
    start_postgres,
    temporary_directory,
)
from tests.prove import plugin
from tests.prove.plugin import own_engine as own_engine
from tests.prove.plugin import proof as proof

# Before anything imports grpc, which reads it then.  Starting PostgreSQL as another user forks, and
# gRPC's fork handlers wake threads in the child that can crash it before PostgreSQL begins (seen
# with grpcio 1.85.1).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-goldens",
        action="store_true",
        help="write tests/compat/*/goldens anew from what is answered now",
    )
    plugin.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    plugin.configure(config)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """One PostgreSQL for the whole run, the one that was given if any. Without one the tests fail:
    both engines are promised."""
    unavailable: str | None = None
    try:
        with open_postgres(request.config.getoption("--database-url")) as server:
            yield server
    except PostgresUnavailableError as error:
        unavailable = str(error)
    if unavailable is not None:
        # Outside the handler, so that the report is this one sentence.
        pytest.fail(unavailable, pytrace=False)


@pytest.fixture
def durable_postgres(own_engine: None) -> Iterator[PostgresServer]:
    """A server for this test alone, which may kill it: what it committed is on the disk."""
    with temporary_directory() as directory:
        server = start_postgres(directory, durable=True)
        try:
            yield server
        finally:
            server.stop(immediate=True)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'giftcard.sqlite3'}"


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        given = metafunc.config.getoption("--database-url")
        engines = ["postgresql"] if given else ["sqlite", "postgresql"]
        metafunc.parametrize("database_url", engines, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once on each engine; or in the server that was given."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
