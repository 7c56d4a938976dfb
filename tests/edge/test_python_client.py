"""The Python client through Envoy, over TLS."""

import sys
from typing import Final

import pytest
from giftcard.v1 import GiftCardReference, ListGiftCardsRequest, RedeemGiftCardRequest
from giftcard_client import GiftcardClient, Tls, reasons

from tests.client.till import BRIEF, LONG, usd
from tests.edge.envoy import Edge
from tests.sdk.test_python import PRINTED, PROGRAM, ROOT, run

TOKEN: Final = "demo-service-token"


def test_the_quick_start(edge: Edge) -> None:
    printed = run(
        sys.executable,
        PROGRAM,
        GIFTCARD_SERVER=f"127.0.0.1:{edge.port}",
        GIFTCARD_TOKEN=TOKEN,
        GIFTCARD_CA_FILE=str(edge.certificate),
        PYTHONPATH=str(ROOT / "generated"),
    )
    assert printed == PRINTED


async def test_a_refusal_is_a_class_here_too(edge: Edge) -> None:
    async with GiftcardClient(
        f"127.0.0.1:{edge.port}", token=TOKEN, tls=Tls(ca_file=edge.certificate), retry=LONG
    ) as till:
        with pytest.raises(reasons.InsufficientFunds) as refused:
            await till.gift_cards.RedeemGiftCard(
                RedeemGiftCardRequest(gift_card=GiftCardReference(code="12399"), amount=usd(10**9))
            )
    assert refused.value.available_minor_units is not None


async def test_an_edge_that_nobody_vouches_for(edge: Edge) -> None:
    """Without the authority's certificate there is no connection: nothing was sent, no token."""
    async with GiftcardClient(
        f"127.0.0.1:{edge.port}", token=TOKEN, tls=Tls(), retry=BRIEF
    ) as till:
        with pytest.raises(reasons.Unavailable, match=r"(?i)certificate"):
            await till.gift_cards.ListGiftCards(ListGiftCardsRequest())
