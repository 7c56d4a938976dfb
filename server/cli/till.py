"""Commands that change cards: what a till does, for trying things out and for putting right.

Each prints the card, what was approved, the transaction and the request id, by which the same
request can be asked again.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.options import (
    Amount,
    AskPin,
    Card,
    Currency,
    Json,
    Location,
    Merchant,
    Plaintext,
    Reason,
    Receipt,
    RequestId,
    ServerAddress,
    teach,
)
from server.cli.output import REPLAYED, UNUSABLE, CommandError, as_json, facts, print_json

if TYPE_CHECKING:
    from giftcard import v1

Partial = Annotated[
    bool,
    typer.Option("--partial", help="Approve less where there is less.", show_default=False),
]
Hold = Annotated[str, typer.Argument(metavar="HOLD", help="Name, holds/... .", show_default=False)]
Until = Annotated[
    str,
    typer.Option(
        "--valid-until", metavar="DATE", help="Last day, as 2027-12-31.", show_default=False
    ),
]


def add_to(app: typer.Typer) -> None:
    for command, summary, *examples in (
        (issue, "Sell a new card: create it and give it value.",
         "giftcard card issue GC 50.00 --show-code",
         "giftcard card issue GC 50.00 --customer 2059378440 --points 5000",
         "giftcard card issue GC 50.00 --code - --location 1001"),
        (activate, "Sell a card that is known but has no value yet.",
         "giftcard card activate 1234567 5.00 --valid-until 2028-02-20"),
        (load, "Add value to a card.",
         "giftcard card load 12300 5.00"),
        (redeem, "Take value from a card.",
         "giftcard card redeem 12399 5.00",
         "giftcard card redeem - 100.00 --partial"),
        (hold, "Keep value back for a sale; capture or void it later.",
         "giftcard card hold 12399 5.00 --sale order-17",
         "giftcard card hold 12399 --all"),
        (capture, "Take what a hold keeps back: all of it, or a part.",
         "giftcard card capture holds/019a...",
         "giftcard card capture holds/019a... 3.00 --final"),
        (void, "End a hold without taking anything.",
         "giftcard card void holds/019a..."),
        (reverse, "Undo a transaction. A request id that never arrived is shut out for good.",
         "giftcard card reverse transactions/019a...",
         "giftcard card reverse 0f1c2d3e-..."),
    ):  # fmt: skip
        app.command(command.__name__, help=teach(summary, *examples))(command)


def card_reference(card: str, ask_pin: bool) -> "v1.GiftCardReference":
    """The card meant: by name, by code, or by a code that is asked for."""
    from giftcard import v1

    from server.cli.ask import ask_secret

    reference = v1.GiftCardReference()
    if card.startswith("giftCards/"):
        reference.name = card
    else:
        reference.code = ask_secret("Code") if card == "-" else card
    if ask_pin:
        reference.pin = ask_secret("PIN")
    return reference


def issue(
    program: Annotated[
        str, typer.Argument(metavar="PROGRAM", help="The program's id.", show_default=False)
    ],
    amount: Amount,
    code: Annotated[
        str,
        typer.Option(
            "--code",
            metavar="CODE",
            help="The code to use, - asks for it. Default: the server makes one.",
            show_default=False,
        ),
    ] = "",
    show_code: Annotated[
        bool,
        typer.Option("--show-code", help="Print the code: who has it can spend the card."),
    ] = False,
    reserved: Annotated[
        bool,
        typer.Option("--reserved", help="The code must be reserved.", show_default=False),
    ] = False,
    customer: Annotated[
        str,
        typer.Option("--customer", metavar="NUMBER", help="Who owns the card.", show_default=False),
    ] = "",
    points: Annotated[
        int | None,
        typer.Option("--points", min=1, help="Their points that pay.", show_default=False),
    ] = None,
    valid_until: Until = "",
    currency: Currency = "USD",
    location: Location = "",
    receipt: Receipt = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.ask import ask_secret

    request = v1.IssueGiftCardRequest(
        program=f"programs/{program}",
        amount=text.to_money(amount, currency),
        code=ask_secret("Code") if code == "-" else code,
        require_reserved_code=reserved,
        customer=f"customers/{customer}" if customer else "",
        require_customer=bool(customer),
        points_to_redeem=points or 0,
        valid_until=text.to_day(valid_until),
        context=text.context(location, receipt, reason),
    )
    _send("IssueGiftCard", request, request_id, json, merchant, server, plaintext, show_code)


def activate(
    card: Card,
    amount: Amount,
    valid_until: Until = "",
    currency: Currency = "USD",
    ask_pin: AskPin = False,
    location: Location = "",
    receipt: Receipt = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    request = v1.ActivateGiftCardRequest(
        gift_card=card_reference(card, ask_pin),
        amount=text.to_money(amount, currency),
        valid_until=text.to_day(valid_until),
        context=text.context(location, receipt, reason),
    )
    _send("ActivateGiftCard", request, request_id, json, merchant, server, plaintext)


def load(
    card: Card,
    amount: Amount,
    currency: Currency = "USD",
    ask_pin: AskPin = False,
    location: Location = "",
    receipt: Receipt = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    request = v1.LoadGiftCardRequest(
        gift_card=card_reference(card, ask_pin),
        amount=text.to_money(amount, currency),
        context=text.context(location, receipt, reason),
    )
    _send("LoadGiftCard", request, request_id, json, merchant, server, plaintext)


def redeem(
    card: Card,
    amount: Amount,
    partial: Partial = False,
    currency: Currency = "USD",
    ask_pin: AskPin = False,
    location: Location = "",
    receipt: Receipt = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    request = v1.RedeemGiftCardRequest(
        gift_card=card_reference(card, ask_pin),
        amount=text.to_money(amount, currency),
        allow_partial=partial,
        context=text.context(location, receipt, reason),
    )
    _send("RedeemGiftCard", request, request_id, json, merchant, server, plaintext)


def hold(
    card: Card,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="Such as 25.00.", show_default=False)
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="All that is available.", show_default=False)
    ] = False,
    partial: Partial = False,
    exclusive: Annotated[
        bool,
        typer.Option("--exclusive", help="Keep other clients off the card.", show_default=False),
    ] = False,
    minutes: Annotated[
        int | None,
        typer.Option(
            "--minutes", min=1, help="How long. Default: the program's.", show_default=False
        ),
    ] = None,
    sale: Annotated[
        str,
        typer.Option("--sale", metavar="TEXT", help="The sale it is for.", show_default=False),
    ] = "",
    currency: Currency = "USD",
    ask_pin: AskPin = False,
    location: Location = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1
    from google.protobuf.duration_pb2 import Duration

    from server.cli import text

    if bool(amount) == everything:
        raise CommandError("Give either an amount or --all.", UNUSABLE)
    request = v1.AuthorizeGiftCardRequest(
        gift_card=card_reference(card, ask_pin),
        allow_partial=partial,
        exclusive=exclusive,
        expire_after=Duration(seconds=minutes * 60) if minutes else None,
        sale_reference=sale,
        context=text.context(location, reason=reason),
    )
    if everything:
        request.whole_balance = True
    else:
        request.amount.CopyFrom(text.to_money(amount, currency))
    _send("AuthorizeGiftCard", request, request_id, json, merchant, server, plaintext)


def capture(
    name: Hold,
    amount: Annotated[
        str,
        typer.Argument(metavar="AMOUNT", help="Default: all that remains.", show_default=False),
    ] = "",
    final: Annotated[
        bool, typer.Option("--final", help="Give the rest back.", show_default=False)
    ] = False,
    currency: Currency = "USD",
    location: Location = "",
    receipt: Receipt = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    request = v1.CaptureHoldRequest(
        name=name,
        amount=text.to_money(amount, currency) if amount else None,
        final=final,
        context=text.context(location, receipt, reason),
    )
    _send("CaptureHold", request, request_id, json, merchant, server, plaintext)


def void(
    name: Hold,
    location: Location = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    request = v1.VoidHoldRequest(name=name, context=text.context(location, reason=reason))
    _send("VoidHold", request, request_id, json, merchant, server, plaintext)


def reverse(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TRANSACTION", help="transactions/... or a request id.", show_default=False
        ),
    ],
    location: Location = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    request = v1.ReverseTransactionRequest(context=text.context(location, reason=reason))
    if target.startswith("transactions/"):
        request.transaction = target
    else:
        request.original_request_id = target
    _send("ReverseTransaction", request, request_id, json, merchant, server, plaintext)


def _send(
    method: str,
    request: Any,
    request_id: str,
    json: bool,
    merchant: str,
    server: str,
    plaintext: bool,
    show_code: bool = False,
) -> None:
    """Sends a request and prints its answer."""
    from server.cli.connect import connect, new_request_id, require_merchant

    require_merchant(server, merchant)
    request.request_id = new_request_id(request_id)
    with connect(server, merchant, plaintext=plaintext) as link:
        answer = link.ask(getattr(link.cards, method), request)
    if json:
        print_json(as_json(answer, secrets=show_code))
    else:
        _show(answer, show_code)


def _show(answer: Any, show_code: bool) -> None:
    from giftcard import v1

    from server.cli import text

    amounts = {
        name: text.money(getattr(answer, field))
        for name, field in (
            ("approved", "approved_amount"),
            ("captured", "captured_amount"),
            ("released", "released_amount"),
            ("still due", "remaining_due"),
            ("not recovered", "shortfall"),
        )
        if field in answer.DESCRIPTOR.fields_by_name and getattr(answer, field).minor_units
    }
    if isinstance(answer, v1.ReverseTransactionResponse):
        amounts["outcome"] = v1.ReverseTransactionResponse.Outcome.Name(answer.outcome)
        cards, customers = list(answer.gift_cards), list(answer.customers)
    else:
        cards = [answer.gift_card] if answer.HasField("gift_card") else []
        known = "customer" in answer.DESCRIPTOR.fields_by_name and answer.HasField("customer")
        customers = [answer.customer] if known else []
    held = getattr(answer, "hold", None)
    # One card and what was done to it read as one; further ones come before.
    touched = [customer_facts(customer) for customer in customers]
    *others, shown = touched + [_card_facts(card, show_code) for card in cards] or [{}]
    for other in others:
        facts(other)
    facts({
        **shown,
        **amounts,
        "hold": held.name if held is not None else "",
        "transaction": answer.transaction.name,
        "request id": answer.transaction.request_id,
        "replayed": REPLAYED if answer.replayed else "",
    })  # fmt: skip


def customer_facts(customer: "v1.Customer") -> dict[str, str]:
    return {
        "customer": customer.name,
        "points": str(customer.point_balance),
        "points available": str(customer.available_points) if customer.held_points else "",
    }


def _card_facts(card: "v1.GiftCard", show_code: bool) -> dict[str, str]:
    from giftcard import v1

    from server.cli import text

    return {
        "card": card.name,
        "code": card.code if show_code else "",
        "last four": card.code_last_four,
        "state": v1.GiftCard.State.Name(card.state),
        "balance": text.money(card.balance),
        "available": text.money(card.available) if card.held.minor_units else "",
    }
