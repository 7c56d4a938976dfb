"""More than the writer can do: the excess is turned away at once, and undoing still works."""

import asyncio
from collections.abc import Iterator

from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Said, connected
from tests.faults.conftest import MakeServer
from tests.prove.proof import Proof

_PLACES = 40
_SETTINGS = {
    "GIFTCARD_QUEUE_LIMIT": str(_PLACES),
    "GIFTCARD_QUEUE_RESERVE": str(_PLACES),
    "GIFTCARD_BATCH_LIMIT": "10",
}
_CALLS = 500
_CROWD = 4000


async def test_excess_is_shed_and_leaves_nothing(proof: Proof, make_server: MakeServer) -> None:
    server = make_server("slow_commit", environment=_SETTINGS)
    server.start()
    async with connected(server.address) as client:
        (card,) = await client.issue()
        spent = c.redeem(card, 1000)
        await client.answer("RedeemGiftCard", spent)
        requests = [c.redeem(card, 1) for _ in range(_CALLS)]
        flood = [asyncio.create_task(client.call("RedeemGiftCard", each)) for each in requests]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)

        # While the writer is behind: what resolves doubts has places of its own.
        assert await client.state(spent.request_id) == "APPROVED"
        undone = await client.call("ReverseTransaction", c.reverse(spent.request_id))
        assert undone.ok, undone
        assert not all(call.done() for call in flood), "the flood was over too early"

        said = await asyncio.gather(*flood)
        shed = [each for each, told in zip(requests, said, strict=True) if not told.ok]
        done = len(requests) - len(shed)
        assert done >= _PLACES
        assert len(shed) > 100, "hardly an overload"
        for told in said:
            assert told.ok or _is_shed(told), told
        # Nothing of what was shed is stored, and the same ids may come again.
        for some in _portions(shed):
            states = await asyncio.gather(*(client.state(each.request_id) for each in some))
            assert set(states) == {"NOT_SEEN"}
        assert (await client.card(card)).balance.minor_units == c.INITIAL - done
        for some in _portions(shed):
            again = await asyncio.gather(*(client.call("RedeemGiftCard", each) for each in some))
            assert all(told.ok and not told.message.replayed for told in again)
        assert (await client.card(card)).balance.minor_units == c.INITIAL - _CALLS
    assert server.stop() == 0
    check_books(server.database_url)
    proof.report(
        f"More than there is room for, {server.engine}",
        calls=_CALLS, places=_PLACES, carried_out=done, shed=len(shed),
    )  # fmt: skip


async def test_a_crowd_at_once_is_answered_by_us(make_server: MakeServer) -> None:
    """gRPC itself would turn some of so many away, CANCELLED, and say nothing of why."""
    server = make_server()
    server.start()
    async with connected(server.address) as client:
        (card,) = await client.issue()
        crowd = (client.call("RedeemGiftCard", c.redeem(card, 1)) for _ in range(_CROWD))
        said = await asyncio.gather(*crowd)
        assert [each for each in said if not each.ok and not _is_shed(each)] == []
        done = sum(each.ok for each in said)
        assert (await client.card(card)).balance.minor_units == c.INITIAL - done
    assert server.stop() == 0


def _portions(requests: list[v1.RedeemGiftCardRequest]) -> Iterator[list[v1.RedeemGiftCardRequest]]:
    """As many at a time as find a place."""
    for start in range(0, len(requests), _PLACES):
        yield requests[start : start + _PLACES]


def _is_shed(said: Said) -> bool:
    waits = said.retry_seconds is not None and said.retry_seconds > 0
    return (said.code, said.reason, waits) == ("RESOURCE_EXHAUSTED", "OVERLOADED", True)
