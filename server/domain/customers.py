"""Customers and their points: credited, corrected and held.

A customer's points are a wallet, a card in the unit POINTS, so that all that the ledger
guarantees of a card's value it guarantees of points.
"""

from datetime import date

from server.domain import calendar, points, rules
from server.domain.commands import (
    AdjustPoints,
    AuthorizePoints,
    CreateCustomer,
    EarnPoints,
    Envelope,
    UpdateCustomer,
)
from server.domain.currency import POINTS
from server.domain.decision import PROMO_EXPENSE, Decision, release_expired
from server.domain.errors import Refused, Rejected
from server.domain.holds import open_hold
from server.domain.lifecycle import correct, etag
from server.domain.model import POINTS_PROGRAM, Card, CardState, Movement, Origin
from server.domain.world import World


def create(world: World, envelope: Envelope, command: CreateCustomer, now: int) -> Decision:
    """Makes a customer known, without points."""
    caller, name = envelope.caller, command.new_customer
    if world.wallet_id(caller, name) is not None:
        raise Rejected("RESOURCE_EXISTS", resource=f"customers/{name}")
    wallet = Card(
        id=world.new_id(now, None),
        cell=caller.cell,
        merchant_id=caller.merchant_id,
        book=caller.book,
        program_id=POINTS_PROGRAM.id,
        program_version=POINTS_PROGRAM.version,
        program_code=POINTS_PROGRAM.code,
        unit=POINTS,
        state=CardState.ACTIVE,
        code_last_four="",
        time_zone=envelope.location.time_zone,
        create_time=now,
        update_time=now,
        customer=name,
        external_reference=command.external_reference,
        labels=dict(command.labels),
        is_new=True,
    )
    return Decision(unit=POINTS, cards=[wallet], new_cards=[(wallet, None)])


def update(world: World, envelope: Envelope, command: UpdateCustomer, now: int) -> Decision:
    """Changes what is noted of a customer; points have operations of their own."""
    wallet = world.wallet(envelope.caller, command.customer)
    if command.etag and command.etag != etag(wallet.id, wallet.sequence):
        raise Rejected("ETAG_MISMATCH")
    changes = {name: getattr(command, name) for name in command.fields}
    return Decision(unit=POINTS, cards=[wallet], card_changes=[(wallet, changes)])


def earn(world: World, envelope: Envelope, command: EarnPoints, now: int) -> Decision:
    """Credits points, given away by the merchant."""
    wallet = world.wallet(envelope.caller, command.customer)
    expire_time = None
    if command.valid_until is not None:
        last = date.fromisoformat(command.valid_until)
        expire_time = calendar.end_of_validity(last, wallet.time_zone)
        if expire_time <= now:
            raise Refused("POINTS_EXPIRED", valid_until=command.valid_until)
    rules.require_room(wallet, command.points, now)
    decision = Decision(
        unit=POINTS, requested=command.points, approved=command.points, cards=[wallet]
    )
    release_expired(decision, wallet, now)
    account = rules.account_for(
        world, decision, wallet, Origin.PROMO, expire_time, envelope.location.entity, now
    )
    decision.move_in(account, PROMO_EXPENSE, command.points, Movement.EARNED)
    return decision


def adjust(world: World, envelope: Envelope, command: AdjustPoints, now: int) -> Decision:
    """A signed correction by somebody with the right to make one; never below zero."""
    wallet = world.wallet(envelope.caller, command.customer)
    points.grant(wallet.available(now), -command.points)
    return correct(world, envelope, wallet, command.points, Origin.PROMO, now)


def authorize(world: World, envelope: Envelope, command: AuthorizePoints, now: int) -> Decision:
    """Keeps points back until they are captured, voided or the time is over."""
    wallet = world.wallet(envelope.caller, command.customer)
    available = wallet.available(now)
    requested = max(available, 1) if command.points is None else command.points
    approved = points.grant(available, requested, allow_partial=command.allow_partial)
    decision = Decision(unit=POINTS, requested=requested, approved=approved, cards=[wallet])
    seconds = command.expire_after_seconds or POINTS_PROGRAM.hold_seconds
    open_hold(
        world, envelope, decision, wallet,
        seconds=seconds, exclusive=False, sale_reference=command.sale_reference, now=now,
    )  # fmt: skip
    return decision
