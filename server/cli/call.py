"""`giftcard call`: any method of the contract by its name, JSON in and JSON out."""

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.options import Json, Merchant, Plaintext, RequestId, ServerAddress, teach
from server.cli.output import UNUSABLE, CommandError, as_json, print_json, table

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor


def add_to(app: typer.Typer) -> None:
    app.command(
        help=teach(
            "Call any method of the contract: JSON in, JSON out.\n\n"
            "A request id is added where the request needs one. Codes are not printed unless"
            " --show-code is given; the secret of a new credential is.",
            "giftcard call --list",
            'giftcard call LookupGiftCard \'{"giftCard": {"code": "12399"}}\'',
            "giftcard call ListHolds",
        )
    )(call)


def call(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD", help="Such as RedeemGiftCard; see --list.", show_default=False
        ),
    ] = "",
    body: Annotated[
        str,
        typer.Argument(
            metavar="JSON", help="The request; - reads standard input.", show_default=False
        ),
    ] = "{}",
    show: Annotated[
        bool, typer.Option("--list", help="List the methods there are.", show_default=False)
    ] = False,
    show_code: Annotated[
        bool, typer.Option("--show-code", help="Print codes too.", show_default=False)
    ] = False,
    request_id: RequestId = "",
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    if show:
        _show_methods(json)
        return
    if not method:
        raise CommandError("Name a method; giftcard call --list shows them.", UNUSABLE)
    from server.cli.connect import connect, new_request_id

    described = _find(method)
    request = _request(described, sys.stdin.read() if body == "-" else body)
    if "request_id" in described.input_type.fields_by_name and (
        request_id or not request.request_id
    ):
        request.request_id = new_request_id(request_id)
    with connect(server, merchant, plaintext=plaintext) as link:
        path = f"/{described.containing_service.full_name}/{described.name}"
        ask: Any = link.channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=_class_of(described.output_type).FromString,
        )
        answer = link.ask(ask, request)
    print_json(as_json(answer, secrets=show_code or described.name in _MAKES_A_SECRET))


#: The answer is the only time that the new secret is seen.
_MAKES_A_SECRET = ("CreateCredential", "RotateCredential")


def _methods() -> list["MethodDescriptor"]:
    from giftcard.v1 import (
        admin_service_pb2,
        gift_card_service_pb2,
        location_service_pb2,
        program_service_pb2,
    )

    files = (
        gift_card_service_pb2, program_service_pb2, location_service_pb2, admin_service_pb2,
    )  # fmt: skip
    return [
        method
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


def _find(name: str) -> "MethodDescriptor":
    """By its name, `Service.Method`, or the path of the call; names are unique."""
    wanted = name.replace("/", ".").strip(".")
    for method in _methods():
        full = f"{method.containing_service.full_name}.{method.name}"
        if wanted == method.name or full == wanted or full.endswith(f".{wanted}"):
            return method
    alike = get_close_matches(wanted, [method.name for method in _methods()], n=3)
    hint = f" Did you mean {' or '.join(alike)}?" if alike else ""
    raise CommandError(
        f"There is no method {name}; giftcard call --list shows them.{hint}", UNUSABLE
    )


def _class_of(descriptor: Any) -> Any:
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(descriptor)


def _request(method: "MethodDescriptor", body: str) -> Any:
    from google.protobuf.json_format import Parse, ParseError

    request = _class_of(method.input_type)()
    try:
        return Parse(body, request)
    except ParseError:
        # The parser's own words may repeat a value, a code among them.
        raise CommandError(
            f"The JSON is not a {method.input_type.name}; giftcard call --list shows its fields.",
            UNUSABLE,
        ) from None


def _show_methods(json: bool) -> None:
    rows = [
        (
            method.containing_service.name, method.name,
            ", ".join(field.json_name for field in method.input_type.fields),
        )
        for method in _methods()
    ]  # fmt: skip
    if json:
        print_json([
            {"service": service, "method": name, "fields": fields.split(", ")}
            for service, name, fields in rows
        ])  # fmt: skip
        return
    table(("service", "method", "fields of the request"), rows)
