"""Refunds: how much at most, and which tranche it returns to."""

import pytest

from tests.operations import (
    Adjust,
    Authorize,
    Capture,
    Issue,
    Load,
    Redeem,
    RedeemMany,
    Refund,
    Reverse,
    Void,
)
from tests.stories import At, card, no, ok, play


def test_refunds_are_capped_by_what_was_taken() -> None:
    play(
        (Issue("A", 100).named("issue"), ok()),
        (Redeem("A", 60).named("sale"), ok(A=40)),
        (Refund("sale", 61), no("REFUND_EXCEEDS_REDEMPTION", A=40)),
        (Refund("sale", 20), ok(A=60, approved=20)),
        (Refund("sale", 41), no(
            "REFUND_EXCEEDS_REDEMPTION", A=60, refundable_minor_units=40,
            requested_minor_units=41)),
        (Refund("sale", 39), ok(A=99)),
        (Refund("sale", 1, by_name=True).by("web"), ok(A=100)),
        (Refund("sale", 1), no("REFUND_EXCEEDS_REDEMPTION", A=100)),
        (Refund("sale", 1, unit="EUR"), no("CURRENCY_MISMATCH")),
        (Refund("sale", 1).by("web"), no("TRANSACTION_NOT_FOUND")),
        (Refund("issue", 1), no("NOT_REFUNDABLE")),
    )  # fmt: skip


def test_a_partial_approval_is_refunded_up_to_what_was_approved() -> None:
    play(
        (Issue("A", 10), ok()),
        (Redeem("A", 60, partial=True).named("sale"), ok(A=0, approved=10)),
        (Refund("sale", 11), no("REFUND_EXCEEDS_REDEMPTION")),
        (Refund("sale", 10), ok(A=10)),
    )


def test_only_value_that_was_taken_can_be_refunded() -> None:
    play(
        (Issue("A", 100).named("issue"), ok()),
        (Load("A", 10).named("load"), ok()),
        (Authorize("A", 10).named("hold"), ok()),
        (Void("hold").named("void"), ok()),
        (Redeem("A", 999).named("refused"), no("INSUFFICIENT_FUNDS")),
        (Adjust("A", -10).named("adjust"), ok()),
        (Redeem("A", 10).named("sale"), ok()),
        (Refund("sale", 5).named("refund"), ok()),
        (Reverse("late").named("reverse"), ok()),
        (Redeem("A", 10).named("undone"), ok()),
        (Reverse("undone").named("undoing"), ok(reversal="REVERSED")),
        *(
            (Refund(of, 1), no("NOT_REFUNDABLE"))
            for of in (
                "issue", "load", "hold", "void", "refused", "adjust", "refund", "reverse", "late",
                "undoing",
            )
        ),
        (Refund("never", 1), no("TRANSACTION_NOT_FOUND")),
        (Refund("never", 1, by_name=True), no("TRANSACTION_NOT_FOUND")),
    )  # fmt: skip


def test_each_capture_is_refunded_by_itself() -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 60).named("h"), ok()),
        (Capture("h", 20).named("first"), ok()),
        (Capture("h", 30, final=True).named("second"), ok(A=50)),
        (Refund("first", 21), no("REFUND_EXCEEDS_REDEMPTION")),
        (Refund("first", 20), ok(A=70)),
        (Refund("second", 30), ok(A=100)),
    )


def test_what_was_taken_last_goes_back_first() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO"), ok()),
        (Redeem("A", 15).named("sale"), ok(A=card(5, tranches=(("PAID", 5),)))),
        (Refund("sale", 4), ok(A=card(9, tranches=(("PAID", 9),)))),
        (Refund("sale", 3), ok(A=card(12, tranches=(("PAID", 10), ("PROMO", 2))))),
        (Refund("sale", 8), ok(A=card(20, tranches=(("PAID", 10), ("PROMO", 10))))),
    )


def test_a_refund_of_several_cards_starts_with_the_last_one() -> None:
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 10), ok()),
        (RedeemMany(("A", "B"), 15).named("sale"), ok(A=0, B=5)),
        (Refund("sale", 6), ok(A=1, B=10)),
        (Refund("sale", 10), no("REFUND_EXCEEDS_REDEMPTION")),
        (Refund("sale", 9), ok(A=10, B=10)),
    )


def test_a_refund_to_an_expired_tranche_is_lost_and_to_an_expired_card_waits() -> None:
    play(
        (Issue("A", 10, valid_until="2026-03-31"), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-01"), ok()),
        (Redeem("A", 15).named("sale"), ok(A=5)),
        At("2026-04-01T00:00:00Z"),
        (Refund("sale", 5), ok(A=10)),
        (Refund("sale", 10), ok(A=10)),
    )


def test_refund_then_its_reversal_then_refund_again() -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 60).named("sale"), ok(A=40)),
        (Refund("sale", 60).named("refund"), ok(A=100)),
        (Refund("sale", 1), no("REFUND_EXCEEDS_REDEMPTION")),
        (Reverse("refund"), ok(A=40, approved=60)),
        (Refund("sale", 61), no("REFUND_EXCEEDS_REDEMPTION")),
        (Refund("sale", 60).named("again"), ok(A=100)),
        (Reverse("sale"), ok(A=100, reversal="REVERSED", approved=0)),
        (Refund("sale", 1), no("REFUND_EXCEEDS_REDEMPTION")),
    )


def test_a_reversal_of_a_sale_returns_what_was_not_refunded() -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 60).named("sale"), ok()),
        (Refund("sale", 15), ok(A=55)),
        (Reverse("sale"), ok(A=100, approved=45, reversal="REVERSED")),
        (Reverse("sale"), ok(A=100, approved=None, reversal="ALREADY_REVERSED")),
        (Refund("sale", 1), no("REFUND_EXCEEDS_REDEMPTION", A=100)),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("refund", "sale"),
        ("sale", "refund"),
    ],
)
def test_a_sale_and_its_refund_undone_leave_nothing(first: str, second: str) -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 60).named("sale"), ok(A=40)),
        (Refund("sale", 15).named("refund"), ok(A=55)),
        (Reverse(first), ok()),
        (Reverse(second), ok(A=100)),
    )
