"""Five times what a server can do: the excess goes at once, and what it can do it goes on doing.

The load comes at its own pace, whatever is answered, as customers do.  The server's disk is slow on
purpose, so that the server and not this machine is what is overloaded.
"""

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.faults.conftest import MakeServer
from tests.prove.proof import Proof, engine_of

_SETTINGS = {
    "GIFTCARD_QUEUE_LIMIT": "40",
    "GIFTCARD_QUEUE_RESERVE": "40",
    "GIFTCARD_BATCH_LIMIT": "10",
}
_IN_FLIGHT = 40
_TIMES = 5
_RECOVERY_SECONDS_MAX = 60


@dataclass(slots=True)
class _Flood:
    """What became of the calls of a flood."""

    outcomes: Counter[str] = field(default_factory=Counter)
    shed_seconds: list[float] = field(default_factory=list)
    wrong: list[Said] = field(default_factory=list)
    seconds: float = 0.0


@pytest.mark.slow
async def test_five_times_what_it_can_do(proof: Proof, make_server: MakeServer) -> None:
    seconds = proof.cases(push=6, release=60)
    server = make_server("slow_commit", environment=_SETTINGS)
    server.start()
    async with connected(server.address, channels=8) as client:
        cards = await client.issue(c.INITIAL, 20)
        peak, done = await _peak(client, cards, seconds / 2)
        flood = asyncio.create_task(_flood(client, cards, peak * _TIMES, seconds))
        await asyncio.sleep(seconds / 2)
        reserved = [await _resolve_a_doubt(client) for _ in range(10)]
        told = await flood
        recovery = await _seconds_until_served(client, cards[0])
        done += told.outcomes["ok"] + 1
        left = sum([(await client.card(card)).balance.minor_units for card in cards])
    assert server.stop() == 0
    goodput = told.outcomes["ok"] / told.seconds
    shed = sorted(told.shed_seconds)
    lost = c.INITIAL * len(cards) - done - left
    proof.report(
        f"Overload, {engine_of(server.database_url)}",
        peak_per_second=round(peak), offered_per_second=round(peak * _TIMES),
        goodput_per_second=round(goodput), goodput_of_peak=round(goodput / peak, 2),
        shed=len(shed), shed_p50_ms=_milliseconds(shed, 0.5), shed_p99_ms=_milliseconds(shed, 0.99),
        doubt_resolved_p50_ms=round(statistics.median(reserved) * 1000, 1),
        recovery_seconds=round(recovery, 2), wrong_answers=len(told.wrong), lost=lost,
    )  # fmt: skip
    assert shed, "hardly an overload"
    assert told.wrong == []
    assert lost == 0
    check_books(server.database_url)


async def _peak(client: Client, cards: list[str], seconds: float) -> tuple[float, int]:
    """Calls a second with as many in flight as find a place, and how many were answered."""
    done = 0
    started = time.perf_counter()

    async def work(card: str) -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            said = await client.call("RedeemGiftCard", c.redeem(card, 1))
            assert said.ok, said
            done += 1

    await asyncio.gather(*(work(cards[number % len(cards)]) for number in range(_IN_FLIGHT)))
    return done / (time.perf_counter() - started), done


async def _flood(client: Client, cards: list[str], rate: float, seconds: float) -> _Flood:
    told = _Flood()

    async def one(card: str) -> None:
        began = time.perf_counter()
        said = await client.call("RedeemGiftCard", c.redeem(card, 1))
        if said.ok:
            told.outcomes["ok"] += 1
        elif (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED"):
            told.outcomes["shed"] += 1
            told.shed_seconds.append(time.perf_counter() - began)
            if not said.retry_seconds:
                told.wrong.append(said)
        else:
            told.wrong.append(said)

    started = time.perf_counter()
    calls: list[asyncio.Task[None]] = []
    while (passed := time.perf_counter() - started) < seconds:
        due = int(passed * rate) - len(calls)
        calls += [asyncio.create_task(one(cards[len(calls) % len(cards)])) for _ in range(due)]
        await asyncio.sleep(0.002)
    await asyncio.gather(*calls)
    told.seconds = time.perf_counter() - started
    return told


async def _resolve_a_doubt(client: Client) -> float:
    """Undoes what never arrived, under full load; the seconds it took."""
    began = time.perf_counter()
    said = await client.call("ReverseTransaction", c.reverse(c.unique()))
    assert said.ok, said
    return time.perf_counter() - began


async def _seconds_until_served(client: Client, card: str) -> float:
    began = time.perf_counter()
    request = c.redeem(card, 1)
    while not (await client.call("RedeemGiftCard", request)).ok:
        assert time.perf_counter() - began < _RECOVERY_SECONDS_MAX, "it does not recover"
        await asyncio.sleep(0.05)
    return time.perf_counter() - began


def _milliseconds(ordered: list[float], share: float) -> float:
    return round(ordered[int(len(ordered) * share)] * 1000, 1) if ordered else 0.0
