"""Undoing a transaction, also one that has not arrived yet.

A reversal is never refused for business reasons.  Value that was spent meanwhile becomes a
receivable: the card never goes below zero and the till's books are whole again.
"""

from server.domain.commands import Envelope, ReverseTransaction
from server.domain.decision import RECEIVABLE, Decision, HoldChange, Posting, release_expired
from server.domain.errors import Refused, Rejected
from server.domain.model import (
    Account,
    Card,
    CardState,
    HoldState,
    Kind,
    Movement,
    TransactionState,
)
from server.domain.record import PostingRow, Record
from server.domain.reservations import give_up
from server.domain.rules import spend_order
from server.domain.spending import returned_by_line
from server.domain.world import World

REVERSED = "REVERSED"
NOTHING_TO_REVERSE = "NOTHING_TO_REVERSE"
TOMBSTONED = "TOMBSTONED"
ALREADY_REVERSED = "ALREADY_REVERSED"

#: Kinds that moved nothing, or whose undoing has an operation of its own.
_NOT_REVERSIBLE = frozenset({
    Kind.REVERSE, Kind.VOID, Kind.LOCK, Kind.UNLOCK, Kind.UPDATE, Kind.CHECK_PIN, Kind.ADMIN,
    Kind.RELEASE_CODES,
})  # fmt: skip


def reverse(world: World, envelope: Envelope, command: ReverseTransaction, now: int) -> Decision:
    target = world.transaction(envelope.caller, command.target)
    if target is None:
        return _outcome(Decision(tombstone=command.target.request_id), TOMBSTONED)
    if target.client_id != envelope.caller.client_id and not envelope.caller.manages:
        raise Rejected("SCOPE_MISSING", scope="MANAGE")
    decision = Decision(unit=target.unit, target_id=target.id)
    if target.state is not TransactionState.APPROVED:
        return _outcome(decision, NOTHING_TO_REVERSE)
    if target.kind in _NOT_REVERSIBLE:
        raise Refused("NOT_REVERSIBLE", kind=target.kind.name)
    for entry in target.entries:
        card = world.cards[entry.card_id]
        decision.cards.append(card)
        release_expired(decision, card, now)
    if _reversed_id(world, target.id):
        return _outcome(decision, ALREADY_REVERSED)
    if target.kind is Kind.REFUND and _reversed_id(world, target.target_id or ""):
        # The sale was undone as a whole, this refund's part included: nothing is left to undo.
        return _outcome(decision, NOTHING_TO_REVERSE)
    if target.kind is Kind.RESERVE_CODES:
        give_up(decision, world.codes_of(target.id))
        return _outcome(decision, REVERSED if decision.code_changes else NOTHING_TO_REVERSE)
    if target.kind is Kind.AUTHORIZE:
        return _void(world, decision, target, now)
    if target.kind is Kind.CREATE:
        return _unmake(decision)
    shortfall = _undo_postings(world, decision, target, now)
    _restore_states(decision, target)
    return _outcome(decision, REVERSED, shortfall)


def _outcome(decision: Decision, outcome: str, shortfall: int = 0) -> Decision:
    decision.extras = {"outcome": outcome, "shortfall": shortfall}
    return decision


def _reversed_id(world: World, transaction_id: str) -> bool:
    return any(
        follower.kind is Kind.REVERSE
        and follower.result.extras.get("outcome") in (REVERSED, ALREADY_REVERSED)
        for follower in world.followers.get(transaction_id, ())
    )


def _void(world: World, decision: Decision, target: Record, now: int) -> Decision:
    """The opposite of an authorization is giving back what remains of its hold."""
    hold = world.holds[target.hold_id or ""]
    decision.hold = hold
    if hold.state_at(now) is not HoldState.OPEN:
        return _outcome(decision, NOTHING_TO_REVERSE)
    decision.requested = decision.approved = hold.remaining
    released = {line.account_id: line.remaining for line in hold.lines}
    decision.hold_changes.append(HoldChange(hold, released, end=HoldState.VOIDED))
    return _outcome(decision, REVERSED)


def _unmake(decision: Decision) -> Decision:
    (card,) = decision.cards
    if card.state is not CardState.INACTIVE:
        return _outcome(decision, NOTHING_TO_REVERSE)
    decision.card_changes.append((card, {"state": CardState.VOIDED}))
    return _outcome(decision, REVERSED)


def _undo_postings(world: World, decision: Decision, target: Record, now: int) -> int:
    """Posts the opposite of what is left of each line, last line first; returns the shortfall."""
    returned = returned_by_line(world, target)
    shortfall = moved = 0
    taken: dict[str, int] = {}
    for line in reversed(target.postings):
        left = line.amount - returned.get(line.line, 0)
        if not left or line.movement is Movement.SHORTFALL:
            continue
        card = world.cards[line.card_id]
        if card.unit == target.unit:
            moved += left
        if line.account_id == line.debit:
            account = card.account(line.account_id)
            _post(decision, target, line, line.credit, line.debit, left, account)
            continue
        for account in _take_back_order(card, line.account_id):
            free = account.balance - card.held_on(account, now) - taken.get(account.id, 0)
            part = min(left, free)
            if part:
                _post(decision, target, line, account.id, line.debit, part, account)
                taken[account.id] = taken.get(account.id, 0) + part
                left -= part
        if left:
            _post(decision, target, line, RECEIVABLE, line.debit, left, None)
            shortfall += left
    decision.requested = decision.approved = moved
    return shortfall


def _take_back_order(card: Card, account_id: str | None) -> list[Account]:
    """The tranche that got the value first, then the rest of the card."""
    return sorted(spend_order(card), key=lambda account: account.id != account_id)


def _post(
    decision: Decision,
    target: Record,
    line: PostingRow,
    debit: str,
    credit: str,
    amount: int,
    account: Account | None,
) -> None:
    movement = Movement.SHORTFALL if account is None else line.movement
    decision.postings.append(
        Posting(debit, credit, amount, movement, line.card_id, account, target.id, line.line)
    )


def _restore_states(decision: Decision, target: Record) -> None:
    """Takes back the change of life cycle that came with the money."""
    before = target.result.extras
    for card in decision.cards:
        after = card.ledger_balance() + sum(
            posting.signed_amount() for posting in decision.postings if posting.card_id == card.id
        )
        changes: dict[str, object] = {}
        if target.kind is Kind.ISSUE and not after:
            changes = {"state": CardState.VOIDED}
        elif target.kind is Kind.ACTIVATE and not after and card.state is CardState.ACTIVE:
            changes = _for_sale_again(before)
        elif card.state is CardState.CLOSED and before.get("closed") == card.id:
            changes = {"state": CardState(int(str(before["state_before"])))}
        elif after and card.state not in (CardState.ACTIVE, CardState.LOCKED):
            # Value came to a card that cannot be used: it waits, locked, for a person to decide.
            changes = {"state": CardState.LOCKED}
        if changes.get("state", card.state) is not card.state:
            decision.card_changes.append((card, changes))


def _for_sale_again(before: dict[str, object]) -> dict[str, object]:
    """As the card was before it was activated: a later sale starts its validity anew."""
    return {
        "state": CardState.INACTIVE,
        "initial_amount": 0,
        "valid_from": before.get("valid_from_before"),
        "valid_until": before.get("valid_until_before"),
        "valid_from_time": None,
        "expire_time": None,
        "issue_time": None,
        "issued_location_id": None,
    }
