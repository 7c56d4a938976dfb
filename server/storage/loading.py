"""Rows to domain objects: what a batch needs, set-wise, whatever the number of commands.

Every look-up names a unique column first and the cells beside it.  Cards are locked in id order;
what depends on a card (accounts, holds, later refunds) is read after its lock is held.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import ColumnClause, Connection, func, literal_column, select

from server.domain.currency import POINTS
from server.domain.model import (
    Account,
    Book,
    Card,
    CardState,
    Code,
    CodeState,
    Hold,
    HoldLine,
    HoldState,
    Kind,
    Movement,
    Origin,
    Program,
    TransactionState,
)
from server.domain.record import (
    CardView,
    EntryRow,
    EntryView,
    HoldView,
    PostingRow,
    Record,
    Result,
    TrancheView,
)
from server.storage import schema
from server.storage.statements import select_in

#: Written out, so that the planner sees that a partial index covers what is asked for.
IS_WALLET: Final[ColumnClause[Any]] = literal_column(f"'{POINTS}'")

# Looking an enum member up in a dictionary is several times faster than calling the class.
_BOOKS: Final = {int(member): member for member in Book}
_CARD_STATES: Final = {int(member): member for member in CardState}
_ORIGINS: Final = {int(member): member for member in Origin}
_CODE_STATES: Final = {int(member): member for member in CodeState}
_HOLD_STATES: Final = {int(member): member for member in HoldState}
_KINDS: Final = {int(member): member for member in Kind}
_STATES: Final = {int(member): member for member in TransactionState}
_MOVEMENTS: Final = {int(member): member for member in Movement}

CARD_COLUMNS: Final = (
    "id", "cell", "merchant_id", "book", "program_id", "program_version", "program_code", "unit",
    "state", "code_last_four", "time_zone", "create_time", "update_time", "initial_amount",
    "max_balance", "valid_from", "valid_until", "valid_from_time", "expire_time",
    "reload_allowed", "return_allowed", "partial_redeem_allowed", "pin_hash", "pin_tries",
    "batch", "customer", "external_reference", "issued_location_id",
    "issue_time", "labels", "sequence", "head",
)  # fmt: skip
ACCOUNT_COLUMNS: Final = (
    "id", "card_id", "origin", "expire_time", "balance", "held", "entity_code",
)  # fmt: skip
_CODE_COLUMNS: Final = (
    "code_hash", "card_id", "state", "reservation_id", "line", "expire_time",
)  # fmt: skip
HOLD_COLUMNS: Final = (
    "id", "card_id", "client_id", "requested", "authorized", "exclusive", "sale_reference",
    "expire_time", "create_time", "state", "captured", "end_time",
)  # fmt: skip
RECORD_COLUMNS: Final = (
    "id", "cell", "kind", "state", "merchant_id", "book", "client_id", "actor_kind",
    "request_id", "request_key", "fingerprint", "command", "result", "decided_time",
    "effective_time", "received_time", "client_time", "business_date", "unit", "requested",
    "approved", "location_id", "entity_code", "terminal", "operator", "receipt", "reason",
    "dialect", "card_id", "hold_id", "target_id", "refusal_reason", "refusal_metadata",
)  # fmt: skip
_POSTING_COLUMNS: Final = (
    "transaction_id", "line", "debit", "credit", "amount", "movement", "card_id", "account_id",
    "origin", "balance_after", "reverses_transaction", "reverses_line",
)  # fmt: skip


def to_card(row: Sequence[Any]) -> Card:
    values = [*row[:23], {}, *row[24:29], {}, *row[30:]]
    card = Card(*values)
    card.book = _BOOKS[row[3]]
    card.state = _CARD_STATES[row[8]]
    card.reload_allowed = row[19] == 1
    card.return_allowed = row[20] == 1
    card.partial_redeem_allowed = row[21] == 1
    if row[23] != "{}":
        tries: dict[str, list[int]] = orjson.loads(row[23])
        card.pin_tries = {client: (failures, until) for client, (failures, until) in tries.items()}
    if row[29] != "{}":
        card.labels = orjson.loads(row[29])
    return card


def load_cards(
    connection: Connection, ids: Sequence[str], cells: Sequence[int], *, lock: bool
) -> dict[str, Card]:
    """Cards with their accounts and, where value is held, their holds that the books call open."""
    if not ids:
        return {}
    rows = select_in(connection, schema.card, CARD_COLUMNS, "id", ids, cells, order="id", lock=lock)
    cards = {row[0]: to_card(row) for row in rows}
    attach_accounts(connection, cards, cells)
    return cards


def attach_accounts(connection: Connection, cards: dict[str, Card], cells: Sequence[int]) -> None:
    if not cards:
        return
    holding: set[str] = set()
    for row in select_in(
        connection, schema.account, ACCOUNT_COLUMNS, "card_id", list(cards), cells, order="id"
    ):
        account = Account(row[0], row[1], _ORIGINS[row[2]], row[3], row[4], row[5], row[6])
        cards[account.card_id].accounts.append(account)
        if account.held:
            holding.add(account.card_id)
    if holding:
        # An index has the open ones only: a card may have had any number of holds.
        rows = select_in(
            connection, schema.hold, HOLD_COLUMNS, "card_id", sorted(holding), cells,
            where=schema.HOLD_IS_OPEN, order="id",
        )  # fmt: skip
        for hold in attach_lines(connection, rows, cells):
            cards[hold.card_id].holds.append(hold)


def load_holds(connection: Connection, ids: Sequence[str], cells: Sequence[int]) -> list[Hold]:
    if not ids:
        return []
    rows = select_in(connection, schema.hold, HOLD_COLUMNS, "id", ids, cells, order="id")
    return attach_lines(connection, rows, cells)


def attach_lines(
    connection: Connection, rows: Iterable[Sequence[Any]], cells: Sequence[int]
) -> list[Hold]:
    holds: dict[str, Hold] = {}
    for row in rows:
        values = [*row[:5], row[5] == 1, *row[6:9], [], _HOLD_STATES[row[9]], row[10], row[11]]
        holds[row[0]] = Hold(*values)
    if not holds:
        return []
    names = ("hold_id", "account_id", "authorized", "remaining")
    for line in select_in(
        connection, schema.hold_line, names, "hold_id", list(holds), cells, order="hold_id, line"
    ):
        holds[line[0]].lines.append(HoldLine(line[1], line[2], line[3]))
    return list(holds.values())


def card_ids_of_codes(
    connection: Connection, hashes: Sequence[str], cells: Sequence[int]
) -> dict[str, str]:
    """Code hash (hexadecimal) -> card id."""
    if not hashes:
        return {}
    keys = [bytes.fromhex(value) for value in hashes]
    rows = select_in(connection, schema.code, ("code_hash", "card_id"), "code_hash", keys, cells)
    return {bytes(row[0]).hex(): row[1] for row in rows if row[1] is not None}


def wallet_ids(
    connection: Connection, customers: Iterable[tuple[str, int, str]], cells: Sequence[int]
) -> dict[tuple[str, int, str], str]:
    """(Merchant, book, customer) -> the id of the card that is the customer's points."""
    wanted = set(customers)
    card = schema.card.c
    query = select(card.merchant_id, card.book, card.customer, card.id).where(
        card.merchant_id.in_(sorted({key[0] for key in wanted})),
        card.book.in_(sorted({key[1] for key in wanted})),
        card.customer.in_(sorted({key[2] for key in wanted})),
        card.unit == IS_WALLET,
        card.cell.in_(cells),
    )
    found = {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}
    return {key: card_id for key, card_id in found.items() if key in wanted}


def codes_of_reservations(
    connection: Connection, reservation_ids: Sequence[str], cells: Sequence[int]
) -> set[str]:
    """The hashes of their codes, whatever became of those.  Which they are never changes."""
    if not reservation_ids:
        return set()
    names = ("code_hash",)
    rows = select_in(connection, schema.code, names, "reservation_id", reservation_ids, cells)
    return {bytes(row[0]).hex() for row in rows}


def load_codes(
    connection: Connection, hashes: Sequence[str], cells: Sequence[int], *, lock: bool = True
) -> list[Code]:
    """The codes that are there, under lock unless they are only looked at."""
    if not hashes:
        return []
    keys = [bytes.fromhex(value) for value in hashes]
    rows = select_in(
        connection, schema.code, _CODE_COLUMNS, "code_hash", keys, cells,
        order="code_hash", lock=lock,
    )  # fmt: skip
    return [Code(bytes(row[0]).hex(), row[1], _CODE_STATES[row[2]], *row[3:]) for row in rows]


def to_record(row: Sequence[Any]) -> Record:
    """The decided request without its postings and entries (see `attach_details`)."""
    values = [
        row[0], row[1], _KINDS[row[2]], _STATES[row[3]], row[4], _BOOKS[row[5]], *row[6:9],
        bytes(row[9]), bytes(row[10]), row[11], row[12], load_result(row[12]), *row[13:32],
        orjson.loads(row[32]) if row[32] else {},
    ]  # fmt: skip
    return Record(*values)


def load_result(text: str) -> Result:
    if not text:
        return Result()
    raw = orjson.loads(text)
    return Result(
        [_card_view(card) for card in raw["cards"]],
        [EntryView(**entry) for entry in raw["entries"]],
        HoldView(**raw["hold"]) if raw["hold"] is not None else None,
        raw["extras"],
    )


def _card_view(raw: dict[str, Any]) -> CardView:
    view = CardView(**raw)
    view.tranches = [TrancheView(**tranche) for tranche in raw["tranches"]]
    return view


def load_records(
    connection: Connection, key: str, values: Sequence[Any], cells: Sequence[int]
) -> list[Record]:
    if not values:
        return []
    rows = select_in(
        connection, schema.ledger_transaction, RECORD_COLUMNS, key, values, cells, order="id"
    )
    return [to_record(row) for row in rows]


def attach_details(connection: Connection, records: Sequence[Record], cells: Sequence[int]) -> None:
    """Adds the postings, and the entries as far as a rule needs them: which cards, in order."""
    if not records:
        return
    by_id = {record.id: record for record in records}
    rows = select_in(
        connection, schema.posting, _POSTING_COLUMNS, "transaction_id", list(by_id), cells,
        order="transaction_id, line",
    )  # fmt: skip
    for row in rows:
        values = [*row[1:5], _MOVEMENTS[row[5]], *row[6:]]
        by_id[row[0]].postings.append(PostingRow(*values))
    for record in records:
        record.entries = [
            EntryRow(e.card_id, record.cell, e.sequence, e.balance_after, e.held_after, 0, "", "")
            for e in record.result.entries
        ]


def last_commit_time(connection: Connection) -> int:
    """When the newest commit of all was made, in microseconds; 0 in a new ledger."""
    head = schema.feed_head
    return connection.execute(select(func.max(head.c.commit_time))).scalar() or 0


def load_programs(
    connection: Connection, keys: Sequence[tuple[str, int]], cells: Sequence[int]
) -> dict[tuple[str, int], Program]:
    """Program versions are immutable, so whoever loads one may keep it for ever."""
    if not keys:
        return {}
    names = ("program_id", "version", "body")
    ids = sorted({program_id for program_id, version in keys})
    rows = select_in(connection, schema.program_version, names, "program_id", ids, cells)
    wanted = set(keys)
    return {(row[0], row[1]): to_program(row[2]) for row in rows if (row[0], row[1]) in wanted}


def to_program(body: str) -> Program:
    raw = orjson.loads(body)
    raw["denominations"] = tuple(raw["denominations"])
    return Program(**raw)


def latest_versions(
    connection: Connection, merchant_codes: Sequence[tuple[str, str]], cells: Sequence[int]
) -> dict[tuple[str, str], tuple[str, int]]:
    """(merchant, program code) -> (program id, newest version)."""
    if not merchant_codes:
        return {}
    merchants = sorted({merchant_id for merchant_id, code in merchant_codes})
    names = ("merchant_id", "code", "id", "version")
    rows = select_in(connection, schema.program, names, "merchant_id", merchants, cells)
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}
