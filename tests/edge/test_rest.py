"""REST through Envoy: what the transcoder makes of every RPC, and what errors look like."""

from tests.edge.envoy import BEARER, Edge


def test_a_card_by_its_code(edge: Edge) -> None:
    said = edge.call("POST", "/v1/giftCards:lookup", {"giftCard": {"code": "GCQ22X9HE1"}}, BEARER)
    assert said.status == 200
    assert said.json["giftCard"]["balance"] == {"minorUnits": "10000", "currencyCode": "USD"}
