"""Holds: value kept back, captured, given back, or free again when their time is over."""

import pytest

from server.domain.model import HoldState
from tests.operations import (
    Authorize,
    Capture,
    Issue,
    Load,
    Redeem,
    RedeemMany,
    Reverse,
    Void,
)
from tests.stories import At, Line, Wait, card, no, ok, play


def test_a_hold_keeps_value_back_and_ends_once() -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 60).named("h"), ok(A=card(100, held=60), approved=60, hold_state="OPEN")),
        (Redeem("A", 41), no("INSUFFICIENT_FUNDS")),
        (Redeem("A", 40), ok(A=card(60, held=60))),
        (Capture("h", 61), no(
            "CAPTURE_EXCEEDS_HOLD", remaining_minor_units=60, requested_minor_units=61)),
        (Capture("h", 10), ok(A=card(50, held=50), approved=10, hold_state="OPEN")),
        (Capture("h", 51), no("CAPTURE_EXCEEDS_HOLD")),
        (Capture("h", 20), ok(A=card(30, held=30), hold_state="OPEN")),
        (Capture("h", 5, final=True), ok(A=card(25, held=0), hold_state="CAPTURED")),
        (Capture("h", 1), no("HOLD_CAPTURED", A=card(25, held=0))),
        (Void("h"), no("HOLD_CAPTURED", A=card(25, held=0))),
        (Capture("other"), no("HOLD_NOT_FOUND")),
        (Void("other"), no("HOLD_NOT_FOUND")),
    )  # fmt: skip


def test_a_capture_of_all_ends_the_hold() -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 60).named("h"), ok()),
        (Capture("h", 60), ok(A=card(40, held=0), hold_state="CAPTURED")),
        (Authorize("A", 40).named("i"), ok()),
        (Capture("i", 30), ok(A=card(10, held=10), hold_state="OPEN")),
        (Capture("i"), ok(A=card(0, held=0), approved=10, hold_state="CAPTURED")),
        (Void("i"), no("HOLD_CAPTURED")),
    )


def test_a_void_returns_what_remains() -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 60).named("h"), ok()),
        (Capture("h", 20), ok()),
        (Void("h"), ok(A=card(80, held=0), approved=40, hold_state="VOIDED")),
        (Void("h"), no("HOLD_VOIDED")),
        (Capture("h"), no("HOLD_VOIDED")),
        (Redeem("A", 80), ok(A=0)),
    )


@pytest.mark.parametrize(
    ("lines", "state", "captured"),
    [
        ((Wait(1),), HoldState.OPEN, 20),
        (((Void("h"), ok()),), HoldState.VOIDED, 20),
        (((Reverse("h"), ok()),), HoldState.VOIDED, 20),
        (((Capture("h", 5, final=True), ok()),), HoldState.CAPTURED, 25),
        (((Capture("h"), ok()),), HoldState.CAPTURED, 60),
        ((Wait(61), (Redeem("A", 1), ok())), HoldState.EXPIRED, 20),
    ],
)
def test_a_hold_tells_what_was_captured_and_when_it_ended(
    lines: tuple[Line, ...], state: HoldState, captured: int
) -> None:
    ledger = play(
        (Issue("A", 100), ok()),
        (Authorize("A", 60, seconds=60).named("h"), ok()),
        (Capture("h", 20), ok()),
        *lines,
    )
    (hold,) = ledger.world.holds.values()
    assert (hold.state, hold.captured) == (state, captured)
    assert (hold.end_time is None) == (state is HoldState.OPEN)


@pytest.mark.parametrize(("microseconds", "open_"), [(0, True), (1, False)])
def test_a_hold_is_over_at_its_expiry_not_before(microseconds: int, open_: bool) -> None:
    lines = (
        (Issue("A", 100), ok()),
        (Authorize("A", 60, seconds=10).named("h"), ok()),
        # The hold was granted at the second instant; this decision is the one before its expiry.
        Wait(10 + microseconds / 1_000_000),
    )
    if open_:
        play(*lines, (Capture("h"), ok(A=40)))
        play(*lines, (Redeem("A", 41), no("INSUFFICIENT_FUNDS")))
    else:
        expired = card(100, held=0)
        play(*lines, (Capture("h"), no("HOLD_EXPIRED", A=expired)))
        play(*lines, (Void("h"), no("HOLD_EXPIRED", A=expired)))
        play(*lines, (Redeem("A", 41), ok(A=card(59, held=0))))
        play(*lines, (Authorize("A", 100), ok(A=card(100, held=100))))
        play(*lines, (Reverse("h"), ok(A=expired, reversal="NOTHING_TO_REVERSE")))


def test_holds_of_several_tranches() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-01"), ok(A=20)),
        (Authorize("A", 15).named("h"), ok(A=card(20, held=15))),
        (Redeem("A", 5), ok(A=card(15, held=15, tranches=(("PAID", 5), ("PROMO", 10))))),
        At("2026-03-02T00:00:00Z"),
        # What a hold keeps of an expired tranche counts until the hold ends.
        (Capture("h", 4), ok(A=card(11, held=11, tranches=(("PAID", 5), ("PROMO", 6))))),
        (Capture("h", 8, final=True), ok(A=card(3, held=0, tranches=(("PAID", 3),)))),
    )


def test_value_returned_to_an_expired_tranche_is_lost() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-01"), ok(A=20)),
        (Authorize("A", 15).named("h"), ok(A=card(20, held=15))),
        At("2026-03-02T00:00:00Z"),
        (Redeem("A", 1), ok(A=card(19, held=15))),
        (Void("h"), ok(A=card(9, held=0))),
        (Redeem("A", 10), no("INSUFFICIENT_FUNDS", A=9)),
    )


def test_an_exclusive_hold_keeps_others_off() -> None:
    play(
        (Issue("A", 100), ok()),
        (Issue("B", 100), ok()),
        (Authorize("A", 30, exclusive=True).by("web").named("h"), ok(A=card(100, held=30))),
        (Redeem("A", 1), no("HELD_BY_OTHER")),
        (RedeemMany(("B", "A"), 1), no("HELD_BY_OTHER")),
        (Authorize("A", 1), no("HELD_BY_OTHER")),
        (Authorize("A", 1, exclusive=True).by("web"), no("OPEN_HOLDS")),
        (Load("A", 5), ok(A=card(105, held=30))),
        (Capture("h", 10), ok(A=card(95, held=20))),
        (Redeem("A", 1), no("HELD_BY_OTHER")),
        (Void("h"), ok(A=card(95, held=0))),
        (Redeem("A", 1), ok(A=94)),
    )


@pytest.mark.parametrize(
    ("amount", "partial", "approved", "left"),
    [(10, False, 10, 90), (30, False, 30, 70), (31, False, 31, 69), (101, True, 100, 0)],
)
def test_its_holder_spends_an_exclusive_hold(
    amount: int, partial: bool, approved: int, left: int
) -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 30, exclusive=True).named("h"), ok(A=card(100, held=30))),
        (
            Redeem("A", amount, partial),
            ok(A=card(left, held=0), approved=approved, hold_state="CAPTURED"),
        ),
        (Capture("h"), no("HOLD_CAPTURED")),
    )


@pytest.mark.parametrize(("holder", "other"), [("till", "web"), ("web", "till")])
def test_whose_hold_it_is_does_not_depend_on_names(holder: str, other: str) -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 30, exclusive=True).by(holder).named("h"), ok()),
        (Redeem("A", 1).by(other), no("HELD_BY_OTHER", A=card(100, held=30))),
        (Redeem("A", 1).by(holder), ok(A=card(99, held=0))),
        # Once it is over, it is nobody's any more.
        (Redeem("A", 99).by(other), ok(A=0)),
    )


def test_an_exclusive_hold_of_one_tranche_and_what_is_free_of_another() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-31"), ok(A=20)),
        (Authorize("A", 5, exclusive=True).named("h"), ok(A=card(20, held=5))),
        (Redeem("A", 12), ok(A=card(8, held=0, tranches=(("PAID", 8),)), hold_state="CAPTURED")),
    )


def test_an_exclusive_hold_needs_a_card_that_nobody_holds() -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 30, seconds=10), ok()),
        (Authorize("A", 30, exclusive=True), no("OPEN_HOLDS")),
        (Authorize("A", 30), ok(A=card(100, held=60))),
        Wait(11),
        (Authorize("A", 30, exclusive=True), no("OPEN_HOLDS")),
        Wait(8 * 86400),
        (Authorize("A", 30, exclusive=True).named("h"), ok(A=card(100, held=30))),
        (Redeem("A", 100).by("web"), no("HELD_BY_OTHER")),
        Wait(8 * 86400),
        (Redeem("A", 100).by("web"), ok(A=0)),
    )


def test_holding_the_whole_balance_or_what_there_is() -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 30).named("h"), ok()),
        (Authorize("A", None).named("all"), ok(A=card(100, held=100), approved=70)),
        (Authorize("A", None), no("NO_BALANCE")),
        (Authorize("A", 1, partial=True), no("NO_BALANCE")),
        (Void("h"), ok(A=card(100, held=70))),
        (Authorize("A", 31), no(
            "INSUFFICIENT_FUNDS", available_minor_units=30, requested_minor_units=31)),
        (Authorize("A", 31, partial=True), ok(A=card(100, held=100), approved=30)),
    )  # fmt: skip


def test_programs_without_holds() -> None:
    play(
        (Issue("A", 100, "DYN"), ok()),
        (Authorize("A", 1), no("HOLDS_NOT_ALLOWED")),
        (Redeem("A", 1), ok(A=99)),
    )
