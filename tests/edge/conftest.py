"""One edge for all tests that do not change it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.envoy import UNLIMITED, Edge


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Service, shim and Envoy with demo data, without limits on how much is asked."""
    directory: Path = tmp_path_factory.mktemp("edge")
    with Edge(directory, changes=UNLIMITED) as running:
        running.start()
        yield running
        assert running.stop() == 0
