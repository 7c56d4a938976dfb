"""A backup of a server under load is an exact prefix of its history, and fit to be served."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select

from server.backup import read_manifest
from server.storage import schema
from server.storage.database import Database
from tests.ack_log import AckLog
from tests.faults.checks import check_acknowledged, check_books
from tests.faults.client import connected
from tests.faults.workload import Load
from tests.grpc_server import CLIENT_ID, GrpcServer, keys_in
from tests.postgres import PostgresServer
from tests.prove.proof import Proof, engine_of

_LOAD_SECONDS: Final = 0.5
#: What is only ever added to; of a transaction, the number of replays is counted later.
_APPENDED: Final = ("entry", "posting", "ledger_commit", "ledger_transaction")


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
                await _giftcard(live, tmp_path, "backup", str(folder))
            await asyncio.sleep(_LOAD_SECONDS)
            await load.stop()
        assert not load.failures, "a backup is in nobody's way"
        assert server.stop() == 0
        check_books(live)
        whole = _rows(live)
        for number, (folder, acknowledged) in enumerate(zip(folders, before, strict=True)):
            force = ("--force",) if number else ()
            await _giftcard(restored, tmp_path, "restore", str(folder), *force)
            found = _rows(restored)
            request_ids = _check_prefix(found, whole, read_manifest(folder).feeds)
            lost = acknowledged - request_ids
            assert not lost, f"{len(lost)} were acknowledged before the backup and are not in it"
            sent = {each.request_id for each in log}
            assert request_ids <= sent, "the backup has what nobody sent"
            kept, later = kept + len(request_ids), later + len(sent - request_ids)
        proof.report(
            f"Backups under load, {engine}",
            backups=rounds, transactions=kept, came_later=later, prefixes=rounds, lost=0,
        )  # fmt: skip
        assert later, "nothing was written while the backup was made"
        with GrpcServer(restored, tmp_path, log_name="restored.log") as again:
            again.start()
            async with connected(again.address) as client:
                within = [each for each in log.known() if each.request_id in request_ids]
                await check_acknowledged(client, within)
            assert again.stop() == 0
        check_books(restored)


async def _giftcard(url: str, directory: Path, *arguments: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIFTCARD_")},
        "GIFTCARD_DATABASE_URL": url,
        "GIFTCARD_KEY_FILE": str(keys_in(directory)),
    }
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "server.cli", *arguments], env=environment,
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _rows(url: str) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = {}
    with closing(Database(url)) as database, database.connect_reader() as connection:
        for name in _APPENDED:
            table = schema.metadata.tables[name]
            keys = [column.name for column in table.primary_key]
            columns = [column for column in table.columns if column.name != "replays"]
            rows = connection.execute(select(*columns)).all()
            found[name] = {tuple(getattr(row, key) for key in keys): row for row in rows}
    return found


def _check_prefix(
    found: dict[str, dict[Any, Any]],
    whole: dict[str, dict[Any, Any]],
    feeds: list[dict[str, Any]],
) -> set[str]:
    """All that was committed up to the heads, as it was, and nothing else; returns the requests
    of the till."""
    heads = {(feed["merchant_id"], feed["book"]): feed for feed in feeds}
    within = {
        key: row
        for key, row in whole["ledger_commit"].items()
        if row.first_sequence <= heads[row.merchant_id, row.book]["head"]
    }
    assert found["ledger_commit"] == within, "not the commits up to the heads"
    ends = {
        (row.merchant_id, row.book): row.hash
        for row in sorted(within.values(), key=lambda row: int(row.first_sequence))
    }
    assert ends == {key: feed["hash"] for key, feed in heads.items()}
    commits = {row.id for row in within.values()}
    transactions = {
        key: row for key, row in whole["ledger_transaction"].items() if row.commit_id in commits
    }
    assert found["ledger_transaction"] == transactions, "not the transactions of these commits"
    names = {row.id for row in transactions.values()}
    for table in ("entry", "posting"):
        expected = {key: row for key, row in whole[table].items() if row.transaction_id in names}
        assert found[table] == expected, f"{table}: not those of these transactions"
    return {row.request_id for row in transactions.values() if row.client_id == CLIENT_ID}
