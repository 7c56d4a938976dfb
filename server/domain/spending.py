"""Redeeming from one card or several, and refunding what was redeemed."""

from itertools import combinations

from server.domain import rules
from server.domain.commands import (
    Envelope,
    RedeemGiftCard,
    RedeemGiftCards,
    RefundGiftCard,
)
from server.domain.decision import (
    Decision,
    HoldChange,
    clearing,
    release_expired,
)
from server.domain.errors import Refused, Rejected
from server.domain.model import (
    NEVER,
    Card,
    CardState,
    Hold,
    HoldState,
    Kind,
    Movement,
    SpendOrder,
)
from server.domain.record import PostingRow, Record
from server.domain.transfer import require_two
from server.domain.world import World


def redeem(world: World, envelope: Envelope, command: RedeemGiftCard, now: int) -> Decision:
    """Takes value from an active card; approves less only where the caller allows it."""
    caller = envelope.caller
    card = world.card(caller, command.card)
    rules.require_pin(world, card, envelope, command.card, now)
    rules.require_active(card)
    rules.require_valid(card, now)
    rules.require_unit(card.unit, command.amount)
    own = rules.require_not_held_by_other(card, caller, now)
    amount = command.amount.minor_units
    decision = Decision(unit=card.unit, requested=amount, cards=[card])
    available = card.available(now) + (own.remaining if own else 0)
    approved = rules.approve(available, amount, command.allow_partial)
    rules.require_whole(card, approved, now)
    release_expired(decision, card, now)
    rules.forget_wrong_pins(decision, card, envelope.caller)
    if own is not None:
        # The client that reserved the whole card pays from its reservation; the rest returns.
        _spend_hold(decision, card, own, approved, envelope.location.id, now)
    else:
        for account, part in rules.allocate(card, approved, now):
            decision.move_out(account, clearing(envelope.location.id), part, Movement.REDEEMED)
    decision.approved = approved
    return decision


def _spend_hold(
    decision: Decision, card: Card, hold: Hold, amount: int, location_id: str, now: int
) -> None:
    """Spends held value first, then what is free, and ends the hold."""
    remaining = {line.account_id: line.remaining for line in hold.lines}
    left = amount
    parts: dict[str, int] = {}
    for account_id, held in remaining.items():
        parts[account_id] = min(left, held)
        left -= parts[account_id]
    for account in rules.spend_order(card):
        free = min(left, card.spendable(account, now))
        parts[account.id] = parts.get(account.id, 0) + free
        left -= free
    for account in rules.spend_order(card):
        if parts[account.id]:
            decision.move_out(account, clearing(location_id), parts[account.id], Movement.REDEEMED)
    assert left == 0, "the hold and the rest cover the amount"
    decision.hold = hold
    decision.hold_changes.append(
        HoldChange(hold, remaining, captured=min(amount, hold.remaining), end=HoldState.CAPTURED)
    )


def redeem_many(world: World, envelope: Envelope, command: RedeemGiftCards, now: int) -> Decision:
    """One total over several cards: all or nothing, with the plan explained."""
    caller = envelope.caller
    cards = [world.card(caller, ref) for ref in command.card_refs]
    for card, other in combinations(cards, 2):
        require_two(card, other)
    for ref in command.card_refs:
        rules.require_pin(world, world.card(caller, ref), envelope, ref, now)
    for card in cards:
        rules.require_active(card)
    for card in cards:
        rules.require_valid(card, now)
    for card in cards:
        rules.require_unit(card.unit, command.amount)
    for card in cards:
        rules.require_not_held_by_other(card, caller, now)
    amount = command.amount.minor_units
    available = sum(card.available(now) for card in cards)
    approved = rules.approve(available, amount, command.allow_partial)
    decision = Decision(unit=command.amount.unit, requested=amount, approved=approved)
    plan: list[dict[str, object]] = []
    spent: set[str] = set()
    left = approved
    for card in _in_order(cards, command.order, now):
        part = min(left, card.available(now))
        if not part:
            plan.append({"card_id": card.id, "amount": 0, "why": _why_nothing(left)})
            continue
        rules.require_whole(card, part, now)
        release_expired(decision, card, now)
        for account, share in rules.allocate(card, part, now):
            decision.move_out(account, clearing(envelope.location.id), share, Movement.REDEEMED)
        rules.forget_wrong_pins(decision, card, envelope.caller)
        spent.add(card.id)
        left -= part
        plan.append({"card_id": card.id, "amount": part, "why": _why(card, command.order)})
    decision.cards = [card for card in cards if card.id in spent]
    decision.extras = {"plan": plan}
    return decision


def _in_order(cards: list[Card], order: SpendOrder, now: int) -> list[Card]:
    if order is SpendOrder.AS_GIVEN:
        return cards

    def soonest_expiry(card: Card) -> tuple[int, int]:
        # A tranche that has nothing to give does not make its card urgent.
        ends = [a.expire_time for a in card.accounts if card.spendable(a, now)]
        times = [end for end in (card.expire_time, *ends) if end is not None]
        return (min(times, default=NEVER), card.available(now))

    return sorted(cards, key=soonest_expiry)


def _why(card: Card, order: SpendOrder) -> str:
    if order is SpendOrder.AS_GIVEN:
        return "in the order given"
    return f"expires {card.valid_until}" if card.valid_until else "does not expire, used last"


def _why_nothing(left: int) -> str:
    return "nothing available" if left else "the total was covered already"


def refund(world: World, envelope: Envelope, command: RefundGiftCard, now: int) -> Decision:
    """Returns value to the tranches that a redemption or capture took it from, capped by it."""
    target = world.transaction(envelope.caller, command.target)
    if target is None:
        raise Rejected("TRANSACTION_NOT_FOUND")
    redeemed = [posting for posting in target.postings if posting.movement is Movement.REDEEMED]
    # A refusal took nothing, and what a reversal took back is its own matter.
    if not redeemed or target.kind is Kind.REVERSE:
        raise Refused("NOT_REFUNDABLE")
    returned = returned_by_line(world, target)
    amount = command.amount.minor_units
    # The value taken last goes back first: it is what expires last.
    parts: list[tuple[PostingRow, int]] = []
    left = amount
    for posting in reversed(redeemed):
        part = min(left, posting.amount - returned.get(posting.line, 0))
        if part:
            parts.append((posting, part))
            left -= part
    for posting, _ in parts:
        rules.require_state(world.cards[posting.card_id], CardState.ACTIVE, CardState.LOCKED)
    rules.require_unit(target.unit, command.amount)
    if left:
        raise Refused(
            "REFUND_EXCEEDS_REDEMPTION",
            refundable_minor_units=amount - left,
            requested_minor_units=amount,
        )
    decision = Decision(unit=target.unit, requested=amount, approved=amount, target_id=target.id)
    for posting, part in parts:
        card = world.cards[posting.card_id]
        if card not in decision.cards:
            decision.cards.append(card)
            release_expired(decision, card, now)
        account = card.account(posting.account_id)
        back = decision.move_in(account, clearing(envelope.location.id), part, Movement.REFUNDED)
        back.reverses_transaction, back.reverses_line = target.id, posting.line
    return decision


def returned_by_line(world: World, target: Record) -> dict[int, int]:
    """What later refunds and reversals gave back of each line of a transaction.

    A refused request names no target, and all that a follower posts goes back to its target.
    """
    returned: dict[int, int] = {}
    for follower in world.followers.get(target.id, ()):
        undone = returned_by_line(world, follower)
        for posting in follower.postings:
            line = posting.reverses_line
            assert line is not None, "a follower gives back"
            net = posting.amount - undone.get(posting.line, 0)
            returned[line] = returned.get(line, 0) + net
    return returned
