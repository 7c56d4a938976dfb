"""Whether what came back of a database is an exact prefix of its history."""

import asyncio
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from server.storage import schema
from server.storage.database import Database
from tests.ack_log import AckLog
from tests.faults.checks import check_acknowledged, check_books
from tests.faults.client import connected
from tests.grpc_server import CLIENT_ID, GrpcServer, keys_in

#: What is only ever added to; of a transaction, the number of replays is counted later.
_APPENDED: Final = ("entry", "posting", "ledger_commit", "ledger_transaction")


async def giftcard(url: str, directory: Path, *arguments: str) -> None:
    """Runs the command on a database, with the keys in `directory`."""
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


def everything_in(url: str) -> dict[str, list[Any]]:
    """All rows of all tables, in an order of their own."""
    with closing(Database(url)) as database, database.connect_reader() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in schema.metadata.sorted_tables
        }


def rows(url: str) -> dict[str, dict[Any, Any]]:
    """Table by table, by their keys."""
    found: dict[str, dict[Any, Any]] = {}
    with closing(Database(url)) as database, database.connect_reader() as connection:
        for name in _APPENDED:
            table = schema.metadata.tables[name]
            keys = [column.name for column in table.primary_key]
            columns = [column for column in table.columns if column.name != "replays"]
            rows = connection.execute(select(*columns)).all()
            found[name] = {tuple(getattr(row, key) for key in keys): row for row in rows}
    return found


def check_prefix(
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


async def check_served(url: str, directory: Path, log: AckLog, found: set[str]) -> None:
    """A server on what came back answers each of these requests as it did, and keeps the books."""
    with GrpcServer(url, directory, log_name="again.log") as again:
        again.start()
        async with connected(again.address) as client:
            within = [each for each in log.known() if each.request_id in found]
            await check_acknowledged(client, within)
        assert again.stop() == 0
    check_books(url)
