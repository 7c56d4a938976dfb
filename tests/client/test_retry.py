"""The schedule of tries, and what is known after one: tables, no clock and no server."""

import grpc
import pytest
from giftcard_client import GiftcardError, RetryPolicy, retry
from giftcard_client.reasons import BY_REASON

POLICY = RetryPolicy(first_wait_seconds=0.1, longest_wait_seconds=2.0)
CONNECT = "failed to connect to all addresses; last error: UNKNOWN: Connection refused"


@pytest.mark.parametrize(
    ("tries", "retry_after", "chance", "wait"),
    [
        (1, None, 0.0, 0.05),
        (1, None, 0.5, 0.075),
        (2, None, 0.0, 0.1),
        (3, None, 0.0, 0.2),
        (5, None, 0.0, 0.8),
        (6, None, 0.0, 1.0),
        (6, None, 0.5, 1.5),
        (5000, None, 0.0, 1.0),
        # The service's word is the least; chance is added so that not all come back at once.
        (1, 0.2, 0.0, 0.2),
        (1, 0.2, 0.5, 0.225),
        (6, 0.2, 0.0, 0.2),
        (1, 30.0, 0.5, 30.025),
        (1, 0.0, 0.0, 0.0),
    ],
)
def test_wait(tries: int, retry_after: float | None, chance: float, wait: float) -> None:
    found = POLICY.wait_seconds(tries, retry_after_seconds=retry_after, chance=chance)
    assert found == pytest.approx(wait)


@pytest.mark.parametrize(
    "times",
    [
        {"patience_seconds": 0},
        {"try_seconds": -1},
        {"first_wait_seconds": 0},
        {"first_wait_seconds": 3, "longest_wait_seconds": 2},
    ],
    ids=str,
)
def test_times_that_make_no_schedule(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retry policy"):
        RetryPolicy(**times)


@pytest.mark.parametrize(
    ("reason", "code", "message", "again", "happened", "settled"),
    [
        # Whom to believe: the service.
        ("UNAVAILABLE", "UNAVAILABLE", "", True, False, False),
        ("OVERLOADED", "RESOURCE_EXHAUSTED", "", True, False, False),
        ("OUTCOME_UNKNOWN", "UNAVAILABLE", "", True, True, False),
        ("INTERNAL", "INTERNAL", "", False, True, False),
        ("DEADLINE_TOO_SHORT", "DEADLINE_EXCEEDED", "", False, False, False),
        ("UNAUTHENTICATED", "UNAUTHENTICATED", "", False, False, False),
        ("GIFT_CARD_NOT_FOUND", "NOT_FOUND", "", False, False, False),
        ("INSUFFICIENT_FUNDS", "FAILED_PRECONDITION", "", False, False, True),
        ("PIN_LOCKED", "RESOURCE_EXHAUSTED", "", False, False, True),
        ("REQUEST_SEALED", "FAILED_PRECONDITION", "", False, False, True),
        ("REQUEST_ID_REUSED", "ALREADY_EXISTS", "", False, False, True),
        ("OF_A_NEWER_SERVICE", "FAILED_PRECONDITION", "", False, False, False),
        # Nobody of the service spoke: the call may have reached it all the same.
        ("", "UNAVAILABLE", "Socket closed", True, True, False),
        ("", "UNAVAILABLE", CONNECT, True, False, False),
        ("", "DEADLINE_EXCEEDED", "Deadline Exceeded", True, True, False),
        ("", "CANCELLED", "", True, True, False),
        ("", "UNKNOWN", "Stream removed", True, True, False),
        ("", "INTERNAL", "Received RST_STREAM with error code 2", True, True, False),
        ("", "RESOURCE_EXHAUSTED", "", True, True, False),
        # A proxy that does not let the call through.
        ("", "UNAUTHENTICATED", "", False, False, False),
        ("", "PERMISSION_DENIED", "", False, False, False),
        ("", "UNIMPLEMENTED", "", False, False, False),
    ],
)
def test_what_a_try_tells(
    reason: str, code: str, message: str, again: bool, happened: bool, settled: bool
) -> None:
    kind = BY_REASON.get(reason, GiftcardError)
    error = kind(message, code=grpc.StatusCode[code], reason=reason)
    told = (
        retry.may_be_sent_again(error),
        retry.may_have_happened(error),
        retry.settles(error),
    )
    assert told == (again, happened, settled)
