"""How many wrong codes and PINs a client may try: guessing has to be slower than codes are many.

Each API client has a bucket of misses that fills up again by the minute; a miss may overdraw it,
so that many guesses at once have to be waited for later.  Whoever has none left gets one answer to
all that names a card by code or brings a PIN, right or wrong, or the throttle itself would tell
them apart.  All clients together have a bucket too.  When that is empty only those are throttled
who have missed more than a few times within the hour: a till that does not guess is never stopped
by others who do.

Who has not missed costs one look into a dictionary.  Each process counts for itself, in memory.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from giftcard.v1 import GiftCardReference
from google.protobuf.message import Message

from server.domain.errors import Rejected
from server.settings import Settings
from server.storage.directory import Principal

#: How a wrong code, somebody else's code, or a wrong PIN is answered.
_MISSES: Final = frozenset({"GIFT_CARD_NOT_FOUND", "PIN_INCORRECT", "PIN_LOCKED"})

_MINUTE_SECONDS: Final = 60.0
_HOUR_SECONDS: Final = 3600.0
#: Beyond so many, those whose buckets are full again are forgotten.
_CLIENTS_MAX: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    """`level` misses were left at `since`; below zero they are owed."""

    size: float
    per_second: float
    level: float
    since: float

    def left(self, now: float) -> float:
        return min(self.size, self.level + (now - self.since) * self.per_second)

    def take(self, now: float) -> None:
        self.level, self.since = self.left(now) - 1, now

    def wait_seconds(self, now: float) -> float:
        """How long until there is one; 0 where there is."""
        return max(0.0, (1 - self.left(now)) / self.per_second)


@dataclass(frozen=True, slots=True)
class _Share:
    """A client's own bucket, and the few misses that nobody else's guessing takes from it."""

    own: _Bucket
    base: _Bucket


class LookupBudget:
    def __init__(
        self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`monotonic` is a clock in seconds."""
        self._settings = settings
        self._monotonic = monotonic
        self._shares: dict[tuple[str, str], _Share] = {}
        self._total = self._bucket(
            settings.lookup_misses_max,
            settings.lookup_misses_per_minute / _MINUTE_SECONDS,
            monotonic(),
        )

    def require(self, principal: Principal, guesses: Callable[[], bool]) -> None:
        """Raises Rejected LOOKUP_BUDGET_EXHAUSTED where the client may not guess now.

        `guesses` says whether this request does; it is asked only where that matters.
        """
        share = self._shares.get((principal.merchant_id, principal.client_id))
        if share is None:
            return
        now = self._monotonic()
        wait = share.own.wait_seconds(now)
        if self._total.left(now) < 1:
            wait = max(wait, min(share.base.wait_seconds(now), self._total.wait_seconds(now)))
        if wait > 0 and guesses():
            raise Rejected("LOOKUP_BUDGET_EXHAUSTED", retry_after_milliseconds=1000 * ceil(wait))

    def count(self, principal: Principal, reason: str, guesses: Callable[[], bool]) -> None:
        """A call has ended with this reason."""
        if reason not in _MISSES or not guesses():
            return
        now = self._monotonic()
        client = (principal.merchant_id, principal.client_id)
        share = self._shares.get(client)
        if share is None:
            if len(self._shares) >= _CLIENTS_MAX:
                self._forget(now)
            share = self._shares[client] = self._share(now)
        for bucket in (share.own, share.base, self._total):
            bucket.take(now)

    def _share(self, now: float) -> _Share:
        settings = self._settings
        return _Share(
            self._bucket(
                settings.lookup_misses_per_client_max,
                settings.lookup_misses_per_client_per_minute / _MINUTE_SECONDS,
                now,
            ),
            self._bucket(
                settings.lookup_misses_base_per_hour,
                settings.lookup_misses_base_per_hour / _HOUR_SECONDS,
                now,
            ),
        )

    def _bucket(self, size: int, per_second: float, now: float) -> _Bucket:
        return _Bucket(size, per_second, size, now)

    def _forget(self, now: float) -> None:
        self._shares = {
            client: share
            for client, share in self._shares.items()
            if any(bucket.left(now) < bucket.size for bucket in (share.own, share.base))
        }


def guess_in(request: type[Message]) -> Callable[[Any], bool] | None:
    """What tells whether such a request names a card by code or brings a PIN; None: it cannot."""
    references = [
        field
        for field in request.DESCRIPTOR.fields
        if field.message_type is GiftCardReference.DESCRIPTOR
    ]
    if not references:
        return None
    single = [field.name for field in references if not field.is_repeated]
    several = [field.name for field in references if field.is_repeated]

    def guesses(message: Any) -> bool:
        named = [getattr(message, name) for name in single]
        for name in several:
            named += getattr(message, name)
        return any(reference.code or reference.pin for reference in named)

    return guesses
