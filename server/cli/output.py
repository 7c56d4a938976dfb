"""What commands print: facts, tables, JSON, and errors of one sentence.

Nothing that the contract marks as secret is printed unless the caller of these functions says so.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from google.protobuf.message import Message

REFUSED: Final = 1
UNUSABLE: Final = 2
UNKNOWN: Final = 3

REPLAYED: Final = "yes: it was done before, and this is what was answered then"

_GAP: Final = "  "
#: A count, or an amount with its currency.
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+( [A-Z]+)?")


class CommandError(Exception):
    """Ends a command with one sentence and an exit status."""

    def __init__(self, message: str, status: int = REFUSED) -> None:
        super().__init__(message)
        self.status = status


def say(text: str) -> None:
    """A remark for people, on standard error so that it is not in the way of scripts."""
    typer.echo(text, err=True)


def facts(pairs: Mapping[str, str]) -> None:
    """Names and values in two columns; what is empty is left out."""
    shown = {name: value for name, value in pairs.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        typer.echo(f"{name:<{width}}{_GAP}{_printable(value)}")


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "There are none."
) -> None:
    """Columns under their headers; a column of amounts or numbers is aligned to the right."""
    if not rows:
        say(empty)
        return
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [
        max(len(header), *(len(row[index]) for row in cells))
        for index, header in enumerate(headers)
    ]
    numeric = [
        all(_is_number(row[index]) for row in cells if row[index])
        and any(row[index] for row in cells)
        for index in range(len(headers))
    ]
    typer.echo(_line([header.upper() for header in headers], widths, numeric))
    for row in cells:
        typer.echo(_line(row, widths, numeric))


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def _printable(text: str) -> str:
    """Names and texts come from strangers; a terminal must not obey what they contain."""
    return "".join(character if character.isprintable() else "?" for character in text)


def print_json(value: Any) -> None:
    """One JSON document; what a terminal shows is indented."""
    indent = 2 if sys.stdout.isatty() else None
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def as_json(message: "Message", *, secrets: bool = False) -> dict[str, Any]:
    """A message as the JSON of the contract, zero values included, secrets left out."""
    from google.protobuf.json_format import MessageToDict

    shown = type(message)()
    shown.CopyFrom(message)
    if not secrets:
        _clear_secrets(shown)
    answer: dict[str, Any] = MessageToDict(shown, always_print_fields_with_no_presence=True)
    return answer


def _clear_secrets(message: "Message") -> None:
    for field, value in message.ListFields():
        if field.GetOptions().debug_redact:
            message.ClearField(field.name)
        elif field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        elif field.is_repeated:
            for each in value:
                _clear_secrets(each)
        else:
            _clear_secrets(value)


def show_resource(
    message: "Message", shown: Mapping[str, str], json: bool, link: Any = None, request_id: str = ""
) -> None:
    """One resource; with `link`, the answer to the request that wrote it."""
    replayed = link is not None and link.replayed
    if json:
        written = {"requestId": request_id, "replayed": replayed} if link is not None else {}
        print_json({**as_json(message), **written})
        return
    facts({**shown, "request id": request_id, "replayed": REPLAYED if replayed else ""})


def list_resources(
    key: str, found: Sequence[Any], json: bool, facts_of: Callable[[Any], Mapping[str, str]]
) -> None:
    """A table with a row for each, or a JSON object with all under `key`."""
    if json:
        print_json({key: [as_json(each) for each in found]})
        return
    rows = [facts_of(each) for each in found]
    table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])
