"""The model's rules for codes that wait for their cards."""

from typing import TYPE_CHECKING

from tests import operations as o
from tests.model.books import NEVER, Decided, NoDecision, Reserved
from tests.model.life import approve
from tests.operations import SECOND, Request
from tests.programs import PROGRAMS

if TYPE_CHECKING:
    from tests.model.ledger_model import LedgerModel


def reserve(model: "LedgerModel", request: Request, op: o.Reserve, now: int) -> Decided:
    if op.program not in PROGRAMS:
        raise NoDecision("PROGRAM_NOT_FOUND")
    keys = [(card, request.book) for card in op.cards]
    if any(key in model.codes or key in model.cards for key in keys):
        raise NoDecision("CODE_EXISTS")
    expires = NEVER if op.seconds is None else now + op.seconds * SECOND
    decided = approve(request, "", [], codes=len(op.cards))
    for key in keys:
        model.codes[key] = Reserved(expires)
        decided.codes.append(model.codes[key])
    return decided


def release(model: "LedgerModel", request: Request, op: o.Release, now: int) -> Decided:
    if op.of:
        known = [
            decided
            for (book, _, request_id), decided in model.decided.items()
            if (book, request_id) == (request.book, op.of) and decided.codes
        ]
        if not known:
            raise NoDecision("CODE_RESERVATION_NOT_FOUND")
        return approve(request, "", [], codes=give_up(known[0].codes))
    keys = [(card, request.book) for card in op.cards]
    return approve(
        request, "", [], codes=give_up([model.codes[k] for k in keys if k in model.codes])
    )


def give_up(codes: list[Reserved]) -> int:
    """How many were still waiting."""
    waiting = [code for code in codes if code.state == "RESERVED"]
    for code in waiting:
        code.state = "RELEASED"
    return len(waiting)
