"""Runs operations: does the RPCs they yield, within the caller's patience, and judges unknowns.

The rule for a call that writes and whose outcome stays unknown: it is sent again under the same
request id until the budget is spent; then its reversal is queued durably, and only then the caller
is told.  So an error at a till always ends as "no money moved".  Where the legacy client chose the
id, its retry takes a queued reversal back; calls under one such id run one after the other, so that
none can be reversed behind another's answer.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any, Final

from giftcard import v1
from opentelemetry.trace import Span

from compat_http.dialect import (
    Dialect,
    LegacyRequest,
    Refusal,
    Reply,
    Route,
    Rpc,
    UpstreamRefusal,
)
from compat_http.metrics import Metrics
from compat_http.records import Reversal, ReversalStartedError, Store
from compat_http.upstream import METHODS, TransportError, Upstream

logger = logging.getLogger("giftcard.shim")

_FIRST_DELAY_SECONDS: Final = 0.05
_DELAY_SECONDS_MAX: Final = 1.0
#: The service refuses to begin what it cannot finish; with less left an attempt is not worth it.
_ATTEMPT_SECONDS_MIN: Final = 0.03

#: The service says that it does not know, or that it broke on the way.
_UNKNOWN_REASONS: Final = frozenset({"OUTCOME_UNKNOWN", "INTERNAL"})
#: Nothing was done this time, and the next attempt may fare better.
_RETRIED_REASONS: Final = frozenset({"UNAVAILABLE", "DEADLINE_TOO_SHORT"})
#: Nothing was done this time, which says nothing of an earlier attempt under the same id: the
#: request was turned away before anybody looked the id up.
_TURNED_AWAY_REASONS: Final = frozenset({
    "OVERLOADED", "LOOKUP_BUDGET_EXHAUSTED", "UNAUTHENTICATED", "SCOPE_MISSING",
    "LOCATION_FORBIDDEN",
})  # fmt: skip
_UNSETTLING_REASONS: Final = _UNKNOWN_REASONS | _RETRIED_REASONS | _TURNED_AWAY_REASONS


class Call:
    """One legacy call on its way: what the log will want to know of it."""

    __slots__ = (
        "deadline",
        "dialect",
        "reason",
        "request_id",
        "route",
        "span",
        "transaction",
        "written",
        "wrote",
    )

    def __init__(self, dialect: Dialect, route: Route | None) -> None:
        self.dialect = dialect
        self.route = route
        self.deadline = 0.0
        self.wrote = False
        self.written: Rpc | None = None
        self.request_id = ""
        self.transaction = ""
        self.reason = ""
        self.span: Span | None = None

    @property
    def operation(self) -> str:
        return self.route.name if self.route else ""


class _Turn:
    """A lock and how many want it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Engine:
    """Shared by all dialects of a process."""

    def __init__(
        self,
        upstream: Upstream,
        store: Store,
        *,
        attempt_milliseconds: int,
        grace_seconds: int,
        metrics: Metrics | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._attempt_seconds = attempt_milliseconds / 1000
        self._grace_seconds = grace_seconds
        self._metrics = metrics or Metrics()
        self._monotonic = monotonic
        self._turns: dict[tuple[str, str], _Turn] = {}

    async def run(self, call: Call, request: LegacyRequest, authorization: str) -> Reply:
        """The reply, whatever happens."""
        dialect = call.dialect
        call.deadline = self._monotonic() + dialect.budget_milliseconds / 1000
        try:
            assert call.route is not None
            return await self._drive(call, request, authorization)
        except Refusal as refusal:
            call.reason = refusal.reason
            return dialect.refuse(request, refusal, dialect.config)
        except UpstreamRefusal as refused:
            return self.refuse(call, request, refused)
        except Exception:  # a defect of ours; the caller gets an answer
            logger.exception("an operation failed", extra={"method": call.operation})
            if call.written is not None:
                # It was done, and the caller hears of an error: so it has to be undone.
                await self._queue(call, call.written, authorization)
                return self.refuse(call, request, UpstreamRefusal("OUTCOME_UNKNOWN"))
            return self.refuse(call, request, UpstreamRefusal("INTERNAL"))

    def refuse(self, call: Call, request: LegacyRequest, refused: UpstreamRefusal) -> Reply:
        """A reason in the dialect's words."""
        dialect = call.dialect
        # A reason of a newer service is no defect of the caller's.
        reason = refused.reason if refused.reason in dialect.reasons else "INTERNAL"
        call.reason = reason
        status, text = dialect.reasons[reason]
        reply = dialect.refuse(request, Refusal(reason, status, text), dialect.config)
        more: tuple[tuple[str, str], ...] = ()
        if status in (429, 503):
            more = (("retry-after", str(refused.retry_after_seconds or 1)),)
        elif status == 401 and dialect.challenge:
            more = (("www-authenticate", dialect.challenge),)
        if not more:
            return reply
        return Reply(
            reply.status, reply.document, reply.content, reply.content_type, reply.headers + more
        )

    async def _drive(self, call: Call, request: LegacyRequest, authorization: str) -> Reply:
        assert call.route is not None
        operation = call.route.operation(request, call.dialect.config)
        try:
            rpc = next(operation)
            while True:
                try:
                    answer = await self._ask(call, rpc, authorization)
                except UpstreamRefusal as refused:
                    rpc = operation.throw(refused)
                else:
                    rpc = operation.send(answer)
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply

    async def _ask(self, call: Call, rpc: Rpc, authorization: str) -> Any:
        if not METHODS[rpc.method].writes:
            return await self._attempts(call, rpc, authorization)
        assert not call.wrote, "an operation may write once"
        call.wrote = True
        message: Any = rpc.message
        call.request_id = message.request_id
        if rpc.client_key:
            async with self._alone(authorization, message.request_id):
                answer = await self._retry_of_client(call, rpc, authorization)
        else:
            answer = await self._attempts(call, rpc, authorization)
        call.transaction = answer.transaction.name
        call.written = rpc
        return answer

    async def _retry_of_client(self, call: Call, rpc: Rpc, authorization: str) -> Any:
        """A call under an id that the client may have used before, and may have been told 504."""
        message: Any = rpc.message
        try:
            taken_back = await self._store.take_back(authorization, message.request_id)
        except ReversalStartedError:
            # Sent now it could be approved, and then be undone behind the answer.
            raise UpstreamRefusal("OUTCOME_UNKNOWN") from None
        if not taken_back:
            return await self._attempts(call, rpc, authorization)
        try:
            return await self._attempts(call, rpc, authorization)
        except UpstreamRefusal:
            # Whatever this was, it was not the answer that the first call lacked.
            await self._queue(call, rpc, authorization)
            raise

    @contextlib.asynccontextmanager
    async def _alone(self, authorization: str, key: str) -> AsyncIterator[None]:
        """One call at a time under a client's own id.

        Whoever waits here came later, so its budget ends later than that of those before it.
        """
        name = (authorization, key)
        turn = self._turns.setdefault(name, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[name]

    async def _attempts(self, call: Call, rpc: Rpc, authorization: str) -> Any:
        """Asks again until there is a definite answer or no time left."""
        writes = METHODS[rpc.method].writes
        delay = _FIRST_DELAY_SECONDS
        unknown = False
        last = UpstreamRefusal("UNAVAILABLE")
        while (left := call.deadline - self._monotonic()) >= _ATTEMPT_SECONDS_MIN:
            try:
                return await self._attempt(call, rpc, authorization, left)
            except TransportError as failure:
                unknown = unknown or (writes and failure.sent)
            except UpstreamRefusal as refused:
                in_doubt = writes and refused.reason in _UNKNOWN_REASONS
                unsettled = _UNSETTLING_REASONS if unknown or in_doubt else _RETRIED_REASONS
                if refused.reason not in unsettled:
                    raise
                unknown = unknown or in_doubt
                last = refused
            await asyncio.sleep(max(0.0, min(delay, call.deadline - self._monotonic())))
            delay = min(delay * 2, _DELAY_SECONDS_MAX)
            self._metrics.retries.inc()
        if not unknown:
            raise last
        logger.warning("an outcome stayed unknown", extra={"method": rpc.method})
        self._metrics.unknown_outcomes.inc()
        await self._queue(call, rpc, authorization)
        raise UpstreamRefusal("OUTCOME_UNKNOWN")

    async def _attempt(self, call: Call, rpc: Rpc, authorization: str, left: float) -> Any:
        answer = await self._upstream.call(rpc, authorization, min(left, self._attempt_seconds))
        replayed = METHODS[rpc.method].writes and answer.replayed
        if replayed and rpc.method != "ReverseTransaction":
            await self._require_standing(call, rpc, authorization)
        return answer

    async def _require_standing(self, call: Call, rpc: Rpc, authorization: str) -> None:
        """What was done the first time may have been undone since: then the money is not there."""
        message: Any = rpc.message
        left = max(call.deadline - self._monotonic(), _ATTEMPT_SECONDS_MIN)
        timeout_seconds = min(left, self._attempt_seconds)
        asked = v1.LookupTransactionRequest(request_id=message.request_id)
        look_up = Rpc("LookupTransaction", asked, rpc.training)
        try:
            found = await self._upstream.call(look_up, authorization, timeout_seconds)
        except (TransportError, UpstreamRefusal):
            # It was done, and nobody says whether it still is.
            raise TransportError(sent=True) from None
        if found.transaction.reversal_transaction:
            raise UpstreamRefusal(
                "REVERSED_BEFORE_ARRIVAL", {"transaction": found.transaction.name}
            )

    async def _queue(self, call: Call, rpc: Rpc, authorization: str) -> None:
        """Makes the reversal of a call durable."""
        message: Any = rpc.message
        # What a reversal meant to undo is undone in the end; by name the caller has to ask again.
        undoing = rpc.method == "ReverseTransaction"
        key = message.original_request_id if undoing else message.request_id
        if not key:
            return
        book = "training" if rpc.training else ""
        grace = self._grace_seconds if rpc.client_key and not undoing else 0
        reversal = Reversal(
            key, authorization, book, call.dialect.name, call.operation, grace_seconds=grace
        )
        try:
            await self._store.queue_reversal(reversal)
            self._metrics.reversals_queued.inc()
        except Exception as error:
            self._metrics.reversals_unqueued.inc()
            logger.critical("a reversal could not be queued", exc_info=error)

    async def reverse(self, reversal: Reversal) -> bool:
        """Sends a queued reversal once; True when the service gave a definite answer."""
        message = v1.ReverseTransactionRequest(
            original_request_id=reversal.key,
            request_id=reversal_id(reversal.key),
            context=v1.CallContext(reason="the answer did not reach the caller in time"),
        )
        rpc = Rpc("ReverseTransaction", message, reversal.book == "training")
        try:
            await self._upstream.call(rpc, reversal.authorization, self._attempt_seconds)
        except TransportError:
            return False
        except UpstreamRefusal as refused:
            if refused.reason in _UNSETTLING_REASONS:
                self._metrics.reversal_refused(refused.reason)
                return False
        self._metrics.reversals_settled.inc()
        return True


def reversal_id(key: str) -> str:
    """The request id of the shim's own reversal of `key`: always the same one."""
    return f"shim-reversal/{sha256(key.encode()).hexdigest()}"
