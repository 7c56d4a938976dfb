"""When a call is sent again, and what is known after a try.  Pure: no clock, no chance, no I/O."""

from dataclasses import dataclass
from typing import Final

import grpc

from giftcard_client.errors import GiftcardError, Refusal

#: The reasons after which the same request, under the same id, may be answered otherwise.
RETRIED: Final = frozenset({"UNAVAILABLE", "OUTCOME_UNKNOWN", "OVERLOADED"})

#: With these codes and no reason a proxy turned the call away, or gRPC could not deliver it whole.
#: Anything else without a reason is a proxy's refusal for good.
_LOST: Final = frozenset({
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
})  # fmt: skip

#: What gRPC says when there was no connection: the call has then not left this process.
_NEVER_SENT: Final = "failed to connect to all addresses"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a call may take in all, how long each try, and how long to wait in between.

    The wait doubles from `first_wait_seconds` to `longest_wait_seconds`; half of it is left to
    chance, so that callers who failed together do not come back together.  Where the service says
    how long to wait, that and the half left to chance are waited.
    """

    patience_seconds: float = 20.0
    try_seconds: float = 5.0
    first_wait_seconds: float = 0.1
    longest_wait_seconds: float = 2.0

    def __post_init__(self) -> None:
        least = min(self.patience_seconds, self.try_seconds, self.first_wait_seconds)
        if least <= 0 or self.longest_wait_seconds < self.first_wait_seconds:
            raise ValueError("The times of a retry policy are positive, and waits do not shrink.")

    def wait_seconds(
        self, tries: int, *, retry_after_seconds: float | None, chance: float
    ) -> float:
        """How long to wait after so many tries.  `chance` is at least 0 and below 1."""
        doubled = self.first_wait_seconds * 2.0 ** min(tries - 1, 32)
        step = min(doubled, self.longest_wait_seconds)
        least = step / 2 if retry_after_seconds is None else retry_after_seconds
        return least + step / 2 * chance


def may_be_sent_again(error: GiftcardError) -> bool:
    """Whether the same request may be answered otherwise a moment later."""
    return error.reason in RETRIED or is_lost(error)


def is_lost(error: GiftcardError) -> bool:
    """Whether no answer of the service came back."""
    return not error.reason and error.code in _LOST


def may_have_happened(error: GiftcardError) -> bool:
    """Whether the try that ended so may have been carried out all the same."""
    if error.reason:
        return error.reason in ("OUTCOME_UNKNOWN", "INTERNAL")
    return is_lost(error) and _NEVER_SENT not in error.message


def settles(error: GiftcardError) -> bool:
    """Whether this tells of all tries under the id, earlier ones too: none was carried out.

    A refusal is what the ledger has stored under the id.  REQUEST_ID_REUSED means that the id
    stands for another request, so it never stood for this one.  Whatever else was not done, was
    not done in this try only.
    """
    return isinstance(error, Refusal) or error.reason == "REQUEST_ID_REUSED"
