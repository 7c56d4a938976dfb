"""The real server with something wrong in it: `python -m tests.faults.planted WHAT...`

Bugs are what careless changes would look like; the suites must find each of them, or they prove
nothing.  Faults are what a disk, a network or a clock does to a server without bugs.
"""

import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
import pysqlite3
from sqlalchemy import Connection

from server import __main__ as program
from server import app, settings
from server.domain.commands import Envelope
from server.domain.model import Account, Card
from server.ledger.engine import Batch, Ledger, Outcome
from server.ledger.reader import CardQuery, Query, Reader
from server.storage import database, loading

#: While this file is there, one COMMIT fails and removes it; or what gets stuck stays so.
TRIGGER: Final = "PLANTED_TRIGGER"
#: A file of eight bytes: microseconds by which the server's clock is ahead.
CLOCK: Final = "PLANTED_CLOCK"

_BATCHES_UNCOMMITTED: Final = 20
_STALE_SECONDS: Final = 0.1
_SLOW_COMMIT_SECONDS: Final = 0.03
_SLOW_LOAD_SECONDS: Final = 0.005
_SLOW_READ_SECONDS: Final = 0.01
_SMALL_CACHE_KIBIBYTES: Final = 2048


# Bugs


def acknowledge_before_commit() -> None:
    """Answers at once and commits a little later, for speed.

    A crash in between: the till printed "paid with gift card", the goods are gone, and the
    money is still on the card.  Or the customer paid for a card that does not exist.
    """
    complete = Ledger.complete
    uncommitted = 0

    def complete_later(self: Ledger, batch: Batch) -> list[Outcome]:
        nonlocal uncommitted
        if batch.error is None and batch.outcomes is not None and batch.writes:
            uncommitted += 1
            if uncommitted % _BATCHES_UNCOMMITTED:
                return batch.outcomes
        return complete(self, batch)

    _replace(Ledger, "complete", complete_later)


def no_row_lock() -> None:
    """Reads cards without FOR UPDATE.

    Two tills of two worker processes both see the same 10 dollars, and both sell for 10: the
    merchant gives away goods.  The UNIQUE (card, sequence) wall turns that into a retry.
    """
    load_cards = loading.load_cards

    def load_unlocked(*arguments: Any, lock: bool) -> dict[str, Card]:
        cards = load_cards(*arguments, lock=False)
        # What a slow network does; it makes the window wide, not the bug.
        time.sleep(_SLOW_LOAD_SECONDS)
        return cards

    _replace(loading, "load_cards", load_unlocked)


def stale_balance() -> None:
    """Decides on balances that were read before the transaction, out of a little cache.

    Everything else is read under lock, so no wall stands in the way: the second of two purchases
    is approved with money that the first one has already spent, and the books say so nowhere but
    in the sum of the postings.
    """
    load_cards = loading.load_cards
    cache: dict[str, tuple[float, list[tuple[Any, ...]]]] = {}

    def load_stale(*arguments: Any, lock: bool) -> dict[str, Card]:
        cards = load_cards(*arguments, lock=lock)
        now = time.monotonic()
        for card in cards.values():
            kept = cache.get(card.id)
            if kept is not None and now - kept[0] < _STALE_SECONDS:
                card.accounts[:] = [Account(*values) for values in kept[1]]
            else:
                cache[card.id] = (now, [_values(account) for account in card.accounts])
        return cards

    _replace(loading, "load_cards", load_stale)


def stale_read() -> None:
    """Answers look-ups out of a little cache.

    The till has just sold the last 10 dollars of a card, and the display beside it still shows 10.
    """
    cards = Reader.cards
    cache: dict[tuple[str, tuple[str, ...]], tuple[float, Any]] = {}

    def cards_out_of_cache(self: Reader, queries: Sequence[CardQuery]) -> list[Any]:
        now = time.monotonic()
        found = cards(self, queries)
        for number, query in enumerate(queries):
            key = (query.ref.id, query.hashes)
            kept = cache.get(key)
            if kept is not None and now - kept[0] < _STALE_SECONDS:
                found[number] = kept[1]
            else:
                cache[key] = (now, found[number])
        return found

    _replace(Reader, "cards", cards_out_of_cache)


def keep_every_request() -> None:
    """Remembers each command it was sent, for a report that nobody asks for.

    Memory grows with the sales, until the kernel ends the server in the busiest hour.
    """
    submit = Ledger.submit
    kept: list[Envelope] = []

    def submit_and_keep(self: Ledger, envelope: Envelope, token: Any) -> None:
        kept.append(envelope)
        submit(self, envelope, token)

    _replace(Ledger, "submit", submit_and_keep)


def _values(account: Account) -> tuple[Any, ...]:
    return (
        account.id, account.card_id, account.origin, account.expire_time, account.balance,
        account.held, account.entity,
    )  # fmt: skip


# Faults


def commit_fails_before() -> None:
    """COMMIT reports an error, and nothing was committed."""
    _fail_commit(effect=False)


def commit_fails_after() -> None:
    """COMMIT reports an error, and yet everything was committed."""
    _fail_commit(effect=True)


def _fail_commit(*, effect: bool) -> None:
    commit = Connection.commit
    trigger = Path(os.environ[TRIGGER])

    def commit_or_fail(self: Connection) -> None:
        if not trigger.exists():
            commit(self)
            return
        trigger.unlink()
        if effect:
            commit(self)
        if self.dialect.name == "postgresql":
            raise psycopg.OperationalError("consuming input failed")
        raise pysqlite3.OperationalError("disk I/O error")

    _replace(Connection, "commit", commit_or_fail)


def slow_commit() -> None:
    """A disk that takes its time."""
    complete = Ledger.complete

    def complete_slowly(self: Ledger, batch: Batch) -> list[Outcome]:
        time.sleep(_SLOW_COMMIT_SECONDS)
        return complete(self, batch)

    _replace(Ledger, "complete", complete_slowly)


def slow_read() -> None:
    """Reports that take their time; what is read on the event loop's own thread does not."""
    ask = Reader.ask

    def ask_slowly(self: Reader, query: Query) -> Any:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(_SLOW_READ_SECONDS)
        return ask(self, query)

    _replace(Reader, "ask", ask_slowly)


def stuck_commit() -> None:
    """A disk or network that does not come back."""
    commit = Connection.commit

    def commit_at_last(self: Connection) -> None:
        _wait_while_triggered()
        commit(self)

    _replace(Connection, "commit", commit_at_last)


def stuck_loop() -> None:
    """An event loop that stands still; half a second of that is enough here."""
    prepare = Ledger.prepare

    def prepare_at_last(self: Ledger, batch: Batch) -> None:
        _wait_while_triggered()
        prepare(self, batch)

    _replace(Ledger, "prepare", prepare_at_last)
    _replace(app, "_LOOP_SECONDS_MAX", 0.5)


def _wait_while_triggered() -> None:
    while Path(os.environ[TRIGGER]).exists():
        time.sleep(0.01)


def clock() -> None:
    """A clock that another process moves."""
    path = Path(os.environ[CLOCK])
    with path.open("r+b") as file:
        ahead = mmap.mmap(file.fileno(), 8)
    real = app.clock

    def moved() -> int:
        return real() + int.from_bytes(ahead[:8], "little")

    # The default of Server's parameter was bound when the class was made.
    defaults = dict(app.Server.__init__.__kwdefaults__ or {})
    _replace(app.Server.__init__, "__kwdefaults__", {**defaults, "now": moved})


def small_cache() -> None:
    """SQLite's page cache is full after some seconds: what grows from then on is something else."""
    _replace(database, "_CACHE_KIBIBYTES", _SMALL_CACHE_KIBIBYTES)


def _replace(owner: object, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner!r} has no {name} to replace any more"
    setattr(owner, name, value)


PLANTS: Final[dict[str, Callable[[], None]]] = {
    plant.__name__: plant
    for plant in (
        acknowledge_before_commit,
        no_row_lock,
        stale_balance,
        stale_read,
        keep_every_request,
        commit_fails_before,
        commit_fails_after,
        slow_commit,
        slow_read,
        stuck_commit,
        stuck_loop,
        clock,
        small_cache,
    )
}


def main(names: list[str]) -> int:
    """Plants what is named, then serves."""
    for name in names:
        PLANTS[name]()
    return program.main(settings.from_environment(os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
