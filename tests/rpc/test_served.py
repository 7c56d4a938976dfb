"""What is served is what the contract says: methods, scopes, reasons and their status codes."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from giftcard import v1
from giftcard.v1 import (
    admin_service_pb2,
    customer_service_pb2,
    gift_card_service_pb2,
    location_service_pb2,
    program_service_pb2,
)
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from server.domain.errors import MESSAGES
from server.rpc import errors
from server.rpc.calls import Rpc
from tests.contract import image
from tests.contract.image import CONTRACT
from tests.rpc.edge_stage import Stage

FILES: Final = (
    gift_card_service_pb2, customer_service_pb2, program_service_pb2, location_service_pb2,
    admin_service_pb2,
)  # fmt: skip
METHODS: Final = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
REASONS: Final = set(v1.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
SERVER: Final = Path(errors.__file__).parents[1]
#: Reasons whose status depends on nothing but the table, as the contract's comments give it.
STATUS_OF: Final = {
    value.name.rpartition(".")[2]: value.comment.split(",")[0].strip()
    for value in CONTRACT.enum_values["ErrorReason"]
}


def served(stage: Stage) -> dict[str, Rpc]:
    services = stage.thread.server._services
    return {
        f"{name}.{rpc.name}": rpc for name, service in services.items() for rpc in service.rpcs()
    }


def test_methods_of_the_contract_and_methods_served_are_the_same(edge: Stage) -> None:
    assert served(edge).keys() == {method.full_name for method in METHODS}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_answers_an_empty_request_with_something_of_its_own(
    edge: Stage, method: MethodDescriptor
) -> None:
    request = GetMessageClass(method.input_type)()
    heard = edge.call(request, "own")
    assert heard.code in {"OK", "INVALID_ARGUMENT", "PERMISSION_DENIED"}, heard


@pytest.mark.parametrize("rpc", CONTRACT.rpcs, ids=lambda rpc: rpc.name)
def test_a_method_admits_with_the_scopes_that_its_comment_names(
    edge: Stage, rpc: image.Rpc
) -> None:
    needs = re.findall(r"Needs [^.]+\.", " ".join(rpc.comment.split()))
    wanted = set(re.findall(r"\b[A-Z]+\b", " ".join(needs))) & set(v1.ApiClient.Scope.keys())
    assert served(edge)[f"giftcard.v1.{rpc.name}"].scopes == wanted


def test_every_reason_has_words_and_every_word_a_reason() -> None:
    worded = MESSAGES.keys() | errors._MESSAGES.keys()
    assert worded == REASONS
    assert errors.CODES.keys() <= REASONS


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_has_the_status_that_the_contract_gives_it(reason: str) -> None:
    number = errors.status_of_reason(reason).code if reason in errors.CODES else 9
    assert code_pb2.Code.Name(number) == STATUS_OF[reason]


def test_the_code_raises_only_reasons_of_the_contract() -> None:
    raised: set[str] = set()
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in {"Refused", "Rejected", "RefusedWithEffect", "Failure"}:
                raised |= {
                    str(each.value) for each in node.args[:1] if isinstance(each, ast.Constant)
                }
    assert len(raised) > 40
    assert raised <= REASONS
