"""Commands for the demo merchant."""

import os
from typing import TYPE_CHECKING

import typer

from server.cli.options import Json, Plaintext, ServerAddress, teach
from server.cli.output import print_json, say, table

if TYPE_CHECKING:
    from server.demo import DemoClient

app = typer.Typer(no_args_is_help=True, help="A merchant with cards to try things out with.")


@app.command(
    "load",
    help=teach(
        "Load the demo merchant into an empty database; serving with GIFTCARD_DEMO=1 does so too."
        "\n\nIts credentials are known to everybody, so it is refused where strangers can call.",
        "giftcard demo load",
        "giftcard demo show",
    ),
)
def load() -> None:
    from server import app as application
    from server import demo
    from server.settings import from_environment

    settings = from_environment({**os.environ, "GIFTCARD_DEMO": "1"})
    keys = application.keys_of(settings)
    database = application.open_database(settings)
    try:
        loaded = demo.load(database, keys)
    finally:
        database.close()
    typer.echo("Demo data loaded." if loaded else "The demo data was there already.")


@app.command(
    "show",
    help=teach(
        "Show the demo merchant's credentials and cards.",
        "giftcard demo show",
        "giftcard demo show --server 127.0.0.1:50051",
    ),
)
def show(json: Json = False, server: ServerAddress = "", plaintext: Plaintext = False) -> None:
    from giftcard import v1

    from server import demo
    from server.cli import text
    from server.cli.connect import TOKEN_VARIABLE, connect

    if server:
        # Documented and good for loopback only, so nobody needs to be asked for it.
        os.environ.setdefault(TOKEN_VARIABLE, demo.CLIENTS[0].token)
    with connect(server, demo.MERCHANT_ID, plaintext=plaintext) as link:
        cards: list[dict[str, str]] = []
        for plan in demo.CARDS:
            request = v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=plan.code))
            found = link.ask(link.cards.LookupGiftCard, request).gift_card
            cards.append({
                "code": plan.code,
                "program": text.plain(found.program),
                "state": v1.GiftCard.State.Name(found.state),
                "balance": text.money(found.balance),
                "valid until": text.day(found.valid_until),
            })  # fmt: skip
        request_customer = v1.GetCustomerRequest(name=f"customers/{demo.CUSTOMER}")
        customer = link.ask(link.customers.GetCustomer, request_customer)
    customers = [{"customer": demo.CUSTOMER, "points": str(customer.point_balance)}]
    clients = [_client(plan) for plan in demo.CLIENTS]
    if json:
        print_json({"clients": clients, "cards": cards, "customers": customers})
        return
    table(list(clients[0]), [list(row.values()) for row in clients])
    typer.echo()
    table(list(cards[0]), [list(row.values()) for row in cards])
    typer.echo()
    table(list(customers[0]), [list(row.values()) for row in customers])
    typer.echo()
    say("These credentials are known to everybody: for loopback addresses only.")


def _client(plan: "DemoClient") -> dict[str, str]:
    return {"client": plan.id, "for": plan.display_name, "credential": plan.credential}
