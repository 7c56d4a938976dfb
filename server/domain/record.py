"""A decided request as it is stored and answered: history line, idempotency record and audit.

The same object serves the first answer and every replay, so that both are rendered from the
same facts.  Views are snapshots: what the card was when it was decided.
"""

from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from server.domain.model import (
    Book,
    Card,
    Hold,
    HoldState,
    Kind,
    Movement,
    TransactionState,
)


@dataclass(slots=True)
class TrancheView:
    origin: int
    balance: int
    held: int
    expire_time: int | None


@dataclass(slots=True)
class CardView:
    """A card as an answer shows it; amounts in minor units of `unit`."""

    id: str
    program: str
    program_version: int
    unit: str
    state: int
    balance: int
    held: int
    available: int
    expired: bool
    initial_amount: int
    max_balance: int | None
    valid_from: str | None
    valid_until: str | None
    expire_time: int | None
    time_zone: str
    reload_allowed: bool
    return_allowed: bool
    partial_redeem_allowed: bool
    pin_set: bool
    code_last_four: str
    tranches: list[TrancheView]
    batch: str
    customer: str
    external_reference: str
    labels: dict[str, str]
    book: int
    create_time: int
    update_time: int
    issue_time: int | None
    sequence: int


def view_card(card: Card, now: int) -> CardView:
    held = card.held(now)
    available = card.available(now)
    return CardView(
        card.id,
        card.program_code,
        card.program_version,
        card.unit,
        card.state,
        available + held,
        held,
        available,
        card.expire_time is not None and card.expire_time <= now,
        card.initial_amount,
        card.max_balance,
        card.valid_from,
        card.valid_until,
        card.expire_time,
        card.time_zone,
        card.reload_allowed,
        card.return_allowed,
        card.partial_redeem_allowed,
        card.pin_hash is not None,
        card.code_last_four,
        [
            TrancheView(
                account.origin, account.balance, card.held_on(account, now), account.expire_time
            )
            for account in card.accounts
        ],
        card.batch,
        card.customer,
        card.external_reference,
        card.labels,
        card.book,
        card.create_time,
        card.update_time,
        card.issue_time,
        card.sequence,
    )


@dataclass(slots=True)
class HoldView:
    id: str
    card_id: str
    client_id: str
    state: int
    requested: int
    authorized: int
    captured: int
    remaining: int
    exclusive: bool
    sale_reference: str
    unit: str
    expire_time: int
    create_time: int
    end_time: int | None


def view_hold(hold: Hold, unit: str, now: int) -> HoldView:
    """A hold that ended by the clock ended at its expiry, whenever that is noticed."""
    state = hold.state_at(now)
    expired = state is HoldState.EXPIRED
    return HoldView(
        hold.id,
        hold.card_id,
        hold.client_id,
        state,
        hold.requested,
        hold.authorized,
        hold.captured,
        0 if expired else hold.remaining,
        hold.exclusive,
        hold.sale_reference,
        unit,
        hold.expire_time,
        hold.create_time,
        hold.expire_time if expired else hold.end_time,
    )


@dataclass(slots=True)
class EntryView:
    """One card's part in a transaction; `amount` is signed."""

    card_id: str
    sequence: int
    amount: int
    balance_after: int
    held_after: int


@dataclass(slots=True)
class Result:
    """What an answer says, frozen when it was decided."""

    cards: list[CardView] = field(default_factory=list)
    entries: list[EntryView] = field(default_factory=list)
    hold: HoldView | None = None
    extras: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class PostingRow:
    line: int
    debit: str
    credit: str
    amount: int
    movement: Movement
    card_id: str
    account_id: str | None
    origin: int | None
    balance_after: int | None
    reverses_transaction: str | None = None
    reverses_line: int | None = None


@dataclass(slots=True, eq=False)
class EntryRow:
    """A link of a card's chain: `hash` covers the transaction, the balances and `previous`."""

    card_id: str
    cell: int
    sequence: int
    balance_after: int
    held_after: int
    card_state: int
    previous: str
    hash: str


@dataclass(slots=True, eq=False)
class Record:
    """One transaction.  Instants in microseconds; `command` and `result_json` are JSON."""

    id: str
    cell: int
    kind: Kind
    state: TransactionState
    merchant_id: str
    book: Book
    client_id: str
    actor_kind: str
    request_id: str
    request_key: bytes
    fingerprint: bytes
    command: str
    result_json: str
    result: Result
    decided_time: int
    effective_time: int
    received_time: int
    client_time: int | None
    business_date: str
    unit: str = ""
    requested: int | None = None
    approved: int | None = None
    location_id: str = ""
    entity: str = ""
    terminal: str = ""
    operator: str = ""
    receipt: str = ""
    reason: str = ""
    dialect: str = ""
    card_id: str | None = None
    hold_id: str | None = None
    target_id: str | None = None
    refusal_reason: str = ""
    refusal_metadata: dict[str, str] = field(default_factory=dict)
    postings: list[PostingRow] = field(default_factory=list)
    entries: list[EntryRow] = field(default_factory=list)
    new_holds: list[Hold] = field(default_factory=list)

    def digest(self) -> bytes:
        """SHA-256 over all that was decided: the unit of every chain.

        What is counted later (replays), where the row is stored (cell) and its place in the feed
        are left out; the commit's own hash covers the last.
        """
        content = [
            self.id, self.kind, self.state, self.merchant_id, self.book, self.client_id,
            self.actor_kind, self.request_id, self.request_key.hex(), self.fingerprint.hex(),
            self.command, self.result_json, self.decided_time, self.effective_time,
            self.received_time, self.client_time, self.business_date, self.unit, self.requested,
            self.approved, self.location_id, self.entity, self.terminal, self.operator,
            self.receipt, self.reason, self.dialect, self.card_id, self.hold_id, self.target_id,
            self.refusal_reason, self.refusal_metadata,
            [
                [p.line, p.debit, p.credit, p.amount, p.movement, p.card_id, p.account_id,
                 p.origin, p.balance_after, p.reverses_transaction, p.reverses_line]
                for p in self.postings
            ],
        ]  # fmt: skip
        return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


def entry_hash(previous: str, entry: EntryRow, digest: bytes) -> str:
    """Chains one card's entries: the transaction, the balances it left, and the link before."""
    link = orjson.dumps([
        previous, entry.card_id, entry.sequence, entry.balance_after, entry.held_after,
        entry.card_state,
    ])  # fmt: skip
    return sha256(link + digest).hexdigest()
