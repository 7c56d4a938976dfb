"""What a dialect is made of: plain values and pure functions, no I/O, no clock, no chance.

A dialect declares its routes, how its callers' credentials travel and one table of reasons.  Each
operation is a pure generator: it yields the RPC that it wants done, is sent the answer and returns
the reply.  A refusal from upstream is thrown into it; what it does not catch is rendered by the
table.  The engine does all the rest.

    def redeem(request: LegacyRequest, config: Config) -> Operation:
        message = decode(request, config)               # raises Refusal on bad input
        answer = yield Rpc("RedeemGiftCard", message)
        return Reply(200, encode(answer))
"""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyRequest:
    """One legacy call as it arrived, read but not yet understood.

    `document` is the JSON body as `strict_json` reads it (None: no body is read on this route),
    `now` the instant of arrival in UTC, `fresh_id` 32 random hexadecimal digits for a call that
    brings no id of its own.  Header names are lower case.
    """

    method: str = "POST"
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    now: datetime
    fresh_id: str


@dataclass(frozen=True, slots=True)
class Rpc:
    """A call of the contract that an operation wants done, by its method's name.

    `client_key` says that the request id derives from one that the legacy client chose, so that
    its retry wins over a reversal that is still queued.
    """

    method: str
    message: Message
    training: bool = False
    client_key: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.  `document` becomes JSON; without one `content` is sent as it is, or nothing."""

    status: int
    document: Any = None
    content: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Operation = Generator[Rpc, Any, Reply]


class Answer(NamedTuple):
    """How a dialect says a reason: an HTTP status and the words."""

    status: int
    text: str


class Refusal(Exception):
    """The dialect's own no, with the reason word that its table, or the dialect, has for it."""

    def __init__(self, reason: str, status: int, text: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.text = text


class UpstreamRefusal(Exception):
    """A definite no from the service; thrown into the operation that asked.

    `reason` and `metadata` are those of the ErrorInfo, `fields` the violations by field path.
    """

    def __init__(
        self,
        reason: str,
        metadata: Mapping[str, str] = field(default_factory=dict),
        *,
        fields: Mapping[str, str] = field(default_factory=dict),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.metadata = metadata
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds


#: Reasons of the shim itself, which each dialect's table has beside those of the contract.
SHIM_REASONS: Final = frozenset({
    "MALFORMED_REQUEST",      # not JSON, or JSON that does not mean one thing
    "BODY_TOO_LARGE",
    "METHOD_NOT_ALLOWED",
    "PREFETCH_REFUSED",       # a browser or proxy that looks ahead must not move money
})  # fmt: skip


def ending(code: str) -> str:
    """What may be shown of a code: its last four symbols, but at most half of it."""
    plain = code.replace(" ", "").replace("-", "").upper()
    return plain[len(plain) - min(4, len(plain) // 2) :]


class Trace(NamedTuple):
    """What the exchange log keeps of a request to find it again.  Of the code only its end."""

    operation: str = ""
    request_id: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path.  `path` may hold parameters: /Giftcard/{card_id}/BalanceCheck.

    `changes_state` matters for GET: HEAD and prefetches are refused then.  `public` routes need no
    credential; `credentials` stands for the dialect's own where one route brings them in another
    way.  The rest describes the route in OpenAPI.
    """

    method: str
    path: str
    name: str
    summary: str
    operation: Callable[[LegacyRequest, Any], Operation]
    changes_state: bool = True
    public: bool = False
    credentials: Callable[[LegacyRequest], str] | None = None
    reads_body: bool = True
    parameters: tuple[Mapping[str, Any], ...] = ()
    request_schema: Mapping[str, Any] | None = None
    request_examples: Mapping[str, Any] = field(default_factory=dict)
    response_schema: Mapping[str, Any] | None = None
    success: int = 200
    success_content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One legacy API.

    `credentials` answers the authorization metadata for upstream, or "" when there is none.
    `reasons` has every reason of the contract and of the shim; `refuse` words a refusal.
    `trace` must not raise, whatever the request; `operations` are the names that it may give one
    where a route has several.  `code_members` are the names of members, headers,
    query and path parameters that hold a card's code; `secret_members` those that may not be kept
    at all.  Both in lower case.
    """

    name: str
    title: str
    description: str
    config: Any
    routes: tuple[Route, ...]
    credentials: Callable[[LegacyRequest], str]
    challenge: str
    reasons: Mapping[str, Answer]
    refuse: Callable[[LegacyRequest, Refusal, Any], Reply]
    trace: Callable[[LegacyRequest], Trace]
    budget_milliseconds: int
    operations: frozenset[str] = frozenset()
    error_schema: Mapping[str, Any] = field(default_factory=dict)
    code_members: frozenset[str] = frozenset()
    secret_members: frozenset[str] = frozenset()
    case_insensitive: bool = False
    repairs_commas: bool = False


def credential_of(dialect: Dialect, route: Route | None, request: LegacyRequest) -> str:
    """The caller's credential on this route; "" for none."""
    own = None if route is None else route.credentials
    return (own or dialect.credentials)(request)


def authorization_header(request: LegacyRequest) -> str:
    """The caller's Bearer or Basic credential, as it came; "" for none.

    One that is not printable ASCII is none: it could not travel on.
    """
    value = request.headers.get("authorization", "")
    scheme, _, secret = value.partition(" ")
    plain = value.isascii() and value.isprintable()
    return value if plain and secret and scheme.lower() in ("bearer", "basic") else ""


_PLAIN_PART: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REQUEST_ID_LENGTH_MAX: Final = 128


def derived_id(dialect: str, parts: Iterable[str], *, training: bool = False) -> str:
    """The request id for upstream: the same for the same parts, another for any others.

    Readable where the parts are plain and short, so that logs can be compared by eye; else a
    digest, which no readable one can equal.  Books are told apart: a training call must never take
    back what a live one queued.
    """
    listed = list(parts)
    prefix = f"{dialect}-training" if training else dialect
    readable = "/".join((prefix, *listed))
    if len(readable) <= _REQUEST_ID_LENGTH_MAX and all(map(_PLAIN_PART.fullmatch, listed)):
        return readable
    encoded = "".join(f"{len(part)}:{part}" for part in listed).encode("utf-8", "surrogatepass")
    return f"{prefix}/~{sha256(encoded).hexdigest()}"
