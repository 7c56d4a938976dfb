"""What carries a decision out stops before the books would say something impossible."""

import pytest

from server.domain.commands import Location
from server.domain.decision import CodeChange, Decision, HoldChange, Posting, apply
from server.domain.model import Account, Code, CodeState, Hold, HoldState, Movement, Origin
from tests.memory_ledger import MemoryLedger
from tests.operations import Authorize, Issue, Load, Redeem
from tests.stories import NOON, instant, ok, play


def _ledger() -> tuple[MemoryLedger, Account, Hold]:
    """A card with 100, 60 of it held."""
    ledger = play((Issue("A", 100), ok()), (Authorize("A", 60).named("h"), ok()))
    (card,), (hold,) = ledger.world.cards.values(), ledger.world.holds.values()
    (account,) = card.accounts
    return ledger, account, hold


def _moved(ledger: MemoryLedger, account: Account, amount: int) -> Decision:
    decision = Decision(cards=[ledger.world.cards[account.card_id]])
    move = decision.move_in if amount > 0 else decision.move_out
    move(account, "clearing", abs(amount), Movement.ADJUSTED)
    return decision


@pytest.mark.parametrize(
    ("amount", "balance"),
    [
        (-40, 60),
        (-41, None),  # held value is not there to be taken
        (10**15 - 100, 10**15),
        (10**15 - 99, None),
    ],
)
def test_an_account_stays_within_its_bounds(amount: int, balance: int | None) -> None:
    ledger, account, _ = _ledger()
    decision = _moved(ledger, account, amount)
    if balance is None:
        with pytest.raises(AssertionError, match="account out of bounds"):
            apply(decision, ledger.world, 1)
        return
    apply(decision, ledger.world, 1)
    assert account.balance == decision.postings[0].balance_after == balance


def test_a_hold_line_gives_no_more_than_it_keeps_and_a_hold_ends_once() -> None:
    ledger, account, hold = _ledger()
    with pytest.raises(AssertionError, match="hold line out of bounds"):
        apply(Decision(hold_changes=[HoldChange(hold, {account.id: 61})]), ledger.world, 1)
    ledger, account, hold = _ledger()
    void = Decision(hold_changes=[HoldChange(hold, {account.id: 60}, end=HoldState.VOIDED)])
    apply(void, ledger.world, 1)
    assert (account.held, hold.remaining, hold.captured, hold.end_time) == (0, 0, 0, 1)
    again = Decision(hold_changes=[HoldChange(hold, {}, end=HoldState.CAPTURED)])
    with pytest.raises(AssertionError, match="a hold ends once"):
        apply(again, ledger.world, 2)


@pytest.mark.parametrize(("location", "account"), [("", "clearing"), ("shop", "clearing/shop")])
def test_each_location_settles_by_itself(location: str, account: str) -> None:
    ledger = MemoryLedger(instant(NOON), Location(location))
    for operation in (Issue("A", 100), Redeem("A", 10)):
        assert ledger.perform(operation.named(str(operation))).reason is None
    sides = [(each.debit, each.credit) for record in ledger.world.records.values()
             for each in record.postings]  # fmt: skip
    assert [sides[0][0], sides[1][1]] == [account, account]
    (card,) = ledger.world.cards.values()
    assert card.issued_location_id == (location or None)


@pytest.mark.parametrize(
    ("origin", "source", "sold", "loaded"),
    [
        ("PAID", "clearing", Movement.SOLD, Movement.LOADED),
        ("PROMO", "promo_expense", Movement.ISSUED_FREE, Movement.ISSUED_FREE),
        ("IMPORT", "opening", Movement.IMPORTED, Movement.IMPORTED),
    ],
)
def test_where_new_value_comes_from(
    origin: str, source: str, sold: Movement, loaded: Movement
) -> None:
    ledger = play((Issue("A", 10, origin=origin), ok()), (Load("A", 5, origin=origin), ok()))
    found = [
        (posting.debit, posting.movement, posting.amount)
        for record in ledger.world.records.values()
        for posting in record.postings
    ]
    assert found == [(source, sold, 10), (source, loaded, 5)]


def test_no_misspelt_field_is_taken() -> None:
    """A change that names a field which does not exist would be lost without a word."""
    ledger, account, hold = _ledger()
    posting = Posting("clearing", account.id, 1, Movement.SOLD, account.card_id, account)
    code = CodeChange(Code("", None, CodeState.RESERVED))
    for each in (posting, HoldChange(hold, {}), code, Decision(), account, hold):
        with pytest.raises(AttributeError):
            setattr(each, "ammount", 1)  # noqa: B010 - the name is not one that mypy lets by
    card = ledger.world.cards[account.card_id]
    with pytest.raises(AttributeError):
        apply(Decision(card_changes=[(card, {"stat": 1})]), ledger.world, 1)
    assert account.origin is Origin.PAID
