"""A naive model of the ledger that says what every request must answer.

Its own arithmetic over `books`, without a line of the product: where the two disagree, one of
them is wrong. Time is given with each request, in microseconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests import operations as o
from tests.model import codes, customers, life, money, undo
from tests.model.books import Card, Decided, Hold, NoDecision, Refusal, Reserved
from tests.operations import CardFigures, CardKey, Outcome, Request

RULES: dict[type[o.Operation], Callable[["LedgerModel", Request, Any, int], Decided]] = {
    o.Create: life.create,
    o.Issue: life.issue,
    o.NewCustomer: customers.create,
    o.Earn: customers.earn,
    o.AdjustPoints: customers.adjust,
    o.HoldPoints: customers.authorize,
    o.Reserve: codes.reserve,
    o.Release: codes.release,
    o.Activate: life.activate,
    o.Load: life.load,
    o.Lock: life.lock,
    o.Unlock: life.unlock,
    o.Close: life.close,
    o.Adjust: life.adjust,
    o.Update: life.update,
    o.Transfer: life.transfer,
    o.Redeem: money.redeem,
    o.RedeemMany: money.redeem_many,
    o.Authorize: money.authorize,
    o.Capture: money.capture,
    o.Void: money.void,
    o.Refund: undo.refund,
    o.Reverse: undo.reverse,
}


class LedgerModel:
    """All that one merchant's ledger remembers."""

    def __init__(self) -> None:
        self.cards: dict[CardKey, Card] = {}
        self.codes: dict[CardKey, Reserved] = {}
        self.decided: dict[tuple[str, str, str], Decided] = {}
        self.last_time = 0
        self._committed_time = 0

    def perform(self, request: Request, clock: int) -> Outcome:
        return self.perform_together([request], clock)[0]

    def perform_together(self, requests: Sequence[Request], clock: int) -> list[Outcome]:
        decided = len(self.decided)
        outcomes = [self._perform(request, clock) for request in requests]
        if len(self.decided) > decided:
            self._committed_time = self.last_time
        return outcomes

    def crash(self) -> None:
        """Time continues after the last instant at which something was committed."""
        self.last_time = self._committed_time

    def _perform(self, request: Request, clock: int) -> Outcome:
        """The answer, and the state after it. Ledger time never steps back."""
        known = self.decided.get((request.book, request.client, request.id))
        if isinstance(request.operation, o.Lookup):
            return self._look_up(request, request.operation, known, clock)
        if known is not None and known.state == "SEALED":
            return Outcome(reason=known.outcome.reason)
        if known is not None and known.operation != request.operation:
            return Outcome(reason="REQUEST_ID_REUSED")
        if known is not None:
            return replace(known.outcome, replayed=True)
        now = self.time(clock)
        self.last_time = now
        try:
            decided = RULES[type(request.operation)](self, request, request.operation, now)
        except NoDecision as error:
            return Outcome(reason=str(error))
        except Refusal as error:
            outcome = Outcome(reason=str(error))
            decided = Decided(request.operation, outcome, request.client, request.book, "REFUSED")
        self.decided[request.book, request.client, request.id] = decided
        return decided.outcome

    def time(self, clock: int) -> int:
        return max(self.last_time + 1, clock)

    def figures(self, now: int) -> dict[CardKey, CardFigures]:
        return {key: card.figures(now) for key, card in self.cards.items()}

    def card(self, request: Request, handle: str) -> Card:
        card = self.cards.get((handle, request.book))
        if card is None or card.is_wallet:
            raise NoDecision("GIFT_CARD_NOT_FOUND")
        return card

    def wallet(self, request: Request, handle: str) -> Card:
        card = self.cards.get((handle, request.book))
        if card is None or not card.is_wallet:
            raise NoDecision("CUSTOMER_NOT_FOUND")
        return card

    def hold(self, request: Request, opened_by: str) -> Hold:
        for (book, _, request_id), decided in self.decided.items():
            if (book, request_id) == (request.book, opened_by) and decided.hold is not None:
                return decided.hold
        raise NoDecision("HOLD_NOT_FOUND")

    def transaction(self, request: Request, of: str, by_name: bool) -> Decided | None:
        """By request id only the client's own; by name any whose name somebody has heard."""
        if not by_name:
            return self.decided.get((request.book, request.client, of))
        for (book, _, request_id), decided in self.decided.items():
            if (book, request_id) == (request.book, of) and decided.state != "SEALED":
                return decided
        raise NoDecision("TRANSACTION_NOT_FOUND")

    def seal(self, request: Request, request_id: str, reason: str) -> None:
        outcome = Outcome(reason=reason)
        sealed = Decided(None, outcome, request.client, request.book, "SEALED")
        self.decided[request.book, request.client, request_id] = sealed

    def _look_up(
        self, request: Request, operation: o.Lookup, known: Decided | None, clock: int
    ) -> Outcome:
        if known is not None:
            return Outcome(found=known.state, approved=known.outcome.approved)
        if not operation.seal:
            return Outcome(found="NOT_SEEN")
        self.last_time = self.time(clock)
        self.seal(request, request.id, "REQUEST_SEALED")
        return Outcome(found="SEALED")
