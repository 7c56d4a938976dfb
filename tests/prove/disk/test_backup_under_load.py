"""A backup of a server under load is an exact prefix of its history, and fit to be served."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from server.backup import read_manifest
from tests.ack_log import AckLog
from tests.faults.checks import check_books
from tests.faults.client import connected
from tests.faults.workload import Load
from tests.grpc_server import GrpcServer
from tests.postgres import PostgresServer
from tests.prove.disk.prefixes import check_prefix, check_served, giftcard, rows
from tests.prove.proof import Proof, engine_of

_LOAD_SECONDS: Final = 0.5


@pytest.fixture
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A database, and an empty one of the same engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'live.db'}", f"sqlite:///{tmp_path / 'restored.db'}"
        return
    server: PostgresServer = request.getfixturevalue("durable_postgres")
    yield server.create_database("live"), server.create_database("restored")


@pytest.mark.slow
@pytest.mark.parametrize("urls", ["sqlite", "postgresql"], indirect=True)
async def test_it_is_a_prefix_of_history(
    proof: Proof, urls: tuple[str, str], tmp_path: Path
) -> None:
    live, restored = urls
    engine = engine_of(live)
    rounds = proof.cases(push=2, release=50)
    kept, later = 0, 0
    request_ids: set[str] = set()
    with AckLog(tmp_path / "acks.jsonl") as log, GrpcServer(live, tmp_path) as server:
        server.start()
        load = Load(log, proof.random("backup"), width=16)
        folders = [tmp_path / f"backup-{number}" for number in range(rounds)]
        before: list[set[str]] = []
        async with connected(server.address) as client:
            load.start(client)
            for folder in folders:
                await asyncio.sleep(_LOAD_SECONDS)
                before.append({sent.request_id for sent in log.known()})
                await giftcard(live, tmp_path, "backup", str(folder))
            await asyncio.sleep(_LOAD_SECONDS)
            await load.stop()
        assert not load.failures, "a backup is in nobody's way"
        assert server.stop() == 0
        check_books(live)
        whole = rows(live)
        for number, (folder, acknowledged) in enumerate(zip(folders, before, strict=True)):
            force = ("--force",) if number else ()
            await giftcard(restored, tmp_path, "restore", str(folder), *force)
            found = rows(restored)
            request_ids = check_prefix(found, whole, read_manifest(folder).feeds)
            lost = acknowledged - request_ids
            assert not lost, f"{len(lost)} were acknowledged before the backup and are not in it"
            sent = {each.request_id for each in log}
            assert request_ids <= sent, "the backup has what nobody sent"
            kept, later = kept + len(request_ids), later + len(sent - request_ids)
        proof.report(
            f"Backups under load, {engine}",
            backups=rounds, transactions=kept, came_later=later, prefixes=rounds,
        )  # fmt: skip
        assert later, "nothing was written while the backup was made"
        await check_served(restored, tmp_path, log, request_ids)
