"""The checks that operations share, in the published precedence of refusals.

Not found, not yours, book (these three by `World`); then PIN, state, validity, currency, program
rule, limits, funds.  An operation calls them in that order and takes what it needs.
"""

from datetime import date

from server.domain import calendar
from server.domain.commands import Amount, Caller, CardRef, Envelope, Location
from server.domain.decision import AMOUNT_MAX, Decision
from server.domain.errors import InvalidField, Refused
from server.domain.model import NEVER, Account, Card, CardState, Hold, HoldState, Origin, Program
from server.domain.world import World

PIN_ATTEMPTS_MAX = 5
PIN_LOCK_MICROSECONDS = 15 * 60 * 1_000_000

_STATE_REASONS = {
    CardState.INACTIVE: "CARD_INACTIVE",
    CardState.LOCKED: "CARD_LOCKED",
    CardState.CLOSED: "CARD_CLOSED",
    CardState.VOIDED: "CARD_VOIDED",
}


class RefusedWithEffect(Refused):
    """A refusal that must itself be remembered on the card: a wrong PIN counts.

    `locks_pin` says that it was one too many.
    """

    def __init__(
        self, reason: str, effect: Decision, *, locks_pin: bool, **metadata: str | int
    ) -> None:
        super().__init__(reason, **metadata)
        self.effect = effect
        self.locks_pin = locks_pin


def require_pin(world: World, card: Card, envelope: Envelope, ref: CardRef, now: int) -> None:
    """Checks the PIN where the card has one; five wrong ones close it to who typed them.

    Each API client has tries of its own: whoever guesses elsewhere does not lock the card at its
    till.
    """
    if card.pin_hash is None:
        return
    client_id = envelope.caller.client_id
    failures, locked_until = card.pin_tries.get(client_id, (0, now))
    if locked_until > now:
        raise Refused("PIN_LOCKED", retry_time=locked_until)
    pin = envelope.pins.get(ref)
    if pin is None:
        raise Refused("PIN_REQUIRED")
    if world.pin_matches(card.id, pin, card.pin_hash):
        return
    failures += 1
    locks = not failures % PIN_ATTEMPTS_MAX
    if locks:
        # Doubles with every lock-out in a row, so that patience does not help a guesser.
        in_a_row = failures // PIN_ATTEMPTS_MAX
        locked_until = now + (PIN_LOCK_MICROSECONDS << min(in_a_row - 1, 10))
    tries = {**card.pin_tries, client_id: (failures, locked_until)}
    effect = Decision(cards=[card], card_changes=[(card, {"pin_tries": tries})])
    raise RefusedWithEffect("PIN_INCORRECT", effect, locks_pin=locks)


def forget_wrong_pins(decision: Decision, card: Card, caller: Caller) -> None:
    """After the right PIN the caller's own mistakes are forgiven, and nobody else's."""
    if caller.client_id in card.pin_tries:
        others = {who: tries for who, tries in card.pin_tries.items() if who != caller.client_id}
        decision.card_changes.append((card, {"pin_tries": others}))


def require_active(card: Card) -> None:
    if card.state is not CardState.ACTIVE:
        raise Refused(_STATE_REASONS[card.state])


def require_state(card: Card, *allowed: CardState) -> None:
    if card.state not in allowed:
        reason = _STATE_REASONS.get(card.state, "CARD_ALREADY_ACTIVE")
        raise Refused(reason)


def require_valid(card: Card, now: int) -> None:
    if card.valid_from_time is not None and now < card.valid_from_time:
        raise Refused("CARD_NOT_YET_VALID", valid_from=card.valid_from or "")
    if card.expire_time is not None and now >= card.expire_time:
        raise Refused("CARD_EXPIRED", valid_until=card.valid_until or "")


def require_unit(unit: str, amount: Amount) -> None:
    if amount.unit != unit:
        raise Refused("CURRENCY_MISMATCH", card_currency=unit, requested_currency=amount.unit)


def require_program_amount(program: Program, amount: int) -> None:
    """What one sale or load of this program may be."""
    if not program.value_change_allowed and amount not in program.denominations:
        raise Refused("VALUE_CHANGE_NOT_ALLOWED", requested_minor_units=amount)
    if program.denominations and amount not in program.denominations:
        raise Refused("DENOMINATION_NOT_ALLOWED", requested_minor_units=amount)
    if program.min_amount is not None and amount < program.min_amount:
        raise Refused("AMOUNT_BELOW_MINIMUM", minimum_minor_units=program.min_amount)
    if program.max_amount is not None and amount > program.max_amount:
        raise Refused("AMOUNT_ABOVE_MAXIMUM", maximum_minor_units=program.max_amount)


def require_room(card: Card, amount: int, now: int) -> None:
    """Refuses what would lift the card above its maximum, or any account near the machine's."""
    limit = AMOUNT_MAX if card.max_balance is None else min(card.max_balance, AMOUNT_MAX)
    if card.balance(now) + amount > limit or card.ledger_balance() + amount > AMOUNT_MAX:
        raise Refused("MAX_BALANCE_EXCEEDED", maximum_minor_units=limit)


def require_not_held_by_other(card: Card, caller: Caller, now: int) -> Hold | None:
    """Refuses where another client holds the whole card; returns the hold where the caller does."""
    for hold in card.holds:
        if hold.exclusive and hold.state_at(now) is HoldState.OPEN:
            if hold.client_id != caller.client_id:
                raise Refused("HELD_BY_OTHER", expire_time=hold.expire_time)
            return hold
    return None


def require_no_open_holds(card: Card, now: int) -> None:
    if any(hold.state_at(now) is HoldState.OPEN for hold in card.holds):
        raise Refused("OPEN_HOLDS")


def approve(available: int, amount: int, allow_partial: bool) -> int:
    """How much of an amount there is to take; less than asked only where the caller allows it."""
    if not available:
        raise Refused("NO_BALANCE", requested_minor_units=amount)
    if amount > available and not allow_partial:
        raise Refused(
            "INSUFFICIENT_FUNDS", available_minor_units=available, requested_minor_units=amount
        )
    return min(amount, available)


def require_whole(card: Card, approved: int, now: int) -> None:
    """Refuses to leave a rest on a card that is spent in full only."""
    balance = card.balance(now)
    if balance - approved and not card.partial_redeem_allowed:
        raise Refused("PARTIAL_REDEEM_NOT_ALLOWED", balance_minor_units=balance)


def spend_order(card: Card) -> list[Account]:
    """Soonest-expiring first, then promotional value before paid, then the older one."""
    return sorted(
        card.accounts,
        key=lambda account: (
            NEVER if account.expire_time is None else account.expire_time,
            account.origin is not Origin.PROMO,
            account.id,
        ),
    )


def allocate(card: Card, amount: int, now: int) -> list[tuple[Account, int]]:
    """Splits an amount that is known to be available over the card's tranches."""
    parts: list[tuple[Account, int]] = []
    for account in spend_order(card):
        part = min(amount, card.spendable(account, now))
        if part:
            parts.append((account, part))
            amount -= part
    assert amount == 0, "allocated more than is available"
    return parts


def account_for(
    world: World,
    decision: Decision,
    card: Card,
    origin: Origin,
    expire_time: int | None,
    entity: str,
    now: int,
) -> Account:
    """The tranche with this origin, expiry and debtor, made when there is none: a plain card has
    one."""
    for account in card.accounts:
        if (account.origin, account.expire_time, account.entity) == (origin, expire_time, entity):
            return account
    account = Account(
        world.new_id(now, card.id), card.id, origin, expire_time,
        entity=entity, create_time=now, is_new=True,
    )  # fmt: skip
    decision.new_accounts.append((card, account))
    return account


def tranche_expire_time(valid_until: str | None, time_zone: str, now: int) -> int | None:
    """Refuses a day that is over: the value would be lost as it is given."""
    if valid_until is None:
        return None
    expire_time = calendar.end_of_validity(date.fromisoformat(valid_until), time_zone)
    if expire_time <= now:
        raise Refused("CARD_EXPIRED", valid_until=valid_until)
    return expire_time


def validity(
    program: Program | None,
    location: Location,
    now: int,
    valid_from: str | None,
    valid_until: str | None,
) -> dict[str, object]:
    """The card's validity in its location's zone: as asked, else as the program says, if any."""
    zone = location.time_zone
    first = date.fromisoformat(valid_from) if valid_from else calendar.local_date(now, zone)
    last = date.fromisoformat(valid_until) if valid_until else _program_end(program, first)
    if last is not None and last < first:
        raise Refused("CARD_EXPIRED", valid_until=last.isoformat())
    return {
        "time_zone": zone,
        "valid_from": first.isoformat(),
        "valid_until": last.isoformat() if last else None,
        "valid_from_time": calendar.start_of_validity(first, zone),
        "expire_time": calendar.end_of_validity(last, zone) if last else None,
    }


def _program_end(program: Program | None, first: date) -> date | None:
    if program is None:
        return None
    if program.valid_until is not None:
        return date.fromisoformat(program.valid_until)
    try:
        if program.validity_months is not None:
            return calendar.add_months(first, program.validity_months)
        if program.validity_days is not None:
            return calendar.add_days(first, program.validity_days)
    except calendar.CalendarError as error:
        raise InvalidField(
            "valid_from", "Is so late that the card's last day is in no calendar."
        ) from error
    return None
