"""What may be kept of a legacy call: pure functions from documents to text without secrets.

Only members that a dialect declares are kept.  Of a code its end is kept, of a secret nothing, and
an undeclared member is only counted: nobody knows what a stranger put there, nor into its name.
Whatever was masked in one place is masked wherever else it stands, in the request and the answer.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from compat_http.dialect import ending
from compat_http.strict_json import Number

MASK: Final = "***"
UNDECLARED: Final = "(undeclared members)"
TOO_LARGE: Final = "(not kept: too large)"

_TEXT_LENGTH_MAX: Final = 200
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,9})?")
_DEPTH_MAX: Final = 32
#: Shorter texts cannot be told from ordinary words and numbers.  PINs have four digits or more.
_SECRET_LENGTH_MIN: Final = 4
#: Bounds on the work for one exchange: scalars, and comparisons of a text with a secret.
_SCALARS_MAX: Final = 5_000
_COMPARISONS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Redaction:
    """A dialect's members by name, in lower case.  One that stands in no set is not kept.

    `codes` hold card codes, `secrets` what is never kept, `declared` what may be; a name that
    stands in several of them is a secret first, then a code.
    """

    codes: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()


NOTHING_DECLARED: Final = Redaction()


def declared_members(schemas: Iterable[Any]) -> frozenset[str]:
    """The names of all members that JSON schemas describe, in lower case."""
    return frozenset(name.casefold() for schema in schemas for name in _properties(schema))


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for keyword, value in schema.items():
            if keyword == "properties" and isinstance(value, Mapping):
                yield from value
                for each in value.values():
                    yield from _properties(each)
            elif keyword not in ("example", "examples", "default", "enum", "const"):
                yield from _properties(value)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from _properties(each)


def redact(
    documents: Sequence[Any], texts: Sequence[str], redaction: Redaction, secrets: Iterable[str]
) -> tuple[list[str], list[str]]:
    """The documents as JSON text without secrets, and the texts, each whole or masked.

    Args:
        documents: JSON documents that belong to one exchange; None becomes "".
        texts: what else is kept of it, such as the client's request id.
        redaction: the dialect's members.
        secrets: known ones, such as the caller's credential; those in the documents are added.
    """
    found = list(secrets)
    kept = list(texts)
    try:
        for document in documents:
            _sort(document, redaction, kept, found, keep=isinstance(document, dict))
        filter_ = SecretFilter(found)
        if len(kept) * len(filter_) > _COMPARISONS_MAX:
            raise _TooLargeError
        rendered = [_text(document, redaction, filter_) for document in documents]
    except _TooLargeError:
        filter_ = SecretFilter(secrets)
        rendered = ["" if document is None else TOO_LARGE for document in documents]
    return rendered, [filter_.text(text) for text in texts]


def _text(document: Any, redaction: Redaction, secrets: "SecretFilter") -> str:
    if document is None:
        return ""
    if not isinstance(document, dict):  # without a member there is no name to be declared by
        return _MASK_TEXT
    return "".join(_render(document, redaction, secrets))


class _TooLargeError(Exception):
    """More than one exchange is worth."""


class SecretFilter:
    """Tells whether a text has a secret in it, in whatever case and with whatever separators."""

    def __init__(self, secrets: Iterable[str]) -> None:
        folded = {secret.casefold() for secret in secrets}
        self._plain = [secret for secret in folded if len(secret) >= _SECRET_LENGTH_MIN]
        essences = {_essence(secret) for secret in folded}
        self._essences = [each for each in essences if len(each) >= _SECRET_LENGTH_MIN]

    def __len__(self) -> int:
        return len(self._plain) + len(self._essences)

    def has_secret(self, text: str) -> bool:
        if len(text) < _SECRET_LENGTH_MIN and text.isascii():
            return False  # casefold makes only other letters longer
        folded = text.casefold()
        for secret in self._plain:
            if secret in folded:
                return True
        essence = _essence(folded)
        for secret in self._essences:  # noqa: SIM110 - twice as fast as any(), for every text
            if secret in essence:
                return True
        return False

    def text(self, text: str) -> str:
        """The text, cut to what a log has room for; the mask where it has a secret in it."""
        if self.has_secret(text) or not text.isprintable():
            return MASK
        return text if len(text) <= _TEXT_LENGTH_MAX else f"{text[:_TEXT_LENGTH_MAX]}…"


def _essence(text: str) -> str:
    return text if text.isalnum() else "".join(filter(str.isalnum, text))


def _sort(
    document: Any, redaction: Redaction, kept: list[str], found: list[str], *, keep: bool
) -> None:
    """Adds every text and number to those that may be kept where they stand, or to the secrets.

    Raises:
        _TooLargeError: there are too many, or they lie too deep.
    """
    waiting = [(document, keep, 0)]
    while waiting:
        value, is_kept, depth = waiting.pop()
        if depth > _DEPTH_MAX or len(kept) + len(found) > _SCALARS_MAX:
            raise _TooLargeError
        if type(value) is str:
            (kept if is_kept else found).append(value)
        elif isinstance(value, dict):
            for name, each in value.items():
                inside = is_kept and _treatment(name, redaction) == "kept"
                waiting.append((each, inside, depth + 1))
        elif isinstance(value, list | tuple):
            waiting.extend((each, is_kept, depth + 1) for each in value)
        elif not isinstance(value, bool) and value is not None:
            (kept if is_kept else found).append(_plain(value))


def _quoted(value: Any) -> str:
    return orjson.dumps(value).decode()


_MASK_TEXT: Final = _quoted(MASK)


@lru_cache(maxsize=1024)
def _treatment(name: str, redaction: Redaction) -> str:
    folded = name.casefold()
    if folded in redaction.secrets:
        return "secret"
    if folded in redaction.codes:
        return "code"
    return "kept" if folded in redaction.declared else "undeclared"


def _plain(value: Any) -> str:
    """A text or number as it stands in JSON."""
    if isinstance(value, orjson.Fragment):
        return orjson.dumps(value).decode()
    return str(value)


def _render(value: Any, redaction: Redaction, secrets: SecretFilter) -> Iterator[str]:
    if type(value) is str:
        yield _quoted(secrets.text(value))
    elif isinstance(value, dict):
        yield from _render_object(value, redaction, secrets)
    elif isinstance(value, list | tuple):
        yield "["
        for place, each in enumerate(value):
            yield ", " * (place > 0)
            yield from _render(each, redaction, secrets)
        yield "]"
    elif value is None or isinstance(value, bool):
        yield _quoted(value)
    elif _is_number(value):
        text = _plain(value)
        allowed = _NUMBER.fullmatch(text) and not secrets.has_secret(text)
        yield text if allowed else _MASK_TEXT
    else:
        yield _quoted(secrets.text(_plain(value)))


def _render_object(
    members: Mapping[str, Any], redaction: Redaction, secrets: SecretFilter
) -> Iterator[str]:
    undeclared = 0
    separator = ""
    yield "{"
    for name, value in members.items():
        treatment = _treatment(name, redaction)
        if treatment == "undeclared":
            undeclared += 1
            continue
        yield f"{separator}{_quoted(name)}: "
        if treatment == "kept":
            yield from _render(value, redaction, secrets)
        elif treatment == "code":
            yield json.dumps(_ends(value), ensure_ascii=False)
        else:
            yield _MASK_TEXT
        separator = ", "
    if undeclared:
        yield f'{separator}"{UNDECLARED}": {undeclared}'
    yield "}"


def _is_number(value: Any) -> bool:
    """A request's numbers are `Number`, an answer's are fragments."""
    return isinstance(value, int | float | Number | orjson.Fragment)


def _ends(value: Any) -> Any:
    """The ends of codes; whatever else stands in a code's place is masked whole."""
    if isinstance(value, list | tuple):
        return [_ends(each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return MASK
    end = ending(_plain(value))
    return f"…{end}" if end.isascii() and end.isalnum() else MASK


def pretty(text: str) -> str:
    """A redacted document for people: indented, numbers as they were written."""
    try:
        document = json.loads(text, parse_float=_Verbatim, parse_int=_Verbatim)
    except ValueError:
        return text
    return "".join(_indented(document, ""))


class _Verbatim(str):
    """A number that is printed as it was written."""

    __slots__ = ()


def _indented(value: Any, indent: str) -> Iterator[str]:
    brackets = "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, _Verbatim):
        yield value
    elif not isinstance(value, dict | list) or not value:
        yield json.dumps(value, ensure_ascii=False)
    else:
        deeper = f"{indent}  "
        yield brackets[0]
        named: Collection[Any] = value.items() if isinstance(value, dict) else value
        for place, each in enumerate(named):
            yield f"{',' * (place > 0)}\n{deeper}"
            if isinstance(value, dict):
                yield f"{json.dumps(each[0], ensure_ascii=False)}: "
                each = each[1]  # noqa: PLW2901 - the member's value
            yield from _indented(each, deeper)
        yield f"\n{indent}{brackets[1]}"


def secrets_of(authorization: str) -> tuple[str, ...]:
    """What is secret in a credential: a token, or the password with its encoded form."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.casefold() != "basic":
        return (secret,) if secret else ()
    try:
        password = base64.b64decode(secret, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return (secret,)
    return (secret, password)
