"""What the shim keeps: one exchange for its log, one reversal for its queue."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from compat_http.redaction import NOTHING_DECLARED, Redaction


@dataclass(frozen=True, slots=True)
class Reversal:
    """What has to be undone, and as whom.  `key` is the derived request id that must be undone.

    For `grace_seconds` it only waits: so long the client's own retry may still take it back.
    """

    key: str
    authorization: str = field(repr=False)
    book: str
    dialect: str
    operation: str
    grace_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One legacy call and its answer.

    It may hold secrets, since redacting it is not the caller's work: the store keeps of `request`
    and `answer` what `redaction` allows, and masks `secrets` wherever they stand.
    """

    time_microseconds: int
    duration_microseconds: int
    dialect: str
    operation: str
    method: str
    path: str
    legacy_request_id: str
    request_id: str
    code_last_four: str
    status: int
    reason: str
    transaction: str
    request: Any = field(repr=False)
    answer: Any = field(repr=False)
    redaction: Redaction = NOTHING_DECLARED
    secrets: tuple[str, ...] = field(default=(), repr=False)


class ReversalStartedError(Exception):
    """A reversal of this request is on its way: sent, and not yet definitely answered.

    The request must not be sent now, for its approval would be undone behind the caller's back.
    """


class Store(Protocol):
    """The log and the queue."""

    async def queue_reversal(self, reversal: Reversal) -> None:
        """Durable when it returns."""

    async def take_back(self, authorization: str, key: str) -> bool:
        """Whether a reversal was queued and will now never be sent.  Durable when it returns.

        Raises:
            ReversalStartedError: too late.
        """

    def log(self, exchange: Exchange) -> None:
        """Never blocks, never raises."""
