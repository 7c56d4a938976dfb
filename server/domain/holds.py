"""Authorizing, capturing and voiding: value kept back now and taken later, or given back."""

from server.domain import rules
from server.domain.commands import AuthorizeGiftCard, CaptureHold, Envelope, VoidHold
from server.domain.decision import Decision, HoldChange, clearing, release_expired
from server.domain.errors import Refused
from server.domain.model import Card, Hold, HoldLine, HoldState, Movement
from server.domain.world import World

_END_REASONS = {
    HoldState.CAPTURED: "HOLD_CAPTURED",
    HoldState.VOIDED: "HOLD_VOIDED",
    HoldState.EXPIRED: "HOLD_EXPIRED",
}


def authorize(world: World, envelope: Envelope, command: AuthorizeGiftCard, now: int) -> Decision:
    """Keeps value back on an active card until it is captured, voided or its time is over."""
    caller = envelope.caller
    card = world.card(caller, command.card)
    rules.require_pin(world, card, envelope, command.card, now)
    rules.require_active(card)
    rules.require_valid(card, now)
    if command.amount is not None:
        rules.require_unit(card.unit, command.amount)
    rules.require_not_held_by_other(card, caller, now)
    program = world.program_of(card)
    if not program.holds_allowed:
        raise Refused("HOLDS_NOT_ALLOWED")
    if command.exclusive and card.held(now):
        raise Refused("OPEN_HOLDS")
    available = card.available(now)
    requested = available if command.amount is None else command.amount.minor_units
    approved = rules.approve(available, requested, command.allow_partial)
    rules.require_whole(card, approved, now)
    decision = Decision(unit=card.unit, requested=requested, approved=approved, cards=[card])
    rules.forget_wrong_pins(decision, card, envelope.caller)
    open_hold(
        world, envelope, decision, card,
        seconds=command.expire_after_seconds or program.hold_seconds,
        exclusive=command.exclusive, sale_reference=command.sale_reference, now=now,
    )  # fmt: skip
    return decision


def open_hold(
    world: World,
    envelope: Envelope,
    decision: Decision,
    card: Card,
    *,
    seconds: int,
    exclusive: bool,
    sale_reference: str,
    now: int,
) -> None:
    """Keeps what was approved, which is known to be available."""
    release_expired(decision, card, now)
    requested, approved = decision.requested, decision.approved
    assert requested is not None
    assert approved is not None
    hold = Hold(
        id=world.new_id(now, card.id),
        card_id=card.id,
        client_id=envelope.caller.client_id,
        requested=requested,
        authorized=approved,
        exclusive=exclusive,
        sale_reference=sale_reference,
        expire_time=now + seconds * 1_000_000,
        create_time=now,
        lines=[
            HoldLine(account.id, part, part)
            for account, part in rules.allocate(card, approved, now)
        ],
        is_new=True,
    )
    decision.new_holds.append((card, hold))
    decision.hold = hold


def _require_open(hold: Hold, now: int) -> None:
    state = hold.state_at(now)
    if state is not HoldState.OPEN:
        raise Refused(_END_REASONS[state])


def capture(world: World, envelope: Envelope, command: CaptureHold, now: int) -> Decision:
    """Takes what was held, in part or whole.  A capture that leaves nothing ends the hold.

    Neither the card's state nor its validity matter any more: the money was promised.
    """
    card, hold = world.hold(envelope.caller, command.hold_id)
    _require_open(hold, now)
    if command.amount is not None:
        rules.require_unit(card.unit, command.amount)
    remaining = hold.remaining
    amount = remaining if command.amount is None else command.amount.minor_units
    left = remaining - amount
    if left < 0:
        raise Refused(
            "CAPTURE_EXCEEDS_HOLD", remaining_minor_units=remaining, requested_minor_units=amount
        )
    decision = Decision(unit=card.unit, requested=amount, approved=amount, cards=[card], hold=hold)
    taken = _take_from_lines(decision, card, hold, amount, envelope.location.id)
    ends = command.final or not left
    released = {line.account_id: line.remaining for line in hold.lines} if ends else taken
    decision.hold_changes.append(
        HoldChange(hold, released, captured=amount, end=HoldState.CAPTURED if ends else None)
    )
    release_expired(decision, card, now)
    return decision


def _take_from_lines(
    decision: Decision, card: Card, hold: Hold, amount: int, location_id: str
) -> dict[str, int]:
    taken: dict[str, int] = {}
    for line in hold.lines:
        part = min(amount, line.remaining)
        if part:
            account = card.account(line.account_id)
            decision.move_out(account, clearing(location_id), part, Movement.REDEEMED)
            taken[line.account_id] = part
            amount -= part
    return taken


def void(world: World, envelope: Envelope, command: VoidHold, now: int) -> Decision:
    """Gives back all that remains of an open hold."""
    card, hold = world.hold(envelope.caller, command.hold_id)
    _require_open(hold, now)
    decision = Decision(
        unit=card.unit, requested=hold.remaining, approved=hold.remaining, cards=[card], hold=hold
    )
    released = {line.account_id: line.remaining for line in hold.lines}
    decision.hold_changes.append(HoldChange(hold, released, end=HoldState.VOIDED))
    release_expired(decision, card, now)
    return decision
