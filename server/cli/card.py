"""Commands that look at cards; those that change them are in `till`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli import codes, till
from server.cli.options import (
    AskPin,
    Card,
    Json,
    Merchant,
    Plaintext,
    ServerAddress,
    teach,
)
from server.cli.output import as_json, facts, print_json, say, table

if TYPE_CHECKING:
    from giftcard import v1

    from server.cli.connect import Link

app = typer.Typer(no_args_is_help=True, help="Look at cards, and do with them what a till does.")
till.add_to(app)
codes.add_to(app)

Count = Annotated[
    int, typer.Option("--last", min=1, max=1000, help="How many transactions to show.")
]


@app.command(
    "show",
    help=teach(
        "Show a card: balance, state, tranches, open holds and its last transactions.",
        "giftcard card show 12399",
        "giftcard card show - --ask-pin",
    ),
)
def show_card(
    card: Card,
    last: Count = 10,
    ask_pin: AskPin = False,
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, require_merchant

    require_merchant(server, merchant)
    reference = till.card_reference(card, ask_pin)
    with connect(server, merchant, plaintext=plaintext) as link:
        found = link.ask(
            link.cards.LookupGiftCard, v1.LookupGiftCardRequest(gift_card=reference)
        ).gift_card
        holds = link.ask(
            link.cards.ListHolds, v1.ListHoldsRequest(gift_card=found.name, state=v1.Hold.OPEN)
        ).holds
        history = _history(link, found.name, last)
    if json:
        print_json({
            "giftCard": as_json(found),
            "holds": [as_json(hold) for hold in holds],
            "transactions": [as_json(each) for each in history],
        })  # fmt: skip
        return
    facts(_facts(found))
    show_tranches(found)
    show_holds(holds)
    typer.echo()
    show_history(history, found.name)


@app.command(
    "history",
    help=teach("List a card's transactions, newest first.", "giftcard card history 12399"),
)
def history(
    card: Card,
    last: Count = 50,
    ask_pin: AskPin = False,
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, require_merchant

    require_merchant(server, merchant)
    reference = till.card_reference(card, ask_pin)
    with connect(server, merchant, plaintext=plaintext) as link:
        name = reference.name
        if not name:
            request = v1.LookupGiftCardRequest(gift_card=reference)
            name = link.ask(link.cards.LookupGiftCard, request).gift_card.name
        found = _history(link, name, last)
    if json:
        print_json({"transactions": [as_json(each) for each in found]})
    else:
        show_history(found, name)


@app.command(
    "lookup",
    help=teach(
        "Say what became of a request whose answer was lost.\n\n"
        "With --seal, a request that never arrived is shut out for good, so that the answer is"
        " final.",
        "giftcard card lookup 0f1c2d3e-... --seal",
    ),
)
def lookup(
    lost_request_id: Annotated[
        str, typer.Argument(metavar="REQUEST_ID", help="Its request id.", show_default=False)
    ],
    seal: Annotated[
        bool, typer.Option("--seal", help="Make NOT_SEEN final.", show_default=False)
    ] = False,
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.connect import connect, require_merchant

    require_merchant(server, merchant)
    with connect(server, merchant, plaintext=plaintext) as link:
        answer = link.ask(
            link.cards.LookupTransaction,
            v1.LookupTransactionRequest(request_id=lost_request_id, seal=seal),
        )
    if json:
        print_json(as_json(answer))
        return
    facts({
        "state": v1.LookupTransactionResponse.State.Name(answer.state),
        "approved": text.money(answer.transaction.approved_amount),
        "transaction": answer.transaction.name,
        "reversed by": answer.transaction.reversal_transaction,
        "refused": answer.transaction.refusal_reason,
        "request id": lost_request_id,
    })  # fmt: skip


def _history(link: "Link", name: str, last: int) -> list["v1.Transaction"]:
    from giftcard import v1

    request = v1.ListTransactionsRequest(gift_card=name, page_size=last)
    return list(link.ask(link.cards.ListTransactions, request).transactions)


def _facts(card: "v1.GiftCard") -> dict[str, str]:
    from giftcard import v1

    from server.cli import text

    state = v1.GiftCard.State.Name(card.state) + (", expired" if card.expired else "")
    return {
        "card": card.name,
        "last four": card.code_last_four,
        "state": state,
        "program": text.plain(card.program),
        "balance": text.money(card.balance),
        "held": text.money(card.held) if card.held.minor_units else "",
        "available": text.money(card.available),
        "valid from": text.day(card.valid_from),
        "valid until": text.day(card.valid_until),
        "issued": text.moment(card.issue_time),
        "created": text.moment(card.create_time),
        "customer": card.customer,
        "reference": card.external_reference,
    }


def show_tranches(card: "v1.GiftCard | v1.Customer") -> None:
    """A plain card has one, which says nothing that the balance does not."""
    from giftcard import v1

    from server.cli import text

    if len(card.tranches) < 2 and not any(each.HasField("expire_time") for each in card.tranches):
        return
    typer.echo()
    table(
        ("tranche", "balance", "held", "expires"),
        [
            (
                v1.Tranche.Origin.Name(each.origin), text.money(each.balance),
                text.money(each.held), text.moment(each.expire_time),
            )
            for each in card.tranches
        ],
    )  # fmt: skip


def show_holds(holds: Any) -> None:
    from server.cli import text

    if not holds:
        return
    typer.echo()
    table(
        ("open hold", "remaining", "expires", "sale"),
        [
            (
                hold.name, text.money(hold.remaining_amount), text.moment(hold.expire_time),
                hold.sale_reference,
            )
            for hold in holds
        ],
    )  # fmt: skip


def show_history(found: list["v1.Transaction"], name: str) -> None:
    """`name` is that of the card or the customer whose history it is."""
    from giftcard import v1

    from server.cli import text

    rows = []
    for each in found:
        entry = next(
            (entry for entry in each.entries if name in (entry.gift_card, entry.customer)), None
        )
        rows.append((
            text.moment(each.decide_time),
            v1.Transaction.Kind.Name(each.kind),
            each.refusal_reason or v1.Transaction.State.Name(each.state),
            text.signed(entry.amount) if entry is not None else "",
            text.money(entry.balance_after) if entry is not None else "",
            text.plain(each.context.location),
            each.name,
        ))  # fmt: skip
    headers = ("time", "kind", "outcome", "amount", "balance", "location", "transaction")
    if rows:
        table(headers, rows)
    else:
        say("There are no transactions.")
