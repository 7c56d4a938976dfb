"""Capture, void and expiry race for the same holds: each hold ends once, and no cent is lost."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest
from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.faults.conftest import Clock
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

_HOLDS: Final = 2_000
_HOLDS_AT_ONCE: Final = 1000
_CARDS: Final = 200
_AUTHORIZED: Final = 9
_CAPTURED_EARLY: Final = 2
_LIFETIME_SECONDS: Final = 3600
_IN_FLIGHT: Final = 256

_ENDS: Final = {
    "HOLD_CAPTURED": v1.Hold.CAPTURED,
    "HOLD_VOIDED": v1.Hold.VOIDED,
    "HOLD_EXPIRED": v1.Hold.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Race:
    """What the two who raced for a hold were told, and whether a part was captured before."""

    hold: str
    early: int
    captured: Said
    voided: Said


async def test_every_hold_ends_once(
    clocked_server: GrpcServer, clock: Clock, dice: random.Random
) -> None:
    await _race_all(clocked_server, clock, dice, _HOLDS)


@pytest.mark.slow
async def test_every_hold_ends_once_at_length(
    proof: Proof, clocked_server: GrpcServer, clock: Clock, dice: random.Random
) -> None:
    count = proof.cases(push=6_000, release=100_000) // 2
    ends = await _race_all(clocked_server, clock, dice, count)
    proof.report(
        f"Hold races, {clocked_server.engine}", holds=count,
        **{name.lower(): number for name, number in sorted(ends.items())},
    )  # fmt: skip


async def _race_all(
    clocked_server: GrpcServer, clock: Clock, dice: random.Random, count: int
) -> Counter[str]:
    gate = asyncio.Semaphore(_IN_FLIGHT)
    races: list[Race] = []
    async with connected(clocked_server.address) as client:
        cards = await client.issue(c.INITIAL, _CARDS)
        while len(races) < count:
            at_once = min(_HOLDS_AT_ONCE, count - len(races))
            races += await _race(client, clock, cards, dice, gate, at_once)
        holds = {hold.name: hold for card in cards for hold in await client.holds(card)}
        assert len(holds) == len(races) == count
        ends = Counter(_check_end(race, holds[race.hold]) for race in races)
        assert min(ends.values()) > count // 50, f"hardly a race: {ends}"
        assert len(ends) == 3
        await _check_cards(client, cards, holds)
    assert clocked_server.stop() == 0
    check_books(clocked_server.database_url)
    return ends


async def _race(
    client: Client,
    clock: Clock,
    cards: list[str],
    dice: random.Random,
    gate: asyncio.Semaphore,
    count: int,
) -> list[Race]:
    async def authorize(number: int) -> tuple[str, int]:
        card = cards[number % len(cards)]
        request = c.authorize(card, _AUTHORIZED, seconds=_LIFETIME_SECONDS)
        async with gate:
            hold = (await client.answer("AuthorizeGiftCard", request)).hold.name
            early = _CAPTURED_EARLY if number % 3 == 0 else 0
            if early:
                await client.answer("CaptureHold", c.capture(hold, early))
        return hold, early

    async def capture(hold: str) -> Said:
        async with gate:
            return await client.call("CaptureHold", c.capture(hold, final=True))

    async def void(hold: str) -> Said:
        async with gate:
            return await client.call("VoidHold", c.void(hold))

    opened = await asyncio.gather(*(authorize(number) for number in range(count)))
    names = [hold for hold, _ in opened]
    # Everybody sets off in an order of their own; somewhere among them, time runs out.
    order = [(hold, ends) for hold in names for ends in (capture, void)]
    dice.shuffle(order)
    tasks = {(hold, ends): asyncio.create_task(ends(hold)) for hold, ends in order}
    tasks[order[len(order) // 2]].add_done_callback(lambda _: clock.advance(_LIFETIME_SECONDS + 1))
    await asyncio.gather(*tasks.values())
    return [
        Race(hold, early, tasks[hold, capture].result(), tasks[hold, void].result())
        for hold, early in opened
    ]


def _check_end(race: Race, hold: v1.Hold) -> str:
    """One end, the one that everybody was told; returns its name."""
    state = v1.Hold.State.Name(hold.state)
    won = [name for name, said in (("CAPTURED", race.captured), ("VOIDED", race.voided)) if said.ok]
    assert len(won) <= 1, f"{race.hold} ended twice: {won}"
    assert state == (won[0] if won else "EXPIRED"), f"{race.hold}: {state}, but {won} was told"
    for said in (race.captured, race.voided):
        assert said.ok or _ENDS.get(said.reason) == hold.state, f"{race.hold} is {state}: {said}"
    released = 0
    if race.voided.ok:
        released = race.voided.message.released_amount.minor_units
    captured = race.early
    if race.captured.ok:
        captured += race.captured.message.captured_amount.minor_units
    expired = _AUTHORIZED - race.early if not won else 0
    assert hold.captured_amount.minor_units == captured, race.hold
    assert captured + released + expired == hold.authorized_amount.minor_units, race.hold
    return state


async def _check_cards(client: Client, cards: list[str], holds: dict[str, v1.Hold]) -> None:
    for name in cards:
        card = await client.card(name)
        taken = sum(
            hold.captured_amount.minor_units for hold in holds.values() if hold.gift_card == name
        )
        assert card.balance.minor_units == c.INITIAL - taken, name
        assert (card.held.minor_units, card.available) == (0, card.balance), name
