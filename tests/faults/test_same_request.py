"""The same request many times at once: one effect, and everybody is told the same."""

import pytest
from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books, check_one_effect, check_same_request
from tests.faults.client import connected
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

_WIDTH = 64
#: At length fewer at once and more of them: the race is between two.
_LONG_WIDTH = 4
_REDEEM_ROUNDS = 200
_AUTHORIZE_ROUNDS = 100
_CARDS = 20


async def test_same_redemption_64_times_at_once(proof: Proof, server: GrpcServer) -> None:
    await _race_redemptions(server, rounds=_REDEEM_ROUNDS, width=_WIDTH)
    _report(proof, f"Same redemption at once, {server.engine}", _REDEEM_ROUNDS, _WIDTH)


@pytest.mark.slow
async def test_same_redemption_at_once_at_length(proof: Proof, server: GrpcServer) -> None:
    rounds = proof.cases(push=10_000, release=1_000_000) // 2
    await _race_redemptions(server, rounds=rounds, width=_LONG_WIDTH)
    _report(proof, f"Same-id races, {server.engine}", rounds, _LONG_WIDTH)


def _report(proof: Proof, suite: str, races: int, senders: int) -> None:
    """After the checks, each of which ends the test where it does not hold."""
    proof.report(suite, races=races, senders=senders)


async def _race_redemptions(server: GrpcServer, *, rounds: int, width: int) -> None:
    async with connected(server.address) as client:
        cards = await client.issue(c.INITIAL * 100, _CARDS)
        requests = [c.redeem(cards[round_ % _CARDS], 7) for round_ in range(rounds)]
        answers = await check_same_request(
            client, "RedeemGiftCard", requests, v1.RedeemGiftCardResponse, width=width,
            rounds_at_once=4 * _WIDTH // width,
        )  # fmt: skip
        assert all(answer.approved_amount.minor_units == 7 for answer in answers)
        for number, card in enumerate(cards):
            mine = requests[number::_CARDS]
            await check_one_effect(client, card, [request.request_id for request in mine])
            spent = 7 * len(mine)
            assert (await client.card(card)).balance.minor_units == c.INITIAL * 100 - spent
    assert server.stop() == 0
    check_books(server.database_url)


async def test_same_authorization_64_times_at_once(proof: Proof, server: GrpcServer) -> None:
    async with connected(server.address) as client:
        (card,) = await client.issue()
        requests = [c.authorize(card, 7) for _ in range(_AUTHORIZE_ROUNDS)]
        answers = await check_same_request(
            client, "AuthorizeGiftCard", requests, v1.AuthorizeGiftCardResponse, width=_WIDTH
        )
        await check_one_effect(client, card, [request.request_id for request in requests])
        holds = await client.holds(card)
        assert {hold.name for hold in holds} == {answer.hold.name for answer in answers}
        assert len(holds) == _AUTHORIZE_ROUNDS
        found = await client.card(card)
        assert found.held.minor_units == 7 * _AUTHORIZE_ROUNDS
        assert found.available.minor_units == c.INITIAL - 7 * _AUTHORIZE_ROUNDS
    assert server.stop() == 0
    check_books(server.database_url)
    _report(proof, f"Same authorization at once, {server.engine}", _AUTHORIZE_ROUNDS, _WIDTH)
