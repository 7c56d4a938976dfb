"""The whole server over a disk that fails or is full, with clients that keep a log of what they
were told: a sample of what the other suites try system call by system call."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import psutil
import psycopg
import pytest
from giftcard import v1

from tests.ack_log import AckLog
from tests.faults.checks import check_books, check_history, check_since
from tests.faults.client import connected
from tests.faults.workload import Load
from tests.grpc_server import GrpcServer
from tests.postgres import PostgresServer, start_postgres, temporary_directory
from tests.processes import is_alive
from tests.prove.disk.worker import FATAL_STATUS
from tests.prove.disk.workers import traced
from tests.prove.proof import Proof

#: (system call, what strace does to it, at which of them, the exit status of the server)
_FAULTS: Final = [
    ("fsync", "error=EIO:when={}", (5, 40), FATAL_STATUS),
    ("pwrite64", "error=ENOSPC:when={}+", (400, 3000), FATAL_STATUS),
    ("pwrite64", "signal=SIGKILL:when={}", (400, 3000), -9),
]
#: For all of PostgreSQL: little more than it needs at the beginning.
_DISK_BYTES: Final = 256 << 20
_LEFT_BYTES: Final = 1 << 20
_FULL_SECONDS: Final = 4.0
_WHAT_IT_SAYS: Final = frozenset({"UNAVAILABLE UNAVAILABLE", "UNAVAILABLE OUTCOME_UNKNOWN"})


@pytest.mark.slow
async def test_sqlite_server_whose_disk_fails(
    proof: Proof, sqlite_url: str, tmp_path: Path
) -> None:
    dice = proof.random("served")
    rounds = proof.cases(push=2, release=40)
    told: Counter[str] = Counter()
    with AckLog(tmp_path / "acks.jsonl") as log, GrpcServer(sqlite_url, tmp_path) as server:
        server.start()
        load = Load(log, dice)
        for number in range(rounds * len(_FAULTS)):
            call, fault, which, status = _FAULTS[number % len(_FAULTS)]
            seen = {sent.request_id for sent in log.known()}
            inject = f"inject={call}:{fault.format(dice.randint(*which))}"
            async with connected(server.address) as client:
                load.start(client)
                with traced(server.process_id, "-e", f"trace={call}", "-e", inject):
                    assert await asyncio.to_thread(server.wait) == status, inject
                await load.stop()
            await asyncio.to_thread(server.start)
            async with connected(server.address) as client:
                await check_since(client, log, seen)
        told.update({why for sent in log for why in sent.failures})
        async with connected(server.address) as client:
            await check_history(client, log)
        assert server.stop() == 0
        unknown = sum("UNAVAILABLE OUTCOME_UNKNOWN" in sent.failures for sent in log)
        proof.report(
            "Served from a failing disk, SQLite",
            faults=rounds * len(_FAULTS), requests=len(log), told_unknown=unknown,
        )  # fmt: skip
        assert unknown, f"nobody was told that the outcome is unknown: {told}"
    check_books(sqlite_url)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own that a few megabytes fill."""
    with temporary_directory() as directory:
        # PostgreSQL may be run by another account, which must get there.
        directory.chmod(0o711)
        place = directory / "disk"
        place.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0755", "tmpfs"]
        mounted = subprocess.run(
            ["mount", *options, str(place)], check=False, capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def _log_onto(postgres: PostgresServer, disk: Path) -> None:
    """Only the write-ahead log lies on the small disk."""
    postgres.stop()
    log = postgres.directory / "data" / "pg_wal"
    shutil.move(log, disk / "pg_wal")
    log.symlink_to(disk / "pg_wal")
    user, group = (postgres.programs.identity[name] for name in ("user", "group"))
    for path in (disk / "pg_wal", *(disk / "pg_wal").rglob("*")):
        if isinstance(user, int) and isinstance(group, int):
            os.chown(path, user, group)
    postgres.start()


@pytest.mark.slow
@pytest.mark.parametrize("full", ["all of it", "its log"])
async def test_postgresql_whose_disk_is_full(
    proof: Proof, small_disk: Path, tmp_path: Path, full: str
) -> None:
    """Writes fail closed; what can be read is right; when there is room again everything goes on,
    once PostgreSQL itself was started again where it gave up."""
    settings = {"max_wal_size": "32MB", "min_wal_size": "32MB", "wal_recycle": "off",
                "shared_buffers": "16MB"}  # fmt: skip
    folder = small_disk if full == "all of it" else small_disk.parent
    postgres = start_postgres(folder / "pg", durable=True, settings=settings)
    try:
        if full == "its log":
            _log_onto(postgres, small_disk)
        await _check_full_disk(proof, small_disk, tmp_path, postgres, full)
    finally:
        postgres.stop(immediate=True)


async def _check_full_disk(
    proof: Proof, disk: Path, folder: Path, postgres: PostgresServer, full: str
) -> None:
    url = postgres.create_database("giftcard")
    rounds = proof.cases(push=2, release=20)
    ended, reads = 0, Counter[str]()
    with AckLog(folder / "acks.jsonl") as log, GrpcServer(url, folder) as server:
        server.start()
        process_id = server.process_id
        load = Load(log, proof.random("disk full"))
        for _ in range(rounds):
            gave_up, said = await _fill_up(disk, postgres, server, load, log)
            ended += gave_up
            reads.update(said)
        async with connected(server.address) as client:
            await check_history(client, log)
        told = {why for sent in log for why in sent.failures}
        unknown = sum("UNAVAILABLE OUTCOME_UNKNOWN" in sent.failures for sent in log)
        proof.report(
            f"Disk full of PostgreSQL: {full}",
            rounds=rounds, postgresql_gave_up=ended, requests=len(log),
            told_undecided=sum(bool(sent.failures) for sent in log), told_unknown=unknown,
            reads_meanwhile=reads.total(), reads_answered=reads["OK"],
        )  # fmt: skip
        assert server.process_id == process_id
        assert server.stop() == 0
    assert told <= _WHAT_IT_SAYS, told
    assert told, "nobody noticed that the disk was full"
    assert reads.keys() <= {"OK", "UNAVAILABLE"}, reads
    check_books(url)


def _take(ballast: BinaryIO, disk: Path, *, all_but: int = 0) -> None:
    """Writes until no more is left than this; PostgreSQL may be quicker to take it."""
    try:
        ballast.write(bytes(max(0, shutil.disk_usage(disk).free - all_but)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


async def _fill_up(
    disk: Path, postgres: PostgresServer, server: GrpcServer, load: Load, log: AckLog
) -> tuple[bool, list[str]]:
    """One time without room; returns whether PostgreSQL ended, and what reads were told."""
    seen = {sent.request_id for sent in log.known()}
    said: list[str] = []
    async with connected(server.address) as client:
        load.start(client)
        await asyncio.sleep(1)
        card = next(sent.answer.gift_card.name for sent in log if sent.method == "IssueGiftCard"
                    and sent.answer is not None)  # fmt: skip
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            failures = len(load.failures)
            with suppress(psycopg.Error), postgres.connect() as connection:
                _take(ballast, disk, all_but=_LEFT_BYTES)
                # The next write of the log needs a new file.
                connection.execute("SELECT pg_switch_wal()")
            for _ in range(int(_FULL_SECONDS / 0.1)):
                # What is freed meanwhile is taken too.
                _take(ballast, disk)
                await asyncio.sleep(0.1)
                answer = await client.call("GetGiftCard", v1.GetGiftCardRequest(name=card))
                said.append(answer.code)
        assert len(load.failures) > failures, "the disk was not full enough"
        (disk / "ballast").unlink()
        gave_up = not is_alive(psutil.Process(postgres.process_id))
        if gave_up:
            await asyncio.to_thread(postgres.restart)
        await asyncio.sleep(1)
        await load.stop()
        await check_since(client, log, seen)
    return gave_up, said
