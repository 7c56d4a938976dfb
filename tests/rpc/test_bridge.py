"""The bridge when the ledger below it fails: every caller is answered, and the next one served."""

from collections.abc import Iterator
from typing import Any

import pytest

from server.domain.commands import Envelope
from server.ledger import Answer
from server.ledger.reader import Reader
from server.rpc.bridge import Bridge, NotDecidedError
from server.storage import migrate
from server.storage.database import Database
from server.telemetry.metrics import Metrics
from tests.operations import Issue, Lookup, Request
from tests.storage.books import Books


@pytest.fixture
def books(sqlite_url: str) -> Iterator[Books]:
    database = Database(sqlite_url)
    migrate.upgrade(database)
    yield Books(database)
    database.close()


def _envelope(books: Books, request: Request) -> Envelope:
    return books.translator.envelope(request, books.clock.now)


async def test_an_exception_beside_the_loop_is_an_unknown_outcome_and_stops_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = books.ledger._database
    bridge = Bridge(
        books.ledger, Reader(database), Reader(database), on_loop=True, metrics=Metrics()
    )
    complete = books.ledger.complete

    def breaks(batch: Any) -> Any:
        monkeypatch.setattr(books.ledger, "complete", complete)
        complete(batch)
        raise RuntimeError("after the commit")

    monkeypatch.setattr(books.ledger, "complete", breaks)
    with pytest.raises(NotDecidedError) as told:
        await bridge.decide(_envelope(books, Request(Issue("A", 5), "sale", "till")))
    assert told.value.reason == "OUTCOME_UNKNOWN"
    answer = await bridge.decide(_envelope(books, Request(Lookup(), "sale", "till")))
    assert isinstance(answer, Answer)
    assert answer.record is not None
    assert answer.record.state.name == "APPROVED"
    assert await bridge.close(timeout_seconds=60)
