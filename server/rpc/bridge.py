"""Drives the ledger from the event loop: gathers, prepares, commits, wakes the callers.

On SQLite a batch is prepared on the loop's own thread: it is pure computation, and a second
thread would only fight for the interpreter (measured: half the rate).  COMMIT, which waits for
the disk, always runs beside the loop; what arrives meanwhile is the next batch.  On PostgreSQL
preparing waits for the network, so all of it runs beside the loop.

A caller that has gone away changes nothing: its future is simply no longer waited for.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from opentelemetry.trace import Span

from server.domain.commands import Envelope
from server.domain.errors import DomainError
from server.domain.model import Card
from server.ledger.batch import Answer
from server.ledger.engine import OUTCOME_UNKNOWN, Batch, Failure, Ledger, Outcome
from server.ledger.reader import CardQuery, Query, Reader
from server.ledger.turns import Turns
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import BatchSpans

Value = TypeVar("Value")

logger = logging.getLogger("giftcard.bridge")

#: Of one merchant; see `Turns`.
_READS_WAITING_MAX = 2000
#: More are not read any faster together, and keep the next merchant waiting.
_LOOKUPS_TOGETHER_MAX = 512

#: How long a batch rests after the one before, for each command that was in that one.  Under load
#: most of a batch's cost is the same for two commands and for fifty, and the loop has other work to
#: do meanwhile; where little arrives, nobody has to wait for more.  A batch of one needs no rest:
#: whoever was alone just now has nobody to wait for.  Beside the loop a batch has to win the
#: interpreter from it after each statement, so there it rests longer.
_WRITING_REST_SECONDS = 0.0003
_WRITING_REST_BESIDE_LOOP_SECONDS = 0.001
_LOOK_UP_REST_SECONDS = 0.001
_REST_SECONDS_MAX = 0.007


class _Pace:
    """Says when the next batch may start: `rest_seconds` after the last for each that was in it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, start: Callable[[], None], rest_seconds: float
    ) -> None:
        self._loop = loop
        self._start = start
        self._rest_seconds = rest_seconds
        self._ready = 0.0
        self.busy = False

    def wake(self) -> None:
        """Starts now, or when the rest is over; does nothing while a batch is under way."""
        if not self.busy:
            self.busy = True
            self._loop.call_at(self._ready, self._start)

    def done(self, size: int, *, more: bool) -> None:
        rest = min(self._rest_seconds * size, _REST_SECONDS_MAX) if size > 1 else 0.0
        self._ready = self._loop.time() + rest
        self.busy = False
        if more:
            self.wake()


class NotDecidedError(Exception):
    """The ledger could not decide, or nobody knows whether it did; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bridge:
    """Awaitable access to the ledger and to reads.

    `on_loop` says whether preparing a batch and looking cards up may run on the loop's thread.
    Long reads have a connection and a thread of their own.
    """

    def __init__(
        self,
        ledger: Ledger,
        cards: Reader,
        reads: Reader,
        *,
        on_loop: bool,
        metrics: Metrics,
        spans: BatchSpans | None = None,
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._spans = spans
        self._cards = cards
        self._reads = reads
        self._on_loop = on_loop
        self._loop = asyncio.get_running_loop()
        self._writer_thread = ThreadPoolExecutor(1, "ledger-writer")
        self._cards_thread = ThreadPoolExecutor(1, "card-reader")
        self._reads_thread = ThreadPoolExecutor(1, "reader")
        rest = _WRITING_REST_SECONDS if on_loop else _WRITING_REST_BESIDE_LOOP_SECONDS
        self._writing = _Pace(self._loop, self._start_batch, rest)
        self._looking_up = _Pace(self._loop, self._start_lookups, _LOOK_UP_REST_SECONDS)
        self._lookups: Turns[tuple[CardQuery, asyncio.Future[Any]]] = Turns(_READS_WAITING_MAX)
        self._queries: Turns[tuple[Query, asyncio.Future[Any]]] = Turns(_READS_WAITING_MAX)
        self._reading = False
        self._waiting: dict[asyncio.Future[Any], float] = {}
        self._batch_began = 0.0
        for name, (length, limit) in ledger.queues.items():
            metrics.watch_queue(name, length, limit)
        metrics.watch_waiting(self.oldest_waiting_seconds)

    async def close(self, timeout_seconds: float) -> bool:
        """Finishes what is queued, then ends threads and connections.

        False when something is stuck for longer, such as a COMMIT that never returns: then its
        thread and connection are left as they are, and only the end of the process frees them.
        """
        threads = (self._writer_thread, self._cards_thread, self._reads_thread)
        try:
            async with asyncio.timeout(timeout_seconds):
                while (  # noqa: ASYNC110 - once a process, nothing is urgent then
                    self._waiting or self._writing.busy or self._looking_up.busy or self._reading
                ):
                    await asyncio.sleep(0.01)
                # A thread that comes to this has nothing else left to do.
                for thread in threads:
                    await self._loop.run_in_executor(thread, _nothing)
        except TimeoutError:
            logger.critical("a statement does not return: its outcome is unknown")
            return False
        for thread in threads:
            thread.shutdown()
        self._ledger.close()
        self._cards.close()
        self._reads.close()
        return True

    def oldest_waiting_seconds(self) -> float:
        """From any thread: how long the longest waiting command has waited; 0 when none waits."""
        # A copy, since the loop goes on meanwhile.
        since = list(self._waiting.values())
        return time.monotonic() - min(since) if since else 0.0

    def batch_seconds(self) -> float:
        """How long the batch under way has been so; 0 when there is none."""
        return time.monotonic() - self._batch_began if self._writing.busy else 0.0

    async def decide(self, envelope: Envelope) -> Answer:
        """The stored decision.  Raises a DomainError, or NotDecidedError."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._ledger.submit(envelope, future)
        self._waiting[future] = time.monotonic()
        if self._spans is not None:
            self._spans.wait(future)
        self._writing.wake()
        try:
            outcome = await future
        finally:
            self._waiting.pop(future, None)
        if isinstance(outcome, Answer):
            if outcome.locks_pin:
                self._metrics.pin_lockouts.inc()
            return outcome
        raise _error_of(outcome)

    def _start_batch(self) -> None:
        batch = self._ledger.take()
        if batch is None:
            self._writing.done(0, more=False)
            return
        self._batch_began = time.monotonic()
        span = self._spans.begin(batch.tokens) if self._spans is not None else None
        if self._on_loop:
            self._ledger.prepare(batch)
            work: Callable[[Batch], list[Outcome]] = self._ledger.complete
        else:
            work = self._prepare_and_complete
        done = self._loop.run_in_executor(self._writer_thread, work, batch)
        done.add_done_callback(lambda outcomes: self._end_batch(batch, outcomes, span))

    def _prepare_and_complete(self, batch: Batch) -> list[Outcome]:
        self._ledger.prepare(batch)
        return self._ledger.complete(batch)

    def _end_batch(
        self, batch: Batch, outcomes: "asyncio.Future[list[Outcome]]", span: Span | None
    ) -> None:
        answers: list[Outcome] = [OUTCOME_UNKNOWN] * len(batch.tokens)
        try:
            answers = outcomes.result()
        except Exception:
            # Nobody may wait for ever, nor the queue stand still, because of our own mistake.
            logger.exception("a batch broke off: its outcome is unknown")
        for future, outcome in zip(batch.tokens, answers, strict=True):
            if not future.done():
                future.set_result(outcome)
        self._writing.done(len(batch.tokens), more=self._ledger.queued > 0)
        self._metrics.batch(len(batch.tokens), batch.prepare_seconds, rerun=batch.error is not None)
        for commit in batch.commits:
            self._metrics.commit(commit.seconds, known=commit.known)
        if self._spans is not None and span is not None:
            self._spans.end(span, batch.commits)

    async def card(self, query: CardQuery) -> Card:
        """One card; look-ups that wait together are read together."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._lookups.join(query.caller.merchant_id, (query, future))
        self._looking_up.wake()
        found: Card = _value(await future)
        return found

    def _start_lookups(self) -> None:
        count = min(len(self._lookups), _LOOKUPS_TOGETHER_MAX)
        lookups = [self._lookups.next() for _ in range(count)]
        queries = [query for query, _ in lookups]
        if self._on_loop:
            self._end_lookups(lookups, self._cards.cards(queries))
            return
        done = self._loop.run_in_executor(self._cards_thread, self._cards.cards, queries)
        done.add_done_callback(lambda answers: self._end_lookups(lookups, answers.result()))

    def _end_lookups(
        self, lookups: list[tuple[CardQuery, "asyncio.Future[Any]"]], answers: list[Any]
    ) -> None:
        for (_, future), answer in zip(lookups, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        self._looking_up.done(len(lookups), more=len(self._lookups) > 0)

    async def read(self, query: Callable[..., Value], merchant_id: str = "") -> Value:
        """Runs a function on a snapshot, beside the loop, when it is the merchant's turn.

        What is read before the merchant is known has turns of its own.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queries.join(merchant_id, (query, future))
        if not self._reading:
            self._start_read()
        found: Value = _value(await future)
        return found

    def _start_read(self) -> None:
        """Passes over callers who have gone away."""
        self._reading = False
        while self._queries and not self._reading:
            query, future = self._queries.next()
            if not future.done():
                self._reading = True
                done = self._loop.run_in_executor(self._reads_thread, self._reads.ask, query)
                done.add_done_callback(partial(self._end_read, future))

    def _end_read(self, future: "asyncio.Future[Any]", answer: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_result(answer.result())
        self._start_read()

    def give_up_on(self, older_than_seconds: float) -> int:
        """Answers "unknown" to whoever has waited too long, and stops waiting for the database.

        A standby that is gone holds a COMMIT up for ever; a server that stopped answers nothing.
        """
        self._ledger.give_up_on(older_than_seconds)
        for reader in (self._cards, self._reads):
            reader.give_up_on(older_than_seconds)
        limit = time.monotonic() - older_than_seconds
        late = [future for future, since in self._waiting.items() if since < limit]
        for future in late:
            if not future.done():
                future.set_result(OUTCOME_UNKNOWN)
        return len(late)


def _nothing() -> None:
    """What a thread can only come to when it has done all else."""


def _value(answer: Any) -> Any:
    if isinstance(answer, (DomainError, Failure)):
        raise _error_of(answer)
    return answer


def _error_of(outcome: DomainError | Failure) -> Exception:
    return NotDecidedError(outcome.reason) if isinstance(outcome, Failure) else outcome
