"""What the shim keeps in its own SQLite file: the log of exchanges and the queue of reversals.

A queued reversal is on the disk before anybody is told.  The log is written beside the calls, in
batches; with a process that is killed a quarter of a second of it is lost.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection

from compat_http.exchange_key import ExchangeKey, ExchangeKeyError, load_key
from compat_http.records import Exchange, Reversal, ReversalStartedError
from compat_http.store import queue
from compat_http.store.database import Database, StoreError, path_of
from compat_http.store.queue import Claimed, Place
from compat_http.store.writer import StoreBrokenError, Writer

__all__ = [
    "Claimed",
    "Exchange",
    "Reversal",
    "Store",
    "StoreBrokenError",
    "StoreError",
    "forget_reversals",
]

Result = TypeVar("Result")

EXCHANGES_MAX: Final = 2_000
"""Exchanges that may wait to be written; more than that are dropped and counted."""

KEEP_DAYS: Final = 90

_MICROSECONDS_PER_DAY: Final = 24 * 3600 * 1_000_000


def clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def forget_reversals(url: str, key: str) -> int:
    """Gives up what waits under a request id; answers how many reversals that were.

    Raises:
        StoreError: the file cannot be used, or a shim is using it.
    """
    database = Database(path_of(url))
    try:
        with database.connection.begin():
            return queue.forget(database.connection, key)
    finally:
        database.close()


class Store:
    """Used by one event loop.  `on_broken` is called once, on another thread."""

    def __init__(
        self,
        database: Database,
        key: ExchangeKey,
        waiting: Iterable[Place],
        *,
        keep_days: int,
        exchanges_max: int,
        on_broken: Callable[[], None],
        now: Callable[[], int],
    ) -> None:
        self.queued = asyncio.Event()
        self._database = database
        self._key = key
        self._now = now
        # Whether a reversal waits is asked with every call that writes, and hardly ever one does:
        # so the file is asked only about a place where one was put.  The number tells a later one
        # at the same place from the one that went.
        self._puts = itertools.count()
        self._known: dict[Place, int] = {place: next(self._puts) for place in waiting}
        self._writer = Writer(
            database.connection,
            now=now,
            keep_microseconds=keep_days * _MICROSECONDS_PER_DAY,
            exchanges_max=exchanges_max,
            on_broken=on_broken,
        )
        self._writer.start()

    @classmethod
    def open(
        cls,
        url: str,
        key_file: Path | None,
        *,
        production: bool,
        keep_days: int = KEEP_DAYS,
        exchanges_max: int = EXCHANGES_MAX,
        on_broken: Callable[[], None] = lambda: None,
        now: Callable[[], int] = clock,
    ) -> "Store":
        """Opens the file, and makes it first where there is none; outside production the key too.

        Raises:
            StoreError: file or key cannot be used, or another process uses the file.
        """
        path = path_of(url)
        if key_file is None and production:
            raise StoreError(
                "Set GIFTCARD_EXCHANGE_KEY_FILE to a key file. Make one: giftcard log create-key"
                " PATH"
            )
        database = Database(path)
        try:
            key = load_key(key_file or Path(f"{path}.key"), production=production)
            with database.connection.begin():
                waiting = queue.waiting(database.connection, key)
        except ExchangeKeyError as error:
            database.close()
            raise StoreError(str(error)) from None
        except BaseException:
            database.close()
            raise
        return cls(
            database, key, waiting, keep_days=keep_days, exchanges_max=exchanges_max,
            on_broken=on_broken, now=now,
        )  # fmt: skip

    @property
    def broken(self) -> bool:
        """Whether nothing is written any more; then the process has to start again."""
        return self._writer.broken

    async def queue_reversal(self, reversal: Reversal) -> None:
        """Durable when it returns.

        Raises:
            StoreBrokenError: it may not be.
        """
        now = self._now()
        self._known[self._key.digest(reversal.authorization), reversal.key] = next(self._puts)
        await self._done(lambda connection: queue.put(connection, self._key, reversal, now))
        self.queued.set()

    async def take_back(self, authorization: str, key: str) -> bool:
        """Whether a reversal was queued and will now never be sent.  Durable when it returns.

        Raises:
            ReversalStartedError: too late: it may have been sent.
            StoreBrokenError: nobody knows.
        """
        caller = self._key.digest(authorization)
        seen = self._known.get((caller, key))
        if seen is None and not self.broken:
            return False
        found = await self._done(lambda connection: queue.take_back(connection, caller, key))
        if isinstance(found, ReversalStartedError):
            raise found
        self._forget((caller, key), seen)
        return found

    @property
    def dropped(self) -> int:
        """Exchanges that were not logged."""
        return self._writer.dropped

    def log(self, exchange: Exchange) -> None:
        """Never blocks, never raises; from the event loop's thread only."""
        self._writer.log(exchange)

    async def close(self) -> None:
        """Writes what there is to write, then closes the file."""
        await asyncio.to_thread(self._writer.close)
        self._database.close()

    # For the sender.

    async def claim(self, limit: int) -> list[Claimed]:
        """Reversals that are due.  From now on, also after a crash, they cannot be taken back."""
        now = self._now()
        return await self._done(lambda connection: queue.claim(connection, self._key, limit, now))

    async def settle(self, claimed: Claimed) -> None:
        """It is done: forgets it, and the credential with it."""
        place = (claimed.caller, claimed.reversal.key)
        seen = self._known.get(place)
        await self._done(lambda connection: queue.settle(connection, claimed))
        self._forget(place, seen)

    async def postpone(self, claimed: Claimed, seconds: float) -> None:
        """It is not done: `claim` answers it again then."""
        due_time = self._now() + int(seconds * 1_000_000)
        await self._done(lambda connection: queue.postpone(connection, claimed, due_time))

    def _forget(self, place: Place, seen: int | None) -> None:
        """Nothing is there any more, unless something was put there meanwhile."""
        if self._known.get(place) == seen:
            self._known.pop(place, None)

    async def _done(self, operation: Callable[[Connection], Result]) -> Result:
        """Waits for an operation that runs to its end even when nobody waits any more."""
        future: Future[Result] = self._writer.submit(operation)
        return await asyncio.wrap_future(future)
