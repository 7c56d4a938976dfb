"""Records what several clients ask of one card at the same time, and what each was told.

Whoever is not answered sends the same request again, a few times or not at all: some outcomes stay
unknown, as they do at a till that loses its patience.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, get_args

from giftcard import v1

from tests.faults import client as c
from tests.faults.client import UNDECIDED, Client, Said
from tests.prove.network.card_model import Asked, Figures, Kind, Refusal, State, step
from tests.prove.network.linearizability import Operation, is_linearizable

History = list[Operation[Asked]]

CLIENTS: Final = 5
CALLS: Final = 6
INITIAL: Final = 100
_AMOUNT_MAX: Final = 30
_TIMEOUT_SECONDS: Final = 10.0
_TRIES_MAX: Final = 60
_RETRY_SECONDS: Final = 0.1
_KINDS: Final = get_args(Kind)


@dataclass(frozen=True, slots=True)
class _Hold:
    """`request_id` names it before the service does."""

    request_id: str
    resource: str


class CardHistory:
    """One card that nobody else touches, and what was asked of it."""

    def __init__(self, card: str, dice: random.Random) -> None:
        self.card = card
        self.history: History = []
        self._dice = dice
        self._holds: list[_Hold] = []

    async def record(self, client: Client) -> None:
        """Several clients at once, each with one call after the other."""
        await asyncio.gather(*(self._one_client(client) for _ in range(CLIENTS)))

    def is_linearizable(self) -> bool:
        return is_linearizable(self.history, State(INITIAL), step)

    async def _one_client(self, client: Client) -> None:
        for _ in range(CALLS):
            kind: Kind = self._dice.choice(_KINDS)
            if not await self._ask(client, *self._request(kind)):
                # Who is left in doubt goes away: each doubt doubles what the checker has to try.
                return

    def _request(self, kind: Kind) -> tuple[Asked, str, Any]:
        amount = self._dice.randint(1, _AMOUNT_MAX)
        if kind in ("capture", "void") and not self._holds:
            kind = "authorize"
        if kind == "read":
            return Asked("read"), "GetGiftCard", v1.GetGiftCardRequest(name=self.card)
        if kind == "redeem":
            return Asked(kind, amount), "RedeemGiftCard", c.redeem(self.card, amount)
        if kind == "load":
            return Asked(kind, amount), "LoadGiftCard", c.load(self.card, amount)
        if kind == "authorize":
            request = c.authorize(self.card, amount)
            return Asked(kind, amount, request.request_id), "AuthorizeGiftCard", request
        hold = self._dice.choice(self._holds)
        if kind == "void":
            return Asked(kind, hold=hold.request_id), "VoidHold", c.void(hold.resource)
        return (
            Asked(kind, hold=hold.request_id),
            "CaptureHold",
            c.capture(hold.resource, final=True),
        )

    async def _ask(self, client: Client, asked: Asked, method: str, request: Any) -> bool:
        """Whether the outcome is known, or does not matter."""
        tries = self._dice.choice((1, 3, _TRIES_MAX, _TRIES_MAX))
        doubtful = False
        called = time.monotonic()
        while True:
            said = await client.call(method, request, timeout_seconds=_TIMEOUT_SECONDS)
            answered = time.monotonic()
            tries -= 1
            if said.code not in UNDECIDED:
                break
            # "UNAVAILABLE: nothing was done" is taken at its word; all else is doubt.
            doubtful |= said.reason != "UNAVAILABLE"
            if not tries:
                if not doubtful or asked.kind == "read":
                    return True
                self.history.append(Operation(called, inf, asked))
                return False
            await asyncio.sleep(_RETRY_SECONDS)
        self.history.append(Operation(called, answered, asked, _answer(said)))
        if said.ok and asked.kind == "authorize":
            self._holds.append(_Hold(asked.hold, said.message.hold.name))
        return True


def _answer(said: Said) -> Figures | Refusal:
    if not said.ok:
        # Whatever else it is, the card's rules do not allow it, and the history is refused.
        return Refusal(said.reason or f"{said.code}: {said.details}")
    card = said.message if isinstance(said.message, v1.GiftCard) else said.message.gift_card
    return Figures(card.balance.minor_units, card.held.minor_units)


async def new_cards(client: Client, count: int, dice: random.Random) -> list[CardHistory]:
    issued = await asyncio.gather(
        *(client.read("IssueGiftCard", c.issue(INITIAL)) for _ in range(count))
    )
    return [CardHistory(answer.gift_card.name, dice) for answer in issued]


async def record_all(client: Client, cards: Iterable[CardHistory]) -> None:
    """Records their histories, all at once."""
    await asyncio.gather(*(card.record(client) for card in cards))


def explain(card: CardHistory) -> str:
    """A history that was refused, for the report of a failure."""
    start = min(operation.called for operation in card.history)
    lines = [
        f"  {operation.called - start:8.4f} {operation.answered - start:8.4f}"
        f"  {operation.asked}  {operation.answer}"
        for operation in sorted(card.history, key=lambda each: each.called)
    ]
    return "\n".join([f"{card.card} did not do one thing at a time:", *lines])
