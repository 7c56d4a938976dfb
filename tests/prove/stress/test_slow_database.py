"""A database that is far away or does not answer: an answer or a refusal within the deadline."""

import asyncio
import time
from pathlib import Path

import pytest
from giftcard import v1

from tests.fault_proxy import FaultProxy
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.grpc_server import GrpcServer
from tests.postgres import server_of, through
from tests.prove.proof import Proof

_DEADLINE_SECONDS = 2.0
#: What a busy machine may add before a caller counts as left waiting.
_LATE_SECONDS = 1.0
_CALLERS = 16
_DELAYS_SECONDS = (0.002, 0.02, 0.2, 1.0, 10.0)


@pytest.mark.slow
async def test_an_answer_or_a_refusal_in_time(
    proof: Proof, postgresql_url: str, tmp_path: Path
) -> None:
    each = proof.cases(push=3, release=50)
    heard: list[tuple[float, Said]] = []
    with (
        FaultProxy(server_of(postgresql_url)) as proxy,
        GrpcServer(through(proxy, postgresql_url), tmp_path) as server,
    ):
        server.start()
        async with connected(server.address, channels=8) as client:
            cards = await client.issue(c.INITIAL, _CALLERS)
            requests = []
            for delay in _DELAYS_SECONDS:
                proxy.delay(delay)
                asked = await _ask(client, cards, each)
                requests += [request for request, _, _ in asked]
                heard += [(seconds, said) for _, seconds, said in asked]
            proxy.heal()
            # Whatever a caller was told, the same request tells in the end; it happens once.
            gate = asyncio.Semaphore(_CALLERS)

            async def resolve(request: v1.RedeemGiftCardRequest) -> bool:
                async with gate:
                    return (await client.settle("RedeemGiftCard", request)).ok

            assert all(await asyncio.gather(*map(resolve, requests)))
            left = sum([(await client.card(card)).balance.minor_units for card in cards])
        assert server.stop() == 0
    lost = c.INITIAL * _CALLERS - len(requests) - left
    late = sum(seconds > _DEADLINE_SECONDS + _LATE_SECONDS for seconds, _ in heard)
    codes = {said.code for _, said in heard}
    proof.report(
        "Slow database", calls=len(heard), answered=sum(said.ok for _, said in heard), late=late,
        slowest_seconds=round(max(seconds for seconds, _ in heard), 2), lost=lost,
    )  # fmt: skip
    allowed = {"OK", "DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert codes <= allowed, codes
    assert "OK" in codes, "it was never quick enough for anybody"
    assert lost == 0
    check_books(postgresql_url)


async def _ask(
    client: Client, cards: list[str], each: int
) -> list[tuple[v1.RedeemGiftCardRequest, float, Said]]:
    """Every card pays a few times at once; how long each caller waited, and for what."""

    async def one(card: str) -> tuple[v1.RedeemGiftCardRequest, float, Said]:
        request = c.redeem(card, 1)
        began = time.monotonic()
        said = await client.call("RedeemGiftCard", request, timeout_seconds=_DEADLINE_SECONDS)
        return request, time.monotonic() - began, said

    return await asyncio.gather(*(one(card) for card in cards for _ in range(each)))
