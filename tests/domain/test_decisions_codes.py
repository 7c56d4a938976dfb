"""Codes that wait for their cards: reserved, used, given up, over."""

import pytest

from tests.operations import (
    Close,
    Create,
    Issue,
    Operation,
    Redeem,
    Release,
    Reserve,
    Reverse,
)
from tests.stories import Line, Wait, card, no, ok, play

MINUTE = 60


@pytest.mark.parametrize(
    ("before", "free", "required"),
    [
        # What became of code A, what a card that takes it hears, and one that requires it.
        ((), "", "CODE_NOT_RESERVED"),
        (((Reserve(("A",)), ok(codes=1)),), "", ""),
        (((Reserve(("A",), MINUTE), ok()), Wait(MINUTE - 1)), "", ""),
        (((Reserve(("A",), MINUTE), ok()), Wait(MINUTE)), "", "CODE_NOT_RESERVED"),
        (((Reserve(("A",)), ok()), (Release(cards=("A",)), ok(codes=1))), "", "CODE_NOT_RESERVED"),
        (((Reserve(("A",)).named("r"), ok()), (Release("r"), ok(codes=1))), "",
         "CODE_NOT_RESERVED"),
        (((Reserve(("A",)).named("r"), ok()), (Reverse("r"), ok(reversal="REVERSED"))), "",
         "CODE_NOT_RESERVED"),
        (((Reserve(("A",)).by("web"), ok()),), "", ""),
        (((Reserve(("A",)).training(), ok()),), "", "CODE_NOT_RESERVED"),
        (((Reserve(("A",)), ok()), (Issue("A", 5), ok())), "CODE_EXISTS", "CODE_EXISTS"),
        (((Reserve(("A",)), ok()), (Issue("A", 5), ok()), (Close("A", "BREAKAGE"), ok())),
         "CODE_EXISTS", "CODE_EXISTS"),
        (((Reserve(("A",)), ok()), (Issue("A", 5).named("a"), ok()), (Reverse("a"), ok())),
         "CODE_EXISTS", "CODE_EXISTS"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [Issue, Create])
def test_what_a_code_is_good_for(
    before: tuple[Line, ...], free: str, required: str, kind: type[Operation]
) -> None:
    for asked, reason in ((False, free), (True, required)):
        new: Operation = (
            Issue("A", 50, reserved=asked) if kind is Issue else Create("A", reserved=asked)
        )
        play(*before, (new, no(reason) if reason else ok()))


def test_a_reserved_code_is_no_card() -> None:
    play(
        (Reserve(("A", "B")), ok(codes=2, approved=None)),
        (Redeem("A", 1), no("GIFT_CARD_NOT_FOUND")),
        (Issue("A", 10), ok(A=card(10, state="ACTIVE"))),
        (Redeem("A", 1), ok(A=9)),
    )


def test_a_refused_card_uses_no_code() -> None:
    play(
        (Reserve(("A",)), ok()),
        (Issue("A", 51, "RANGE"), no("AMOUNT_ABOVE_MAXIMUM")),
        (Issue("A", 50, "RANGE", reserved=True), ok(A=50)),
    )


def test_codes_are_made_once() -> None:
    play(
        (Reserve(("A",), 1), ok()),
        (Reserve(("A",)), no("CODE_EXISTS")),
        Wait(2),
        (Reserve(("A",)), no("CODE_EXISTS")),
        (Issue("B", 5), ok()),
        (Reserve(("B",)), no("CODE_EXISTS")),
        (Reserve(("C",), program="NONE"), no("PROGRAM_NOT_FOUND")),
    )


def test_what_is_used_or_released_is_passed_over() -> None:
    play(
        (Reserve(("A", "B", "C")).named("r"), ok(codes=3)),
        (Issue("A", 5), ok()),
        (Release(cards=("A", "B", "X")), ok(codes=1)),
        (Release("r"), ok(codes=1)),
        (Release("r"), ok(codes=0)),
        (Issue("B", 5), ok()),
        (Reverse("r"), ok(reversal="NOTHING_TO_REVERSE")),
    )


def test_a_reservation_is_undone_once() -> None:
    play(
        (Reserve(("A",)).named("r"), ok()),
        (Reverse("r"), ok(reversal="REVERSED")),
        (Reverse("r"), ok(reversal="ALREADY_REVERSED")),
        (Release("r"), ok(codes=0)),
    )


def test_only_a_reservation_is_released_by_name() -> None:
    play(
        (Issue("A", 5).named("sale"), ok()),
        (Release("sale"), no("CODE_RESERVATION_NOT_FOUND")),
        (Release("never"), no("CODE_RESERVATION_NOT_FOUND")),
        (Reserve(("B",)).named("r"), ok()),
        (Release("r").training(), no("CODE_RESERVATION_NOT_FOUND")),
        (Release("r").named("x"), ok(codes=1)),
        (Reverse("x"), no("NOT_REVERSIBLE")),
    )


def test_reserving_may_be_reversed_before_it_arrives() -> None:
    play(
        (Reverse("late"), ok(reversal="TOMBSTONED")),
        (Reserve(("A",)).named("late"), no("REVERSED_BEFORE_ARRIVAL")),
    )
