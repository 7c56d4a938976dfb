"""The stages that the tests of the edge share, one for each engine."""

import uuid
from collections.abc import Iterator

import pytest

from tests.postgres import Postgres
from tests.rpc.edge_stage import Stage, running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """On SQLite."""
    directory = tmp_path_factory.mktemp("edge")
    with running(f"sqlite:///{directory / 'giftcard.db'}", directory) as stage:
        yield stage


@pytest.fixture(scope="module")
def edge_on_postgresql(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("edge")
    name = f"edge_{uuid.uuid4().hex}"
    with running(postgres.create_database(name), directory) as stage:
        yield stage
    postgres.drop_database(name)


@pytest.fixture(scope="module", params=["edge", "edge_on_postgresql"])
def both(request: pytest.FixtureRequest) -> Stage:
    """Once on each engine."""
    stage: Stage = request.getfixturevalue(request.param)
    return stage
