"""Runs one operation purely: a request and the answers of upstream in, messages and reply out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from compat_http import strict_json
from compat_http.dialect import Dialect, LegacyRequest, Operation, Refusal, Reply, UpstreamRefusal

NOW: Final = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
FRESH_ID: Final = "f" * 32


def request(
    document: Any = None,
    *,
    method: str = "POST",
    path: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> LegacyRequest:
    """A request at NOW.  The document goes through JSON, so numbers are as they would arrive."""
    if document is not None:
        document, _ = strict_json.read(strict_json.write(document))
    return LegacyRequest(
        method=method, path=path or {}, query=query or {}, headers=headers or {},
        document=document, now=NOW, fresh_id=FRESH_ID,
    )  # fmt: skip


def drive(
    dialect: Dialect,
    legacy: LegacyRequest,
    answers: Sequence[Any] = (),
    *,
    route: int = 0,
) -> tuple[list[Any], Reply]:
    """What was asked upstream (each an `Rpc`), and what came of it.

    An answer that is a string is a refusal with that reason.  All answers must be asked for.
    """
    operation = dialect.routes[route].operation(legacy, dialect.config)
    asked: list[Any] = []
    left = list(answers)
    try:
        reply = _run(operation, asked, left)
    except Refusal as refusal:
        reply = dialect.refuse(legacy, refusal, dialect.config)
    except UpstreamRefusal as refused:
        status, text = dialect.reasons[refused.reason]
        reply = dialect.refuse(legacy, Refusal(refused.reason, status, text), dialect.config)
    assert not left, f"nobody asked for {left}"
    return asked, reply


def _run(operation: Operation, asked: list[Any], left: list[Any]) -> Reply:
    try:
        rpc = next(operation)
        while True:
            asked.append(rpc)
            assert left, f"an answer to {rpc.method} is missing"
            answer = left.pop(0)
            if isinstance(answer, str):
                rpc = operation.throw(UpstreamRefusal(answer))
            else:
                rpc = operation.send(answer)
    except StopIteration as stop:
        reply: Reply = stop.value
        return reply
