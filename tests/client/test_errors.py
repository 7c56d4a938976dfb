"""Every reason of the contract is a class of its own, with its metadata read as their types."""

import json
from datetime import UTC, date, datetime
from typing import Any

import grpc
import pytest
from giftcard.v1 import ErrorReason
from giftcard_client import GiftcardError, Refusal, reasons
from giftcard_client.errors import Metadata
from giftcard_client.statuses import error_of
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from tests.contract.image import IMAGE, Contract, Element

REASONS = [
    element for element in Contract(IMAGE).enum_values["ErrorReason"]
    if not element.name.endswith("UNSPECIFIED")
]  # fmt: skip
TYPES: dict[str, Any] = {
    "available_minor_units": 500,
    "limit_bytes": 65536,
    "required_points": 5000,
    "expire_time": datetime(2026, 3, 1, 9, 15, tzinfo=UTC),
    "valid_until": date(2026, 2, 28),
    "scope": "ADJUST",
}


def heard(
    code: grpc.StatusCode, *details: Any, domain: str = "giftcard.v1", raw: bytes = b""
) -> GiftcardError:
    """The error of a call that failed with these details."""
    packed = []
    for detail in details:
        if isinstance(detail, error_details_pb2.ErrorInfo):
            detail.domain = domain
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message="said", details=packed)
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", raw or status.SerializeToString()))
    return error_of(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details="said"))


def test_no_reason_is_without_class() -> None:
    assert {*ErrorReason.keys()} - {"ERROR_REASON_UNSPECIFIED"} == {*reasons.BY_REASON}
    assert len({*reasons.BY_REASON.values()}) == len(reasons.BY_REASON)


@pytest.mark.parametrize("element", REASONS, ids=lambda element: element.name.split(".")[1])
def test_the_example_of_a_reason_as_its_class_reads_it(element: Element) -> None:
    name = element.name.split(".")[1]
    example = json.loads(element.comment.partition("Example:")[2])
    code = grpc.StatusCode[element.comment.partition(",")[0].strip()]
    info = error_details_pb2.ErrorInfo(reason=name, metadata=example.get("metadata"))
    error = heard(code, info)
    assert type(error) is reasons.BY_REASON[name]
    assert (error.reason, error.code, error.message) == (name, code, "said")
    assert isinstance(error, Refusal) == (", a decision." in element.comment)
    for key, text in info.metadata.items():
        value = getattr(error, key)
        assert value == TYPES.get(key, value)
        assert str(value) == text or not isinstance(value, str | int)
    typed = {key for key, value in vars(type(error)).items() if isinstance(value, Metadata)}
    assert typed | {"transaction"} >= {*info.metadata} >= typed


def test_what_the_service_did_not_send_is_none() -> None:
    error = heard(
        grpc.StatusCode.FAILED_PRECONDITION,
        error_details_pb2.ErrorInfo(reason="INSUFFICIENT_FUNDS"),
    )
    assert isinstance(error, reasons.InsufficientFunds)
    assert error.available_minor_units is None
    assert error.transaction is None
    assert error.retry_after_seconds is None
    assert not error.replayed


def test_all_details_are_read() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    violation = error_details_pb2.BadRequest.FieldViolation(field="amount", description="positive")
    error = heard(
        grpc.StatusCode.INVALID_ARGUMENT,
        retry,
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.ErrorInfo(reason="INVALID_FIELD", metadata={"replayed": "true"}),
    )
    assert type(error) is reasons.InvalidField
    assert error.retry_after_seconds == 1.5
    assert error.field_violations == {"amount": "positive"}
    assert error.replayed
    assert str(error) == "INVALID_FIELD: said"


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (
            heard(grpc.StatusCode.ABORTED, error_details_pb2.ErrorInfo(reason="SINCE_2030")),
            "SINCE_2030",
            "SINCE_2030: said",
        ),
        (
            heard(
                grpc.StatusCode.NOT_FOUND,
                error_details_pb2.ErrorInfo(reason="CARD_LOCKED"),
                domain="elsewhere",
            ),
            "",
            "NOT_FOUND: said",
        ),
        (heard(grpc.StatusCode.UNKNOWN, raw=b"\xff\xff"), "", "UNKNOWN: said"),
        (heard(grpc.StatusCode.UNAVAILABLE), "", "UNAVAILABLE: said"),
    ],
    ids=["newer", "another domain", "garbage", "no details"],
)
def test_what_is_not_a_known_reason(error: GiftcardError, reason: str, text: str) -> None:
    assert type(error) is GiftcardError
    assert (error.reason, str(error)) == (reason, text)
