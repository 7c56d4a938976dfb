"""Two worker processes over one PostgreSQL: what holds for one process holds for both."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import (
    check_books,
    check_no_double_spend,
    check_one_effect,
    check_same_request,
)
from tests.faults.client import connected
from tests.grpc_server import GrpcServer
from tests.ports import free_port
from tests.prove.proof import Proof

_ROUNDS = 100


@pytest.fixture
def workers(postgresql_url: str, tmp_path: Path) -> Iterator[tuple[GrpcServer, GrpcServer]]:
    """They share a port, as the supervisor's workers do."""
    port = free_port()
    environment = {"GIFTCARD_WORKERS": "2"}
    with (
        GrpcServer(postgresql_url, tmp_path, port=port, environment=environment) as first,
        GrpcServer(
            postgresql_url, tmp_path, port=port, environment=environment, log_name="second.log"
        ) as second,
    ):
        first.start()
        second.start()
        yield first, second


async def test_same_request_to_both(proof: Proof, workers: tuple[GrpcServer, GrpcServer]) -> None:
    first, second = workers
    assert first.address == second.address
    # The kernel spreads connections; of 32, all at one worker is a matter of 1 in 2**31.
    async with connected(first.address, channels=32) as client:
        (card, other) = await client.issue(c.INITIAL, 2)
        redemptions = [c.redeem(card, 7) for _ in range(_ROUNDS)]
        await check_same_request(
            client, "RedeemGiftCard", redemptions, v1.RedeemGiftCardResponse, width=32
        )
        await check_one_effect(client, card, [each.request_id for each in redemptions])
        found = await client.card(card)
        assert found.balance.minor_units == c.INITIAL - 7 * _ROUNDS
        holds = [c.authorize(other, 7) for _ in range(_ROUNDS // 5)]
        await check_same_request(
            client, "AuthorizeGiftCard", holds, v1.AuthorizeGiftCardResponse, width=32
        )
        assert len(await client.holds(other)) == len(holds)
        await check_no_double_spend(client, cards=5, value=10, purchases=40)
    for worker in workers:
        assert await asyncio.to_thread(worker.stop) == 0
        assert worker.log.count("/RedeemGiftCard") > _ROUNDS, "one worker had nothing to do"
    check_books(first.database_url)
    proof.report(
        "Same-id races, two workers", races=len(redemptions) + len(holds), senders=32,
    )  # fmt: skip
