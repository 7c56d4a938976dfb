"""A secret in every field of every request of every dialect: it is in no log, file or error.

Once in one field at a time, once as the card's code in all of them together.  What a dialect
declares and is no secret of it (a receipt, a request id) is kept on purpose, in the exchange log
alone: two vendors tell integrators to compare logs.
"""

import base64
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from compat_http.app import BUILDERS
from compat_http.dialect import Dialect, Route
from compat_http.settings import Settings
from compat_http.strict_json import write
from tests.compat import speak
from tests.compat.stage import Said, ShimServer, basic, call
from tests.grpc_server import GrpcServer

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

    def send(self, address: str) -> Said:
        target = re.sub(
            r"\{([a-z_]+)\}", lambda match: quote(self.path[match[1]], safe=""), self.route.path
        )
        if self.query:
            target += "?" + urlencode(self.query)
        body = None if self.body is None else write(dict(self.body))
        return call(address, self.route.method, target, body, self.headers)

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


def _contents(directory: Path, pattern: str) -> bytes:
    found = b"".join(each.read_bytes() for each in directory.rglob(pattern) if each.is_file())
    return found.lower()


def _forms(value: str) -> tuple[bytes, ...]:
    plain = value.encode()
    encoded = base64.b64encode(plain).rstrip(b"=")
    return plain.lower(), encoded.lower(), plain.hex().encode()


@pytest.fixture
def shim(worn_server: GrpcServer, tmp_path: Path) -> Iterator[ShimServer]:
    with ShimServer(worn_server.address, tmp_path) as shim:
        shim.start()
        yield shim


def test_in_one_field_at_a_time(worn_server: GrpcServer, shim: ShimServer, tmp_path: Path) -> None:
    numbers = itertools.count(1)
    planted: dict[str, tuple[Plain, str, str]] = {}
    for plain in requests():
        for part, name in plain.places():
            value = f"planted{next(numbers):04d}Secret"
            planted[value] = (plain, part, name)
            said = plain.planted(part, name, value).send(shim.address)
            if said.status >= 400 and name not in ECHOED.get(plain.dialect.name, ()):
                assert value.lower().encode() not in said.body.lower(), (plain.route.path, name)
        # A name of a member, and the credential, are fields too.
        for value, strange in _strangers(plain, numbers):
            planted[value] = (plain, "name", value)
            said = strange.send(shim.address)
            assert value.lower().encode() not in said.body.lower()
    assert shim.stop() == 0
    exchange, logs = _contents(tmp_path, "exchange.db*"), _contents(tmp_path, "*.log")
    logs += worn_server.log.lower().encode()
    kept = set()
    for value, (plain, part, name) in planted.items():
        where = (plain.dialect.name, plain.route.path, part, name)
        for form in _forms(value):
            assert form not in logs, f"a log holds {where}"
            if form in exchange:
                assert _is_kept(plain, part, name), f"the exchange log holds {where}"
                kept.add((plain.dialect.name, name))
    assert len(planted) > 150
    assert {("retail7", "requestIDExternal"), ("cp", "SaleId"), ("resico", "Idempotency-Key")} <= (
        kept
    ), "the exchange log was not there to be searched"


def _strangers(plain: Plain, numbers: Iterator[int]) -> Iterator[tuple[str, Plain]]:
    value = f"planted{next(numbers):04d}Secret"
    part = "query" if plain.body is None else "body"
    yield value, plain.planted(part, value, "x")
    if plain.dialect.name != "iwarehouse":
        for header in (speak.bearer, lambda secret: basic("demo-pos", secret)):
            value = f"planted{next(numbers):04d}Secret"
            headers = {**plain.headers, **header(value)}
            yield value, replace(plain, headers=headers)


def test_the_cards_code_in_all_fields(
    worn_server: GrpcServer, shim: ShimServer, tmp_path: Path
) -> None:
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
                both.send(shim.address)
    assert shim.stop() == 0
    assert len(planted) > 150
    everything = _contents(tmp_path, "*") + worn_server.log.lower().encode()
    plain_text = re.sub(rb"[\W_]+", b"", everything)
    for value in planted:
        for form in _forms(value):
            assert form not in everything, value
        assert value.lower().encode() not in plain_text, value
