"""Numbers that are stored, what a noun is before anything is said of it, and its arithmetic."""

from dataclasses import FrozenInstanceError, asdict
from enum import IntEnum
from typing import Any

import pytest

from server.domain import model as m

#: Rows hold these numbers: one may be added, none may change.
STORED: dict[type[IntEnum], str] = {
    m.Book: "LIVE TRAINING",
    m.CardState: "INACTIVE ACTIVE LOCKED CLOSED VOIDED",
    m.Origin: "PAID PROMO REFUND POINTS IMPORT",
    m.HoldState: "OPEN CAPTURED VOIDED EXPIRED",
    m.TransactionState: "APPROVED REFUSED SEALED",
    m.Kind: "CREATE ACTIVATE ISSUE LOAD REDEEM REDEEM_MANY REFUND AUTHORIZE CAPTURE VOID REVERSE"
    " LOCK UNLOCK CLOSE TRANSFER ADJUST UPDATE SEAL ADMIN - CHECK_PIN RESERVE_CODES RELEASE_CODES"
    " EARN_POINTS",
    m.CodeState: "USED RESERVED RELEASED",
    m.Movement: "SOLD ISSUED_FREE LOADED IMPORTED REDEEMED REFUNDED TRANSFERRED ADJUSTED CASHED_OUT"
    " BREAKAGE SHORTFALL EARNED EXCHANGED",
    m.Disposition: "REQUIRE_ZERO BREAKAGE CASH_OUT TRANSFER",
    m.SpendOrder: "AS_GIVEN SOONEST_EXPIRY_FIRST",
}


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: stored.__name__)
def test_stored_numbers_stay(stored: type[IntEnum]) -> None:
    names = {name: number for number, name in enumerate(STORED[stored].split(), start=1)}
    names.pop("-", None)
    assert {name: int(value) for name, value in stored.__members__.items()} == names


def _account(name: str = "a", **facts: Any) -> m.Account:
    return m.Account(name, "card", m.Origin.PAID, **{"expire_time": None, **facts})


def _hold(*lines: tuple[str, int], **facts: Any) -> m.Hold:
    usual = {"requested": 0, "authorized": 0, "exclusive": False, "sale_reference": ""}
    kept = [m.HoldLine(account, part, part) for account, part in lines]
    times = {"expire_time": 100, "create_time": 0}
    return m.Hold("hold", "card", "till", **{**usual, **times, "lines": kept, **facts})


def _card(**facts: Any) -> m.Card:
    return m.Card(
        "card", 7, "merchant", m.Book.LIVE, "p", 1, "GC", "USD", m.CardState.ACTIVE, "1234", "UTC",
        create_time=0, update_time=0, **facts,
    )  # fmt: skip


def _code(**facts: Any) -> m.Code:
    return m.Code("hash", None, **{"state": m.CodeState.RESERVED, **facts})


def _program(**facts: Any) -> m.Program:
    return m.Program("p", 1, "merchant", "GC", "Gift", "USD", **facts)


def _differing(noun: Any, **expected: Any) -> dict[str, Any]:
    found = asdict(noun)
    return {name: found[name] for name, value in expected.items() if found[name] != value}


def test_a_program_of_which_nothing_is_said_allows_the_usual() -> None:
    assert not _differing(
        _program(), retired=False, min_amount=None, max_amount=None, denominations=(),
        max_balance=None, reload_allowed=True, return_allowed=False, partial_redeem_allowed=True,
        value_change_allowed=True, holds_allowed=True, validity_months=None, validity_days=None,
        valid_until=None, hold_seconds=604_800, code_length=15, pin_required=False,
        points_per_major_unit=0, create_time=0, update_time=0,
    )  # fmt: skip
    assert not _differing(m.POINTS_PROGRAM, id="", version=0, unit="POINTS", hold_seconds=604_800)


def test_a_new_noun_is_empty_and_what_is_read_is_not_new() -> None:
    assert not _differing(_account(), balance=0, held=0, entity="", create_time=0, is_new=False)
    assert not _differing(_hold(), state=m.HoldState.OPEN, captured=0, end_time=None, is_new=False)
    assert not _differing(
        _card(), initial_amount=0, max_balance=None, reload_allowed=True, return_allowed=False,
        partial_redeem_allowed=True, pin_hash=None, pin_tries={}, sequence=0, is_new=False,
    )  # fmt: skip
    assert not _differing(_code(), reservation_id=None, line=None, expire_time=None, is_new=False)


@pytest.mark.parametrize("make", [_account, _hold, _card, _code])
def test_a_noun_is_itself_and_nothing_else(make: Any) -> None:
    """Two cards that show the same are still two cards; a misspelt field is none."""
    one, other = make(), make()
    assert asdict(one) == asdict(other)
    assert one != other
    assert len({one, other}) == 2
    with pytest.raises(AttributeError):
        one.misspelt = 1


def test_a_program_version_never_changes() -> None:
    assert _program() == _program()
    with pytest.raises(FrozenInstanceError):
        _program().retired = True  # type: ignore[misc]
    assert not hasattr(_program(), "__dict__")
    assert not hasattr(m.HoldLine("a", 1, 1), "__dict__")


@pytest.mark.parametrize(
    ("now", "state", "kept"),
    [(99, m.HoldState.OPEN, 7), (100, m.HoldState.EXPIRED, 0), (101, m.HoldState.EXPIRED, 0)],
)
def test_a_hold_ends_by_the_clock(now: int, state: m.HoldState, kept: int) -> None:
    card = _card(accounts=[_account(balance=10, held=7)], holds=[_hold(("a", 7))])
    (hold,) = card.holds
    assert hold.state_at(now) is state
    assert (card.held(now), card.available(now), card.balance(now)) == (kept, 10 - kept, 10)
    assert (card.ledger_balance(), card.ledger_held(), hold.remaining) == (10, 7, 7)
    hold.state = m.HoldState.VOIDED
    assert hold.state_at(now) is m.HoldState.VOIDED


@pytest.mark.parametrize(
    ("now", "available", "balance"),
    [
        (49, 20 - 3 + 5 - 2, 25),  # account a is good for one more instant
        (50, 5 - 2, 5 + 3),  # of a there is only what is held
        (99, 5 - 2, 5 + 3),
        (100, 5, 5),
    ],
)
def test_what_a_card_has(now: int, available: int, balance: int) -> None:
    accounts = [_account("a", balance=20, held=3, expire_time=50), _account("b", balance=5, held=2)]
    ended = _hold(("a", 9), ("b", 4), state=m.HoldState.CAPTURED)
    card = _card(accounts=accounts, holds=[ended, _hold(("a", 3)), _hold(("b", 2))])
    assert (card.available(now), card.balance(now)) == (available, balance)
    assert (card.ledger_balance(), card.ledger_held()) == (25, 5)
    assert [card.account(name) for name in "ab"] == accounts


@pytest.mark.parametrize(
    ("facts", "reserved"),
    [
        ({}, True),
        ({"expire_time": 11}, True),
        ({"expire_time": 10}, False),
        ({"expire_time": 9}, False),
        ({"state": m.CodeState.USED}, False),
        ({"state": m.CodeState.RELEASED, "expire_time": 11}, False),
    ],
    ids=str,
)
def test_a_reservation_keeps_its_codes_until_its_time(
    facts: dict[str, Any], reserved: bool
) -> None:
    assert _code(**facts).reserved_at(10) is reserved


def test_never_is_later_than_all_that_a_row_can_hold() -> None:
    largest_stored = 2**63 - 1
    assert largest_stored + 1 == m.NEVER


def test_a_wallet_is_told_by_its_unit() -> None:
    assert not _card().is_wallet
    wallet = _card()
    wallet.unit = "POINTS"
    assert wallet.is_wallet
    wallet.unit = "AAA"
    assert not wallet.is_wallet


def test_an_authorization_code_is_made_from_the_id() -> None:
    assert _hold().authorization_code == "GHOLD"
