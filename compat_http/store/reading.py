"""What the command line reads, beside a running shim or without one.  Nothing here writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, or_, select
from sqlalchemy.exc import DBAPIError

from compat_http.store.database import StoreError, connect_reader, path_of
from compat_http.store.schema import exchange as _exchange
from compat_http.store.schema import log_gap as _log_gap
from compat_http.store.schema import reversal as _reversal

__all__ = ["Filter", "StoreError", "dropped", "exchanges", "one_exchange", "opened", "reversals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Each that is not empty narrows.  Times are microseconds, `since` in and `until` out."""

    last_four: str = ""
    request_id: str = ""
    dialect: str = ""
    status_min: int = 0
    status_max: int = 999
    since: int | None = None
    until: int | None = None


#: Rows by column name.
Rows = list[dict[str, Any]]

_LISTED: Final = [column for column in _exchange.c if column.name not in ("request", "answer")]


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """One snapshot of the file that a URL names.  Raises StoreError."""
    with connect_reader(path_of(url)) as connection, connection.begin():
        yield connection


def exchanges(connection: Connection, wanted: Filter, limit: int) -> Rows:
    """Newest first, without their documents."""
    query = (
        select(*_LISTED)
        .where(*_conditions(wanted))
        .order_by(_exchange.c.time.desc(), _exchange.c.id.desc())
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def one_exchange(connection: Connection, exchange_id: int) -> dict[str, Any] | None:
    row = connection.execute(select(_exchange).where(_exchange.c.id == exchange_id)).first()
    return dict(row._mapping) if row is not None else None


def dropped(connection: Connection, wanted: Filter) -> int:
    """How many exchanges of that time were not logged, whatever they were about."""
    query = select(func.coalesce(func.sum(_log_gap.c.dropped), 0))
    return int(connection.execute(query.where(*_period(_log_gap.c.time, wanted))).scalar_one())


def reversals(connection: Connection) -> Rows:
    """What waits to be sent, oldest first, without the credentials."""
    columns = (
        _reversal.c.key, _reversal.c.book, _reversal.c.dialect, _reversal.c.operation,
        _reversal.c.started, _reversal.c.attempts, _reversal.c.queued_time, _reversal.c.due_time,
    )  # fmt: skip
    query = select(*columns).order_by(_reversal.c.queued_time)
    return [dict(row._mapping) for row in connection.execute(query)]


def waiting(url: str) -> tuple[int, int]:
    """How many reversals wait, and since when the oldest does; (0, 0) for none.

    Raises StoreError where the file cannot be read.
    """
    count, oldest = func.count(), func.coalesce(func.min(_reversal.c.queued_time), 0)
    try:
        with opened(url) as connection:
            row = connection.execute(select(count, oldest).select_from(_reversal)).one()
    except DBAPIError as error:
        raise StoreError(f"The exchange log cannot be read: {error.orig}.") from None
    return row[0], row[1]


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    if wanted.last_four:
        yield _exchange.c.code_last_four == wanted.last_four
    if wanted.request_id:
        # Twice "not empty", so that the partial indexes serve.
        yield or_(
            (_exchange.c.legacy_request_id == wanted.request_id)
            & (_exchange.c.legacy_request_id != ""),
            (_exchange.c.request_id == wanted.request_id) & (_exchange.c.request_id != ""),
        )
    if wanted.dialect:
        yield _exchange.c.dialect == wanted.dialect
    if wanted.status_min > 0 or wanted.status_max < 999:
        yield _exchange.c.status.between(wanted.status_min, wanted.status_max)
    yield from _period(_exchange.c.time, wanted)


def _period(column: ColumnElement[int], wanted: Filter) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield column >= wanted.since
    if wanted.until is not None:
        yield column < wanted.until
