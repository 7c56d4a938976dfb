"""Codes that are kept for cards to come: reserved, used by a new card, or given up.

A reservation is the transaction that made it.  Its codes stand where all codes stand, so that no
two cards and no two reservations can have the same one.
"""

from hashlib import sha256
from typing import Any

from server.domain.commands import Envelope, NewCard, ReleaseCodes, ReserveCodes
from server.domain.decision import CodeChange, Decision
from server.domain.errors import Refused, Rejected
from server.domain.model import Card, Code, CodeState, Kind, TransactionState
from server.domain.record import Record
from server.domain.world import World


def reserve(world: World, envelope: Envelope, command: ReserveCodes, now: int) -> Decision:
    """Keeps the codes that the edge made.  One that is known already is a reason to make others."""
    if command.program:
        world.program(envelope.caller, command.program)
    expire_time = None
    if command.expire_after_seconds is not None:
        expire_time = now + command.expire_after_seconds * 1_000_000
    decision = Decision()
    for line, material in enumerate(envelope.reserved, start=1):
        code_hash = material.code_hash.hex()
        if world.code(code_hash) is not None or world.card_id_of_code(code_hash) is not None:
            raise Rejected("CODE_EXISTS")
        code = Code(code_hash, None, CodeState.RESERVED, None, line, expire_time, is_new=True)
        decision.new_codes.append((code, material))
    decision.extras = {
        "agency": command.agency,
        "label": command.label,
        "expire_time": expire_time,
        "count": len(envelope.reserved),
        "codes_hash": hash_of(code.code_hash for code, _ in decision.new_codes),
    }
    return decision


def hash_of(code_hashes: Any) -> str:
    """SHA-256 over the hashes of a reservation's codes, in order: seals which ones they were."""
    return sha256("".join(code_hashes).encode()).hexdigest()


def take(world: World, decision: Decision, command: NewCard, card: Card, now: int) -> bool:
    """Gives a new card the code that it names where that was once reserved; whether it was.

    A reservation that was given up or is over stands in nobody's way.
    """
    code = world.code(command.code_hash) if command.code_hash else None
    if command.require_reserved_code and (code is None or not code.reserved_at(now)):
        raise Refused("CODE_NOT_RESERVED")
    if code is None:
        return False
    decision.code_changes.append(CodeChange(code, card))
    # Its code is spelled as it was when it was reserved.
    decision.extras["reservation"] = code.reservation_id
    return True


def release(world: World, envelope: Envelope, command: ReleaseCodes, now: int) -> Decision:
    """Gives up what no card uses; what is not reserved is passed over."""
    decision = Decision()
    if not command.reservation_id:
        found = [world.code(code_hash) for code_hash in command.code_hashes]
        give_up(decision, [code for code in found if code is not None])
        decision.extras = {"released": len(decision.code_changes)}
        return decision
    reservation = world.records_by_id.get(command.reservation_id)
    caller = envelope.caller
    if (
        reservation is None
        or (reservation.merchant_id, reservation.book) != (caller.merchant_id, caller.book)
        or reservation.kind is not Kind.RESERVE_CODES
        or reservation.state is not TransactionState.APPROVED
    ):
        raise Rejected("CODE_RESERVATION_NOT_FOUND")
    codes = world.codes_of(reservation.id)
    given_up = sum(code.state is CodeState.RELEASED for code in codes)
    give_up(decision, codes)
    released = len(decision.code_changes)
    decision.target_id = reservation.id
    decision.extras = {
        "released": released,
        "reservation": {
            **described(reservation),
            "used_count": sum(code.state is CodeState.USED for code in codes),
            "released_count": given_up + released,
        },
    }
    return decision


def give_up(decision: Decision, codes: list[Code]) -> None:
    for code in dict.fromkeys(codes):
        if code.state is CodeState.RESERVED:
            decision.code_changes.append(CodeChange(code))


def described(reservation: Record) -> dict[str, Any]:
    """What an answer shows of a reservation, besides what became of its codes."""
    extras = reservation.result.extras
    return {
        "id": reservation.id,
        "agency": extras["agency"],
        "label": extras["label"],
        "expire_time": extras["expire_time"],
        "code_count": extras["count"],
        "create_time": reservation.decided_time,
    }
