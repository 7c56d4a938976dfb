"""`giftcard log`: what legacy clients asked and were answered, and what waits to be reversed.

Heavy modules are imported by the commands that need them, so that help comes at once.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

if TYPE_CHECKING:
    from compat_http.store.reading import Filter

REFUSED: Final = 1
UNUSABLE: Final = 2

_STATUS: Final = re.compile(r"[1-5](xx|[0-9][0-9])")
_GAP: Final = "  "

app = typer.Typer(
    no_args_is_help=True,
    help="Look up what legacy clients asked and were answered.\n\n"
    "Codes are cut to their last characters, and PINs and credentials are not kept at all.",
)

Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="GIFTCARD_EXCHANGE_DATABASE_URL",
        metavar="URL",
        help="The shim's file. It may be running.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.", show_default=False)]

_DEFAULT_DATABASE: Final = "sqlite:///var/exchange.db"


@app.command(
    "list",
    help="List exchanges, newest first.\n\n"
    "Filters narrow together. A call that ended with 504 and was undone later has a second line,"
    " REVERSAL_SETTLED, under the same derived request id.\n\n"
    "[bold]Examples[/bold]\n\n\b\n"
    "  giftcard log list --last-four 2399\n"
    "  giftcard log list --request-id GC111\n"
    "  giftcard log list --dialect retail7 --status 5xx --since 2027-03-01",
)
def list_exchanges(
    last_four: Annotated[
        str,
        typer.Option(
            metavar="END", help="End of the card's code, as it is shown.", show_default=False
        ),
    ] = "",
    request_id: Annotated[
        str,
        typer.Option(
            metavar="ID", help="The client's own id, or the derived one.", show_default=False
        ),
    ] = "",
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="From this time on (UTC).", show_default=False),
    ] = "",
    until: Annotated[
        str, typer.Option(metavar="TIME", help="Before this time (UTC).", show_default=False)
    ] = "",
    dialect: Annotated[
        str, typer.Option(metavar="NAME", help="Such as retail7.", show_default=False)
    ] = "",
    status: Annotated[
        str, typer.Option(metavar="STATUS", help="Such as 504 or 5xx.", show_default=False)
    ] = "",
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 50,
    database: Database = _DEFAULT_DATABASE,
    as_json: Json = False,
) -> None:
    from compat_http.store import reading

    wanted = _filter(last_four, request_id, since, until, dialect, status)
    try:
        with reading.opened(database) as connection:
            found = reading.exchanges(connection, wanted, last)
            dropped = reading.dropped(connection, wanted)
    except reading.StoreError as error:
        _fail(str(error), UNUSABLE)
    if as_json:
        _print_json({"exchanges": [_as_json(each) for each in found], "dropped": dropped})
        return
    if found:
        _table(
            ("id", "time", "dialect", "operation", "status", "reason", "card", "request id", "ms"),
            [_line(each) for each in found],
        )
    else:
        _say("There are none.")
    if dropped:
        _say(f"{dropped} exchanges of that time were not logged: more came than could be written.")


@app.command(
    "show",
    help="Show one exchange with what was asked and answered.\n\n"
    "[bold]Example[/bold]\n\n\b\n  giftcard log show 4711",
)
def show_exchange(
    exchange_id: Annotated[
        int, typer.Argument(metavar="ID", help="From the list.", show_default=False)
    ],
    database: Database = _DEFAULT_DATABASE,
    as_json: Json = False,
) -> None:
    from compat_http.redaction import pretty
    from compat_http.store import reading

    try:
        with reading.opened(database) as connection:
            found = reading.one_exchange(connection, exchange_id)
    except reading.StoreError as error:
        _fail(str(error), UNUSABLE)
    if found is None:
        _fail(f"There is no exchange {exchange_id}.", REFUSED)
    if as_json:
        _print_json(_as_json(found))
        return
    _facts({
        "id": str(found["id"]),
        "time": _moment(found["time"], "microseconds"),
        "took": f"{_milliseconds(found['duration_microseconds'])} ms",
        "dialect": found["dialect"],
        "operation": found["operation"],
        "http": f"{found['method']} {found['path']}".strip(),
        "status": _status(found["status"]),
        "reason": found["reason"],
        "card": _ending(found["code_last_four"]),
        "request id": found["legacy_request_id"],
        "derived id": found["request_id"],
        "transaction": found["transaction_name"],
    })  # fmt: skip
    for title, document in (("request", found["request"]), ("answer", found["answer"])):
        if document:
            typer.echo(f"\n{title.upper()}")
            typer.echo("\n".join(map(_printable, pretty(document).splitlines())))


@app.command(
    "reversals",
    help="List the reversals that still wait for a definite answer.\n\n"
    "A call whose outcome stayed unknown is undone in the background; what is listed here has not"
    " been undone yet.\n\n[bold]Example[/bold]\n\n\b\n  giftcard log reversals",
)
def list_reversals(database: Database = _DEFAULT_DATABASE, as_json: Json = False) -> None:
    from compat_http.store import reading

    try:
        with reading.opened(database) as connection:
            found = reading.reversals(connection)
    except reading.StoreError as error:
        _fail(str(error), UNUSABLE)
    if as_json:
        _print_json({
            "reversals": [
                {
                    "derivedRequestId": each["key"],
                    "dialect": each["dialect"],
                    "operation": each["operation"],
                    "book": each["book"] or "live",
                    "started": bool(each["started"]),
                    "attempts": each["attempts"],
                    "queueTime": _moment(each["queued_time"], "microseconds", "T"),
                    "dueTime": _moment(each["due_time"], "microseconds", "T"),
                }
                for each in found
            ]
        })  # fmt: skip
    elif found:
        _table(
            ("queued", "dialect", "operation", "derived id", "attempts", "next"),
            [
                (
                    _moment(each["queued_time"]), each["dialect"], each["operation"], each["key"],
                    str(each["attempts"]), _moment(each["due_time"]),
                )
                for each in found
            ],
        )  # fmt: skip
    else:
        _say("None waits.")


@app.command(
    "forget-reversal",
    help="Give up a reversal that can never be sent.\n\n"
    "Its caller's credential was revoked, so it would be refused for ever. Undo the call by hand"
    " first, and stop the shim.\n\n[bold]Example[/bold]\n\n\b\n"
    "  giftcard log forget-reversal retail7/1001/1001/REDEEM/GC10",
)
def forget_reversal(
    request_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The derived id, from giftcard log reversals.", show_default=False
        ),
    ],
    database: Database = _DEFAULT_DATABASE,
) -> None:
    from compat_http.store import StoreError, forget_reversals

    try:
        count = forget_reversals(database, request_id)
    except StoreError as error:
        _fail(str(error), UNUSABLE)
    if not count:
        _fail(f"No reversal of {_printable(request_id)} waits.", REFUSED)
    typer.echo("Forgotten. It will not be sent.")


@app.command(
    "create-key",
    help="Write a key for the queue of reversals to a file that only you can read.\n\n"
    "It protects the credentials of callers whose reversals wait. An existing file is never"
    " overwritten.\n\n[bold]Example[/bold]\n\n\b\n"
    "  giftcard log create-key /etc/giftcard/exchange-key.json\n"
    "  export GIFTCARD_EXCHANGE_KEY_FILE=/etc/giftcard/exchange-key.json",
)
def create_key(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The file to write.", show_default=False)
    ],
) -> None:
    from compat_http.exchange_key import ExchangeKeyError, create_key_file

    try:
        create_key_file(path)
    except ExchangeKeyError as error:
        _fail(str(error), UNUSABLE)
    typer.echo(f"Key written to {path}.")


def _filter(
    last_four: str, request_id: str, since: str, until: str, dialect: str, status: str
) -> "Filter":
    from compat_http.store.reading import Filter

    if status and not _STATUS.fullmatch(status):
        _fail(f"{status} is not a status such as 504 or 5xx.", UNUSABLE)
    return Filter(
        last_four=last_four.upper(),
        request_id=request_id,
        dialect=dialect,
        status_min=int(status.replace("x", "0")) if status else 0,
        status_max=int(status.replace("x", "9")) if status else 999,
        since=_instant(since),
        until=_instant(until),
    )


def _instant(text: str) -> int | None:
    """Microseconds of an ISO time; a date means its first instant, and no offset means UTC."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"{text} is not a time such as 2027-12-31 or 2027-12-31T18:00:00Z.", UNUSABLE)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    whole = found - epoch
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def _moment(microseconds: int, precision: str = "seconds", separator: str = " ") -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    found = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    return found.isoformat(separator, precision).removesuffix("+00:00") + "Z"


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds // 1000}.{microseconds % 1000 // 100}"


def _status(status: int) -> str:
    return str(status) if status else ""


def _ending(last_four: str) -> str:
    return f"…{last_four}" if last_four else ""


def _line(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(each["id"]), _moment(each["time"]), each["dialect"], each["operation"],
        _status(each["status"]), each["reason"], _ending(each["code_last_four"]),
        each["legacy_request_id"] or each["request_id"],
        _milliseconds(each["duration_microseconds"]),
    )  # fmt: skip


def _as_json(each: Mapping[str, Any]) -> dict[str, Any]:
    """Documents stay texts, so that numbers stay as they were written."""
    shown = {
        "id": each["id"],
        "time": _moment(each["time"], "microseconds", "T"),
        "durationMicroseconds": each["duration_microseconds"],
        "dialect": each["dialect"],
        "operation": each["operation"],
        "method": each["method"],
        "path": each["path"],
        "status": each["status"],
        "reason": each["reason"],
        "codeLastFour": each["code_last_four"],
        "requestId": each["legacy_request_id"],
        "derivedRequestId": each["request_id"],
        "transaction": each["transaction_name"],
    }
    if "request" in each:
        shown |= {"request": each["request"], "answer": each["answer"]}
    return shown


def _fail(sentence: str, status: int) -> NoReturn:
    _say(f"giftcard: {sentence}")
    raise typer.Exit(status)


def _say(text: str) -> None:
    """A remark for people, on standard error so that it is not in the way of scripts."""
    typer.echo(text, err=True)


def _print_json(value: Any) -> None:
    indent = 2 if sys.stdout.isatty() else None
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def _facts(pairs: Mapping[str, str]) -> None:
    shown = {name: value for name, value in pairs.items() if value}
    width = max(map(len, shown))
    for name, value in shown.items():
        typer.echo(f"{name:<{width}}{_GAP}{_printable(value)}")


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under their headers; numbers are aligned to the right."""
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    columns = zip(*cells, strict=True)
    right = [all(re.fullmatch(r"[0-9.]*", cell) for cell in column) for column in columns]
    for row in ([header.upper() for header in headers], *cells):
        padded = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ]
        typer.echo(_GAP.join(padded).rstrip())


def _printable(text: str) -> str:
    """Texts come from strangers; a terminal must not obey what they contain."""
    return "".join(character if character.isprintable() else "?" for character in text)
