"""Asks a subject and the model the same, compares what they say, and chooses what to ask about.

The machine draws; this decides what the drawn numbers mean in the state at hand.
"""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from tests import operations as o
from tests.model.ledger_model import LedgerModel
from tests.operations import DAY, Operation, Outcome, Request, Subject

T = TypeVar("T")


class Driver(RuleBasedStateMachine):
    """Drives one subject and the model side by side."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject
        self.clock = subject.clock
        self.model = LedgerModel()
        self.handles: list[str] = []
        self.holds: list[str] = []
        self.reserved: list[tuple[str, ...]] = []
        self.spent: list[str] = []
        self.history: list[Request] = []
        self.approved: list[Request] = []
        self.stored: dict[str, str | None] = {}
        self.numbers = 0
        subject.begin()

    # Asking

    def ask(self, operation: Operation, client: str = "till", live: bool = True) -> Outcome:
        return self.send(self.request(operation, client, live))

    def request(self, operation: Operation, client: str, live: bool = True) -> Request:
        self.numbers += 1
        book = "LIVE" if live else "TRAINING"
        return Request(operation, f"r{self.numbers}", client, book)

    def send(self, request: Request) -> Outcome:
        expected = self.model.perform(request, self.clock.now)
        actual = self.subject.perform(request)
        self.compare(request, actual, expected)
        return actual

    def compare(self, request: Request, actual: Outcome, expected: Outcome) -> None:
        assert actual == expected, f"{request}\n  answered {actual}\n  expected {expected}"
        if actual.replayed:
            assert actual.stored == self.stored[request.id], "a replay is the first answer"
            return
        figures = self.model.figures(self.now)
        for handle, shown in actual.cards.items():
            assert shown == figures[handle, request.book], request
        if isinstance(request.operation, o.Lookup) or actual.transaction_id is None:
            return
        self.history.append(request)
        if actual.reason is None:
            self.approved.append(request)
        self.stored[request.id] = actual.stored
        if actual.hold_state and isinstance(request.operation, (o.Authorize, o.HoldPoints)):
            self.holds.append(request.id)
        if isinstance(request.operation, (o.Redeem, o.RedeemMany, o.Capture)) and actual.approved:
            self.spent.append(request.id)

    @property
    def now(self) -> int:
        return max(self.model.last_time, self.clock.now)

    # Choosing

    def recent(self, things: Sequence[T], pick: int, default: T) -> T:
        return things[-1 - pick % len(things)] if things else default

    def card(self, pick: int) -> str:
        """Mostly a card that can be used; every fourth time any, so that refusals come too."""
        any_card = self.recent(self.handles, pick // 4, "nobody's")
        return any_card if pick % 4 == 0 else self.recent(self.in_state("ACTIVE"), pick, any_card)

    def other_card(self, pick: int, than: str) -> str:
        """Mostly another card."""
        others = [handle for handle in self.in_state("ACTIVE") if handle != than]
        return self.card(pick) if pick % 8 == 0 else self.recent(others, pick, "nobody's")

    def in_state(self, state: str) -> list[str]:
        cards = self.model.cards.items()
        return [
            handle
            for (handle, book), card in cards
            if (book, card.state) == ("LIVE", state) and not card.is_wallet
        ]

    def customer(self, pick: int) -> str:
        """Mostly one who is known."""
        known = [handle for (handle, _), card in self.model.cards.items() if card.is_wallet]
        return "nobody" if pick % 8 == 0 else self.recent(known, pick, "nobody")

    def new_card(self, again: bool, pick: int) -> str:
        """A new handle, or one that is taken."""
        if again and self.handles:
            return self.card(pick)
        self.handles.append(f"card-{len(self.handles)}")
        return self.handles[-1]

    def sum(self, amount: int | str, available: int) -> int:
        return max(1, amount if isinstance(amount, int) else available + int(amount))

    def available(self, *handles: str) -> int:
        cards = [self.model.cards.get((handle, "LIVE")) for handle in handles]
        return sum(card.available(self.now) for card in cards if card is not None)

    def pin(self, handle: str, typed: str) -> str | None:
        card = self.model.cards.get((handle, "LIVE"))
        right = card.pin if card is not None else None
        return {"right": right, "none": None, "wrong": "0000"}[typed]

    def day(self, days: int | None) -> str | None:
        """The date so many days from now, in UTC."""
        if days is None:
            return None
        return str((o.EPOCH + o.ONE_DAY * (self.clock.now // DAY + days)).date())
