"""Programs and validity, PINs, changing a card, and the book for practice."""

from dataclasses import replace

import pytest

from server.domain.commands import CardRef, CodeMaterial, Policy, UpdateGiftCard
from server.domain.errors import Refused, Rejected
from server.domain.lifecycle import etag
from server.domain.lifecycle import update as change
from tests.in_process import hash_pin
from tests.memory_ledger import MemoryLedger
from tests.operations import (
    SECOND,
    Activate,
    Authorize,
    Capture,
    Close,
    Create,
    Issue,
    Load,
    Lock,
    Redeem,
    RedeemMany,
    Refund,
    Request,
    Reverse,
    Transfer,
    Update,
    Void,
    update,
)
from tests.stories import NOON, At, Line, Wait, card, instant, no, ok, play

# Programs


@pytest.mark.parametrize(
    ("program", "amount", "reason"),
    [
        ("GC", 1, None),
        ("GC", 10**12, None),
        ("GC", 10**12 + 1, "MAX_BALANCE_EXCEEDED"),
        ("GC", 2**63 - 1, "MAX_BALANCE_EXCEEDED"),
        ("RANGE", 9, "AMOUNT_BELOW_MINIMUM"),
        ("RANGE", 10, None),
        ("RANGE", 50, None),
        ("RANGE", 51, "AMOUNT_ABOVE_MAXIMUM"),
        ("FIXED", 25, None),
        ("FIXED", 24, "VALUE_CHANGE_NOT_ALLOWED"),
        ("CHOICE", 25, None),
        ("CHOICE", 50, None),
        ("CHOICE", 26, "DENOMINATION_NOT_ALLOWED"),
        ("MAX", 100, None),
        ("MAX", 101, "MAX_BALANCE_EXCEEDED"),
        ("GONE", 1, "PROGRAM_RETIRED"),
        ("EURO", 1, "CURRENCY_MISMATCH"),
        ("NONE", 1, "PROGRAM_NOT_FOUND"),
    ],
)
def test_what_a_program_sells(program: str, amount: int, reason: str | None) -> None:
    expected = no(reason) if reason else ok(A=card(amount, state="ACTIVE"))
    play((Issue("A", amount, program), expected))
    if reason in ("PROGRAM_RETIRED", "PROGRAM_NOT_FOUND"):
        play((Create("A", program), no(reason)))
    else:
        play((Create("A", program), ok()), (Activate("A", amount), expected))


def test_a_refused_issue_leaves_the_code_free() -> None:
    play(
        (Issue("A", 51, "RANGE"), no("AMOUNT_ABOVE_MAXIMUM")),
        (Redeem("A", 1), no("GIFT_CARD_NOT_FOUND")),
        (Issue("A", 50, "RANGE"), ok(A=50)),
        (Issue("A", 50, "RANGE"), no("CODE_EXISTS", A=50)),
    )


def test_loads_obey_the_program_and_the_card() -> None:
    play(
        (Issue("A", 50, "RANGE"), ok()),
        (Load("A", 9), no("AMOUNT_BELOW_MINIMUM")),
        (Load("A", 51), no("AMOUNT_ABOVE_MAXIMUM")),
        (Load("A", 41), ok(A=91)),
        (Load("A", 10), no("MAX_BALANCE_EXCEEDED", A=91)),
        (Redeem("A", 1), ok(A=90)),
        (Load("A", 10), ok(A=100)),
        (update("A", max_balance=None), ok()),
        (Load("A", 10), ok(A=110)),
        (update("A", max_balance=115), ok()),
        (Load("A", 10), no("MAX_BALANCE_EXCEEDED", A=110)),
    )
    play(
        (Issue("A", 25, "FIXED"), ok()),
        (Load("A", 25), no("RELOAD_NOT_ALLOWED")),
        (update("A", reload_allowed=True), ok()),
        (Load("A", 5), no("VALUE_CHANGE_NOT_ALLOWED")),
        (Load("A", 25), ok(A=50)),
    )


def test_held_value_counts_against_the_maximum_and_expired_value_does_not() -> None:
    play(
        (Issue("A", 60, "MAX", tranche_until="2026-03-01"), ok()),
        (Load("A", 40), ok(A=100)),
        (Authorize("A", 70).named("h"), ok(A=card(100, held=70))),
        (Load("A", 1), no("MAX_BALANCE_EXCEEDED")),
        At("2026-03-02T00:00:00Z"),
        (Load("A", 1), no("MAX_BALANCE_EXCEEDED")),
        (Void("h"), ok(A=40)),
        (Load("A", 60), ok(A=100)),
    )


@pytest.mark.parametrize(
    ("program", "last_day", "day_after"),
    [
        ("SHORT", "2026-02-03T23:59:59Z", "2026-02-04T00:00:00Z"),
        ("MONTH", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z"),
        ("SUMMER", "2026-08-31T23:59:59Z", "2026-09-01T00:00:00Z"),
    ],
)
def test_how_long_a_program_is_valid(program: str, last_day: str, day_after: str) -> None:
    play(
        (Issue("A", 10, program), ok()),
        At(last_day),
        (Redeem("A", 1), ok()),
        At(day_after),
        (Redeem("A", 1), no("CARD_EXPIRED")),
        now="2026-01-31T12:00:00Z",
    )


def test_no_card_is_sold_whose_last_day_is_over() -> None:
    play(
        (Create("A", valid_until="2026-03-01"), ok()),
        (Issue("B", 10, valid_until="2026-02-28"), no("CARD_EXPIRED")),
        (Issue("B", 10, "SUMMER", valid_from="2026-09-01"), no("CARD_EXPIRED")),
        (Issue("C", 10, valid_from="2026-04-02", valid_until="2026-04-01"), no(
            "CARD_EXPIRED", valid_until="2026-04-01")),
        (Issue("C", 10, valid_from="2026-04-01", valid_until="2026-04-01"), ok(C=10)),
        At("2026-03-02T00:00:00Z"),
        (Activate("A", 10), no("CARD_EXPIRED", A=card(0, state="INACTIVE"))),
        (Activate("A", 10, valid_until="2026-03-02"), ok(A=10)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("clock", "reason"),
    [
        ("2026-03-01T23:59:59.999999Z", None),
        ("2026-03-02T00:00:00Z", "CARD_EXPIRED"),
        ("2026-03-02T00:00:00.000001Z", "CARD_EXPIRED"),
        ("2026-03-31T00:00:00Z", "CARD_EXPIRED"),
    ],
)
def test_value_is_not_given_for_a_day_that_is_over(clock: str, reason: str | None) -> None:
    expected = ok(A=11) if reason is None else no(reason, A=10, valid_until="2026-03-01")
    play(
        (Issue("A", 10), ok()),
        At(clock),
        (Load("A", 1, tranche_until="2026-03-01"), expected),
    )


@pytest.mark.parametrize(
    ("own", "other", "program"), [("USD", "EUR", "GC"), ("EUR", "USD", "EURO")]
)
def test_an_amount_in_another_unit_is_no_amount_of_the_card(
    own: str, other: str, program: str
) -> None:
    refused = no("CURRENCY_MISMATCH", A=10, card_currency=own, requested_currency=other)
    play(
        (Issue("A", 10, program, own), ok()),
        (Redeem("A", 1, unit=other), refused),
        (RedeemMany(("A",), 1, unit=other), refused),
        (Authorize("A", 1, unit=other), refused),
        (Load("A", 1, other), refused),
        (Redeem("A", 1, unit=own), ok(A=9)),
    )


def test_expired_value_counts_where_an_account_may_not_overflow() -> None:
    play(
        (Issue("A", 10**12 - 10, tranche_until="2026-03-01"), ok()),
        At("2026-03-02T00:00:00Z"),
        (Load("A", 11), no("MAX_BALANCE_EXCEEDED", A=0, maximum_minor_units=10**12)),
        (Load("A", 10), ok(A=10)),
        (Load("A", 1), no("MAX_BALANCE_EXCEEDED", A=10)),
    )


# PINs


def test_a_pin_is_asked_for_where_value_may_be_lost() -> None:
    play(
        (Issue("A", 100, pin="1234"), ok()),
        (Issue("B", 10), ok()),
        (Redeem("A", 1), no("PIN_REQUIRED")),
        (Redeem("A", 1, pin="4321"), no("PIN_INCORRECT", A=100)),
        (Redeem("A", 1, pin="1234"), ok(A=99)),
        (Load("A", 1), no("PIN_REQUIRED")),
        (Load("A", 1, pin="1234"), ok(A=100)),
        (Authorize("A", 1), no("PIN_REQUIRED")),
        (Authorize("A", 1, pin="1234").named("h"), ok()),
        (Capture("h"), ok(A=99)),
        (RedeemMany(("B", "A"), 1), no("PIN_REQUIRED")),
        (RedeemMany(("B", "A"), 1, pins=(None, "1234")), ok(B=9)),
        (Transfer("A", "B"), no("PIN_REQUIRED")),
        (Transfer("A", "B", 1, pin="1234"), ok(A=98)),
        (Transfer("B", "A", 1), ok(A=99)),
        (Redeem("B", 1, pin="1234"), ok(B=8)),
    )


def test_five_wrong_pins_close_the_card_to_guessing() -> None:
    wrong = (Redeem("A", 1, pin="0000"), no("PIN_INCORRECT"))
    right = Redeem("A", 1, pin="1234")
    play(
        (Issue("A", 100, pin="1234"), ok()),
        wrong, wrong, wrong, wrong,
        (Redeem("A", 1), no("PIN_REQUIRED")),
        (right, ok(A=99)),
        wrong, wrong, wrong, wrong, wrong,
        (right, no("PIN_LOCKED")),
        (Redeem("A", 1), no("PIN_LOCKED")),
        Wait(15 * 60 - 1),
        (right, no("PIN_LOCKED")),
        Wait(2),
        wrong, wrong, wrong, wrong, wrong,
        # Twice as long after the second time in a row.
        Wait(30 * 60 - 1),
        (right, no("PIN_LOCKED")),
        Wait(2),
        (right, ok(A=98)),
        wrong, wrong, wrong, wrong,
        (right, ok(A=97)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lock_outs", "minutes"),
    [(1, 15), (2, 30), (3, 60), (10, 512 * 15), (11, 1024 * 15), (12, 1024 * 15), (13, 1024 * 15)],
)
def test_how_long_a_pin_is_locked(lock_outs: int, minutes: int) -> None:
    wrong = Redeem("A", 1, pin="0000")
    right = Redeem("A", 1, pin="1234")
    year: tuple[Line, ...] = (*[(wrong, no("PIN_INCORRECT", A=100))] * 5, Wait(365 * 86400))
    ledger = play((Issue("A", 100, pin="1234"), ok()), *year * (lock_outs - 1))
    begin = ledger.clock.now + 1
    for number in range(5):
        ledger.clock.now = begin + number
        assert ledger.perform(wrong.named(f"wrong {number}")).reason == "PIN_INCORRECT"
    until = begin + 4 + minutes * 60 * SECOND
    ledger.clock.now = until - 1
    early = ledger.perform(right.named("early"))
    assert (early.reason, early.metadata) == ("PIN_LOCKED", {"retry_time": str(until)})
    ledger.clock.now = until
    assert ledger.perform(right.named("in time")).reason is None


def test_a_success_forgives_no_other_whatever_their_names() -> None:
    wrong = Redeem("A", 1, pin="0000")
    right = Redeem("A", 1, pin="1234")
    names = ("office", "till", "web")
    play(
        (Issue("A", 100, pin="1234"), ok()),
        *((wrong.by(name), no("PIN_INCORRECT")) for name in names * 4),
        (right, ok(A=99)),
        *((wrong.by(name), no("PIN_INCORRECT")) for name in names),
        *((right.by(name), no("PIN_LOCKED")) for name in ("office", "web")),
        (right, ok(A=98)),
    )


def test_who_guesses_a_pin_locks_nobody_else_out() -> None:
    wrong = (Redeem("A", 1, pin="0000").by("web"), no("PIN_INCORRECT"))
    right = Redeem("A", 1, pin="1234")
    play(
        (Issue("A", 100, pin="1234"), ok()),
        (Redeem("A", 1, pin="0000"), no("PIN_INCORRECT")),
        wrong, wrong, wrong, wrong,
        # The till's success forgives the till alone.
        (right, ok(A=99)),
        wrong,
        (right.by("web"), no("PIN_LOCKED")),
        (right, ok(A=98)),
        (right.by("web"), no("PIN_LOCKED")),
        Wait(15 * 60 + 1),
        (right.by("web"), ok(A=97)),
        wrong, wrong, wrong, wrong,
        (right.by("web"), ok(A=96)),
    )  # fmt: skip


def test_a_wrong_pin_says_nothing_of_the_card() -> None:
    play(
        (Issue("A", 100, pin="1234"), ok()),
        (Lock("A"), ok()),
        (Redeem("A", 999, pin="0000"), no("PIN_INCORRECT")),
        (Redeem("A", 999, pin="1234"), no("CARD_LOCKED")),
    )


# Changing


@pytest.mark.parametrize(
    ("given", "reason"),
    [("", None), ("right", None), ('"x"', "ETAG_MISMATCH"), ('""', "ETAG_MISMATCH")],
)
def test_an_update_may_name_the_card_that_was_read(given: str, reason: str | None) -> None:
    ledger = play((Issue("A", 10), ok()))
    (read,) = ledger.world.cards.values()
    tag = etag(read.id, read.sequence) if given == "right" else given
    envelope = ledger.translator.envelope(update("A", batch="spring").named("update"), 1)
    assert isinstance(envelope.command, UpdateGiftCard)
    command = replace(envelope.command, etag=tag)
    if reason is not None:
        with pytest.raises(Rejected, match=reason):
            change(ledger.world, envelope, command, 1)
        return
    assert change(ledger.world, envelope, command, 1).card_changes == [(read, {"batch": "spring"})]


@pytest.mark.parametrize(
    ("program", "old", "new", "reason"),
    [
        ("GC", "1234", "4321", None),
        ("GC", "1234", None, None),
        ("GC", None, "4321", None),
        ("PIN", "1234", "4321", None),
        ("PIN", "1234", None, "PIN_REQUIRED"),
    ],
)
def test_changing_the_pin(
    program: str, old: str | None, new: str | None, reason: str | None
) -> None:
    ledger = play(
        (Issue("A", 10, program, pin=old), ok()),
        *([(Redeem("A", 1, pin="0000"), no("PIN_INCORRECT"))] if old else []),
    )
    (changed,) = ledger.world.cards.values()
    envelope = ledger.translator.envelope(update("A").named("update"), 1)
    material = CodeMaterial("", b"", b"", "", 1, pin_hash=new and hash_pin(new))
    command = UpdateGiftCard(CardRef(id=changed.id), ("pin",), Policy())
    # Who takes the PIN away sends nothing that could be hashed.
    envelope = replace(envelope, command=command, material=material if new else None)
    if reason is not None:
        with pytest.raises(Refused, match=reason):
            change(ledger.world, envelope, command, 1)
        return
    decision = change(ledger.world, envelope, command, 1)
    assert decision.card_changes == [(changed, {"pin_hash": material.pin_hash, "pin_tries": {}})]


def test_an_update_leaves_alone_what_it_does_not_name() -> None:
    ledger = play(
        (Create("A", "MAX", valid_from="2026-02-01", valid_until="2026-06-30"), ok()),
        (update("A", valid_from="2026-03-01"), ok()),
        (Activate("A", 10), ok()),
        (update("A", batch="spring"), ok()),
        (Load("A", 91), no("MAX_BALANCE_EXCEEDED")),
    )
    (shown,) = ledger.world.cards.values()
    days = ("2026-03-01", "2026-06-30")
    assert (shown.valid_from, shown.valid_until) == days
    times = (shown.valid_from_time, shown.expire_time)
    assert times == (instant("2026-03-01T00:00:00Z"), instant("2026-07-01T00:00:00Z"))
    assert ledger.perform(update("A", valid_until="2026-03-31").named("last")).reason is None
    assert (shown.valid_from, shown.valid_until) == ("2026-03-01", "2026-03-31")
    assert shown.expire_time == instant("2026-04-01T00:00:00Z")
    assert ledger.perform(update("A", valid_from="2026-03-15").named("first")).reason is None
    assert (shown.valid_from, shown.valid_until) == ("2026-03-15", "2026-03-31")
    assert shown.valid_from_time == instant("2026-03-15T00:00:00Z")


def test_an_etag_is_the_same_in_every_release() -> None:
    """Whoever read a card before an update of the server changes it afterwards."""
    assert etag("0123456789abcdef0123456789abcdef", 7) == '"89abcdef-7"'


def test_updating_policy_and_validity() -> None:
    play(
        (Create("A"), ok()),
        (update("A", valid_until="2026-03-05", batch="spring"), ok()),
        (Activate("A", 10), ok()),
        (update("A", valid_until="2026-02-28"), no("CARD_EXPIRED")),
        (update("A", valid_until="2026-03-02"), ok()),
        At("2026-03-03T00:00:00Z"),
        (Redeem("A", 1), no("CARD_EXPIRED")),
        (update("A", valid_until=None), ok()),
        (Redeem("A", 1), ok(A=9)),
        (update("A", partial_redeem_allowed=False, return_allowed=True), ok()),
        (Redeem("A", 1), no("PARTIAL_REDEEM_NOT_ALLOWED")),
        (Close("A", "CASH_OUT"), ok(A=0)),
        (Update("A", ()), no("CARD_CLOSED")),
    )


# Practice


def test_training_never_reaches_a_live_card() -> None:
    """The same handle is another card in the other book, and no reference crosses."""
    live: list[Request] = [
        Issue("A", 100).named("issue"),
        Redeem("A", 10).named("sale"),
        Authorize("A", 10).named("hold"),
    ]
    ledger = MemoryLedger(instant(NOON))
    for request in live:
        assert ledger.perform(request).reason is None
    before = ledger.figures("A")
    for number, (operation, reason) in enumerate([
        (Redeem("A", 1), "GIFT_CARD_NOT_FOUND"),
        (Load("A", 1), "GIFT_CARD_NOT_FOUND"),
        (Lock("A"), "GIFT_CARD_NOT_FOUND"),
        (Capture("hold"), "HOLD_NOT_FOUND"),
        (Void("hold"), "HOLD_NOT_FOUND"),
        (Refund("sale", 1), "TRANSACTION_NOT_FOUND"),
        (Refund("sale", 1, by_name=True), "TRANSACTION_NOT_FOUND"),
        (Reverse("sale", by_name=True), "TRANSACTION_NOT_FOUND"),
        (Reverse("sale"), None),  # an id that practice has not seen
        (Issue("A", 5), None),
        (Redeem("A", 5), None),
    ]):  # fmt: skip
        outcome = ledger.perform(operation.training().named(f"practice {number}"))
        assert outcome.reason == reason, operation
    assert ledger.figures("A") == before
    assert ledger.figures("A", "TRAINING").balance == 0


def test_a_validity_that_no_calendar_holds_is_refused_as_malformed() -> None:
    """Found only with the program at hand, and yet it leaves no trace."""
    play(
        (Issue("A", 10, "SHORT", valid_from="9999-12-28"), no("INVALID_FIELD")),
        (Issue("B", 10, "MONTH", valid_from="9999-12-01"), no("INVALID_FIELD")),
        (Issue("A", 10, "SHORT", valid_from="9999-12-27"), ok(A=10)),
        (Redeem("A", 1), no("CARD_NOT_YET_VALID")),
    )


def test_a_program_that_wants_a_pin_sells_no_card_without() -> None:
    play(
        (Create("A", "PIN"), no("INVALID_FIELD")),
        (Issue("A", 10, "PIN"), no("INVALID_FIELD")),
        (Issue("A", 10, "PIN", pin="1234"), ok(A=10)),
    )
