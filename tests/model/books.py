"""The nouns of the naive model: cards, tranches, holds, and what is remembered of a request.

Written from the contract, not from the product's code, which it must never import. Slow and plain
on purpose: everything is recomputed from small lists whenever it is asked for.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.operations import CardFigures, Operation, Outcome
from tests.programs import PROGRAMS

NEVER = 2**63
#: What stands for a program where a card is a customer's points.
WALLET = "a customer's points"


class Refusal(Exception):
    """A business rule says no; the answer is kept under the request id."""


class NoDecision(Exception):
    """Nothing was decided; the request id stays free."""


@dataclass(eq=False)
class Tranche:
    origin: str
    expires: int
    balance: int = 0


@dataclass(eq=False)
class Hold:
    card: "Card"
    client: str
    exclusive: bool
    expires: int
    parts: dict[Tranche, int]
    state: str = "OPEN"

    def state_at(self, now: int) -> str:
        return "EXPIRED" if self.state == "OPEN" and self.expires <= now else self.state

    def keeps(self) -> int:
        return sum(self.parts.values())


@dataclass(eq=False)
class Card:
    handle: str
    book: str
    program: str
    state: str = "INACTIVE"
    max_balance: int | None = None
    reload_allowed: bool = True
    return_allowed: bool = False
    partial_redeem_allowed: bool = True
    valid_from: int | None = None
    valid_until: int | None = None
    starts: int = 0
    expires: int = NEVER
    created_on: int = 0
    pin: str | None = None
    wrong_pins: Counter[str] = field(default_factory=Counter)
    pin_locked_until: dict[str, int] = field(default_factory=dict)
    tranches: list[Tranche] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)

    def rule(self, name: str, default: Any = None) -> Any:
        return PROGRAMS.get(self.program, {}).get(name, default)

    @property
    def is_wallet(self) -> bool:
        return self.program == WALLET

    @property
    def unit(self) -> str:
        if self.is_wallet:
            return "POINTS"
        unit: str = self.rule("unit", "USD")
        return unit

    def open_holds(self, now: int) -> list[Hold]:
        return [hold for hold in self.holds if hold.state_at(now) == "OPEN"]

    def held(self, now: int) -> int:
        return sum(hold.keeps() for hold in self.open_holds(now))

    def free(self, tranche: Tranche, now: int) -> int:
        """What nobody keeps of a tranche, expired or not."""
        return tranche.balance - sum(hold.parts.get(tranche, 0) for hold in self.open_holds(now))

    def spendable(self, tranche: Tranche, now: int) -> int:
        return self.free(tranche, now) if now < tranche.expires else 0

    def available(self, now: int) -> int:
        return sum(self.spendable(tranche, now) for tranche in self.tranches)

    def balance(self, now: int) -> int:
        return self.available(now) + self.held(now)

    def total(self) -> int:
        """All that the books know of, expired value included."""
        return sum(tranche.balance for tranche in self.tranches)

    def in_spend_order(self) -> list[Tranche]:
        """Soonest expiry first, then promotional value, then the oldest."""
        return sorted(
            self.tranches, key=lambda tranche: (tranche.expires, tranche.origin != "PROMO")
        )

    def tranche(self, origin: str, expires: int) -> Tranche:
        for tranche in self.tranches:
            if (tranche.origin, tranche.expires) == (origin, expires):
                return tranche
        self.tranches.append(Tranche(origin, expires))
        return self.tranches[-1]

    def split(self, amount: int, now: int) -> dict[Tranche, int]:
        parts = {}
        for tranche in self.in_spend_order():
            part = min(amount, self.spendable(tranche, now))
            if part > 0:
                parts[tranche] = part
                amount -= part
        return parts

    def figures(self, now: int) -> CardFigures:
        tranches = sorted((t.origin, t.balance, t.expires) for t in self.tranches if t.balance)
        available, held = self.available(now), self.held(now)
        return CardFigures(self.state, available + held, held, available, tuple(tranches))


@dataclass(eq=False)
class Reserved:
    """A code that was reserved once, as long as no card has it."""

    expires: int
    state: str = "RESERVED"


@dataclass(eq=False)
class Move:
    """Value that a request put on a tranche (positive) or took from it (negative).

    `returned` is how much of it was taken back or given back since; `undoes` is the earlier move
    that this one gives back in part.
    """

    card: Card
    tranche: Tranche
    amount: int
    purpose: str
    undoes: "Move | None" = None
    returned: int = 0

    @property
    def left(self) -> int:
        return abs(self.amount) - self.returned


@dataclass(eq=False)
class Decided:
    """What is remembered of a request for as long as the ledger."""

    operation: Operation | None
    outcome: Outcome
    client: str
    book: str
    state: str
    unit: str = ""
    moves: list[Move] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    hold: Hold | None = None
    codes: list[Reserved] = field(default_factory=list)
    closed: list[tuple[Card, str]] = field(default_factory=list)
    validity_before: tuple[int | None, int | None] = (None, None)
    original: "Decided | None" = None
    undone: bool = False
