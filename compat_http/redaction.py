"""What may be kept of a legacy call: pure functions from documents to text without secrets.

Only members that a dialect declares are kept.  Of a code its end is kept, of a secret nothing, and
an undeclared member is only counted: nobody knows what a stranger put there, nor into its name.
Whatever was masked in one place is masked wherever else it stands, in the request and the answer.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from compat_http.dialect import ending

MASK: Final = "***"
UNDECLARED: Final = "(undeclared members)"
TOO_LARGE: Final = "(not kept: too large)"

_TEXT_LENGTH_MAX: Final = 200
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,9})?")
_SEPARATORS: Final = re.compile(r"[\W_]+")
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
    known = list(secrets)
    # Once to see what there is, and again only where something kept has a secret in it.
    first = _Pass(redaction, known, lambda text: False)
    try:
        kept = [first.document(document) for document in documents]
        filter_ = SecretFilter(first.found)
        if len(first.kept) * len(filter_) > _COMPARISONS_MAX:
            raise _TooLargeError
        if filter_.has_secret("\n".join(first.kept)):
            again = _Pass(redaction, known, filter_.has_secret)
            kept = [again.document(document) for document in documents]
    except _TooLargeError:
        filter_ = SecretFilter(known)
        kept = [None if document is None else TOO_LARGE for document in documents]
    return [_text(document) for document in kept], filter_.texts(texts)


def _text(document: Any) -> str:
    if document is None or document is TOO_LARGE:
        return document or ""
    return orjson.dumps(document).decode()


class _TooLargeError(Exception):
    """More than one exchange is worth."""


class SecretFilter:
    """Tells whether a text has a secret in it, in whatever case and with whatever separators."""

    def __init__(self, secrets: Iterable[str]) -> None:
        folded = {secret.casefold() for secret in secrets}
        essences = map(_essence, folded)
        self._plain = {secret for secret in folded if len(secret) >= _SECRET_LENGTH_MIN}
        self._essences = {each for each in essences if len(each) >= _SECRET_LENGTH_MIN}

    def __len__(self) -> int:
        return len(self._plain) + len(self._essences)

    def has_secret(self, text: str) -> bool:
        folded = text.casefold()
        essence = _essence(folded)
        return any(secret in folded for secret in self._plain) or any(
            secret in essence for secret in self._essences
        )

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Each cut to what a log has room for; the mask where it has a secret in it."""
        if not self.has_secret("\n".join(texts)):
            return list(map(_shown, texts))
        return [MASK if self.has_secret(text) else _shown(text) for text in texts]


def _essence(folded: str) -> str:
    return _SEPARATORS.sub("", folded)


def _shown(text: str) -> str:
    if not text.isprintable():
        return MASK
    return text if len(text) <= _TEXT_LENGTH_MAX else f"{text[:_TEXT_LENGTH_MAX]}…"


class _Pass:
    """Goes through documents: what may be kept is kept, unless `is_secret` says no.

    `kept` and `found` become all texts and numbers that stand where they may be kept, and those
    that do not.
    """

    def __init__(
        self, redaction: Redaction, known: Sequence[str], is_secret: Callable[[str], bool]
    ) -> None:
        self._redaction = redaction
        self._is_secret = is_secret
        self.kept: list[str] = []
        self.found = list(known)

    def document(self, document: Any) -> Any:
        if document is None:
            return None
        if type(document) is dict:
            return self._object(document, 0)
        self._mask(document, 0)  # without a member there is no name to be declared by
        return MASK

    def _object(self, members: dict[str, Any], depth: int) -> dict[str, Any]:
        self._look(depth)
        redaction = self._redaction
        shown: dict[str, Any] = {}
        undeclared = 0
        for name, value in members.items():
            folded = name.casefold()
            if folded in redaction.secrets:
                self._mask(value, depth)
                shown[name] = MASK
            elif folded in redaction.codes:
                self._mask(value, depth)
                shown[name] = _ends(value)
            elif folded in redaction.declared:
                shown[name] = self._value(value, depth)
            else:
                self._mask(value, depth)
                undeclared += 1
        if undeclared:
            shown[UNDECLARED] = undeclared
        return shown

    def _value(self, value: Any, depth: int) -> Any:
        # By exact type, the most frequent first: this runs for every member of every call.
        kind = type(value)
        if kind is str:
            self.kept.append(value)
            return MASK if self._is_secret(value) else _shown(value)
        if value is None or kind is bool:
            return value
        if kind is dict:
            return self._object(value, depth + 1)
        if kind is list:
            self._look(depth)
            return [self._value(each, depth + 1) for each in value]
        text = _plain(value)
        self.kept.append(text)
        is_amount = _NUMBER.fullmatch(text) and not self._is_secret(text)
        return orjson.Fragment(text) if is_amount else MASK

    def _mask(self, value: Any, depth: int) -> None:
        """Finds every text and number in what is not kept."""
        self._look(depth)
        kind = type(value)
        if kind is dict:
            for each in value.values():
                self._mask(each, depth + 1)
        elif kind is list:
            for each in value:
                self._mask(each, depth + 1)
        elif value is not None and kind is not bool:
            self.found.append(_plain(value))

    def _look(self, depth: int) -> None:
        if depth > _DEPTH_MAX or len(self.kept) + len(self.found) > _SCALARS_MAX:
            raise _TooLargeError


def _plain(value: Any) -> str:
    """A text or number as it stands in JSON.  A number of an answer is a fragment."""
    return orjson.dumps(value).decode() if isinstance(value, orjson.Fragment) else str(value)


def _ends(value: Any) -> Any:
    """The ends of codes; whatever else stands in a code's place is masked whole."""
    if type(value) is list:
        return [_ends(each) for each in value]
    if value is None or type(value) is bool:
        return value
    if type(value) is dict:
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
