"""Reading whole tables in order, in one snapshot and a bounded amount of memory.

For whoever recomputes the books from zero.  Every page starts after the last key of the page
before it, along the primary key or an index; nothing here knows what the rows mean.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Table, func, select, tuple_

from server.storage.database import Database

_PAGE_ROWS: Final = 500
_KEYS_MAX: Final = 128

#: The columns that were asked for, by place or by name.
Row: TypeAlias = Any
Key = tuple[Any, ...]


class Snapshot:
    """The database as it was at one instant, whatever is written meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> Connection:
        """Whoever reads from it sees the same instant."""
        return self._connection

    def count(self, table: Table, key: str = "", low: str = "", high: str | None = None) -> int:
        """Number of rows; with a key, of those above `low` and not above `high`."""
        query = select(func.count()).select_from(table)
        if key:
            query = query.where(table.c[key] > low)
            if high is not None:
                query = query.where(table.c[key] <= high)
        number: int = self._connection.execute(query).scalar_one()
        return number

    def pages(
        self,
        table: Table,
        names: Sequence[str],
        keys: Sequence[str],
        *,
        low: str = "",
        high: str | None = None,
        size: int | None = None,
    ) -> Iterator[Sequence[Row]]:
        """Pages of `names` in the order of `keys`, where the first key is above `low` and not
        above `high`.  `names` must begin with `keys`; no page is empty."""
        columns = [table.c[name] for name in names]
        if tuple(names[: len(keys)]) != tuple(keys):
            raise ValueError("the columns must begin with the keys")
        size = _PAGE_ROWS if size is None else size
        order = columns[: len(keys)]
        query = select(*columns).order_by(*order).limit(size)
        if high is not None:
            query = query.where(order[0] <= high)
        page = self._connection.execute(query.where(order[0] > low)).all()
        while page:
            yield page
            if len(page) < size:
                return
            last = tuple(page[-1][: len(keys)])
            page = self._connection.execute(query.where(tuple_(*order) > last)).all()

    def rows(
        self,
        table: Table,
        names: Sequence[str],
        keys: Sequence[str],
        *,
        low: str = "",
        high: str | None = None,
    ) -> Iterator[Row]:
        """The rows of `pages`, one by one."""
        for page in self.pages(table, names, keys, low=low, high=high):
            yield from page

    def find(
        self, table: Table, names: Sequence[str], keys: Sequence[str], values: Sequence[Key]
    ) -> list[Row]:
        """Rows whose `keys` are one of `values`, in no particular order."""
        columns = [table.c[name] for name in names]
        found: list[Row] = []
        for start in range(0, len(values), _KEYS_MAX):
            chunk = values[start : start + _KEYS_MAX]
            query = select(*columns)
            if len(keys) == 1:
                query = query.where(table.c[keys[0]].in_([value[0] for value in chunk]))
            else:
                query = query.where(tuple_(*(table.c[key] for key in keys)).in_(chunk))
            found += self._connection.execute(query).all()
        return found


@contextmanager
def snapshot(database: Database) -> Iterator[Snapshot]:
    """A snapshot that may stay open for as long as reading everything takes.

    On PostgreSQL it disturbs no writer.  On SQLite it keeps the write-ahead log from being reset
    meanwhile, so the log grows while a server in the same process writes.
    """
    with database.connect_reader() as connection, connection.begin():
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield Snapshot(connection)
