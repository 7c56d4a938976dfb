"""Request ids for a dialect that has none.

What a caller repeats when it did not hear the answer is the same call, and the same call means the
same thing only for a while: an authorization that was cancelled may be asked for again.  So the id
is made of what was sent and of a number, and a new number is begun only when the try before it is
over.  Numbers are never skipped; therefore the newest is found by halving.
"""

import hmac
from collections.abc import Generator
from typing import Any, Final, NamedTuple

from giftcard import v1

from compat_http.dialect import LegacyRequest, Rpc, derived_id

LOOKED: Final = v1.LookupTransactionResponse


class Try(NamedTuple):
    """The newest try: its number, -1 for none, and what became of it."""

    number: int
    state: int = LOOKED.NOT_SEEN
    transaction: v1.Transaction = v1.Transaction()

    @property
    def stands(self) -> bool:
        """Whether it was done and is not undone."""
        return self.state == LOOKED.APPROVED and not self.transaction.reversal_transaction

    @property
    def undone(self) -> bool:
        """Whether it was done and is undone."""
        return self.state == LOOKED.APPROVED and bool(self.transaction.reversal_transaction)


class Tries:
    """All tries of one call."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def request_id(self, number: int) -> str:
        return derived_id("cp", (*self._parts, str(number)))

    def newest(self) -> Generator[Rpc, Any, Try]:
        """Finds the newest try with a number of reads that grows with the logarithm of tries."""
        seen, unseen = Try(-1), 0
        while (found := (yield from self._look_up(unseen))).state != LOOKED.NOT_SEEN:
            seen, unseen = found, 2 * unseen + 1
        while unseen - seen.number > 1:
            found = yield from self._look_up((seen.number + unseen) // 2)
            if found.state == LOOKED.NOT_SEEN:
                unseen = found.number
            else:
                seen = found
        return seen

    def _look_up(self, number: int) -> Generator[Rpc, Any, Try]:
        message = v1.LookupTransactionRequest(request_id=self.request_id(number))
        answer = yield Rpc("LookupTransaction", message)
        return Try(number, answer.state, answer.transaction)


def fresh(operation: str, request: LegacyRequest) -> str:
    """The id of a call that nobody can repeat, because it brings nothing to know it by."""
    return derived_id("cp", (operation, request.fresh_id))


def digest(*parts: str, key: str = "") -> str:
    """Stands for the parts in a request id.

    With a key nobody who does not have it can find by trying what it was made of.
    """
    encoded = "".join(f"{len(part)}:{part}" for part in parts).encode()
    return hmac.digest(key.encode(), encoded, "sha256").hex()
