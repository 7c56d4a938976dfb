"""Spans, by OpenTelemetry's API; its SDK sends them where OTEL_* variables ask for that.

Where nobody asks there is no tracer, and no span is begun.  A span says which route and method were
called, how it ended and how long it took: never a path, query, header or body as they came.  Of a
caller's trace context only `traceparent` is taken and sent on, which has room for ids alone.
"""

import logging
from collections.abc import Mapping
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

logger = logging.getLogger("giftcard.shim")

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


def tracer_of(environment: Mapping[str, str]) -> Tracer | None:
    """A tracer that sends spans by OTLP; None where no OTEL_* variable asks for that."""
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
        logger.warning("traces are asked for, but the extra `telemetry` is not installed")
        return None
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if named else {"service.name": "giftcard-shim"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("giftcard.shim")


def begin_request(tracer: Tracer, method: str, route: str, headers: Mapping[str, str]) -> Span:
    """The span of a request, current for the rest of the running task, which ends with it.

    `route` is the path as it is declared.
    """
    known = method if method in _METHODS else "_OTHER"
    carrier = {key: value for key, value in headers.items() if key == _TRACEPARENT}
    span = tracer.start_span(
        f"{known} {route}",
        _PROPAGATOR.extract(carrier),
        SpanKind.SERVER,
        {"http.request.method": known, "http.route": route},
    )
    context.attach(trace.set_span_in_context(span))
    return span


def end_request(span: Span, dialect: str, operation: str, status: int, reason: str) -> None:
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("giftcard.dialect", dialect)
    span.set_attribute("giftcard.operation", operation)
    if reason:
        span.set_attribute("giftcard.reason", reason)
    if status >= 500:
        span.set_status(StatusCode.ERROR, reason)
    span.end()


def begin_call(tracer: Tracer, path: str) -> tuple[Span, tuple[tuple[str, str], ...]]:
    """The span of a call of the service, and the metadata that makes the service's part of it."""
    service, _, method = path[1:].rpartition("/")
    span = tracer.start_span(
        path[1:],
        kind=SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
    )
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return span, ((_TRACEPARENT, carrier[_TRACEPARENT]),)


def end_call(span: Span, reason: str) -> None:
    """`reason` is "" for an answer."""
    if reason:
        span.set_attribute("giftcard.reason", reason)
        span.set_status(StatusCode.ERROR, reason)
    span.end()
