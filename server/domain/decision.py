"""What a decision is made of, and the one place that carries it out on the in-memory state.

A decision lists effects; it changes nothing itself, so a refusal costs its neighbours in the
batch nothing.  `apply` turns the effects into the next state, which later decisions of the same
batch see and which the ledger writes.
"""

from dataclasses import dataclass, field
from typing import Final

from server.domain.commands import CodeMaterial
from server.domain.model import Account, Card, Code, CodeState, Hold, HoldState, Movement
from server.domain.world import World

#: Largest amount of one operation, and the most that a sale or load may bring a card to.
AMOUNT_MAX: Final = 10**12

#: What no account may ever pass, whatever refunds and reversals bring back: far below 2**63.
BALANCE_MAX: Final = 10**15

#: The account value passes through on its way from one card to another; it sums to zero.
IN_TRANSIT: Final = "in_transit"
BREAKAGE: Final = "breakage"
RECEIVABLE: Final = "receivable"
PROMO_EXPENSE: Final = "promo_expense"
ADJUSTMENT: Final = "adjustment"
OPENING: Final = "opening"
#: Points go in and money comes out, each in its own unit.
POINTS_EXCHANGE: Final = "points_exchange"


def clearing(location_id: str) -> str:
    """Where the till's money meets the card's, one account per location."""
    return f"clearing/{location_id}" if location_id else "clearing"


@dataclass(slots=True)
class Posting:
    """`amount` > 0 moves from `debit` to `credit`: balanced by construction.

    At most one side is a card's account; the other is a system account, named and never stored
    with a balance.  `card_id` is the card whose history the posting belongs to.
    """

    debit: str
    credit: str
    amount: int
    movement: Movement
    card_id: str
    account: Account | None
    reverses_transaction: str | None = None
    reverses_line: int | None = None
    balance_after: int | None = None

    def signed_amount(self) -> int:
        """What it does to the card's balance: nothing where no account of the card is in it."""
        if self.account is None:
            return 0
        return self.amount if self.credit == self.account.id else -self.amount


@dataclass(slots=True)
class HoldChange:
    """`released` is what each line gives back to what is spendable; captured value included."""

    hold: Hold
    released: dict[str, int]
    captured: int = 0
    end: HoldState | None = None


@dataclass(slots=True)
class CodeChange:
    """A reserved code that a card takes, or, without one, that is given up."""

    code: Code
    card: Card | None = None


@dataclass(slots=True)
class Decision:
    """The effects of one approved command, and what its answer must say besides the cards.

    `cards` are those whose chains it extends; `tombstone` is a request id that must never be
    carried out any more.  A new card without material brings no code of its own.
    """

    unit: str = ""
    requested: int | None = None
    approved: int | None = None
    cards: list[Card] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    card_changes: list[tuple[Card, dict[str, object]]] = field(default_factory=list)
    new_cards: list[tuple[Card, CodeMaterial | None]] = field(default_factory=list)
    new_codes: list[tuple[Code, CodeMaterial]] = field(default_factory=list)
    code_changes: list[CodeChange] = field(default_factory=list)
    new_accounts: list[tuple[Card, Account]] = field(default_factory=list)
    new_holds: list[tuple[Card, Hold]] = field(default_factory=list)
    hold_changes: list[HoldChange] = field(default_factory=list)
    hold: Hold | None = None
    target_id: str | None = None
    tombstone: str | None = None
    extras: dict[str, object] = field(default_factory=dict)

    def move_in(self, account: Account, source: str, amount: int, movement: Movement) -> Posting:
        """Adds value to a card's account."""
        posting = Posting(source, account.id, amount, movement, account.card_id, account)
        self.postings.append(posting)
        return posting

    def move_out(self, account: Account, sink: str, amount: int, movement: Movement) -> None:
        """Takes value from a card's account."""
        self.postings.append(Posting(account.id, sink, amount, movement, account.card_id, account))


def release_expired(decision: Decision, card: Card, now: int) -> None:
    """Ends in the books the holds whose time is over, while the card is being written anyway."""
    for hold in card.holds:
        if hold.state is HoldState.OPEN and hold.expire_time <= now:
            released = {line.account_id: line.remaining for line in hold.lines}
            decision.hold_changes.append(HoldChange(hold, released, end=HoldState.EXPIRED))


def apply(decision: Decision, world: World, now: int) -> None:
    """Carries the effects out.  Raises AssertionError where a rule let an impossible state by."""
    for card, material in decision.new_cards:
        world.add_card(card, material)
    for code, _ in decision.new_codes:
        world.codes[code.code_hash] = code
    for taken in decision.code_changes:
        _change_code(world, taken)
    for card, account in decision.new_accounts:
        card.accounts.append(account)
    for card, hold in decision.new_holds:
        card.holds.append(hold)
        _hold_back(card, hold)
    for change in decision.hold_changes:
        _change_hold(world.cards[change.hold.card_id], change, now)
    for posting in decision.postings:
        tranche = posting.account
        if tranche is not None:
            tranche.balance += posting.signed_amount()
            posting.balance_after = tranche.balance
    for card, values in decision.card_changes:
        for name, value in values.items():
            setattr(card, name, value)
    for card in decision.cards:
        card.update_time = now
        for account in card.accounts:
            assert 0 <= account.held <= account.balance <= BALANCE_MAX, "account out of bounds"


def _change_code(world: World, change: CodeChange) -> None:
    code = change.code
    assert code.card_id is None, "a code belongs to one card"
    if change.card is None:
        code.state = CodeState.RELEASED
        return
    code.state, code.card_id = CodeState.USED, change.card.id
    world.card_by_code[code.code_hash] = change.card.id


def _hold_back(card: Card, hold: Hold) -> None:
    held = {line.account_id: line.remaining for line in hold.lines}
    for account in card.accounts:
        account.held += held.get(account.id, 0)


def _change_hold(card: Card, change: HoldChange, now: int) -> None:
    for line in change.hold.lines:
        line.remaining -= change.released.get(line.account_id, 0)
        assert line.remaining >= 0, "hold line out of bounds"
    for account in card.accounts:
        account.held -= change.released.get(account.id, 0)
    change.hold.captured += change.captured
    if change.end is not None:
        assert change.hold.state is HoldState.OPEN, "a hold ends once"
        change.hold.state = change.end
        change.hold.end_time = now
