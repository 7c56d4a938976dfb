"""Sells a card, spends from it, holds, captures, takes back, and reads the history."""

import asyncio
import os
import uuid

from giftcard.v1 import (
    AuthorizeGiftCardRequest,
    CaptureHoldRequest,
    GiftCardReference,
    IssueGiftCardRequest,
    ListTransactionsRequest,
    Money,
    RedeemGiftCardRequest,
    ReverseTransactionRequest,
    Transaction,
)
from giftcard_client import GiftcardClient, InsufficientFunds, Tls


def usd(minor_units: int) -> Money:
    return Money(minor_units=minor_units, currency_code="USD")


def shown(money: Money) -> str:
    return f"{money.minor_units} {money.currency_code}"


async def main() -> None:
    ca_file = os.environ.get("GIFTCARD_CA_FILE")
    async with GiftcardClient(
        os.environ["GIFTCARD_SERVER"],
        token=os.environ["GIFTCARD_TOKEN"],
        tls=Tls(ca_file=ca_file) if ca_file else None,
    ) as client:
        await sell_and_spend(client)


async def sell_and_spend(client: GiftcardClient) -> None:
    issued = await client.gift_cards.IssueGiftCard(
        IssueGiftCardRequest(program="programs/GC", amount=usd(5000))
    )
    card = GiftCardReference(name=issued.gift_card.name)
    print(f"issued {shown(issued.gift_card.balance)}")

    # The request id is this sale's, for ever: whatever gets lost, the money moves once.
    sale = RedeemGiftCardRequest(gift_card=card, amount=usd(1250), request_id=str(uuid.uuid4()))
    redeemed = await client.gift_cards.RedeemGiftCard(sale)
    print(f"redeemed {shown(redeemed.approved_amount)}")
    again = await client.gift_cards.RedeemGiftCard(sale)
    print(f"sent again, replayed {again.replayed}, balance {shown(again.gift_card.balance)}")

    try:
        await client.gift_cards.RedeemGiftCard(
            RedeemGiftCardRequest(gift_card=card, amount=usd(9900))
        )
    except InsufficientFunds as refused:
        print(f"refused {refused.reason}, available {refused.available_minor_units}")

    held = await client.gift_cards.AuthorizeGiftCard(
        AuthorizeGiftCardRequest(gift_card=card, amount=usd(2000))
    )
    print(f"held {shown(held.approved_amount)}")
    captured = await client.gift_cards.CaptureHold(
        CaptureHoldRequest(name=held.hold.name, amount=usd(1500), final=True)
    )
    print(f"captured {shown(captured.captured_amount)}")

    reversed_sale = await client.gift_cards.ReverseTransaction(
        ReverseTransactionRequest(original_request_id=sale.request_id)
    )
    print(f"reversed, balance {shown(reversed_sale.gift_cards[0].balance)}")

    history = await client.gift_cards.ListTransactions(ListTransactionsRequest(gift_card=card.name))
    kinds = (Transaction.Kind.Name(each.kind) for each in history.transactions)
    print(f"history {' '.join(kinds)}")


if __name__ == "__main__":
    asyncio.run(main())
