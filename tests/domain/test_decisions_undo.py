"""Refunds and reversals: what goes back, where to, how much at most, and what if it is spent."""

from dataclasses import asdict

import pytest

from tests.operations import (
    Activate,
    Adjust,
    Authorize,
    Capture,
    Close,
    Create,
    Issue,
    Load,
    Lock,
    Operation,
    Redeem,
    RedeemMany,
    Refund,
    Reverse,
    Transfer,
    Unlock,
    Void,
    update,
)
from tests.stories import Line, Wait, card, no, ok, play

# Reversals, kind by kind. A has 100 (PAID) before, and again after.

KINDS: dict[str, tuple[Line, ...]] = {
    "load": ((Load("A", 10).named("x"), ok(A=110)),),
    "promo": ((Load("A", 10, origin="PROMO").named("x"), ok(A=110)),),
    "redeem": ((Redeem("A", 10).named("x"), ok(A=90)),),
    "redeem many": ((RedeemMany(("A", "B"), 150).named("x"), ok(A=0, B=50)),),
    "refund": (
        (Load("A", 10), ok()), (Redeem("A", 10).named("r"), ok(A=100)),
        (Refund("r", 10).named("x"), ok(A=110)),
    ),
    "authorize": ((Authorize("A", 10).named("x"), ok(A=card(100, held=10))),),
    "authorize, in part captured": (
        (Load("A", 5), ok()), (Authorize("A", 10).named("x"), ok()), (Capture("x", 5), ok(A=100)),
    ),
    "capture": (
        (Authorize("A", 10).named("h"), ok()), (Capture("h").named("x"), ok(A=90)),
    ),
    "adjust up": ((Adjust("A", 10).named("x"), ok(A=110)),),
    "adjust down": ((Adjust("A", -10).named("x"), ok(A=90)),),
    "transfer from": ((Transfer("A", "B", 10).named("x"), ok(A=90, B=110)),),
    "transfer to": ((Transfer("B", "A", 10).named("x"), ok(A=110, B=90)),),
    "transfer all": (
        (Transfer("A", "B", close_source=True).named("x"), ok(A=card(0, state="CLOSED"), B=200)),
    ),
    "close, kept": ((Close("A", "BREAKAGE").named("x"), ok(A=card(0, state="CLOSED"))),),
    "close, paid out": ((Close("A", "CASH_OUT").named("x"), ok(A=card(0, state="CLOSED"))),),
    "close, moved": ((Close("A", "TRANSFER", "B").named("x"), ok(A=0, B=200)),),
}  # fmt: skip


@pytest.mark.parametrize("by_name", [False, True], ids=["by request id", "by name"])
@pytest.mark.parametrize("name", KINDS)
def test_undoing(name: str, by_name: bool) -> None:
    before = card(100, held=0, state="ACTIVE", tranches=(("PAID", 100),))
    play(
        (Issue("A", 100, "CASH"), ok()),
        (Issue("B", 100), ok()),
        *KINDS[name],
        (Reverse("x", by_name), ok(A=before, reversal="REVERSED", shortfall=0)),
        (Reverse("x", by_name), ok(A=before, reversal="ALREADY_REVERSED", shortfall=0)),
        (Close("B", "BREAKAGE"), ok(approved=100)),
    )


NOT_REVERSIBLE: dict[str, Operation] = {
    "lock": Lock("A"),
    "unlock": Unlock("A"),
    "update": update("A", batch="spring"),
    "void": Void("hold"),
    "reverse": Reverse("sale"),
}


@pytest.mark.parametrize("name", NOT_REVERSIBLE)
def test_what_has_nothing_to_undo(name: str) -> None:
    play(
        (Issue("A", 100), ok()),
        (Authorize("A", 10).named("hold"), ok()),
        (Redeem("A", 10).named("sale"), ok()),
        (NOT_REVERSIBLE[name].named("x"), ok()),
        (Reverse("x"), no("NOT_REVERSIBLE")),
    )


def test_undoing_a_sale_of_the_card_itself() -> None:
    play(
        (Issue("A", 100).named("x"), ok()),
        (Reverse("x"), ok(A=card(0, state="VOIDED"), approved=100, reversal="REVERSED")),
        (Redeem("A", 1), no("CARD_VOIDED")),
    )
    play(
        (Create("A").named("create"), ok()),
        (Activate("A", 100).named("x"), ok()),
        (Reverse("create"), ok(A=card(100, state="ACTIVE"), reversal="NOTHING_TO_REVERSE")),
        (Reverse("x"), ok(A=card(0, state="INACTIVE"), approved=100, reversal="REVERSED")),
        (Activate("A", 50), ok(A=card(50, state="ACTIVE"))),
        (Reverse("x"), ok(A=card(50, state="ACTIVE"), reversal="ALREADY_REVERSED")),
    )
    play(
        (Create("A").named("create"), ok()),
        (Reverse("create"), ok(A=card(0, state="VOIDED"), reversal="REVERSED")),
        (Activate("A", 50), no("CARD_VOIDED")),
    )
    play(
        (Create("A").named("create"), ok()),
        (Activate("A", 100).named("x"), ok()),
        (Reverse("create"), ok(reversal="NOTHING_TO_REVERSE")),
        (Reverse("x"), ok(A=card(0, state="INACTIVE"), reversal="REVERSED")),
        # What could not be undone before can be now.
        (Reverse("create"), ok(A=card(0, state="VOIDED"), reversal="REVERSED")),
        (Reverse("create"), ok(A=card(0, state="VOIDED"), reversal="ALREADY_REVERSED")),
    )


def test_a_card_with_other_value_on_it_stays() -> None:
    play(
        (Issue("A", 100).named("x"), ok()),
        (Load("A", 10), ok()),
        (Reverse("x"), ok(A=card(10, state="ACTIVE"), shortfall=0)),
    )
    play(
        (Create("A"), ok()),
        (Activate("A", 100).named("x"), ok()),
        (Load("A", 10), ok()),
        (Reverse("x"), ok(A=card(10, state="ACTIVE"), shortfall=0)),
    )


def test_a_card_whose_sale_is_undone_is_as_it_was_before() -> None:
    lines: tuple[Line, ...] = ((Create("A", "SHORT", valid_from="2026-03-01"), ok()),)
    (before,) = play(*lines).world.cards.values()
    (after,) = play(
        *lines, (Activate("A", 100).named("x"), ok()), (Reverse("x"), ok(A=0))
    ).world.cards.values()
    assert after.update_time > before.update_time
    after.update_time, after.accounts = before.update_time, []
    assert asdict(after) == asdict(before)


# Value that was spent meanwhile


@pytest.mark.parametrize(
    ("meanwhile", "left", "shortfall"),
    [
        ((Redeem("A", 140), ok()), card(0), 90),
        ((Redeem("A", 50), ok()), card(0), 0),
        ((Redeem("A", 51), ok()), card(0), 1),
        ((Authorize("A", 120), ok()), card(120, held=120), 70),
        ((Transfer("A", "B"), ok()), card(0), 100),
        ((Adjust("A", -150), ok()), card(0), 100),
        ((Lock("A"), ok()), card(50, state="LOCKED"), 0),
        ((Close("A", "BREAKAGE"), ok()), card(0, state="CLOSED"), 100),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else str(value),
)
def test_what_cannot_be_taken_back_is_owed(meanwhile: Line, left: card, shortfall: int) -> None:
    play(
        (Issue("A", 50), ok()),
        (Issue("B", 50), ok()),
        (Load("A", 100).named("x"), ok(A=150)),
        meanwhile,
        (Reverse("x"), ok(A=left, shortfall=shortfall, approved=100, reversal="REVERSED")),
        (Reverse("x"), ok(A=left, shortfall=0, reversal="ALREADY_REVERSED")),
    )


def test_taking_back_starts_with_the_tranche_that_got_the_value() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="IMPORT").named("x"), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-31"), ok()),
        (Redeem("A", 4).named("sale"), ok(A=card(26, tranches=(
            ("IMPORT", 10), ("PAID", 10), ("PROMO", 6))))),
        (Reverse("x"), ok(A=card(16, tranches=(("PAID", 10), ("PROMO", 6))))),
        (Load("A", 10, origin="IMPORT").named("y"), ok()),
        (Adjust("A", -20), ok(A=card(6, tranches=(("IMPORT", 6),)))),
        (Load("A", 3), ok()),
        (Reverse("y"), ok(A=0, shortfall=1)),
        (Reverse("sale"), ok(A=card(4, tranches=(("PROMO", 4),)), shortfall=0)),
    )  # fmt: skip


def test_what_was_taken_back_for_one_line_is_not_there_for_the_next() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO"), ok()),
        (Issue("C", 1, origin="IMPORT"), ok()),
        (Redeem("C", 1), ok(C=0)),
        (Transfer("A", "C").named("x"), ok(A=0, C=card(20, tranches=(
            ("PAID", 10), ("PROMO", 10))))),
        (Redeem("C", 13), ok(C=card(7, tranches=(("PAID", 7),)))),
        (Reverse("x"), ok(A=20, C=0, shortfall=13)),
    )  # fmt: skip


def test_the_last_cent_is_taken_back() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-31").named("x"), ok()),
        (Redeem("A", 19), ok(A=1)),
        (Reverse("x"), ok(A=0, shortfall=9)),
    )


def test_a_line_that_was_refunded_in_full_leaves_the_others_to_undo() -> None:
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 10), ok()),
        (RedeemMany(("A", "B"), 15).named("sale"), ok(A=0, B=5)),
        (Refund("sale", 5), ok(A=0, B=10)),
        (Reverse("sale"), ok(A=10, B=10, approved=10, reversal="REVERSED")),
    )


def test_a_hold_outlives_the_value_it_keeps() -> None:
    play(
        (Issue("A", 100).named("x"), ok()),
        (Authorize("A", 60, seconds=60).named("h"), ok()),
        (Reverse("x"), ok(A=card(60, held=60, state="ACTIVE"), shortfall=60)),
        (Capture("h", 10), ok(A=card(50, held=50))),
        Wait(61),
        (Capture("h"), no("HOLD_EXPIRED", A=card(50, held=0))),
    )
    play(
        (Issue("A", 100).named("x"), ok()),
        (Authorize("A", 60, seconds=60), ok()),
        Wait(61),
        (Reverse("x"), ok(A=card(0, held=0, state="VOIDED"), shortfall=0)),
    )


def test_a_transfer_whose_target_spent_it() -> None:
    play(
        (Issue("A", 100), ok()),
        (Issue("B", 10), ok()),
        (Transfer("A", "B", close_source=True).named("x"), ok(A=0, B=110)),
        (Redeem("B", 50), ok(B=60)),
        (Reverse("x"), ok(A=card(100, state="ACTIVE"), B=0, shortfall=40)),
    )


def test_value_that_returns_to_a_closed_card_waits_locked() -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 60).named("sale"), ok()),
        (Close("A", "BREAKAGE").named("close"), ok()),
        (Refund("sale", 1), no("CARD_CLOSED")),
        (Reverse("sale"), ok(A=card(60, state="LOCKED"))),
        (Reverse("close"), ok(A=card(100, state="LOCKED"))),
    )
    play(
        (Issue("A", 100), ok()),
        (Issue("B", 10), ok()),
        (Transfer("A", "B", 40).named("move"), ok()),
        (Close("A", "BREAKAGE").named("close"), ok()),
        (Reverse("move"), ok(A=card(40, state="LOCKED"), B=10)),
    )


def test_refusals_and_seals_have_nothing_to_reverse() -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 101).named("x"), no("INSUFFICIENT_FUNDS")),
        (Reverse("x"), ok(reversal="NOTHING_TO_REVERSE", approved=None)),
        (Reverse("late").named("first"), ok(reversal="TOMBSTONED", shortfall=0)),
        (Redeem("A", 10).named("late"), no("REVERSED_BEFORE_ARRIVAL", A=100)),
        (Reverse("late"), ok(reversal="NOTHING_TO_REVERSE")),
        (Reverse("never", by_name=True), no("TRANSACTION_NOT_FOUND")),
    )


def test_whose_transaction_may_be_reversed() -> None:
    play(
        (Issue("A", 100), ok()),
        (Redeem("A", 10).named("sale"), ok()),
        (Reverse("sale", by_name=True).by("web"), no("SCOPE_MISSING", A=90)),
        # Another client's request id is not the till's: the web's own late request is meant.
        (Reverse("sale").by("web"), ok(reversal="TOMBSTONED", A=90)),
        (Reverse("sale", by_name=True).by("office"), ok(reversal="REVERSED", A=100)),
        (Reverse("sale"), ok(reversal="ALREADY_REVERSED", A=100)),
        (Redeem("A", 10).by("web").named("sold on the web"), ok()),
        (Reverse("sold on the web", by_name=True), no("SCOPE_MISSING", A=90)),
        (Reverse("sold on the web", by_name=True).by("web"), ok(reversal="REVERSED", A=100)),
    )


# Known gaps between the contract and the rules.


def test_undoing_the_closing_of_an_empty_card() -> None:
    play(
        (Issue("A", 10), ok()),
        (Redeem("A", 10), ok()),
        (Close("A").named("x"), ok(A=card(0, state="CLOSED"))),
        (Reverse("x"), ok(A=card(0, state="ACTIVE"), reversal="REVERSED")),
    )


def test_undoing_the_replacement_of_a_lost_card_leaves_it_locked() -> None:
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 10), ok()),
        (Lock("A"), ok()),
        (Transfer("A", "B", close_source=True).named("x"), ok(A=card(0, state="CLOSED"), B=20)),
        (Reverse("x"), ok(A=card(10, state="LOCKED"), B=10)),
    )


def test_a_card_sold_again_is_valid_from_the_second_sale() -> None:
    play(
        (Create("A", "SHORT"), ok()),
        (Activate("A", 10).named("x"), ok()),
        (Reverse("x"), ok(A=card(0, state="INACTIVE"))),
        Wait(10 * 86400),
        (Activate("A", 10), ok(A=card(10, state="ACTIVE"))),
        (Redeem("A", 10), ok(A=0)),
    )


def test_a_refund_needs_an_active_or_locked_card() -> None:
    play(
        (Create("A"), ok()),
        (Activate("A", 10).named("x"), ok()),
        (Redeem("A", 10).named("sale"), ok()),
        (Reverse("x"), ok(A=card(0, state="INACTIVE"), shortfall=10)),
        (Refund("sale", 10), no("CARD_INACTIVE", A=0)),
    )


def test_a_reversal_finds_room_on_a_full_card() -> None:
    play(
        (Issue("A", 10**12), ok()),
        (Redeem("A", 10).named("x"), ok()),
        (Load("A", 10), ok(A=10**12)),
        (Reverse("x"), ok(A=10**12 + 10, reversal="REVERSED")),
        (Load("A", 1), no("MAX_BALANCE_EXCEEDED")),
    )


def test_value_that_returns_to_a_voided_card_waits_locked() -> None:
    play(
        (Issue("A", 10).named("issue"), ok()),
        (Redeem("A", 10).named("sale"), ok()),
        (Reverse("issue"), ok(A=card(0, state="VOIDED"), shortfall=10)),
        (Reverse("sale"), ok(A=card(10, state="LOCKED"))),
    )
