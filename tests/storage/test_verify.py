from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Column, LargeBinary, Text

from server.storage import audit, migrate, schema
from server.storage.audit import Snapshot
from server.storage.database import Database
from server.verify import Report, cards, verify, verify_snapshot
from tests.operations import Issue, Redeem
from tests.storage.books import keep_books
from tests.storage.conftest import Copies, Fill
from tests.storage.corruptions import CORRUPTIONS, statement


@pytest.fixture(scope="module")
def kept_copies(copies_of: Callable[[Fill], AbstractContextManager[Copies]]) -> Iterator[Copies]:
    with copies_of(_fill) as copies:
        yield copies


@pytest.fixture(scope="module")
def kept_on_sqlite(kept_copies: Copies) -> Iterator[Database]:
    with kept_copies("sqlite") as database:
        yield database


def _fill(database: Database) -> None:
    migrate.upgrade(database)
    keep_books(database).ledger.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, kept_copies: Copies) -> Iterator[Database]:
    """The same books for all, once on each engine."""
    with kept_copies(request.param) as database:
        yield database


@contextmanager
def _corrupted(database: Database, *statements: str) -> Iterator[Snapshot]:
    """Rows changed behind the product's back, past foreign keys and the CHECKs in the way.

    The changes are never committed, so that every test finds the same books.
    """
    with database.writer.connect() as connection:
        if database.is_sqlite:
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA foreign_keys = 0")
            cursor.execute("PRAGMA ignore_check_constraints = 1")
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql("ALTER TABLE account DROP CONSTRAINT ck_account_balance")
        for text in statements:
            changed = connection.exec_driver_sql(text).rowcount
            assert changed > 0, f"nothing was corrupted by {text}"
        yield Snapshot(connection)
        connection.rollback()


def _problems(report: Report) -> str:
    return "\n".join(str(problem) for problem in report.problems)


def test_untouched_books_are_found_right(kept: Database) -> None:
    seen: list[tuple[int, int]] = []
    report = verify(kept, lambda done, steps: seen.append((done, steps)))
    assert report.ok, _problems(report)
    assert seen[-1] == (101, 101)
    assert dict(report.counts) == {
        "transactions": 79, "postings": 57, "commits": 62, "reserved codes": 5, "cards": 20,
        "customers": 2, "entries": 75, "holds": 10,
    }  # fmt: skip
    live = report.totals["merchant", 1, "USD"]
    # Worked out by hand from what `books` lets happen: the spent and undone card G left 800 to
    # be claimed, card H's 120 were kept, corrections came to 33 - 12, the offer was worth 700.
    assert live.of("receivable") == -800
    assert live.of("breakage") == 120
    assert live.of("adjustment") == -21
    assert live.of("promo_expense") == -700
    assert live.of("in_transit") == 0
    assert live.liability == 10_000 + 5_000 + 2_500 + 1_000 + 4_000 + 900 + 150 + 1_000 - (
        (1_500 - 400) + 250 + 100 + 200 + 3_000 + 100 + 2_100 + 10
    ) + (33 - 12)
    # The points that paid for card N went out of one unit and came into another.
    assert live.of("points_exchange") == -1_000
    points = report.totals["merchant", 1, "POINTS"]
    assert points.of("promo_expense") == -(500 + 60 + 30)
    assert points.of("points_exchange") == 400
    assert points.of("clearing") == 20
    assert points.liability == 500 + 60 + 30 - 400 - 20


def test_an_empty_database_is_found_right(database: Database) -> None:
    report = verify(database)
    assert report.ok
    assert report.totals == {}


def test_page_borders_hide_nothing(kept: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = verify(kept)
    for rows, page_cards in ((1, 1), (2, 3), (7, 2)):
        monkeypatch.setattr(audit, "_PAGE_ROWS", rows)
        monkeypatch.setattr(cards, "_PAGE_CARDS", page_cards)
        report = verify(kept)
        assert report.ok, _problems(report)
        assert (report.counts, report.totals) == (whole.counts, whole.totals)


def test_it_may_run_beside_a_live_writer(database: Database) -> None:
    books = keep_books(database)
    number = iter(range(10**6))

    def write_meanwhile(done: int, steps: int) -> None:
        books.perform(Redeem("A", 1), f"meanwhile-{next(number)}")
        books.perform(Issue(f"new-{next(number)}", 5), f"meanwhile-{next(number)}")

    report = verify(database, write_meanwhile)
    assert report.ok, _problems(report)
    assert next(number) > 0
    again = verify(database)
    assert again.ok, _problems(again)
    assert again.counts["transactions"] > report.counts["transactions"]


def test_two_merchants_are_kept_apart(database: Database) -> None:
    keep_books(database, "first")
    keep_books(database, "second")
    report = verify(database)
    assert report.ok, _problems(report)
    first, second = report.totals["first", 1, "USD"], report.totals["second", 1, "USD"]
    assert first == second


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_wrong_row_is_named(kept: Database, name: str) -> None:
    table, statements = CORRUPTIONS[name]
    with _corrupted(kept, *statements) as books:
        report = verify_snapshot(books)
    assert not report.ok
    assert report.problems[0].table == table, _problems(report)
    assert len(report.problems) <= 12, f"one wrong row makes too much noise:\n{_problems(report)}"


#: What verify cannot judge: hashes and ciphertexts without the keys (of a PIN it knows whether
#: there is one), wrong PINs, and what is counted after a transaction was sealed.
_NOT_JUDGED: Final = frozenset({
    "card.pin_tries",
    "code.code_hash", "code.ciphertext", "code.key_version",
    "ledger_transaction.replays",
})  # fmt: skip
_LEDGER: Final = (
    "card", "code", "account", "hold", "hold_line", "ledger_transaction", "entry", "posting",
    "ledger_commit", "feed_head",
)  # fmt: skip
#: (table, column, which row): of what has a life, one at its beginning and one at its end.
_VALUES: Final = [
    (table, column.name, place)
    for table in _LEDGER
    for column in schema.metadata.tables[table].columns
    for place in (("first", "last") if table in ("account", "hold", "hold_line") else ("first",))
]


def _another_value(column: Column[Any]) -> str:
    name = f'"{column.name}"'
    if isinstance(column.type, LargeBinary):
        return "X'00'"
    text = isinstance(column.type, Text)
    return f"coalesce({name}, '') || 'x'" if text else f"coalesce({name}, 0) + 1000000000000"


@pytest.mark.parametrize(("table_name", "name", "place"), _VALUES)
def test_every_column_is_judged(
    kept_on_sqlite: Database, table_name: str, name: str, place: str
) -> None:
    """One value of the first or last row is another one: the same on both engines."""
    table = schema.metadata.tables[table_name]
    keys = [f'"{key.name}"' for key in table.primary_key]
    direction = "ASC" if place == "first" else "DESC"
    order = ", ".join(f"{key} {direction}" for key in keys)
    change = (
        f'UPDATE "{table_name}" SET "{name}" = {_another_value(table.c[name])}'
        f" WHERE ({', '.join(keys)}) ="
        f' (SELECT {", ".join(keys)} FROM "{table_name}" ORDER BY {order} LIMIT 1)'
    )
    with _corrupted(kept_on_sqlite, change) as books:
        assert verify_snapshot(books).ok == (f"{table_name}.{name}" in _NOT_JUDGED)


def test_it_stops_when_too_much_is_wrong(kept: Database) -> None:
    with _corrupted(kept, "UPDATE entry SET hash = '00'") as books:
        report = verify_snapshot(books, problems_max=5)
    assert not report.complete
    assert not report.ok
    assert len(report.problems) == 5


def test_the_first_wrong_row_is_named_with_its_key(database: Database) -> None:
    books = keep_books(database)
    wrong = statement(
        "UPDATE posting SET amount = amount + 1 WHERE transaction_id = <transaction redeem-a>"
    )
    with database.writer.begin() as connection:
        connection.exec_driver_sql(wrong)
    problem = verify(database).problems[0]
    assert problem.table == "posting"
    assert problem.key == books.transaction_id("redeem-a")
    assert (problem.found, problem.expected) == ("-1501", "-1500")
    assert str(problem).startswith(f"posting {books.transaction_id('redeem-a')}: sum on card")
