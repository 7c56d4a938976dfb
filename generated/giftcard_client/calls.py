"""What every call goes through: its request id, its deadline, its tries, its error."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import grpc
from giftcard.v1 import LookupTransactionRequest
from google.protobuf.message import Message

from giftcard_client.errors import GiftcardError
from giftcard_client.reasons import OutcomeUnknown, Unavailable
from giftcard_client.retry import (
    RetryPolicy,
    is_lost,
    may_be_sent_again,
    may_have_happened,
    settles,
)
from giftcard_client.statuses import error_of

#: With less than this no try is begun: the service would refuse it, and it could not be told from
#: one that was carried out.
_SHORTEST_TRY_SECONDS: Final = 0.05


class Calls(grpc.aio.UnaryUnaryClientInterceptor):
    """Sends a request under one id until there is an answer or patience ends."""

    def __init__(self, *, token: Callable[[], str], book: str, policy: RetryPolicy) -> None:
        self._token = token
        self._book = book
        self._policy = policy

    # gRPC's own signature is generic in ways that its stubs do not agree on with themselves.
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """See grpc.aio.UnaryUnaryClientInterceptor; raises GiftcardError, and nothing else."""
        details = client_call_details
        writes = _is_write(request)
        if writes and not request.request_id:
            request.request_id = str(uuid.uuid4())
        patience = self._policy.patience_seconds if details.timeout is None else details.timeout
        end = time.monotonic() + patience
        tries, unknown = 0, False
        while True:
            tries += 1
            timeout = min(self._policy.try_seconds, max(end - time.monotonic(), 0.001))
            try:
                call = await continuation(self._details(details, timeout), request)
                await call
            except grpc.aio.AioRpcError as failed:
                error = error_of(failed)
                cause = failed
            else:
                return call
            if settles(error):
                raise _about(error, details, request) from cause
            unknown = unknown or may_have_happened(error)
            wait = self._policy.wait_seconds(
                tries,
                retry_after_seconds=error.retry_after_seconds,
                chance=random.random(),  # noqa: S311 - spreads callers, hides nothing
            )
            enough = end - time.monotonic() - wait >= _SHORTEST_TRY_SECONDS
            if not enough or not may_be_sent_again(error):
                final = _final(error, unknown=unknown and writes)
                raise _about(final, details, request) from (cause if final is error else error)
            await asyncio.sleep(wait)

    def _details(
        self, details: grpc.aio.ClientCallDetails, timeout: float
    ) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add("authorization", f"Bearer {self._token()}")
        # Always said, so that a call cannot choose another book than `resolve_unknown` asks.
        metadata.add("giftcard-book", self._book)
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


def _is_write(request: Message) -> bool:
    """Whether the request moves something under its own id.  LookupTransaction's is another's."""
    has_id = "request_id" in request.DESCRIPTOR.fields_by_name
    return has_id and not isinstance(request, LookupTransactionRequest)


def _final(error: GiftcardError, *, unknown: bool) -> GiftcardError:
    """What the caller is told when no further try is made."""
    told: type[GiftcardError]
    if unknown:
        told = OutcomeUnknown
        message = "It is not known whether the request was carried out."
    elif is_lost(error) or isinstance(error, OutcomeUnknown):
        # Of a call that moves nothing, so that nothing was done whatever became of it.
        told = Unavailable
        message = f"No answer came from the service: {error.message or error.code.name}"
    else:
        return error
    if isinstance(error, told):
        return error
    return told(message, code=error.code, retry_after_seconds=error.retry_after_seconds)


def _about(
    error: GiftcardError, details: grpc.aio.ClientCallDetails, request: Message
) -> GiftcardError:
    method: str | bytes = details.method
    error.method = method.decode() if isinstance(method, bytes) else method
    error.request = request
    return error
