"""The log is copied back beside the writer, and starts anew."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from server.storage import checkpoint
from server.storage.checkpoint import Checkpointer
from server.storage.database import Database

_PAGES = 64
_ASK = checkpoint._pages
_PATIENCE_SECONDS = 30


@pytest.fixture
def database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(checkpoint, "_PAGES", _PAGES)
    opened = Database(sqlite_url)
    with opened.connect_writer() as writer, writer.begin():
        writer.execute(text("CREATE TABLE paper (line TEXT) STRICT"))
    yield opened
    opened.close()


def write(writer: Any, lines: int) -> None:
    with writer.begin():
        for _ in range(lines):
            writer.execute(text("INSERT INTO paper VALUES (:line)"), {"line": "x" * 4000})


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def pages(database: Database) -> tuple[int, int]:
    connection = database.connect_checkpointer()
    try:
        return _ASK(connection.cursor(), "NOOP")
    finally:
        connection.close()


def test_the_log_is_copied_and_starts_anew(database: Database) -> None:
    checkpointer = Checkpointer(database)
    with database.connect_writer() as writer:
        write(writer, 2 * _PAGES)
        logged, copied = pages(database)
        assert logged > _PAGES, "nobody copied yet"
        assert copied == 0
        checkpointer.start()
        until(lambda: pages(database)[1] == logged)
        write(writer, 1)
        assert pages(database)[0] < logged, "a new log"
        checkpointer.close()
        assert writer.execute(text("SELECT count(*) FROM paper")).scalar() == 2 * _PAGES + 1


def test_a_short_log_is_left_alone(database: Database) -> None:
    checkpointer = Checkpointer(database)
    with database.connect_writer() as writer:
        write(writer, 1)
        checkpointer.start()
        time.sleep(4 * checkpoint._LOOK_SECONDS)
        checkpointer.close()
        assert pages(database)[1] == 0


def test_a_long_read_delays_it_and_stops_nothing(database: Database) -> None:
    checkpointer = Checkpointer(database)
    with database.connect_writer() as writer, database.connect_reader() as reader:
        with reader.begin():
            assert reader.execute(text("SELECT count(*) FROM paper")).scalar() == 0
            checkpointer.start()
            write(writer, 2 * _PAGES)
            assert reader.execute(text("SELECT count(*) FROM paper")).scalar() == 0
        until(lambda: len(set(pages(database))) == 1)
        checkpointer.close()


def test_an_error_is_logged_and_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([OSError("the disk is full")])

    def now_and_then(cursor: Any, mode: str) -> tuple[int, int]:
        for error in failures:
            raise error
        return _ASK(cursor, mode)

    monkeypatch.setattr(checkpoint, "_pages", now_and_then)
    monkeypatch.setattr(checkpoint, "_RETRY_SECONDS", 0.01)
    checkpointer = Checkpointer(database)
    with database.connect_writer() as writer:
        write(writer, 2 * _PAGES)
        checkpointer.start()
        until(lambda: pages(database)[1] > _PAGES)
        checkpointer.close()
    assert "trying again" in caplog.text


def test_closing_what_never_started(database: Database) -> None:
    Checkpointer(database).close()
