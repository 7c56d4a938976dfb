"""HTTP to a `LegacyRequest` and a `Reply` to HTTP: one ASGI endpoint for each path of a dialect.

Refuses what no operation should see: other methods, look-ahead requests where a GET changes
something, bodies too large or not JSON.  No answer may be kept by a cache.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from opentelemetry.trace import Tracer
from starlette.types import Receive, Scope, Send

from compat_http import strict_json, tracing
from compat_http.dialect import (
    NOTHING,
    Dialect,
    LegacyRequest,
    Refusal,
    Reply,
    Route,
    UpstreamRefusal,
    credential_of,
)
from compat_http.engine import Call, Engine
from compat_http.strict_json import JsonError

logger = logging.getLogger("giftcard.shim")

_READ_AWAY_BYTES_MAX: Final = 1 << 20
_QUERY_FIELDS_MAX: Final = 32

#: Told of each exchange after its answer was sent: call, request, reply, start (perf_counter).
Observer = Callable[[Call, LegacyRequest, Reply, float], None]


class Edge:
    """The paths of all dialects, as ASGI endpoints."""

    def __init__(
        self,
        engine: Engine,
        observe: Observer,
        *,
        body_bytes_max: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._engine = engine
        self._observe = observe
        self._body_bytes_max = body_bytes_max
        self._tracer = tracer

    def endpoints(self, dialect: Dialect) -> dict[str, "Endpoint"]:
        """By path, in the order in which the dialect names them."""
        paths: dict[str, dict[str, Route]] = {}
        for route in dialect.routes:
            paths.setdefault(route.path, {})[route.method] = route
        return {
            path: Endpoint(
                self._engine, self._observe, dialect, routes, self._body_bytes_max, self._tracer
            )
            for path, routes in paths.items()
        }


class Endpoint:
    """What answers on one path.  An instance is an ASGI application."""

    def __init__(
        self,
        engine: Engine,
        observe: Observer,
        dialect: Dialect,
        routes: Mapping[str, Route],
        body_bytes_max: int,
        tracer: Tracer | None,
    ) -> None:
        self._engine = engine
        self._observe = observe
        self._tracer = tracer
        self._path = next(iter(routes.values())).path
        self._dialect = dialect
        self._routes = dict(routes)
        for route in routes.values():
            if route.method == "GET" and not route.changes_state:
                self._routes["HEAD"] = route
        self._allow = ", ".join(sorted(self._routes))
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        method: str = scope["method"]
        call = Call(self._dialect, self._routes.get(method))
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if self._tracer is not None:
            call.span = tracing.begin_request(self._tracer, method, self._path, headers)
        request = LegacyRequest(
            method=method,
            path=scope.get("path_params") or NOTHING,
            headers=headers,
            now=datetime.now(UTC),
            fresh_id=os.urandom(16).hex(),
        )
        try:
            request = await self._complete(call, request, scope, receive)
        except UpstreamRefusal as refused:
            reply = self._engine.refuse(call, request, refused)
        except Refusal as refusal:
            call.reason = refusal.reason
            reply = self._dialect.refuse(request, refusal, self._dialect.config)
        else:
            assert call.route is not None
            authorization = (
                "" if call.route.public else credential_of(self._dialect, call.route, request)
            )
            if authorization or call.route.public:
                reply = await self._engine.run(call, request, authorization)
            else:
                reply = self._engine.refuse(call, request, UpstreamRefusal("UNAUTHENTICATED"))
        try:
            await _send(send, reply, (("allow", self._allow),) if call.route is None else ())
        finally:
            self._observe(call, request, reply, started)

    async def _complete(
        self, call: Call, request: LegacyRequest, scope: Scope, receive: Receive
    ) -> LegacyRequest:
        """Adds query and document.

        Raises:
            UpstreamRefusal: one of the shim's own reasons.
            Refusal: the same, with a place in the body.
        """
        route = call.route
        if route is None:
            raise UpstreamRefusal("METHOD_NOT_ALLOWED")
        if route.changes_state and request.method == "GET" and _looks_ahead(request.headers):
            raise UpstreamRefusal("PREFETCH_REFUSED")
        query: Mapping[str, str] = NOTHING
        if scope["query_string"]:
            query = self._query(scope["query_string"])
        document = None
        if route.reads_body:
            body = await _body(receive, request.headers, self._body_bytes_max)
            if body or request.method != "GET":
                document = self._document(body)
        return replace(request, query=query, document=document)

    def _document(self, body: bytes) -> Any:
        try:
            document, repaired = strict_json.read(body, repairs_commas=self._dialect.repairs_commas)
        except JsonError as error:
            raise self._malformed(str(error)) from None
        if not isinstance(document, dict):
            raise self._malformed("line 1, column 1: must be a JSON object")
        if repaired:
            logger.info("missing commas were put in", extra={"count": repaired})
        return document

    def _query(self, text: bytes) -> Mapping[str, str]:
        try:
            pairs = parse_qsl(
                text.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_QUERY_FIELDS_MAX,
            )
        except ValueError:
            raise self._malformed("the query is not valid") from None
        query = dict(pairs)
        if len(query) != len(pairs):
            raise self._malformed("the query names a parameter twice")
        return query

    def _malformed(self, text: str) -> Refusal:
        status, words = self._dialect.reasons["MALFORMED_REQUEST"]
        return Refusal("MALFORMED_REQUEST", status, f"{words}: {text}")


def _looks_ahead(headers: Mapping[str, str]) -> bool:
    return any(
        "prefetch" in headers.get(name, "").lower() for name in ("sec-purpose", "purpose", "x-moz")
    )


async def _body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    length = headers.get("content-length", "")
    if length.isdigit() and (len(length) > 12 or int(length) > limit):
        if "expect" not in headers:
            await _read_away(receive)
        raise UpstreamRefusal("BODY_TOO_LARGE")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UpstreamRefusal("MALFORMED_REQUEST")  # nobody waits for an answer any more
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > limit:
            if message.get("more_body", False):
                await _read_away(receive)
            raise UpstreamRefusal("BODY_TOO_LARGE")
        if not message.get("more_body", False):
            return body


async def _read_away(receive: Receive) -> None:
    """Lets the rest of a body come, up to a limit, and forgets it.

    To close on what is still under way resets the connection, and the answer is lost with it: a
    proxy in between would say 503 (https://www.rfc-editor.org/rfc/rfc9112#section-9.6).
    """
    left = _READ_AWAY_BYTES_MAX
    while left > 0:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        left -= len(message.get("body", b""))


async def _send(send: Send, reply: Reply, more: Iterable[tuple[str, str]]) -> None:
    body = reply.content if reply.document is None else strict_json.write(reply.document)
    headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
    if body:
        headers.append((b"content-type", reply.content_type.encode()))
    if reply.status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    if reply.status == 413:
        headers.append((b"connection", b"close"))  # not all of the body may have been read
    headers += [(name.encode(), value.encode()) for name, value in (*reply.headers, *more)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
