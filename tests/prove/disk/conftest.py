"""What the suites about disks share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prove.disk.workers import Stage, Workers


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Where stories happen and processes die; files of what worked are removed."""
    folder: Path = tmp_path_factory.mktemp("stories")
    workers = Workers(folder / "worker.log")
    try:
        yield Stage(workers, folder)
    finally:
        workers.close()
