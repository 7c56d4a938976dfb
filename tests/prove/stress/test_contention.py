"""Baskets paid with the same few cards in any order, by two workers: whole or not at all."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, connected
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

_CARDS = 4
_CLIENTS = 8


@pytest.mark.slow
async def test_baskets_of_the_same_cards_never_deadlock(
    proof: Proof, postgresql_url: str, tmp_path: Path
) -> None:
    each = proof.cases(push=100, release=5000)
    dice = proof.random("baskets")
    with (
        GrpcServer(postgresql_url, tmp_path) as first,
        GrpcServer(postgresql_url, tmp_path, log_name="second.log") as second,
    ):
        first.start()
        second.start()
        async with connected(first.address, second.address) as client:
            cards = await client.issue(c.INITIAL, _CARDS)

            async def shop(client: Client) -> int:
                total = 0
                for _ in range(each):
                    chosen = dice.sample(cards, dice.randint(2, _CARDS))
                    amount = dice.randint(1, 50)
                    said = await client.settle("RedeemGiftCards", _basket(chosen, amount))
                    assert said.ok, said
                    total += amount
                return total

            sold = sum(await asyncio.gather(*(shop(client) for _ in range(_CLIENTS))))
            left = [(await client.card(card)).balance.minor_units for card in cards]
        assert (first.stop(), second.stop()) == (0, 0)
    deadlocks = _deadlocks(postgresql_url)
    lost = c.INITIAL * _CARDS - sum(left) - sold
    proof.report(
        "Baskets of the same cards, two workers", baskets=each * _CLIENTS, deadlocks=deadlocks,
        lost=lost,
    )  # fmt: skip
    assert (deadlocks, lost) == (0, 0)
    check_books(postgresql_url)


def _basket(cards: list[str], minor_units: int) -> v1.RedeemGiftCardsRequest:
    return v1.RedeemGiftCardsRequest(
        gift_cards=[c.card_ref(card) for card in cards], amount=c.dollars(minor_units),
        request_id=c.unique(),
    )  # fmt: skip


def _deadlocks(url: str) -> int:
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        row = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])
