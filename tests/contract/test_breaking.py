"""What would break a client of an earlier release is refused; what adds to the contract is not."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from proto.generate import GENERATED, IMAGE_NAME, ROOT, script

Change = Callable[[FileDescriptorSet], None]


def _file(image: FileDescriptorSet, name: str) -> FileDescriptorProto:
    return next(each for each in image.file if each.name == f"giftcard/v1/{name}.proto")


def _money(image: FileDescriptorSet) -> DescriptorProto:
    return next(
        message for file in image.file for message in file.message_type if message.name == "Money"
    )


def _nothing(image: FileDescriptorSet) -> None: ...


def _add_a_field(image: FileDescriptorSet) -> None:
    _money(image).field.add(
        name="note", number=99, json_name="note",
        type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL,
    )  # fmt: skip


def _drop_a_field(image: FileDescriptorSet) -> None:
    del _money(image).field[0]


def _renumber_a_field(image: FileDescriptorSet) -> None:
    _money(image).field[0].number = 99


def _retype_a_field(image: FileDescriptorSet) -> None:
    _money(image).field[0].type = FieldDescriptorProto.TYPE_STRING


def _drop_a_call(image: FileDescriptorSet) -> None:
    del _file(image, "gift_card_service").service[0].method[0]


def _drop_a_reason(image: FileDescriptorSet) -> None:
    del _file(image, "error_reason").enum_type[0].value[-1]


@pytest.mark.parametrize(
    ("change", "compatible"),
    [
        (_nothing, True),
        (_add_a_field, True),
        (_drop_a_field, False),
        (_renumber_a_field, False),
        (_retype_a_field, False),
        (_drop_a_call, False),
        (_drop_a_reason, False),
    ],
)
def test_a_change_of_the_contract(tmp_path: Path, change: Change, compatible: bool) -> None:
    released = GENERATED / IMAGE_NAME
    image = FileDescriptorSet.FromString(released.read_bytes())
    change(image)
    changed = tmp_path / "changed.binpb"
    changed.write_bytes(image.SerializeToString())
    done = subprocess.run(
        [str(script("buf")), "breaking", str(changed), "--against", str(released),
         "--path", "giftcard"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode == 0) == compatible, done.stdout + done.stderr
