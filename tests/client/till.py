"""What the tests of the client ask for, in few words."""

from typing import Final

from giftcard.v1 import (
    GetGiftCardRequest,
    GiftCardReference,
    IssueGiftCardRequest,
    LookupTransactionRequest,
    LookupTransactionResponse,
    Money,
    RedeemGiftCardRequest,
)
from giftcard_client import GiftcardClient, RetryPolicy

from tests.grpc_server import PROGRAM, TOKEN

INITIAL: Final = 100_000
#: Long enough for a machine that is busy with other things.
LONG: Final = RetryPolicy(patience_seconds=60, try_seconds=10)
#: For who waits in vain.
BRIEF: Final = RetryPolicy(patience_seconds=0.7, try_seconds=0.3)


def client(address: str, policy: RetryPolicy = LONG) -> GiftcardClient:
    return GiftcardClient(address, token=TOKEN, retry=policy)


def usd(minor_units: int) -> Money:
    return Money(minor_units=minor_units, currency_code="USD")


def redeem(card: str, minor_units: int = 1, request_id: str = "") -> RedeemGiftCardRequest:
    return RedeemGiftCardRequest(
        gift_card=GiftCardReference(name=card), amount=usd(minor_units), request_id=request_id
    )


async def issue(to: GiftcardClient) -> str:
    answer = await to.gift_cards.IssueGiftCard(
        IssueGiftCardRequest(program=PROGRAM, amount=usd(INITIAL))
    )
    return answer.gift_card.name


async def balance(at: GiftcardClient, card: str) -> int:
    found = await at.gift_cards.GetGiftCard(GetGiftCardRequest(name=card))
    return found.balance.minor_units


async def state(at: GiftcardClient, request_id: str) -> str:
    found = await at.gift_cards.LookupTransaction(LookupTransactionRequest(request_id=request_id))
    return LookupTransactionResponse.State.Name(found.state)
