"""Reads the descriptor image as lists of elements with their comments. Knows no rules.

The tests read the image rather than the Python modules, because only the image has comments.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.api import annotations_pb2, field_behavior_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

ROOT: Final = Path(__file__).resolve().parents[2]
IMAGE: Final = FileDescriptorSet.FromString((ROOT / "generated/giftcard.binpb").read_bytes())

SourcePath = tuple[int, ...]
"""Where an element is in its file, as SourceCodeInfo counts."""


@dataclass(frozen=True, slots=True)
class Element:
    """Anything that must have a comment: `name` is its full name without the package."""

    name: str
    comment: str


@dataclass(frozen=True, slots=True)
class Field(Element):
    """A field of a message of ours. Entries of maps are not messages of ours."""

    descriptor: FieldDescriptorProto

    @property
    def behaviors(self) -> frozenset[str]:
        """Names of its google.api.field_behavior."""
        extensions = self.descriptor.options.Extensions
        values: list[int] = extensions[field_behavior_pb2.field_behavior]  # type: ignore[index]
        return frozenset(field_behavior_pb2.FieldBehavior.Name(value) for value in values)

    @property
    def redacted(self) -> bool:
        """Whether it is kept out of debug output."""
        return self.descriptor.options.debug_redact


@dataclass(frozen=True, slots=True)
class Rpc(Element):
    """A method of one of our services."""

    descriptor: MethodDescriptorProto

    @property
    def http(self) -> HttpRule:
        """Its google.api.http binding."""
        rule: HttpRule = self.descriptor.options.Extensions[annotations_pb2.http]  # type: ignore[index]
        return rule

    @property
    def verb(self) -> str:
        """get, post or patch; empty without a binding."""
        return self.http.WhichOneof("pattern") or ""

    @property
    def template(self) -> str:
        """The path of its binding, with variables; empty without a binding."""
        return str(getattr(self.http, self.verb)) if self.verb else ""

    @property
    def path_variables(self) -> list[str]:
        """The dotted field paths in the template."""
        return re.findall(r"\{([^=}]+)[=}]", self.template)

    @property
    def request(self) -> str:
        """Name of its request message."""
        return self.descriptor.input_type.removeprefix(".giftcard.v1.")

    @property
    def response(self) -> str:
        """Name of its response message."""
        return self.descriptor.output_type.removeprefix(".giftcard.v1.")


class Contract:
    """All elements of the giftcard.v1 package, in the order of the files."""

    def __init__(self, image: FileDescriptorSet) -> None:
        self.elements: list[Element] = []
        self.fields: dict[str, list[Field]] = {}
        self.rpcs: list[Rpc] = []
        self.enum_values: dict[str, list[Element]] = {}
        self.exported_names: set[str] = set()
        for file in image.file:
            if file.package == "giftcard.v1":
                self._add_file(file)

    def fields_below(self, message: str, depth: int = 4) -> Iterator[Field]:
        """Yields the fields of a message and of the messages in it."""
        for field in self.fields.get(message, []):
            yield field
            if depth:
                yield from self.fields_below(message_of(field), depth - 1)

    def field(self, message: str, dotted: str) -> Field | None:
        """Returns the field at a dotted path, or None."""
        found: Field | None = None
        for name in dotted.split("."):
            found = next(
                (f for f in self.fields.get(message, []) if f.descriptor.name == name), None
            )
            if found is None:
                return None
            message = message_of(found)
        return found

    def _add_file(self, file: FileDescriptorProto) -> None:
        comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
        self.elements.append(Element(file.name, comments.get((2,), "")))
        for i, message in enumerate(file.message_type):
            self.exported_names.add(message.name)
            self._add_message(message, message.name, (4, i), comments)
        for i, enum in enumerate(file.enum_type):
            self.exported_names.add(enum.name)
            self._add_enum(enum, enum.name, (5, i), comments)
        for i, service in enumerate(file.service):
            self.exported_names |= {
                f"{service.name}Stub",
                f"{service.name}Servicer",
                f"add_{service.name}Servicer_to_server",
            }
            self.elements.append(Element(service.name, comments.get((6, i), "")))
            for j, method in enumerate(service.method):
                name = f"{service.name}.{method.name}"
                self.rpcs.append(Rpc(name, comments.get((6, i, 2, j), ""), method))
                self.elements.append(self.rpcs[-1])

    def _add_message(
        self, message: DescriptorProto, name: str, path: SourcePath, comments: dict[SourcePath, str]
    ) -> None:
        if message.options.map_entry:
            return
        self.elements.append(Element(name, comments.get(path, "")))
        self.fields[name] = [
            Field(f"{name}.{field.name}", comments.get((*path, 2, i), ""), field)
            for i, field in enumerate(message.field)
        ]
        self.elements += self.fields[name]
        for i, oneof in enumerate(message.oneof_decl):
            # `optional` makes a oneof behind the scenes, named after its field.
            if not oneof.name.startswith("_"):
                comment = comments.get((*path, 8, i), "")
                self.elements.append(Element(f"{name}.{oneof.name}", comment))
        for i, nested in enumerate(message.nested_type):
            self._add_message(nested, f"{name}.{nested.name}", (*path, 3, i), comments)
        for i, enum in enumerate(message.enum_type):
            self._add_enum(enum, f"{name}.{enum.name}", (*path, 4, i), comments)

    def _add_enum(
        self,
        enum: EnumDescriptorProto,
        name: str,
        path: SourcePath,
        comments: dict[SourcePath, str],
    ) -> None:
        self.elements.append(Element(name, comments.get(path, "")))
        self.enum_values[name] = [
            Element(f"{name}.{value.name}", comments.get((*path, 2, i), ""))
            for i, value in enumerate(enum.value)
        ]
        self.elements += self.enum_values[name]


def message_of(field: Field) -> str:
    """Returns the name of the message type of ours that a field has, or an empty string."""
    prefix = ".giftcard.v1."
    name = field.descriptor.type_name
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


CONTRACT: Final = Contract(IMAGE)
