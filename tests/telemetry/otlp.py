"""A collector of traces as servers know it: OpenTelemetry's TraceService, keeping what it is sent.

with OtlpReceiver() as receiver:
    start_a_process(environment=receiver.environment)
    ...
    spans = receiver.wait_for(lambda spans: len(spans) == 5)
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Received:
    """One span, with its ids as hexadecimal digits and its attributes as a dictionary."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    is_error: bool
    message: str
    trace_state: str
    seconds: float


class OtlpReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on a free port of this machine."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._requests: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.environment: Final = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def Export(  # noqa: N802 - the service's own name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._guard:
            self._requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def text(self) -> str:
        """Everything that was sent, to be searched: protobuf's text form, which escapes nothing
        that is plain ASCII."""
        with self._guard:
            return "\n".join(str(request) for request in self._requests)

    @property
    def spans(self) -> list[Received]:
        with self._guard:
            requests = list(self._requests)
        return [
            _received(_attributes(resource.resource.attributes).get("service.name", ""), span)
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """The spans, once there are those that a test waits for."""
        deadline = time.monotonic() + _SECONDS
        while not enough(spans := self.spans):
            assert time.monotonic() < deadline, [span.name for span in spans]
            time.sleep(0.05)
        return spans


def _received(service: str, span: Any) -> Received:
    return Received(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple(link.span_id.hex() for link in span.links),
        _attributes(span.attributes),
        span.status.code == span.status.STATUS_CODE_ERROR,
        span.status.message,
        span.trace_state,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
