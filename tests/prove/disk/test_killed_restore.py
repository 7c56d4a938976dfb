"""kill -9 while `giftcard restore` runs: there is no database, the old one, or the whole new one.

Restored again it is the new one; what stood there before is never lost to SQLite.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from server import backup
from server.settings import Settings
from server.storage import copies
from server.storage.database import Database
from tests.bench.seeding import seed_cards
from tests.cli.giftcard import environment
from tests.faults.checks import check_books
from tests.grpc_server import keys_in
from tests.postgres import Postgres
from tests.postgres_programs import find_programs
from tests.processes import kill_family
from tests.prove.disk.prefixes import everything_in
from tests.prove.disk.workers import sample
from tests.prove.proof import Proof

Rows = dict[str, list[Any]]

#: By which files and their names change.
_CALLS: Final = (
    "mkdir", "rmdir", "rename", "unlink", "unlinkat", "ftruncate", "fsync", "fdatasync",
    "pwrite64", "sendfile", "copy_file_range",
)  # fmt: skip
_CALL: Final = re.compile(r"^(\d+) +(\w+)\((.*)")
_TIMEOUT_SECONDS: Final = 120.0


class Restore:
    """A backup, and a process that restores it."""

    def __init__(self, directory: Path, source: str) -> None:
        keys = keys_in(directory)
        seed_cards(source, keys, 3, lambda text: None)
        self._directory = directory
        self._folder = directory / "backup"
        settings = Settings(database_url=source, key_file=str(keys))
        backup.create(settings, self._folder, lambda what, done, steps: None)
        self.expected = everything_in(source)
        self._keys = keys

    def start(self, url: str, *, force: bool, before: tuple[str, ...] = ()) -> Any:
        command = [*before, sys.executable, "-m", "server.cli", "restore", str(self._folder)]
        own = {
            "GIFTCARD_DATABASE_URL": url,
            "GIFTCARD_KEY_FILE": str(self._keys),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{find_programs().directory}:{environment(self._directory, {})['PATH']}",
        }
        return subprocess.Popen(
            [*command, *(["--force"] if force else [])],
            cwd=self._directory, env=environment(self._directory, own), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, url: str, *, force: bool, before: tuple[str, ...] = ()) -> int:
        process = self.start(url, force=force, before=before)
        _, said = process.communicate(timeout=_TIMEOUT_SECONDS)
        status: int = process.returncode
        assert status in (0, 1, -signal.SIGKILL), said
        return status

    def finish(self, url: str, *, force: bool) -> None:
        """Restores it again, unless it was restored already."""
        assert self.run(url, force=force) == 0
        assert everything_in(url) == self.expected
        check_books(url)


# SQLite: at every call by which a file changes


@pytest.mark.slow
@pytest.mark.parametrize("target", ["nothing there", "another one there"])
def test_sqlite_killed_at_every_system_call(proof: Proof, tmp_path: Path, target: str) -> None:
    restore = Restore(tmp_path, f"sqlite:///{tmp_path / 'source.db'}")
    old = _old_one(tmp_path) if target == "another one there" else {}
    place = tmp_path / "place"
    every = _points(restore, tmp_path, place, old)
    found: Counter[str] = Counter()
    for name, number in sample(every, min(len(every), proof.cases(push=10, release=1000))):
        url = _lay_out(tmp_path, place)
        inject = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={name}",
                  "-e", f"inject={name}:signal=SIGKILL:when={number}")  # fmt: skip
        assert restore.run(url, force=bool(old), before=inject) == -signal.SIGKILL, (name, number)
        seen = _what_is_there(url, place, old, restore.expected)
        found[seen] += 1
        restore.finish(url, force=bool(old) or seen == "new")
        assert not list(place.glob(".*")), "what it left is removed"
        if old:
            assert old in _put_aside(place), (name, number)
    proof.report(
        f"Restore killed, sqlite, {target}", points=found.total(), of_calls=len(every),
        nothing=found["nothing"], old=found["old"], new=found["new"],
    )  # fmt: skip


def _old_one(directory: Path) -> Rows:
    """Another database, whose last commit lies in its log alone, as a killed server leaves it."""
    kept = directory / "kept"
    kept.mkdir()
    code = (
        "import os, sys; from server.storage.database import Database\n"
        "connection = Database('sqlite:///old.db').connect_writer()\n"
        "connection.exec_driver_sql(\"UPDATE merchant SET display_name = 'Old'\")\n"
        "connection.commit()\n"
        "os._exit(0)\n"
    )
    seed_cards(f"sqlite:///{kept / 'old.db'}", keys_in(directory), 2, lambda text: None)
    subprocess.run(
        [sys.executable, "-c", code], cwd=kept, env=environment(directory, {}), check=True
    )
    assert (kept / "old.db-wal").stat().st_size
    copy = directory / "copy"
    shutil.copytree(kept, copy)
    return everything_in(f"sqlite:///{copy / 'old.db'}")


def _lay_out(directory: Path, place: Path) -> str:
    """The folder as it is before a restore; the database's URL."""
    shutil.rmtree(place, ignore_errors=True)
    kept = directory / "kept"
    if kept.exists():
        shutil.copytree(kept, place)
    else:
        place.mkdir()
    return f"sqlite:///{place / 'old.db'}"


def _points(restore: Restore, directory: Path, place: Path, old: Rows) -> list[tuple[str, int]]:
    """Each call about a file in the place, by its name and number, as strace counts them."""
    log = directory / "strace.log"
    url = _lay_out(directory, place)
    trace = ("strace", "-f", "-y", "-o", str(log), "-e", f"trace={','.join(_CALLS)}",
             "-e", "signal=none")  # fmt: skip
    assert restore.run(url, force=bool(old), before=trace) == 0
    counted: Counter[tuple[str, str]] = Counter()
    found: list[tuple[str, int]] = []
    for line in log.read_text().splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        thread, name, arguments = call.groups()
        counted[thread, name] += 1
        if str(place) in arguments:
            found.append((name, counted[thread, name]))
    assert {"rename", "fsync"} <= {name for name, _ in found}
    return found


def _what_is_there(url: str, place: Path, old: Rows, new: Rows) -> str:
    """On a copy, since looking at a database leaves traces."""
    copy = place.with_name("looked-at")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place, copy)
    file = copy / "old.db"
    if not file.exists() or not file.stat().st_size:
        return "nothing"
    return _which(f"sqlite:///{file}", old, new)


def _put_aside(place: Path) -> list[Rows]:
    files = [path for path in place.glob("old.db.replaced-*") if path.suffix[-1].isdigit()]
    return [everything_in(f"sqlite:///{path}") for path in files]


# PostgreSQL: at any moment


@pytest.mark.slow
def test_postgresql_killed_at_any_moment(
    proof: Proof, postgres: Postgres, postgresql_url: str, tmp_path: Path
) -> None:
    """With pg_restore or without: alone that goes on, to the end or not."""
    dice = proof.random("restore")
    restore = Restore(tmp_path, postgresql_url)
    own = postgresql_url.rpartition("/")[2].partition("?")[0]
    target, other = f"{own}_target", f"{own}_other"
    other_url = postgres.create_database(other)
    seed_cards(other_url, keys_in(tmp_path), 2, lambda text: None)
    old = everything_in(other_url)
    found: Counter[str] = Counter()
    whole_seconds = 0.0
    for number in range(1 + proof.cases(push=8, release=200)):
        template = other if number % 2 else None
        postgres.drop_database(target)
        url = postgres.create_database(target, template)
        started = time.monotonic()
        process = restore.start(url, force=template is not None)
        if number == 0:
            process.communicate(timeout=_TIMEOUT_SECONDS)
            assert process.returncode == 0
            whole_seconds = time.monotonic() - started
            continue
        time.sleep(dice.uniform(0.3, 1.0) * whole_seconds)
        if number % 4 < 2:
            kill_family(process.pid)
        else:
            process.kill()
        process.communicate(timeout=_TIMEOUT_SECONDS)
        _wait_until_alone(postgres, target)
        seen = _which(url, old if template else {}, restore.expected)
        found[seen] += 1
        restore.finish(url, force=seen != "nothing")
    for name in (target, other):
        postgres.drop_database(name)
    proof.report("Restore killed, postgresql", kills=found.total(), **found)
    assert set(found) & {"nothing", "old"}, "it was never killed in time"


def _wait_until_alone(postgres: Postgres, name: str) -> None:
    """pg_restore that was left alone ends, and so does what a dead one had asked for."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    with postgres.connect() as connection:
        while connection.execute(query, [name]).fetchone() != (0,):
            assert time.monotonic() < deadline, "somebody stays connected"
            time.sleep(0.05)


def _which(url: str, old: Rows, new: Rows) -> str:
    with closing(Database(url)) as database:
        if copies.is_empty(database):
            assert not old, "the old one is gone, and the new one is not there"
            return "nothing"
    there = everything_in(url)
    if there == old:
        return "old"
    assert there == new, "neither the old one nor the new one"
    return "new"
