"""One server for all tests that do it no harm."""

from collections.abc import Iterator

import pytest

from tests.faults.checks import check_books
from tests.faults.conftest import make_server as make_server
from tests.grpc_server import GrpcServer


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is shown here does not depend on the engine; what does asks for both."""
    return sqlite_url


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    """A server whose books are right at the end."""
    directory = tmp_path_factory.mktemp("server")
    with GrpcServer(f"sqlite:///{directory / 'giftcard.sqlite3'}", directory) as server:
        server.start()
        yield server
        assert server.stop() == 0
    check_books(server.database_url)
