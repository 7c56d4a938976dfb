"""Group commit: a bounded queue, one batch at a time, one COMMIT for a whole batch.

A batch has two halves.  `prepare` does everything up to COMMIT and is all computation on SQLite;
`complete` is the COMMIT, which waits for the disk.  So whoever drives the ledger may run the
first half where it likes and must keep the second off an event loop.  What a caller does
meanwhile (cancels, runs out of time) reaches no transaction.  An outcome that is not known is
said to be unknown, never to have failed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from server.domain.commands import Administer, Envelope, LookupRequest, ReverseTransaction
from server.domain.errors import DomainError, Rejected
from server.ledger.batch import Answer, BatchProcessor
from server.ledger.turns import Turns
from server.storage.database import (
    Connection,
    Database,
    UnknownOutcomeError,
    break_off,
    commit,
    is_broken,
    is_duplicate,
    is_lock_timeout,
    is_lost_race,
    is_unreachable,
)

logger = logging.getLogger("giftcard.ledger")

#: Tries of one command that lost a race to another process before it is called unavailable.
_TRIES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is no decision: the batch could not run, or nobody knows whether it did."""

    reason: str


Outcome = Answer | DomainError | Failure

OUTCOME_UNKNOWN: Final = Failure("OUTCOME_UNKNOWN")
UNAVAILABLE: Final = Failure("UNAVAILABLE")
INTERNAL: Final = Failure("INTERNAL")


class Commit(NamedTuple):
    """One COMMIT as it was timed: when it began (since the epoch), and whether it is known."""

    start_nanoseconds: int
    seconds: float
    known: bool


@dataclass(slots=True)
class Batch:
    """Commands on their way to one COMMIT; `outcomes` must not be shown before it.

    `connection` is the one whose open transaction holds what `writes` says was written.
    `prepare_seconds` and `commits` tell how long it took, for whoever counts; a batch that is run
    again in halves has several commits.
    """

    envelopes: Sequence[Envelope]
    tokens: Sequence[Any]
    outcomes: list[Outcome] | None = None
    connection: Connection | None = None
    writes: bool = False
    error: Exception | None = None
    prepare_seconds: float = 0.0
    commits: list[Commit] = field(default_factory=list)


class Ledger:
    """Owns the writing connection.  One batch at a time: the caller of `take` sees to that.

    `on_fatal` is called once, when the process must not go on.
    """

    def __init__(
        self,
        database: Database,
        processor: BatchProcessor,
        *,
        on_fatal: Callable[[], None] = lambda: None,
        queue_limit: int = 2000,
        queue_reserve: int = 500,
        batch_limit: int = 128,
    ) -> None:
        self._database = database
        self._processor = processor
        self._on_fatal = on_fatal
        self._batch_limit = batch_limit
        self._ordinary: Turns[tuple[Envelope, Any]] = Turns(queue_limit)
        self._urgent: Turns[tuple[Envelope, Any]] = Turns(queue_reserve)
        self._failed = False
        self._connection: Connection | None = None
        self._asked = 0.0
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        with self._one_at_a_time:
            self._discard_connection()

    def give_up_on(self, older_than_seconds: float) -> bool:
        """Stops waiting for a server that does not answer; tells whether it was waited for.

        From any thread.  What was not committed runs again on a new connection; an unanswered
        COMMIT is unknown.
        """
        connection, asked = self._connection, self._asked
        if connection is None or not asked or time.monotonic() - asked < older_than_seconds:
            return False
        break_off(connection)
        return True

    @property
    def healthy(self) -> bool:
        return not self._failed

    @property
    def queued(self) -> int:
        return len(self._ordinary) + len(self._urgent)

    @property
    def queues(self) -> dict[str, tuple[Callable[[], int], int]]:
        """By name: what says how long a queue is, and how long one merchant may make it."""
        queues = {"ordinary": self._ordinary, "urgent": self._urgent}
        return {name: (queue.__len__, queue.limit) for name, queue in queues.items()}

    def submit(self, envelope: Envelope, token: Any) -> None:
        """Queues a command.  Raises Rejected OVERLOADED when its merchant has too many waiting.

        Reversals and look-ups resolve what others do not know, so a share is kept for them.
        """
        urgent = isinstance(envelope.command, (LookupRequest, ReverseTransaction))
        queue = self._urgent if urgent else self._ordinary
        queue.join(envelope.caller.merchant_id, (envelope, token))

    def take(self) -> Batch | None:
        """The next batch, urgent commands first, merchants in turn; None when nothing waits.

        A quarter is left to the others, so that a flood of look-ups does not stop the tills.
        """
        kept_free = min(len(self._ordinary), self._batch_limit // 4)
        taken: list[tuple[Envelope, Any]] = []
        for queue, limit in (
            (self._urgent, self._batch_limit - kept_free),
            (self._ordinary, self._batch_limit),
        ):
            while queue and len(taken) < limit:
                taken.append(queue.next())
        if not taken:
            return None
        return Batch([envelope for envelope, _ in taken], [token for _, token in taken])

    def execute(self, envelope: Envelope) -> Outcome:
        """One command, start to end, in the calling thread: for tools and tests."""
        return self.execute_all([envelope])[0]

    def execute_all(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """One batch, start to end, in the calling thread."""
        with self._one_at_a_time:
            batch = Batch(envelopes, envelopes)
            self.prepare(batch)
            return self.complete(batch)

    def prepare(self, batch: Batch) -> None:
        """Loads, decides and writes a batch, all but the COMMIT.  Never raises."""
        started = time.perf_counter()
        connection = None if self._failed else self._writable_connection()
        if connection is None:
            batch.outcomes = [UNAVAILABLE] * len(batch.envelopes)
            return
        with self._waiting():
            try:
                outcomes, batch.writes = self._processor.run(connection, batch.envelopes)
                batch.outcomes, batch.connection = list(outcomes), connection
            except Exception as error:  # noqa: BLE001 - kept, and logged by who answers for it
                batch.error = error
                self._roll_back()
        batch.prepare_seconds = time.perf_counter() - started

    def complete(self, batch: Batch) -> list[Outcome]:
        """Commits, or runs a spoiled batch again in halves, and answers for each command.

        What was written is committed on the connection that wrote it, or its outcome is unknown.
        """
        if batch.error is not None:
            return self._run_again(batch, batch.envelopes, batch.error, 1)
        assert batch.outcomes is not None
        with self._waiting():
            if not batch.writes:
                self._roll_back()
                return batch.outcomes
            assert batch.connection is not None
            wall, started = time.time_ns(), time.perf_counter()
            known = False
            try:
                commit(batch.connection)
                known = True
            except UnknownOutcomeError:
                logger.exception("the outcome of a commit is unknown")
                self._after_unknown()
                return [OUTCOME_UNKNOWN] * len(batch.envelopes)
            finally:
                batch.commits.append(Commit(wall, time.perf_counter() - started, known))
        return batch.outcomes

    def _run_again(
        self, whole: Batch, envelopes: Sequence[Envelope], error: Exception, tries: int
    ) -> list[Outcome]:
        """Halves a batch that a neighbour spoiled, down to the command that is to blame."""
        if len(envelopes) > 1:
            middle = len(envelopes) // 2
            return self._run(whole, envelopes[:middle], 1) + self._run(whole, envelopes[middle:], 1)
        if isinstance(error, DomainError):
            return [error]
        if is_lost_race(error) and tries < _TRIES_MAX:
            return self._run(whole, envelopes, tries + 1)
        if is_duplicate(error) and isinstance(envelopes[0].command, Administer):
            return [Rejected("RESOURCE_EXISTS")]
        logger.error("a command could not be carried out", exc_info=error)
        if is_lock_timeout(error):
            # Whoever holds the lock may be an earlier sending of this request, whose COMMIT waits
            # for the standby: to say that nothing was done would deny it.
            return [OUTCOME_UNKNOWN]
        return [UNAVAILABLE if is_unreachable(error) else INTERNAL]

    def _run(self, whole: Batch, envelopes: Sequence[Envelope], tries: int) -> list[Outcome]:
        batch = Batch(envelopes, envelopes, commits=whole.commits)
        self.prepare(batch)
        if batch.error is not None:
            return self._run_again(whole, envelopes, batch.error, tries)
        return self.complete(batch)

    # The connection

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """What is done inside waits for the database: see `give_up_on`."""
        self._asked = time.monotonic()
        try:
            yield
        finally:
            self._asked = 0.0

    def _writable_connection(self) -> Connection | None:
        """The one connection that writes; None when the database cannot be reached."""
        if self._connection is None:
            try:
                self._connection = self._database.connect_writer()
            except Exception:
                logger.exception("the database cannot be reached")
        return self._connection

    def _roll_back(self) -> None:
        """Ends a batch without COMMIT; a connection in doubt is thrown away."""
        if self._connection is None:
            return
        try:
            self._connection.rollback()
            broken = is_broken(self._connection)
        except Exception:
            logger.exception("a rollback failed")
            broken = True
        if broken:
            self._discard_connection()

    def _discard_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._database.losses += 1
            try:
                connection.invalidate()
                connection.close()
            except Exception:
                logger.exception("closing a connection failed")

    def _after_unknown(self) -> None:
        """PostgreSQL: a new connection.  SQLite: the process must stop, reopen and look up."""
        if self._database.is_sqlite:
            self._failed = True
            self._on_fatal()
        else:
            self._discard_connection()
