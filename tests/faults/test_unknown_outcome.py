"""COMMIT fails and nobody knows whether it took effect: that is what the callers are told."""

import asyncio
from pathlib import Path

import pytest
from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.faults.conftest import MakeServer
from tests.faults.planted import TRIGGER
from tests.prove.proof import Proof

_CALLS = 20
_FATAL_STATUS = 70


@pytest.mark.parametrize(
    ("plant", "truth"),
    [("commit_fails_before", "NOT_SEEN"), ("commit_fails_after", "APPROVED")],
)
async def test_failed_commit_is_unknown_until_looked_up(
    proof: Proof, make_server: MakeServer, tmp_path: Path, plant: str, truth: str
) -> None:
    trigger = tmp_path / "fail-the-next-commit"
    server = make_server(plant, environment={TRIGGER: str(trigger)})
    server.start()
    stays_up = server.database_url.startswith("postgresql")
    requests = []
    async with connected(server.address) as client:
        (card,) = await client.issue()
        requests = [c.redeem(card, 1) for _ in range(_CALLS)]
        trigger.touch()
        said = await asyncio.gather(*(client.call("RedeemGiftCard", each) for each in requests))
        assert not trigger.exists(), "no commit failed"
    unknown = [request for request, told in zip(requests, said, strict=True) if _unknown(told)]
    assert unknown, f"nobody was told that the outcome is unknown: {set(said)}"
    # What came later was carried out, or not begun: gRPC says CANCELLED where the server stopped.
    for told in said:
        assert told.ok or told.code == "UNAVAILABLE" or not told.reason, told
    if not stays_up:
        assert server.wait() == _FATAL_STATUS
        server.start()
    async with connected(server.address) as client:
        for request in unknown:
            assert await client.state(request.request_id) == truth
        await _send_again(client, requests)
        assert (await client.card(card)).balance.minor_units == c.INITIAL - _CALLS
    assert server.stop() == 0
    check_books(server.database_url)
    proof.report(
        f"{plant.replace('_', ' ').capitalize()} effect, {server.engine}",
        calls=_CALLS, told_unknown=len(unknown),
    )  # fmt: skip


def _unknown(said: Said) -> bool:
    if (said.code, said.reason) != ("UNAVAILABLE", "OUTCOME_UNKNOWN"):
        return False
    assert said.retry_seconds, "an unknown outcome says when to ask again"
    return True


async def _send_again(client: Client, requests: list[v1.RedeemGiftCardRequest]) -> None:
    answers = [await client.answer("RedeemGiftCard", request) for request in requests]
    assert all(answer.approved_amount.minor_units == 1 for answer in answers)
