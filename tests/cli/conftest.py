"""A directory with settings in it, and the command line inside this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from server import app, demo
from server.settings import Settings
from tests.cli.giftcard import invoke

Giftcard = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The environment of a fresh installation on SQLite in a directory of its own."""
    return {
        "GIFTCARD_DATABASE_URL": f"sqlite:///{tmp_path / 'giftcard.db'}",
        "GIFTCARD_KEY_FILE": str(tmp_path / "keys.json"),
    }


@pytest.fixture
def giftcard(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> Giftcard:
    """Runs a command in this process."""

    def run(*arguments: str, typed: str = "") -> Result:
        return invoke(monkeypatch, settings, *arguments, typed=typed)

    return run


@pytest.fixture
def demo_loaded(settings: dict[str, str]) -> None:
    """The demo merchant in that database."""
    own = Settings(
        database_url=settings["GIFTCARD_DATABASE_URL"], key_file=settings["GIFTCARD_KEY_FILE"]
    )
    keys = app.keys_of(own)
    database = app.open_database(own)
    try:
        demo.load(database, keys)
    finally:
        database.close()
