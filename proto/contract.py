"""Reads the descriptor image: messages, enums and services by name, with their comments."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from google.api import annotations_pb2, field_behavior_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

PACKAGE: Final = "giftcard.v1"

_Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    descriptor: FieldDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.descriptor.name

    @property
    def type_name(self) -> str:
        """The full name of its message or enum; empty for a scalar."""
        return self.descriptor.type_name.removeprefix(".")

    @property
    def repeated(self) -> bool:
        return self.descriptor.label == FieldDescriptorProto.LABEL_REPEATED

    @property
    def behaviors(self) -> frozenset[str]:
        """Names of its google.api.field_behavior."""
        extension: Any = field_behavior_pb2.field_behavior
        values = self.descriptor.options.Extensions[extension]
        return frozenset(field_behavior_pb2.FieldBehavior.Name(value) for value in values)

    @property
    def has_presence(self) -> bool:
        """Whether it may be absent, rather than zero or empty."""
        message = self.descriptor.type == FieldDescriptorProto.TYPE_MESSAGE
        return not self.repeated and (message or self.descriptor.HasField("oneof_index"))


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    comment: str
    fields: list[Field]
    #: Comment and fields of each oneof.
    oneofs: list[tuple[str, list[Field]]]
    is_map_entry: bool


@dataclass(frozen=True, slots=True)
class Enum:
    name: str
    comment: str
    #: Name and comment of each value.
    values: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Method:
    descriptor: MethodDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.descriptor.name

    @property
    def http(self) -> HttpRule:
        extension: Any = annotations_pb2.http
        rule: HttpRule = self.descriptor.options.Extensions[extension]
        return rule

    @property
    def request(self) -> str:
        return self.descriptor.input_type.removeprefix(".")

    @property
    def response(self) -> str:
        return self.descriptor.output_type.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    comment: str
    methods: list[Method]


@dataclass(slots=True)
class Contract:
    """What the package declares, by full name and in the order of the files."""

    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list)


def read(image: FileDescriptorSet) -> Contract:
    """Returns the contract of an image that has comments."""
    contract = Contract()
    for file in image.file:
        if file.package != PACKAGE:
            continue
        comments = {
            tuple(place.path): _text(place.leading_comments)
            for place in file.source_code_info.location
        }
        for i, message in enumerate(file.message_type):
            _add_message(contract, PACKAGE, message, (4, i), comments)
        for i, enum in enumerate(file.enum_type):
            _add_enum(contract, PACKAGE, enum, (5, i), comments)
        for i, service in enumerate(file.service):
            methods = [
                Method(method, comments.get((6, i, 2, j), ""))
                for j, method in enumerate(service.method)
            ]
            contract.services.append(Service(service.name, comments.get((6, i), ""), methods))
    return contract


def first_sentence(text: str) -> str:
    """What a comment begins with."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].removesuffix(".") + "."


def _add_message(
    contract: Contract,
    scope: str,
    message: DescriptorProto,
    path: _Path,
    comments: dict[_Path, str],
) -> None:
    name = f"{scope}.{message.name}"
    fields = [Field(each, comments.get((*path, 2, i), "")) for i, each in enumerate(message.field)]
    contract.messages[name] = Message(
        name,
        comments.get(path, ""),
        fields,
        list(_oneofs(message, fields, path, comments)),
        message.options.map_entry,
    )
    for i, nested in enumerate(message.nested_type):
        _add_message(contract, name, nested, (*path, 3, i), comments)
    for i, enum in enumerate(message.enum_type):
        _add_enum(contract, name, enum, (*path, 4, i), comments)


def _oneofs(
    message: DescriptorProto, fields: list[Field], path: _Path, comments: dict[_Path, str]
) -> Iterator[tuple[str, list[Field]]]:
    """The oneofs that were written as such; `optional` makes one behind the scenes."""
    for i in range(len(message.oneof_decl)):
        members = [
            each
            for each in fields
            if each.descriptor.HasField("oneof_index")
            and each.descriptor.oneof_index == i
            and not each.descriptor.proto3_optional
        ]
        if members:
            yield comments.get((*path, 8, i), ""), members


def _add_enum(
    contract: Contract,
    scope: str,
    enum: EnumDescriptorProto,
    path: _Path,
    comments: dict[_Path, str],
) -> None:
    name = f"{scope}.{enum.name}"
    values = [(value.name, comments.get((*path, 2, i), "")) for i, value in enumerate(enum.value)]
    contract.enums[name] = Enum(name, comments.get(path, ""), values)


def _text(comment: str) -> str:
    """A comment without the blank that protoc leaves before each line."""
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.splitlines()).strip()
