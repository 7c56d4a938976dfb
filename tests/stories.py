"""Tables of operations: one line asks one thing and says what must come of it.

    play(
        (Issue("A", 100), ok(A=100)),
        (Redeem("A", 30).named("sale"), ok(A=70)),
        (Redeem("A", 71), no("INSUFFICIENT_FUNDS", A=70)),
        (Reverse("sale"), ok(A=100, reversal="REVERSED")),
    )

Capital keywords are cards: a balance, or `card(...)` where more than the balance matters.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from server.domain.commands import Location
from tests.memory_ledger import MemoryLedger
from tests.operations import EPOCH, CardFigures, Operation, Request

#: Noon of a Sunday, in UTC.
NOON = "2026-03-01T12:00:00Z"


def instant(text: str) -> int:
    """Microseconds since the epoch."""
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class At:
    """The clock shows this from here on."""

    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class card:  # noqa: N801 - reads as a word of the tables
    """What a card must show; what is left out is not asked.

    `tranches` are origin and balance, in the order of the alphabet, emptied ones left out.
    """

    balance: int
    held: int | None = None
    state: str | None = None
    tranches: tuple[tuple[str, int], ...] | None = None

    def differs_from(self, shown: CardFigures) -> str:
        found = card(
            shown.balance,
            None if self.held is None else shown.held,
            None if self.state is None else shown.state,
            None if self.tranches is None else tuple((t[0], t[1]) for t in shown.tranches),
        )
        return "" if found == self else f"{found} instead of {self}"


@dataclass(frozen=True, slots=True)
class Expected:
    reason: str | None
    answer: dict[str, Any]
    cards: dict[str, card] = field(default_factory=dict)


def ok(**facts: Any) -> Expected:
    """Approved, with these facts of the answer (`approved`, `plan`, ...) and of the cards."""
    return _expected(None, facts)


def no(reason: str, **facts: Any) -> Expected:
    """Refused for this reason, with these facts of its metadata; the cards show this."""
    return _expected(reason, facts)


def _expected(reason: str | None, facts: dict[str, Any]) -> Expected:
    cards = {
        name: value if isinstance(value, card) else card(value)
        for name, value in facts.items()
        if name[0].isupper()
    }
    return Expected(reason, {n: v for n, v in facts.items() if n not in cards}, cards)


Line = tuple[Operation | Request, Expected] | At | Wait


def play(*lines: Line, now: str = NOON, zone: str = "UTC") -> MemoryLedger:
    """Carries the lines out on the rules alone and compares each with what it expects."""
    ledger = MemoryLedger(instant(now), Location(time_zone=zone))
    for number, line in enumerate(lines, start=1):
        if isinstance(line, At):
            ledger.clock.now = instant(line.text)
        elif isinstance(line, Wait):
            ledger.clock.advance(line.seconds)
        else:
            _check(ledger, number, *line)
    return ledger


def _check(
    ledger: MemoryLedger, number: int, asked: Operation | Request, expected: Expected
) -> None:
    request = Request(asked) if isinstance(asked, Operation) else asked
    request = request if request.id else request.named(f"line {number}")
    outcome = ledger.perform(request)
    where = f"line {number}, {request.operation}"
    assert outcome.reason == expected.reason, f"{where}: {outcome.reason or 'approved'}"
    for name, value in expected.answer.items():
        refused = expected.reason is not None
        found = outcome.metadata.get(name) if refused else getattr(outcome, name)
        wanted = str(value) if refused else value
        assert found == wanted, f"{where}: {name} is {found}, expected {value}"
    for handle, shown in outcome.cards.items():
        assert shown == ledger.figures(handle, request.book), f"{where}: the answer shows {shown}"
    for handle, figures in expected.cards.items():
        difference = figures.differs_from(ledger.figures(handle, request.book))
        assert not difference, f"{where}: {handle} shows {difference}"
