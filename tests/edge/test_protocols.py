"""gRPC, gRPC-Web and the four legacy APIs, all through one port of Envoy."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from giftcard import v1

from compat_http.envoy import config
from tests.compat.stage import basic
from tests.edge.envoy import BEARER, Edge
from tests.faults import client as c
from tests.faults.client import Client

_DEMO: Final = (("authorization", "Bearer demo-service-token"),)
_LOOKUP: Final = "giftcard.v1.GiftCardService/LookupGiftCard"
_CP: Final = {"Authorization": "Bearer demo-cp-token"}
_RESICO: Final = {"Authorization": "Bearer demo-resico-token"}
_RETAIL7: Final = basic("demo-pos", "demo-pos")


def _buf_curl(edge: Edge, protocol: str, code: str, *headers: str) -> tuple[int, Any]:
    """The exit status of buf curl, and what it printed, which is JSON either way."""
    done = subprocess.run(
        [
            str(Path(sysconfig.get_path("scripts")) / "buf"), "curl",
            "--cacert", str(edge.certificate), "--protocol", protocol,
            "--schema", str(config.ROOT / "generated/giftcard.binpb"),
            *(word for header in headers for word in ("--header", header)),
            "--data", json.dumps({"gift_card": {"code": code}}),
            f"{edge.url}/{_LOOKUP}",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or done.stderr)


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
class TestBufCurl:
    def test_answers(self, edge: Edge, protocol: str) -> None:
        status, said = _buf_curl(
            edge, protocol, "WEB-9198262557214413", "Authorization: Bearer demo-service-token"
        )
        assert status == 0, said
        assert said["giftCard"]["state"] == "ACTIVE"

    def test_is_refused_with_a_reason(self, edge: Edge, protocol: str) -> None:
        status, said = _buf_curl(edge, protocol, "WEB-9198262557214413")
        assert status != 0
        assert said["code"] == "unauthenticated"
        assert [each["type"] for each in said["details"]] == ["google.rpc.ErrorInfo"]


async def test_grpc_over_tls(edge: Edge) -> None:
    async with edge.channel() as channel:
        client = Client([channel])
        request = v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code="12300"))
        said = await client.call("LookupGiftCard", request, metadata=_DEMO)
        assert said.message.gift_card.balance.minor_units == 1000
        said = await client.call("LookupGiftCard", request, metadata=())
        assert (said.code, said.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_a_message_that_is_too_large_is_the_services_to_refuse(edge: Edge) -> None:
    async with edge.channel() as channel:
        reference = v1.GiftCardReference(code="x" * 100_000)
        said = await Client([channel]).call(
            "LookupGiftCard", v1.LookupGiftCardRequest(gift_card=reference), metadata=_DEMO
        )
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE")
    assert said.metadata == {"limit_bytes": "65536"}


async def test_large_metadata_ends_one_call_only(edge: Edge) -> None:
    async with edge.channel() as channel:
        client = Client([channel])
        request = v1.ListGiftCardsRequest()
        large = (*_DEMO, ("x-large", "x" * 20_000))
        assert not (await client.call("ListGiftCards", request, metadata=large)).ok
        assert (await client.call("ListGiftCards", request, metadata=_DEMO)).ok


async def test_a_service_that_is_not_offered(edge: Edge) -> None:
    """Health and reflection of the service are for those behind Envoy."""
    async with edge.channel() as channel:
        for method in ("/grpc.health.v1.Health/Check", "/other.Service/Method"):
            empty: Any = b""
            said = c.said_by(await _error_of(channel.unary_unary(method)(empty, metadata=_DEMO)))
            assert (said.code, said.reason) == ("UNIMPLEMENTED", "UNIMPLEMENTED")


async def _error_of(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


# Browsers


PAGE: Final = {"Origin": "http://localhost:3000"}
ELSEWHERE: Final = {"Origin": "https://elsewhere.example"}
#: Where a browser calls, and how.
CALLS: Final = [("POST", f"/{_LOOKUP}"), ("GET", "/v1/giftCards"), ("POST", "/v1/giftCards:lookup")]


def _preflight(edge: Edge, path: str, page: dict[str, str]) -> Any:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-grpc-web",
    }
    return edge.call("OPTIONS", path, headers={**page, **asked})


@pytest.mark.parametrize(("method", "path"), CALLS)
class TestBrowsers:
    def test_a_page_that_may_call(self, edge: Edge, method: str, path: str) -> None:
        said = _preflight(edge, path, PAGE)
        assert said.status == 200
        assert said.headers["access-control-allow-origin"] == PAGE["Origin"]
        assert "authorization" in said.headers["access-control-allow-headers"]
        web = path.startswith("/giftcard.v1.")
        # An empty message in a frame of its own, or an empty object.
        body = (b"\0\0\0\0\0" if web else b"{}") if method == "POST" else None
        kind = "application/grpc-web+proto" if web else "application/json"
        answer = edge.call(method, path, body, {**BEARER, **PAGE, "Content-Type": kind})
        assert answer.headers["access-control-allow-origin"] == PAGE["Origin"]
        assert "grpc-status" in answer.headers["access-control-expose-headers"]

    def test_a_page_that_may_not(self, edge: Edge, method: str, path: str) -> None:
        said = _preflight(edge, path, ELSEWHERE)
        assert "access-control-allow-origin" not in said.headers
        answer = edge.call(method, path, headers={**BEARER, **ELSEWHERE})
        assert "access-control-allow-origin" not in answer.headers


# The legacy APIs

LEGACY: Final = [
    ("RETAIL7", "POST", "/retail7/giftcards", _RETAIL7,
     {"requestIDExternal": "E1", "timestamp": "2026-02-21T11:30:25.930Z", "trainingFlag": False,
      "operationType": "STATUS", "cardID": "12399", "clientStore": "1001", "clientCountry": "US",
      "clientID": "1001"}, "responseCode"),
    ("CP Extender", "GET", "/Giftcard/12300/BalanceCheck", _CP, None, "GiftCard"),
    ("CP Extender, small letters", "GET", "/giftcard/12300/balancecheck", _CP, None, "GiftCard"),
    ("CP Extender, large letters", "GET", "/GIFTCARD/BALANCECHECK/12300", _CP, None, "GiftCard"),
    ("CP Extender, public", "GET", "/connection/getversion", {}, None, "Version"),
    ("Resico", "GET", "/api/giftcards/v1/cards/12300", _RESICO, None, "idgiftCardNo"),
    ("iWAREHOUSE", "GET",
     "/core/sales/cards/gift/gift_api.asp?log=demo&pwd=demo&card=12300", {}, None, "CardBalance"),
    ("iWAREHOUSE, large letters", "GET",
     "/Core/Sales/Cards/Gift/Gift_API.asp?log=demo&pwd=demo&card=12300", {}, None, "CardBalance"),
    ("documentation", "GET", "/openapi/resico.json", {}, None, "openapi"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "member"),
    [case[1:] for case in LEGACY],
    ids=[case[0] for case in LEGACY],
)
def test_legacy(
    edge: Edge, method: str, path: str, headers: dict[str, str], body: Any, member: str
) -> None:
    """The shim's own answer, byte for byte what it says without Envoy."""
    said = edge.call(method, path, body, headers)
    assert said.status == 200, said.body
    assert member in said.body.decode()


def test_errors_of_the_shim_pass_as_they_are(edge: Edge) -> None:
    said = edge.call("GET", "/giftcard/12300/balancecheck")
    assert said.status == 401
    assert "details" not in said.json


def test_a_large_body_is_the_shims_to_refuse(edge: Edge) -> None:
    said = edge.call("POST", "/retail7/giftcards", b"x" * 200_000, _RETAIL7)
    assert said.status == 413
    assert "responseCode" in said.json
