"""gRPC's errors as those of this library."""

from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from giftcard_client.errors import GiftcardError
from giftcard_client.reasons import BY_REASON

_DOMAIN: Final = "giftcard.v1"


def error_of(failed: grpc.aio.AioRpcError) -> GiftcardError:
    """What a failed call says, as the class of its reason; never raises."""
    message, code = failed.details() or "", failed.code()
    info, bad, retry = _details(failed)
    if info.domain != _DOMAIN or not info.reason:
        return GiftcardError(message, code=code)
    wait = retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None
    return BY_REASON.get(info.reason, GiftcardError)(
        message,
        code=code,
        reason=info.reason,
        metadata=info.metadata,
        field_violations={each.field: each.description for each in bad.field_violations},
        retry_after_seconds=wait,
    )


def _details(
    failed: grpc.aio.AioRpcError,
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo]:
    """The details of a status; those that are not there are empty."""
    found = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for key, value in failed.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
                for detail in status.details:
                    # Leaves alone what is of another type.
                    any(detail.Unpack(message) for message in found)
            except Exception:  # noqa: BLE001, S112 - what does not parse is not the service's
                continue
    return found
