"""Two processes and one reserved code: one of them gets it, with locks and without."""

import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from server.domain.errors import DomainError
from server.domain.ids import shard_bits_of
from server.ledger import Answer, BatchProcessor, Ledger
from server.ledger.engine import Batch, Outcome
from server.secrets import new_id
from server.storage import loading
from server.storage.database import Database
from server.verify import verify
from tests.in_process import pin_matches
from tests.operations import Issue, Operation, Release, Request, Reserve, Reverse
from tests.postgres import Postgres
from tests.storage.books import Books
from tests.storage.conftest import Copies

load_codes = loading.load_codes


def without_lock(*arguments: Any, lock: bool = True) -> Any:
    return load_codes(*arguments, lock=False)


@pytest.fixture
def database(postgres: Postgres, migrated: Copies) -> Iterator[Database]:
    with migrated("postgresql") as database:
        yield database


def race(database: Database, first: Operation, second: Operation) -> list[Outcome]:
    """One process has decided and waits for its COMMIT when the other one comes."""
    books = Books(database)
    books.perform(Reserve(("A", "B")), "reserve")
    processor = BatchProcessor(
        clock=books.clock,
        new_id=lambda now, like: new_id(now, shard_bits_of(like) if like else None),
        pin_matches=pin_matches,
    )
    other = Ledger(database, processor)
    envelopes = [
        books.translator.envelope(Request(operation, name, "office"), books.clock.now)
        for operation, name in ((first, "first"), (second, "second"))
    ]
    batch = Batch(envelopes[:1], [None])
    books.ledger.prepare(batch)
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(other.execute(envelopes[1])))
    thread.start()
    # It waits for the lock or, where there is none, with what it has read before.
    thread.join(0.3)
    assert thread.is_alive()
    outcomes = books.ledger.complete(batch)
    thread.join(20)
    assert not thread.is_alive()
    other.close()
    books.ledger.close()
    return outcomes + found


@pytest.mark.parametrize("read", [load_codes, without_lock], ids=["locks", "no locks"])
@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (Issue("A", 5), Issue("A", 7), "CODE_EXISTS"),
        (Issue("A", 5), Issue("A", 7, reserved=True), "CODE_EXISTS"),
        (Issue("A", 5), Release("reserve"), ""),
        (Issue("A", 5), Reverse("reserve"), ""),
    ],
    ids=str,
)
def test_one_gets_the_code(
    database: Database, read: Any, first: Operation, second: Operation, reason: str
) -> None:
    with patch.object(loading, "load_codes", read):
        winner, loser = race(database, first, second)
    assert isinstance(winner, Answer)
    assert reason_of(loser) == reason
    report = verify(database)
    assert report.ok, [str(problem) for problem in report.problems]


@pytest.mark.parametrize("first", [Release(cards=("A",)), Reverse("reserve")], ids=str)
def test_a_code_that_was_just_given_up_is_not_reserved(
    database: Database, first: Operation
) -> None:
    winner, loser = race(database, first, Issue("A", 7, reserved=True))
    assert isinstance(winner, Answer)
    assert reason_of(loser) == "CODE_NOT_RESERVED"


def reason_of(outcome: Outcome) -> str:
    if isinstance(outcome, DomainError):
        return outcome.reason
    assert isinstance(outcome, Answer), outcome
    assert outcome.record is not None
    return outcome.record.refusal_reason
