"""The composition root of the shim: store, upstream, engine and the dialects, as one ASGI app."""

import logging
import re
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from grpc_health.v1 import health_pb2
from opentelemetry.trace import Tracer
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from compat_http import docs, openapi, strict_json, tracing
from compat_http.dialect import (
    Dialect,
    LegacyRequest,
    Reply,
    Rpc,
    UpstreamRefusal,
    credential_of,
    ending,
)
from compat_http.dialects import cp_extender, iwarehouse, resico, retail7
from compat_http.edge import Edge
from compat_http.engine import Call, Engine
from compat_http.metrics import Metrics, Timed
from compat_http.records import Exchange, Store
from compat_http.redaction import Redaction, declared_members, secrets_of
from compat_http.settings import Settings
from compat_http.tls import upstream_credentials
from compat_http.upstream import TransportError, Upstream

logger = logging.getLogger("giftcard.shim")

#: Every dialect is built from the settings.
BUILDERS: Final[tuple[Callable[[Settings], Dialect], ...]] = (
    retail7.build, cp_extender.build, resico.build, iwarehouse.build,
)  # fmt: skip

_READY_TIMEOUT_SECONDS: Final = 1.0


class Shim:
    """One process's shim; `app` is what an HTTP server runs."""

    def __init__(self, settings: Settings, store: Store, tracer: Tracer | None = None) -> None:
        self._store = store
        self.metrics = Metrics()
        self._upstream = Upstream(
            settings.grpc_address,
            connections=settings.http_connections,
            credentials=upstream_credentials(settings),
            name=settings.http_upstream_name,
            metrics=self.metrics,
            tracer=tracer,
        )
        self.engine = Engine(
            self._upstream,
            store,
            attempt_milliseconds=settings.http_attempt_milliseconds,
            grace_seconds=settings.http_grace_seconds,
            metrics=self.metrics,
        )
        self.dialects = tuple(build(settings) for build in BUILDERS)
        self._redactions = {dialect.name: _redaction(dialect) for dialect in self.dialects}
        self._counted: dict[tuple[str, str], Timed] = {}
        edge = Edge(
            self.engine,
            self._observe,
            body_bytes_max=settings.http_body_bytes_max,
            tracer=tracer,
        )
        routes: list[BaseRoute] = []
        for dialect in self.dialects:
            for path, endpoint in edge.endpoints(dialect).items():
                routes.append(_LegacyRoute(path, endpoint, dialect.case_insensitive))
        routes += _pages(self.dialects)
        routes += [Route("/livez", _alive), Route("/readyz", self._ready)]
        # No middleware: endpoints answer whatever happens.  No redirects: they would repeat a
        # query, and with it what some callers put there.
        self.app: ASGIApp = Router(routes, redirect_slashes=False, default=_not_found)

    async def close(self) -> None:
        await self._upstream.close()

    def _observe(self, call: Call, request: LegacyRequest, reply: Reply, started: float) -> None:
        """Counts the exchange, ends its span and hands it to the log; nothing here may raise."""
        try:
            trace = call.dialect.trace(request)
            self._count(call, trace.operation, reply.status, started)
            # Where the service makes the code, only the answer has it.
            code = trace.code or _code_in(reply.document, call.dialect.code_members)
            self._store.log(
                Exchange(
                    time_microseconds=int(request.now.timestamp() * 1_000_000),
                    duration_microseconds=int((time.perf_counter() - started) * 1_000_000),
                    dialect=call.dialect.name,
                    operation=trace.operation or call.operation,
                    method=request.method,
                    path=call.route.path if call.route else "",
                    legacy_request_id=trace.request_id,
                    request_id=call.request_id,
                    code_last_four=ending(code),
                    status=reply.status,
                    reason=call.reason,
                    transaction=call.transaction,
                    request=request.document,
                    answer=reply.document,
                    redaction=self._redactions[call.dialect.name],
                    secrets=(
                        code,
                        *secrets_of(credential_of(call.dialect, call.route, request)),
                    ),
                )
            )
        except Exception:
            logger.exception("an exchange could not be logged")

    def _count(self, call: Call, traced: str, status: int, started: float) -> None:
        dialect = call.dialect
        # What a request calls itself may be anything; a name that is ours may be a label.
        operation = traced if traced in dialect.operations else call.operation or "unknown"
        name = (dialect.name, operation)
        counted = self._counted.get(name)
        if counted is None:
            counted = self._counted[name] = self.metrics.requests(*name)
        counted.record(time.perf_counter() - started, str(status), call.reason)
        if call.span is not None:
            tracing.end_request(call.span, dialect.name, operation, status, call.reason)

    async def service_problem(self) -> str:
        """What is wrong with the service; "" when it serves."""
        check = Rpc("Check", health_pb2.HealthCheckRequest())
        try:
            answer = await self._upstream.call(check, "", _READY_TIMEOUT_SECONDS)
        except (TransportError, UpstreamRefusal):
            return "the service does not answer"
        serves = answer.status == health_pb2.HealthCheckResponse.SERVING
        return "" if serves else "the service does not serve"

    async def _ready(self, request: Request) -> Response:
        problem = await self.service_problem()
        return _json({"status": problem or "ready"}, 503 if problem else 200)


def _code_in(document: Any, code_members: Collection[str]) -> str:
    """The code that an answer gives; "" for none."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name.lower() in code_members and type(value) is str:
                return value
    return ""


def _redaction(dialect: Dialect) -> Redaction:
    """What a dialect describes in OpenAPI is what the log may keep."""
    schemas = [dialect.error_schema]
    for route in dialect.routes:
        schemas += [each for each in (route.request_schema, route.response_schema) if each]
    return Redaction(dialect.code_members, dialect.secret_members, declared_members(schemas))


class _LegacyRoute(Route):
    """A path that some vendors write in any letter case."""

    def __init__(self, path: str, endpoint: ASGIApp, case_insensitive: bool) -> None:
        super().__init__(path, endpoint)
        if case_insensitive:
            self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def _pages(dialects: tuple[Dialect, ...]) -> list[BaseRoute]:
    """OpenAPI and its readable form, made once."""
    described = {dialect.name: openapi.document(dialect) for dialect in dialects}
    titles = {dialect.name: dialect.title for dialect in dialects}
    pages: list[BaseRoute] = [_fixed("/docs", HTMLResponse(docs.index(titles)))]
    for name, document in described.items():
        pages.append(_fixed(f"/openapi/{name}.json", _json(document)))
        pages.append(_fixed(f"/docs/{name}", HTMLResponse(docs.page(name, document))))
    return pages


def _fixed(path: str, response: Response) -> Route:
    async def answer(request: Request) -> Response:
        return response

    return Route(path, answer)


def _json(document: Any, status: int = 200) -> Response:
    return Response(strict_json.write(document), status, media_type="application/json")


async def _alive(request: Request) -> Response:
    return _json({"status": "alive"})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await _json({"error": "There is nothing here. See /docs."}, 404)(scope, receive, send)
