"""A question or an answer that is cut anywhere: the caller finds out, or undoes it, and exactly so.

Three ways out, each by itself: to send the same request again, to look it up and seal it if it has
not been seen, and to reverse it by its own request id.  Afterwards it was done once or never, the
caller knows which, and a late copy of the request changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from giftcard import v1

from tests.fault_proxy import FAULTS, FaultProxy, Way
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import UNDECIDED, Client, connected
from tests.grpc_server import GrpcServer
from tests.postgres import server_of, through
from tests.prove.proof import Proof

pytestmark = pytest.mark.slow

_OFFSETS_MAX: Final = 20_000
_AMOUNT: Final = 7
#: The shim's and our own clients' patience with an answer that never comes.
_PATIENCE_SECONDS: Final = 1.0
_LATE: Final = frozenset({"REQUEST_SEALED", "REVERSED_BEFORE_ARRIVAL"})


@dataclass(slots=True)
class Asked:
    """A redemption whose answer was cut, on a card of its own."""

    card: str
    request: v1.RedeemGiftCardRequest


#: Finds out or undoes; returns whether the money is spent now.
Resolver = Callable[[Client, Asked], Awaitable[bool]]


async def send_again(client: Client, asked: Asked) -> bool:
    answer = await client.settle("RedeemGiftCard", asked.request)
    assert answer.ok, answer
    return True


async def look_up_and_seal(client: Client, asked: Asked) -> bool:
    request = v1.LookupTransactionRequest(request_id=asked.request.request_id, seal=True)
    found = await client.read("LookupTransaction", request)
    states = v1.LookupTransactionResponse
    assert found.state in (states.APPROVED, states.SEALED), found
    await _send_late(client, asked, spent=found.state == states.APPROVED)
    return bool(found.state == states.APPROVED)


async def reverse(client: Client, asked: Asked) -> bool:
    answer = await client.settle("ReverseTransaction", c.reverse(asked.request.request_id))
    assert answer.ok, answer
    await _send_late(client, asked, spent=None)
    return False


async def _send_late(client: Client, asked: Asked, *, spent: bool | None) -> None:
    """The network delivers the request once more; `spent` None where either answer is right."""
    said = await client.settle("RedeemGiftCard", asked.request)
    if said.ok:
        assert said.message.replayed, "a late copy was carried out"
        assert spent is not False
    else:
        assert said.reason in _LATE, said
        assert spent is not True


RESOLVERS: Final[dict[str, Resolver]] = {
    "send again": send_again,
    "look up and seal": look_up_and_seal,
    "reverse": reverse,
}


async def resolve_cuts(
    proof: Proof, client: Client, shaken: Callable[[], Any], proxy: FaultProxy, way: Way
) -> int:
    """Cuts at one offset after the other, until the words are whole; every way out for each."""
    cut, step = 0, proof.cases(push=83, release=1)
    start = proof.random(f"offsets/{way}").randrange(step)
    for number, offset in enumerate(range(start, _OFFSETS_MAX, step)):
        cuts = proxy.cuts
        for name, resolver in RESOLVERS.items():
            asked = await _cut_one(client, shaken, proxy, way, offset, reset=number % 2 == 1)
            spent = await resolver(client, asked)
            left = (await client.card(asked.card)).balance.minor_units
            assert left == c.INITIAL - _AMOUNT * spent, (name, way, offset)
        if proxy.cuts == cuts:
            assert cut, "nothing was cut"
            return cut
        cut += proxy.cuts - cuts
    raise AssertionError("the words do not end")


async def _cut_one(
    client: Client, shaken: Callable[[], Any], proxy: FaultProxy, way: Way, offset: int, *,
    reset: bool,
) -> Asked:  # fmt: skip
    (card,) = await client.issue()
    asked = Asked(card, c.redeem(card, _AMOUNT))
    # A new connection each time, so that its opening words are cut too.
    async with shaken() as one:
        await asyncio.to_thread(proxy.cut_after, offset, way=way, reset=reset)
        said = await one.call("RedeemGiftCard", asked.request, timeout_seconds=_PATIENCE_SECONDS)
        assert said.ok or said.code in UNDECIDED, said
        await asyncio.to_thread(proxy.heal)
    return asked


@pytest.mark.parametrize("way", ["answers", "questions"])
async def test_cut_between_client_and_server(
    proof: Proof, database_url: str, tmp_path: Path, way: Way
) -> None:
    with GrpcServer(database_url, tmp_path) as server:
        server.start()
        with FaultProxy(server.address) as proxy:
            async with connected(server.address) as client:
                cuts = await resolve_cuts(
                    proof, client, lambda: connected(proxy.address, channels=1), proxy, way
                )
        proof.report(
            f"Client's {way} cut, {server.engine}", cuts=cuts, resolvers=len(RESOLVERS),
        )  # fmt: skip
        assert server.stop() == 0
    check_books(database_url)


async def test_broken_between_client_and_server(
    proof: Proof, database_url: str, tmp_path: Path
) -> None:
    """Slow, reset, swallowed, half-open: a request for each way out at once, on one connection."""
    rounds, dice, unanswered = proof.cases(push=1, release=50), proof.random("broken"), 0
    with GrpcServer(database_url, tmp_path) as server:
        server.start()
        with FaultProxy(server.address) as proxy:
            async with connected(server.address) as client:
                for fault in [*FAULTS.values()] * rounds:
                    begin = partial(fault, proxy, dice)
                    unanswered += await _broken_once(client, proxy, begin)
        proof.report(
            f"Way between client and server broken, {server.engine}",
            requests=rounds * len(FAULTS) * len(RESOLVERS), unanswered=unanswered,
        )  # fmt: skip
        assert unanswered, "nothing was broken"
        assert server.stop() == 0
    check_books(database_url)


async def _broken_once(client: Client, proxy: FaultProxy, begin: Callable[[], None]) -> int:
    """Returns how many requests were not answered."""
    everybody = [Asked(card, c.redeem(card, _AMOUNT)) for card in await client.issue(count=3)]
    async with connected(proxy.address, channels=1) as one:
        await one.card(everybody[0].card)
        await asyncio.to_thread(begin)
        said = await asyncio.gather(
            *(
                one.call("RedeemGiftCard", asked.request, timeout_seconds=_PATIENCE_SECONDS)
                for asked in everybody
            )
        )
        await asyncio.to_thread(proxy.heal)
    for asked, (name, resolver) in zip(everybody, RESOLVERS.items(), strict=True):
        spent = await resolver(client, asked)
        left = (await client.card(asked.card)).balance.minor_units
        assert left == c.INITIAL - _AMOUNT * spent, name
    assert all(each.ok or each.code in UNDECIDED for each in said), said
    return sum(not each.ok for each in said)


@pytest.mark.parametrize("way", ["answers", "questions"])
async def test_cut_between_server_and_database(
    proof: Proof, postgresql_url: str, tmp_path: Path, way: Way
) -> None:
    """The server says that it does not know, or does it again where nothing was committed."""
    with (
        FaultProxy(server_of(postgresql_url)) as proxy,
        GrpcServer(through(proxy, postgresql_url), tmp_path) as server,
    ):
        server.start()
        async with connected(server.address) as client:
            cuts, told = await _cut_database(proof, client, proxy, way)
        assert server.stop() == 0
    proof.report(
        f"Database's {way} cut", cuts=cuts, told_unknown=told, resolvers=len(RESOLVERS),
    )  # fmt: skip
    check_books(postgresql_url)


async def _cut_database(
    proof: Proof, client: Client, proxy: FaultProxy, way: Way
) -> tuple[int, int]:
    cut, told, step = 0, 0, proof.cases(push=307, release=1)
    start = proof.random(f"offsets/{way}").randrange(step)
    for offset in range(start, _OFFSETS_MAX, step):
        cuts = proxy.cuts
        for name, resolver in RESOLVERS.items():
            (card,) = await client.issue()
            asked = Asked(card, c.redeem(card, _AMOUNT))
            await asyncio.to_thread(proxy.cut_after, offset, way=way)
            said = await client.call("RedeemGiftCard", asked.request)
            await asyncio.to_thread(proxy.heal)
            assert said.ok or said.reason in ("OUTCOME_UNKNOWN", "UNAVAILABLE"), said
            told += said.reason == "OUTCOME_UNKNOWN"
            spent = await resolver(client, asked)
            left = (await client.card(asked.card)).balance.minor_units
            assert left == c.INITIAL - _AMOUNT * spent, (name, way, offset)
        if proxy.cuts == cuts:
            assert cut, "nothing was cut"
            return cut, told
        cut += proxy.cuts - cuts
    raise AssertionError("the words do not end")


async def test_orders_of_original_and_reversal(
    proof: Proof, database_url: str, tmp_path: Path
) -> None:
    """However original, reversal and their repeats arrive, also across a kill: no money moved."""
    dice = proof.random("orders")
    rounds = proof.cases(push=60, release=5000)
    with GrpcServer(database_url, tmp_path) as server:
        server.start()
        kills = 0
        for batch in range(3):
            async with connected(server.address) as client:
                for _ in range(rounds // 3):
                    (card,) = await client.issue()
                    original = c.redeem(card, _AMOUNT)
                    undo = c.reverse(original.request_id)
                    words = [("RedeemGiftCard", original), ("ReverseTransaction", undo)] * 2
                    dice.shuffle(words)
                    for method, request in words:
                        said = await client.settle(method, request)
                        assert said.ok or said.reason in _LATE, said
                    assert (await client.card(card)).balance.minor_units == c.INITIAL
                (card,) = await client.issue()
                split = c.redeem(card, _AMOUNT)
                await client.call("RedeemGiftCard", split)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            kills += 1
            async with connected(server.address) as client:
                await reverse(client, Asked(card, split))
                assert (await client.card(card)).balance.minor_units == c.INITIAL, batch
        proof.report(
            f"Original and reversal in any order, {server.engine}", rounds=rounds, kills=kills,
        )  # fmt: skip
        assert server.stop() == 0
    check_books(database_url)
