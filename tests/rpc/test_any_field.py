"""Every field of every request, filled with what does not belong there.

Made from the contract's descriptors, so that a new field is covered on the day it is added. What
each field's own mistakes are called stands in `bad_requests`; here holds what must always hold: an
error has one ErrorInfo of the contract and shows no defect, and only a decision leaves a row. All
are sent at once, so that they share batches: what is refused costs its neighbours nothing.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.domain.errors import MESSAGES
from server.rpc import errors
from tests.rpc.edge_stage import Stage, unique
from tests.rpc.good_requests import good_requests
from tests.rpc.test_served import METHODS, REASONS

#: What a caller can be told; INTERNAL, UNKNOWN, UNAVAILABLE and the like would be defects.
EXPECTED: Final = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "ABORTED", "FAILED_PRECONDITION",
    "PERMISSION_DENIED",
}  # fmt: skip

TEXTS: Final = (
    "", " ", "\0", "a\nb", "ä", "\u202e", "\U0001f4b3", "x" * 129, "x" * 20_000, "*", "a/b/c/d/e",
    "%s' OR 1=1 --", "giftCards/" + "0" * 32, "9" * 40,
)  # fmt: skip
INTEGERS: Final = (0, -1, 2**31 - 1, -(2**31))
LONG_INTEGERS: Final = (0, -1, 10**12 + 1, 2**63 - 1, -(2**63))
ENUMS: Final = (0, 99, -1)
REPEATED: Final = (1, 200)

WORDS: Final = {*MESSAGES.values(), *errors._MESSAGES.values()}

Type = FieldDescriptor


def values(field: Any) -> tuple[Any, ...]:
    """What may be put into a field that holds one plain value."""
    if field.type == Type.TYPE_STRING:
        return TEXTS
    if field.type == Type.TYPE_ENUM:
        return ENUMS
    if field.type == Type.TYPE_BOOL:
        return (False, True)
    return LONG_INTEGERS if field.type == Type.TYPE_INT64 else INTEGERS


def spoiled(request: Message) -> Iterator[tuple[str, Message]]:
    """Copies of a request in each of which one field is not as it was, with what was done."""
    field: Any
    for field in request.DESCRIPTOR.fields:
        for what, spoil in _spoils(field):
            copy = type(request)()
            copy.CopyFrom(request)
            spoil(copy)
            yield f"{field.name} {what}"[:200], copy
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        within = getattr(request, field.name)
        single = within[0] if field.is_repeated and within else within
        if field.is_repeated and not within:
            single = GetMessageClass(field.message_type)()
        for what, inner in spoiled(single):
            copy = type(request)()
            copy.CopyFrom(request)
            _put(copy, field, inner)
            yield f"{field.name}.{what}", copy


def _put(request: Any, field: Any, value: Message) -> None:
    if not field.is_repeated:
        getattr(request, field.name).CopyFrom(value)
        return
    request.ClearField(field.name)
    getattr(request, field.name).add().CopyFrom(value)


def _spoils(field: Any) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Each takes the message and changes this field of it."""
    yield "absent", partial(_clear, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for text in TEXTS:
            yield f"key {text!r}", partial(_map, field.name, text, "v")
            yield f"entry {text!r}", partial(_map, field.name, "k", text)
    elif field.is_repeated:
        for count in REPEATED:
            yield f"{count} times", partial(_repeat, field, count)
        for value in values(field) if field.message_type is None else ():
            yield repr(value), partial(_append, field.name, value)
    elif field.message_type is not None:
        yield "empty", partial(_empty, field.name)
    else:
        for value in values(field):
            yield repr(value), partial(_set, field.name, value)


def _clear(name: str, message: Any) -> None:
    message.ClearField(name)


def _empty(name: str, message: Any) -> None:
    message.ClearField(name)
    getattr(message, name).SetInParent()


def _set(name: str, value: Any, message: Any) -> None:
    setattr(message, name, value)


def _append(name: str, value: Any, message: Any) -> None:
    getattr(message, name).append(value)


def _map(name: str, key: str, value: str, message: Any) -> None:
    getattr(message, name)[key] = value


def _repeat(field: Any, count: int, message: Any) -> None:
    present = list(getattr(message, field.name))
    new = GetMessageClass(field.message_type)() if field.message_type else values(field)[1]
    getattr(message, field.name).extend((present or [new])[:1] * count)


@pytest.fixture(scope="module")
def stage(edge_on_postgresql: Stage) -> Stage:
    """The stricter engine: SQLite takes a NUL in a text and knows no range of integers."""
    return edge_on_postgresql


@pytest.fixture(scope="module")
def good(stage: Stage) -> dict[str, Message]:
    return good_requests(stage)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_field_can_hold_what_the_server_cannot_bear(
    stage: Stage, good: dict[str, Message], method: MethodDescriptor
) -> None:
    request: Any = good[method.name]
    writes = "request_id" in request.DESCRIPTOR.fields_by_name
    who = "platform" if "Merchant" in method.name else "own"
    rows = stage.rows()
    begun = []
    for what, bad in spoiled(request):
        if writes and not what.startswith("request_id"):
            bad.request_id = unique()  # type: ignore[attr-defined]
        begun.append((what, stage.begin(bad, who)))
    seen = set()
    written = 0
    for what, future in begun:
        heard = stage.wait(future)
        seen.add(heard.code)
        stored = heard.code == "OK" or "transaction" in heard.metadata
        written += writes and stored and heard.reason != "REQUEST_ID_REUSED"
        case = f"{method.name} with {what}: {heard}"
        assert heard.code in EXPECTED, case
        if heard.code != "OK":
            assert heard.details.count("ErrorInfo") == 1, case
            assert heard.reason in REASONS, case
            assert heard.text in WORDS, case
            assert bool(heard.fields) == (heard.reason == "INVALID_FIELD"), case
    # A look-up writes only where it seals; a reversal of what never arrived writes two rows.
    if method.name not in {"LookupTransaction", "ReverseTransaction"}:
        assert stage.rows() == rows + written
    assert "INVALID_ARGUMENT" in seen
