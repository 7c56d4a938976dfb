"""REST through Envoy: every RPC has its path, and answers and errors feel native."""

import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from compat_http.envoy import config
from tests.compat.stage import Said
from tests.edge.envoy import BEARER, Edge

_CODE: Final = "12399"
_LOOKUP: Final = "/v1/giftCards:lookup"
#: The option (google.api.http); the package says nothing of its type.
_HTTP: Any = annotations_pb2.http
_TYPE: Final = "type.googleapis.com/google.rpc."


def _bindings() -> Iterator[tuple[str, str, str]]:
    """Method, HTTP method and path of every binding in the contract."""
    image = FileDescriptorSet.FromString((config.ROOT / "generated/giftcard.binpb").read_bytes())
    for file in image.file:
        for service in file.service:
            for method in service.method:
                rule: Any = method.options.Extensions[_HTTP]
                for each in (rule, *rule.additional_bindings):
                    verb = each.WhichOneof("pattern")
                    assert verb, f"{method.name} has no path"
                    name = f"{file.package}.{service.name}/{method.name}"
                    yield name, verb.upper(), getattr(each, verb)


def _filled(path: str) -> str:
    """A path with a name where a template stands: {hold.name=holds/*} becomes holds/x."""
    filled = ""
    for part in path.split("{"):
        variable, closed, rest = part.partition("}")
        filled += variable.rpartition("=")[2].replace("*", "x") + rest if closed else part
    return filled


def _reason(said: Said) -> str:
    """The reason of an error, whose body must be whole."""
    assert said.headers["content-type"] == "application/json"
    body = said.json
    assert set(body) == {"code", "message", "details"}
    assert body["message"]
    (info,) = (each for each in body["details"] if each["@type"] == _TYPE + "ErrorInfo")
    assert info["domain"] == "giftcard.v1"
    reason: str = info["reason"]
    return reason


@pytest.mark.parametrize(("name", "verb", "path"), [*_bindings()], ids=[b[0] for b in _bindings()])
def test_every_method_is_reached_by_its_path(edge: Edge, name: str, verb: str, path: str) -> None:
    """Without a credential each says so; what no method has is answered by Envoy, with 404."""
    body: Any = {} if verb in ("POST", "PATCH") else None
    said = edge.call(verb, _filled(path), body)
    assert (said.status, _reason(said)) == (401, "UNAUTHENTICATED"), name
    assert said.json["code"] == 16


def _redeem(minor_units: str, request_id: str = "") -> dict[str, Any]:
    return {
        "giftCard": {"code": _CODE},
        "amount": {"minorUnits": minor_units, "currencyCode": "USD"},
        "requestId": request_id or uuid.uuid4().hex,
    }


def test_a_card_by_its_code(edge: Edge) -> None:
    """Amounts are strings, since JSON's numbers are not exact; names are in camel case."""
    said = edge.call("POST", _LOOKUP, {"giftCard": {"code": "DYN0000001"}}, BEARER)
    assert said.status == 200
    card = said.json["giftCard"]
    assert card["balance"] == {"minorUnits": "5000", "currencyCode": "USD"}
    assert card["held"] == {"minorUnits": "0", "currencyCode": "USD"}, "0 is said, not left out"
    assert card["state"] == "ACTIVE"
    assert card["createTime"].endswith("Z")


def test_a_redemption_and_its_repetition(edge: Edge) -> None:
    request = _redeem("100")
    first, again = (edge.call("POST", "/v1/giftCards:redeem", request, BEARER) for _ in range(2))
    assert (first.status, again.status) == (200, 200)
    assert (first.json["replayed"], again.json["replayed"]) == (False, True)
    assert first.json["transaction"] == again.json["transaction"]


def test_numbers_and_the_names_of_the_contract_are_taken_too(edge: Edge) -> None:
    """As protobuf's JSON says: an int64 may be a number, a member may be in snake case."""
    request = {
        "gift_card": {"code": _CODE},
        "amount": {"minor_units": 100, "currency_code": "USD"},
        "request_id": uuid.uuid4().hex,
    }
    assert edge.call("POST", "/v1/giftCards:redeem", request, BEARER).status == 200


def test_lists_and_names_in_paths(edge: Edge) -> None:
    page = edge.call("GET", "/v1/giftCards?pageSize=2", headers=BEARER).json
    assert len(page["giftCards"]) == 2
    card = page["giftCards"][0]
    found = edge.call("GET", f"/v1/{card['name']}", headers=BEARER)
    assert found.json["name"] == card["name"]
    following = f"/v1/giftCards?page_size=2&page_token={page['nextPageToken']}"
    assert edge.call("GET", following, headers=BEARER).json["giftCards"][0] != card


def test_an_update_by_patch(edge: Edge) -> None:
    said = edge.call("POST", _LOOKUP, {"giftCard": {"code": _CODE}}, BEARER)
    name = said.json["giftCard"]["name"]
    request = {
        "giftCard": {"externalReference": "shelf 7"},
        "updateMask": "externalReference",
        "requestId": uuid.uuid4().hex,
    }
    said = edge.call("PATCH", f"/v1/{name}", request, BEARER)
    assert said.status == 200, said.body
    assert said.json["giftCard"]["externalReference"] == "shelf 7"


def test_a_certificate_comes_whole(edge: Edge) -> None:
    """The largest answer: a picture in base 64."""
    request = {"giftCard": {"code": _CODE}, "format": "PNG"}
    said = edge.call("POST", "/v1/giftCards:renderCertificate", request, BEARER)
    assert said.status == 200, said.body[:500]
    assert len(said.body) > 10_000


def test_the_training_book_by_a_header(edge: Edge) -> None:
    """Headers are metadata."""
    said = edge.call(
        "POST", _LOOKUP, {"giftCard": {"code": _CODE}}, {**BEARER, "giftcard-book": "training"}
    )
    assert (said.status, _reason(said)) == (404, "GIFT_CARD_NOT_FOUND")


REFUSED: Final = [
    # what, method, path, body, status, reason
    ("unknown path", "GET", "/v1/nothing", None, 404, "UNIMPLEMENTED"),
    ("root", "GET", "/", None, 404, "UNIMPLEMENTED"),
    ("wrong method", "DELETE", "/v1/giftCards", None, 404, "UNIMPLEMENTED"),
    ("JSON at a gRPC path", "POST", "/giftcard.v1.GiftCardService/GetGiftCard", {}, 404,
     "UNIMPLEMENTED"),
    ("a service that is not ours", "POST", "/grpc.health.v1.Health/Check", {}, 404,
     "UNIMPLEMENTED"),
    ("unknown query parameter", "GET", "/v1/giftCards?nope=1", None, 400, "INVALID_FIELD"),
    ("malformed JSON", "POST", _LOOKUP, b'{"giftCard": {"code": PLANTED', 400, "INVALID_FIELD"),
    ("a wrong type", "POST", _LOOKUP, {"giftCard": "PLANTED"}, 400, "INVALID_FIELD"),
    ("an amount with decimals", "POST", "/v1/giftCards:redeem", _redeem("1.5"), 400,
     "INVALID_FIELD"),
    ("a slash in disguise", "GET", "/v1/giftCards%2FPLANTED", None, 400, "INVALID_FIELD"),
    ("no card", "POST", _LOOKUP, {}, 400, "INVALID_FIELD"),
    ("unknown card", "POST", _LOOKUP, {"giftCard": {"code": "NOSUCHCARD"}}, 404,
     "GIFT_CARD_NOT_FOUND"),
    ("too little on it", "POST", "/v1/giftCards:redeem", _redeem("999999"), 400,
     "INSUFFICIENT_FUNDS"),
    ("a large body", "POST", _LOOKUP, {"giftCard": {"code": "PLANTED" * 10_000}}, 413,
     "REQUEST_TOO_LARGE"),
    ("a very large body", "POST", _LOOKUP, b" " * 3_000_000, 413, "REQUEST_TOO_LARGE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "reason"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_refused(edge: Edge, verb: str, path: str, body: Any, status: int, reason: str) -> None:
    said = edge.call(verb, path, body, {**BEARER, "Content-Type": "application/json"})
    assert (said.status, _reason(said)) == (status, reason)
    assert b"PLANTED" not in said.body, "an error repeats what was sent"


def test_large_headers(edge: Edge) -> None:
    said = edge.call("POST", _LOOKUP, {}, {**BEARER, "X-Large": "x" * 20_000})
    assert (said.status, _reason(said)) == (431, "REQUEST_TOO_LARGE")


def test_many_headers(edge: Edge) -> None:
    many = {f"X-{number}": "x" for number in range(100)}
    said = edge.call("POST", _LOOKUP, {}, {**BEARER, **many})
    assert (said.status, _reason(said)) == (431, "REQUEST_TOO_LARGE")


def test_unknown_members_are_ignored(edge: Edge) -> None:
    """Pitfall: Envoy cannot refuse those, only unknown query parameters.  docs/edge.md says so."""
    said = edge.call("POST", _LOOKUP, {"giftCard": {"code": _CODE}, "nope": 1}, BEARER)
    assert said.status == 200


def test_a_header_with_an_underscore_never_arrives(edge: Edge) -> None:
    """Some servers would take it for the one with a hyphen."""
    said = edge.call(
        "POST", _LOOKUP, {"giftCard": {"code": _CODE}}, {**BEARER, "giftcard_book": "nonsense"}
    )
    assert said.status == 200


def test_the_request_id_is_envoys_and_is_told(edge: Edge) -> None:
    said = edge.call("GET", "/v1/giftCards", headers={**BEARER, "x-request-id": "chosen"})
    assert str(uuid.UUID(said.headers["x-request-id"])) == said.headers["x-request-id"]
