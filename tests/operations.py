"""What tests ask of a ledger and what they hear back, as plain values.

An operation names cards, holds and earlier requests by short handles, so that one list of
operations runs against every subject: rules in memory, a ledger on a database, a server behind
gRPC, and the model that predicts them all. This module knows nothing of the product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
SECOND = 1_000_000
DAY = 24 * 3600 * SECOND


class Clock:
    """The time of a test, in microseconds since the epoch. Moves only when told to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Moves the clock forward, or back when `seconds` is negative."""
        self.now += int(seconds * SECOND)


@dataclass(frozen=True, slots=True)
class Operation:
    """Base of all operations: what is asked, not who asks it."""

    def named(self, request_id: str) -> "Request":
        """The request with this id; later operations refer to it by the same name."""
        return Request(self, request_id)

    def by(self, client: str) -> "Request":
        return Request(self, client=client)

    def training(self) -> "Request":
        return Request(self, book="TRAINING")


@dataclass(frozen=True, slots=True)
class Request:
    """An operation with who asks it, under which id and in which book.

    The client "office" may undo what others did; any other client only what it did itself.
    """

    operation: Operation
    id: str = ""
    client: str = "till"
    book: str = "LIVE"

    def named(self, request_id: str) -> Self:
        return replace(self, id=request_id)

    def by(self, client: str) -> Self:
        return replace(self, client=client)

    def training(self) -> Self:
        return replace(self, book="TRAINING")


# Cards. Amounts are minor units; dates are ISO 8601; None leaves a policy to the program.


@dataclass(frozen=True, slots=True)
class Create(Operation):
    """`reserved` requires that the code of this card was reserved; in `Issue`, `customer` is one
    who must be known, and whose `points` pay."""

    card: str
    program: str = "GC"
    pin: str | None = None
    max_balance: int | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Issue(Operation):
    card: str
    amount: int
    program: str = "GC"
    unit: str = "USD"
    origin: str = "PAID"
    tranche_until: str | None = None
    pin: str | None = None
    max_balance: int | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    reserved: bool = False
    customer: str | None = None
    points: int = 0


@dataclass(frozen=True, slots=True)
class Reserve(Operation):
    """Codes for these cards to come. `seconds` None keeps them for ever."""

    cards: tuple[str, ...]
    seconds: int | None = None
    program: str = "GC"


@dataclass(frozen=True, slots=True)
class Release(Operation):
    """`of` is the request that reserved; without it `cards` names the codes."""

    of: str = ""
    cards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Activate(Operation):
    card: str
    amount: int
    unit: str = "USD"
    valid_from: str | None = None
    valid_until: str | None = None
    pin: str | None = None


@dataclass(frozen=True, slots=True)
class Load(Operation):
    card: str
    amount: int
    unit: str = "USD"
    origin: str = "PAID"
    tranche_until: str | None = None
    pin: str | None = None


@dataclass(frozen=True, slots=True)
class Lock(Operation):
    card: str


@dataclass(frozen=True, slots=True)
class Unlock(Operation):
    card: str


@dataclass(frozen=True, slots=True)
class Close(Operation):
    card: str
    disposition: str = "REQUIRE_ZERO"
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer(Operation):
    source: str
    target: str
    amount: int | None = None
    close_source: bool = False
    unit: str = "USD"
    pin: str | None = None


@dataclass(frozen=True, slots=True)
class Adjust(Operation):
    card: str
    amount: int
    unit: str = "USD"


@dataclass(frozen=True, slots=True)
class Update(Operation):
    """`changes` are pairs of a policy's name and its new value; see `update`."""

    card: str
    changes: tuple[tuple[str, object], ...]


def update(card: str, **changes: object) -> Update:
    return Update(card, tuple(sorted(changes.items())))


# Customers: a handle names one, and their points are figures as a card's are.


@dataclass(frozen=True, slots=True)
class NewCustomer(Operation):
    customer: str


@dataclass(frozen=True, slots=True)
class Earn(Operation):
    customer: str
    points: int
    until: str | None = None


@dataclass(frozen=True, slots=True)
class AdjustPoints(Operation):
    customer: str
    points: int


@dataclass(frozen=True, slots=True)
class HoldPoints(Operation):
    """`points` None holds all that are available."""

    customer: str
    points: int | None
    partial: bool = False
    seconds: int | None = None


# Spending. A hold is named by the request that opened it.


@dataclass(frozen=True, slots=True)
class Redeem(Operation):
    card: str
    amount: int
    partial: bool = False
    unit: str = "USD"
    pin: str | None = None


@dataclass(frozen=True, slots=True)
class RedeemMany(Operation):
    """`pins` are typed for the cards in the same places."""

    cards: tuple[str, ...]
    amount: int
    partial: bool = False
    soonest_first: bool = False
    unit: str = "USD"
    pins: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Refund(Operation):
    """`of` is the request that redeemed; `by_name` refers to it by its transaction's name."""

    of: str
    amount: int
    unit: str = "USD"
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Authorize(Operation):
    """`amount` None holds all that is available."""

    card: str
    amount: int | None
    partial: bool = False
    exclusive: bool = False
    seconds: int | None = None
    unit: str = "USD"
    pin: str | None = None


@dataclass(frozen=True, slots=True)
class Capture(Operation):
    """`amount` None captures all that remains."""

    hold: str
    amount: int | None = None
    final: bool = False
    unit: str = "USD"


@dataclass(frozen=True, slots=True)
class Void(Operation):
    hold: str


@dataclass(frozen=True, slots=True)
class Reverse(Operation):
    of: str
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Lookup(Operation):
    """What became of the request that has this request's id?"""

    seal: bool = False


@dataclass(frozen=True, slots=True)
class CardFigures:
    """A card as it is shown; tranches are (origin, balance, expiry), emptied ones left out."""

    state: str
    balance: int
    held: int
    available: int
    tranches: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a caller heard. `reason` is None where the answer is yes.

    Ids and what an answer showed of the cards are not compared: nobody can predict the former,
    and a replay may show a card as it was decided or as it is now. `codes` are those that were
    reserved or released; `metadata` is what a refusal tells besides its reason.
    """

    reason: str | None = None
    approved: int | None = None
    hold_state: str | None = None
    reversal: str | None = None
    shortfall: int = 0
    found: str | None = None
    plan: tuple[tuple[str, int], ...] = ()
    codes: int | None = None
    replayed: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)
    hold_id: str | None = field(default=None, compare=False)
    transaction_id: str | None = field(default=None, compare=False)
    stored: str | None = field(default=None, compare=False)
    cards: Mapping[str, CardFigures] = field(default_factory=dict, compare=False)


#: A card's handle and its book.
CardKey = tuple[str, str]


class Subject(Protocol):
    """Something that keeps gift cards: what the state machine needs of it."""

    clock: Clock

    def begin(self) -> None:
        """Starts over with a new merchant, so that no earlier card or request id is known."""

    def perform(self, request: Request) -> Outcome:
        """Carries a request out and waits for its answer."""

    def perform_together(self, requests: Sequence[Request]) -> list[Outcome]:
        """Carries requests out in this order, in one commit where the subject has a choice."""

    def perform_and_die(self, request: Request) -> None:
        """Is killed before the request is committed, and starts again."""

    def crash(self) -> None:
        """Is killed while idle, and starts again on the same database."""

    def close(self) -> None:
        """Stops for good."""

    def inspect(self, now: int) -> dict[CardKey, CardFigures]:
        """All cards as they are at this instant. Raises AssertionError where books disagree."""
