"""The model's rules for giving back: refunds and reversals."""

from typing import TYPE_CHECKING

from tests import operations as o
from tests.model.books import NEVER, Card, Decided, Move, NoDecision, Refusal
from tests.model.codes import give_up
from tests.model.life import approve, need_state, need_unit
from tests.operations import Outcome, Request

if TYPE_CHECKING:
    from tests.model.ledger_model import LedgerModel

_NOTHING_TO_UNDO = (
    o.Reverse, o.Void, o.Lock, o.Unlock, o.Update, o.Release, o.NewCustomer,
)  # fmt: skip


def refund(model: "LedgerModel", request: Request, op: o.Refund, now: int) -> Decided:
    target = model.transaction(request, op.of, op.by_name)
    if target is None:
        raise NoDecision("TRANSACTION_NOT_FOUND")
    spent = [move for move in target.moves if move.purpose == "REDEEMED"]
    if target.state != "APPROVED" or not spent or isinstance(target.operation, o.Refund):
        raise Refusal("NOT_REFUNDABLE")
    left = op.amount
    parts: list[tuple[Move, int]] = []
    for move in reversed(spent):
        part = min(left, move.left)
        if part:
            parts.append((move, part))
            left -= part
    for move, _ in parts:
        need_state(move.card, "ACTIVE", "LOCKED")
    need_unit(target.unit, op.unit)
    if left:
        raise Refusal("REFUND_EXCEEDS_REDEMPTION")
    decided = approve(request, target.unit, [], approved=op.amount)
    decided.original = target
    for move, part in parts:
        move.returned += part
        move.tranche.balance += part
        decided.moves.append(Move(move.card, move.tranche, part, "REFUNDED", undoes=move))
        if move.card not in decided.cards:
            decided.cards.append(move.card)
    return decided


def reverse(model: "LedgerModel", request: Request, op: o.Reverse, now: int) -> Decided:
    target = model.transaction(request, op.of, op.by_name)
    if target is None:
        model.seal(request, op.of, "REVERSED_BEFORE_ARRIVAL")
        return approve(request, "", [], reversal="TOMBSTONED")
    if target.client != request.client and request.client != "office":
        raise NoDecision("SCOPE_MISSING")
    if target.state != "APPROVED":
        return approve(request, "", [], reversal="NOTHING_TO_REVERSE")
    if isinstance(target.operation, _NOTHING_TO_UNDO):
        raise Refusal("NOT_REVERSIBLE")
    decided = approve(request, target.unit, list(target.cards))
    decided.outcome = _undo(target, now)
    return decided


def _undo(target: Decided, now: int) -> Outcome:
    if target.undone:
        return Outcome(reversal="ALREADY_REVERSED")
    if target.original is not None and target.original.undone:
        return Outcome(reversal="NOTHING_TO_REVERSE")
    if isinstance(target.operation, (o.Authorize, o.HoldPoints)):
        hold = target.hold
        assert hold is not None
        state = hold.state_at(now)
        if state != "OPEN":
            return Outcome(reversal="NOTHING_TO_REVERSE", hold_state=state)
        hold.state, target.undone = "VOIDED", True
        return Outcome(approved=hold.keeps(), reversal="REVERSED", hold_state="VOIDED")
    if isinstance(target.operation, o.Reserve):
        target.undone = give_up(target.codes) > 0
        return Outcome(reversal="REVERSED" if target.undone else "NOTHING_TO_REVERSE")
    if isinstance(target.operation, o.Create):
        if target.cards[0].state != "INACTIVE":
            return Outcome(reversal="NOTHING_TO_REVERSE")
        target.cards[0].state, target.undone = "VOIDED", True
        return Outcome(reversal="REVERSED")
    moved = sum(move.left for move in target.moves if move.card.unit == target.unit)
    shortfall = sum(_undo_move(move, now) for move in reversed(target.moves))
    for card in target.cards:
        _restore_state(target, card, now)
    target.undone = True
    return Outcome(approved=moved, reversal="REVERSED", shortfall=shortfall)


def _undo_move(move: Move, now: int) -> int:
    """Moves back what is left of it, and returns what could not be: it was spent or is held."""
    left = move.left
    move.returned += left
    if move.undoes is not None:
        move.undoes.returned -= left
    if move.amount < 0:
        move.tranche.balance += left
        return 0
    others = [tranche for tranche in move.card.in_spend_order() if tranche is not move.tranche]
    for tranche in (move.tranche, *others):
        part = min(left, move.card.free(tranche, now))
        tranche.balance -= part
        left -= part
    return left


def _restore_state(target: Decided, card: Card, now: int) -> None:
    empty = card.total() == 0
    if isinstance(target.operation, o.Issue) and empty:
        card.state = "VOIDED"
    elif isinstance(target.operation, o.Activate) and empty and card.state == "ACTIVE":
        card.state = "INACTIVE"
        card.valid_from, card.valid_until = target.validity_before
        card.starts, card.expires = 0, NEVER
    elif card.state == "CLOSED" and card in dict(target.closed):
        card.state = dict(target.closed)[card]
    elif card.state not in ("ACTIVE", "LOCKED") and not empty:
        # Value on a card that nobody can use waits for a person.
        card.state = "LOCKED"
