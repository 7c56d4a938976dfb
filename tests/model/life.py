"""The model's rules for the life of a card: sold, loaded, locked, changed, moved, closed."""

from datetime import date
from typing import TYPE_CHECKING, Any

from tests import operations as o
from tests.model.books import NEVER, Card, Decided, Move, NoDecision, Refusal
from tests.operations import DAY, Outcome, Request
from tests.programs import PROGRAMS

if TYPE_CHECKING:
    from tests.model.ledger_model import LedgerModel

_MOST = 10**12


def approve(request: Request, unit: str, cards: list[Card], **answer: Any) -> Decided:
    outcome = Outcome(**answer)
    return Decided(
        request.operation, outcome, request.client, request.book, "APPROVED", unit, cards=cards
    )


def put(decided: Decided, card: Card, origin: str, expires: int, amount: int, why: str) -> None:
    tranche = card.tranche(origin, expires)
    tranche.balance += amount
    decided.moves.append(Move(card, tranche, amount, why))


def take(decided: Decided, card: Card, amount: int, why: str, now: int) -> None:
    for tranche, part in card.split(amount, now).items():
        tranche.balance -= part
        decided.moves.append(Move(card, tranche, -part, why))


def need_pin(card: Card, request: Request, pin: str | None, now: int) -> None:
    if card.pin is None:
        return
    if card.pin_locked_until.get(request.client, 0) > now:
        raise Refusal("PIN_LOCKED")
    if pin is None:
        raise Refusal("PIN_REQUIRED")
    if pin != card.pin:
        card.wrong_pins[request.client] += 1
        wrong = card.wrong_pins[request.client]
        if wrong % 5 == 0:
            quarters_of_an_hour = 2 ** (wrong // 5 - 1)
            card.pin_locked_until[request.client] = now + quarters_of_an_hour * 900 * o.SECOND
        raise Refusal("PIN_INCORRECT")


def forget_wrong_pins(card: Card, request: Request) -> None:
    """One's own."""
    card.wrong_pins.pop(request.client, None)
    card.pin_locked_until.pop(request.client, None)


def need_state(card: Card, *states: str) -> None:
    if card.state not in states:
        already = "CARD_ALREADY_ACTIVE" if card.state == "ACTIVE" else f"CARD_{card.state}"
        raise Refusal(already)


def need_valid(card: Card, now: int) -> None:
    if now < card.starts:
        raise Refusal("CARD_NOT_YET_VALID")
    if now >= card.expires:
        raise Refusal("CARD_EXPIRED")


def need_unit(unit: str, asked: str) -> None:
    if unit != asked:
        raise Refusal("CURRENCY_MISMATCH")


def need_sellable(card: Card, amount: int) -> None:
    allowed = card.rule("denominations", ())
    if allowed and amount not in allowed:
        fixed = not card.rule("value_change_allowed", True)
        raise Refusal("VALUE_CHANGE_NOT_ALLOWED" if fixed else "DENOMINATION_NOT_ALLOWED")
    if amount < card.rule("min_amount", 0):
        raise Refusal("AMOUNT_BELOW_MINIMUM")
    if amount > card.rule("max_amount", _MOST):
        raise Refusal("AMOUNT_ABOVE_MAXIMUM")


def need_room(card: Card, amount: int, now: int) -> None:
    most = _MOST if card.max_balance is None else card.max_balance
    if card.balance(now) + amount > most:
        raise Refusal("MAX_BALANCE_EXCEEDED")


def need_points(wallet: Card, points: int, now: int) -> None:
    if points > wallet.available(now):
        raise Refusal("INSUFFICIENT_POINTS")


def need_price(card: Card, amount: int, points: int) -> None:
    rate = card.rule("points_per_major_unit", 0)
    if rate == 0:
        raise Refusal("POINTS_NOT_ALLOWED")
    # All units of the test programs have two decimals.
    if amount * rate != points * 100:
        raise Refusal("POINTS_AMOUNT_MISMATCH")


def _pay(decided: Decided, wallet: Card, points: int, now: int) -> None:
    need_points(wallet, points, now)
    decided.cards.append(wallet)
    take(decided, wallet, points, "EXCHANGED", now)


def day_number(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def end_of(text: str | None) -> int:
    """The first instant after the day, in UTC."""
    return NEVER if text is None else (day_number(text) + 1) * DAY


def need_future(text: str | None, now: int) -> int:
    if end_of(text) <= now:
        raise Refusal("CARD_EXPIRED")
    return end_of(text)


def set_validity(card: Card, first: int, last: int | None) -> None:
    if last is not None and last < first:
        raise Refusal("CARD_EXPIRED")
    card.valid_from, card.valid_until = first, last
    card.starts = first * DAY
    card.expires = NEVER if last is None else (last + 1) * DAY


def create(model: "LedgerModel", request: Request, op: o.Create | o.Issue, now: int) -> Decided:
    if op.program not in PROGRAMS:
        raise NoDecision("PROGRAM_NOT_FOUND")
    facts = PROGRAMS[op.program]
    wallet = None
    if isinstance(op, o.Issue) and op.customer is not None:
        wallet = model.wallet(request, op.customer)
    if facts.get("retired"):
        raise Refusal("PROGRAM_RETIRED")
    if (op.card, request.book) in model.cards:
        raise NoDecision("CODE_EXISTS")
    card = Card(op.card, request.book, op.program, created_on=now // DAY, pin=op.pin)
    if op.max_balance is not None:
        need_unit(card.unit, "USD")
    card.max_balance = facts.get("max_balance") if op.max_balance is None else op.max_balance
    card.reload_allowed = facts.get("reload_allowed", True)
    card.return_allowed = facts.get("return_allowed", False)
    card.partial_redeem_allowed = facts.get("partial_redeem_allowed", True)
    card.valid_from = None if op.valid_from is None else day_number(op.valid_from)
    card.valid_until = None if op.valid_until is None else day_number(op.valid_until)
    need_reserved(model, request, op, now)
    decided = approve(request, card.unit, [card])
    if isinstance(op, o.Issue):
        expires = need_future(op.tranche_until, now)
        origin = "POINTS" if op.points else op.origin
        _sell(decided, card, op.amount, op.unit, origin, expires, now, op.points)
        if op.points:
            assert wallet is not None
            _pay(decided, wallet, op.points, now)
    model.cards[op.card, request.book] = card
    code = model.codes.get((op.card, request.book))
    if code is not None:
        code.state = "USED"
    return decided


issue = create


def need_reserved(model: "LedgerModel", request: Request, op: o.Create | o.Issue, now: int) -> None:
    code = model.codes.get((op.card, request.book))
    if op.reserved and (code is None or code.state != "RESERVED" or code.expires <= now):
        raise Refusal("CODE_NOT_RESERVED")


def _sell(
    decided: Decided,
    card: Card,
    amount: int,
    unit: str,
    origin: str,
    expires: int,
    now: int,
    points: int = 0,
) -> None:
    first = now // DAY if card.valid_from is None else card.valid_from
    last = card.valid_until
    if last is None and card.rule("validity_days") is not None:
        last = first + card.rule("validity_days")
    if last is None and card.rule("valid_until") is not None:
        last = day_number(card.rule("valid_until"))
    if last is not None and (last < first or (last + 1) * DAY <= now):
        raise Refusal("CARD_EXPIRED")
    need_unit(card.unit, unit)
    need_sellable(card, amount)
    if points:
        need_price(card, amount, points)
    need_room(card, amount, now)
    set_validity(card, first, last)
    card.state = "ACTIVE"
    put(decided, card, origin, expires, amount, "SOLD")
    decided.outcome = Outcome(approved=amount)


def activate(model: "LedgerModel", request: Request, op: o.Activate, now: int) -> Decided:
    card = model.card(request, op.card)
    need_pin(card, request, op.pin, now)
    need_state(card, "INACTIVE")
    decided = approve(request, card.unit, [card])
    decided.validity_before = (card.valid_from, card.valid_until)
    _sell(decided, card, op.amount, op.unit, "PAID", NEVER, now)
    forget_wrong_pins(card, request)
    return decided


def load(model: "LedgerModel", request: Request, op: o.Load, now: int) -> Decided:
    card = model.card(request, op.card)
    need_pin(card, request, op.pin, now)
    need_state(card, "ACTIVE")
    need_valid(card, now)
    expires = need_future(op.tranche_until, now)
    need_unit(card.unit, op.unit)
    if not card.reload_allowed:
        raise Refusal("RELOAD_NOT_ALLOWED")
    need_sellable(card, op.amount)
    need_room(card, op.amount, now)
    decided = approve(request, card.unit, [card], approved=op.amount)
    forget_wrong_pins(card, request)
    put(decided, card, op.origin, expires, op.amount, "LOADED")
    return decided


def lock(model: "LedgerModel", request: Request, op: o.Lock, now: int) -> Decided:
    return _set_state(model, request, op.card, "LOCKED")


def unlock(model: "LedgerModel", request: Request, op: o.Unlock, now: int) -> Decided:
    return _set_state(model, request, op.card, "ACTIVE")


def _set_state(model: "LedgerModel", request: Request, handle: str, state: str) -> Decided:
    card = model.card(request, handle)
    need_state(card, "ACTIVE", "LOCKED")
    card.state = state
    return approve(request, card.unit, [card])


def adjust(model: "LedgerModel", request: Request, op: o.Adjust, now: int) -> Decided:
    card = model.card(request, op.card)
    need_state(card, "ACTIVE", "LOCKED")
    need_unit(card.unit, op.unit)
    decided = approve(request, card.unit, [card], approved=op.amount)
    if op.amount > 0:
        need_room(card, op.amount, now)
        put(decided, card, "PAID", NEVER, op.amount, "ADJUSTED")
        return decided
    if -op.amount > card.available(now):
        raise Refusal("INSUFFICIENT_FUNDS")
    take(decided, card, -op.amount, "ADJUSTED", now)
    return decided


def update(model: "LedgerModel", request: Request, op: o.Update, now: int) -> Decided:
    card = model.card(request, op.card)
    need_state(card, "INACTIVE", "ACTIVE", "LOCKED")
    changes = dict(op.changes)
    if changes.get("max_balance") is not None:
        need_unit(card.unit, "USD")
    if "valid_until" in changes:
        text = changes["valid_until"]
        last = None if text is None else day_number(str(text))
        if card.state == "INACTIVE":
            card.valid_until = last
        else:
            assert card.valid_from is not None
            set_validity(card, card.valid_from, last)
    for name, value in changes.items():
        if name.endswith("_allowed") and value is None:
            setattr(card, name, card.rule(name, name != "return_allowed"))
        elif name != "valid_until":
            setattr(card, name, value)
    return approve(request, card.unit, [card])


def transfer(model: "LedgerModel", request: Request, op: o.Transfer, now: int) -> Decided:
    source, target = model.card(request, op.source), model.card(request, op.target)
    if source is target:
        raise Refusal("SAME_CARD")
    need_pin(source, request, op.pin, now)
    need_state(source, "ACTIVE", "LOCKED")
    need_state(target, "ACTIVE")
    need_valid(source, now)
    need_valid(target, now)
    if op.amount is not None:
        need_unit(source.unit, op.unit)
    need_unit(target.unit, source.unit)
    available = source.available(now)
    amount = available if op.amount is None else op.amount
    holds = source.open_holds(now)
    if any(hold.exclusive and hold.client != request.client for hold in holds):
        raise Refusal("HELD_BY_OTHER")
    if op.close_source and holds:
        raise Refusal("OPEN_HOLDS")
    need_room(target, amount, now)
    if amount > available:
        raise Refusal("INSUFFICIENT_FUNDS")
    if op.close_source and amount < available:
        raise Refusal("BALANCE_NOT_ZERO")
    if amount == 0 and not op.close_source:
        raise Refusal("NO_BALANCE")
    decided = approve(request, source.unit, [source, target], approved=amount)
    forget_wrong_pins(source, request)
    _move(decided, source, target, amount, now)
    if op.close_source:
        _end(decided, source)
    return decided


def _move(decided: Decided, source: Card, target: Card, amount: int, now: int) -> None:
    for tranche, part in source.split(amount, now).items():
        tranche.balance -= part
        decided.moves.append(Move(source, tranche, -part, "MOVED"))
        put(decided, target, tranche.origin, tranche.expires, part, "MOVED")


def _end(decided: Decided, card: Card) -> None:
    """Closes the card; what is left on it, expired or not, is the merchant's."""
    for tranche in card.tranches:
        if tranche.balance:
            decided.moves.append(Move(card, tranche, -tranche.balance, "KEPT"))
            tranche.balance = 0
    decided.closed.append((card, card.state))
    card.state = "CLOSED"


def close(model: "LedgerModel", request: Request, op: o.Close, now: int) -> Decided:
    card = model.card(request, op.card)
    target = None if op.target is None else model.card(request, op.target)
    if target is card:
        raise Refusal("SAME_CARD")
    if card.state == "CLOSED":
        return approve(request, card.unit, [card])
    need_state(card, "INACTIVE", "ACTIVE", "LOCKED")
    if target is not None:
        need_state(target, "ACTIVE")
    if op.disposition in ("CASH_OUT", "TRANSFER"):
        need_valid(card, now)
    if target is not None:
        need_valid(target, now)
        need_unit(target.unit, card.unit)
    if card.open_holds(now):
        raise Refusal("OPEN_HOLDS")
    if op.disposition == "CASH_OUT" and not card.return_allowed:
        raise Refusal("RETURN_NOT_ALLOWED")
    if target is not None:
        need_room(target, card.available(now), now)
    if op.disposition == "REQUIRE_ZERO" and card.balance(now):
        raise Refusal("BALANCE_NOT_ZERO")
    decided = approve(request, card.unit, [card], approved=card.total())
    if target is not None:
        _move(decided, card, target, card.available(now), now)
        decided.cards.append(target)
    if op.disposition == "CASH_OUT":
        take(decided, card, card.available(now), "PAID OUT", now)
    _end(decided, card)
    return decided
