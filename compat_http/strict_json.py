"""Reading and writing JSON so that nothing is guessed and no amount passes through a float.

Reading refuses whatever two readers might take for two things: numbers with exponents, NaN,
duplicate members, lone surrogates, a byte order mark, encodings other than UTF-8, and nesting that
is only there to hurt.  Every refusal names line and column.  Numbers keep their source text.
"""

import json
import re
from typing import Any, Final

import orjson

DEPTH_MAX: Final = 16
_REPAIRS_MAX: Final = 16


class JsonError(ValueError):
    """Not JSON as it is taken here.  The text names the place and never what stands there."""


class Number(str):
    """A JSON number as it was written, which is how an amount has to be read."""

    __slots__ = ()


class _Suspicious(Exception):
    """Something that the quick reader met and only the slow one can locate."""


def _number(text: str) -> Number:
    if "e" in text or "E" in text:
        raise _Suspicious
    return Number(text)


def _constant(text: str) -> Any:
    raise _Suspicious


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Suspicious
    return members


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_float=_number,
    parse_int=Number,
    parse_constant=_constant,
    strict=True,
)


def read(body: bytes, *, repairs_commas: bool = False) -> tuple[Any, int]:
    """The document and how many commas were put in; numbers are `Number`, objects are dicts.

    `repairs_commas` puts in the comma that is missing between two members of an object, and mends
    nothing else.

    Raises:
        JsonError: see the module.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        raise JsonError("line 1, column 1: a byte order mark is not taken; send plain UTF-8")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"{_place_of_byte(body, error.start)}: not valid UTF-8") from None
    if not text.strip(" \t\r\n"):
        raise JsonError("line 1, column 1: the body is empty")
    repaired = 0
    while True:
        if "\\u" in text or text.count("{") + text.count("[") > DEPTH_MAX:
            _inspect(text)
        try:
            return _DECODER.decode(text), repaired
        except json.JSONDecodeError as error:
            mended = _with_comma(text, error.pos) if repairs_commas else None
            if mended is None or repaired == _REPAIRS_MAX:
                # A finding of ours that comes earlier is the better answer.
                _inspect(text[: error.pos])
                raise JsonError(
                    f"line {error.lineno}, column {error.colno}: {_words(error.msg)}"
                ) from None
            text = mended
            repaired += 1
        except _Suspicious:
            _inspect(text)
            raise AssertionError("the slow reader finds what the quick one met") from None


def _words(message: str) -> str:
    return message[:1].lower() + message[1:]


_MEMBER_NAME: Final = re.compile(r'[ \t\r\n]*"(?:[^"\\]|\\.)*"[ \t\r\n]*:')


def _with_comma(text: str, position: int) -> str | None:
    """The text with a comma where one is missing between two members; None where it is not that."""
    before = text[:position].rstrip(" \t\r\n")
    if not before or before[-1] in "{[,:" or not _MEMBER_NAME.match(text, position):
        return None
    return f"{before},{text[len(before) :]}"


# A string that does not end is one piece to the end, so that looking stays linear.
_TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"?|[{}\[\]]|-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+|-?Infinity|NaN', re.DOTALL
)
_AFTER_NAME: Final = re.compile(r"[ \t\r\n]*:")


def _inspect(text: str) -> None:
    """Looks at each piece for what the quick reader cannot locate.

    Raises:
        JsonError: for the first that is not taken.
    """
    names: list[set[str]] = []
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if piece in "{[":
            names.append(set())
            if len(names) > DEPTH_MAX:
                raise JsonError(f"{_place(text, match.start())}: nested deeper than {DEPTH_MAX}")
        elif piece in "}]":
            if names:
                names.pop()
        elif piece[0] == '"':
            _inspect_string(text, match, names)
        else:
            what = "an exponent" if piece[-1].isdigit() else "this value"
            raise JsonError(f"{_place(text, match.start())}: {what} is not taken for a number")


def _inspect_string(text: str, match: re.Match[str], names: list[set[str]]) -> None:
    try:
        value = json.loads(match.group())
        value.encode()
    except json.JSONDecodeError:
        return  # the reader has the better words
    except UnicodeEncodeError:
        raise JsonError(f"{_place(text, match.start())}: half a surrogate pair") from None
    if names and _AFTER_NAME.match(text, match.end()):
        if value in names[-1]:
            raise JsonError(f"{_place(text, match.start())}: the member stands there twice")
        names[-1].add(value)


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, column {column}"


def _place_of_byte(body: bytes, position: int) -> str:
    return _place(body[:position].decode(errors="replace") + "?", position)


def exact_number(text: str) -> orjson.Fragment:
    """A number that is written exactly so: 100.00 stays 100.00."""
    return orjson.Fragment(text)


def write(document: Any) -> bytes:
    """UTF-8 JSON without spaces, members in their order."""
    return orjson.dumps(document)
