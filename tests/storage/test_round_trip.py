"""What is written is read again, field by field, and no field was forgotten."""

from dataclasses import MISSING, asdict, fields
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from server.domain.commands import CodeMaterial
from server.domain.model import (
    Account,
    Book,
    Card,
    CardState,
    Code,
    CodeState,
    Hold,
    HoldLine,
    HoldState,
    Kind,
    Movement,
    Origin,
    TransactionState,
)
from server.domain.record import (
    EntryRow,
    EntryView,
    PostingRow,
    Record,
    Result,
    view_card,
    view_hold,
)
from server.storage import directory, loading, queries, schema, writing
from server.storage.database import Database, LostRaceError
from server.storage.writing import Changes

_CELL = 7
_CARD_ID, _ACCOUNT_ID, _HOLD_ID, _RECORD_ID = ("c" * 32, "a" * 32, "b" * 32, "d" * 32)


def _card() -> Card:
    card = Card(
        id=_CARD_ID, cell=_CELL, merchant_id="m1", book=Book.TRAINING, program_id="p1",
        program_version=3, program_code="GC", unit="KWD", state=CardState.LOCKED,
        code_last_four="67ß9", time_zone="Asia/Kuwait", create_time=11, update_time=12,
        initial_amount=13, max_balance=14, valid_from="2026-01-01", valid_until="2026-12-31",
        valid_from_time=15, expire_time=16, reload_allowed=False, return_allowed=True,
        partial_redeem_allowed=False, pin_hash="0a0b", pin_tries={"till": (17, 18)},
        batch="spring", customer="customer 1", external_reference="order 1",
        issued_location_id="SHOP1", issue_time=19, labels={"who": "O'Hara \"x\" ü"}, sequence=20,
        head="ab" * 32, is_new=True,
    )  # fmt: skip
    card.accounts = [
        Account(
            _ACCOUNT_ID, card.id, Origin.PROMO, 21, 2_200, 2_100, "west", 22, is_new=True
        )
    ]  # fmt: skip
    card.holds = [
        Hold(
            _HOLD_ID, card.id, "till", 2_500, 2_400, True, "sale 1", 26, 25,
            [HoldLine(_ACCOUNT_ID, 2_400, 2_100)], HoldState.OPEN, 300, None, is_new=True,
        )
    ]  # fmt: skip
    return card


def _record(card: Card) -> Record:
    hold = card.holds[0]
    posting = PostingRow(
        1, _ACCOUNT_ID, "clearing/SHOP1", 31, Movement.CASHED_OUT, card.id, _ACCOUNT_ID,
        int(Origin.PROMO), 2_200, "e" * 32, 4,
    )  # fmt: skip
    shortfall = PostingRow(
        2, "receivable", "clearing", 5, Movement.SHORTFALL, card.id, None, None, None
    )
    entry = EntryRow(card.id, _CELL, 20, 2_200, 2_100, int(card.state), "00" * 32, card.head)
    view = EntryView(card.id, 20, -31, 2_200, 2_100)
    result = Result([view_card(card, 1)], [view], view_hold(hold, card.unit, 1), {"plan": [1, "x"]})
    return Record(
        id=_RECORD_ID, cell=_CELL, kind=Kind.CAPTURE, state=TransactionState.REFUSED,
        merchant_id="m1", book=Book.TRAINING, client_id="till", actor_kind="person",
        request_id="request ü", request_key=b"\x00" * 32, fingerprint=b"\xff" * 32,
        command='["CAPTURE"]', result_json=orjson.dumps(result).decode(), result=result,
        decided_time=41, effective_time=42, received_time=43, client_time=44,
        business_date="2026-03-01", unit="KWD", requested=45, approved=46, location_id="SHOP1",
        entity="E1", terminal="T1", operator="O1", receipt="R1", reason="why", dialect="resico",
        card_id=card.id, hold_id=hold.id, target_id="e" * 32, refusal_reason="NO_BALANCE",
        refusal_metadata={"requested_minor_units": "45"}, postings=[posting, shortfall],
        entries=[entry],
    )  # fmt: skip


def _changes(card: Card, record: Record) -> Changes:
    material = CodeMaterial(card.id, b"hash" * 8, b"sealed", card.code_last_four, 1)
    return Changes(
        records=[record],
        touched={card.id: card},
        accounts={account.id: account for account in card.accounts},
        holds={hold.id: (hold, record.id) for hold in card.holds},
        codes=[(card, material)],
    )


def _unset(value: Any, skip: set[str]) -> list[str]:
    """Fields that stand at their default, so that losing them would not show."""
    unset: list[str] = []
    for item in fields(value):
        default = item.default
        if item.default_factory is not MISSING:
            default = item.default_factory()
        if item.name not in skip and getattr(value, item.name) == default:
            unset.append(item.name)
    return unset


@pytest.fixture
def written(database: Database) -> tuple[Database, Card, Record]:
    card = _card()
    record = _record(card)
    with database.writer.begin() as connection:
        writing.write(connection, _changes(card, record), {record.id: ("commit", 3)})
    return database, card, record


def _load(database: Database) -> Card:
    with database.connect_reader() as connection:
        return loading.load_cards(connection, [_CARD_ID], [_CELL], lock=False)[_CARD_ID]


def _as_stored(card: Card) -> dict[str, Any]:
    facts = asdict(card)
    for item in (facts, *facts["accounts"], *facts["holds"]):
        item["is_new"] = False
    for account in facts["accounts"]:
        account["create_time"] = 0  # written, and never asked for
    return facts


def test_the_examples_leave_no_field_at_its_default() -> None:
    card = _card()
    assert _unset(card, set()) == []
    assert _unset(card.accounts[0], set()) == []
    # The end of a hold is in the test of changes below.
    assert _unset(card.holds[0], {"state", "end_time"}) == []
    assert _unset(_record(card), {"new_holds"}) == []


def test_a_card_with_its_value_and_holds(written: tuple[Database, Card, Record]) -> None:
    database, card, _ = written
    assert asdict(_load(database)) == _as_stored(card)
    with database.connect_reader() as connection:
        found = loading.card_ids_of_codes(connection, [(b"hash" * 8).hex()], [_CELL])
    assert found == {(b"hash" * 8).hex(): card.id}


def test_a_changed_card_is_written_over(written: tuple[Database, Card, Record]) -> None:
    database, _, _ = written
    card = _load(database)
    fixed = {
        "id", "cell", "merchant_id", "book", "program_id", "program_version", "program_code",
        "unit", "is_new", "accounts", "holds", "create_time",
    }  # fmt: skip
    for item in fields(card):
        value = getattr(card, item.name)
        if item.name in fixed:
            continue
        if isinstance(value, bool):
            setattr(card, item.name, not value)
        elif isinstance(value, CardState):
            card.state = CardState.CLOSED
        elif isinstance(value, int):
            setattr(card, item.name, value + 100)
        elif isinstance(value, str):
            setattr(card, item.name, value[::-1] + "x")
    card.labels = {}
    card.max_balance = card.valid_until = card.pin_hash = None
    account, hold = card.accounts[0], card.holds[0]
    account.balance, account.held = 50, 0
    changes = Changes(
        touched={card.id: card}, changed={card.id}, accounts={account.id: account},
        holds={hold.id: (hold, _RECORD_ID)},
    )  # fmt: skip
    hold.state, hold.end_time, hold.captured = HoldState.CAPTURED, 99, 400
    hold.lines[0].remaining = 0
    with database.writer.begin() as connection:
        writing.write(connection, changes, {})
    stored = _load(database)
    # An ended hold is no longer part of the card's state, but it is still a hold.
    assert stored.holds == []
    expected = _as_stored(card) | {"holds": []}
    assert asdict(stored) == expected
    with database.connect_reader() as connection:
        (ended,) = loading.load_holds(connection, [hold.id], [_CELL])
    assert asdict(ended) == asdict(hold)


def test_codes_that_wait_and_what_becomes_of_them(
    written: tuple[Database, Card, Record],
) -> None:
    database, card, record = written
    hashes = [bytes([number]) * 32 for number in (1, 2, 3)]
    codes = [
        Code(value.hex(), None, CodeState.RESERVED, record.id, line, 70 + line, is_new=True)
        for line, value in enumerate(hashes, start=1)
    ]
    new = [
        (code, CodeMaterial("", value, b"sealed" + value, "last", 5), record)
        for code, value in zip(codes, hashes, strict=True)
    ]
    with database.writer.begin() as connection:
        writing.write(connection, Changes(new_codes=new), {})
        keys = [value.hex() for value in hashes]
        stored = loading.load_codes(connection, keys, [_CELL])
    assert [asdict(code) for code in stored] == [asdict(code) | {"is_new": False} for code in codes]
    stored[0].card_id, stored[0].state = card.id, CodeState.USED
    stored[1].state = CodeState.RELEASED
    old = {code.code_hash: (code, _CELL) for code in stored[:2]}
    with database.writer.begin() as connection:
        writing.write(connection, Changes(old_codes=old), {})
        assert [asdict(c) for c in loading.load_codes(connection, keys, [_CELL])] == [
            asdict(code) for code in stored
        ]
        assert loading.codes_of_reservations(connection, [record.id], [_CELL]) == set(keys)
        assert loading.card_ids_of_codes(connection, keys, [_CELL]) == {keys[0]: card.id}
        sealed = directory.reserved_codes(connection, record.id, _CELL)
        assert [each.ciphertext for each in sealed] == [b"sealed" + value for value in hashes]
        assert [each.code_hash for each in sealed] == hashes
    # The wall: a code that a card has is given to nobody else, whatever a writer believes.
    with pytest.raises(LostRaceError), database.writer.begin() as connection:
        writing.write(connection, Changes(old_codes=old), {})


def test_a_slim_change_touches_the_chain_only(written: tuple[Database, Card, Record]) -> None:
    database, before, _ = written
    card = _load(database)
    card.sequence, card.head, card.update_time, card.batch = 21, "cd", 999, "not written"
    with database.writer.begin() as connection:
        writing.write(connection, Changes(touched={card.id: card}), {})
    expected = _as_stored(before) | {"sequence": 21, "head": "cd", "update_time": 999}
    assert asdict(_load(database)) == expected


def test_a_record_with_its_postings_and_entries(written: tuple[Database, Card, Record]) -> None:
    database, _, record = written
    with database.connect_reader() as connection:
        (found,) = loading.load_records(connection, "request_key", [record.request_key], [_CELL])
        loading.attach_details(connection, [found], [_CELL])
        found.entries = queries.entries_of(connection, [found])[found.id]
        table = schema.ledger_transaction
        place = connection.execute(select(table.c.commit_id, table.c.ordinal, table.c.replays))
        assert place.one() == ("commit", 3, 0)
    assert asdict(found) == asdict(record)
    assert found.digest() == record.digest()


def test_an_empty_record(database: Database) -> None:
    """Absent values stay absent, and empty text stays text."""
    record = Record(
        "f" * 32, _CELL, Kind.SEAL, TransactionState.SEALED, "m1", Book.LIVE, "till", "client",
        "r", b"k", b"f", "[]", "", Result(), 1, 2, 3, None, "2026-03-01",
        refusal_reason="REQUEST_SEALED",
    )  # fmt: skip
    with database.writer.begin() as connection:
        writing.write(connection, Changes(records=[record]), {record.id: ("commit", 0)})
    with database.connect_reader() as connection:
        (found,) = loading.load_records(connection, "id", [record.id], [_CELL])
    assert asdict(found) == asdict(record)


def test_replays_are_counted(written: tuple[Database, Card, Record]) -> None:
    database, _, record = written
    for expected in (1, 2):
        with database.writer.begin() as connection:
            writing.write(connection, Changes(replayed=[record, record]), {})
            count = connection.execute(select(schema.ledger_transaction.c.replays)).scalar_one()
        assert count == expected
