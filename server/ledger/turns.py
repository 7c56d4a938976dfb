"""A bounded queue in which merchants take turns: none of them can take it from the others."""

from collections import deque
from typing import Final, Generic, TypeVar

from server.domain.errors import Rejected

Item = TypeVar("Item")

_RETRY_AFTER_MILLISECONDS: Final = 100


class Turns(Generic[Item]):
    """`limit` is how many items a merchant may have waiting when no other has any.

    There are twice as many places, and each merchant may have as many as are still free: of two
    who ask without end each gets two thirds of the limit, of three half of it, and whoever comes
    then still finds room.  Within a merchant the order is that of arrival.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._count = 0
        self._lines: dict[str, deque[Item]] = {}
        self._turns: deque[str] = deque()

    def __len__(self) -> int:
        return self._count

    def join(self, merchant_id: str, item: Item) -> None:
        """Raises Rejected OVERLOADED when the merchant has its share of the places."""
        line = self._lines.get(merchant_id)
        if (len(line) if line else 0) >= 2 * self.limit - self._count:
            raise Rejected("OVERLOADED", retry_after_milliseconds=_RETRY_AFTER_MILLISECONDS)
        if line is None:
            line = self._lines[merchant_id] = deque()
            self._turns.append(merchant_id)
        line.append(item)
        self._count += 1

    def next(self) -> Item:
        """The item whose turn it is.  Raises IndexError when nothing waits."""
        merchant_id = self._turns.popleft()
        line = self._lines[merchant_id]
        item = line.popleft()
        if line:
            self._turns.append(merchant_id)
        else:
            del self._lines[merchant_id]
        self._count -= 1
        return item
