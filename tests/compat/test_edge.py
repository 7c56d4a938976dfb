"""What is refused before any operation sees it, called as ASGI; and bodies that are too large."""

import http.client
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from compat_http.dialect import Dialect, LegacyRequest, Operation, Reply, Route
from compat_http.dialects import retail7
from compat_http.edge import Edge
from compat_http.engine import Call, Engine
from compat_http.settings import Settings
from tests.compat.stage import ShimServer, basic

LIMIT = 65536


def _answer(request: LegacyRequest, config: Any) -> Operation:
    """Tells what arrived.  A generator that asks for nothing."""
    yield from ()
    return Reply(200, {"method": request.method, "query": dict(request.query)})


def _dialect(*routes: Route) -> Dialect:
    return replace(retail7.build(Settings()), routes=routes)


CHANGING = Route(
    method="GET", path="/do", name="do", summary="", operation=_answer, public=True,
    reads_body=False,
)  # fmt: skip
READING = replace(CHANGING, path="/look", name="look", changes_state=False)
DIALECT = _dialect(CHANGING, READING)


async def asgi(
    path: str, method: str = "GET", query: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes, Call]:
    """One request to DIALECT; status, headers, body, and what the log is told."""
    seen: list[Call] = []

    def observe(call: Call, request: LegacyRequest, reply: Reply, started: float) -> None:
        seen.append(call)

    engine = Engine(None, None, attempt_milliseconds=1, grace_seconds=1)  # type: ignore[arg-type]
    endpoint = Edge(engine, observe, body_bytes_max=LIMIT).endpoints(DIALECT)[path]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "query_string": query, "path_params": {},
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
    }  # fmt: skip
    await endpoint(scope, receive, send)
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], named, sent[1]["body"], seen[0]


@pytest.mark.parametrize(
    "headers",
    [{"sec-purpose": "prefetch"}, {"sec-purpose": "Prefetch;prerender"}, {"purpose": "prefetch"},
     {"x-moz": "prefetch"}],
    ids=range(4),
)  # fmt: skip
async def test_looking_ahead_changes_nothing(headers: dict[str, str]) -> None:
    status, named, body, call = await asgi("/do", headers=headers)
    assert (status, call.reason) == (403, "PREFETCH_REFUSED")
    assert named["cache-control"] == "no-store"
    assert b"PREFETCH_REFUSED" in body
    assert (await asgi("/look", headers=headers))[0] == 200


async def test_head_reads_but_changes_nothing() -> None:
    assert (await asgi("/look", "HEAD"))[0] == 200
    status, named, _, call = await asgi("/do", "HEAD")
    assert (status, named["allow"], call.reason) == (405, "GET", "METHOD_NOT_ALLOWED")
    assert (await asgi("/do"))[0] == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (b"a=1&b=", 200),
        (b"a=1&a=1", 400),
        (b"a=%ff", 400),
        ("a=ü".encode(), 400),
        (b"&".join(b"a%d=1" % number for number in range(33)), 400),
    ],
    ids=range(5),
)
async def test_queries(query: bytes, status: int) -> None:
    assert (await asgi("/look", query=query))[0] == status


async def test_every_answer_is_for_the_caller_alone() -> None:
    _, named, body, _ = await asgi("/look", query=b"a=1")
    assert (named["cache-control"], named["x-content-type-options"]) == ("no-store", "nosniff")
    assert body == b'{"method":"GET","query":{"a":"1"}}'


def _post(
    shim: ShimServer, size: int, *, chunked: bool, pause_seconds: float = 0.0
) -> tuple[int, bytes]:
    """The answer to a body that comes in pieces, with a pause when half of it was sent."""
    connection = http.client.HTTPConnection(shim.address, timeout=60)
    body = b'{"a": "' + b"x" * (size - 9) + b'"}'
    headers = basic("demo-pos", "demo-pos")
    if not chunked:
        headers |= {"Content-Length": str(size)}

    def pieces() -> Iterator[bytes]:
        for at in range(0, size, 1000):
            if at == size // 2000 * 1000:
                time.sleep(pause_seconds)
            yield body[at : at + 1000]

    try:
        connection.request("POST", "/retail7/giftcards", pieces(), headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_a_limit(shim: ShimServer, chunked: bool) -> None:
    status, body = _post(shim, LIMIT, chunked=chunked)
    assert (status, b"INVALID_FIELD" in body) == (400, True), "it was read"
    status, body = _post(shim, LIMIT + 1, chunked=chunked)
    assert (status, b"BODY_TOO_LARGE" in body) == (413, True)


@pytest.mark.parametrize("chunked", [False, True])
def test_who_still_sends_what_is_too_large_hears_the_answer(
    shim: ShimServer, chunked: bool
) -> None:
    """To close on it would reset the connection, and the answer would be lost."""
    status, body = _post(shim, 8 * LIMIT, chunked=chunked, pause_seconds=0.3)
    assert (status, b"BODY_TOO_LARGE" in body) == (413, True)
