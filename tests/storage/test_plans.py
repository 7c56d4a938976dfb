"""No list reads a whole table: each follows an index, however many rows there are."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy import Connection, event, text

from server.storage import directory, loading, queries
from server.storage.database import Database
from tests.storage.books import CELL
from tests.storage.conftest import Copies

_ROWS = 50_000
# Half of the holds are over.  A filter that almost nothing passes costs what it passes over.
_NOW = _ROWS // 2
_SCOPE = ("m1", 1, CELL)
_CARD = "card-00000008"
_IDS = [f"id-{n:08d}" for n in (5, 500, 5_000)]

# Ten cards own all entries, transactions and holds; two merchants share everything.  `n` counts.
_FILL = """
INSERT INTO card (id, cell, merchant_id, book, program_id, program_version, program_code, unit,
    state, code_last_four, time_zone, initial_amount, reload_allowed, return_allowed,
    partial_redeem_allowed, pin_tries, batch, customer, labels, sequence, head, create_time,
    update_time)
  SELECT {card}, 7, {merchant}, 1, 'p', 1, 'GC', 'USD', 2, {four}, 'UTC', 0, 1, 0, 1, '{{}}',
    {batch}, {customer}, '{{}}', 0, '', 1, 1 FROM numbers;
INSERT INTO card (id, cell, merchant_id, book, program_id, program_version, program_code, unit,
    state, code_last_four, time_zone, initial_amount, reload_allowed, return_allowed,
    partial_redeem_allowed, pin_tries, customer, labels, sequence, head, create_time,
    update_time)
  SELECT {wallet}, 7, {merchant}, 1, '', 0, '', 'POINTS', 2, '', 'UTC', 0, 1, 0, 1, '{{}}',
    {wallet}, '{{}}', 0, '', 1, 1 FROM numbers;
INSERT INTO account (id, card_id, cell, merchant_id, book, unit, origin, program_id,
    program_version, balance, held, create_time)
  SELECT 'a', {card}, 7, {merchant}, 1, 'USD', 1, 'p', 1, 5, 5, 1 FROM numbers;
INSERT INTO ledger_transaction (id, cell, kind, state, merchant_id, book, client_id, actor_kind,
    request_id, request_key, fingerprint, command, result, decided_time, effective_time,
    received_time, business_date, location_id, receipt, card_id, target_id, refusal_reason,
    refusal_metadata, commit_id, ordinal, replays)
  SELECT {id}, 7, 5, {state}, {merchant}, 1, 'c', 'client', 'r', {key}, {key}, '[]', '', n, n, n,
    'day', 'SHOP1', {receipt}, {owner}, {target}, {reason}, '', {id}, 0, 0 FROM numbers;
INSERT INTO entry (card_id, sequence, cell, transaction_id, balance_after, held_after, card_state,
    previous, hash)
  SELECT {owner}, 1 + n / 10, 7, {id}, 0, 0, 2, '', '' FROM numbers;
INSERT INTO hold (id, card_id, cell, merchant_id, book, client_id, transaction_id, state,
    requested, authorized, captured, exclusive, expire_time, create_time)
  SELECT {id}, {owner}, 7, {merchant}, 1, 'c', {id}, 1, 5, 5, 0, 0, n, n FROM numbers;
INSERT INTO code (code_hash, cell, merchant_id, book, kind, state, ciphertext, key_version,
    normalization, create_time, reservation_id, line)
  SELECT {key}, 7, {merchant}, 1, 1, 2, {key}, 1, 1, n, {owner}, n / 10 FROM numbers;
INSERT INTO ledger_commit (id, merchant_id, book, cell, first_sequence, count,
    first_transaction_id, last_transaction_id, commit_time, previous, hash)
  SELECT {id}, {merchant}, 1, 7, n, 1, {id}, {id}, n, '', '' FROM numbers
"""
_SQLITE = {
    "numbers": "WITH RECURSIVE numbers(n) AS"
    f" (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {_ROWS}) ",
    "text": "printf('{prefix}%08d', {number})",
    "key": "CAST(printf('%08d', n) AS BLOB)",
}
_POSTGRESQL = {
    "numbers": f"WITH numbers AS (SELECT generate_series(1, {_ROWS}) AS n) ",
    "text": "'{prefix}' || lpad(({number})::text, 8, '0')",
    "key": "convert_to(lpad(n::text, 8, '0'), 'UTF8')",
}


def _fill(database: Database) -> None:
    words = _SQLITE if database.is_sqlite else _POSTGRESQL

    def named(prefix: str, number: str) -> str:
        return words["text"].format(prefix=prefix, number=number)

    def rarely(prefix: str) -> str:
        return f"CASE WHEN n % 100 = 1 THEN {named(prefix, 'n')} ELSE '' END"

    statements = _FILL.format(
        card=named("card-", "n"),
        wallet=named("a-wallet-", "n"),
        id=named("id-", "n"),
        owner=named("card-", "1 + n % 10"),
        merchant="CASE WHEN n % 2 = 0 THEN 'm2' ELSE 'm1' END",
        four=named("", "n % 1000"),
        batch=rarely("b-"),
        customer=rarely("c-"),
        receipt=rarely("r-"),
        target=f"CASE WHEN n % 100 = 1 THEN {named('id-', 'n - 1')} END",
        state="CASE WHEN n % 50 = 7 THEN 2 ELSE 1 END",
        reason="CASE WHEN n % 50 = 7 THEN 'NO_BALANCE' ELSE '' END",
        key=words["key"],
    )
    with database.writer.begin() as connection:
        for statement in statements.split(";"):
            target, _, source = statement.partition("\n  SELECT")
            connection.execute(text(f"{target} {words['numbers']} SELECT{source}"))
    if not database.is_sqlite:
        engine = database.writer.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, migrated: Copies) -> Iterator[Database]:
    with migrated(request.param) as database:
        _fill(database)
        yield database


@pytest.fixture
def connection(full: Database) -> Iterator[Connection]:
    with full.connect_reader() as connection:
        yield connection


Query = Callable[[Connection], object]

_QUERIES: dict[str, Query] = {
    "cards": lambda c: queries.cards_page(c, *_SCOPE, limit=50),
    "cards, second page": lambda c: queries.cards_page(c, *_SCOPE, after_id=_CARD, limit=50),
    "cards of a program": lambda c: queries.cards_page(c, *_SCOPE, program_code="GC", limit=50),
    "cards by last four": lambda c: queries.cards_page(c, *_SCOPE, last_four="00000007", limit=50),
    "cards of a customer": lambda c: queries.cards_page(
        c, *_SCOPE, customer="c-00000101", limit=50
    ),
    "cards of a batch": lambda c: queries.cards_page(c, *_SCOPE, batch="b-00000101", limit=50),
    "customers": lambda c: queries.customers_page(c, *_SCOPE, limit=50),
    "customers, second page": lambda c: queries.customers_page(
        c, *_SCOPE, after="a-wallet-00000500", limit=50
    ),
    "a customer": lambda c: queries.customer(c, *_SCOPE, "a-wallet-00000501"),
    "customers by number": lambda c: loading.wallet_ids(
        c, [("m1", 1, "a-wallet-00000501"), ("m2", 1, "a-wallet-00000502")], [CELL]
    ),
    "holds": lambda c: queries.holds_page(c, *_SCOPE, now=_NOW, limit=50),
    "holds, second page": lambda c: queries.holds_page(
        c, *_SCOPE, now=_NOW, after_id=_IDS[1], limit=50
    ),
    "open holds": lambda c: queries.holds_page(c, *_SCOPE, now=_NOW, state=1, limit=50),
    "expired holds": lambda c: queries.holds_page(c, *_SCOPE, now=_NOW, state=4, limit=50),
    "holds of a card": lambda c: queries.holds_page(c, *_SCOPE, now=_NOW, card_id=_CARD, limit=50),
    "a hold": lambda c: queries.hold(c, *_SCOPE, _IDS[0]),
    "transactions": lambda c: queries.transactions_page(c, *_SCOPE, limit=50),
    "transactions, second page": lambda c: queries.transactions_page(
        c, *_SCOPE, after=_IDS[1], limit=50
    ),
    "transactions of a receipt": lambda c: queries.transactions_page(
        c, *_SCOPE, receipt="r-00000101", limit=50
    ),
    "transactions of a card": lambda c: queries.transactions_page(
        c, *_SCOPE, card_id=_CARD, limit=50
    ),
    "transactions of a card, second page": lambda c: queries.transactions_page(
        c, *_SCOPE, card_id=_CARD, after=_IDS[1], limit=50
    ),
    "codes of a reservation": lambda c: directory.reserved_codes(c, _CARD, CELL),
    "commits": lambda c: queries.commit_of(c, _IDS, [CELL]),
}


@pytest.mark.parametrize("name", _QUERIES)
def test_a_list_reads_no_whole_table(connection: Connection, name: str) -> None:
    """Whatever a statement's values are: a prepared one is planned without them."""
    seen: list[tuple[str, Any]] = []

    def _note(_1: object, _2: object, statement: str, values: Any, _3: object, _4: bool) -> None:
        seen.append((statement, values))

    event.listen(connection, "before_cursor_execute", _note)
    try:
        _QUERIES[name](connection)
    finally:
        event.remove(connection, "before_cursor_execute", _note)
    assert seen
    for statement, values in seen:
        plans = _plans(connection, statement, values)
        assert plans
        for plan in plans:
            assert not _whole(plan), f"{statement}\n{plan}"


def _plans(connection: Connection, statement: str, values: Any) -> list[str]:
    """The plan for these values, and on PostgreSQL the one for any values too."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        return ["\n".join(row[3] for row in rows)]
    names: list[str] = []

    def _number(sign: re.Match[str]) -> str:
        names.append(sign[1])
        return f"${len(names)}"

    prepared = re.sub(r"%\((\w+)\)s", _number, statement).replace("%%", "%")
    arguments = [sql.Literal(values[name]).as_string() for name in names]
    call = f"any_values({', '.join(arguments)})" if names else "any_values"
    cursor = connection.connection.cursor()
    cursor.execute("SET plan_cache_mode = force_generic_plan")
    cursor.execute(f"PREPARE any_values AS {prepared}")
    plans = []
    for text_, arguments_ in ((statement, values), (f"EXECUTE {call}", None)):
        cursor.execute(f"EXPLAIN {text_}", arguments_)
        plans.append("\n".join(row[0] for row in cursor.fetchall()))
    cursor.execute("DEALLOCATE any_values")
    return plans


def _whole(plan: str) -> bool:
    """SQLite says SCAN where it does not SEARCH; its lists of values are no tables."""
    return "Seq Scan" in plan or re.search(r"SCAN (?!CONSTANT|\d+-ROW VALUES)", plan) is not None


def test_a_plan_without_an_index_is_noticed(connection: Connection) -> None:
    statement = "SELECT id FROM card WHERE external_reference = 'x'"
    (plan, *_) = _plans(connection, statement, ())
    assert _whole(plan), plan


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("cards", 50),
        ("customers", 50),
        ("customers, second page", 50),
        ("customers by number", 2),
        ("cards by last four", 50),
        ("cards of a customer", 1),
        ("transactions of a receipt", 1),
        ("transactions of a card", 50),
        ("transactions of a card, second page", 50),
        ("codes of a reservation", _ROWS // 10),
        ("commits", 3),
    ],
)
def test_the_lists_are_not_empty(connection: Connection, name: str, rows: int) -> None:
    assert len(_QUERIES[name](connection)) == rows  # type: ignore[arg-type]
