"""The nouns of the ledger: cards, the accounts that hold their value, holds, programs.

Instants are microseconds since the epoch, UTC.  Amounts are minor units of the card's unit, an
ISO 4217 code or POINTS.  Objects here are the in-memory state that a batch loads, decides on
and writes back; rules live beside it and never change them, only `decision.apply` does.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from server.domain.currency import POINTS


class Book(IntEnum):
    """Part of every key: a training call can never reach a live card."""

    LIVE = 1
    TRAINING = 2


class CardState(IntEnum):
    """Changed only by operations.  Expired and empty are derived, so no job makes them true."""

    INACTIVE = 1
    ACTIVE = 2
    LOCKED = 3
    CLOSED = 4
    VOIDED = 5


class Origin(IntEnum):
    """Where a tranche's value came from."""

    PAID = 1
    PROMO = 2
    REFUND = 3
    POINTS = 4
    IMPORT = 5


class HoldState(IntEnum):
    OPEN = 1
    CAPTURED = 2
    VOIDED = 3
    EXPIRED = 4


class TransactionState(IntEnum):
    APPROVED = 1
    REFUSED = 2
    SEALED = 3


class Kind(IntEnum):
    """What a transaction did.  Numbers are stored: never reuse one."""

    CREATE = 1
    ACTIVATE = 2
    ISSUE = 3
    LOAD = 4
    REDEEM = 5
    REDEEM_MANY = 6
    REFUND = 7
    AUTHORIZE = 8
    CAPTURE = 9
    VOID = 10
    REVERSE = 11
    LOCK = 12
    UNLOCK = 13
    CLOSE = 14
    TRANSFER = 15
    ADJUST = 16
    UPDATE = 17
    SEAL = 18
    ADMIN = 19
    CHECK_PIN = 21
    RESERVE_CODES = 22
    RELEASE_CODES = 23
    EARN_POINTS = 24


class CodeState(IntEnum):
    """A card has the code; a reservation keeps it; a reservation gave it up."""

    USED = 1
    RESERVED = 2
    RELEASED = 3


class Movement(IntEnum):
    """What a posting means to finance.  A reversal carries the movement that it undoes."""

    SOLD = 1
    ISSUED_FREE = 2
    LOADED = 3
    IMPORTED = 4
    REDEEMED = 5
    REFUNDED = 6
    TRANSFERRED = 7
    ADJUSTED = 8
    CASHED_OUT = 9
    BREAKAGE = 10
    SHORTFALL = 11
    EARNED = 12
    EXCHANGED = 13


class Disposition(IntEnum):
    """What becomes of the balance of a card that is closed."""

    REQUIRE_ZERO = 1
    BREAKAGE = 2
    CASH_OUT = 3
    TRANSFER = 4


class SpendOrder(IntEnum):
    AS_GIVEN = 1
    SOONEST_EXPIRY_FIRST = 2


@dataclass(slots=True, eq=False)
class Account:
    """One tranche: a part of a card's value with its own origin, expiry and debtor.

    `entity` is the legal entity that owes it: the one that sold it, wherever it is spent.
    `create_time` is only told of a new one: no rule asks for it.
    `held` counts every hold not yet ended in the books, so it may include holds whose time is
    over; what is spendable is asked of the card, which knows the clock.
    """

    id: str
    card_id: str
    origin: Origin
    expire_time: int | None
    balance: int = 0
    held: int = 0
    entity: str = ""
    create_time: int = 0
    is_new: bool = False


@dataclass(slots=True)
class HoldLine:
    account_id: str
    authorized: int
    remaining: int


@dataclass(slots=True, eq=False)
class Hold:
    """Authorized, not yet captured.  Ends exactly once; partial captures leave it open."""

    id: str
    card_id: str
    client_id: str
    requested: int
    authorized: int
    exclusive: bool
    sale_reference: str
    expire_time: int
    create_time: int
    lines: list[HoldLine]
    state: HoldState = HoldState.OPEN
    captured: int = 0
    end_time: int | None = None
    is_new: bool = False

    def state_at(self, now: int) -> HoldState:
        """Expiry is derived from the clock, so that no job is needed for it to be true."""
        if self.state is HoldState.OPEN and self.expire_time <= now:
            return HoldState.EXPIRED
        return self.state

    @property
    def remaining(self) -> int:
        return sum(line.remaining for line in self.lines)

    @property
    def authorization_code(self) -> str:
        """What a till prints and sends back: G and 32 hexadecimal characters, made from the id."""
        return "G" + self.id.upper()


@dataclass(slots=True, eq=False)
class Code:
    """A row of codes: that of a card, or one that was reserved for a card to come.

    A reservation is named for its transaction and keeps its codes in order of `line`.  A code
    that was reserved stays its reservation's for ever, whoever uses it later.
    """

    code_hash: str
    card_id: str | None
    state: CodeState
    reservation_id: str | None = None
    line: int | None = None
    expire_time: int | None = None
    is_new: bool = False

    def reserved_at(self, now: int) -> bool:
        """Whether it is kept for a card; a reservation whose time is over keeps nothing."""
        if self.state is not CodeState.RESERVED:
            return False
        return self.expire_time is None or now < self.expire_time


@dataclass(frozen=True, slots=True)
class Program:
    """One immutable version of a card type; a card keeps the version it was issued under."""

    id: str
    version: int
    merchant_id: str
    code: str
    display_name: str
    unit: str
    retired: bool = False
    min_amount: int | None = None
    max_amount: int | None = None
    denominations: tuple[int, ...] = ()
    max_balance: int | None = None
    reload_allowed: bool = True
    return_allowed: bool = False
    partial_redeem_allowed: bool = True
    value_change_allowed: bool = True
    holds_allowed: bool = True
    validity_months: int | None = None
    validity_days: int | None = None
    valid_until: str | None = None
    hold_seconds: int = 7 * 24 * 3600
    code_prefix: str = ""
    code_alphabet: str = "CROCKFORD"
    code_length: int = 15
    code_check: str = "CROCKFORD"
    pin_required: bool = False
    points_per_major_unit: int = 0
    certificate_color: str = ""
    create_time: int = 0
    update_time: int = 0


#: Later than every instant that can be stored: the end of what never ends.
NEVER: Final = 2**63

#: What governs every customer's points.
POINTS_PROGRAM: Final = Program("", 0, "", "", "", POINTS)


@dataclass(slots=True, eq=False)
class Card:
    """A gift card as the ledger sees it: policy, life cycle, chain head and the value it holds.

    A customer's points are a card too, the one with the unit POINTS and the customer's number: a
    wallet.  It has no code and is never reached as a gift card, nor a gift card as a wallet.
    """

    id: str
    cell: int
    merchant_id: str
    book: Book
    program_id: str
    program_version: int
    program_code: str
    unit: str
    state: CardState
    code_last_four: str
    time_zone: str
    create_time: int
    update_time: int
    initial_amount: int = 0
    max_balance: int | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    valid_from_time: int | None = None
    expire_time: int | None = None
    reload_allowed: bool = True
    return_allowed: bool = False
    partial_redeem_allowed: bool = True
    pin_hash: str | None = None
    pin_tries: dict[str, tuple[int, int]] = field(default_factory=dict)
    batch: str = ""
    customer: str = ""
    external_reference: str = ""
    issued_location_id: str | None = None
    issue_time: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    sequence: int = 0
    head: str = ""
    is_new: bool = False
    accounts: list[Account] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)

    @property
    def is_wallet(self) -> bool:
        return self.unit == POINTS

    def account(self, account_id: str | None) -> Account:
        """The account of this id, which is known to be the card's."""
        return {account.id: account for account in self.accounts}[account_id or ""]

    def held_on(self, account: Account, now: int) -> int:
        """What live holds keep back on one account."""
        if not account.held:
            return 0
        return sum(
            line.remaining
            for hold in self.holds
            if hold.state_at(now) is HoldState.OPEN
            for line in hold.lines
            if line.account_id == account.id
        )

    def spendable(self, account: Account, now: int) -> int:
        if account.expire_time is not None and account.expire_time <= now:
            return 0
        return account.balance - self.held_on(account, now)

    def available(self, now: int) -> int:
        total = 0
        for account in self.accounts:
            total += self.spendable(account, now)
        return total

    def held(self, now: int) -> int:
        total = 0
        for account in self.accounts:
            total += self.held_on(account, now)
        return total

    def balance(self, now: int) -> int:
        """Available plus held.  Value of an expired tranche counts only while a hold keeps it."""
        return self.available(now) + self.held(now)

    def ledger_balance(self) -> int:
        """What the postings add up to, whatever the clock says."""
        total = 0
        for account in self.accounts:
            total += account.balance
        return total

    def ledger_held(self) -> int:
        total = 0
        for account in self.accounts:
            total += account.held
        return total
