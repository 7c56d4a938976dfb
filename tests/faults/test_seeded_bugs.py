"""Bugs planted in the server: the suites of this folder must find each, or they prove nothing.

What each bug would cost is written beside it in `planted`.
"""

import random
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.ack_log import AckLog
from tests.faults.checks import check_books, check_kills, check_no_double_spend
from tests.faults.client import connected
from tests.faults.conftest import MakeServer
from tests.grpc_server import GrpcServer, keys_in, seed
from tests.prove.proof import Proof

_CYCLES = 3


async def test_acknowledging_before_commit_is_found(
    proof: Proof, make_server: MakeServer, dice: random.Random, tmp_path: Path
) -> None:
    server = make_server("acknowledge_before_commit")
    server.start()
    gone = pytest.raises(AssertionError, match=r"and is (gone|now NOT_SEEN)")
    with AckLog(tmp_path / "acks.jsonl") as log, gone:
        await check_kills(server, log, dice, cycles=_CYCLES)
    proof.report(
        f"Bug found by kills, acknowledge_before_commit, {server.engine}", requests=len(log)
    )


async def test_a_stale_balance_is_found(proof: Proof, make_server: MakeServer) -> None:
    server = make_server("stale_balance")
    server.start()
    async with connected(server.address) as client:
        with pytest.raises(AssertionError, match="were sold"):
            await check_no_double_spend(client, cards=5, value=10, purchases=40)
    server.stop()
    with pytest.raises(AssertionError, match=r"balance"):
        check_books(server.database_url)
    proof.report(f"Bug found by verify, stale_balance, {server.engine}", purchases=200)


async def test_the_wall_holds_without_row_locks(postgresql_url: str, tmp_path: Path) -> None:
    """Two workers that do not lock: UNIQUE (card, sequence) turns each lost race into a retry."""
    await _buy_from_two_workers(postgresql_url, tmp_path)
    check_books(postgresql_url)


async def test_missing_row_locks_are_found_where_the_wall_is_gone(
    postgresql_url: str, tmp_path: Path
) -> None:
    seed(postgresql_url, keys_in(tmp_path))
    with psycopg.connect(_plain(postgresql_url), autocommit=True) as connection:
        found = connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'entry'::regclass AND contype = 'p'"
        ).fetchone()
        assert found is not None
        connection.execute(
            sql.SQL("ALTER TABLE entry DROP CONSTRAINT {}").format(sql.Identifier(found[0]))
        )
    with pytest.raises(AssertionError, match="were sold"):
        await _buy_from_two_workers(postgresql_url, tmp_path)
    with pytest.raises(AssertionError, match="entry"):
        check_books(postgresql_url)


async def _buy_from_two_workers(url: str, directory: Path) -> None:
    module = ("tests.faults.planted", "no_row_lock")
    with (
        GrpcServer(url, directory, module=module) as first,
        GrpcServer(url, directory, module=module, log_name="second.log") as second,
    ):
        first.start()
        second.start()
        async with connected(first.address, second.address) as client:
            await check_no_double_spend(client, cards=5, value=10, purchases=40)


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
