"""Reads, many at a time, on one snapshot.

Card look-ups are coalesced into one set-wise query.  Readers never write and never wait for the
writer.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from server.domain.commands import Caller, CardRef
from server.domain.errors import DomainError, Rejected
from server.domain.model import Card
from server.ledger.engine import INTERNAL, UNAVAILABLE
from server.storage import loading
from server.storage.database import Connection, Database, break_off, is_unreachable

logger = logging.getLogger("giftcard.reader")

Query = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class CardQuery:
    """One card as its merchant may see it; unknown and foreign cards answer alike.

    `hashes` are the code's keyed hashes under every key, when it is asked for by code.  A
    customer's points are no gift card, and found only where `or_wallet` says so.
    """

    caller: Caller
    ref: CardRef
    hashes: tuple[str, ...] = ()
    or_wallet: bool = False


class Reader:
    """Owns a reading connection.  One use at a time: the caller sees to that."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._losses = 0
        self._asked = 0.0

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                logger.exception("closing a reading connection failed")

    def give_up_on(self, older_than_seconds: float) -> None:
        """Stops waiting for a server that does not answer; from any thread."""
        connection, asked = self._connection, self._asked
        if connection is not None and asked and time.monotonic() - asked >= older_than_seconds:
            break_off(connection)

    def cards(self, queries: Sequence[CardQuery]) -> list[Any]:
        """For each query its card, or what to answer instead.  Never raises."""
        found = self.ask(lambda connection: _find_cards(connection, queries))
        return found if isinstance(found, list) else [found] * len(queries)

    def ask(self, query: Query) -> Any:
        """Runs a function on a fresh snapshot; answers what it returns or why not."""
        if self._losses != self._database.losses:
            # The writer lost its server: the one asked here may not be the primary any more.
            self._losses = self._database.losses
            self.close()
        try:
            if self._connection is None:
                self._connection = self._database.connect_reader()
            self._asked = time.monotonic()
            answer = query(self._connection)
            self._connection.rollback()
        except DomainError as error:
            return error
        except Exception as error:
            logger.exception("a read failed")
            self.close()
            return UNAVAILABLE if is_unreachable(error) else INTERNAL
        finally:
            self._asked = 0.0
        return answer


def _find_cards(connection: Connection, queries: Sequence[CardQuery]) -> list[Card | Rejected]:
    cells = sorted({query.caller.cell for query in queries})
    hashes = sorted({value for query in queries for value in query.hashes})
    by_code = loading.card_ids_of_codes(connection, hashes, cells)
    ids = {query.ref.id for query in queries if query.ref.id} | set(by_code.values())
    cards = loading.load_cards(connection, sorted(ids), cells, lock=False)
    found: list[Card | Rejected] = []
    for query in queries:
        card_id = query.ref.id
        for value in query.hashes:
            card_id = card_id or by_code.get(value, "")
        card = cards.get(card_id)
        mine = card is not None and (card.merchant_id, card.book) == (
            query.caller.merchant_id,
            query.caller.book,
        )
        shown = card is not None and mine and (query.or_wallet or not card.is_wallet)
        found.append(card if card is not None and shown else Rejected("GIFT_CARD_NOT_FOUND"))
    return found
