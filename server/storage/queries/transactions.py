"""Transactions, newest first, and what became of them after they were decided.

A card's approvals are found along its chain; its refusals stand in no chain and have an index of
their own.  Both run backwards by id, because ids rise with the sequence of a card.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Select,
    func,
    literal_column,
    select,
    tuple_,
)

from server.domain.ids import compose_id, stamp_at
from server.domain.model import Kind, TransactionState
from server.domain.record import EntryRow, Record
from server.storage import loading, schema

_TRANSACTION: Final = schema.ledger_transaction
_ENTRY: Final = schema.entry
_COMMIT: Final = schema.ledger_commit
_KEYS_MAX: Final = 128

# Written out, so that the planner sees that a partial index covers what is asked for.
_REFUSED: Final[ColumnClause[Any]] = literal_column(str(int(TransactionState.REFUSED)))
_EMPTY: Final[ColumnClause[Any]] = literal_column("''")

#: An id is made when its transaction is decided; after a burst it may run this far ahead.
_ID_AHEAD_MICROSECONDS: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Described:
    """A transaction with its place in the feed; `record.entries` carry their hashes."""

    record: Record
    feed_sequence: int
    commit_time: int
    reversal_id: str | None


def transactions_page(
    connection: Connection,
    merchant_id: str,
    book: int,
    cell: int,
    *,
    card_id: str | None = None,
    location_id: str | None = None,
    receipt: str | None = None,
    start_time: int | None = None,
    end_time: int | None = None,
    after: str | None = None,
    limit: int,
) -> list[Record]:
    """Up to `limit` transactions that come before the one with the id `after`, newest first.

    `start_time <= decided_time < end_time`, in microseconds.  The records come without postings.
    """
    conditions: list[ColumnElement[bool]] = [
        _TRANSACTION.c.merchant_id == merchant_id,
        _TRANSACTION.c.book == book,
        _TRANSACTION.c.cell == cell,
    ]
    if location_id is not None:
        conditions.append(_TRANSACTION.c.location_id == location_id)
    if receipt is not None:
        conditions.append(_TRANSACTION.c.receipt == receipt)
    if receipt:
        conditions.append(_TRANSACTION.c.receipt != _EMPTY)
    if start_time is not None:
        conditions.append(_TRANSACTION.c.decided_time >= start_time)
        conditions.append(_TRANSACTION.c.id >= _first_id(start_time))
    below = after
    if end_time is not None:
        conditions.append(_TRANSACTION.c.decided_time < end_time)
        last = _first_id(end_time + _ID_AHEAD_MICROSECONDS)
        below = last if below is None else min(below, last)
    if card_id is not None:
        return _of_card(connection, conditions, card_id, cell, below, limit)
    query = _records(conditions).order_by(_TRANSACTION.c.id.desc()).limit(limit)
    if below is not None:
        query = query.where(_TRANSACTION.c.id < below)
    return _to_records(connection, query)


def _first_id(time: int) -> str:
    """The smallest id that an instant's transactions can have."""
    return compose_id(stamp_at(max(0, time)), 0, 0)


def _records(conditions: Iterable[ColumnElement[bool]]) -> Select[Any]:
    columns = (_TRANSACTION.c[name] for name in loading.RECORD_COLUMNS)
    return select(*columns).where(*conditions)


def _to_records(connection: Connection, query: Select[Any]) -> list[Record]:
    return [loading.to_record(row) for row in connection.execute(query)]


def _of_card(
    connection: Connection,
    conditions: list[ColumnElement[bool]],
    card_id: str,
    cell: int,
    below: str | None,
    limit: int,
) -> list[Record]:
    """Merges the card's chain with its refusals."""
    in_chain = (
        _records(conditions)
        .join(
            _ENTRY,
            (_ENTRY.c.transaction_id == _TRANSACTION.c.id) & (_ENTRY.c.cell == _TRANSACTION.c.cell),
        )
        .where(_ENTRY.c.card_id == card_id)
        .order_by(_ENTRY.c.sequence.desc())
        .limit(limit)
    )
    refused = (
        _records(conditions)
        .where(
            _TRANSACTION.c.card_id == card_id,
            _TRANSACTION.c.state == _REFUSED,
        )
        .order_by(_TRANSACTION.c.id.desc())
        .limit(limit)
    )
    if below is not None:
        last = _last_sequence_below(connection, card_id, cell, below)
        in_chain = in_chain.where(_ENTRY.c.sequence <= last)
        refused = refused.where(_TRANSACTION.c.id < below)
    found = merge(
        _to_records(connection, in_chain),
        _to_records(connection, refused),
        key=lambda record: record.id,
        reverse=True,
    )
    # A wrong PIN is refused and stands in the chain as well, since it is counted.
    return list(islice({record.id: record for record in found}.values(), limit))


def _last_sequence_below(connection: Connection, card_id: str, cell: int, below: str) -> int:
    """The last link of a card's chain whose transaction has an id under `below`; 0 if none has.

    Found by bisection along the primary key, so that a long history costs a few more probes.
    """
    chain = (_ENTRY.c.card_id == card_id, _ENTRY.c.cell == cell)
    high: int = connection.execute(select(func.max(_ENTRY.c.sequence)).where(*chain)).scalar() or 0
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        transaction_id = connection.execute(
            select(_ENTRY.c.transaction_id).where(*chain, _ENTRY.c.sequence == middle)
        ).scalar()
        if transaction_id is not None and transaction_id < below:
            low = middle
        else:
            high = middle - 1
    return low


def transaction(
    connection: Connection, merchant_id: str, book: int, cell: int, transaction_id: str
) -> Record | None:
    """The transaction with its postings and the entries it made, or None."""
    found = loading.load_records(connection, "id", [transaction_id], [cell])
    if not found or (found[0].merchant_id, found[0].book) != (merchant_id, book):
        return None
    loading.attach_details(connection, found, [cell])
    found[0].entries = entries_of(connection, found)[transaction_id]
    return found[0]


def described(connection: Connection, records: Sequence[Record | None]) -> list[Described]:
    """Adds what is known only after the decision; leaves out what is None."""
    known = [record for record in records if record is not None]
    if not known:
        return []
    ids = [record.id for record in known]
    cells = sorted({record.cell for record in known})
    commits = commit_of(connection, ids, cells)
    reversals = reversal_of(connection, ids, cells)
    entries = entries_of(connection, known)
    for record in known:
        record.entries = entries[record.id]
    return [Described(record, *commits[record.id], reversals.get(record.id)) for record in known]


def commit_of(
    connection: Connection, ids: Sequence[str], cells: Sequence[int]
) -> dict[str, tuple[int, int]]:
    """Transaction id -> (place in the feed, time of its commit in microseconds)."""
    query = (
        select(
            _TRANSACTION.c.id, _COMMIT.c.first_sequence + _TRANSACTION.c.ordinal,
            _COMMIT.c.commit_time,
        )
        .join(
            _COMMIT,
            (_COMMIT.c.id == _TRANSACTION.c.commit_id) & (_COMMIT.c.cell == _TRANSACTION.c.cell),
        )
        .where(_TRANSACTION.c.id.in_(ids), _TRANSACTION.c.cell.in_(cells))
    )  # fmt: skip
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def reversal_of(connection: Connection, ids: Sequence[str], cells: Sequence[int]) -> dict[str, str]:
    """Transaction id -> id of the transaction that reversed it."""
    found = loading.load_records(connection, "target_id", ids, cells)
    return {
        record.target_id: record.id
        for record in found
        if record.target_id is not None
        and record.kind is Kind.REVERSE
        and record.state is TransactionState.APPROVED
        and record.result.extras.get("outcome") == "REVERSED"
    }


def entries_of(connection: Connection, records: Sequence[Record]) -> dict[str, list[EntryRow]]:
    """Transaction id -> its entries with their hashes, in the order of the answer."""
    cells = sorted({record.cell for record in records})
    keys = [
        (entry.card_id, entry.sequence) for record in records for entry in record.result.entries
    ]
    rows: dict[tuple[str, int], EntryRow] = {}
    for start in range(0, len(keys), _KEYS_MAX):
        query = select(
            _ENTRY.c.card_id, _ENTRY.c.cell, _ENTRY.c.sequence, _ENTRY.c.balance_after,
            _ENTRY.c.held_after, _ENTRY.c.card_state, _ENTRY.c.previous, _ENTRY.c.hash,
        ).where(
            tuple_(_ENTRY.c.card_id, _ENTRY.c.sequence).in_(keys[start : start + _KEYS_MAX]),
            _ENTRY.c.cell.in_(cells),
        )  # fmt: skip
        for row in connection.execute(query):
            rows[row[0], row[2]] = EntryRow(*row)
    return {
        record.id: [
            rows[entry.card_id, entry.sequence]
            for entry in record.result.entries
            if (entry.card_id, entry.sequence) in rows
        ]
        for record in records
    }
