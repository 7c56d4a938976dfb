"""Commands for the set-up: merchants, locations and API clients; more in `program` and `token`."""

from typing import TYPE_CHECKING, Annotated

import typer

from server.cli import program, token
from server.cli.options import (
    Json,
    Merchant,
    MerchantOfClient,
    Plaintext,
    Reason,
    RequestId,
    ServerAddress,
    teach,
)
from server.cli.output import UNUSABLE, CommandError, list_resources, show_resource

if TYPE_CHECKING:
    from giftcard import v1

app = typer.Typer(
    no_args_is_help=True,
    help="Set up merchants, locations, programs, clients and tokens.",
)
_merchant = typer.Typer(no_args_is_help=True, help="Companies whose cards are kept here.")
_location = typer.Typer(no_args_is_help=True, help="The stores of a merchant.")
_client = typer.Typer(no_args_is_help=True, help="The systems that call: tills, shops, offices.")
app.add_typer(_merchant, name="merchant")
app.add_typer(_location, name="location")
app.add_typer(program.app, name="program")
app.add_typer(_client, name="client")
app.add_typer(token.app, name="token")

DisplayName = Annotated[
    str, typer.Option("--name", metavar="TEXT", help="Name for people.", show_default=False)
]
TimeZone = Annotated[
    str, typer.Option("--time-zone", metavar="ZONE", help="IANA name, such as Europe/Vienna.")
]


# Merchants


@_merchant.command(
    "create",
    help=teach(
        "Create a merchant.",
        'giftcard admin merchant create acme --name "Acme Stores" --time-zone Europe/Vienna',
    ),
)
def create_merchant(
    merchant_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    time_zone: TimeZone,
    name: DisplayName = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.connect import connect, new_request_id

    request = v1.CreateMerchantRequest(
        merchant_id=merchant_id,
        merchant=v1.Merchant(display_name=name or merchant_id, time_zone=time_zone),
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, plaintext=plaintext) as link:
        merchant = link.ask(link.admin.CreateMerchant, request)
        show_resource(merchant, _merchant_facts(merchant), json, link, request.request_id)


@_merchant.command("list", help=teach("List the merchants.", "giftcard admin merchant list --json"))
def list_merchants(
    json: Json = False, server: ServerAddress = "", plaintext: Plaintext = False
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, pages

    with connect(server, plaintext=plaintext) as link:
        found = pages(link, link.admin.ListMerchants, v1.ListMerchantsRequest(), "merchants")
    list_resources("merchants", found, json, _merchant_facts)


@_merchant.command("show", help=teach("Show a merchant.", "giftcard admin merchant show acme"))
def show_merchant(
    merchant_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect

    with connect(server, plaintext=plaintext) as link:
        request = v1.GetMerchantRequest(name=f"merchants/{merchant_id}")
        merchant = link.ask(link.admin.GetMerchant, request)
    show_resource(merchant, _merchant_facts(merchant), json)


def _merchant_facts(merchant: "v1.Merchant") -> dict[str, str]:
    from server.cli import text

    return {
        "merchant": text.plain(merchant.name),
        "name": merchant.display_name,
        "time zone": merchant.time_zone,
        "created": text.moment(merchant.create_time),
    }


# Locations


@_location.command(
    "create",
    help=teach(
        "Create a location.",
        "giftcard admin location create 1001 --merchant acme --country AT"
        " --time-zone Europe/Vienna",
    ),
)
def create_location(
    location_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    country: Annotated[str, typer.Option("--country", metavar="CODE", help="Such as US.")],
    time_zone: TimeZone,
    name: DisplayName = "",
    legal_entity: Annotated[
        str,
        typer.Option("--legal-entity", metavar="TEXT", help="Who owes there.", show_default=False),
    ] = "",
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
    request = v1.CreateLocationRequest(
        location_id=location_id,
        location=v1.Location(
            display_name=name or location_id,
            country_code=country,
            time_zone=time_zone,
            legal_entity=legal_entity,
        ),
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, merchant, plaintext=plaintext) as link:
        location = link.ask(link.locations.CreateLocation, request)
        show_resource(location, _location_facts(location), json, link, request.request_id)


@_location.command(
    "list",
    help=teach("List a merchant's locations.", "giftcard admin location list --merchant acme"),
)
def list_locations(
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, pages, require_merchant

    require_merchant(server, merchant)
    with connect(server, merchant, plaintext=plaintext) as link:
        request = v1.ListLocationsRequest()
        found = pages(link, link.locations.ListLocations, request, "locations")
    list_resources("locations", found, json, _location_facts)


def _location_facts(location: "v1.Location") -> dict[str, str]:
    from server.cli import text

    return {
        "location": text.plain(location.name),
        "name": location.display_name,
        "country": location.country_code,
        "time zone": location.time_zone,
        "legal entity": location.legal_entity,
    }


# API clients


@_client.command(
    "create",
    help=teach(
        "Create an API client. It can call once it has a token.",
        "giftcard admin client create till --merchant acme --scope READ --scope REDEEM",
        "giftcard admin token create till --merchant acme",
    ),
)
def create_client(
    client_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    merchant: MerchantOfClient,
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="What it may do, once for each: READ, SELL, REDEEM, REFUND, MANAGE, ADJUST,"
            " CONFIGURE, ADMINISTER, PLATFORM.",
        ),
    ],
    name: DisplayName = "",
    location: Annotated[
        str,
        typer.Option(
            "--location", metavar="ID", help="The only one it calls from.", show_default=False
        ),
    ] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.connect import connect, new_request_id

    request = v1.CreateApiClientRequest(
        parent=f"merchants/{merchant}",
        api_client_id=client_id,
        api_client=v1.ApiClient(
            display_name=name or client_id,
            scopes=[_scope(each) for each in scope],
            location=f"locations/{location}" if location else "",
        ),
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, plaintext=plaintext) as link:
        client = link.ask(link.admin.CreateApiClient, request)
        show_resource(client, _client_facts(client), json, link, request.request_id)


@_client.command(
    "disable",
    help=teach(
        "Stop a client at once, for instance when its token was stolen: within 5 seconds none of"
        " its credentials works.",
        "giftcard admin client disable till --merchant acme",
    ),
)
def disable_client(
    client_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    merchant: MerchantOfClient,
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    _set_state(client_id, "DISABLED", merchant, reason, request_id, json, server, plaintext)


@_client.command(
    "enable",
    help=teach(
        "Let a disabled client call again, with the credentials that it has.",
        "giftcard admin client enable till --merchant acme",
    ),
)
def enable_client(
    client_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    merchant: MerchantOfClient,
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    _set_state(client_id, "ENABLED", merchant, reason, request_id, json, server, plaintext)


def _set_state(
    client_id: str,
    state: str,
    merchant: str,
    reason: str,
    request_id: str,
    json: bool,
    server: str,
    plaintext: bool,
) -> None:
    from giftcard import v1
    from google.protobuf.field_mask_pb2 import FieldMask

    from server.cli import text
    from server.cli.connect import connect, new_request_id

    request = v1.UpdateApiClientRequest(
        api_client=v1.ApiClient(
            name=f"merchants/{merchant}/apiClients/{client_id}",
            state=v1.ApiClient.State.Value(state),
        ),
        update_mask=FieldMask(paths=["state"]),
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, plaintext=plaintext) as link:
        client = link.ask(link.admin.UpdateApiClient, request)
        show_resource(client, _client_facts(client), json, link, request.request_id)


def _scope(name: str) -> "v1.ApiClient.Scope.ValueType":
    from giftcard import v1

    try:
        return v1.ApiClient.Scope.Value(name.upper())
    except ValueError:
        raise CommandError(
            f"{name} is not a scope. See --help for those there are.", UNUSABLE
        ) from None


@_client.command(
    "list",
    help=teach("List a merchant's API clients.", "giftcard admin client list --merchant acme"),
)
def list_clients(
    merchant: MerchantOfClient,
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, pages

    with connect(server, plaintext=plaintext) as link:
        request = v1.ListApiClientsRequest(parent=f"merchants/{merchant}")
        found = pages(link, link.admin.ListApiClients, request, "api_clients")
    list_resources("apiClients", found, json, _client_facts)


def _client_facts(client: "v1.ApiClient") -> dict[str, str]:
    from giftcard import v1

    from server.cli import text

    return {
        "client": text.plain(client.name),
        "name": client.display_name,
        "state": v1.ApiClient.State.Name(client.state),
        "scopes": " ".join(v1.ApiClient.Scope.Name(each) for each in client.scopes),
        "location": text.plain(client.location),
    }
