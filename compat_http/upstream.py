"""The canonical service as the shim sees it: one call, one of three outcomes.

A call answers, is refused (`UpstreamRefusal`: the service said so, with an ErrorInfo), or fails on
the way (`TransportError`).  Whether the last means "unknown" is the engine's to judge.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import grpc
from giftcard.v1 import (
    admin_service_pb2,
    customer_service_pb2,
    error_reason_pb2,
    gift_card_service_pb2,
    location_service_pb2,
    program_service_pb2,
)
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from opentelemetry.trace import Tracer

from compat_http import tracing
from compat_http.dialect import Rpc, UpstreamRefusal
from compat_http.metrics import Metrics, Timed

DOMAIN: Final = "giftcard.v1"

#: What gRPC says when no connection could be made: the call has then not left this process.
_NEVER_SENT: Final = "failed to connect to all addresses"


#: In metrics and traces, where the service would have given its reason.
_NO_ANSWER: Final = "NO_ANSWER"
#: What may stand there; a reason of a newer service is none of ours yet.
_REASONS: Final = frozenset(error_reason_pb2.ErrorReason.keys())


class TransportError(Exception):
    """No answer of the service came back.  `sent` is False only where it surely never left."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("sent" if sent else "never sent")
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the contract.  One that writes has a request id, by which it can be undone.

    LookupTransaction has one too, but it is the id asked about: it moves nothing.
    """

    path: str
    decode: Callable[[bytes], Message]
    writes: bool


def _methods() -> dict[str, Method]:
    files = (
        gift_card_service_pb2, customer_service_pb2, program_service_pb2, location_service_pb2,
        admin_service_pb2, health_pb2,
    )  # fmt: skip
    found: dict[str, Method] = {}
    for file in files:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                answer: Any = message_factory.GetMessageClass(method.output_type)
                found[method.name] = Method(
                    f"/{service.full_name}/{method.name}",
                    answer.FromString,
                    "request_id" in method.input_type.fields_by_name
                    and method.name != "LookupTransaction",
                )
    return found


#: Every method by its name, which no two services share.
METHODS: Final = _methods()


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


class Upstream:
    """Channels to the service.  Several, where several worker processes share its port."""

    def __init__(
        self,
        address: str,
        *,
        connections: int = 1,
        credentials: grpc.ChannelCredentials | None = None,
        name: str = "",
        metrics: Metrics | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """With `credentials` by TLS; `name` is then the name in the service's certificate, where
        that is not the host of the address."""
        self._metrics = metrics or Metrics()
        self._counted: dict[str, Timed] = {}
        self._tracer = tracer
        options: tuple[tuple[str, Any], ...] = (
            ("grpc.use_local_subchannel_pool", 1),
            # Retries are the engine's, which knows what they mean.
            ("grpc.enable_retries", 0),
            # A till waits some seconds in all, so a lost connection is tried again at once, and one
            # that is not made in a moment is given up.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.min_reconnect_backoff_ms", 2000),
            # A connection that swallows everything ends within one attempt, so that the next one
            # gets through.  Only asked after while a call waits and nothing is heard.
            ("grpc.keepalive_time_ms", 2000),
            ("grpc.keepalive_timeout_ms", 1000),
            # Where a ping of gRPC's own is under way, no other is sent: so that one decides, and it
            # is given a minute unless told otherwise.
            ("grpc.http2.ping_timeout_ms", 2000),
        )
        if name:
            options = (*options, ("grpc.ssl_target_name_override", name))
        self._channels = [
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
            for _ in range(connections)
        ]
        self._next = cycle([
            {
                name: channel.unary_unary(
                    method.path, request_serializer=_encode, response_deserializer=method.decode
                )
                for name, method in METHODS.items()
            }
            for channel in self._channels
        ]).__next__  # fmt: skip

    async def call(self, rpc: Rpc, authorization: str, timeout_seconds: float) -> Any:
        """The answer's message.

        Raises:
            UpstreamRefusal: the service refused.
            TransportError: no answer came.
        """
        metadata: tuple[tuple[str, str], ...] = (("authorization", authorization),)
        if rpc.training:
            metadata = (*metadata, ("giftcard-book", "training"))
        started, reason = time.perf_counter(), _NO_ANSWER
        span = None
        if self._tracer is not None:
            span, traced = tracing.begin_call(self._tracer, METHODS[rpc.method].path)
            metadata += traced
        try:
            answer = await self._next()[rpc.method](
                rpc.message, timeout=timeout_seconds, metadata=metadata
            )
            reason = ""
            return answer
        except grpc.aio.AioRpcError as error:
            refusal = _refusal(error)
            if refusal is None:
                sent = _NEVER_SENT not in (error.details() or "")
                raise TransportError(sent=sent) from None
            reason = refusal.reason if refusal.reason in _REASONS else "UNSPECIFIED"
            raise refusal from None
        finally:
            self._count(rpc.method, started, reason)
            if span is not None:
                tracing.end_call(span, reason)

    def _count(self, method: str, started: float, reason: str) -> None:
        counted = self._counted.get(method)
        if counted is None:
            counted = self._counted[method] = self._metrics.upstream(method)
        counted.record(time.perf_counter() - started, reason)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def _refusal(error: grpc.aio.AioRpcError) -> UpstreamRefusal | None:
    """The service's own words, or None where it was not the service that spoke."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        try:
            status = status_pb2.Status.FromString(value if isinstance(value, bytes) else b"")
        except Exception:  # noqa: BLE001 - whatever it is, it is not the service's status
            return None
        return _refusal_of(status)
    return None


def _refusal_of(status: status_pb2.Status) -> UpstreamRefusal | None:
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        # Leaves alone what is of another type.
        any(detail.Unpack(message) for message in (info, retry, bad))
    if info.domain != DOMAIN or not info.reason:
        return None
    wait = retry.retry_delay
    return UpstreamRefusal(
        info.reason,
        dict(info.metadata),
        fields={violation.field: violation.description for violation in bad.field_violations},
        retry_after_seconds=-(-wait.ToMilliseconds() // 1000)
        if retry.HasField("retry_delay")
        else None,
    )
