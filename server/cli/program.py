"""Commands for programs, the types of card that a merchant sells."""

from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.options import (
    Currency,
    Json,
    Merchant,
    Plaintext,
    Reason,
    RequestId,
    ServerAddress,
    teach,
)
from server.cli.output import UNUSABLE, CommandError, list_resources, show_resource

if TYPE_CHECKING:
    from giftcard import v1

app = typer.Typer(no_args_is_help=True, help="The types of card that a merchant sells.")


@app.command(
    "create",
    help=teach(
        "Create a program. Cards keep the version of it that they were made under.",
        "giftcard admin program create GC --merchant acme --currency USD --min 1.00 --max 500.00",
        "giftcard admin program create GC25 --merchant acme --fixed 25.00 --no-reload",
    ),
)
def create_program(
    program_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    currency: Currency = "USD",
    name: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="Name for people.", show_default=False)
    ] = "",
    minimum: Annotated[
        str, typer.Option("--min", metavar="AMOUNT", help="Least sale or load.", show_default=False)
    ] = "",
    maximum: Annotated[
        str,
        typer.Option("--max", metavar="AMOUNT", help="Greatest sale or load.", show_default=False),
    ] = "",
    max_balance: Annotated[
        str,
        typer.Option(
            "--max-balance", metavar="AMOUNT", help="The most a card may hold.", show_default=False
        ),
    ] = "",
    fixed: Annotated[
        str,
        typer.Option(
            "--fixed", metavar="AMOUNT", help="Sold for this amount only.", show_default=False
        ),
    ] = "",
    months: Annotated[
        int | None,
        typer.Option("--months", min=1, help="Validity from the sale on.", show_default=False),
    ] = None,
    reload: Annotated[bool, typer.Option(help="Whether value may be loaded later.")] = True,
    partial: Annotated[bool, typer.Option(help="Whether less than all may be spent.")] = True,
    holds: Annotated[bool, typer.Option(help="Whether value may be held.")] = True,
    returns: Annotated[bool, typer.Option(help="Whether a card may be paid out.")] = False,
    prefix: Annotated[
        str,
        typer.Option("--prefix", metavar="TEXT", help="Start of each code.", show_default=False),
    ] = "",
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            min=1,
            metavar="COUNT",
            help="Points that buy one unit of the currency.",
            show_default=False,
        ),
    ] = None,
    color: Annotated[
        str,
        typer.Option(
            "--color",
            metavar="#RRGGBB",
            help="Colour of the certificate.",
            show_default=False,
        ),
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

    def amount(value: str) -> v1.Money | None:
        return text.to_money(value, currency) if value else None

    if fixed and (minimum or maximum):
        raise CommandError("--fixed says it all: leave --min and --max out.", UNUSABLE)
    program = v1.Program(
        display_name=name or program_id,
        currency_code=currency,
        min_amount=amount(minimum),
        max_amount=amount(maximum),
        max_balance=amount(max_balance),
        denominations=[text.to_money(fixed, currency)] if fixed else [],
        value_change_allowed=not fixed,
        reload_allowed=reload,
        return_allowed=returns,
        partial_redeem_allowed=partial,
        holds_allowed=holds,
        validity=v1.Program.Validity(months=months) if months else None,
        code_format=v1.Program.CodeFormat(prefix=prefix) if prefix else None,
        points_per_major_unit=points or 0,
        certificate_color=color,
    )
    request = v1.CreateProgramRequest(
        program_id=program_id,
        program=program,
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, merchant, plaintext=plaintext) as link:
        program = link.ask(link.programs.CreateProgram, request)
        show_resource(program, _facts(program), json, link, request.request_id)


@app.command(
    "list", help=teach("List a merchant's programs.", "giftcard admin program list --merchant acme")
)
def list_programs(
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, pages, require_merchant

    require_merchant(server, merchant)
    with connect(server, merchant, plaintext=plaintext) as link:
        found = pages(link, link.programs.ListPrograms, v1.ListProgramsRequest(), "programs")
    list_resources("programs", found, json, _row)


@app.command(
    "show", help=teach("Show a program.", "giftcard admin program show GC --merchant acme")
)
def show_program(
    program_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, require_merchant

    require_merchant(server, merchant)
    with connect(server, merchant, plaintext=plaintext) as link:
        request = v1.GetProgramRequest(name=f"programs/{program_id}")
        program = link.ask(link.programs.GetProgram, request)
    show_resource(program, _facts(program), json)


def _row(program: "v1.Program") -> dict[str, str]:
    from giftcard import v1

    from server.cli import text

    return {
        "program": text.plain(program.name),
        "name": program.display_name,
        "state": v1.Program.State.Name(program.state),
        "version": str(program.version),
        "currency": program.currency_code,
        "amounts": _amounts(program),
        "reload": _yes(program.reload_allowed),
        "holds": _yes(program.holds_allowed),
    }


def _facts(program: "v1.Program") -> dict[str, str]:
    from server.cli import text

    return {
        **_row(program),
        "max balance": text.money(program.max_balance),
        "partial spending": _yes(program.partial_redeem_allowed),
        "pay out": _yes(program.return_allowed),
        "validity": _validity(program),
        "hold lifetime": f"{program.hold_lifetime.seconds // 3600} hours",
        "code prefix": program.code_format.prefix,
        "points": (
            f"{program.points_per_major_unit} for one {program.currency_code}"
            if program.points_per_major_unit
            else ""
        ),
        "certificate": program.certificate_color,
        "PIN": "required" if program.pin_required else "",
    }


def _amounts(program: "v1.Program") -> str:
    from server.cli import text

    if program.denominations:
        return ", ".join(text.money(each) for each in program.denominations)
    least, most = text.money(program.min_amount), text.money(program.max_amount)
    if least or most:
        return f"{least or 'any'} to {most or 'any'}"
    return "any"


def _validity(program: "v1.Program") -> str:
    from server.cli import text

    which = program.validity.WhichOneof("extent")
    if which == "months":
        return f"{program.validity.months} months"
    if which == "days":
        return f"{program.validity.days} days"
    return f"until {text.day(program.validity.until)}" if which else "for ever"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
