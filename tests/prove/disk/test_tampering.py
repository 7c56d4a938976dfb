"""Whoever changes the books behind the product's back is found out: any value, any row, any order.

The rows are chosen by chance, over every table of the ledger and every kind of change; each change
is undone before the next.  What `verify` cannot judge is listed, and never chosen.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Column, Connection, LargeBinary, Table, Text
from sqlalchemy.exc import IntegrityError

from server.storage import migrate, schema
from server.storage.audit import Snapshot
from server.storage.database import Database
from server.verify import verify_snapshot
from tests.prove.proof import Proof
from tests.storage.books import keep_books
from tests.storage.test_verify import LEDGER, NOT_JUDGED

#: What the rows of a chain may not change places in: (table, by which they stand in order).
_ORDERS: Final = [
    ("entry", "sequence"), ("posting", "line"), ("ledger_transaction", "ordinal"),
    ("ledger_commit", "first_sequence"),
]  # fmt: skip
#: That a card has a PIN is judged; which one is a secret that no record holds.
_UNJUDGED: Final = NOT_JUDGED | {"card.pin_hash"}
_SHIFT: Final = 1_000_000

#: Returns what was done, or nothing where the row chosen has no such change.
Change = Callable[[Connection, random.Random], str]


def flip(connection: Connection, dice: random.Random) -> str:
    """Another value in one place: one bit of a number or of bytes, one character of a text."""
    table = schema.metadata.tables[dice.choice(LEDGER)]
    column = dice.choice([c for c in table.columns if f"{table.name}.{c.name}" not in _UNJUDGED])
    row = _any_row(connection, table, dice)
    if column is schema.code.c.last_four and row.card_id is None:
        return ""  # It repeats what the sealed code says, which takes the keys to read.
    value = getattr(row, column.name)
    changed = _changed(column, value, dice)
    _update(connection, table, row, {column.name: changed})
    return f"{table.name} {_key(table, row)}: {column.name} {value!r} -> {changed!r}"


def delete(connection: Connection, dice: random.Random) -> str:
    """A row less: a gap, an edit of history, or its end cut off."""
    table = schema.metadata.tables[dice.choice(LEDGER)]
    row = _any_row(connection, table, dice)
    connection.execute(table.delete().where(*_is(table, row)))
    return f"{table.name} {_key(table, row)} deleted"


def copy(connection: Connection, dice: random.Random) -> str:
    """A row more: a copy under another key."""
    table = schema.metadata.tables[dice.choice(LEDGER)]
    row = dict(_any_row(connection, table, dice)._mapping)
    key = [c for c in table.primary_key if c.name != "cell"][-1]
    row[key.name] = _changed(key, row[key.name], dice)
    for constraint in table.indexes:
        # Where another wall stands in the way, the forger walks around it.
        if constraint.unique:
            row |= {c.name: _changed(c, row[c.name], dice) for c in constraint.columns
                    if c.name not in ("cell", "merchant_id", "book")}  # fmt: skip
    if table is schema.ledger_transaction:
        row["request_key"] = dice.randbytes(32)
    if table is schema.ledger_commit:
        row["id"] = "f" * 32
    connection.execute(table.insert().values(row))
    return f"{table.name} {row[key.name]} invented"


def swap(connection: Connection, dice: random.Random) -> str:
    """Two rows change places in their order."""
    name, place = dice.choice(_ORDERS)
    table = schema.metadata.tables[name]
    rows = list(connection.execute(table.select()))
    first = dice.choice(rows)
    others = [row for row in rows if _same_chain(table, place, first, row)]
    if not others:
        return ""
    second = dice.choice(others)
    here, there = getattr(first, place), getattr(second, place)
    _update(connection, table, first, {place: there + _SHIFT})
    _update(connection, table, second, {place: here})
    moved = {**first._mapping, place: there + _SHIFT}
    condition = [table.c[c.name] == moved[c.name] for c in table.primary_key]
    connection.execute(table.update().where(*condition).values({place: there}))
    return f"{name}: {place} {here} and {there} of {_key(table, first)} exchanged"


_CHANGES: Final[dict[str, Change]] = {
    "flipped": flip, "deleted": delete, "copied": copy, "exchanged": swap,
}  # fmt: skip


def _same_chain(table: Table, place: str, one: Any, other: Any) -> bool:
    if getattr(one, place) == getattr(other, place):
        return False
    chain = {
        "entry": ("card_id",), "posting": ("transaction_id",),
        "ledger_transaction": ("commit_id",), "ledger_commit": ("merchant_id", "book"),
    }[table.name]  # fmt: skip
    return all(getattr(one, name) == getattr(other, name) for name in chain)


def _changed(column: Column[Any], value: Any, dice: random.Random) -> Any:
    if isinstance(column.type, LargeBinary):
        content = bytearray(value or b"\0")
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        return bytes(content)
    if isinstance(column.type, Text):
        if not value:
            return "x"
        place = dice.randrange(len(value))
        letter = dice.choice([each for each in "0123456789abcdefX" if each != value[place]])
        return f"{value[:place]}{letter}{value[place + 1 :]}"
    return (value or 0) ^ (1 << dice.randrange(40))


def _any_row(connection: Connection, table: Table, dice: random.Random) -> Any:
    return dice.choice(connection.execute(table.select()).all())


def _key(table: Table, row: Any) -> str:
    return "/".join(str(getattr(row, column.name)) for column in table.primary_key)


def _is(table: Table, row: Any) -> list[Any]:
    return [column == getattr(row, column.name) for column in table.primary_key]


def _update(connection: Connection, table: Table, row: Any, values: dict[str, Any]) -> None:
    done = connection.execute(table.update().where(*_is(table, row)).values(values))
    assert done.rowcount == 1


@contextmanager
def _past_the_walls(database: Database) -> Iterator[Connection]:
    with database.writer.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA foreign_keys = 0")
        cursor.execute("PRAGMA ignore_check_constraints = 1")
        yield connection
        connection.rollback()


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A ledger in which everything happened at least once."""
    path = tmp_path_factory.mktemp("books") / "books.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        migrate.upgrade(database)
        keep_books(database).ledger.close()
        yield database


@pytest.mark.slow
def test_no_change_goes_unseen(proof: Proof, books: Database) -> None:
    check_changes(proof, books, proof.cases(push=1200, release=100_000))


def test_a_few_changes_are_seen(proof: Proof, books: Database) -> None:
    check_changes(proof, books, 60)


def check_changes(proof: Proof, books: Database, wanted: int) -> None:
    made: Counter[str] = Counter()
    unseen: list[str] = []
    refused = 0
    for number in range(wanted):
        dice = random.Random(f"{proof.seed}/{number}")
        name = dice.choice(list(_CHANGES))
        with _past_the_walls(books) as connection:
            try:
                what = _CHANGES[name](connection, dice)
            except IntegrityError:
                refused += 1  # a UNIQUE stands in the way
                continue
            if not what:
                continue
            made[name] += 1
            if verify_snapshot(Snapshot(connection), problems_max=1).ok:
                unseen.append(f"{number}: {what}")
    proof.report(
        "Changes behind the product's back", changes=made.total(), **made,
        refused_by_the_database=refused, unseen=len(unseen),
    )  # fmt: skip
    assert not unseen, "\n".join(unseen[:20])
    assert set(made) == set(_CHANGES)
