"""Answers as lines of plain text that are the same on every run, to be compared with a golden.

A line is the path of a field and its value; what is not set has no line. Of a card or hold that
was shown before, only what has changed since has one. Ids are numbered in the order in which they
come; hashes, tokens, files and codes that the server makes do not show.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.rpc.edge_stage import Heard

_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_ETAG = re.compile(r'"[0-9a-f]{8}-(\d+)"')
_VALUES = {"Money", "Timestamp", "Date", "CallContext", "Entry", "Tranche", "PlanLine"}
_REMEMBERED = {"GiftCard", "Customer", "Hold"}


class Plain:
    """One story's answers; what an id is called stays the same throughout."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}
        self._made_codes: set[str] = set()
        self._shown: dict[str, dict[str, str]] = {}

    def hide(self, made_code: str) -> None:
        """This code is random, and so are its last four characters."""
        self._made_codes.add(made_code)

    def lines(self, heard: Heard) -> list[str]:
        lines = [f"= {heard.code}" + (" replayed" if heard.replayed else "")]
        if heard.message is not None:
            lines += [f"{path}: {value}" for path, value in self._leaves(heard.message, "")]
        else:
            lines += [f"{heard.reason}: {heard.text}"]
            lines += [f"metadata.{key}: {value}" for key, value in sorted(heard.metadata.items())]
            lines += [f"details: {' '.join(heard.details)}"]
        return [self._steady(line) for line in lines]

    def _steady(self, line: str) -> str:
        for code in self._made_codes:
            line = line.replace(code, f"({len(code)} characters)")
            line = re.sub(rf"(code_last_four: ){re.escape(code[-4:])}$", r"\1(made)", line)
        return _ETAG.sub(r'"-\1"', _ID.sub(self._number, line))

    def _number(self, match: re.Match[str]) -> str:
        return self._numbers.setdefault(match[0].lower(), f"#{len(self._numbers) + 1}")

    def _leaves(self, message: Message, path: str) -> Iterator[tuple[str, str]]:
        """Of what was shown before, the name and the changes."""
        leaves = dict(self._fields(message, ""))
        before: dict[str, str] = {}
        if message.DESCRIPTOR.name in _REMEMBERED:
            before = self._shown.get(leaves["name"], {})
            self._shown[leaves["name"]] = leaves
        for name, value in leaves.items():
            if name == "name" or before.get(name) != value:
                yield f"{path}{name}", value
        for name in sorted(before.keys() - leaves.keys()):
            yield f"{path}{name}", "(no more)"

    def _fields(self, message: Message, path: str) -> Iterator[tuple[str, str]]:
        for field, value in message.ListFields():
            name = f"{path}{field.name}"
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                for key in sorted(value):
                    yield f"{name}[{key}]", str(value[key])
            elif field.is_repeated:
                for index, each in enumerate(value):
                    yield from self._field(field, each, f"{name}[{index}]")
            else:
                yield from self._field(field, value, name)

    def _field(self, field: FieldDescriptor, value: Any, name: str) -> Iterator[tuple[str, str]]:
        if field.message_type is None or field.message_type.name in _VALUES:
            yield name, _text(field, value)
        else:
            yield from self._leaves(value, f"{name}.")


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.message_type is not None:
        return _value(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else f"UNKNOWN {value}"
    if field.name == "content":
        return "(a file)"
    if field.name == "next_page_token":
        return "(a token)"
    return f"({len(value)} bytes)" if isinstance(value, bytes) else str(value)


def _value(value: Any) -> str:
    kind = value.DESCRIPTOR.name
    if kind == "Money":
        return f"{value.minor_units} {value.currency_code}"
    if kind == "Date":
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    if kind == "Timestamp":
        second = datetime.fromtimestamp(value.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return second + (f"+{value.nanos // 1000}us" if value.nanos else "")
    return ", ".join(f"{field.name} {_text(field, each)}" for field, each in value.ListFields())
