from collections.abc import Iterator

import psycopg
import pysqlite3
import pytest
from sqlalchemy import Connection, Table, func, select

from server.storage import schema, statements
from server.storage.database import Database
from server.storage.statements import Rows, Writes
from tests.storage.conftest import Copies

_TABLE = schema.feed_head
_NAMES = ("merchant_id", "book", "cell", "head", "hash", "commit_time")
# In one statement, in two, in three; the longest one, and what is longer.
_COUNTS = [1, 2, 3, 7, 8, 9, 31, 75, 127, 128, 129, 300]


def _rows(count: int) -> list[tuple[object, ...]]:
    return [(f"m{n:04d}", 1, 7, n, f"hash {n}", -n) for n in range(count)]


def _stored(connection: Connection) -> list[tuple[object, ...]]:
    query = select(*(_TABLE.c[name] for name in _NAMES)).order_by(_TABLE.c.merchant_id)
    return [tuple(row) for row in connection.execute(query)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, migrated: Copies) -> Iterator[Database]:
    with migrated(request.param) as database:
        yield database


@pytest.fixture
def connection(shared: Database) -> Iterator[Connection]:
    """A transaction on empty tables that is never committed, once on each engine."""
    with shared.writer.connect() as connection:
        yield connection
        connection.rollback()


def _insert(connection: Connection, table: Table, names: tuple[str, ...], rows: Rows) -> None:
    with Writes(connection) as writes:
        writes.insert(table, names, rows)


def _insert_and_update(connection: Connection, row: tuple[object, ...], *, updates: int) -> None:
    with Writes(connection) as writes:
        writes.insert(_TABLE, _NAMES, [row])
        for _ in range(updates):
            writes.update(_TABLE, _NAMES[:3], ("head",), [("nobody", 1, 7, 99)])


@pytest.mark.parametrize("count", [0, *_COUNTS])
def test_insert_writes_every_row_once(connection: Connection, count: int) -> None:
    _insert(connection, _TABLE, _NAMES, _rows(count))
    assert _stored(connection) == _rows(count)


@pytest.mark.parametrize("count", [0, *_COUNTS])
def test_update_changes_the_named_columns_of_the_named_rows(
    connection: Connection, count: int
) -> None:
    _insert(connection, _TABLE, _NAMES, _rows(count + 1))
    with Writes(connection) as writes:
        writes.update(
            _TABLE, ("merchant_id", "book", "cell"), ("head", "hash"),
            [(*row[:3], 10**12 + n, f"new {n}") for n, row in enumerate(_rows(count))],
        )  # fmt: skip
    expected = [(*row[:3], 10**12 + n, f"new {n}", row[5]) for n, row in enumerate(_rows(count))]
    assert _stored(connection) == [*expected, _rows(count + 1)[-1]]


@pytest.mark.parametrize("missing", [("m0001", 1, 8), ("m0001", 2, 7), ("nobody", 1, 7)])
def test_update_of_a_missing_row_is_an_error(
    connection: Connection, missing: tuple[str, int, int]
) -> None:
    _insert(connection, _TABLE, _NAMES, _rows(3))
    changes = [("m0000", 1, 7, 99), (*missing, 99), ("m0002", 1, 7, 99)]
    with pytest.raises(AssertionError, match="feed_head: "), Writes(connection) as writes:
        writes.update(_TABLE, _NAMES[:3], ("head",), changes)


def test_the_first_statement_that_fails_is_told_of(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where those after it were sent already; and the connection goes on."""
    for rest in range(1, 60):
        _insert(connection, _TABLE, _NAMES, _rows(2))
        with pytest.raises((pysqlite3.IntegrityError, psycopg.IntegrityError)):
            _insert_and_update(connection, _rows(1)[0], updates=rest)
        connection.rollback()
    _insert(connection, _TABLE, _NAMES, _rows(2))
    assert _stored(connection) == _rows(2)
    # A lost race is no news.
    assert not caplog.records


def test_a_lock_that_is_not_given_is_told_of(migrated: Copies) -> None:
    """Whoever holds it may be an earlier sending: to be told apart from all that was not done."""
    with (
        migrated("postgresql") as database,
        database.writer.connect() as holder,
        database.writer.connect() as connection,
    ):
        _insert(holder, _TABLE, _NAMES, _rows(1))
        connection.exec_driver_sql("SET LOCAL lock_timeout = 50")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            _insert_and_update(connection, _rows(1)[0], updates=20)


@pytest.mark.parametrize("count", _COUNTS)
@pytest.mark.parametrize("cells", [[7], [6, 7], [5, 6, 7]], ids=["1 cell", "2 cells", "3 cells"])
@pytest.mark.parametrize("lock", [False, True], ids=["plain", "lock"])
def test_select_in_finds_each_row_once(
    connection: Connection, count: int, cells: list[int], lock: bool
) -> None:
    wanted = [row[0] for row in _rows(count)]
    _insert(connection, _TABLE, _NAMES, _rows(count + 2))
    found = statements.select_in(
        connection, _TABLE, _NAMES, "merchant_id", [*reversed(wanted), "nobody"], cells,
        order="merchant_id", lock=lock,
    )  # fmt: skip
    rows = [tuple(row) for row in found]
    assert sorted(rows) == _rows(count)
    if lock or count < 128:
        # What is locked is locked in one order everywhere, over all the statements it takes.
        assert rows == _rows(count)


def test_select_in_looks_into_the_named_cells_only(connection: Connection) -> None:
    _insert(connection, _TABLE, _NAMES, _rows(3))
    assert statements.select_in(
        connection, _TABLE, _NAMES, "merchant_id", ["m0000", "m0001"], [6, 8]
    ) == []  # fmt: skip
    assert connection.execute(select(func.count()).select_from(_TABLE)).scalar_one() == 3


def test_values_arrive_as_they_left(connection: Connection) -> None:
    """Bytes, absent values, the largest numbers, and text that looks like something else."""
    names = (
        "code_hash", "cell", "merchant_id", "book", "card_id", "kind", "state", "last_four",
        "ciphertext", "key_version", "normalization", "create_time", "reservation_id", "line",
    )  # fmt: skip
    rows = [
        (b"\x00\xff'", -(2**63), "', ''); --", 1, None, 1, 2, "%s", b"", 2**63 - 1, 1, 0, "$1", 1),
        (b"?", 2**63 - 1, "ß😀\t", 2, None, 1, 3, "?", b"\x00", 0, 1, -1, "", 2),
    ]
    _insert(connection, schema.code, names, rows)
    found = statements.select_in(
        connection, schema.code, names, "code_hash", [row[0] for row in rows],
        [row[1] for row in rows], order="book",
    )  # fmt: skip
    assert [(bytes(r[0]), *r[1:8], bytes(r[8]), *r[9:]) for r in found] == rows
