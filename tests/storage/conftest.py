"""Databases with our tables, on both engines: each a copy of one that was migrated once."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from server.storage import migrate
from server.storage.database import Database
from tests.postgres import Postgres

#: Fills a database once; what comes after works on copies of it.
Fill = Callable[[Database], object]
#: Gives an open copy of a filled database, on the engine named.
Copies = Callable[[str], AbstractContextManager[Database]]


@contextmanager
def _templates(fill: Fill, folder: Path, postgres: Postgres) -> Iterator[Copies]:
    made: dict[str, str] = {}

    def template(engine: str) -> str:
        if engine not in made:
            name = f"template_{uuid.uuid4().hex}"
            if engine == "sqlite":
                made[engine] = str(folder / name)
                url = f"sqlite:///{made[engine]}"
            else:
                made[engine] = name
                url = postgres.create_database(name)
            database = Database(url)
            fill(database)
            database.close()
        return made[engine]

    @contextmanager
    def copy(engine: str) -> Iterator[Database]:
        source, name = template(engine), f"copy_{uuid.uuid4().hex}"
        if engine == "sqlite":
            url = f"sqlite:///{shutil.copy(source, folder / name)}"
        else:
            url = postgres.create_database(name, source)
        database = Database(url)
        try:
            yield database
        finally:
            database.close()
            if engine == "postgresql":
                postgres.drop_database(name)

    yield copy
    if "postgresql" in made:
        postgres.drop_database(made["postgresql"])


@pytest.fixture(scope="session")
def copies_of(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Callable[[Fill], AbstractContextManager[Copies]]:
    """Makes copies of a database that is filled once on each engine."""
    folder = tmp_path_factory.mktemp("databases")
    return lambda fill: _templates(fill, folder, postgres)


@pytest.fixture(scope="session")
def migrated(
    copies_of: Callable[[Fill], AbstractContextManager[Copies]],
) -> Iterator[Copies]:
    """Copies of a database with the tables of this release."""
    with copies_of(migrate.upgrade) as copies:
        yield copies


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, migrated: Copies) -> Iterator[Database]:
    """A database with the tables of this release, once on each engine."""
    with migrated(request.param) as database:
        yield database


@pytest.fixture
def empty_database(database_url: str) -> Iterator[Database]:
    """A database without tables, once on each engine."""
    database = Database(database_url)
    yield database
    database.close()
