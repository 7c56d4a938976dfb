"""A till that was put away with its queue full, and sends it more than a year later."""

from typing import Any

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.faults.conftest import Clock
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

_DAYS = 400


async def test_a_request_of_400_days_ago_is_a_replay(
    proof: Proof, clocked_server: GrpcServer, clock: Clock
) -> None:
    """Of a server that was started anew: nothing of it can have been in memory."""
    server = clocked_server
    async with connected(server.address) as client:
        card, other = await client.issue(50, 2)
        asked = [
            ("IssueGiftCard", c.issue(70)),
            ("RedeemGiftCard", c.redeem(card, 20)),
            ("AuthorizeGiftCard", c.authorize(card, 10)),
            ("RedeemGiftCard", c.redeem(other, 51)),
        ]
        first = [await client.call(*each) for each in asked]
        assert [said.reason for said in first] == ["", "", "", "INSUFFICIENT_FUNDS"]
        sold = await client.transactions()
    assert server.stop() == 0
    clock.advance(_DAYS * 86_400)
    server.start()
    async with connected(server.address) as client:
        for (method, request), said in zip(asked, first, strict=True):
            await _check_again(client, method, request, said)
        assert [each.name for each in await client.transactions()] == [each.name for each in sold]
    assert server.stop() == 0
    check_books(server.database_url)
    proof.report(
        f"Requests of {_DAYS} days ago, {server.engine}",
        requests=len(asked), restarts=1,
    )  # fmt: skip


async def _check_again(client: Client, method: str, request: Any, first: Said) -> None:
    """The same request hears the same, one of another meaning is refused."""
    again = await client.call(method, request)
    assert (again.code, again.reason) == (first.code, first.reason)
    if first.ok:
        assert again.message.replayed
        assert again.message.transaction == first.message.transaction
    other = type(request)()
    other.CopyFrom(request)
    other.context.receipt += "-2"
    refused = await client.call(method, other)
    assert refused.reason == "REQUEST_ID_REUSED", refused
