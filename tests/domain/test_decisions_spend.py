"""Redeeming, tranches and holds: one line is one operation and what must come of it."""

from typing import Any

import pytest

from tests.operations import (
    Adjust,
    Authorize,
    Capture,
    Issue,
    Load,
    Lock,
    Redeem,
    RedeemMany,
    Reverse,
    update,
)
from tests.stories import At, card, no, ok, play


def test_redeeming() -> None:
    play(
        (Issue("A", 100), ok(A=100, approved=100)),
        (Redeem("A", 30), ok(A=70, approved=30)),
        (Redeem("A", 71), no(
            "INSUFFICIENT_FUNDS", A=70, available_minor_units=70, requested_minor_units=71)),
        (Redeem("A", 71, partial=True), ok(A=0, approved=70)),
        (Redeem("A", 1), no("NO_BALANCE", A=0, requested_minor_units=1)),
        (Redeem("A", 1, partial=True), no("NO_BALANCE", A=0)),
        (Load("A", 5), ok(A=5, approved=5)),
        (Redeem("A", 5), ok(A=0, approved=5)),
    )  # fmt: skip


def test_partial_approval_takes_no_more_than_asked() -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 40, partial=True), ok(A=60, approved=40)),
        (Authorize("A", 50), ok(A=card(60, held=50))),
        (Redeem("A", 40, partial=True), ok(A=card(50, held=50), approved=10)),
    )


def test_a_card_that_is_redeemed_in_full_only() -> None:
    play(
        (Issue("A", 100, "WHOLE"), ok()),
        (Redeem("A", 99), no("PARTIAL_REDEEM_NOT_ALLOWED", A=100, balance_minor_units=100)),
        (Redeem("A", 101), no("INSUFFICIENT_FUNDS", A=100)),
        (Authorize("A", 99), no("PARTIAL_REDEEM_NOT_ALLOWED", A=100)),
        (RedeemMany(("A",), 99), no("PARTIAL_REDEEM_NOT_ALLOWED", A=100)),
        (Redeem("A", 101, partial=True), ok(A=0, approved=100)),
    )
    play(
        (Issue("A", 100, "WHOLE"), ok()),
        (update("A", partial_redeem_allowed=True), ok()),
        (Redeem("A", 99), ok(A=1)),
        (update("A", partial_redeem_allowed=None), ok()),
        (Authorize("A", None).named("h"), ok(A=card(1, held=1), approved=1)),
        (Capture("h"), ok(A=0)),
    )


# Tranches


def test_tranches_are_spent_soonest_first_then_promo() -> None:
    play(
        (Issue("A", 10), ok(A=card(10, tranches=(("PAID", 10),)))),
        (Load("A", 10, origin="PROMO"), ok(A=20)),
        (Load("A", 10, tranche_until="2026-03-31"), ok(A=30)),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-31"), ok(A=40)),
        (Load("A", 10, origin="IMPORT", tranche_until="2026-03-05"), ok(A=50)),
        (Redeem("A", 9), ok(A=card(41, tranches=(
            ("IMPORT", 1), ("PAID", 10), ("PAID", 10), ("PROMO", 10), ("PROMO", 10))))),
        (Redeem("A", 2), ok(A=card(39, tranches=(
            ("PAID", 10), ("PAID", 10), ("PROMO", 9), ("PROMO", 10))))),
        (Redeem("A", 9), ok(A=card(30, tranches=(("PAID", 10), ("PAID", 10), ("PROMO", 10))))),
        (Redeem("A", 10), ok(A=card(20, tranches=(("PAID", 10), ("PROMO", 10))))),
        (Redeem("A", 5), ok(A=card(15, tranches=(("PAID", 10), ("PROMO", 5))))),
        (Redeem("A", 6), ok(A=card(9, tranches=(("PAID", 9),)))),
    )  # fmt: skip


def test_value_of_the_same_kind_shares_a_tranche() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10), ok(A=card(20, tranches=(("PAID", 20),)))),
        (Adjust("A", 5), ok(A=card(25, tranches=(("PAID", 25),)))),
        (Load("A", 1, origin="PROMO"), ok(A=card(26, tranches=(("PAID", 25), ("PROMO", 1))))),
        (Load("A", 1, origin="PROMO"), ok(A=card(27, tranches=(("PAID", 25), ("PROMO", 2))))),
    )


def test_a_tranche_ends_with_the_last_instant_of_its_day() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 5, origin="PROMO", tranche_until="2026-03-01"), ok(A=15)),
        At("2026-03-01T23:59:59.999998Z"),
        (Redeem("A", 11), ok(A=4)),
        At("2026-03-02T00:00:00Z"),
        (Redeem("A", 5), no("INSUFFICIENT_FUNDS", A=4)),
    )
    play(
        (Issue("A", 10), ok()),
        (Load("A", 5, origin="PROMO", tranche_until="2026-03-01"), ok(A=15)),
        At("2026-03-02T00:00:00Z"),
        (Redeem("A", 11), no("INSUFFICIENT_FUNDS", A=10)),
        (Redeem("A", 11, partial=True), ok(A=0, approved=10)),
    )


def test_a_tranche_ends_in_the_time_zone_of_the_card() -> None:
    play(
        (Issue("A", 10, tranche_until="2026-03-01"), ok(A=10)),
        At("2026-03-01T10:59:59.999999Z"),
        (Redeem("A", 4), ok(A=6)),
        At("2026-03-01T11:00:00Z"),
        (Redeem("A", 1), no("NO_BALANCE", A=0)),
        now="2026-03-01T00:00:00Z",
        zone="Pacific/Auckland",
    )


@pytest.mark.parametrize(
    ("zone", "last", "first_after"),
    [
        ("UTC", "2026-03-03T23:59:59.999999Z", "2026-03-04T00:00:00Z"),
        ("Europe/Vienna", "2026-03-03T22:59:59.999999Z", "2026-03-03T23:00:00Z"),
        ("America/New_York", "2026-03-04T04:59:59.999999Z", "2026-03-04T05:00:00Z"),
    ],
)
def test_a_card_is_valid_through_the_last_instant_of_its_day(
    zone: str, last: str, first_after: str
) -> None:
    play(
        (Issue("A", 10, valid_until="2026-03-03"), ok()),
        At(last),
        (Redeem("A", 1), ok(A=9)),
        At(first_after),
        (Redeem("A", 1), no("CARD_EXPIRED", A=9, valid_until="2026-03-03")),
        (Load("A", 1), no("CARD_EXPIRED", A=9)),
        (Authorize("A", 1), no("CARD_EXPIRED", A=9)),
        (RedeemMany(("A",), 1), no("CARD_EXPIRED", A=9)),
        (Adjust("A", 1), ok(A=10)),
        (update("A", valid_until="2026-03-31"), ok()),
        (Redeem("A", 1), ok(A=9)),
        zone=zone,
    )


def test_a_card_is_not_valid_before_its_first_day() -> None:
    play(
        (Issue("A", 10, valid_from="2026-03-03"), ok(A=card(10, state="ACTIVE"))),
        At("2026-03-02T23:59:59.999998Z"),
        (Redeem("A", 1), no("CARD_NOT_YET_VALID", valid_from="2026-03-03")),
        (Load("A", 1), no("CARD_NOT_YET_VALID")),
        At("2026-03-03T00:00:00Z"),
        (Redeem("A", 1), ok(A=9)),
    )


# Several cards


def test_the_last_cent_is_not_nothing() -> None:
    play(
        (Issue("A", 1), ok()),
        (Redeem("A", 2), no("INSUFFICIENT_FUNDS", A=1)),
        (Redeem("A", 2, partial=True), ok(A=0, approved=1)),
        (Issue("B", 1), ok()),
        (RedeemMany(("A", "B"), 2), no("INSUFFICIENT_FUNDS", B=1)),
        (RedeemMany(("A", "B"), 2, partial=True), ok(B=0, approved=1)),
        (RedeemMany(("A", "B"), 1, partial=True), no("NO_BALANCE")),
    )


def test_one_total_over_several_cards() -> None:
    play(
        (Issue("A", 30), ok()),
        (Issue("B", 30), ok()),
        (Issue("C", 30), ok()),
        (RedeemMany(("A", "B", "C"), 91), no("INSUFFICIENT_FUNDS", A=30, B=30, C=30)),
        (RedeemMany(("B", "B"), 1), no("SAME_CARD")),
        (RedeemMany(("A", "B", "A"), 1), no("SAME_CARD")),
        (RedeemMany(("A", "X"), 1), no("GIFT_CARD_NOT_FOUND")),
        (
            RedeemMany(("C", "A", "B"), 40).named("sale"),
            ok(A=20, B=30, C=0, approved=40, plan=(("C", 30), ("A", 10), ("B", 0))),
        ),
        (RedeemMany(("C", "A"), 99, partial=True), ok(A=0, plan=(("C", 0), ("A", 20)))),
        (Reverse("sale"), ok(A=10, B=30, C=30, approved=40)),
        (Lock("B"), ok()),
        (RedeemMany(("A", "B"), 1), no("CARD_LOCKED", A=10)),
        (RedeemMany(("A",), 1, unit="EUR"), no("CURRENCY_MISMATCH", A=10)),
    )


def test_the_card_whose_value_is_lost_soonest_goes_first() -> None:
    play(
        (Issue("N", 10), ok()),
        (Issue("L", 10, valid_until="2026-06-30"), ok()),
        (Issue("S", 10, valid_until="2026-04-30"), ok()),
        (Issue("T", 10), ok()),
        (Load("T", 1, tranche_until="2026-03-31"), ok()),
        (
            RedeemMany(("N", "L", "S", "T"), 41, soonest_first=True),
            ok(plan=(("T", 11), ("S", 10), ("L", 10), ("N", 10))),
        ),
    )


def test_of_equals_the_smaller_goes_first_and_then_the_first_named() -> None:
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 5), ok()),
        (Issue("C", 5), ok()),
        (
            RedeemMany(("A", "C", "B"), 7, soonest_first=True),
            ok(plan=(("C", 5), ("B", 2), ("A", 0))),
        ),
    )


def test_an_emptied_or_expired_tranche_makes_no_card_urgent() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 1, tranche_until="2026-03-05"), ok()),
        (Redeem("A", 1), ok()),
        (Load("A", 1, tranche_until="2026-03-01"), ok()),
        (Issue("B", 10, valid_until="2026-04-30"), ok()),
        At("2026-03-02T12:00:00Z"),
        (
            RedeemMany(("A", "B"), 5, soonest_first=True),
            ok(A=10, B=5, plan=(("B", 5), ("A", 0))),
        ),
    )


@pytest.mark.parametrize(
    ("soonest_first", "amount", "plan"),
    [
        (False, 5, {"E": (0, "nothing available"), "A": (5, "in the order given"),
                    "B": (0, "the total was covered already")}),
        (True, 11, {"B": (10, "expires 2026-04-30"), "A": (1, "does not expire, used last"),
                    "E": (0, "nothing available")}),
    ],
)  # fmt: skip
def test_the_plan_says_why(
    soonest_first: bool, amount: int, plan: dict[str, tuple[int, str]]
) -> None:
    ledger = play(
        (Issue("E", 1), ok()),
        (Redeem("E", 1), ok()),
        (Issue("A", 10), ok()),
        (Issue("B", 10, valid_until="2026-04-30"), ok()),
        (RedeemMany(("E", "A", "B"), amount, soonest_first=soonest_first), ok(approved=amount)),
    )
    *_, record = ledger.world.records.values()
    steps: Any = record.result.extras["plan"]
    named = {ledger.translator.handles[step["card_id"]][0]: step for step in steps}
    assert {name: (step["amount"], step["why"]) for name, step in named.items()} == plan


def test_the_answer_shows_the_cards_in_the_order_they_were_named() -> None:
    ledger = play(
        (Issue("A", 10), ok()),
        (Issue("B", 10, valid_until="2026-04-30"), ok()),
        (Issue("C", 10, valid_until="2026-06-30"), ok()),
    )
    asked = RedeemMany(("A", "B", "C"), 15, soonest_first=True).named("asked")
    assert list(ledger.perform(asked).cards) == ["B", "C"]
    again = RedeemMany(("A", "C", "B"), 7, soonest_first=True).named("again")
    assert list(ledger.perform(again).cards) == ["A", "C"]
