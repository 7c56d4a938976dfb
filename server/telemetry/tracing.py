"""Spans, by OpenTelemetry's API; its SDK sends them where OTEL_* variables ask for that.

Where nobody asks there is no tracer, and no span is begun: a call then pays for one comparison.
A span says what was called, how it ended and how long it took, and nothing that a caller sent.
Of a caller's trace context only `traceparent` is taken, which has room for ids alone.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

logger = logging.getLogger("giftcard.telemetry")

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
#: A server's own failures; what it refuses for a reason is no error of its span
#: (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
_FAILURES: Final = frozenset({
    "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
})  # fmt: skip


_CODE_NUMBERS: Final = {code.name: code.value[0] for code in grpc.StatusCode}


def tracer_of(environment: Mapping[str, str], service_name: str) -> Tracer | None:
    """A tracer that sends spans by OTLP; None where no OTEL_* variable asks for that.

    `service_name` holds unless the variables name another.
    """
    wanted = environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if disabled or not wanted or not any(environment.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        # Money does not wait for traces.
        logger.warning("traces are asked for, but the extra `telemetry` is not installed")
        return None
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if named else {"service.name": service_name})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("giftcard.server")


def begin_call(tracer: Tracer, path: str, metadata: Iterable[tuple[str, Any]]) -> Span:
    """The span of a call, current for the rest of the running task, which ends with the call."""
    carrier = {key: str(value) for key, value in metadata if key == _TRACEPARENT}
    service, _, method = path[1:].rpartition("/")
    span = tracer.start_span(
        path[1:],
        _PROPAGATOR.extract(carrier),
        SpanKind.SERVER,
        {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
    )
    context.attach(trace.set_span_in_context(span))
    return span


def end_call(span: Span, code: str, reason: str, *, replayed: bool) -> None:
    span.set_attribute("rpc.grpc.status_code", _CODE_NUMBERS[code])
    if reason:
        span.set_attribute("giftcard.reason", reason)
    if replayed:
        span.set_attribute("giftcard.replayed", replayed)
    if code in _FAILURES:
        span.set_status(StatusCode.ERROR, reason)
    span.end()


class BatchSpans:
    """One span for each batch, linked with the calls that shared it.

    It belongs to the trace of the first of them that is recorded; the others have a link to it,
    and it to them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._callers: dict[object, Span] = {}

    def wait(self, token: object) -> None:
        """The current call's command waits under this token."""
        span = trace.get_current_span()
        if span.is_recording():
            self._callers[token] = span

    def begin(self, tokens: Sequence[object]) -> Span | None:
        """A batch of these commands starts; None where nobody records."""
        waiting = [self._callers.pop(token) for token in tokens if token in self._callers]
        callers = [span for span in waiting if span.is_recording()]
        if not callers:
            return None
        first, *others = callers
        batch = self._tracer.start_span(
            "ledger batch",
            trace.set_span_in_context(first),
            links=[Link(span.get_span_context()) for span in others],
            attributes={"giftcard.batch.commands": len(tokens)},
        )
        for span in others:
            span.add_link(batch.get_span_context())
        return batch

    def end(self, batch: Span, commits: Iterable[tuple[int, float, bool]]) -> None:
        """`commits` are start (nanoseconds since the epoch), seconds, and whether it is known."""
        within = trace.set_span_in_context(batch)
        for start, seconds, known in commits:
            commit = self._tracer.start_span("COMMIT", within, start_time=start)
            if not known:
                commit.set_status(StatusCode.ERROR, "OUTCOME_UNKNOWN")
            commit.end(start + int(seconds * 1e9))
        batch.end()
