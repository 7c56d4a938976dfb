"""The same request many times at once: one effect, and everybody is told the same."""

from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books, check_one_effect, check_same_request
from tests.faults.client import connected
from tests.grpc_server import GrpcServer

_WIDTH = 64
_REDEEM_ROUNDS = 1000
_AUTHORIZE_ROUNDS = 100
_CARDS = 20


async def test_same_redemption_64_times_at_once(server: GrpcServer) -> None:
    async with connected(server.address) as client:
        cards = await client.issue(c.INITIAL, _CARDS)
        requests = [c.redeem(cards[round_ % _CARDS], 7) for round_ in range(_REDEEM_ROUNDS)]
        answers = await check_same_request(
            client, "RedeemGiftCard", requests, v1.RedeemGiftCardResponse, width=_WIDTH
        )
        assert all(answer.approved_amount.minor_units == 7 for answer in answers)
        for number, card in enumerate(cards):
            mine = requests[number::_CARDS]
            await check_one_effect(client, card, [request.request_id for request in mine])
            spent = 7 * len(mine)
            assert (await client.card(card)).balance.minor_units == c.INITIAL - spent
    assert server.stop() == 0
    check_books(server.database_url)


async def test_same_authorization_64_times_at_once(server: GrpcServer) -> None:
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
