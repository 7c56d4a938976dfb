"""How much may be asked: JSON and gRPC share a bucket, callers do not."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
import pytest
from giftcard import v1

from tests.compat.stage import Said
from tests.edge.envoy import BEARER, Edge
from tests.faults.client import Client

_TOKENS: Final = 6
#: The buckets of one caller's look-ups hold six and are not filled again while this runs.
_SMALL: Final = {
    "{max_tokens: 100, tokens_per_fill: 20, fill_interval: 1s}": (
        f"{{max_tokens: {_TOKENS}, tokens_per_fill: 1, fill_interval: 36000s}}"
    )
}
_DEMO: Final = (("authorization", "Bearer demo-service-token"),)
_CODE: Final = "12399"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    directory: Path = tmp_path_factory.mktemp("small")
    with Edge(directory, changes=_SMALL) as edge:
        edge.start()
        yield edge


def _from(edge: Edge, address: str, method: str, path: str, body: object = None) -> Said:
    """A call by another caller of this machine."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", edge.port, timeout=60, context=edge.tls, source_address=(address, 0)
    )
    try:
        headers = {**BEARER, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else orjson.dumps(body), headers)
        answer = connection.getresponse()
        named = {name.lower(): text for name, text in answer.getheaders()}
        return Said(answer.status, named, answer.read())
    finally:
        connection.close()


async def test_json_and_grpc_share_one_bucket(small: Edge) -> None:
    """Pitfall: a limit before the transcoder would count JSON in another bucket, or in none."""
    by_json = [_look_up(small).status for _ in range(_TOKENS - 2)]
    assert by_json == [200] * (_TOKENS - 2)
    async with small.channel() as channel:
        client = Client([channel])
        request = v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=_CODE))
        by_grpc = [await client.call("LookupGiftCard", request, metadata=_DEMO) for _ in range(3)]
        assert [each.code for each in by_grpc] == ["OK", "OK", "RESOURCE_EXHAUSTED"]
        assert by_grpc[-1].reason == "OVERLOADED"
        assert by_grpc[-1].retry_seconds == 1
        said = _look_up(small)
        assert said.status == 429
        info, retry = said.json["details"]
        assert (info["reason"], info["domain"]) == ("OVERLOADED", "giftcard.v1")
        assert retry["retryDelay"] == "1s"
        # Other methods have other buckets, and other callers have their own.
        assert (await client.call("ListGiftCards", v1.ListGiftCardsRequest(), metadata=_DEMO)).ok
    body = {"giftCard": {"code": _CODE}}
    assert _from(small, "127.0.0.2", "POST", "/v1/giftCards:lookup", body).status == 200


LEGACY: Final = [
    ("/giftcard/12300/balancecheck", "127.0.1.1"),
    ("/api/giftcards/v1/cards/12300", "127.0.1.2"),
    ("/core/sales/cards/gift/gift_api.asp?log=demo&pwd=demo&card=12300", "127.0.1.3"),
]


@pytest.mark.parametrize(("path", "caller"), LEGACY)
def test_legacy_look_ups_are_counted_too(small: Edge, path: str, caller: str) -> None:
    """Wrong credentials count as well: who guesses has none at first."""
    said = [_from(small, caller, "GET", path) for _ in range(_TOKENS + 1)]
    assert 429 not in [each.status for each in said[:-1]]
    assert said[-1].status == 429
    assert said[-1].json["details"][0]["reason"] == "OVERLOADED"


def _look_up(edge: Edge) -> Said:
    return edge.call("POST", "/v1/giftCards:lookup", {"giftCard": {"code": _CODE}}, BEARER)
