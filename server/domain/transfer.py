"""Moving value from one card to another: merging cards, replacing a lost one."""

from server.domain import rules
from server.domain.commands import Envelope, TransferBalance
from server.domain.decision import BREAKAGE, IN_TRANSIT, Decision, release_expired
from server.domain.errors import Refused
from server.domain.model import Card, CardState, Movement
from server.domain.world import World


def require_two(source: Card, target: Card) -> None:
    if target is source:
        raise Refused("SAME_CARD")


def require_same_unit(source: Card, target: Card) -> None:
    if target.unit != source.unit:
        raise Refused(
            "CURRENCY_MISMATCH", card_currency=target.unit, requested_currency=source.unit
        )


def move_between(
    world: World, decision: Decision, source: Card, target: Card, amount: int, now: int
) -> None:
    """Moves available value tranche by tranche; each keeps its origin and its expiry.

    Value passes through the in-transit account, so that each posting belongs to one card and
    the books of each card verify alone.
    """
    decision.cards.append(target)
    release_expired(decision, target, now)
    for account, part in rules.allocate(source, amount, now):
        twin = rules.account_for(
            world, decision, target, account.origin, account.expire_time, account.entity, now
        )
        decision.move_out(account, IN_TRANSIT, part, Movement.TRANSFERRED)
        decision.move_in(twin, IN_TRANSIT, part, Movement.TRANSFERRED)


def transfer(world: World, envelope: Envelope, command: TransferBalance, now: int) -> Decision:
    """Moves an amount, or all that is available, and closes the source when asked to.

    A locked card may be the source: a card reported lost is locked first and replaced then.
    """
    caller = envelope.caller
    source = world.card(caller, command.source)
    target = world.card(caller, command.target)
    require_two(source, target)
    rules.require_pin(world, source, envelope, command.source, now)
    rules.require_state(source, CardState.ACTIVE, CardState.LOCKED)
    rules.require_active(target)
    rules.require_valid(source, now)
    rules.require_valid(target, now)
    available = source.available(now)
    amount = available
    if command.amount is not None:
        rules.require_unit(source.unit, command.amount)
        amount = command.amount.minor_units
    require_same_unit(source, target)
    rules.require_not_held_by_other(source, caller, now)
    if command.close_source:
        rules.require_no_open_holds(source, now)
    rules.require_room(target, amount, now)
    rest = available - amount
    if rest < 0:
        raise Refused(
            "INSUFFICIENT_FUNDS", available_minor_units=available, requested_minor_units=amount
        )
    if command.close_source and rest:
        raise Refused("BALANCE_NOT_ZERO", balance_minor_units=rest)
    if not amount and not command.close_source:
        raise Refused("NO_BALANCE")
    decision = Decision(unit=source.unit, requested=amount, approved=amount, cards=[source])
    release_expired(decision, source, now)
    rules.forget_wrong_pins(decision, source, envelope.caller)
    move_between(world, decision, source, target, amount, now)
    if command.close_source:
        moved = {posting.debit: posting.amount for posting in decision.postings}
        for account in source.accounts:
            expired = account.balance - moved.get(account.id, 0)
            if expired:
                decision.move_out(account, BREAKAGE, expired, Movement.BREAKAGE)
        decision.card_changes.append((source, {"state": CardState.CLOSED}))
        decision.extras = {"closed": source.id, "state_before": int(source.state)}
    return decision
