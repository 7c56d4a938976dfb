"""A secret in every field of every request, through Envoy: it is in no log, metric, trace or error.

Every RPC of the contract, by gRPC and by REST, and every operation of every dialect; once in one
field at a time, once in all of them together.  What a dialect declares and is no secret of it (a
receipt, a request id) is kept on purpose, in the exchange log alone: two vendors tell integrators
to compare logs.
"""

import itertools
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from compat_http.app import BUILDERS
from compat_http.dialect import Dialect, Route
from compat_http.settings import Settings
from compat_http.strict_json import write
from tests.compat import speak
from tests.compat.stage import Said, basic
from tests.edge import every_rpc
from tests.edge.envoy import BEARER, UNLIMITED, Edge
from tests.edge.process import wait_until
from tests.sinks import Sinks, forms
from tests.telemetry.otlp import OtlpReceiver
from tests.telemetry.scrape import ADMIN, Scrape, admin_addresses

DIALECTS: Final = {dialect.name: dialect for dialect in (make(Settings()) for make in BUILDERS)}
WHO: Final[dict[str, dict[str, str]]] = {
    "retail7": speak.RETAIL7, "cp": speak.CP, "resico": speak.RESICO, "iwarehouse": {},
}  # fmt: skip
#: A value for each declared field that makes the request whole.
GOOD: Final[dict[str, Any]] = {
    "requestIDExternal": "planted-base", "timestamp": "2026-03-01T11:30:25.930Z",
    "trainingFlag": True, "cardID": "77PLANT001", "clientStore": "1001", "clientCountry": "US",
    "clientID": "7", "amount": "5.00", "currencyCode": "USD", "clientTrx": "T1",
    "issuedByClient": True, "originalRequestIDExternal": "R0", "originalOperationType": "REDEEM",
    "card_id": "77PLANT002", "customer_id": "2059378440", "consumer_key": speak.CONSUMER,
    "transactionNo": "00000001", "locationCode": "SHOP1", "Agency": "Website",
    "GiftCardCode": "GC", "GiftCardValue": "5.00", "SaleId": "S1", "Ref": "77PLANT003",
    "Type": "giftcard", "RequestedAmount": "1.00", "RequestedPoints": "1", "Points": "1",
    "CustomerNumber": "2059378440", "AuthCode": "G" + "0" * 32, "Password": "demo-cp-token",
    "log": "demo", "pwd": "demo", "card": "GCQ22X9HE1",
}  # fmt: skip
#: What a refusal tells the caller again, of what the caller has just sent.
ECHOED: Final = {"retail7": {"requestIDExternal", "operationType", "cardID"}}
#: What the exchange log keeps besides declared members.
FOUND_BY: Final = {("resico", "Idempotency-Key"), ("iwarehouse", "ref")}


@dataclass(frozen=True)
class Plain:
    """One request of a route, in parts."""

    dialect: Dialect
    route: Route
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Mapping[str, Any] | None
    fields: tuple[str, ...] = field(default=())

    def send(self, edge: Edge) -> Said:
        target = re.sub(
            r"\{([a-z_]+)\}", lambda match: quote(self.path[match[1]], safe=""), self.route.path
        )
        if self.query:
            target += "?" + urlencode(self.query)
        body = None if self.body is None else write(dict(self.body))
        return edge.call(self.route.method, target, body, self.headers)

    def planted(self, part: str, name: str, value: str) -> "Plain":
        parts: dict[str, Any] = {part: {**(getattr(self, part) or {}), name: value}}
        return replace(self, **parts)

    def places(self) -> Iterator[tuple[str, str]]:
        """Every field, and some that nobody declared."""
        yield from (("path", name) for name in self.path)
        declared = {(each["in"], each["name"]) for each in self.route.parameters}
        names = {name for where, name in declared if where == "query"}
        yield from (("query", name) for name in sorted(names | {"stranger"}))
        names = {name for where, name in declared if where == "header"}
        yield from (("headers", name) for name in sorted(names | {"X-Stranger", "Cookie"}))
        if self.body is not None:
            yield from (("body", name) for name in (*self.fields, "stranger"))


def requests() -> Iterator[Plain]:
    for dialect in DIALECTS.values():
        for route in dialect.routes:
            schema = route.request_schema or {}
            for each in schema.get("oneOf", [schema]):
                yield _plain(dialect, route, each)


def _plain(dialect: Dialect, route: Route, schema: Mapping[str, Any]) -> Plain:
    members = schema.get("properties", {})
    body: dict[str, Any] | None = None
    if route.request_schema is not None:
        body = {
            name: members[name].get("const", GOOD.get(name)) for name in schema.get("required", ())
        }
        assert None not in body.values(), body
    path = {name: GOOD[name] for name in re.findall(r"\{([a-z_]+)\}", route.path)}
    needed = [each["name"] for each in route.parameters if each.get("required")]
    query = {name: GOOD[name] for name in needed if name not in path}
    return Plain(dialect, route, path, query, WHO[dialect.name], body, tuple(members))


def _is_kept(plain: Plain, part: str, name: str) -> bool:
    """Whether the exchange log may hold what is planted there."""
    dialect = plain.dialect
    if (dialect.name, name) in FOUND_BY:
        return True
    secret = name.lower() in dialect.code_members | dialect.secret_members
    return part == "body" and name in plain.fields and not secret


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def edge(receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Service, shim and Envoy that show and send all that they can."""
    environment = {**ADMIN, **receiver.environment}
    directory = tmp_path_factory.mktemp("planted")
    with Edge(directory, environment=environment, changes=UNLIMITED) as edge:
        edge.start()
        yield edge


class Watched:
    """All that an edge tells of itself, and how much it had told when a test began."""

    def __init__(self, edge: Edge, receiver: OtlpReceiver) -> None:
        self.edge = edge
        self.receiver = receiver
        self.service, self.shim = sorted(admin_addresses(edge.log("service")), key=_is_shim)

    def sinks(self) -> Sinks:
        """Once what was sent last has been written: logs are gathered for a moment."""
        mark = uuid.uuid4().hex
        self.edge.call("GET", "/v1/programs", headers={**BEARER, "X-Request-Id": mark})
        spans = len(self.receiver.spans)
        wait_until("all is written", lambda: len(self.receiver.spans) > spans)
        processes = ("service", "envoy", "edge")
        return Sinks({
            "logs": lambda: "\n".join(map(self.edge.log, processes)),
            "access log": lambda: self.edge.log("access"),
            "metrics of the service": lambda: Scrape(self.service).text,
            "metrics of the shim": lambda: Scrape(self.shim).text,
            "metrics of Envoy": lambda: self.edge.admin("/stats/prometheus").decode(),
            "traces": lambda: self.receiver.text,
        })  # fmt: skip


@pytest.fixture
def watched(edge: Edge, receiver: OtlpReceiver) -> Watched:
    return Watched(edge, receiver)


def _is_shim(address: str) -> bool:
    return "giftcard_shim_ready" in Scrape(address).text


class Planting:
    """Makes things to plant; `mark` is in all of them, so that it finds each."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.planted: dict[str, str] = {}

    def __call__(self, where: str) -> str:
        value = f"{self.mark}{len(self.planted):05d}"
        self.planted[value] = where
        return value


#: What strangers may put into metadata and headers.
_STRANGE: Final = ("x-stranger", "cookie", "user-agent", "giftcard-book", "tracestate", "baggage",
    "traceparent", "x-b3-traceid", "referer", "x-forwarded-for")  # fmt: skip


async def test_every_field_of_every_rpc(watched: Watched) -> None:
    plant = Planting("zq7canary")
    made: set[str] = set()
    async with watched.edge.channel() as channel:
        for method in every_rpc.methods():
            path = f"/{method.containing_service.full_name}/{method.name}"
            for _, request in every_rpc.one_at_a_time(method, plant):
                await _send(channel, path, method, request, _METADATA, plant, made)
            request = every_rpc.all_at_once(method, plant)
            await _send(channel, path, method, request, _METADATA, plant, made)
            request = every_rpc.base(method)
            for header in _STRANGE:
                metadata = (*_METADATA, (header, plant(header)))
                await _send(channel, path, method, request, metadata, plant, made)
            for secret in (f"Bearer {plant('token')}", _basic(plant("login"), plant("password"))):
                await _send(
                    channel, path, method, request, (("authorization", secret),), plant, made
                )
    assert len(plant.planted) > 500
    assert made, "the service made no secret"
    sinks = watched.sinks()
    sinks.require_none_of([plant.mark])
    sinks.require_none_of(made)
    scrape = Scrape(watched.service)
    traced = {span.name for span in watched.receiver.spans}
    for method in every_rpc.methods():
        assert scrape.value("giftcard_calls_total", method=method.name) > 10, method.name
        assert f"{method.containing_service.full_name}/{method.name}" in traced


_METADATA: Final = (("authorization", "Bearer demo-service-token"),)


def _basic(login: str, password: str) -> str:
    return basic(login, password)["Authorization"]


async def _send(
    channel: Any, path: str, method: Any, request: Any, metadata: Any, plant: Planting,
    made: set[str],
) -> None:  # fmt: skip
    answer = GetMessageClass(method.output_type)
    call = channel.unary_unary(path, None, answer.FromString)
    try:
        said = await call(request.SerializeToString(), metadata=metadata, timeout=60)
    except grpc.aio.AioRpcError as error:
        # What is secret is not even said again to the one who sent it.
        repeated = f"{error.details()} {error.trailing_metadata()}".lower()
        for secret in every_rpc.secrets_in(request):
            assert secret.lower() not in repeated, (path, plant.planted.get(secret))
        return
    made.update(
        secret for secret in every_rpc.secrets_in(said)
        if plant.mark not in secret.lower() and secret not in _PUBLISHED
    )  # fmt: skip


#: Codes of the demo, which are printed everywhere.
_PUBLISHED: Final = frozenset({"12399"})


def test_every_field_of_every_rpc_by_rest(watched: Watched) -> None:
    plant = Planting("zq7resting")
    for method in every_rpc.methods():
        requests = [request for _, request in every_rpc.one_at_a_time(method, plant)]
        for request in (*requests, every_rpc.all_at_once(method, plant)):
            for verb, target, body in every_rpc.rest(method, request):
                watched.edge.call(verb, target, body, BEARER)
    assert len(plant.planted) > 500
    watched.sinks().require_none_of([plant.mark])


def test_every_field_of_every_dialect(watched: Watched) -> None:
    plant = Planting("planted7Secret")
    places: dict[str, tuple[Plain, str, str]] = {}
    for plain in requests():
        for part, name in plain.places():
            value = plant(name)
            places[value] = (plain, part, name)
            said = plain.planted(part, name, value).send(watched.edge)
            if said.status >= 400 and name not in ECHOED.get(plain.dialect.name, ()):
                assert value.lower().encode() not in said.body.lower(), (plain.route.path, name)
        # A name of a member, and the credential, are fields too.
        for value, strange in _strangers(plain, plant):
            places[value] = (plain, "name", value)
            said = strange.send(watched.edge)
            assert value.lower().encode() not in said.body.lower()
    assert len(places) > 150
    watched.sinks().require_none_of([plant.mark])
    scrape = Scrape(watched.shim)
    for name in DIALECTS:
        assert scrape.value("giftcard_shim_requests_total", dialect=name) > 10
    _require_only_what_is_kept(watched.edge, places)


def _require_only_what_is_kept(edge: Edge, places: Mapping[str, tuple[Plain, str, str]]) -> None:
    """The exchange log has what dialects declare, and nothing else of what was sent."""
    kept = set()
    # Written beside the calls: what is kept of the last of them says that it is complete.
    keys = [value for value, (_, _, name) in places.items() if name == "Idempotency-Key"]
    wait_until("the log is written", lambda: keys[-1].lower().encode() in _exchange(edge))
    exchange = _exchange(edge).decode("latin-1")
    for value, (plain, part, name) in places.items():
        if any(form in exchange for form in forms(value)):
            where = (plain.dialect.name, plain.route.path, part, name)
            assert _is_kept(plain, part, name), f"the exchange log holds {where}"
            kept.add((plain.dialect.name, name))
    assert {("retail7", "requestIDExternal"), ("cp", "SaleId"), ("resico", "Idempotency-Key")} <= (
        kept
    ), "the exchange log was not there to be searched"


def _exchange(edge: Edge) -> bytes:
    return b"".join(each.read_bytes() for each in edge.directory.glob("exchange.db*")).lower()


def _strangers(plain: Plain, plant: Planting) -> Iterator[tuple[str, Plain]]:
    value = plant("a member's name")
    part = "query" if plain.body is None else "body"
    yield value, plain.planted(part, value, "x")
    if plain.dialect.name != "iwarehouse":
        for header in (speak.bearer, lambda secret: basic("demo-pos", secret)):
            value = plant("a credential")
            headers = {**plain.headers, **header(value)}
            yield value, replace(plain, headers=headers)


def test_the_cards_code_in_all_fields(watched: Watched) -> None:
    """What is secret in one field is masked in every other one, in whatever spelling."""
    numbers = itertools.count(1)
    planted = []
    for plain in requests():
        codes = [
            (part, name)
            for part, name in plain.places()
            if name.lower() in plain.dialect.code_members and name != "stranger"
        ]
        for part, name in codes:
            for other_part, other in plain.places():
                value = f"77SECRET{next(numbers):05d}"
                planted.append(value)
                spelled = f"{value[:4]}-{value[4:]}".lower()
                both = plain.planted(other_part, other, spelled).planted(part, name, value)
                both.send(watched.edge)
    assert len(planted) > 150
    sinks = watched.sinks()
    sinks.require_none_of(["77SECRET"])
    texts = sinks.read().values()
    for text in (*texts, _exchange(watched.edge).decode("latin-1")):
        assert "77secret" not in re.sub(r"[\W_]+", "", text)
