"""Points that pay for a card: one decision takes them from the customer and gives the card value.

Each side is posted in its own unit against one system account, which so tells how many points
were turned into how much money.
"""

from server.domain import rules
from server.domain.commands import Envelope, NewCard
from server.domain.currency import exponent
from server.domain.decision import POINTS_EXCHANGE, Decision, release_expired
from server.domain.errors import Refused
from server.domain.model import Movement, Program
from server.domain.world import World


def require_price(program: Program, amount: int, points: int) -> None:
    """Whether that many points are what the amount costs, exactly."""
    rate = program.points_per_major_unit
    if not rate:
        raise Refused("POINTS_NOT_ALLOWED")
    price, rest = divmod(amount * rate, 10 ** exponent(program.unit))
    if rest:
        raise Refused("POINTS_AMOUNT_MISMATCH", requested_points=points)
    if price != points:
        raise Refused("POINTS_AMOUNT_MISMATCH", required_points=price, requested_points=points)


def grant(available: int, points: int, *, allow_partial: bool = False) -> int:
    """How many of the points asked for there are; refuses where that is not enough."""
    if points > available and not (available and allow_partial):
        raise Refused("INSUFFICIENT_POINTS", available_points=available, requested_points=points)
    return min(points, available)


def pay(world: World, envelope: Envelope, decision: Decision, command: NewCard, now: int) -> None:
    """Takes the points from the customer of the new card."""
    wallet = world.wallet(envelope.caller, command.policy.customer)
    grant(wallet.available(now), command.points)
    decision.cards.append(wallet)
    release_expired(decision, wallet, now)
    for account, part in rules.allocate(wallet, command.points, now):
        decision.move_out(account, POINTS_EXCHANGE, part, Movement.EXCHANGED)
