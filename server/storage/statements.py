"""Set-wise statements: one text for many rows, from the tables in `schema`.

Row counts are padded to powers of two, or cut to a few lengths, so that a statement has a handful
of texts, each prepared once.  Inserts are multi-row VALUES everywhere (a sharding engine prepares
those for commit, and not INSERT ... SELECT).  The texts run on the driver's own cursor: a batch has
a dozen of them, and SQLAlchemy's execution costs several times what SQLite's does (see DECISIONS).
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from itertools import count
from typing import Any, Final, Self

import psycopg
from sqlalchemy import Column, Connection, Table
from sqlalchemy.engine.interfaces import Dialect

from server.storage.database import LostRaceError, driver_cursor

_ROWS_MAX: Final = 128

Rows = Sequence[Sequence[Any]]


def execute(connection: Connection, text: str, values: Sequence[Any]) -> Any:
    """Runs a statement inside the connection's transaction; returns the driver's cursor."""
    if not connection.in_transaction():
        connection.begin()
    cursor = driver_cursor(connection)
    cursor.execute(text, values)
    return cursor


def _numbered(text: str, dialect: Dialect) -> str:
    """The text with its `?` as the engine wants them: PostgreSQL's own are $1, $2 and so on."""
    if dialect.name != "postgresql":
        return text
    number = count(1)
    return re.sub(r"\?", lambda _: f"${next(number)}", text)


def _names(columns: Iterable[Column[Any]], dialect: Dialect) -> list[str]:
    quote = dialect.identifier_preparer.quote
    return [quote(column.name) for column in columns]


def _chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Cuts into runs whose lengths have at most three significant bits, longest first.

    So up to 128 rows are one run or two (or, rarely, three), and there are 24 lengths.
    """
    start, left = 0, len(rows)
    while left:
        lower_bits = max(left.bit_length() - 3, 0)
        size = min(_ROWS_MAX, left >> lower_bits << lower_bits)
        yield rows[start : start + size]
        start += size
        left -= size


@cache
def _insert_text(table: Table, names: tuple[str, ...], rows: int, dialect: Dialect) -> str:
    columns = _names((table.c[name] for name in names), dialect)
    row = "(" + ", ".join("?" * len(columns)) + ")"
    target = dialect.identifier_preparer.format_table(table)
    # Names come from the schema, values are bound: here and in the other two.
    text = f"INSERT INTO {target} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608
    return _numbered(text, dialect)


@cache
def _update_text(
    table: Table,
    keys: tuple[str, ...],
    names: tuple[str, ...],
    unset: str,
    rows: int,
    dialect: Dialect,
) -> str:
    """One UPDATE that joins the rows to be changed with a list of VALUES.

    The list is a common table expression because that is the one spelling in which both engines
    let its columns be named; its first row carries the types.
    """
    columns = [table.c[name] for name in (*keys, *names)]
    quoted = _names(columns, dialect)
    types = [column.type.dialect_impl(dialect).compile(dialect).split(" COLLATE")[0]
             for column in columns]  # fmt: skip
    first = "(" + ", ".join(f"CAST(? AS {kind})" for kind in types) + ")"
    row = "(" + ", ".join("?" * len(columns)) + ")"
    target = dialect.identifier_preparer.format_table(table)
    changes = ", ".join(f"{name} = v.{name}" for name in quoted[len(keys) :])
    match = " AND ".join(f"{target}.{name} = v.{name}" for name in quoted[: len(keys)])
    if unset:
        match += f" AND {target}.{_names([table.c[unset]], dialect)[0]} IS NULL"
    values = ", ".join([first, *[row] * (rows - 1)])
    text = (
        f"WITH v ({', '.join(quoted)}) AS (VALUES {values})"  # noqa: S608
        f" UPDATE {target} SET {changes} FROM v WHERE {match}"
    )
    return _numbered(text, dialect)


class Writes:
    """Statements that write, sent one after the other; leaving it waits for all of them.

    PostgreSQL answers each statement, and whoever waits for each answer has to win the interpreter
    back from the event loop as often.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stack = ExitStack()
        self._updates: list[tuple[Any, int, Table, str]] = []

    def __enter__(self) -> Self:
        if self._connection.dialect.name == "postgresql":
            driver: Any = self._connection.connection.dbapi_connection
            self._stack.enter_context(driver.pipeline())
        return self

    def __exit__(self, *error: Any) -> None:
        """Raises what a statement met, LostRaceError, or AssertionError for a row not there."""
        if error[0] is not None:
            # The first error counts; what was sent after it can only say that it was aborted.
            with suppress(psycopg.Error):
                self._stack.close()
            return
        self._stack.close()
        for update in self._updates:
            _require_all(*update)

    def insert(self, table: Table, names: tuple[str, ...], rows: Rows) -> None:
        for chunk in _chunks(rows):
            text = _insert_text(table, names, len(chunk), self._connection.dialect)
            execute(self._connection, text, [value for row in chunk for value in row])

    def update(
        self,
        table: Table,
        keys: tuple[str, ...],
        names: tuple[str, ...],
        rows: Rows,
        *,
        unset: str = "",
    ) -> None:
        """Sets `names` of the rows with these `keys`; a row is the keys, then the values.

        With `unset`, a row whose column of this name is set already was lost to somebody else.
        """
        for chunk in _chunks(rows):
            text = _update_text(table, keys, names, unset, len(chunk), self._connection.dialect)
            cursor = execute(self._connection, text, [value for row in chunk for value in row])
            self._updates.append((cursor, len(chunk), table, unset))


def _require_all(cursor: Any, rows: int, table: Table, unset: str) -> None:
    """An UPDATE met every row that it named."""
    if unset and cursor.rowcount < rows:
        raise LostRaceError(f"{table.name}: another process was faster")
    if cursor.rowcount != rows:
        raise AssertionError(f"{table.name}: {cursor.rowcount} of {rows} rows were there to update")


@cache
def _select_text(
    table: Table,
    names: tuple[str, ...],
    key: str,
    keys: int,
    cells: int,
    suffix: str,
    dialect: Dialect,
) -> str:
    columns = ", ".join(_names((table.c[name] for name in names), dialect))
    (key_name,) = _names((table.c[key],), dialect)
    target = dialect.identifier_preparer.format_table(table)
    text = (
        f"SELECT {columns} FROM {target}"  # noqa: S608
        f" WHERE {key_name} IN ({', '.join('?' * keys)})"
        f" AND cell IN ({', '.join('?' * cells)}){suffix}"
    )
    return _numbered(text, dialect)


def _padded(values: Sequence[Any]) -> list[Any]:
    """Repeats the last value up to the next power of two: IN does not mind."""
    size = 1 << (len(values) - 1).bit_length()
    return [*values, *[values[-1]] * (size - len(values))]


def select_in(
    connection: Connection,
    table: Table,
    names: tuple[str, ...],
    key: str,
    values: Sequence[Any],
    cells: Sequence[int],
    *,
    where: str = "",
    order: str = "",
    lock: bool = False,
) -> list[Any]:
    """Rows whose `key` is one of `values`, in one of `cells`, and of which `where` is true.

    With `lock` the rows are locked in `order`, which must be the same everywhere: that is what
    keeps two writers from waiting for each other.  SQLite has one writer and needs no row locks.
    """
    dialect = connection.dialect
    suffix = f" AND {where}" if where else ""
    suffix += f" ORDER BY {order}" if order else ""
    if lock and dialect.name == "postgresql":
        suffix += " FOR UPDATE"
    found: list[Any] = []
    padded_cells = _padded(cells)
    if lock:
        values = sorted(values)
    for start in range(0, len(values), _ROWS_MAX):
        keys = _padded(values[start : start + _ROWS_MAX])
        text = _select_text(table, names, key, len(keys), len(padded_cells), suffix, dialect)
        found += execute(connection, text, keys + padded_cells).fetchall()
    return found
