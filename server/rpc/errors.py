"""The only table of status codes, and the only place that renders an error.

A status carries one ErrorInfo (https://google.aip.dev/193), field violations where a field is at
fault and RetryInfo where waiting helps.  Nothing of a driver or a traceback ever does.
"""

from typing import Final

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from server.domain.errors import MESSAGES, DomainError, InvalidField

DOMAIN: Final = "giftcard.v1"

_NOT_FOUND: Final = code_pb2.NOT_FOUND
_EXISTS: Final = code_pb2.ALREADY_EXISTS
_REFUSED: Final = code_pb2.FAILED_PRECONDITION

#: Every reason has one status code.  What is not named here is a refused precondition.
CODES: Final[dict[str, int]] = {
    "UNAUTHENTICATED": code_pb2.UNAUTHENTICATED,
    "SCOPE_MISSING": code_pb2.PERMISSION_DENIED,
    "LOCATION_FORBIDDEN": code_pb2.PERMISSION_DENIED,
    "PIN_REQUIRED": code_pb2.PERMISSION_DENIED,
    "PIN_INCORRECT": code_pb2.PERMISSION_DENIED,
    "PIN_LOCKED": code_pb2.RESOURCE_EXHAUSTED,
    "INVALID_FIELD": code_pb2.INVALID_ARGUMENT,
    "PAGE_TOKEN_INVALID": code_pb2.INVALID_ARGUMENT,
    "REQUEST_TOO_LARGE": code_pb2.RESOURCE_EXHAUSTED,
    "GIFT_CARD_NOT_FOUND": _NOT_FOUND,
    "HOLD_NOT_FOUND": _NOT_FOUND,
    "PROGRAM_NOT_FOUND": _NOT_FOUND,
    "LOCATION_NOT_FOUND": _NOT_FOUND,
    "TRANSACTION_NOT_FOUND": _NOT_FOUND,
    "MERCHANT_NOT_FOUND": _NOT_FOUND,
    "API_CLIENT_NOT_FOUND": _NOT_FOUND,
    "CREDENTIAL_NOT_FOUND": _NOT_FOUND,
    "CUSTOMER_NOT_FOUND": _NOT_FOUND,
    "CODE_RESERVATION_NOT_FOUND": _NOT_FOUND,
    "CODE_EXISTS": _EXISTS,
    "RESOURCE_EXISTS": _EXISTS,
    "REQUEST_ID_REUSED": _EXISTS,
    "ETAG_MISMATCH": code_pb2.ABORTED,
    "OVERLOADED": code_pb2.RESOURCE_EXHAUSTED,
    "LOOKUP_BUDGET_EXHAUSTED": code_pb2.RESOURCE_EXHAUSTED,
    "DEADLINE_TOO_SHORT": code_pb2.DEADLINE_EXCEEDED,
    "OUTCOME_UNKNOWN": code_pb2.UNAVAILABLE,
    "UNAVAILABLE": code_pb2.UNAVAILABLE,
    "UNIMPLEMENTED": code_pb2.UNIMPLEMENTED,
    "INTERNAL": code_pb2.INTERNAL,
}

#: Reasons of the edge itself; those of the domain have their words there.
_MESSAGES: Final[dict[str, str]] = {
    "UNAUTHENTICATED": "The credential is missing, unknown, expired or revoked.",
    "SCOPE_MISSING": "The credential does not have the scope that this needs.",
    "LOCATION_FORBIDDEN": "The credential is bound to another location.",
    "PAGE_TOKEN_INVALID": "The page token is not from this list. Start again without one.",
    "REQUEST_TOO_LARGE": "The request is larger than this service takes. Nothing was done.",
    "LOOKUP_BUDGET_EXHAUSTED": (
        "Too many wrong codes or PINs came from this client. Nothing was done; try again later."
    ),
    "DEADLINE_TOO_SHORT": "Too little time was left to carry the request out. Nothing was done.",
    "UNAVAILABLE": "The service cannot carry the request out just now. Nothing was done.",
    "UNIMPLEMENTED": "This method is not offered here.",
    "INTERNAL": (
        "Something went wrong that should not have."
        " Send the request again with the same request id, or look it up, to learn what was done."
    ),
}


def status_of(error: DomainError, *, now: int, replayed: bool = False) -> status_pb2.Status:
    """Renders a typed no.  `now`, in microseconds, tells how long is left to wait."""
    metadata = dict(error.metadata)
    if "transaction" in metadata:
        metadata["transaction"] = "transactions/" + metadata["transaction"]
    if replayed:
        metadata["replayed"] = "true"
    retry = metadata.pop("retry_after_milliseconds", None)
    details = [_info(error.reason, metadata)]
    if isinstance(error, InvalidField):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.description, reason="INVALID_FIELD"
        )
        details.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    if retry is not None:
        details.append(_retry(int(retry)))
    if "retry_time" in metadata:
        left = max(0, int(metadata["retry_time"]) - now)
        details.append(_retry(-(-left // 1000)))
    return status_pb2.Status(
        code=CODES.get(error.reason, _REFUSED),
        message=MESSAGES.get(error.reason) or _MESSAGES[error.reason],
        details=details,
    )


def status_of_reason(reason: str, **metadata: str) -> status_pb2.Status:
    """Renders a reason that is nobody's decision: overload, unknown outcome, internal error."""
    details = [_info(reason, metadata)]
    if reason in ("UNAVAILABLE", "OUTCOME_UNKNOWN"):
        details.append(_retry(200))
    return status_pb2.Status(
        code=CODES[reason],
        message=MESSAGES.get(reason) or _MESSAGES[reason],
        details=details,
    )


def _info(reason: str, metadata: dict[str, str]) -> any_pb2.Any:
    return _pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))


def _retry(milliseconds: int) -> any_pb2.Any:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(milliseconds)
    return _pack(error_details_pb2.RetryInfo(retry_delay=delay))


def _pack(
    message: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
