"""The model's rules for customers and their points."""

from typing import TYPE_CHECKING

from tests import operations as o
from tests.model.books import NEVER, WALLET, Card, Decided, Hold, NoDecision, Refusal
from tests.model.life import approve, end_of, need_points, need_room, put, take
from tests.operations import SECOND, Request
from tests.programs import HOLD_SECONDS

if TYPE_CHECKING:
    from tests.model.ledger_model import LedgerModel


def create(model: "LedgerModel", request: Request, op: o.NewCustomer, now: int) -> Decided:
    if (op.customer, request.book) in model.cards:
        raise NoDecision("RESOURCE_EXISTS")
    wallet = Card(op.customer, request.book, WALLET, "ACTIVE")
    model.cards[op.customer, request.book] = wallet
    return approve(request, "POINTS", [wallet])


def earn(model: "LedgerModel", request: Request, op: o.Earn, now: int) -> Decided:
    wallet = model.wallet(request, op.customer)
    if end_of(op.until) <= now:
        raise Refusal("POINTS_EXPIRED")
    need_room(wallet, op.points, now)
    decided = approve(request, "POINTS", [wallet], approved=op.points)
    put(decided, wallet, "PROMO", end_of(op.until), op.points, "EARNED")
    return decided


def adjust(model: "LedgerModel", request: Request, op: o.AdjustPoints, now: int) -> Decided:
    wallet = model.wallet(request, op.customer)
    decided = approve(request, "POINTS", [wallet], approved=op.points)
    if op.points < 0:
        need_points(wallet, -op.points, now)
        take(decided, wallet, -op.points, "ADJUSTED", now)
        return decided
    need_room(wallet, op.points, now)
    put(decided, wallet, "PROMO", NEVER, op.points, "ADJUSTED")
    return decided


def authorize(model: "LedgerModel", request: Request, op: o.HoldPoints, now: int) -> Decided:
    wallet = model.wallet(request, op.customer)
    available = wallet.available(now)
    points = available if op.points is None else op.points
    if available == 0 or (points > available and not op.partial):
        raise Refusal("INSUFFICIENT_POINTS")
    points = min(points, available)
    expires = now + (op.seconds or HOLD_SECONDS) * SECOND
    decided = approve(request, "POINTS", [wallet], approved=points, hold_state="OPEN")
    decided.hold = Hold(wallet, request.client, False, expires, wallet.split(points, now))
    wallet.holds.append(decided.hold)
    return decided
