"""PostgreSQL's own recovery to a moment, under load, by the commands of docs/recovery.md.

What was acknowledged before the moment is there, and nothing that was sent after it.
"""

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from server.storage import copies
from server.storage.database import Database
from tests.ack_log import AckLog
from tests.faults.client import connected
from tests.faults.workload import Load
from tests.grpc_server import GrpcServer
from tests.postgres import PostgresServer, start_postgres, temporary_directory
from tests.postgres_programs import find_programs
from tests.prove.disk.prefixes import check_prefix, check_served, giftcard, rows
from tests.prove.proof import Proof

_DOCUMENT: Final = (Path(__file__).parents[3] / "docs" / "recovery.md").read_text()
_ARCHIVING, _RECOVERY = re.findall(r"```ini\n(.*?)```", _DOCUMENT, re.DOTALL)
_BASE, _NAME, _COPY, _VERIFY = re.findall(r"```sh\n(.*?)```", _DOCUMENT, re.DOTALL)
_NAMED: Final = "before-the-change"
_LOAD_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Place:
    """Where things lie here that lie elsewhere in the document."""

    live: PostgresServer
    folder: Path

    def run(self, commands: str) -> None:
        """As PostgreSQL's user, with its programs at hand."""
        programs = self.live.programs
        environment = {**self.live.environment, "PATH": f"{programs.directory}:{os.defpath}"}
        shell = ["/bin/sh", "-ec", _in(self.folder, commands)]
        done = subprocess.run(
            shell, check=False, capture_output=True, text=True, cwd=self.folder,
            env=environment, **programs.identity,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@dataclass(slots=True)
class Moment:
    """What a recovery to it must have, and what it must not."""

    setting: str
    acknowledged: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)


def _in(folder: Path, text: str) -> str:
    """With the document's folders in this one."""
    return re.sub(r"/(archive|backups|recovered)\b", lambda name: f"{folder}{name[0]}", text)


def _settings(text: str) -> dict[str, str]:
    pairs = (line.split(" = ", 1) for line in text.splitlines())
    return {name: value.strip("'") for name, value in pairs}


@pytest.fixture
def place(own_engine: None) -> Iterator[Place]:
    """A server that archives its log."""
    programs = find_programs()
    with temporary_directory() as directory, temporary_directory() as folder:
        for path in (folder, folder / "archive", folder / "backups"):
            path.mkdir(exist_ok=True)
            user, group = programs.identity["user"], programs.identity["group"]
            if user is not None and group is not None:
                os.chown(path, user, group)
        archiving = _settings(_in(folder, _ARCHIVING))
        live = start_postgres(directory, durable=True, settings=archiving)
        try:
            yield Place(live, folder)
        finally:
            live.stop(immediate=True)


@pytest.mark.slow
async def test_everything_before_the_moment_and_nothing_after(
    proof: Proof, place: Place, tmp_path: Path
) -> None:
    url = place.live.create_database("giftcard")
    moments: list[Moment] = []
    with AckLog(tmp_path / "acks.jsonl") as log, GrpcServer(url, tmp_path) as server:
        server.start()
        load = Load(log, proof.random("recovery"), width=16)
        async with connected(server.address) as client:
            load.start(client)
            await asyncio.sleep(_LOAD_SECONDS)
            await asyncio.to_thread(place.run, _BASE)
            for number in range(proof.cases(push=2, release=20)):
                await asyncio.sleep(_LOAD_SECONDS)
                moments.append(await _moment(place, log, number))
            await asyncio.sleep(_LOAD_SECONDS)
            await load.stop()
        assert server.stop() == 0
        whole = rows(url)
        _archive_the_rest(place.live)
        place.live.kill()
        before, after = 0, 0
        for moment in moments:
            with _recovered(place, moment) as recovered:
                there = recovered.url_for("giftcard")
                assert _VERIFY == "giftcard verify\n"
                await giftcard(there, tmp_path, "verify")
                with closing(Database(there)) as database, database.connect_reader() as connection:
                    feeds = copies.feeds(connection)
                found = check_prefix(rows(there), whole, feeds)
                assert not moment.acknowledged - found, "acknowledged before it, and lost"
                assert found <= moment.sent, "sent after it, and there"
                before, after = (
                    before + len(found),
                    after + len({s.request_id for s in log} - found),
                )
                await check_served(there, tmp_path, log, found)
        proof.report(
            "Recovery to a moment, postgresql",
            moments=len(moments), transactions=before, came_later=after,
        )  # fmt: skip
        assert before, "nothing came before"
        assert after, "nothing came after"


async def _moment(place: Place, log: AckLog, number: int) -> Moment:
    """Every other one by a name, the rest by the time."""
    acknowledged = {each.request_id for each in log.known()}
    assert acknowledged
    if number % 2 == 0:
        name = f"{_NAMED}-{number}"
        await asyncio.to_thread(place.run, _NAME.replace(_NAMED, name))
        setting = f"recovery_target_name = '{name}'"
    else:
        setting = f"recovery_target_time = '{await asyncio.to_thread(_now, place.live)}'"
    return Moment(setting, acknowledged, {each.request_id for each in log})


def _now(server: PostgresServer) -> str:
    with server.connect() as connection:
        found = connection.execute("SELECT clock_timestamp()::text").fetchone()
    assert found is not None
    return str(found[0])


def _archive_the_rest(server: PostgresServer) -> None:
    with server.connect() as connection:
        last = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert last is not None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        query = "SELECT coalesce(last_archived_wal >= %s, false) FROM pg_stat_archiver"
        while connection.execute(query, last).fetchone() != (True,):
            assert time.monotonic() < deadline, "the log is not archived"
            time.sleep(0.1)


@contextmanager
def _recovered(place: Place, moment: Moment) -> Iterator[PostgresServer]:
    """A server of its own, promoted at the moment."""
    named = f"recovery_target_name = '{_NAMED}'"
    assert named in _RECOVERY
    assert "recovery_target_time = '" in _DOCUMENT
    settings = _in(place.folder, _RECOVERY).replace(named, moment.setting)
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        place.run(_COPY)
        with (place.folder / "recovered" / "postgresql.auto.conf").open("a") as file:
            file.write(settings)
        shutil.move(place.folder / "recovered", directory / "data")
        server = start_postgres(directory, durable=True)
        stack.callback(server.stop, immediate=True)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with server.connect() as connection:
            while connection.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
                assert time.monotonic() < deadline, "recovery does not end"
                time.sleep(0.1)
        yield server
