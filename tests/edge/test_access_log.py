"""What the access log says of each call, and that nothing secret is ever in it."""

import json
import uuid
from typing import Any, Final

import pytest
from giftcard import v1

from tests.compat.stage import basic
from tests.edge.envoy import Edge
from tests.edge.process import wait_until
from tests.faults.client import Client

#: What a caller may put anywhere; no log may have it.
CANARY: Final = "CANARY7C1E90"
_BEARER: Final = {"Authorization": f"Bearer {CANARY}"}
_JSON: Final = {"Content-Type": "application/json"}

#: method, path, headers, body; a secret in every place that a caller can reach
PLANTED: Final[list[tuple[str, str, dict[str, str], Any]]] = [
    ("POST", "/v1/giftCards:lookup", _BEARER, {"giftCard": {"code": CANARY, "pin": CANARY}}),
    ("GET", f"/v1/giftCards/{CANARY}", _BEARER, None),
    ("GET", f"/v1/giftCards?filter={CANARY}&{CANARY}=1", _BEARER, None),
    ("GET", f"/v1/{CANARY}", _BEARER, None),
    ("GET", f"/{CANARY}?{CANARY}", _BEARER, None),
    ("GET", f"/v1/giftCards%2F{CANARY}", _BEARER, None),
    ("POST", "/v1/giftCards:lookup", _JSON, f'{{"giftCard": {CANARY}'.encode()),
    ("POST", f"/giftcard.v1.GiftCardService/Lookup?code={CANARY}",
     {**_BEARER, "Content-Type": "application/grpc"}, b""),
    ("POST", f"/giftcard.v1.GiftCardService/{CANARY}",
     {**_BEARER, "Content-Type": "application/grpc"}, b""),
    ("GET", f"/giftcard/{CANARY}/balancecheck?{CANARY}", _BEARER, None),
    ("GET", f"/Giftcard/BalanceCheck/{CANARY}", _BEARER, None),
    ("GET", f"/Loyalty/{CANARY}/BalanceCheck", _BEARER, None),
    ("POST", "/SSO/Login", _JSON, {"Password": CANARY}),
    ("GET", f"/api/giftcards/v1/cards/{CANARY}", _BEARER, None),
    ("POST", f"/api/giftcards/v1/transactions/{CANARY}/cards/{CANARY}", _BEARER, {}),
    ("GET", f"/core/sales/cards/gift/gift_api.asp?log={CANARY}&pwd={CANARY}&card={CANARY}", {},
     None),
    ("POST", f"/retail7/giftcards?{CANARY}", basic(CANARY, CANARY), {"cardID": CANARY}),
    ("GET", "/v1/giftCards", {"Cookie": CANARY, "User-Agent": CANARY, "Referer": CANARY,
     "X-Forwarded-For": CANARY, "X-Request-Id": CANARY, "Traceparent": CANARY,
     "giftcard-book": CANARY, "Origin": CANARY, "Host": CANARY}, None),
]  # fmt: skip


async def test_no_secret_is_ever_written(edge: Edge) -> None:
    ids = []
    for method, path, headers, body in PLANTED:
        said = edge.call(method, path, body, headers)
        ids.append(said.headers.get("x-request-id"))
    async with edge.channel() as channel:
        said_by_grpc = await Client([channel]).call(
            "LookupGiftCard",
            v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=CANARY, pin=CANARY)),
            metadata=(("authorization", f"Bearer {CANARY}"), ("x-request-id", CANARY)),
        )
    assert not said_by_grpc.ok
    # What is refused before it has an id is written too; the rest is found by it.
    assert len([each for each in ids if each]) >= len(PLANTED) - 1
    _wait_for(edge, *(each for each in ids if each))
    for log in ("access", "envoy", "service", "edge"):
        assert CANARY not in edge.log(log), f"{log}.log has what was planted"


def _wait_for(edge: Edge, *request_ids: str) -> None:
    wait_until(
        "all calls are written", lambda: all(each in edge.log("access") for each in request_ids)
    )


def _line(edge: Edge, request_id: str) -> dict[str, Any]:
    _wait_for(edge, request_id)
    lines = [json.loads(line) for line in edge.log("access").splitlines()]
    (line,) = (each for each in lines if each["request_id"] == request_id)
    found: dict[str, Any] = line
    return found


LINES: Final = [
    ("POST", "/v1/giftCards:lookup", 401, "look-up by code",
     "/giftcard.v1.GiftCardService/LookupGiftCard"),
    ("GET", "/v1/programs?pageSize=1", 401, "read", "/giftcard.v1.ProgramService/ListPrograms"),
    ("GET", "/v1/merchants", 401, "administration", "/giftcard.v1.AdminService/ListMerchants"),
    ("POST", "/v1/giftCards:redeem", 401, "move", "/giftcard.v1.GiftCardService/RedeemGiftCard"),
    ("GET", "/v1/nothing", 404, "REST", None),
    ("GET", "/nothing", 404, "nothing", None),
    ("GET", "/giftcard/12399/balancecheck", 401, "CP Extender look-up", None),
    ("POST", "/GIFTCARD/CREATE", 401, "CP Extender", None),
    ("POST", "/retail7/giftcards", 401, "RETAIL7", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status", "route", "name"), LINES)
def test_a_line_says_what_was_called(
    edge: Edge, method: str, path: str, status: int, route: str, name: str | None
) -> None:
    said = edge.call(method, path, {} if method == "POST" else None)
    line = _line(edge, said.headers["x-request-id"])
    assert (line["status"], line["route"], line.get("method")) == (status, route, name)
    assert line["peer"] == "127.0.0.1"
    assert line["milliseconds"] >= 0


def test_no_line_has_a_grpc_status(edge: Edge) -> None:
    """Pitfall: Envoy's is wrong for JSON that failed and for gRPC-Web that did not."""
    said = edge.call("GET", f"/v1/giftCards/{uuid.uuid4().hex}")
    assert not [name for name in _line(edge, said.headers["x-request-id"]) if "grpc" in name]
