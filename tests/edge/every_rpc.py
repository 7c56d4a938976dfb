"""Every RPC of the contract with something planted in one field or in all, from descriptors.

A request is whole but for what is planted, so that it gets as far as it can.
"""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from giftcard import v1
from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.rpc.test_served import METHODS

_HTTP: Any = annotations_pb2.http
#: Messages inside messages: a card's reference in a list of a request.
_DEPTH_MAX: Final = 4

#: Makes the next thing to plant; it is told the full name of the field.
Plant = Callable[[str], str]
#: Puts a text into its place in a message.
Put = Callable[[Any, str], None]
#: What a request has where nothing is planted, as far as it has such a field.
_USUAL: Final[dict[str, Any]] = {
    "gift_card": v1.GiftCardReference(code="12399"),
    "amount": v1.Money(minor_units=100, currency_code="USD"),
    "program": "programs/GC",
    "customer": "customers/2059378440",
    "parent": "merchants/demo",
    "reason": "a reason",
}


def methods() -> list[MethodDescriptor]:
    return list(METHODS)


def base(method: MethodDescriptor) -> Message:
    """A request with what is usual."""
    request: Any = GetMessageClass(method.input_type)()
    for name, value in _USUAL.items():
        field: Any = method.input_type.fields_by_name.get(name)
        if field is None or field.is_repeated:
            continue
        if isinstance(value, str) and field.type == FieldDescriptor.TYPE_STRING:
            setattr(request, name, value)
        elif isinstance(value, Message) and field.message_type is value.DESCRIPTOR:
            getattr(request, name).CopyFrom(value)
    if "request_id" in method.input_type.fields_by_name:
        request.request_id = uuid.uuid4().hex
    whole: Message = request
    return whole


def one_at_a_time(method: MethodDescriptor, plant: Plant) -> Iterator[tuple[str, Message]]:
    """For each text of a request its field's name, and the request with that planted."""
    for name, put in _places(method.input_type, method.input_type.name):
        request = base(method)
        put(request, plant(name))
        yield name, request


def all_at_once(method: MethodDescriptor, plant: Plant) -> Message:
    """One request with something else planted in each field."""
    request = base(method)
    for name, put in _places(method.input_type, method.input_type.name):
        put(request, plant(name))
    return request


def _places(kind: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Put]]:
    """The texts of a message, however deep: a name, and what puts a text there."""
    for field in kind.fields:
        name = f"{prefix}.{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield f"{name}.key", partial(_put_key, field.name)
            yield f"{name}.value", partial(_put_value, field.name)
        elif field.message_type is not None and depth < _DEPTH_MAX:
            for inner, put in _places(field.message_type, name, depth + 1):
                yield inner, partial(_put_within, field, put)
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield name, partial(_append if field.is_repeated else _set, field.name)


def _put_key(name: str, message: Any, text: str) -> None:
    getattr(message, name)[text] = "a value"


def _put_value(name: str, message: Any, text: str) -> None:
    getattr(message, name)["a-key"] = text


def _put_within(field: Any, put: Put, message: Any, text: str) -> None:
    put(_within(message, field), text)


def _append(name: str, message: Any, text: str) -> None:
    getattr(message, name).append(text)


def _set(name: str, message: Any, text: str) -> None:
    setattr(message, name, text)


def _within(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if not field.is_repeated:
        return value
    return value[0] if value else value.add()


def rest(method: MethodDescriptor, request: Message) -> Iterator[tuple[str, str, Any]]:
    """The same request by each of its REST bindings: HTTP method, path with query, body."""
    document = MessageToDict(request, preserving_proto_field_name=True)
    rule: Any = method.GetOptions().Extensions[_HTTP]
    for each in (rule, *rule.additional_bindings):
        verb = each.WhichOneof("pattern")
        path, left = _filled(getattr(each, verb), document)
        if each.body:
            yield verb.upper(), path, left
        else:
            yield verb.upper(), f"{path}?{urlencode(dict(_flat(left)), doseq=True)}", None


def _filled(template: str, document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A path whose variables have the request's own values, and what is left of the request."""
    left = {**document}
    filled = ""
    for part in template.split("{"):
        variable, closed, more = part.partition("}")
        if not closed:
            filled += part
            continue
        name, _, pattern = variable.partition("=")
        value: Any = document
        for step in name.split("."):
            value = value.get(step, "") if isinstance(value, dict) else ""
        left.pop(name, None)
        last = pattern.rpartition("/")[2]
        named = pattern.replace("*", "x") if not value else pattern.removesuffix(last) + str(value)
        filled += quote(named.replace("*", "x")) + more
    return filled, left


def _flat(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def secrets_in(message: Any) -> Iterator[str]:
    """What the service made or repeated and is secret: the fields that the contract redacts."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.GetOptions().debug_redact:
            yield from (each for each in values if isinstance(each, str) and each)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in values:
                yield from secrets_in(each)
