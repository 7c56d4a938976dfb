"""Customers and their points: earned, corrected, held, spent on a card, and all of it undone."""

import pytest

from server.domain import commands as c
from server.domain.customers import update
from server.domain.errors import Rejected
from server.domain.lifecycle import etag
from server.domain.model import Movement
from tests.memory_ledger import MemoryLedger
from tests.operations import (
    AdjustPoints,
    Capture,
    Create,
    Earn,
    HoldPoints,
    Issue,
    Load,
    Lock,
    NewCustomer,
    Operation,
    Redeem,
    Refund,
    Request,
    Reverse,
    Void,
)
from tests.stories import At, Line, card, no, ok, play

#: A customer with 100 points. The program LOYAL takes 40 points a dollar.
RICH: tuple[Line, ...] = ((NewCustomer("X"), ok(X=0)), (Earn("X", 100).named("earn"), ok(X=100)))


def buy(card_name: str, amount: int, points: int, program: str = "LOYAL") -> Issue:
    return Issue(card_name, amount, program, customer="X", points=points)


def test_points_come_and_go() -> None:
    play(
        *RICH,
        (Earn("X", 20, "2026-06-30"), ok(X=120, approved=20)),
        (AdjustPoints("X", 5), ok(X=125, approved=5)),
        (AdjustPoints("X", -125), ok(X=0, approved=-125)),
        (AdjustPoints("X", -1), no("INSUFFICIENT_POINTS", X=0)),
        (Earn("X", 10**12), ok(X=10**12)),
        (Earn("X", 1), no("MAX_BALANCE_EXCEEDED")),
        (AdjustPoints("X", 1), no("MAX_BALANCE_EXCEEDED")),
    )


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Earn("nobody", 1), "CUSTOMER_NOT_FOUND"),
        (Earn("X", 1).training(), "CUSTOMER_NOT_FOUND"),
        (AdjustPoints("nobody", 1), "CUSTOMER_NOT_FOUND"),
        (HoldPoints("nobody", 1), "CUSTOMER_NOT_FOUND"),
        (Issue("A", 5, customer="nobody"), "CUSTOMER_NOT_FOUND"),
        (Issue("A", 5, "GONE", customer="nobody"), "CUSTOMER_NOT_FOUND"),
        (Issue("A", 5, customer="X"), ""),
        (NewCustomer("X"), "RESOURCE_EXISTS"),
        (NewCustomer("X").training(), ""),
        (Earn("X", 1, "2026-02-28"), "POINTS_EXPIRED"),
        (Earn("X", 1, "2026-03-01"), ""),
        # The order of refusals when points pay.
        (buy("A", 50, 20), ""),
        (buy("A", 250, 101, "GONE"), "PROGRAM_RETIRED"),
        (buy("A", 6_001, 101), "AMOUNT_ABOVE_MAXIMUM"),
        (buy("A", 5, 101, "GC"), "POINTS_NOT_ALLOWED"),
        (buy("A", 50, 21), "POINTS_AMOUNT_MISMATCH"),
        (buy("A", 50, 19), "POINTS_AMOUNT_MISMATCH"),
        (buy("A", 51, 20), "POINTS_AMOUNT_MISMATCH"),
        (Issue("A", 50, "LOYAL", "EUR", customer="X", points=20), "CURRENCY_MISMATCH"),
        (Issue("A", 50, "LOYAL", customer="X", points=20, max_balance=49), "MAX_BALANCE_EXCEEDED"),
        (Issue("A", 51, "LOYAL", customer="X", points=20, max_balance=49),
         "POINTS_AMOUNT_MISMATCH"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_customer_hears(operation: Operation | Request, reason: str) -> None:
    play(*RICH, (operation, no(reason) if reason else ok()))


def test_points_are_no_part_of_what_a_reversal_says_it_undid() -> None:
    play(
        *RICH,
        (Issue("A", 50, "MILES", "EUR", customer="X", points=20).named("buy"), ok(X=80, A=50)),
        (Reverse("buy"), ok(approved=50, X=100, A=card(0, state="VOIDED"))),
    )


def test_a_card_is_bought_with_points_and_one_reversal_undoes_both() -> None:
    ledger = play(
        *RICH,
        (buy("A", 50, 20).named("buy"), ok(
            approved=50, X=80, A=card(50, state="ACTIVE", tranches=(("POINTS", 50),)))),
        (buy("B", 60, 24), ok(X=56, B=60)),
        (Reverse("buy"), ok(
            reversal="REVERSED", approved=50, shortfall=0, X=card(100 - 24, state="ACTIVE"),
            A=card(0, state="VOIDED"))),
        (Reverse("buy"), ok(reversal="ALREADY_REVERSED", X=76)),
    )  # fmt: skip
    moved: dict[tuple[str, Movement], int] = {}
    for record in ledger.world.records.values():
        for posting in record.postings:
            unit = ledger.world.cards[posting.card_id].unit
            into = posting.credit == "points_exchange"
            if into or posting.debit == "points_exchange":
                key = (unit, posting.movement)
                moved[key] = moved.get(key, 0) + (posting.amount if into else -posting.amount)
    assert moved == {("POINTS", Movement.EXCHANGED): 24, ("USD", Movement.EXCHANGED): -60}


def test_points_that_are_not_there_make_no_card() -> None:
    play(
        (NewCustomer("X"), ok()),
        (Earn("X", 20), ok()),
        (HoldPoints("X", 1).named("h"), ok(X=card(20, held=1))),
        (buy("A", 50, 20), no("INSUFFICIENT_POINTS", X=card(20, held=1))),
        (Redeem("A", 1), no("GIFT_CARD_NOT_FOUND")),
        (Void("h"), ok()),
        (buy("A", 50, 20), ok(X=0, A=50)),
    )


def test_a_reversal_gives_points_back_though_the_card_was_spent() -> None:
    play(
        *RICH,
        (buy("A", 50, 20).named("buy"), ok(X=80)),
        (Redeem("A", 30), ok()),
        (Reverse("buy"), ok(X=100, approved=50, shortfall=30, A=card(0, state="VOIDED"))),
    )


def test_points_that_were_spent_before_their_credit_was_reversed_are_owed() -> None:
    play(
        *RICH,
        (buy("A", 50, 20), ok(X=80)),
        (Reverse("earn"), ok(X=card(0, state="ACTIVE"), approved=100, shortfall=20)),
        (Earn("X", 5), ok(X=5)),
    )


def test_holds_keep_points() -> None:
    play(
        (NewCustomer("X"), ok()),
        (HoldPoints("X", None), no("INSUFFICIENT_POINTS")),
        (HoldPoints("X", 1, partial=True), no("INSUFFICIENT_POINTS")),
        (Earn("X", 1), ok()),
        (HoldPoints("X", 2, partial=True).named("last"), ok(approved=1, X=card(1, held=1))),
        (Void("last"), ok()),
        (HoldPoints("X", None).named("all"), ok(approved=1, X=card(1, held=1))),
        (Void("all"), ok()),
        (Earn("X", 99), ok()),
        (HoldPoints("X", 101), no(
            "INSUFFICIENT_POINTS", available_points=100, requested_points=101)),
        (HoldPoints("X", 60).named("a"), ok(approved=60, hold_state="OPEN", X=card(100, held=60))),
        (HoldPoints("X", 60, partial=True).named("b"), ok(approved=40, X=card(100, held=100))),
        (Capture("a", 70, unit="POINTS"), no("CAPTURE_EXCEEDS_HOLD")),
        (Capture("a", 10, unit="USD"), no("CURRENCY_MISMATCH")),
        (Capture("a", 10, unit="POINTS").named("paid"), ok(approved=10, X=card(90, held=90))),
        (Capture("a", final=True), ok(approved=50, hold_state="CAPTURED", X=card(40, held=40))),
        (Reverse("b"), ok(reversal="REVERSED", approved=40, X=card(40, held=0))),
        (Refund("paid", 4, unit="POINTS"), ok(X=44)),
        (Refund("paid", 7, unit="POINTS"), no("REFUND_EXCEEDS_REDEMPTION")),
        (Reverse("paid"), ok(approved=6, X=50)),
        (HoldPoints("X", None, seconds=60).named("c"), ok(approved=50, X=card(50, held=50))),
        At("2026-03-01T12:01:01Z"),
        (Capture("c"), no("HOLD_EXPIRED", X=card(50, held=0))),
    )  # fmt: skip


def test_a_hold_of_points_is_never_exclusive() -> None:
    ledger = play(*RICH, (HoldPoints("X", 1), ok()), (HoldPoints("X", 1).by("web"), ok()))
    assert [hold.exclusive for hold in ledger.world.holds.values()] == [False, False]


def test_points_are_not_given_for_a_day_that_is_over() -> None:
    play(
        *RICH,
        At("2026-03-01T23:59:59.999999Z"),
        (Earn("X", 1, "2026-03-01"), ok(X=101)),
        At("2026-03-02T00:00:00Z"),
        (Earn("X", 1, "2026-03-01"), no("POINTS_EXPIRED", X=100, valid_until="2026-03-01")),
    )


def test_points_expire_by_tranche_and_the_soonest_go_first() -> None:
    play(
        *RICH,
        (Earn("X", 30, "2026-03-02"), ok(X=card(130))),
        (buy("A", 50, 20), ok(X=card(110, tranches=(("PROMO", 10), ("PROMO", 100))))),
        At("2026-03-03T00:00:00Z"),
        (buy("B", 60, 24), ok(X=card(76))),
    )


def test_a_customer_is_no_card_and_a_card_no_customer() -> None:
    play(
        *RICH,
        (Issue("A", 5), ok()),
        (Redeem("X", 5), no("GIFT_CARD_NOT_FOUND")),
        (Lock("X"), no("GIFT_CARD_NOT_FOUND")),
        (Create("X"), ok()),
        (Load("X", 5), no("CARD_INACTIVE")),
        (Earn("A", 5), no("CUSTOMER_NOT_FOUND")),
    )


def test_making_a_customer_is_not_undone() -> None:
    play((NewCustomer("X").named("new"), ok()), (Reverse("new"), no("NOT_REVERSIBLE")))


def test_a_wallet_is_not_reached_by_its_id() -> None:
    ledger = play(*RICH)
    (wallet,) = ledger.world.cards.values()
    caller = ledger.translator.caller(Request(Lock("X")))
    with pytest.raises(Rejected, match="GIFT_CARD_NOT_FOUND"):
        ledger.world.card(caller, c.CardRef(id=wallet.id))


@pytest.mark.parametrize(
    ("given", "reason"),
    [("", None), ("right", None), ('"x"', "ETAG_MISMATCH"), ('""', "ETAG_MISMATCH")],
)
def test_an_update_changes_what_is_noted(given: str, reason: str | None) -> None:
    ledger: MemoryLedger = play(*RICH)
    (wallet,) = ledger.world.cards.values()
    tag = etag(wallet.id, wallet.sequence) if given == "right" else given
    caller = ledger.translator.caller(Request(Lock("X")))
    command = c.UpdateCustomer("X", ("labels",), "ignored", {"tier": "gold"}, tag)
    envelope = c.Envelope(caller, "update", command)
    if reason is not None:
        with pytest.raises(Rejected, match=reason):
            update(ledger.world, envelope, command, 1)
        return
    decision = update(ledger.world, envelope, command, 1)
    assert decision.card_changes == [(wallet, {"labels": {"tier": "gold"}})]
