"""Commands for customers and their points."""

from typing import Annotated, Any

import typer

from server.cli.options import (
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
from server.cli.output import (
    REPLAYED,
    UNUSABLE,
    CommandError,
    as_json,
    facts,
    list_resources,
    print_json,
    show_resource,
)

app = typer.Typer(no_args_is_help=True, help="Customers and their points.")

Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="The merchant's own.", show_default=False)
]
Points = Annotated[int, typer.Argument(metavar="POINTS", show_default=False)]
Reference = Annotated[
    str,
    typer.Option("--reference", metavar="TEXT", help="The number elsewhere.", show_default=False),
]


@app.command(
    "create",
    help=teach("Make a customer known.", "giftcard customer create 2059378440 --merchant acme"),
)
def create_customer(
    number: Number,
    reference: Reference = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.connect import connect, new_request_id, require_merchant

    require_merchant(server, merchant)
    request = v1.CreateCustomerRequest(
        customer_id=number,
        customer=v1.Customer(external_reference=reference),
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, merchant, plaintext=plaintext) as link:
        found = link.ask(link.customers.CreateCustomer, request)
        show_resource(found, _facts(found), json, link, request.request_id)


@app.command(
    "list", help=teach("List a merchant's customers.", "giftcard customer list --merchant acme")
)
def list_customers(
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, pages, require_merchant

    require_merchant(server, merchant)
    with connect(server, merchant, plaintext=plaintext) as link:
        found = pages(link, link.customers.ListCustomers, v1.ListCustomersRequest(), "customers")
    list_resources("customers", found, json, _facts)


@app.command(
    "show",
    help=teach(
        "Show a customer: points, open holds and the last transactions.",
        "giftcard customer show 2059378440",
    ),
)
def show_customer(
    number: Number,
    last: Annotated[
        int, typer.Option("--last", min=1, max=1000, help="How many transactions to show.")
    ] = 10,
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import card
    from server.cli.connect import connect, require_merchant

    require_merchant(server, merchant)
    name = f"customers/{number}"
    with connect(server, merchant, plaintext=plaintext) as link:
        found = link.ask(link.customers.GetCustomer, v1.GetCustomerRequest(name=name))
        holds = link.ask(
            link.cards.ListHolds, v1.ListHoldsRequest(customer=name, state=v1.Hold.OPEN)
        ).holds
        history = link.ask(
            link.cards.ListTransactions, v1.ListTransactionsRequest(customer=name, page_size=last)
        ).transactions
    if json:
        print_json({
            "customer": as_json(found),
            "holds": [as_json(hold) for hold in holds],
            "transactions": [as_json(each) for each in history],
        })  # fmt: skip
        return
    facts(_facts(found))
    card.show_tranches(found)
    card.show_holds(holds)
    typer.echo()
    card.show_history(list(history), name)


@app.command(
    "earn",
    help=teach(
        "Credit points.",
        "giftcard customer earn 2059378440 250 --receipt R-1001",
        "giftcard customer earn 2059378440 250 --valid-until 2027-12-31",
    ),
)
def earn(
    number: Number,
    points: Points,
    valid_until: Annotated[
        str,
        typer.Option(
            "--valid-until", metavar="DATE", help="Last day, as 2027-12-31.", show_default=False
        ),
    ] = "",
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

    request = v1.EarnPointsRequest(
        customer=f"customers/{number}",
        points=points,
        expire_date=text.to_day(valid_until),
        context=text.context(location, receipt, reason),
    )
    _send("EarnPoints", request, request_id, json, merchant, server, plaintext)


@app.command(
    "adjust",
    help=teach(
        "Correct points upward or downward.",
        "giftcard customer adjust 2059378440 --reason 'counted twice' -- -250",
    ),
)
def adjust(
    number: Number,
    points: Points,
    reason: Reason = "",
    location: Location = "",
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text

    if not reason:
        raise CommandError("Say why: --reason TEXT.", UNUSABLE)
    request = v1.AdjustPointsRequest(
        customer=f"customers/{number}",
        points=points,
        context=text.context(location, reason=reason),
    )
    _send("AdjustPoints", request, request_id, json, merchant, server, plaintext)


@app.command(
    "hold",
    help=teach(
        "Keep points back for a sale; giftcard card capture and void end it.",
        "giftcard customer hold 2059378440 500 --sale order-17",
    ),
)
def hold(
    number: Number,
    points: Points,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Approve fewer where there are.", show_default=False),
    ] = False,
    minutes: Annotated[
        int | None,
        typer.Option("--minutes", min=1, help="How long. Default: 7 days.", show_default=False),
    ] = None,
    sale: Annotated[
        str,
        typer.Option("--sale", metavar="TEXT", help="The sale it is for.", show_default=False),
    ] = "",
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

    request = v1.AuthorizePointsRequest(
        customer=f"customers/{number}",
        points=points,
        allow_partial=partial,
        expire_after=Duration(seconds=minutes * 60) if minutes else None,
        sale_reference=sale,
        context=text.context(location, reason=reason),
    )
    _send("AuthorizePoints", request, request_id, json, merchant, server, plaintext)


def _send(
    method: str,
    request: Any,
    request_id: str,
    json: bool,
    merchant: str,
    server: str,
    plaintext: bool,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, new_request_id, require_merchant

    require_merchant(server, merchant)
    request.request_id = new_request_id(request_id)
    with connect(server, merchant, plaintext=plaintext) as link:
        answer = link.ask(getattr(link.customers, method), request)
    if json:
        print_json(as_json(answer))
        return
    held = isinstance(answer, v1.AuthorizePointsResponse)
    facts({
        **_facts(answer.customer),
        "approved": str(answer.approved_points) if held else "",
        "hold": answer.hold.name if held else "",
        "transaction": answer.transaction.name,
        "request id": answer.transaction.request_id,
        "replayed": REPLAYED if answer.replayed else "",
    })  # fmt: skip


def _facts(customer: Any) -> dict[str, str]:
    from server.cli import text

    return {
        "customer": text.plain(customer.name),
        "points": str(customer.point_balance),
        "held": str(customer.held_points),
        "available": str(customer.available_points),
        "reference": customer.external_reference,
    }
