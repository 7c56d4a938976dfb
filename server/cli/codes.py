"""Commands for codes before they are cards, and for the certificate of a card."""

from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli.options import (
    AskPin,
    Card,
    Json,
    Location,
    Merchant,
    Plaintext,
    Reason,
    RequestId,
    ServerAddress,
    teach,
)
from server.cli.output import REPLAYED, UNUSABLE, CommandError, as_json, facts, print_json

_FORMATS = ("jpeg", "png", "pdf")


def add_to(app: typer.Typer) -> None:
    for command, summary, *examples in (
        (reserve, "Make codes for cards to come, into a file that only its owner can read.",
         "giftcard card reserve GC 500 --agency Printers --file codes.txt",
         "giftcard card reserve GC 1 --agency Website --minutes 60 --file code.txt"),
        (release, "Give up reserved codes that no card uses.",
         "giftcard card release codeReservations/019a..."),
        (certificate, "Draw the certificate of a card, to print or to send.",
         "giftcard card certificate 12399 --file card.jpeg",
         "giftcard card certificate giftCards/019a... --file card.pdf"),
    ):  # fmt: skip
        app.command(command.__name__, help=teach(summary, *examples))(command)


def reserve(
    program: Annotated[
        str, typer.Argument(metavar="PROGRAM", help="Whose code format.", show_default=False)
    ],
    count: Annotated[int, typer.Argument(metavar="COUNT", min=1, show_default=False)],
    agency: Annotated[
        str,
        typer.Option("--agency", metavar="TEXT", help="Whom they are for.", show_default=False),
    ],
    file: Annotated[
        Path,
        typer.Option("--file", metavar="PATH", help="Where the codes go.", show_default=False),
    ],
    label: Annotated[
        str, typer.Option("--label", metavar="TEXT", help="Your own name.", show_default=False)
    ] = "",
    minutes: Annotated[
        int | None,
        typer.Option("--minutes", min=1, help="How long. Default: for ever.", show_default=False),
    ] = None,
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
    from server.cli.connect import connect, new_request_id, require_merchant

    require_merchant(server, merchant)
    _require_new(file)
    request = v1.ReserveCodesRequest(
        program=f"programs/{program}",
        count=count,
        agency=agency,
        label=label,
        expire_after=Duration(seconds=minutes * 60) if minutes else None,
        context=text.context(location, reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, merchant, plaintext=plaintext) as link:
        answer = link.ask(link.cards.ReserveCodes, request)
    _write(file, "".join(f"{code}\n" for code in answer.codes).encode())
    _show(answer, json, {"codes": str(len(answer.codes)), "file": str(file)})


def release(
    reservation: Annotated[
        str,
        typer.Argument(
            metavar="RESERVATION", help="Name, codeReservations/... .", show_default=False
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
    from server.cli.connect import connect, new_request_id, require_merchant

    require_merchant(server, merchant)
    request = v1.ReleaseCodesRequest(
        reservation=reservation,
        context=text.context(location, reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, merchant, plaintext=plaintext) as link:
        answer = link.ask(link.cards.ReleaseCodes, request)
    found = answer.reservation
    counts = {
        "codes": str(found.code_count), "used": str(found.used_count),
        "released": str(found.released_count), "released now": str(answer.released_count),
    }  # fmt: skip
    _show(answer, json, counts)


def certificate(
    card: Card,
    file: Annotated[
        Path,
        typer.Option(
            "--file", metavar="PATH", help="Ends in .jpeg, .png or .pdf.", show_default=False
        ),
    ],
    ask_pin: AskPin = False,
    json: Json = False,
    merchant: Merchant = "",
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, require_merchant
    from server.cli.till import card_reference

    require_merchant(server, merchant)
    ending = file.suffix.lower().removeprefix(".").replace("jpg", "jpeg")
    if ending not in _FORMATS:
        raise CommandError(f"{file} must end in .jpeg, .png or .pdf.", UNUSABLE)
    _require_new(file)
    request = v1.RenderCertificateRequest(
        gift_card=card_reference(card, ask_pin),
        format=v1.RenderCertificateRequest.Format.Value(ending.upper()),
    )
    with connect(server, merchant, plaintext=plaintext) as link:
        answer = link.ask(link.cards.RenderCertificate, request)
    _write(file, answer.content)
    if json:
        print_json({"file": str(file), "contentType": answer.content_type})
    else:
        facts({"file": str(file), "type": answer.content_type})


def _require_new(file: Path) -> None:
    if file.exists():
        raise CommandError(f"{file} exists already. Name another file.", UNUSABLE)


def _write(file: Path, content: bytes) -> None:
    """Readable by its owner only, from the first byte on: it holds codes."""
    file.touch(mode=0o600, exist_ok=False)
    file.write_bytes(content)


def _show(answer: Any, json: bool, counts: dict[str, str]) -> None:
    from server.cli import text

    if json:
        print_json(as_json(answer))
        return
    facts({
        "reservation": answer.reservation.name,
        "agency": answer.reservation.agency,
        **counts,
        "until": text.moment(answer.reservation.expire_time),
        "transaction": answer.transaction.name,
        "request id": answer.transaction.request_id,
        "replayed": REPLAYED if answer.replayed else "",
    })  # fmt: skip
