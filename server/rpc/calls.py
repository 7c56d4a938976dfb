"""One wrapper around every method: admit, parse, call, render errors, count, trace, log.

Handlers get a `Call` instead of gRPC's context: who asks, in which book, since when.  They raise;
only this module aborts.  It also answers oversized and malformed messages, so that these carry an
ErrorInfo too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry.trace import Span, Tracer

from server.domain.commands import Caller
from server.domain.errors import DomainError, InvalidField, Rejected
from server.domain.model import Book
from server.rpc import errors
from server.rpc.access_log import AccessLog
from server.rpc.bridge import NotDecidedError
from server.rpc.budget import LookupBudget, guess_in
from server.rpc.identity import Directory
from server.rpc.outcomes import StoredRefusal
from server.storage.directory import Principal
from server.telemetry import tracing
from server.telemetry.metrics import Metrics

logger = logging.getLogger("giftcard.rpc")

#: Below this a request cannot be finished in time, and the caller would not learn the outcome.
_TIME_LEFT_MIN_SECONDS: Final = 0.02
_BOOKS: Final = {"live": Book.LIVE, "training": Book.TRAINING}
REPLAYED_METADATA: Final = (("giftcard-replayed", "true"),)
#: The name of each status code, which gRPC's own type is slow to tell.
_CODE_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(slots=True)
class Call:
    principal: Principal
    caller: Caller
    received_time: int
    replayed: bool = False


Method = Callable[[Any, Call], Awaitable[Message]]
_Ended = Callable[[str, str, float, Call | None, Span | None], None]


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method to serve.  Any one of `scopes` admits; none means any valid credential does."""

    name: str
    request: type[Message]
    method: Method
    scopes: frozenset[str]


class Edge:
    """Builds gRPC handlers from methods."""

    def __init__(
        self,
        directory: Directory,
        access_log: AccessLog,
        *,
        clock: Callable[[], int],
        request_bytes_max: int,
        metrics: Metrics,
        budget: LookupBudget,
        tracer: Tracer | None = None,
    ) -> None:
        self._directory = directory
        self._budget = budget
        self._access_log = access_log
        self._metrics = metrics
        self._tracer = tracer
        self._clock = clock
        self._request_bytes_max = request_bytes_max

    def service(self, full_name: str, rpcs: Iterable[Rpc]) -> grpc.GenericRpcHandler:
        """All methods of a service under its full name."""
        handlers: dict[str, Any] = {
            rpc.name: grpc.unary_unary_rpc_method_handler(
                self._handler(f"/{full_name}/{rpc.name}", rpc)
            )
            for rpc in rpcs
        }
        return grpc.method_handlers_generic_handler(full_name, handlers)

    def _handler(self, path: str, rpc: Rpc) -> Callable[[bytes, Any], Awaitable[Any]]:
        ended = self._observer(path, rpc.name)
        budget, guess = self._budget, guess_in(rpc.request)

        async def handle(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            span = None
            if self._tracer is not None:
                span = tracing.begin_call(self._tracer, path, context.invocation_metadata() or ())
            call: Call | None = None
            request: Message | None = None
            try:
                call = await self._admit(context, rpc)
                request = self._parse(rpc, data)
                if guess is not None:
                    budget.require(call.principal, partial(guess, request))
                response = await rpc.method(request, call)
                encoded = response.SerializeToString()
            except asyncio.CancelledError:
                # The caller or its connection went away.  A handler that raises this by itself is
                # our defect, and its caller would wait for an answer that never comes.
                if context.cancelled() or _was_cancelled():
                    ended("CANCELLED", "", started, call, span)
                    raise
                status = errors.status_of_reason("INTERNAL")
            except Exception as error:  # noqa: BLE001 - rendered, and logged when unexpected
                status = _status(error, path, self._clock())
                if call is not None and isinstance(error, StoredRefusal):
                    call.replayed = error.replayed
            else:
                if call.replayed:
                    # REST has no trailers, so it is said before the answer too.
                    await context.send_initial_metadata(REPLAYED_METADATA)
                    context.set_trailing_metadata(REPLAYED_METADATA)
                ended("OK", "", started, call, span)
                return encoded
            reason = _reason(status)
            if guess is not None and call is not None and request is not None:
                budget.count(call.principal, reason, partial(guess, request))
            ended(_CODE_NAMES[status.code], reason, started, call, span)
            await context.abort_with_status(rpc_status.to_status(status))
            raise AssertionError("aborting always raises")

        return handle

    def _observer(self, path: str, name: str) -> "_Ended":
        """What tells of a call that has ended, everywhere it is told of."""
        counted, log = self._metrics.method(name), self._access_log

        def ended(
            code: str, reason: str, started: float, call: Call | None, span: Span | None
        ) -> None:
            replayed = call is not None and call.replayed
            counted.record(code, reason, time.perf_counter() - started, replayed=replayed)
            if span is not None:
                tracing.end_call(span, code, reason, replayed=replayed)
            log.write(path, code, reason, started, call)

        return ended

    async def _admit(self, context: Any, rpc: Rpc) -> Call:
        metadata = context.invocation_metadata()
        authorization, several = _only(metadata, "authorization")
        # Of two credentials a proxy may have checked the other one.
        principal = await self._directory.principal(None if several else authorization)
        if rpc.scopes and not rpc.scopes & principal.scopes:
            raise Rejected("SCOPE_MISSING", scope=" or ".join(sorted(rpc.scopes)))
        book_name, several = _only(metadata, "giftcard-book")
        book = Book.LIVE if book_name is None else _BOOKS.get(str(book_name))
        if book is None or several:
            raise InvalidField("giftcard-book", "The metadata must be live or training, once.")
        left = context.time_remaining()
        if left is not None and left < _TIME_LEFT_MIN_SECONDS:
            raise Rejected("DEADLINE_TOO_SHORT")
        caller = Caller(
            principal.merchant_id,
            principal.client_id,
            principal.cell,
            book,
            principal.time_zone,
            manages="MANAGE" in principal.scopes,
        )
        return Call(principal, caller, self._clock())

    def _parse(self, rpc: Rpc, data: bytes) -> Message:
        if len(data) > self._request_bytes_max:
            raise Rejected("REQUEST_TOO_LARGE", limit_bytes=self._request_bytes_max)
        try:
            return rpc.request.FromString(data)
        except DecodeError as error:
            raise InvalidField("", "The message is not a valid encoding of its type.") from error


def _was_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _only(metadata: Iterable[tuple[str, Any]], wanted: str) -> tuple[Any, bool]:
    """The value of a key, None where there is none; and whether there are more."""
    found = [value for key, value in metadata if key == wanted]
    return found[0] if found else None, len(found) > 1


def _status(error: Exception, path: str, now: int) -> status_pb2.Status:
    if isinstance(error, DomainError):
        return errors.status_of(error, now=now)
    if isinstance(error, StoredRefusal):
        return errors.status_of(error.refusal, now=now, replayed=error.replayed)
    if isinstance(error, NotDecidedError):
        return errors.status_of_reason(error.reason)
    logger.error("a handler failed", exc_info=error, extra={"method": path})
    return errors.status_of_reason("INTERNAL")


def _reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    reason: str = info.reason
    return reason


class UnknownMethods(grpc.GenericRpcHandler):
    """Answers what nobody serves, with an ErrorInfo like every other error.  Register it last."""

    def __init__(self, access_log: AccessLog, metrics: Metrics) -> None:
        self._access_log = access_log
        # The name that was called is a stranger's text.
        self._counted = metrics.method("unknown")

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        async def refuse(data: bytes, context: Any) -> Any:
            started, reason = time.perf_counter(), "UNIMPLEMENTED"
            status = errors.status_of_reason(reason)
            self._counted.record(reason, reason, 0.0, replayed=False)
            self._access_log.write("", reason, reason, started, None)
            await context.abort_with_status(rpc_status.to_status(status))

        return grpc.unary_unary_rpc_method_handler(refuse)
