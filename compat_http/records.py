"""What the shim keeps: one exchange for its log, one reversal for its queue."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Reversal:
    """What has to be undone, and as whom.  `key` is the derived request id that must be undone."""

    key: str
    authorization: str
    book: str
    dialect: str
    operation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One legacy call and its answer."""

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
    request: Any
    answer: Any


class Store(Protocol):
    """The log and the queue."""

    async def queue_reversal(self, reversal: Reversal) -> None:
        """Durable when it returns."""

    async def take_back(self, authorization: str, key: str) -> bool:
        """False when none is queued, or when it has been started."""

    def log(self, exchange: Exchange) -> None:
        """Never blocks, never raises."""
