"""`giftcard backup` and `giftcard restore`: what comes back, and what is refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server import backup
from server.backup import MANIFEST, CopyError
from server.secrets import create_key_file, load_keys
from server.settings import Settings
from server.storage import copies
from server.storage.database import Database, UnsafeDatabaseError, normalize_url
from server.verify import verify
from tests.bench.seeding import seed_cards
from tests.cli.giftcard import run
from tests.grpc_server import keys_in
from tests.postgres import Postgres
from tests.postgres_programs import find_programs
from tests.prove.disk.prefixes import everything_in

_CARDS = 20


@pytest.fixture(autouse=True)
def client_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump is found where the tests' own PostgreSQL is."""
    monkeypatch.setenv("PATH", str(find_programs().directory), prepend=":")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """A database with cards that were sold, once on each engine."""
    seed_cards(database_url, keys_in(tmp_path), _CARDS, print)
    return Settings(database_url=database_url, key_file=str(keys_in(tmp_path)))


@pytest.fixture
def another_url(request: pytest.FixtureRequest, settings: Settings) -> Iterator[str]:
    """An empty database on the same engine."""
    if settings.database_url.startswith("sqlite"):
        yield settings.database_url.replace("giftcard.sqlite3", "another.sqlite3")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = f"restored_{settings.database_url.rpartition('/')[2].partition('?')[0]}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def _silent(what: str, done: int, steps: int) -> None:
    assert 0 <= done <= steps, f"{what}: {done} of {steps}"


def _create(settings: Settings, folder: Path, **more: Any) -> backup.Manifest:
    return backup.create(settings, folder, _silent, **more)


def _restore(settings: Settings, folder: Path, **more: Any) -> backup.Manifest:
    keys = load_keys(Path(settings.key_file), None, production=False)
    return backup.restore(settings, folder, _silent, **{"keys": keys, **more})


def _at(settings: Settings, url: str) -> Settings:
    return Settings(database_url=url, key_file=settings.key_file)


def test_what_is_restored_is_what_was_there(
    settings: Settings, another_url: str, tmp_path: Path
) -> None:
    made = _create(settings, tmp_path / "backup")
    assert made.transactions is not None
    assert made.transactions > _CARDS
    assert [each["key_version"] for each in made.sealed] == [1]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "backup").glob("giftcard.*")} == {
        0o600
    }
    assert _restore(_at(settings, another_url), tmp_path / "backup") == made
    assert everything_in(another_url) == everything_in(settings.database_url)
    with closing(Database(another_url)) as database:
        assert verify(database).ok


def test_no_secret_of_the_keys_is_in_it(settings: Settings, tmp_path: Path) -> None:
    _create(settings, tmp_path / "backup")
    versions = json.loads(keys_in(tmp_path).read_text())["versions"]["1"]
    for path in (tmp_path / "backup").iterdir():
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in versions.values())


def test_nothing_is_overwritten_unless_forced(
    settings: Settings, another_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    first = _create(settings, folder)
    with pytest.raises(CopyError, match="is there already"):
        _create(settings, folder)
    seed_cards(another_url, keys_in(tmp_path), 1, print)
    before = everything_in(another_url)
    other = _at(settings, another_url)
    with pytest.raises(CopyError, match=r"is there already|not empty"):
        _restore(other, folder)
    assert everything_in(another_url) == before
    _restore(other, folder, force=True)
    assert everything_in(another_url) == everything_in(settings.database_url)
    assert _create(settings, folder, force=True, check=False).feeds == first.feeds
    assert backup.read_manifest(folder).transactions is None


def test_sqlite_keeps_what_it_replaces(sqlite_url: str, tmp_path: Path) -> None:
    seed_cards(sqlite_url, keys_in(tmp_path), 2, print)
    settings = Settings(database_url=sqlite_url, key_file=str(keys_in(tmp_path)))
    _create(settings, tmp_path / "backup")
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(Database(sqlite_url)) as database:
        # As a kill leaves it: the last commit lies in the log alone.
        connection = database.connect_writer()
        connection.exec_driver_sql("UPDATE merchant SET display_name = 'Renamed'")
        connection.commit()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{path}.kept{suffix}")
        connection.close()
    for suffix in ("", "-wal"):
        Path(f"{path}.kept{suffix}").replace(f"{path}{suffix}")
    _restore(settings, tmp_path / "backup", force=True)
    assert "Renamed" not in str(everything_in(sqlite_url)["merchant"])
    assert "Renamed" in str(everything_in(f"{sqlite_url}.replaced-1")["merchant"])


def test_a_server_that_runs_is_in_the_way_of_a_restore(settings: Settings, tmp_path: Path) -> None:
    _create(settings, tmp_path / "backup")
    with (
        closing(Database(settings.database_url)) as database,
        database.connect_writer(),
        pytest.raises((CopyError, UnsafeDatabaseError), match=r"open\. Stop it first"),
    ):
        _restore(settings, tmp_path / "backup", force=True)


def _spoil_books(url: str) -> None:
    with closing(Database(url)) as database, database.writer.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET balance = balance + 1")


def test_books_that_are_wrong_are_no_backup(settings: Settings, tmp_path: Path) -> None:
    _spoil_books(settings.database_url)
    with pytest.raises(CopyError, match="First wrong row: account"):
        _create(settings, tmp_path / "backup")
    # Neither under its name nor under another one.
    assert not [path for path in tmp_path.iterdir() if "backup" in path.name]


def test_books_that_are_wrong_are_not_restored(
    settings: Settings, another_url: str, tmp_path: Path
) -> None:
    _spoil_books(settings.database_url)
    _create(settings, tmp_path / "backup", check=False)
    other = _at(settings, another_url)
    with pytest.raises(CopyError, match=r"restored is not in order.*First wrong row: account"):
        _restore(other, tmp_path / "backup")
    with closing(Database(another_url)) as database:
        assert copies.is_empty(database)
    # The next try needs no force, and who wants the books as they are can have them.
    _restore(other, tmp_path / "backup", check=False)
    assert everything_in(another_url) == everything_in(settings.database_url)


# What is refused, on SQLite: the same lines of code for both engines


def _damage(folder: Path) -> None:
    data = folder / "giftcard.db"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def _cut(folder: Path) -> None:
    data = folder / "giftcard.db"
    data.write_bytes(data.read_bytes()[:-1])


def _write_rubbish(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def _change(**facts: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(manifest | facts))

    return change


_SPOILED: list[tuple[str, Callable[[Path], None], str]] = [
    ("one bit", _damage, "is damaged"),
    ("cut off", _cut, "has not the length"),
    ("without data", lambda folder: (folder / "giftcard.db").unlink(), "has not the length"),
    ("unfinished", lambda folder: (folder / MANIFEST).unlink(), "was not finished"),
    ("not JSON", _write_rubbish, "is not what"),
    ("another field", _change(more=1), "is not what"),
    ("newer", _change(format=2), "newer release"),
    ("another file", _change(data="../keys.json"), "newer release"),
    ("another engine", _change(engine="postgresql", data="giftcard.dump"), "names sqlite"),
]


@pytest.fixture
def small(sqlite_url: str, tmp_path: Path) -> Settings:
    seed_cards(sqlite_url, keys_in(tmp_path), 1, print)
    return Settings(database_url=sqlite_url, key_file=str(keys_in(tmp_path)))


@pytest.mark.parametrize(("how", "spoil", "message"), _SPOILED, ids=[each[0] for each in _SPOILED])
def test_what_is_no_whole_backup_is_refused(
    small: Settings, tmp_path: Path, how: str, spoil: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "backup"
    _create(small, folder, check=False)
    spoil(folder)
    target = tmp_path / "restored.db"
    with pytest.raises(CopyError, match=message):
        _restore(_at(small, f"sqlite:///{target}"), folder)
    assert not target.exists()


def test_other_keys_are_refused(small: Settings, tmp_path: Path) -> None:
    folder, target = tmp_path / "backup", tmp_path / "restored.db"
    _create(small, folder)
    create_key_file(tmp_path / "other.json")
    other = load_keys(tmp_path / "other.json", None, production=False)
    settings = _at(small, f"sqlite:///{target}")
    with pytest.raises(CopyError, match=r"not the keys of this backup: version 1"):
        _restore(settings, folder, keys=other)
    assert not target.exists()
    _restore(settings, folder, keys=None)
    assert target.exists()


def test_a_folder_that_is_no_backup_is_never_overwritten(small: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear customer")
    with pytest.raises(CopyError, match="is no backup"):
        _create(small, folder, force=True)
    assert (folder / "letter.txt").exists()


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'missing.db'}")
    with pytest.raises(CopyError, match="There is no database"):
        _create(settings, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_no_argument() -> None:
    url = normalize_url("postgresql://till:s3cret@db:5433/giftcard?sslmode=require")
    address, environment = copies._address(url)
    assert address == "host=db port=5433 user=till dbname=giftcard sslmode=require"
    assert environment == {"PGPASSWORD": "s3cret"}


def test_from_the_command_line(small: Settings, tmp_path: Path) -> None:
    own = {"GIFTCARD_DATABASE_URL": small.database_url, "GIFTCARD_KEY_FILE": small.key_file}
    made = run(tmp_path, "backup", "copy", settings=own)
    assert (made.returncode, "The keys are not in it" in made.stderr) == (0, True), made.stderr
    again = run(tmp_path, "backup", "copy", settings=own)
    assert (again.returncode, again.stdout) == (1, "")
    new = own | {"GIFTCARD_DATABASE_URL": "sqlite:///new.db"}
    restored = run(tmp_path, "restore", "copy", "--json", settings=new)
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["verified"] is True
    assert run(tmp_path, "verify", settings=new).stdout.endswith("verified\n")
