"""Creating, selling, locking, changing and closing cards, and correcting their balance."""

from typing import TypeVar

from server.domain import points, reservations, rules
from server.domain.commands import (
    ActivateGiftCard,
    AdjustGiftCard,
    Amount,
    CheckPin,
    CloseGiftCard,
    CreateGiftCard,
    Envelope,
    IssueGiftCard,
    LoadGiftCard,
    Location,
    LockGiftCard,
    NewCard,
    Policy,
    UnlockGiftCard,
    UpdateGiftCard,
)
from server.domain.decision import (
    ADJUSTMENT,
    BREAKAGE,
    OPENING,
    POINTS_EXCHANGE,
    PROMO_EXPENSE,
    Decision,
    clearing,
    release_expired,
)
from server.domain.errors import InvalidField, Refused, Rejected
from server.domain.model import (
    Card,
    CardState,
    Disposition,
    Movement,
    Origin,
    Program,
)
from server.domain.transfer import move_between, require_same_unit, require_two
from server.domain.world import World

Value = TypeVar("Value")


def _new_card(
    world: World, envelope: Envelope, command: NewCard, program: Program, now: int
) -> Decision:
    """A decision that makes the card, as yet for sale and without value."""
    for customer in command.customers():
        world.wallet(envelope.caller, customer)
    material = envelope.material
    assert material is not None, "a new card needs the edge's material"
    if program.pin_required and material.pin_hash is None:
        raise InvalidField("pin", "Is required by the program.")
    if program.retired:
        raise Refused("PROGRAM_RETIRED")
    made = "" if command.code_hash else material.code_hash.hex()
    # A code that somebody names may be reserved for just this; one that the server makes may not.
    if world.card_id_of_code(command.code_hash or made) or (made and world.code(made)):
        raise Rejected("CODE_EXISTS")
    policy = command.policy
    card = Card(
        id=material.card_id,
        cell=envelope.caller.cell,
        merchant_id=envelope.caller.merchant_id,
        book=envelope.caller.book,
        program_id=program.id,
        program_version=program.version,
        program_code=program.code,
        unit=program.unit,
        state=CardState.INACTIVE,
        code_last_four=material.last_four,
        time_zone=envelope.location.time_zone,
        create_time=now,
        update_time=now,
        max_balance=_limit(policy, program.unit, program.max_balance),
        valid_from=policy.valid_from,
        valid_until=policy.valid_until,
        reload_allowed=bool(_chosen(policy.reload_allowed, program.reload_allowed)),
        return_allowed=bool(_chosen(policy.return_allowed, program.return_allowed)),
        partial_redeem_allowed=bool(
            _chosen(policy.partial_redeem_allowed, program.partial_redeem_allowed)
        ),
        pin_hash=material.pin_hash,
        batch=policy.batch,
        customer=policy.customer,
        external_reference=policy.external_reference,
        labels=dict(policy.labels),
        is_new=True,
    )
    decision = Decision(unit=card.unit, cards=[card])
    taken = reservations.take(world, decision, command, card, now)
    decision.new_cards.append((card, None if taken else material))
    return decision


def _limit(policy: Policy, unit: str, default: int | None) -> int | None:
    if policy.max_balance is None:
        return default
    rules.require_unit(unit, policy.max_balance)
    return policy.max_balance.minor_units


def _chosen(asked: Value | None, default: Value | None) -> Value | None:
    return default if asked is None else asked


def create(world: World, envelope: Envelope, command: CreateGiftCard, now: int) -> Decision:
    """Registers a card for sale: INACTIVE, without value."""
    program = world.program(envelope.caller, command.program)
    return _new_card(world, envelope, command, program, now)


def issue(world: World, envelope: Envelope, command: IssueGiftCard, now: int) -> Decision:
    """Creates and activates at once."""
    program = world.program(envelope.caller, command.program)
    decision = _new_card(world, envelope, command, program, now)
    (card,) = decision.cards
    expire_time = rules.tranche_expire_time(command.tranche_valid_until, card.time_zone, now)
    _sell(
        world, envelope, decision, card, program, command.amount, command.origin, expire_time, now,
        points_asked=command.points,
    )  # fmt: skip
    if command.points:
        points.pay(world, envelope, decision, command, now)
    return decision


def activate(world: World, envelope: Envelope, command: ActivateGiftCard, now: int) -> Decision:
    """Sells a known card: INACTIVE to ACTIVE with its first value."""
    card = world.card(envelope.caller, command.card)
    rules.require_pin(world, card, envelope, command.card, now)
    rules.require_state(card, CardState.INACTIVE)
    decision = Decision(unit=card.unit, cards=[card])
    rules.forget_wrong_pins(decision, card, envelope.caller)
    decision.extras = {
        "valid_from_before": card.valid_from,
        "valid_until_before": card.valid_until,
    }
    _sell(
        world, envelope, decision, card, world.program_of(card), command.amount, Origin.PAID, None,
        now, command.valid_from, command.valid_until,
    )  # fmt: skip
    return decision


def _sell(
    world: World,
    envelope: Envelope,
    decision: Decision,
    card: Card,
    program: Program,
    asked: Amount,
    origin: Origin,
    expire_time: int | None,
    now: int,
    valid_from: str | None = None,
    valid_until: str | None = None,
    points_asked: int = 0,
) -> None:
    changes = rules.validity(
        program,
        envelope.location,
        now,
        valid_from or card.valid_from,
        valid_until or card.valid_until,
    )
    if isinstance(changes["expire_time"], int) and changes["expire_time"] <= now:
        raise Refused("CARD_EXPIRED", valid_until=str(changes["valid_until"]))
    rules.require_unit(card.unit, asked)
    amount = asked.minor_units
    rules.require_program_amount(program, amount)
    if points_asked:
        points.require_price(program, amount, points_asked)
    rules.require_room(card, amount, now)
    changes |= {
        "state": CardState.ACTIVE,
        "initial_amount": amount,
        "issued_location_id": envelope.location.id or None,
        "issue_time": now,
    }
    decision.requested = decision.approved = amount
    decision.card_changes.append((card, changes))
    account = rules.account_for(
        world, decision, card, origin, expire_time, envelope.location.entity, now
    )
    source, movement = _source(envelope, origin, Movement.SOLD)
    decision.move_in(account, source, amount, movement)


def _source(envelope: Envelope, origin: Origin, paid: Movement) -> tuple[str, Movement]:
    """Which system account new value comes from, and what finance calls it."""
    if origin is Origin.PROMO:
        return PROMO_EXPENSE, Movement.ISSUED_FREE
    if origin is Origin.IMPORT:
        return OPENING, Movement.IMPORTED
    if origin is Origin.POINTS:
        return POINTS_EXCHANGE, Movement.EXCHANGED
    return clearing(envelope.location.id), paid


def load(world: World, envelope: Envelope, command: LoadGiftCard, now: int) -> Decision:
    """Adds value to an active card."""
    card = world.card(envelope.caller, command.card)
    rules.require_pin(world, card, envelope, command.card, now)
    rules.require_active(card)
    rules.require_valid(card, now)
    expire_time = rules.tranche_expire_time(command.tranche_valid_until, card.time_zone, now)
    rules.require_unit(card.unit, command.amount)
    amount = command.amount.minor_units
    if not card.reload_allowed:
        raise Refused("RELOAD_NOT_ALLOWED")
    rules.require_program_amount(world.program_of(card), amount)
    rules.require_room(card, amount, now)
    decision = Decision(unit=card.unit, requested=amount, approved=amount, cards=[card])
    release_expired(decision, card, now)
    rules.forget_wrong_pins(decision, card, envelope.caller)
    account = rules.account_for(
        world, decision, card, command.origin, expire_time, envelope.location.entity, now
    )
    source, movement = _source(envelope, command.origin, Movement.LOADED)
    decision.move_in(account, source, amount, movement)
    return decision


def lock(world: World, envelope: Envelope, command: LockGiftCard, now: int) -> Decision:
    """ACTIVE to LOCKED; locking a locked card changes nothing and succeeds."""
    card = world.card(envelope.caller, command.card)
    rules.require_state(card, CardState.ACTIVE, CardState.LOCKED)
    return _to_state(card, CardState.LOCKED)


def unlock(world: World, envelope: Envelope, command: UnlockGiftCard, now: int) -> Decision:
    """LOCKED to ACTIVE; unlocking an active card changes nothing and succeeds."""
    card = world.card(envelope.caller, command.card)
    rules.require_state(card, CardState.ACTIVE, CardState.LOCKED)
    return _to_state(card, CardState.ACTIVE)


def _to_state(card: Card, state: CardState) -> Decision:
    decision = Decision(unit=card.unit, cards=[card])
    if card.state is not state:
        decision.card_changes.append((card, {"state": state}))
    return decision


def close(world: World, envelope: Envelope, command: CloseGiftCard, now: int) -> Decision:
    """Ends a card for good; says what becomes of a balance.  Closing it again succeeds."""
    card = world.card(envelope.caller, command.card)
    target = None if command.target is None else world.card(envelope.caller, command.target)
    if target is not None:
        require_two(card, target)
    if card.state is CardState.CLOSED:
        return Decision(unit=card.unit, cards=[card])
    _require_closable(card, target, command.disposition, now)
    # All that the books hold, expired tranches included: nothing may stay behind on a closed card.
    balance = card.ledger_balance()
    decision = Decision(unit=card.unit, requested=balance, approved=balance, cards=[card])
    release_expired(decision, card, now)
    if target is not None:
        move_between(world, decision, card, target, card.available(now), now)
    left = {account.id: account.balance for account in card.accounts}
    for posting in decision.postings:
        if posting.debit in left:
            left[posting.debit] -= posting.amount
    cash_out = command.disposition is Disposition.CASH_OUT
    for account in card.accounts:
        spendable = card.spendable(account, now) if cash_out else 0
        if spendable:
            decision.move_out(
                account, clearing(envelope.location.id), spendable, Movement.CASHED_OUT
            )
        if left[account.id] - spendable:
            decision.move_out(account, BREAKAGE, left[account.id] - spendable, Movement.BREAKAGE)
    decision.card_changes.append((card, {"state": CardState.CLOSED}))
    decision.extras = {"closed": card.id, "state_before": int(card.state)}
    return decision


def _require_closable(card: Card, target: Card | None, disposition: Disposition, now: int) -> None:
    if card.state is CardState.VOIDED:
        raise Refused("CARD_VOIDED")
    if target is not None:
        rules.require_active(target)
    if disposition in (Disposition.CASH_OUT, Disposition.TRANSFER):
        rules.require_valid(card, now)
    if target is not None:
        rules.require_valid(target, now)
        require_same_unit(card, target)
    rules.require_no_open_holds(card, now)
    if disposition is Disposition.CASH_OUT and not card.return_allowed:
        raise Refused("RETURN_NOT_ALLOWED")
    if target is not None:
        rules.require_room(target, card.available(now), now)
    if disposition is Disposition.REQUIRE_ZERO and card.balance(now):
        raise Refused("BALANCE_NOT_ZERO", balance_minor_units=card.balance(now))


def adjust(world: World, envelope: Envelope, command: AdjustGiftCard, now: int) -> Decision:
    """A signed correction by somebody with the right to make one; never below zero."""
    card = world.card(envelope.caller, command.card)
    rules.require_state(card, CardState.ACTIVE, CardState.LOCKED)
    rules.require_unit(card.unit, command.amount)
    amount, available = command.amount.minor_units, card.available(now)
    if -amount > available:
        raise Refused("INSUFFICIENT_FUNDS", available_minor_units=available)
    return correct(world, envelope, card, amount, Origin.PAID, now)


def correct(
    world: World, envelope: Envelope, card: Card, amount: int, origin: Origin, now: int
) -> Decision:
    """Adds a positive amount, as value of that origin, or takes a negative one that is there."""
    decision = Decision(unit=card.unit, requested=amount, approved=amount, cards=[card])
    release_expired(decision, card, now)
    if amount > 0:
        rules.require_room(card, amount, now)
        account = rules.account_for(
            world, decision, card, origin, None, envelope.location.entity, now
        )
        decision.move_in(account, ADJUSTMENT, amount, Movement.ADJUSTED)
        return decision
    for account, part in rules.allocate(card, -amount, now):
        decision.move_out(account, ADJUSTMENT, part, Movement.ADJUSTED)
    return decision


def update(world: World, envelope: Envelope, command: UpdateGiftCard, now: int) -> Decision:
    """Changes policy, validity or labels; money and state have operations of their own."""
    card = world.card(envelope.caller, command.card)
    if command.etag and command.etag != etag(card.id, card.sequence):
        raise Rejected("ETAG_MISMATCH")
    if card.state in (CardState.CLOSED, CardState.VOIDED):
        rules.require_active(card)
    changes: dict[str, object] = {
        name: getattr(command.policy, name)
        for name in command.fields
        if name in Policy.__dataclass_fields__
    }
    if "max_balance" in changes:
        changes["max_balance"] = _limit(command.policy, card.unit, None)
    if {"valid_from", "valid_until"} & changes.keys() and card.state is not CardState.INACTIVE:
        changes |= rules.validity(
            None,
            Location(envelope.location.id, card.time_zone),
            card.create_time,
            command.policy.valid_from if "valid_from" in changes else card.valid_from,
            command.policy.valid_until if "valid_until" in changes else card.valid_until,
        )
    for name in ("reload_allowed", "return_allowed", "partial_redeem_allowed"):
        if name in changes and changes[name] is None:
            changes[name] = getattr(world.program_of(card), name)
    if "pin" in command.fields:
        pin_hash = envelope.material.pin_hash if envelope.material else None
        if pin_hash is None and world.program_of(card).pin_required:
            raise Refused("PIN_REQUIRED")
        changes |= {"pin_hash": pin_hash, "pin_tries": {}}
    return Decision(unit=card.unit, cards=[card], card_changes=[(card, changes)])


def check_pin(world: World, envelope: Envelope, command: CheckPin, now: int) -> Decision:
    """Approves the right PIN and forgets earlier mistakes; a wrong one is refused and counted."""
    card = world.card(envelope.caller, command.card)
    rules.require_pin(world, card, envelope, command.card, now)
    decision = Decision(unit=card.unit, cards=[card])
    rules.forget_wrong_pins(decision, card, envelope.caller)
    return decision


def etag(card_id: str, sequence: int) -> str:
    """Changes with every transaction of the card (https://google.aip.dev/154)."""
    return f'"{card_id[-8:]}-{sequence}"'
