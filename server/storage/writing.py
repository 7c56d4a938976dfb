"""Domain objects to rows: everything a batch decided, in a few set-wise statements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Table, update

from server.domain.commands import CodeMaterial, RowChange
from server.domain.errors import Rejected
from server.domain.model import Account, Card, Code, CodeState, Hold
from server.domain.record import Record
from server.storage import loading, schema, statements
from server.storage.statements import Writes

_SLIM_CARD: Final = ("sequence", "head", "update_time")
_CARD_KEYS: Final = ("id", "cell")
#: Everything about a card that an operation may change; identity and program never do.
_CARD_CHANGEABLE: Final = loading.CARD_COLUMNS[8:]
_ACCOUNT_INSERT: Final = (
    *loading.ACCOUNT_COLUMNS, "cell", "merchant_id", "book", "unit", "program_id",
    "program_version", "create_time",
)  # fmt: skip
_HOLD_INSERT: Final = (*loading.HOLD_COLUMNS, "cell", "merchant_id", "book", "transaction_id")
_RECORD_INSERT: Final = (*loading.RECORD_COLUMNS, "commit_id", "ordinal", "replays")
_POSTING_INSERT: Final = (
    "transaction_id", "line", "cell", "merchant_id", "book", "debit", "credit", "amount", "unit",
    "movement", "card_id", "account_id", "origin", "balance_after", "program_id", "location_id",
    "entity_code", "business_date", "reverses_transaction", "reverses_line",
)  # fmt: skip
_ENTRY_INSERT: Final = (
    "card_id", "sequence", "cell", "transaction_id", "balance_after", "held_after",
    "card_state", "previous", "hash",
)  # fmt: skip
_CODE_INSERT: Final = (
    "code_hash", "cell", "merchant_id", "book", "card_id", "kind", "state", "last_four",
    "ciphertext", "key_version", "normalization", "create_time", "reservation_id", "line",
    "expire_time",
)  # fmt: skip
_COMMIT_INSERT: Final = (
    "id", "merchant_id", "book", "cell", "first_sequence", "count",
    "first_transaction_id", "last_transaction_id", "commit_time", "previous", "hash",
)  # fmt: skip

_FEED_KEYS: Final = ("merchant_id", "book", "cell")
_FEED_VALUES: Final = ("head", "hash", "commit_time")

PRIMARY_CODE: Final = 1
#: The rule of `server.domain.code.normalize`.
OWN_NORMALIZATION: Final = 1


@dataclass(slots=True)
class Changes:
    """What a batch decided.  Rows are written once, in their last state."""

    records: list[Record] = field(default_factory=list)
    touched: dict[str, Card] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    accounts: dict[str, Account] = field(default_factory=dict)
    holds: dict[str, tuple[Hold, str]] = field(default_factory=dict)
    codes: list[tuple[Card, CodeMaterial]] = field(default_factory=list)
    new_codes: list[tuple[Code, CodeMaterial, Record]] = field(default_factory=list)
    old_codes: dict[str, tuple[Code, int]] = field(default_factory=dict)
    rows: list[RowChange] = field(default_factory=list)
    replayed: list[Record] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)

    def is_empty(self) -> bool:
        return not (self.records or self.replayed)


def card_row(card: Card) -> list[Any]:
    """Values of `loading.CARD_COLUMNS`."""
    row: list[Any] = [getattr(card, name) for name in loading.CARD_COLUMNS]
    for index in (19, 20, 21):
        row[index] = int(row[index])
    row[3] = int(row[3])
    row[8] = int(row[8])
    row[23] = orjson.dumps(card.pin_tries).decode() if card.pin_tries else "{}"
    row[29] = orjson.dumps(card.labels).decode() if card.labels else "{}"
    return row


def record_row(record: Record) -> list[Any]:
    """Values of `loading.RECORD_COLUMNS`."""
    r = record
    return [
        r.id, r.cell, int(r.kind), int(r.state), r.merchant_id, int(r.book), r.client_id,
        r.actor_kind, r.request_id, r.request_key, r.fingerprint, r.command, r.result_json,
        r.decided_time, r.effective_time, r.received_time, r.client_time, r.business_date,
        r.unit, r.requested, r.approved, r.location_id, r.entity, r.terminal, r.operator,
        r.receipt, r.reason, r.dialect, r.card_id, r.hold_id, r.target_id, r.refusal_reason,
        orjson.dumps(r.refusal_metadata).decode() if r.refusal_reason else "",
    ]  # fmt: skip


def write(connection: Connection, changes: Changes, commits: dict[str, tuple[str, int]]) -> None:
    """Writes a batch; `commits` says each transaction's place: (commit id, ordinal)."""
    with Writes(connection) as writes:
        writes.insert(
            schema.ledger_transaction, _RECORD_INSERT,
            [(*record_row(r), *commits[r.id], 0) for r in changes.records],
        )  # fmt: skip
        _write_cards(writes, changes)
        _write_accounts(writes, changes)
        _write_holds(writes, changes)
        _write_entries_and_postings(writes, changes)
    for row in changes.rows:
        _write_row(connection, row)
    if changes.replayed:
        # A write, so that this COMMIT waits for the standby just as the first one did.
        _count_replays(connection, changes.replayed)


def _write_cards(writes: Writes, changes: Changes) -> None:
    new = [card for card in changes.touched.values() if card.is_new]
    old = [card for card in changes.touched.values() if not card.is_new]
    writes.insert(schema.card, loading.CARD_COLUMNS, [card_row(c) for c in new])
    if changes.codes or changes.new_codes or changes.old_codes:
        _write_codes(writes, changes)
    slim = [c for c in old if c.id not in changes.changed]
    writes.update(
        schema.card, _CARD_KEYS, _SLIM_CARD,
        [(c.id, c.cell, c.sequence, c.head, c.update_time) for c in slim],
    )  # fmt: skip
    writes.update(
        schema.card, _CARD_KEYS, _CARD_CHANGEABLE,
        [(c.id, c.cell, *card_row(c)[8:]) for c in old if c.id in changes.changed],
    )  # fmt: skip


def _write_codes(writes: Writes, changes: Changes) -> None:
    """Codes of new cards, codes reserved, and what became of codes reserved before."""
    rows: list[tuple[Any, ...]] = [
        (
            m.code_hash, c.cell, c.merchant_id, int(c.book), c.id, PRIMARY_CODE,
            int(CodeState.USED), m.last_four, m.ciphertext, m.key_version, OWN_NORMALIZATION,
            c.create_time, None, None, None,
        )
        for c, m in changes.codes
    ]  # fmt: skip
    rows += [
        (
            m.code_hash, r.cell, r.merchant_id, int(r.book), code.card_id, PRIMARY_CODE,
            int(code.state), m.last_four, m.ciphertext, m.key_version, OWN_NORMALIZATION,
            r.decided_time, code.reservation_id, code.line, code.expire_time,
        )
        for code, m, r in changes.new_codes
    ]  # fmt: skip
    writes.insert(schema.code, _CODE_INSERT, rows)
    # The wall that holds when a lock is lost: nobody writes over a code that a card has.
    writes.update(
        schema.code, ("code_hash", "cell"), ("card_id", "state"),
        [
            (bytes.fromhex(code.code_hash), cell, code.card_id, int(code.state))
            for code, cell in changes.old_codes.values()
            if not code.is_new
        ],
        unset="card_id",
    )  # fmt: skip


def _write_accounts(writes: Writes, changes: Changes) -> None:
    new: list[tuple[Any, ...]] = []
    old: list[tuple[Any, ...]] = []
    for account in changes.accounts.values():
        card = changes.touched[account.card_id]
        if account.is_new:
            new.append((
                account.id, card.id, int(account.origin), account.expire_time, account.balance,
                account.held, account.entity, card.cell, card.merchant_id, int(card.book),
                card.unit, card.program_id, card.program_version, account.create_time,
            ))  # fmt: skip
        else:
            old.append((card.id, account.id, card.cell, account.balance, account.held))
    writes.insert(schema.account, _ACCOUNT_INSERT, new)
    writes.update(schema.account, ("card_id", "id", "cell"), ("balance", "held"), old)


def _write_holds(writes: Writes, changes: Changes) -> None:
    new: list[tuple[Any, ...]] = []
    old: list[tuple[Any, ...]] = []
    new_lines: list[tuple[Any, ...]] = []
    old_lines: list[tuple[Any, ...]] = []
    for hold, transaction_id in changes.holds.values():
        card = changes.touched[hold.card_id]
        if hold.is_new:
            new.append((
                hold.id, hold.card_id, hold.client_id, hold.requested, hold.authorized,
                int(hold.exclusive), hold.sale_reference, hold.expire_time, hold.create_time,
                int(hold.state), hold.captured, hold.end_time, card.cell, card.merchant_id,
                int(card.book), transaction_id,
            ))  # fmt: skip
            new_lines += [
                (hold.id, line.account_id, card.cell, number, line.authorized, line.remaining)
                for number, line in enumerate(hold.lines, start=1)
            ]
        else:
            old.append((hold.id, card.cell, int(hold.state), hold.captured, hold.end_time))
            old_lines += [
                (hold.id, line.account_id, card.cell, line.remaining) for line in hold.lines
            ]
    writes.insert(schema.hold, _HOLD_INSERT, new)
    writes.insert(
        schema.hold_line,
        ("hold_id", "account_id", "cell", "line", "authorized", "remaining"), new_lines,
    )  # fmt: skip
    writes.update(schema.hold, ("id", "cell"), ("state", "captured", "end_time"), old)
    writes.update(schema.hold_line, ("hold_id", "account_id", "cell"), ("remaining",), old_lines)


def _write_entries_and_postings(writes: Writes, changes: Changes) -> None:
    entries = [
        (
            e.card_id, e.sequence, e.cell, record.id, e.balance_after, e.held_after,
            e.card_state, e.previous, e.hash,
        )
        for record in changes.records
        for e in record.entries
    ]  # fmt: skip
    postings = [
        (
            record.id, p.line, record.cell, record.merchant_id, int(record.book), p.debit,
            p.credit, p.amount, changes.touched[p.card_id].unit, int(p.movement), p.card_id,
            p.account_id, p.origin, p.balance_after, changes.touched[p.card_id].program_id,
            record.location_id, record.entity, record.business_date,
            p.reverses_transaction, p.reverses_line,
        )
        for record in changes.records
        for p in record.postings
    ]  # fmt: skip
    writes.insert(schema.entry, _ENTRY_INSERT, entries)
    writes.insert(schema.posting, _POSTING_INSERT, postings)


def _write_row(connection: Connection, row: RowChange) -> None:
    """Inserts, or changes the one row with these keys.

    Keys name the version that was read, so a change that meets no row has lost a race: Rejected
    ETAG_MISMATCH.
    """
    table: Table = schema.metadata.tables[row.table]
    if not row.keys:
        connection.execute(table.insert().values(row.values))
        return
    where = [table.c[name] == value for name, value in row.keys.items()]
    if connection.execute(update(table).where(*where).values(row.values)).rowcount != 1:
        raise Rejected("ETAG_MISMATCH")


def _count_replays(connection: Connection, records: Iterable[Record]) -> None:
    table = schema.ledger_transaction
    ids = sorted({record.id for record in records})
    cells = sorted({record.cell for record in records})
    connection.execute(
        update(table)
        .where(table.c.id.in_(ids), table.c.cell.in_(cells))
        .values(replays=table.c.replays + 1)
    )


def advance_feed(
    connection: Connection,
    key: tuple[str, int, int],
    commit_id: str,
    decided: Sequence[tuple[str, bytes]],
    now: int,
) -> None:
    """Gives a batch of one (merchant, book, cell) its gapless place in the feed.

    `decided` are its transactions in order: id and digest.  Taken last, just before COMMIT, so
    that the head row is locked for as short as can be.
    """
    head = schema.feed_head
    rows = statements.select_in(
        connection, head, (*_FEED_KEYS, *_FEED_VALUES), "merchant_id", [key[0]], [key[2]],
        order="book", lock=True,
    )  # fmt: skip
    row = next((row for row in rows if row[1] == key[1]), None)
    last, previous, last_time = (0, "", 0) if row is None else row[3:]
    commit_time = max(last_time + 1, now)
    ids = (decided[0][0], decided[-1][0])
    digests = [digest for _, digest in decided]
    digest = commit_hash(previous, key, last + 1, ids, commit_time, digests)
    values = (*key, last + len(decided), digest, commit_time)
    with Writes(connection) as writes:
        if row is None:
            writes.insert(head, (*_FEED_KEYS, *_FEED_VALUES), [values])
        else:
            writes.update(head, _FEED_KEYS, _FEED_VALUES, [values])
        writes.insert(
            schema.ledger_commit, _COMMIT_INSERT,
            [
                (commit_id, *key, last + 1, len(decided), *ids, commit_time,
                 previous, digest)
            ],
        )  # fmt: skip


def commit_hash(
    previous: str,
    key: tuple[str, int, int],
    first_sequence: int,
    transaction_ids: tuple[str, str],
    commit_time: int,
    digests: Sequence[bytes],
) -> str:
    """Covers the place in the feed and every transaction in it; `cell` is never hashed."""
    head = orjson.dumps(
        [previous, key[0], key[1], first_sequence, transaction_ids, len(digests), commit_time]
    )
    return sha256(head + b"".join(digests)).hexdigest()
