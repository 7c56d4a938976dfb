"""What the state machine needs of a dialect: how a request is said in it, and what it answers.

A voice says what its dialect has words for, and keeps silent about the rest, which then goes over
gRPC.  It knows the vendor's documents and the shim's published conventions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from giftcard import v1

from compat_http.dialect import Dialect
from tests.compat.stage import Said
from tests.operations import CardKey, Request

if TYPE_CHECKING:
    from tests.compat.machine.subject import DialectSubject


def units(value: Any) -> int:
    """Minor units of an amount with at most two decimals."""
    scaled = Decimal(str(value)) * 100
    assert scaled == int(scaled), value
    return int(scaled)


def amount(minor_units: int) -> str:
    """With two decimals, as a JSON string, which every dialect takes."""
    return f"{Decimal(minor_units) / 100:.2f}"


@dataclass(frozen=True, slots=True)
class Line:
    """A request in the dialect's words.

    `request_id` is the id under which the service gets to know it; "" where the shim makes one.
    `send` takes the shim's address and the caller's token.
    """

    send: Callable[[str, str], Said]
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer tells, where it tells it.  `figures` are of a card: balance, held, available.

    `stored` is what a repeat must answer again.
    """

    approved: int | None = None
    figures: Mapping[str, int] = field(default_factory=dict)
    code: str | None = None
    codes: tuple[str, ...] = ()
    transaction: str | None = None
    reversal: tuple[str, ...] = ()
    shortfall: int = 0
    stored: Any = None


class Voice:
    """Base of all voices.  Its dialect has the table from reasons to words."""

    dialect: Dialect
    environment: Mapping[str, str]

    def begin(self, subject: "DialectSubject") -> None:
        """Makes what the dialect needs of a new merchant."""

    def say(self, subject: "DialectSubject", request: Request) -> Line | None:
        """The request said for the first time; None where there are no words for it."""
        raise NotImplementedError

    def repeats(self, subject: "DialectSubject", request: Request, known: v1.Transaction) -> bool:
        """Whether the same words mean a repeat, and not a new request, now that it is decided."""
        return True

    def adds(self, request: Request, line: Line, message: Any) -> None:
        """Puts into the message what the shim sends beside what was asked."""

    def late(self, request_id: str, client: str, book: str) -> str:
        """The service's id of a redemption that has not been sent yet; "" where nothing in the
        dialect names one."""
        return ""

    def hear(self, request: Request, said: Said) -> Told:
        """What an approval tells."""
        raise NotImplementedError

    def reasons(self, said: Said) -> set[str]:
        """Those that an answer may stand for; empty for an approval."""
        raise NotImplementedError

    def undecided(self, reasons: set[str]) -> str:
        """Which of several is meant where nothing was decided."""
        (reason,) = reasons
        return reason

    def read(self, subject: "DialectSubject", key: CardKey) -> Mapping[str, int] | None:
        """A card's figures as the dialect shows them; None where it cannot."""
        return None
