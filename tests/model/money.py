"""The model's rules for spending and holding."""

from typing import TYPE_CHECKING

from tests import operations as o
from tests.model.books import Card, Decided, Hold, Move, Refusal
from tests.model.life import (
    approve,
    forget_wrong_pins,
    need_pin,
    need_state,
    need_unit,
    need_valid,
    take,
)
from tests.operations import SECOND, Request
from tests.programs import HOLD_SECONDS

if TYPE_CHECKING:
    from tests.model.ledger_model import LedgerModel


def need_not_held(card: Card, client: str, now: int) -> None:
    if any(hold.exclusive and hold.client != client for hold in card.open_holds(now)):
        raise Refusal("HELD_BY_OTHER")


def _grant(available: int, amount: int, partial: bool) -> int:
    if amount <= available:
        return amount
    if available == 0:
        raise Refusal("NO_BALANCE")
    if not partial:
        raise Refusal("INSUFFICIENT_FUNDS")
    return available


def _need_whole(card: Card, amount: int, now: int) -> None:
    if not card.partial_redeem_allowed and amount != card.balance(now):
        raise Refusal("PARTIAL_REDEEM_NOT_ALLOWED")


def redeem(model: "LedgerModel", request: Request, op: o.Redeem, now: int) -> Decided:
    card = model.card(request, op.card)
    need_pin(card, request, op.pin, now)
    need_state(card, "ACTIVE")
    need_valid(card, now)
    need_unit(card.unit, op.unit)
    need_not_held(card, request.client, now)
    own = next((hold for hold in card.open_holds(now) if hold.exclusive), None)
    reserved = 0 if own is None else own.keeps()
    amount = _grant(card.available(now) + reserved, op.amount, op.partial)
    _need_whole(card, amount, now)
    forget_wrong_pins(card, request)
    decided = approve(request, card.unit, [card], approved=amount)
    if own is None:
        take(decided, card, amount, "REDEEMED", now)
        return decided
    decided = approve(request, card.unit, [card], approved=amount, hold_state="CAPTURED")
    parts = dict.fromkeys(card.in_spend_order(), 0)
    left = amount
    for tranche, kept in own.parts.items():
        parts[tranche] = min(left, kept)
        left -= parts[tranche]
    for tranche in parts:
        free = min(left, card.spendable(tranche, now))
        parts[tranche] += free
        left -= free
    decided.moves += [Move(card, t, -part, "REDEEMED") for t, part in parts.items() if part]
    for move in decided.moves:
        move.tranche.balance += move.amount
    own.state = "CAPTURED"
    return decided


def redeem_many(model: "LedgerModel", request: Request, op: o.RedeemMany, now: int) -> Decided:
    cards = [model.card(request, handle) for handle in op.cards]
    if len(set(cards)) < len(cards):
        raise Refusal("SAME_CARD")
    for number, card in enumerate(cards):
        need_pin(card, request, op.pins[number] if op.pins else None, now)
    for card in cards:
        need_state(card, "ACTIVE")
    for card in cards:
        need_valid(card, now)
    for card in cards:
        need_unit(card.unit, op.unit)
    for card in cards:
        need_not_held(card, request.client, now)
    amount = _grant(sum(card.available(now) for card in cards), op.amount, op.partial)
    if op.soonest_first:
        cards.sort(key=lambda card: _urgency(card, now))
    shares = {}
    left = amount
    for card in cards:
        shares[card] = min(left, card.available(now))
        left -= shares[card]
        if shares[card]:
            _need_whole(card, shares[card], now)
    plan = tuple((card.handle, share) for card, share in shares.items())
    spent = [card for card in cards if shares[card]]
    decided = approve(request, op.unit, spent, approved=amount, plan=plan)
    for card, share in shares.items():
        if share:
            forget_wrong_pins(card, request)
        take(decided, card, share, "REDEEMED", now)
    return decided


def _urgency(card: Card, now: int) -> tuple[int, int]:
    """When value of this card is lost next, then how little is on it."""
    ends = [tranche.expires for tranche in card.tranches if card.spendable(tranche, now)]
    return (min([card.expires, *ends]), card.available(now))


def authorize(model: "LedgerModel", request: Request, op: o.Authorize, now: int) -> Decided:
    card = model.card(request, op.card)
    need_pin(card, request, op.pin, now)
    need_state(card, "ACTIVE")
    need_valid(card, now)
    if op.amount is not None:
        need_unit(card.unit, op.unit)
    need_not_held(card, request.client, now)
    if not card.rule("holds_allowed", True):
        raise Refusal("HOLDS_NOT_ALLOWED")
    if op.exclusive and card.held(now):
        raise Refusal("OPEN_HOLDS")
    available = card.available(now)
    if available == 0:
        raise Refusal("NO_BALANCE")
    amount = available if op.amount is None else _grant(available, op.amount, op.partial)
    _need_whole(card, amount, now)
    forget_wrong_pins(card, request)
    expires = now + (op.seconds or HOLD_SECONDS) * SECOND
    decided = approve(request, card.unit, [card], approved=amount, hold_state="OPEN")
    decided.hold = Hold(card, request.client, op.exclusive, expires, card.split(amount, now))
    card.holds.append(decided.hold)
    return decided


def need_open(hold: Hold, now: int) -> None:
    state = hold.state_at(now)
    if state != "OPEN":
        raise Refusal(f"HOLD_{state}")


def capture(model: "LedgerModel", request: Request, op: o.Capture, now: int) -> Decided:
    hold = model.hold(request, op.hold)
    need_open(hold, now)
    if op.amount is not None:
        need_unit(hold.card.unit, op.unit)
    amount = hold.keeps() if op.amount is None else op.amount
    if amount > hold.keeps():
        raise Refusal("CAPTURE_EXCEEDS_HOLD")
    if op.final or amount == hold.keeps():
        hold.state = "CAPTURED"
    decided = approve(request, hold.card.unit, [hold.card], approved=amount, hold_state=hold.state)
    for tranche, kept in hold.parts.items():
        part = min(amount, kept)
        amount -= part
        hold.parts[tranche] -= part
        tranche.balance -= part
        if part:
            decided.moves.append(Move(hold.card, tranche, -part, "REDEEMED"))
    return decided


def void(model: "LedgerModel", request: Request, op: o.Void, now: int) -> Decided:
    hold = model.hold(request, op.hold)
    need_open(hold, now)
    hold.state = "VOIDED"
    return approve(request, hold.card.unit, [hold.card], approved=hold.keeps(), hold_state="VOIDED")
