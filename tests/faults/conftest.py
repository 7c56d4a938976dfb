"""Servers for the fault suites."""

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest
from sqlalchemy.engine import make_url

from tests.faults.planted import CLOCK
from tests.grpc_server import GrpcServer
from tests.postgres import Postgres, start_postgres, temporary_directory
from tests.prove.proof import Proof


class MakeServer(Protocol):
    def __call__(
        self,
        *plants: str,
        environment: Mapping[str, str] = ...,
    ) -> GrpcServer: ...


class Clock:
    """How far the server's clock is ahead of the real one: it only goes forward."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ahead_seconds = 0
        path.write_bytes(bytes(8))

    def advance(self, seconds: int) -> None:
        self._ahead_seconds += seconds
        with self.path.open("r+b") as file:
            file.write((self._ahead_seconds * 1_000_000).to_bytes(8, "little"))


@pytest.fixture
def make_server(database_url: str, tmp_path: Path) -> Iterator[MakeServer]:
    """Makes servers over the test's database, with faults or bugs planted; ends them all."""
    with ExitStack() as stack:

        def make(*plants: str, environment: Mapping[str, str] = MappingProxyType({})) -> GrpcServer:
            module: Sequence[str] = ("server",)
            if plants:
                module = ("tests.faults.planted", *plants)
            server = GrpcServer(database_url, tmp_path, module=module, environment=environment)
            return stack.enter_context(server)

        yield make


@pytest.fixture
def server(make_server: MakeServer) -> GrpcServer:
    """A running server."""
    server = make_server()
    server.start()
    return server


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def clocked_server(make_server: MakeServer, clock: Clock) -> GrpcServer:
    server = make_server("clock", environment={CLOCK: str(clock.path)})
    server.start()
    return server


@pytest.fixture
def dice(request: pytest.FixtureRequest, proof: Proof) -> random.Random:
    """Chance that a failed run can have again, by the run's seed."""
    return proof.random(request.node.name)


@pytest.fixture(scope="session")
def faults_postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """One PostgreSQL that waits for the disk, for tests that kill its clients."""
    given = request.config.getoption("--database-url")
    if given:
        yield Postgres(make_url(given))
        return
    with temporary_directory() as directory:
        server = start_postgres(directory, durable=True)
        try:
            yield server
        finally:
            server.stop(immediate=True)


@pytest.fixture
def postgresql_url(faults_postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that keeps what it committed."""
    name = f"faults_{uuid.uuid4().hex}"
    yield faults_postgres.create_database(name)
    faults_postgres.drop_database(name)
