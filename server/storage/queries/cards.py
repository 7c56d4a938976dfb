"""Cards and holds, oldest first, and customers.

A filter that no index serves is applied along the way.
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, literal_column, or_, select

from server.domain.currency import POINTS
from server.domain.model import Card, Hold, HoldState
from server.storage import loading, schema

_CARD = schema.card
_HOLD = schema.hold
_EMPTY: ColumnElement[str] = literal_column("''")


def cards_page(
    connection: Connection,
    merchant_id: str,
    book: int,
    cell: int,
    *,
    program_code: str | None = None,
    state: int | None = None,
    customer: str | None = None,
    batch: str | None = None,
    external_reference: str | None = None,
    last_four: str | None = None,
    after_id: str | None = None,
    limit: int,
) -> list[Card]:
    """Up to `limit` cards with an id above `after_id`, with their accounts and open holds.

    Filters that are None do not filter.  Customer, batch and last four have indexes.
    """
    query = (
        select(*(_CARD.c[name] for name in loading.CARD_COLUMNS))
        .where(_CARD.c.merchant_id == merchant_id, _CARD.c.book == book, _CARD.c.cell == cell)
        .where(_CARD.c.unit != loading.IS_WALLET)
        .order_by(_CARD.c.id)
        .limit(limit)
    )
    for column, value in (
        (_CARD.c.program_code, program_code),
        (_CARD.c.state, state),
        (_CARD.c.customer, customer),
        (_CARD.c.batch, batch),
        (_CARD.c.external_reference, external_reference),
        (_CARD.c.code_last_four, last_four),
    ):
        if value is not None:
            query = query.where(column == value)
    # The indexes leave out what is empty; a bound value does not tell the planner that it is not.
    for column, text in ((_CARD.c.customer, customer), (_CARD.c.batch, batch)):
        if text:
            query = query.where(column != _EMPTY)
    if after_id is not None:
        query = query.where(_CARD.c.id > after_id)
    cards = {row[0]: loading.to_card(row) for row in connection.execute(query)}
    loading.attach_accounts(connection, cards, [cell])
    return list(cards.values())


def card(
    connection: Connection, merchant_id: str, book: int, cell: int, card_id: str
) -> Card | None:
    """The gift card, or None where there is none in this merchant's book."""
    found = loading.load_cards(connection, [card_id], [cell], lock=False).get(card_id)
    if found is None or (found.merchant_id, found.book) != (merchant_id, book):
        return None
    return None if found.is_wallet else found


def customer(
    connection: Connection, merchant_id: str, book: int, cell: int, name: str
) -> Card | None:
    """The customer's points, or None where there is no such customer in this merchant's book."""
    key = (merchant_id, int(book), name)
    card_id = loading.wallet_ids(connection, [key], [cell]).get(key)
    if card_id is None:
        return None
    return loading.load_cards(connection, [card_id], [cell], lock=False)[card_id]


def customers_page(
    connection: Connection,
    merchant_id: str,
    book: int,
    cell: int,
    *,
    after: str | None = None,
    limit: int,
) -> list[Card]:
    """Up to `limit` customers with a number above `after`, in the order of their numbers."""
    query = (
        select(*(_CARD.c[name] for name in loading.CARD_COLUMNS))
        .where(_CARD.c.merchant_id == merchant_id, _CARD.c.book == book, _CARD.c.cell == cell)
        .where(_CARD.c.unit == loading.IS_WALLET)
        .order_by(_CARD.c.customer)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_CARD.c.customer > after)
    wallets = {row[0]: loading.to_card(row) for row in connection.execute(query)}
    loading.attach_accounts(connection, wallets, [cell])
    return list(wallets.values())


class FoundHold(NamedTuple):
    """A hold with the unit of its card; `customer` is empty unless it keeps points."""

    hold: Hold
    unit: str
    customer: str


def holds_page(
    connection: Connection,
    merchant_id: str,
    book: int,
    cell: int,
    *,
    now: int,
    card_id: str | None = None,
    state: int | None = None,
    after_id: str | None = None,
    limit: int,
) -> list[FoundHold]:
    """Up to `limit` holds with an id above `after_id`.

    `state` is what the hold is at `now` (microseconds), whatever the books still call it.
    """
    query = _holds(merchant_id, book, cell).order_by(_HOLD.c.id).limit(limit)
    if card_id is not None:
        query = query.where(_HOLD.c.card_id == card_id)
    if after_id is not None:
        query = query.where(_HOLD.c.id > after_id)
    if state == HoldState.OPEN:
        query = query.where(_HOLD.c.state == state, _HOLD.c.expire_time > now)
    elif state == HoldState.EXPIRED:
        over = and_(_HOLD.c.state == int(HoldState.OPEN), _HOLD.c.expire_time <= now)
        query = query.where(or_(_HOLD.c.state == state, over))
    elif state is not None:
        query = query.where(_HOLD.c.state == state)
    return _with_lines(connection, query, cell)


def hold(
    connection: Connection, merchant_id: str, book: int, cell: int, hold_id: str
) -> FoundHold | None:
    """The hold, or None where there is none in this merchant's book."""
    query = _holds(merchant_id, book, cell).where(_HOLD.c.id == hold_id)
    found = _with_lines(connection, query, cell)
    return found[0] if found else None


def _holds(merchant_id: str, book: int, cell: int) -> Select[Any]:
    return (
        select(*(_HOLD.c[name] for name in loading.HOLD_COLUMNS), _CARD.c.unit, _CARD.c.customer)
        .join(_CARD, (_CARD.c.id == _HOLD.c.card_id) & (_CARD.c.cell == _HOLD.c.cell))
        .where(_HOLD.c.merchant_id == merchant_id, _HOLD.c.book == book, _HOLD.c.cell == cell)
    )


def _with_lines(connection: Connection, query: Select[Any], cell: int) -> list[FoundHold]:
    rows = connection.execute(query).all()
    holds = loading.attach_lines(connection, rows, [cell])
    return [
        FoundHold(hold, row[-2], row[-1] if row[-2] == POINTS else "")
        for hold, row in zip(holds, rows, strict=True)
    ]
