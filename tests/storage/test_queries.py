from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, insert, select

from server.domain.commands import Location
from server.domain.model import CardState, HoldState
from server.domain.record import Record
from server.storage import loading, migrate, queries, schema
from server.storage.database import Database
from tests.operations import SECOND, Authorize, Issue, Load, Redeem, Reverse, Void
from tests.storage.books import CELL, Books, keep_books
from tests.storage.conftest import Copies, Fill

_SETUP: dict[str, list[dict[str, Any]]] = {
    "merchant": [
        {"id": f"m{n}", "home_cell": CELL, "cells": 1, "display_name": f"Merchant {n}",
         "time_zone": "UTC", "state": 1, "create_time": n, "update_time": n + 1}
        for n in range(5)
    ],
    "location": [
        {"id": f"id-{n}", "merchant_id": merchant, "code": f"SHOP{n}", "cell": CELL,
         "country_code": "AT", "time_zone": "Europe/Vienna", "create_time": n, "update_time": n}
        for merchant in ("m1", "m2") for n in range(5)
    ],
    "api_client": [
        {"id": f"{merchant}-{n}", "merchant_id": merchant, "cell": CELL, "display_name": "Till",
         "scopes": '["SELL","REDEEM"]', "state": 1, "create_time": n, "update_time": n}
        for merchant in ("m1", "m2") for n in range(5)
    ],
    "credential": [
        {"id": f"{client}-{n}", "client_id": client, "merchant_id": "m1", "cell": CELL, "kind": 1,
         "login": "", "token_hash": f"{client}{n}".encode(), "create_time": n}
        for client in ("m1-0", "m1-1") for n in range(2)
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(copies_of: Callable[[Fill], AbstractContextManager[Copies]]) -> Iterator[Copies]:
    with copies_of(_fill) as copies:
        yield copies


def _fill(database: Database) -> None:
    migrate.upgrade(database)
    for merchant_id in ("merchant", "other"):
        keep_books(database, merchant_id).ledger.close()
    with database.writer.begin() as connection:
        for table, rows in _SETUP.items():
            connection.execute(insert(schema.metadata.tables[table]), rows)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, filled: Copies) -> Iterator[Database]:
    with filled(request.param) as database:
        yield database


@pytest.fixture
def connection(full: Database) -> Iterator[Connection]:
    """A reader of books in which everything happened, once on each engine."""
    with full.connect_reader() as connection:
        yield connection


LIVE = ("merchant", 1, CELL)


def _handles(connection: Connection) -> dict[str, str]:
    """Card id -> the handle it was issued under, from the request ids of `books`."""
    table = schema.ledger_transaction
    query = select(table.c.card_id, table.c.request_id).where(
        table.c.merchant_id == "merchant", table.c.book == 1, table.c.kind.in_([1, 3])
    )
    return {card_id: request_id[-1].upper() for card_id, request_id in connection.execute(query)}


def _request_ids(records: list[Record]) -> list[str]:
    return [record.request_id for record in records]


# Cards


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 100])
def test_pages_of_cards_cover_all_in_order(connection: Connection, limit: int) -> None:
    handles = _handles(connection)
    found: list[str] = []
    after = None
    while page := queries.cards_page(connection, *LIVE, after_id=after, limit=limit):
        assert len(page) <= limit
        found += [handles[card.id] for card in page]
        after = page[-1].id
    assert "".join(found) == "ABCDEFGHIJNO"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"program_code": "GC"}, "ABCDEFGHIJ"),
        ({"program_code": "XX"}, ""),
        ({"state": int(CardState.CLOSED)}, "H"),
        ({"state": int(CardState.VOIDED)}, "GO"),
        ({"batch": "spring"}, "B"),
        ({"batch": ""}, "ACDEFGHIJNO"),
        ({"customer": "nobody"}, ""),
        ({"customer": "X"}, "N"),
        ({"external_reference": "nothing"}, ""),
        ({"last_four": "D"}, "D"),
        ({"last_four": "D", "state": int(CardState.CLOSED)}, ""),
    ],
    ids=str,
)
def test_cards_are_filtered(connection: Connection, filters: dict[str, Any], expected: str) -> None:
    handles = _handles(connection)
    page = queries.cards_page(connection, *LIVE, **filters, limit=100)
    assert "".join(handles[card.id] for card in page) == expected


def test_listed_cards_are_whole(connection: Connection) -> None:
    page = queries.cards_page(connection, *LIVE, limit=100)
    loaded = loading.load_cards(connection, [card.id for card in page], [CELL], lock=False)
    assert [asdict(card) for card in page] == [asdict(loaded[card.id]) for card in page]
    assert sum(len(card.accounts) for card in page) > len(page)
    assert any(card.holds for card in page)


@pytest.mark.parametrize(
    "scope", [("merchant", 2, CELL), ("other", 1, CELL), ("merchant", 1, CELL + 1)], ids=str
)
def test_nothing_crosses_merchant_book_or_cell(
    connection: Connection, scope: tuple[str, int, int]
) -> None:
    own = queries.cards_page(connection, *LIVE, limit=1)[0]
    mine = queries.holds_page(connection, *LIVE, now=0, limit=1)[0].hold
    record = queries.transactions_page(connection, *LIVE, limit=1)[0]
    assert queries.card(connection, *scope, own.id) is None
    assert queries.hold(connection, *scope, mine.id) is None
    assert queries.transaction(connection, *scope, record.id) is None
    assert queries.transactions_page(connection, *scope, card_id=own.id, limit=9) == []
    assert queries.holds_page(connection, *scope, now=0, card_id=mine.card_id, limit=9) == []
    ids = {card.id for card in queries.cards_page(connection, *scope, limit=100)}
    assert own.id not in ids


def test_customers_are_no_cards(connection: Connection) -> None:
    x, y = queries.customers_page(connection, *LIVE, limit=9)
    assert [x.customer, y.customer] == ["X", "Y"]
    assert [x.ledger_balance(), y.ledger_balance()] == [500 + 60 - 20 - 400, 30]
    assert [x.ledger_held(), len(x.holds)] == [30, 1]
    after_x = queries.customers_page(connection, *LIVE, after="X", limit=1)
    assert [asdict(each) for each in after_x] == [asdict(y)]
    found = queries.customer(connection, *LIVE, "X")
    assert found is not None
    assert asdict(found) == asdict(x)
    assert queries.card(connection, *LIVE, x.id) is None
    assert queries.customer(connection, *LIVE, "Z") is None
    assert queries.customer(connection, "merchant", 2, CELL, "X") is None
    others = queries.customer(connection, "other", 1, CELL, "X")
    assert others is not None
    assert others.id != x.id


def test_one_card(connection: Connection) -> None:
    listed = queries.cards_page(connection, *LIVE, limit=1)[0]
    found = queries.card(connection, *LIVE, listed.id)
    assert found is not None
    assert asdict(found) == asdict(listed)
    assert queries.card(connection, *LIVE, "nobody") is None


# Holds.  The clock of `books` stood still but for one hour, in which the short ones ran out.

_BEFORE, _AFTER = 0, 2**60


@pytest.mark.parametrize(
    ("now", "state", "expected"),
    [
        (_BEFORE, None, ["part", "open", "all", "final", "void", "undone", "exclusive", "short",
                         "forgotten", "points"]),
        (_BEFORE, HoldState.OPEN, ["open", "part", "forgotten", "points"]),
        (_BEFORE, HoldState.CAPTURED, ["all", "final", "exclusive"]),
        (_BEFORE, HoldState.VOIDED, ["void", "undone"]),
        (_BEFORE, HoldState.EXPIRED, ["short"]),
        (_AFTER, HoldState.OPEN, []),
        (_AFTER, HoldState.EXPIRED, ["open", "part", "short", "forgotten", "points"]),
        (_AFTER, HoldState.VOIDED, ["void", "undone"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_holds_are_what_they_are_now(
    connection: Connection, now: int, state: HoldState | None, expected: list[str], limit: int
) -> None:
    table = schema.ledger_transaction
    names = dict(
        connection.execute(
            select(table.c.hold_id, table.c.request_id).where(table.c.kind == 8)
        ).all()
    )
    found: list[str] = []
    after = None
    while page := queries.holds_page(
        connection, *LIVE, now=now, state=state, after_id=after, limit=limit
    ):
        for hold, unit, customer in page:
            keeps_points = names[hold.id] == "hold-points"
            assert (unit, customer) == (("POINTS", "X") if keeps_points else ("USD", ""))
            assert state is None or hold.state_at(now) is state
            assert queries.hold(connection, *LIVE, hold.id) is not None
            found.append(names[hold.id].removeprefix("hold-"))
        after = page[-1][0].id
    assert sorted(found) == sorted(expected)


def test_holds_of_one_card(connection: Connection) -> None:
    everything = queries.holds_page(connection, *LIVE, now=0, limit=100)
    card_id = everything[0][0].card_id
    found = queries.holds_page(connection, *LIVE, now=0, card_id=card_id, limit=100)
    assert [asdict(each.hold) for each in found] == [
        asdict(each.hold) for each in everything if each.hold.card_id == card_id
    ]
    assert all(each.hold.lines for each in found)
    assert 0 < len(found) < len(everything)


# Transactions


def _walk(connection: Connection, limit: int, **filters: Any) -> list[Record]:
    found: list[Record] = []
    after = None
    while page := queries.transactions_page(connection, *LIVE, **filters, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1].id
    return found


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_pages_of_transactions_cover_all_newest_first(connection: Connection, limit: int) -> None:
    table = schema.ledger_transaction
    ids = connection.execute(
        select(table.c.id).where(table.c.merchant_id == "merchant", table.c.book == 1)
    ).scalars()
    assert [record.id for record in _walk(connection, limit)] == sorted(ids, reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_card_shows_its_approvals_and_refusals(connection: Connection, limit: int) -> None:
    by_handle = {handle: card_id for card_id, handle in _handles(connection).items()}
    assert _request_ids(_walk(connection, limit, card_id=by_handle["B"])) == [
        "transfer", "adjust-down", "adjust-up", "update", "unlock", "lock", "redeem-right-pin",
        "redeem-wrong-pin", "issue-b",
    ]  # fmt: skip
    assert _request_ids(_walk(connection, limit, card_id=by_handle["A"])) == [
        "capture-part", "hold-part", "hold-open", "refund", "redeem-too-much", "redeem-a-again",
        "redeem-a", "issue-a",
    ]  # fmt: skip
    assert _walk(connection, limit, card_id="nobody") == []


def test_a_card_with_many_refusals_in_between(database: Database) -> None:
    books = Books(database)
    books.perform(Issue("A", 100), "issue")
    expected = ["issue"]
    for n in range(12):
        operation = Redeem("A", 10**6) if n % 3 else Load("A", 1)
        books.perform(operation, f"r{n}")
        expected.append(f"r{n}")
    card_id = books.card_id("A")
    with database.connect_reader() as connection:
        for limit in range(1, 14):
            found = _walk(connection, limit, card_id=card_id)
            assert _request_ids(found) == expected[::-1], limit


def test_filters_of_transactions(database: Database) -> None:
    books = Books(database)
    start = books.clock.now
    expected: dict[str, list[str]] = {"shop 1": [], "receipt 2": [], "second hour": []}
    books.perform(Issue("A", 10_000), "issue")
    for hour in range(3):
        books.clock.advance(3600)
        for shop in ("1", "2"):
            books.translator.location = Location(f"SHOP{shop}")
            for receipt in ("", "1", "2"):
                request_id = f"r{hour}{shop}{receipt}"
                books.perform(Redeem("A", 1), request_id, receipt=receipt)
                expected["shop 1"] += [request_id] if shop == "1" else []
                expected["receipt 2"] += [request_id] if receipt == "2" else []
                expected["second hour"] += [request_id] if hour == 1 else []
    hour = 3600 * SECOND
    card_id = books.card_id("A")
    window = {"start_time": start + 2 * hour, "end_time": start + 3 * hour}
    with database.connect_reader() as connection:
        for card in ({}, {"card_id": card_id}):
            for limit in (1, 4, 100):
                for name, filters in (
                    ("shop 1", {"location_id": "SHOP1"}),
                    ("receipt 2", {"receipt": "2"}),
                    ("second hour", window),
                ):
                    found = _walk(connection, limit, **card, **filters)
                    assert _request_ids(found) == expected[name][::-1], (name, card, limit)
        far = {"start_time": -(2**62), "end_time": 253_402_300_800 * SECOND}
        assert len(_walk(connection, 100, **far)) == 19
        assert _walk(connection, 100, start_time=start + 9 * hour) == []
        assert _walk(connection, 100, end_time=start) == []
        # The bounds: the first instant belongs to it, the last does not.
        times = [record.decided_time for record in _walk(connection, 100)]
        exact = _walk(connection, 100, start_time=times[3], end_time=times[1])
        assert [record.decided_time for record in exact] == times[2:4]


def test_lists_are_steady_while_rows_come(database: Database) -> None:
    """Nothing that was there at the start is missed or shown twice."""
    books = Books(database)
    for n in range(9):
        books.perform(Issue(f"c{n}", 100), f"issue-{n}")
        books.perform(Redeem(f"c{n}", 1000), f"refused-{n}")
        books.perform(Authorize(f"c{n}", 10), f"hold-{n}")
        books.perform(Redeem("c0", 10**6 if n % 2 else 1), f"extra-{n}")
    number = iter(range(10**6))

    def write() -> None:
        n = next(number)
        books.perform(Issue(f"new-{n}", 5), f"new-issue-{n}")
        books.perform(Authorize(f"new-{n}", 5), f"new-hold-{n}")
        books.perform(Redeem("c0", 10**6 if n % 2 else 1), f"new-redeem-{n}")

    lists: dict[str, Callable[[Connection, str | None], list[str]]] = {
        "cards": lambda connection, after: [
            card.id for card in queries.cards_page(connection, *LIVE, after_id=after, limit=2)
        ],
        "holds": lambda connection, after: [
            each.hold.id
            for each in queries.holds_page(connection, *LIVE, now=0, after_id=after, limit=2)
        ],
        "transactions": lambda connection, after: [
            record.id
            for record in queries.transactions_page(connection, *LIVE, after=after, limit=2)
        ],
        "of a card": lambda connection, after: [
            record.id
            for record in queries.transactions_page(
                connection, *LIVE, card_id=books.card_id("c0"), after=after, limit=2
            )
        ],
    }
    for name, page_of in lists.items():
        with database.connect_reader() as connection:
            start: list[str] = []
            while page := page_of(connection, start[-1] if start else None):
                start += page
        found: list[str] = []
        for _ in range(100):
            with database.connect_reader() as connection:
                page = page_of(connection, found[-1] if found else None)
            if not page:
                break
            found += page
            if len(found) < len(start):
                write()
        assert len(found) == len(set(found)), f"{name}: shown twice"
        assert [each for each in found if each in set(start)] == start, f"{name}: missed"


def test_one_transaction_has_all_its_parts(connection: Connection) -> None:
    listed = {record.request_id: record for record in _walk(connection, 100)}
    found = queries.transaction(connection, *LIVE, listed["redeem-many"].id)
    assert found is not None
    assert [(posting.line, posting.amount) for posting in found.postings] == [
        (1, 2_500), (2, 400),
    ]  # fmt: skip
    table = schema.entry
    rows = connection.execute(
        select(table.c.card_id, table.c.sequence, table.c.previous, table.c.hash).where(
            table.c.transaction_id == found.id
        )
    ).all()
    assert sorted((e.card_id, e.sequence, e.previous, e.hash) for e in found.entries) == sorted(
        tuple(row) for row in rows
    )
    assert queries.transaction(connection, *LIVE, "nobody") is None


def test_transactions_are_described(connection: Connection) -> None:
    records = _walk(connection, 100)
    described = queries.described(connection, [None, *records, None])
    assert [each.record for each in described] == records
    # Gapless, newest first; a tombstone shares the commit of what made it.
    assert [each.feed_sequence for each in described] == list(range(len(records), 0, -1))
    times = [each.commit_time for each in described]
    assert times == sorted(times, reverse=True)
    by_request = {each.record.request_id: each for each in described}
    reversed_by = {
        request_id: next(r.request_id for r in records if r.id == each.reversal_id)
        for request_id, each in by_request.items()
        if each.reversal_id is not None
    }
    assert reversed_by == {
        "redeem-many": "reverse-many",
        "hold-undone": "reverse-hold",
        "issue-g": "reverse-spent",
        "reserve-shortly": "reverse-codes",
        "issue-o": "reverse-points",
    }
    entries = by_request["redeem-many"].record.entries
    assert len(entries) == 2
    assert all(len(entry.hash) == 64 for entry in entries)
    assert by_request["redeem-too-much"].record.entries == []
    assert queries.described(connection, []) == []
    assert queries.described(connection, [None]) == []


def test_only_what_was_reversed_has_a_reversal(database: Database) -> None:
    books = Books(database)
    books.perform(Issue("A", 100), "issue")
    books.perform(Authorize("A", 10), "hold")
    books.perform(Void("hold"), "void")
    books.perform(Reverse("hold"), "nothing to reverse")
    books.perform(Redeem("A", 10**6), "refused")
    books.perform(Reverse("refused"), "nothing either")
    books.perform(Redeem("A", 5), "redeem")
    books.perform(Reverse("redeem"), "first")
    books.perform(Reverse("redeem"), "second")
    ids = [books.transaction_id(name) for name in ("hold", "refused", "redeem")]
    with database.connect_reader() as connection:
        found = queries.reversal_of(connection, ids, [CELL])
    assert found == {books.transaction_id("redeem"): books.transaction_id("first")}


# Set-up


def test_merchants(connection: Connection) -> None:
    first = queries.merchants_page(connection, limit=2)
    rest = queries.merchants_page(connection, after_id=first[-1].id, limit=100)
    assert [row.id for row in first + rest] == ["m0", "m1", "m2", "m3", "m4"]
    assert queries.merchant(connection, "m3") == rest[1]
    assert rest[1] == queries.MerchantRow("m3", CELL, "Merchant 3", "UTC", 1, 3, 4)
    assert queries.merchant(connection, "nobody") is None


def test_locations(connection: Connection) -> None:
    first = queries.locations_page(connection, "m1", CELL, limit=2)
    rest = queries.locations_page(connection, "m1", CELL, after_code=first[-1].code, limit=100)
    assert [row.code for row in first + rest] == [f"SHOP{n}" for n in range(5)]
    assert queries.location(connection, "m1", CELL, "SHOP4") == rest[-1]
    assert queries.location(connection, "m1", CELL, "SHOP9") is None
    assert queries.location(connection, "m0", CELL, "SHOP4") is None


def test_clients(connection: Connection) -> None:
    first = queries.clients_page(connection, "m1", CELL, limit=2)
    rest = queries.clients_page(connection, "m1", CELL, after_id=first[-1].id, limit=100)
    assert [row.id for row in first + rest] == [f"m1-{n}" for n in range(5)]
    found = queries.client(connection, "m1", CELL, "m1-4")
    assert found == rest[-1]
    assert found is not None
    assert found.scopes == {"SELL", "REDEEM"}
    assert queries.client(connection, "m2", CELL, "m1-4") is None


def test_credentials_show_no_secret(connection: Connection) -> None:
    found = queries.credentials_of(connection, "m1", CELL, "m1-0")
    assert [row.id for row in found] == ["m1-0-0", "m1-0-1"]
    assert queries.credentials_of(connection, "m2", CELL, "m1-0") == []
    assert not {"token_hash", "password_hash"} & set(asdict(found[0]))


def test_programs_in_their_newest_version(database: Database) -> None:
    rows: list[dict[str, Any]] = []
    versions: list[dict[str, Any]] = []
    for code in ("A", "B", "C"):
        for version in (1, 2):
            facts = {
                "id": f"p{code}", "version": version, "merchant_id": "m1", "code": code,
                "display_name": f"{code}{version}", "unit": "USD", "denominations": [5],
            }  # fmt: skip
            versions.append({
                "program_id": f"p{code}", "version": version, "cell": CELL,
                "body": orjson.dumps(facts).decode(), "create_time": 1,
            })  # fmt: skip
        rows.append({
            "id": f"p{code}", "merchant_id": "m1", "code": code, "cell": CELL, "version": 2,
            "create_time": 1,
        })  # fmt: skip
    with database.writer.begin() as connection:
        connection.execute(insert(schema.program), rows)
        connection.execute(insert(schema.program_version), versions)
    with database.connect_reader() as connection:
        first = queries.programs_page(connection, "m1", CELL, limit=2)
        rest = queries.programs_page(connection, "m1", CELL, after_code="B", limit=100)
        assert [each.display_name for each in first + rest] == ["A2", "B2", "C2"]
        assert first[0].denominations == (5,)
        assert queries.program(connection, "m1", CELL, "C") == rest[0]
        assert queries.program(connection, "m1", CELL, "D") is None
        assert queries.program(connection, "m2", CELL, "C") is None
