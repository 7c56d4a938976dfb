"""JSON schemas of the contract's messages, as proto3's JSON form has them.

A message has one schema for requests and answers.  Only a resource in an update has another: all of
its fields may be left out, and those that nobody can set are not there.
"""

from collections.abc import Collection
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from proto.contract import PACKAGE, Contract, Enum, Field, Message

Schema = dict[str, Any]

_SCALARS: Final[dict[int, Schema]] = {
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_INT32: {"type": "integer", "format": "int32"},
    # As text, because a JavaScript number cannot hold it.
    FieldDescriptorProto.TYPE_INT64: {
        "type": "string",
        "format": "int64",
        "pattern": "^-?[0-9]{1,19}$",
    },
    FieldDescriptorProto.TYPE_BYTES: {
        "type": "string",
        "format": "byte",
        "contentEncoding": "base64",
    },
}
_WELL_KNOWN: Final[dict[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["3600s"],
    },
    "google.protobuf.FieldMask": {"type": "string", "examples": ["displayName,labels"]},
}
_DATE: Final[Schema] = {
    "type": "object",
    "description": "A day of the calendar.",
    "properties": {
        name: {"type": "integer", "format": "int32"} for name in ("year", "month", "day")
    },
    "required": ["year", "month", "day"],
}
#: What a caller cannot set when it updates a resource.
_NOT_UPDATABLE: Final = frozenset({"OUTPUT_ONLY", "IDENTIFIER", "IMMUTABLE"})


class Schemas:
    """Makes schemas, and collects the components that they refer to."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._requested: set[str] = set()
        self._components: dict[str, Schema] = {}

    def request(self, name: str, in_path: Collection[str]) -> Schema:
        """A reference to the body of a request: its fields, but those that the path holds.

        `in_path` are field paths; `program.name` says that the program is one to be updated.
        """
        message = self._contract.messages[name]
        fields = [each for each in message.fields if each.name not in in_path]
        self._requested.add(name)
        properties: dict[str, Schema] = {}
        for each in fields:
            if any(path.startswith(f"{each.name}.") for path in in_path):
                properties[each.descriptor.json_name] = self._update(each)
            else:
                self._mark_requested(each.type_name)
                properties[each.descriptor.json_name] = self.field(each)
        self._components[_component(name)] = _object(message, fields, properties)
        return _reference(_component(name))

    def answer(self, name: str) -> Schema:
        """A reference to what a call answers."""
        return self._message(name)

    def field(self, field: Field) -> Schema:
        """A field's schema, with its comment."""
        if field.type_name in self._contract.messages:
            message = self._contract.messages[field.type_name]
            if message.is_map_entry:
                value = {"type": "object", "additionalProperties": self._bare(message.fields[1])}
                return _described(value, field)
        bare = self._bare(field)
        return _described({"type": "array", "items": bare} if field.repeated else bare, field)

    def components(self) -> dict[str, Schema]:
        """All schemas by name.

        What is only ever answered is answered whole: all fields that cannot be absent are there.
        """
        for name, schema in self._components.items():
            message = self._contract.messages.get(f"{PACKAGE}.{name}")
            if message is not None and message.name not in self._requested:
                always = [f.descriptor.json_name for f in message.fields if not f.has_presence]
                if always:
                    schema["required"] = always
        return dict(sorted(self._components.items()))

    def _bare(self, field: Field) -> Schema:
        """The schema of one value of a field."""
        if field.type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[field.type_name])
        if field.type_name == "google.type.Date":
            self._components["Date"] = _DATE
            return _reference("Date")
        if field.type_name in self._contract.enums:
            return self._enum(self._contract.enums[field.type_name])
        if field.type_name:
            return self._message(field.type_name)
        return dict(_SCALARS[field.descriptor.type])

    def _message(self, name: str) -> Schema:
        component = _component(name)
        if component not in self._components:
            message = self._contract.messages[name]
            schema = self._components[component] = {}
            properties = {each.descriptor.json_name: self.field(each) for each in message.fields}
            schema.update(_object(message, message.fields, properties))
        return _reference(component)

    def _update(self, field: Field) -> Schema:
        message = self._contract.messages[field.type_name]
        fields = [each for each in message.fields if not each.behaviors & _NOT_UPDATABLE]
        component = f"{_component(message.name)}Update"
        properties = {}
        for each in fields:
            self._mark_requested(each.type_name)
            properties[each.descriptor.json_name] = self.field(each)
        schema = _object(message, fields, properties)
        schema.pop("required", None)
        self._components[component] = schema
        return _described(_reference(component), field)

    def _mark_requested(self, name: str) -> None:
        if name in self._contract.messages and name not in self._requested:
            self._requested.add(name)
            for each in self._contract.messages[name].fields:
                self._mark_requested(each.type_name)

    def _enum(self, enum: Enum) -> Schema:
        component = _component(enum.name)
        values = "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in enum.values)
        self._components[component] = {
            "type": "string",
            "description": f"{enum.comment}\n\n{values}",
            "enum": [name for name, _ in enum.values],
        }
        return _reference(component)


def _object(message: Message, fields: list[Field], properties: dict[str, Schema]) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": message.comment,
        "properties": properties,
    }
    required = [each.descriptor.json_name for each in fields if "REQUIRED" in each.behaviors]
    if required:
        schema["required"] = required
    choices = [
        {"oneOf": [{"required": [each.descriptor.json_name]} for each in members]}
        for comment, members in message.oneofs
        if "Exactly one is required" in comment
    ]
    if choices:
        schema["allOf"] = choices
    return schema


def _described(schema: Schema, field: Field) -> Schema:
    described = {**schema, "description": field.comment}
    if field.behaviors & {"OUTPUT_ONLY", "IDENTIFIER"}:
        described["readOnly"] = True
    if "INPUT_ONLY" in field.behaviors:
        described["writeOnly"] = True
    if "IMMUTABLE" in field.behaviors:
        described["x-immutable"] = True
    return described


def _reference(component: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component}"}


def _component(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")
