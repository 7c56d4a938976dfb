"""Each card does one thing at a time, whatever several clients ask of it and whatever breaks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from tests.faults.checks import check_books
from tests.faults.client import Client, connected
from tests.faults.conftest import MakeServer
from tests.grpc_server import GrpcServer, keys_in, seed
from tests.ports import free_port
from tests.prove.network.histories import CardHistory, explain, new_cards, record_all
from tests.prove.network.troubles import Troubles
from tests.prove.proof import Proof

pytestmark = pytest.mark.slow

_AT_ONCE: Final = 25
#: One round in so many kills the server; it takes seconds to come back.
_KILLS: Final = 5
_BUG_ROUNDS: Final = 12

#: Does something while a round goes on.
Trouble = Callable[[int], Awaitable[None]]


async def calm(round_: int) -> None:
    """A network that works, and a server that lives."""


async def record_rounds(client: Client, proof: Proof, trouble: Trouble) -> list[CardHistory]:
    """A quarter of the histories of a run: two engines, with and without trouble."""
    dice = proof.random("histories")
    found: list[CardHistory] = []
    for round_ in range(proof.cases(push=125, release=25_000) // _AT_ONCE):
        cards = await new_cards(client, _AT_ONCE, dice)
        await asyncio.gather(record_all(client, cards), trouble(round_))
        for card in cards:
            assert card.is_linearizable(), explain(card)
        found += cards
    return found


def report(proof: Proof, suite: str, cards: list[CardHistory], **more: int) -> None:
    proof.report(
        suite,
        histories=len(cards),
        operations=sum(len(card.history) for card in cards),
        unknown=sum(not each.known for card in cards for each in card.history),
        **more,
    )


async def test_one_thing_at_a_time(proof: Proof, make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    async with connected(server.address) as client:
        cards = await record_rounds(client, proof, calm)
    report(proof, f"Histories, {server.engine}", cards)
    assert all(each.known for card in cards for each in card.history)
    assert server.stop() == 0
    check_books(server.database_url)


async def test_one_thing_at_a_time_through_faults(
    proof: Proof, database_url: str, tmp_path: Path
) -> None:
    """Connections are cut, reset and slow; now and then the server dies."""
    with GrpcServer(database_url, tmp_path, port=free_port()) as server:
        server.start()
        with Troubles(server, proof.random("faults")) as troubles:

            async def trouble(round_: int) -> None:
                await troubles.disturb(kill=round_ % _KILLS == _KILLS - 1)

            async with connected(*troubles.addresses, channels=2) as client:
                cards = await record_rounds(client, proof, trouble)
        report(
            proof, f"Histories through faults, {server.engine}", cards, kills=troubles.kills,
            cuts=troubles.cuts,
        )  # fmt: skip
        assert troubles.kills, "the server was never killed"
        assert any(not each.known for card in cards for each in card.history), "no doubt arose"
        assert server.stop() == 0
    check_books(database_url)


# The checker must find what is wrong


@pytest.mark.parametrize("bug", ["stale_balance", "stale_read"])
async def test_a_bug_is_found(proof: Proof, make_server: MakeServer, bug: str) -> None:
    server = make_server(bug)
    server.start()
    async with connected(server.address) as client:
        rounds = await _rounds_until_found(client, proof.random(bug))
    proof.report(f"Bug found by histories, {bug}, {server.engine}", rounds=rounds)


async def test_acknowledging_before_commit_is_found(
    proof: Proof, database_url: str, tmp_path: Path
) -> None:
    dice = proof.random("acknowledge")
    module = ("tests.faults.planted", "acknowledge_before_commit")

    async def kill(round_: int) -> None:
        await asyncio.sleep(dice.uniform(0.1, 0.3))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    with GrpcServer(database_url, tmp_path, port=free_port(), module=module) as server:
        server.start()
        async with connected(server.address) as client:
            rounds = await _rounds_until_found(client, dice, kill)
        proof.report(f"Bug found by histories, {module[1]}, {server.engine}", rounds=rounds)


async def test_a_missing_row_lock_is_found(
    proof: Proof, postgresql_url: str, tmp_path: Path
) -> None:
    """Of two workers, where the wall behind the lock is gone too."""
    seed(postgresql_url, keys_in(tmp_path))
    plain = postgresql_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        found = connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'entry'::regclass AND contype = 'p'"
        ).fetchone()
        assert found is not None
        connection.execute(
            sql.SQL("ALTER TABLE entry DROP CONSTRAINT {}").format(sql.Identifier(found[0]))
        )
    module = ("tests.faults.planted", "no_row_lock")
    with (
        GrpcServer(postgresql_url, tmp_path, module=module) as first,
        GrpcServer(postgresql_url, tmp_path, module=module, log_name="second.log") as second,
    ):
        first.start()
        second.start()
        async with connected(first.address, second.address) as client:
            rounds = await _rounds_until_found(client, proof.random("no_row_lock"))
    proof.report("Bug found by histories, no_row_lock, postgresql", rounds=rounds)


async def _rounds_until_found(client: Client, dice: random.Random, trouble: Trouble = calm) -> int:
    """In how many rounds a history was refused."""
    for round_ in range(1, _BUG_ROUNDS + 1):
        cards = await new_cards(client, _AT_ONCE, dice)
        await asyncio.gather(record_all(client, cards), trouble(round_))
        if not all(card.is_linearizable() for card in cards):
            return round_
    raise AssertionError(f"{_BUG_ROUNDS * _AT_ONCE} histories, and all of them were accepted")
