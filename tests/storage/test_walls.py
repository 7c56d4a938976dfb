"""The database is the last wall: what the rules should never let through, it refuses itself."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Column
from sqlalchemy.exc import DBAPIError

from server.storage import migrate, schema
from server.storage.database import Database
from tests.storage.conftest import Copies, Fill

_LIMIT = 10**15

# A row of each table that a wall stands around; columns left out have a default or may be absent.
_GOOD: dict[str, dict[str, Any]] = {
    "card": {
        "id": "c1", "cell": 7, "merchant_id": "m1", "book": 1, "program_id": "p1",
        "program_version": 1, "program_code": "GC", "unit": "USD", "state": 2, "time_zone": "UTC",
        "initial_amount": 0, "reload_allowed": 1, "return_allowed": 0,
        "partial_redeem_allowed": 1, "pin_tries": "{}", "labels": "{}", "sequence": 0,
        "head": "", "create_time": 1, "update_time": 1,
    },
    "code": {
        "code_hash": b"h1", "cell": 7, "merchant_id": "m1", "book": 1, "card_id": "c1",
        "kind": 1, "state": 1, "ciphertext": b"x", "key_version": 1, "normalization": 1,
        "create_time": 1, "reservation_id": "t1", "line": 1,
    },
    "account": {
        "id": "a1", "card_id": "c1", "cell": 7, "merchant_id": "m1", "book": 1, "unit": "USD",
        "origin": 1, "program_id": "p1", "program_version": 1, "balance": 100, "held": 40,
        "create_time": 1,
    },
    "hold": {
        "id": "h1", "card_id": "c1", "cell": 7, "merchant_id": "m1", "book": 1,
        "client_id": "till", "transaction_id": "t1", "state": 1, "requested": 40,
        "authorized": 40, "captured": 0, "exclusive": 0, "expire_time": 9, "create_time": 1,
    },
    "hold_line": {
        "hold_id": "h1", "account_id": "a1", "cell": 7, "line": 1, "authorized": 40,
        "remaining": 40,
    },
    "ledger_transaction": {
        "id": "t1", "cell": 7, "kind": 5, "state": 1, "merchant_id": "m1", "book": 1,
        "client_id": "till", "actor_kind": "client", "request_id": "r1", "request_key": b"k1",
        "fingerprint": b"f1", "command": "[]", "result": "{}", "decided_time": 1,
        "effective_time": 1, "received_time": 1, "business_date": "2026-03-01",
        "commit_id": "k1", "ordinal": 0, "replays": 0,
    },
    "entry": {
        "card_id": "c1", "sequence": 1, "cell": 7, "transaction_id": "t1", "balance_after": 100,
        "held_after": 40, "card_state": 2, "previous": "", "hash": "x",
    },
    "posting": {
        "transaction_id": "t1", "line": 1, "cell": 7, "merchant_id": "m1", "book": 1,
        "debit": "clearing", "credit": "a1", "amount": 100, "unit": "USD", "movement": 1,
        "card_id": "c1", "account_id": "a1", "balance_after": 100, "program_id": "p1",
        "business_date": "2026-03-01",
    },
    "ledger_commit": {
        "id": "k1", "merchant_id": "m1", "book": 1, "cell": 7, "first_sequence": 1, "count": 1,
        "first_transaction_id": "t1", "last_transaction_id": "t1", "commit_time": 1,
        "previous": "", "hash": "x",
    },
    "feed_head": {
        "merchant_id": "m1", "book": 1, "cell": 7, "head": 1, "hash": "x", "commit_time": 1,
    },
    "program": {
        "id": "p1", "merchant_id": "m1", "code": "GC", "cell": 7, "version": 1, "create_time": 1,
    },
    "credential": {
        "id": "s1", "client_id": "till", "merchant_id": "m1", "cell": 7, "kind": 1, "login": "u",
        "token_hash": b"t1", "create_time": 1,
    },
}  # fmt: skip

# What makes a good row a second one, so that only the wall in question stands in its way.
_SECOND: dict[str, dict[str, Any]] = {
    "card": {"id": "c2"},
    "code": {"code_hash": b"h2", "line": 2},
    "account": {"id": "a2"},
    "hold": {"id": "h2"},
    "hold_line": {"account_id": "a2"},
    "ledger_transaction": {"id": "t2", "request_key": b"k2"},
    "entry": {"sequence": 2},
    "posting": {"line": 2},
    "ledger_commit": {"id": "k2", "first_sequence": 2},
    "feed_head": {"book": 2},
    "program": {"code": "GC2"},
    "credential": {"id": "s2", "login": "v", "token_hash": b"t2"},
}

_CHECKS: list[tuple[str, str, dict[str, Any]]] = [
    ("ck_card_state", "card", {"state": 0}),
    ("ck_card_state", "card", {"state": 6}),
    ("ck_card_book", "card", {"book": 0}),
    ("ck_card_book", "card", {"book": 10}),
    ("ck_card_customer", "card", {"unit": "POINTS"}),
    ("ck_card_sequence", "card", {"sequence": -1}),
    ("ck_card_initial_amount", "card", {"initial_amount": -1}),
    ("ck_card_initial_amount", "card", {"initial_amount": _LIMIT + 1}),
    ("ck_code_state", "code", {"state": 0, "card_id": None}),
    ("ck_code_state", "code", {"state": 4, "card_id": None}),
    ("ck_code_card", "code", {"state": 2}),
    ("ck_code_card", "code", {"state": 1, "card_id": None}),
    ("ck_code_reservation", "code", {"line": None}),
    ("ck_code_reservation", "code", {"reservation_id": None}),
    ("ck_code_owner", "code", {"state": 3, "card_id": None, "reservation_id": None, "line": None}),
    ("ck_account_balance", "account", {"balance": _LIMIT + 1}),
    ("ck_account_balance", "account", {"balance": 2**63 - 1}),
    ("ck_account_held", "account", {"held": 101}),
    ("ck_account_held", "account", {"held": -1}),
    ("ck_hold_state", "hold", {"state": 0, "end_time": 5}),
    ("ck_hold_state", "hold", {"state": 5, "end_time": 5}),
    ("ck_hold_amounts", "hold", {"authorized": 0}),
    ("ck_hold_amounts", "hold", {"captured": -1}),
    ("ck_hold_amounts", "hold", {"captured": 41}),
    ("ck_hold_end_time", "hold", {"state": 1, "end_time": 5}),
    ("ck_hold_end_time", "hold", {"state": 2, "end_time": None}),
    ("ck_hold_line_amounts", "hold_line", {"authorized": 0, "remaining": 0}),
    ("ck_hold_line_amounts", "hold_line", {"remaining": -1}),
    ("ck_hold_line_amounts", "hold_line", {"remaining": 41}),
    ("ck_ledger_transaction_request_id", "ledger_transaction", {"request_id": ""}),
    ("ck_ledger_transaction_request_id", "ledger_transaction", {"request_id": "x" * 129}),
    ("ck_ledger_transaction_state", "ledger_transaction", {"state": 0, "refusal_reason": "X"}),
    ("ck_ledger_transaction_state", "ledger_transaction", {"state": 4, "refusal_reason": "X"}),
    ("ck_ledger_transaction_refusal", "ledger_transaction", {"state": 1, "refusal_reason": "X"}),
    ("ck_ledger_transaction_refusal", "ledger_transaction", {"state": 2, "refusal_reason": ""}),
    ("ck_entry_sequence", "entry", {"sequence": 0}),
    ("ck_entry_balance", "entry", {"held_after": -1}),
    ("ck_entry_balance", "entry", {"held_after": 101}),
    ("ck_posting_amount", "posting", {"amount": 0}),
    ("ck_posting_amount", "posting", {"amount": -5}),
    ("ck_posting_amount", "posting", {"amount": _LIMIT + 1}),
    ("ck_posting_sides", "posting", {"credit": "clearing"}),
    ("ck_posting_balance_after", "posting", {"balance_after": -1}),
    ("ck_ledger_commit_count", "ledger_commit", {"count": 0}),
    ("ck_ledger_commit_count", "ledger_commit", {"first_sequence": 0}),
]

# Unique keys: the columns in which the second row equals the first.
_UNIQUE: list[tuple[str, str]] = [
    ("card", "id"),
    ("code", "code_hash"),
    ("code", "line"),
    ("account", "id"),
    ("hold", "id"),
    ("hold_line", "account_id"),
    ("ledger_transaction", "id"),
    ("ledger_transaction", "request_key"),
    ("entry", "sequence"),
    ("posting", "line"),
    ("ledger_commit", "id"),
    ("ledger_commit", "first_sequence"),
    ("feed_head", "book"),
    ("program", "code"),
    ("credential", "id"),
    ("credential", "token_hash"),
    ("credential", "login"),
]

_FOREIGN: list[tuple[str, dict[str, Any]]] = [
    ("code", {"card_id": "nobody"}),
    ("code", {"cell": 8}),
    ("account", {"card_id": "nobody"}),
    ("account", {"cell": 8}),
    ("hold", {"card_id": "nobody"}),
    ("hold", {"cell": 8}),
    ("hold_line", {"hold_id": "nobody"}),
    ("hold_line", {"cell": 8}),
    ("entry", {"card_id": "nobody"}),
    ("entry", {"cell": 8}),
]

# Statements in SQL, since a driver would refuse some of these values on its own.
_TYPES = [
    "UPDATE account SET balance = 'ten'",
    "UPDATE account SET balance = 10.5 || ''",
    "UPDATE account SET balance = 9223372036854775807 + 1",
    "UPDATE account SET balance = -9223372036854775808 - 1",
    "UPDATE account SET balance = 99999999999999999999",
    "UPDATE posting SET amount = 'ten'",
    "UPDATE posting SET amount = 9223372036854775807 + 1",
    "UPDATE entry SET balance_after = 'ten'",
    "UPDATE account SET balance = NULL",
    "UPDATE card SET unit = NULL",
    "UPDATE code SET ciphertext = NULL",
]
# SQLite alone would take these without STRICT; on PostgreSQL assignment may round or cast.
_STRICT = [
    "UPDATE account SET balance = 10.5",
    "UPDATE account SET balance = X'31'",
    "UPDATE card SET unit = X'31'",
    "UPDATE code SET ciphertext = 'text'",
    "UPDATE code SET ciphertext = 5",
]


def _literal(value: Any, column: Column[Any], sqlite: bool) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'" if sqlite else f"'\\x{value.hex()}'::bytea"
    return str(value) if isinstance(value, int) else f"'{value}'"


def _insert(database: Database, table_name: str, row: Mapping[str, Any]) -> None:
    table = schema.metadata.tables[table_name]
    values = ", ".join(
        _literal(value, table.c[name], database.is_sqlite) for name, value in row.items()
    )
    _execute(database, f"INSERT INTO {table_name} ({', '.join(row)}) VALUES ({values})")


def _execute(database: Database, statement: str) -> None:
    with database.writer.begin() as connection:
        # Bare SQL: the driver neither checks nor converts a value.
        connection.exec_driver_sql(statement.replace("%", "%%"))


def _furnish(database: Database) -> None:
    """Puts one good row into each table."""
    migrate.upgrade(database)
    for table_name, row in _GOOD.items():
        _insert(database, table_name, row)


@pytest.fixture(scope="module")
def furnished_copies(
    copies_of: Callable[[Fill], AbstractContextManager[Copies]],
) -> Iterator[Copies]:
    with copies_of(_furnish) as copies:
        yield copies


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def furnished(request: pytest.FixtureRequest, furnished_copies: Copies) -> Iterator[Database]:
    """One good row in each table; what is refused leaves no trace, so all may share it."""
    with furnished_copies(request.param) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def own(request: pytest.FixtureRequest, furnished_copies: Copies) -> Iterator[Database]:
    """The same, for a test that changes it."""
    with furnished_copies(request.param) as database:
        yield database


def _named_in(error: DBAPIError, name: str) -> bool:
    return re.search(rf"\b{name}\b", str(error.orig)) is not None


def test_a_second_good_row_is_accepted(own: Database) -> None:
    """So that each refusal below is the work of the one wall that it tests."""
    for table_name, row in _GOOD.items():
        _insert(own, table_name, row | _SECOND[table_name])


@pytest.mark.parametrize(("name", "table_name", "changes"), _CHECKS)
def test_a_check_refuses(
    furnished: Database, name: str, table_name: str, changes: dict[str, Any]
) -> None:
    row = _GOOD[table_name] | _SECOND[table_name] | changes
    with pytest.raises(DBAPIError) as refused:
        _insert(furnished, table_name, row)
    assert _named_in(refused.value, name), refused.value


def test_a_balance_below_zero_is_refused(furnished: Database) -> None:
    with pytest.raises(DBAPIError, match=r"ck_account_(balance|held)"):
        _execute(furnished, "UPDATE account SET balance = -1, held = 0")


def test_every_check_is_tried() -> None:
    checks = {
        str(constraint.name)
        for table in schema.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert checks == {name for name, _, _ in _CHECKS}


@pytest.mark.parametrize(("table_name", "column"), _UNIQUE)
def test_a_unique_key_refuses(furnished: Database, table_name: str, column: str) -> None:
    row = _GOOD[table_name] | _SECOND[table_name] | {column: _GOOD[table_name][column]}
    with pytest.raises(DBAPIError, match=r"UNIQUE constraint failed|duplicate key value"):
        _insert(furnished, table_name, row)


@pytest.mark.parametrize(("table_name", "changes"), _FOREIGN)
def test_a_foreign_key_refuses(
    furnished: Database, table_name: str, changes: dict[str, Any]
) -> None:
    row = _GOOD[table_name] | _SECOND[table_name] | changes
    with pytest.raises(DBAPIError, match=r"(?i)foreign key constraint"):
        _insert(furnished, table_name, row)


@pytest.mark.parametrize("table_name", ["card", "hold"])
def test_what_others_refer_to_cannot_be_deleted(furnished: Database, table_name: str) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)foreign key constraint"):
        _execute(furnished, f"DELETE FROM {table_name}")


@pytest.mark.parametrize("statement", _TYPES)
def test_a_value_of_another_type_is_refused(furnished: Database, statement: str) -> None:
    with pytest.raises(DBAPIError):
        _execute(furnished, statement)


@pytest.mark.parametrize("statement", _STRICT)
def test_sqlite_is_as_strict(furnished_copies: Copies, statement: str) -> None:
    with (
        furnished_copies("sqlite") as database,
        pytest.raises(DBAPIError, match="cannot store"),
    ):
        _execute(database, statement)


def test_a_customer_has_one_wallet_in_a_book(own: Database) -> None:
    wallet = _GOOD["card"] | {"unit": "POINTS", "customer": "7"}
    _insert(own, "card", wallet | {"id": "w1"})
    _insert(own, "card", wallet | {"id": "w2", "book": 2})
    # A customer may have any number of gift cards.
    for number in (1, 2):
        _insert(own, "card", wallet | {"id": f"g{number}", "unit": "USD"})
    with pytest.raises(DBAPIError, match=r"UNIQUE constraint failed|uq_card_wallet"):
        _insert(own, "card", wallet | {"id": "w3"})


def test_a_login_may_be_used_again_once_revoked(own: Database) -> None:
    _execute(own, "UPDATE credential SET revoke_time = 5")
    _insert(own, "credential", _GOOD["credential"] | {"id": "s2", "token_hash": b"t2"})


def test_clients_without_a_login_do_not_collide(own: Database) -> None:
    for number in (2, 3):
        token = f"t{number}".encode()
        row = {"id": f"s{number}", "login": "", "token_hash": token}
        _insert(own, "credential", _GOOD["credential"] | row)
