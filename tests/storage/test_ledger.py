"""The engine at its seams: what happens between deciding a batch, COMMIT and the answer."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from server.domain.commands import Envelope, UpdateGiftCard
from server.domain.errors import Rejected
from server.domain.lifecycle import etag
from server.ledger import Answer, BatchProcessor, Ledger
from server.ledger.engine import OUTCOME_UNKNOWN, UNAVAILABLE, Batch
from server.secrets import new_id
from server.storage import loading, schema
from server.storage.database import Connection, Database
from tests.in_process import pin_matches
from tests.operations import (
    Authorize,
    Capture,
    Issue,
    Load,
    Lookup,
    Operation,
    Redeem,
    Request,
    Reverse,
    update,
)
from tests.storage.books import Books


@pytest.fixture
def books(database: Database) -> Iterator[Books]:
    books = Books(database)
    books.perform(Issue("A", 10_000), "issue")
    yield books
    books.ledger.close()


def _envelope(books: Books, operation: Operation, request_id: str) -> Envelope:
    return books.translator.envelope(Request(operation, request_id, "office"), books.clock.now)


def _stored(database: Database, request_id: str) -> Any:
    """(state, replays) of a request, or None."""
    table = schema.ledger_transaction
    query = select(table.c.state, table.c.replays).where(table.c.request_id == request_id)
    with database.connect_reader() as connection:
        return connection.execute(query).one_or_none()


# Between prepare and complete


def _dropped(ledger: Ledger) -> None:
    ledger._discard_connection()


def _closed_by_the_driver(ledger: Ledger) -> None:
    assert ledger._connection is not None
    ledger._connection.connection.dbapi_connection.close()  # type: ignore[union-attr]


def _rolled_back(ledger: Ledger) -> None:
    assert ledger._connection is not None
    ledger._connection.rollback()


def _rolled_back_by_the_driver(ledger: Ledger) -> None:
    assert ledger._connection is not None
    ledger._connection.connection.dbapi_connection.rollback()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "mishap", [_dropped, _closed_by_the_driver, _rolled_back, _rolled_back_by_the_driver]
)
def test_what_was_not_committed_is_never_acknowledged(
    database: Database, books: Books, mishap: Callable[[Ledger], None]
) -> None:
    """Whatever becomes of the connection meanwhile: COMMIT of nothing is no COMMIT."""
    batch = Batch([_envelope(books, Redeem("A", 1), "lost")], [None])
    books.ledger.prepare(batch)
    assert batch.error is None
    mishap(books.ledger)
    assert books.ledger.complete(batch) == [OUTCOME_UNKNOWN]
    assert _stored(database, "lost") is None


def test_a_statement_that_failed_unnoticed_is_not_acknowledged(
    postgresql_database: Database,
) -> None:
    """PostgreSQL answers COMMIT of a spoiled transaction with ROLLBACK, and no error."""
    books = Books(postgresql_database)
    batch = Batch([_envelope(books, Issue("A", 1), "spoiled")], [None])
    books.ledger.prepare(batch)
    assert books.ledger._connection is not None
    with pytest.raises(Exception, match="nowhere"):
        books.ledger._connection.connection.cursor().execute("SELECT * FROM nowhere")
    assert books.ledger.complete(batch) == [OUTCOME_UNKNOWN]
    assert _stored(postgresql_database, "spoiled") is None
    books.ledger.close()


@pytest.fixture
def postgresql_database(migrated: Any) -> Iterator[Database]:
    with migrated("postgresql") as database:
        yield database


def test_a_database_that_cannot_be_reached_is_asked_once(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No neighbour is to blame, so the batch is not halved; with a time-out each try is long."""
    asked: list[None] = []

    def unreachable() -> Connection:
        asked.append(None)
        raise ConnectionRefusedError

    books.ledger.close()
    monkeypatch.setattr(books.ledger._database, "connect_writer", unreachable)
    envelopes = [_envelope(books, Redeem("A", 1), f"r{n}") for n in range(16)]
    assert books.ledger.execute_all(envelopes) == [UNAVAILABLE] * 16
    assert len(asked) == 1


# Replays


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Request(Lookup(seal=True), "late", "office"), "REQUEST_SEALED"),
        (Request(Reverse("late"), "undo", "office"), "REVERSED_BEFORE_ARRIVAL"),
    ],
)
def test_a_late_original_is_refused_as_durably_as_it_was_sealed(
    database: Database, books: Books, first: Request, reason: str
) -> None:
    """The answer says "never": it must wait for the standby, so it writes, like any replay."""
    books.perform_together([first])
    assert books.perform(Redeem("A", 1), "late").reason == reason
    assert _stored(database, "late").replays == 1


def _second_worker(database: Database, books: Books) -> Ledger:
    processor = BatchProcessor(
        clock=books.clock, new_id=lambda now, like: new_id(now), pin_matches=pin_matches
    )
    return Ledger(database, processor)


@pytest.mark.parametrize(
    ("operation", "hook"),
    [
        (Issue("B", 500), "card_ids_of_codes"),
        (update("A", batch="spring"), "load_cards"),
    ],
)
def test_a_retry_that_overtakes_its_first_sending_is_answered_as_a_replay(
    postgresql_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    hook: str,
) -> None:
    """The first is committed by another process just after this one found no such request: what
    it did (the code is taken, the card has changed) must not be held against its own retry."""
    books = Books(postgresql_database)
    books.perform(Issue("A", 10_000), "issue")
    with_etag = _with_etag(books, _envelope(books, operation, "twice"))
    worker = _second_worker(postgresql_database, books)
    original = getattr(loading, hook)
    firsts: list[Any] = []

    def commits_in_between(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(loading, hook, original)
        firsts.append(worker.execute(with_etag))
        return original(*arguments, **named)

    monkeypatch.setattr(loading, hook, commits_in_between)
    second = books.ledger.execute(with_etag)
    (first,) = firsts
    assert isinstance(first, Answer)
    assert isinstance(second, Answer), getattr(second, "reason", second)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.record is not None
    assert second.record is not None
    assert second.record.result_json == first.record.result_json
    assert _stored(postgresql_database, "twice").replays == 1
    worker.close()
    books.ledger.close()


def test_a_retry_is_not_denied_while_an_earlier_one_waits_in_its_commit(
    postgresql_database: Database,
) -> None:
    """Another process may wait for the standby as long as it likes, and holds the row meanwhile."""
    books = Books(postgresql_database)
    books.perform(Issue("A", 10_000), "issue")
    envelope = _envelope(books, Redeem("A", 100), "twice")
    assert isinstance(books.ledger.execute(envelope), Answer)
    worker = _second_worker(postgresql_database, books)
    waiting = Batch([envelope], [envelope])
    worker.prepare(waiting)
    assert books.ledger.execute(envelope) == OUTCOME_UNKNOWN
    (answer,) = worker.complete(waiting)
    worker.close()
    again = books.ledger.execute(envelope)
    assert isinstance(answer, Answer)
    assert isinstance(again, Answer)
    assert again.replayed
    assert _stored(postgresql_database, "twice").replays == 2


def _with_etag(books: Books, envelope: Envelope) -> Envelope:
    if not isinstance(envelope.command, UpdateGiftCard):
        return envelope
    command = replace(envelope.command, etag=etag(books.card_id("A"), 1))
    return replace(envelope, command=command)


# The queue


def _queue(books: Books, urgent: int, ordinary: int, **limits: Any) -> Ledger:
    ledger = Ledger(books.ledger._database, BatchProcessor(
        clock=books.clock, new_id=lambda now, like: new_id(now), pin_matches=pin_matches
    ), **limits)  # fmt: skip
    for n in range(urgent):
        ledger.submit(_envelope(books, Reverse("x"), f"u{n}"), f"u{n}")
    for n in range(ordinary):
        ledger.submit(_envelope(books, Redeem("A", 1), f"o{n}"), f"o{n}")
    return ledger


def test_urgent_commands_go_first_and_starve_nobody(books: Books) -> None:
    ledger = _queue(books, urgent=20, ordinary=20, batch_limit=8)
    batch = ledger.take()
    assert batch is not None
    assert batch.tokens == ["u0", "u1", "u2", "u3", "u4", "u5", "o0", "o1"]


def test_a_batch_is_filled_whatever_waits(books: Books) -> None:
    for urgent, ordinary in ((20, 0), (0, 20), (20, 1), (1, 20)):
        batch = _queue(books, urgent, ordinary, batch_limit=8).take()
        assert batch is not None
        assert len(batch.tokens) == 8


def test_each_queue_is_bounded_by_itself(books: Books) -> None:
    ledger = _queue(books, urgent=2, ordinary=3, queue_limit=3, queue_reserve=2)
    for operation in (Redeem("A", 1), Lookup()):
        with pytest.raises(Rejected) as refused:
            ledger.submit(_envelope(books, operation, "more"), None)
        assert refused.value.reason == "OVERLOADED"


# Cost


def test_old_holds_of_a_card_are_not_read(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operation costs must not depend on how much happened to the card before."""
    for n in range(5):
        books.perform(Authorize("A", 10), f"hold-{n}")
        books.perform(Capture(f"hold-{n}"), f"capture-{n}")
    books.perform(Authorize("A", 10), "open")
    read: list[int] = []
    attach_lines = loading.attach_lines

    def counted(connection: Connection, rows: Any, cells: Any) -> Any:
        holds = attach_lines(connection, rows, cells)
        read.append(len(holds))
        return holds

    monkeypatch.setattr(loading, "attach_lines", counted)
    assert books.perform(Redeem("A", 1), "redeem").approved == 1
    assert read == [1]


# Time


def test_a_decision_is_later_than_what_it_builds_on(database: Database, books: Books) -> None:
    """Also in another process, whose clock is behind."""
    books.clock.advance(60)
    books.perform(Load("A", 1), "load")
    books.perform_together([Request(Lookup(seal=True), "sealed", "office")])
    books.clock.advance(-30)
    worker = _second_worker(database, books)
    worker._processor._last_time = 1
    table = schema.ledger_transaction
    for request_id, operation in (("undo", Reverse("sealed")), ("redeem", Redeem("A", 1))):
        answer = worker.execute(_envelope(books, operation, request_id))
        assert isinstance(answer, Answer)
        newest = select(table.c.request_id).order_by(table.c.decided_time.desc()).limit(1)
        with database.connect_reader() as connection:
            latest = connection.execute(newest).scalar_one()
        assert latest == request_id
    worker.close()
