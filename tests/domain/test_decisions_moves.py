"""Closing cards, moving value between them, and correcting balances."""

from server.domain.commands import Location
from tests.memory_ledger import MemoryLedger
from tests.operations import (
    Adjust,
    Authorize,
    Capture,
    Close,
    Issue,
    Load,
    Lock,
    Operation,
    Redeem,
    Transfer,
)
from tests.stories import NOON, At, card, instant, no, ok, play


def test_closing_with_each_disposition() -> None:
    play(
        (Issue("A", 10), ok()),
        (Close("A"), no("BALANCE_NOT_ZERO", A=card(10, state="ACTIVE"))),
        (Close("A", "CASH_OUT"), no("RETURN_NOT_ALLOWED", A=10)),
        (Close("A", "BREAKAGE"), ok(A=card(0, state="CLOSED"), approved=10)),
    )
    play(
        (Issue("A", 10, "CASH"), ok()),
        (Close("A", "CASH_OUT"), ok(A=card(0, state="CLOSED"), approved=10)),
    )
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 95, "MAX"), ok()),
        (Close("A", "TRANSFER", "A"), no("SAME_CARD", A=10)),
        (Close("A", "TRANSFER", "X"), no("GIFT_CARD_NOT_FOUND", A=10)),
        (Close("A", "TRANSFER", "B"), no("MAX_BALANCE_EXCEEDED", A=10, B=95)),
        (Redeem("B", 5), ok()),
        (Close("A", "TRANSFER", "B"), ok(A=card(0, state="CLOSED"), B=100)),
    )


def test_nothing_stays_on_a_closed_card() -> None:
    play(
        (Issue("A", 10, "CASH"), ok()),
        (Load("A", 10, tranche_until="2026-03-01"), ok(A=20)),
        (Authorize("A", 5, seconds=60).named("h"), ok()),
        (Close("A", "CASH_OUT"), no("OPEN_HOLDS")),
        At("2026-03-02T00:00:00Z"),
        # The books give up the expired tranche and the expired hold with the rest.
        (Close("A", "CASH_OUT"), ok(A=card(0, held=0, state="CLOSED", tranches=()), approved=20)),
    )
    play(
        (Issue("A", 10, tranche_until="2026-03-01"), ok(A=10)),
        At("2026-03-02T00:00:00Z"),
        (Close("A"), ok(A=card(0, state="CLOSED", tranches=()))),
    )


def test_closing_an_expired_card_does_not_move_its_value() -> None:
    play(
        (Issue("A", 10, valid_until="2026-03-01"), ok()),
        (Issue("B", 10), ok()),
        At("2026-03-02T00:00:00Z"),
        (Close("A", "TRANSFER", "B"), no("CARD_EXPIRED", A=10, B=10)),
    )


# Moving


def test_value_of_an_expired_card_does_not_move() -> None:
    play(
        (Issue("A", 10, valid_until="2026-03-01"), ok()),
        (Issue("B", 10), ok()),
        At("2026-03-02T00:00:00Z"),
        (Transfer("A", "B"), no("CARD_EXPIRED", A=10, B=10)),
    )


def test_moving_value_keeps_origin_and_expiry() -> None:
    play(
        (Issue("A", 10), ok()),
        (Load("A", 10, origin="PROMO", tranche_until="2026-03-03"), ok()),
        (Issue("B", 5), ok()),
        (Transfer("A", "B", 12), ok(
            approved=12,
            A=card(8, tranches=(("PAID", 8),)),
            B=card(17, tranches=(("PAID", 7), ("PROMO", 10))))),
        (Transfer("A", "B", 9), no(
            "INSUFFICIENT_FUNDS", A=8, B=17, available_minor_units=8, requested_minor_units=9)),
        (Transfer("A", "A", 1), no("SAME_CARD")),
        (Transfer("A", "B", 1, close_source=True), no("BALANCE_NOT_ZERO", balance_minor_units=7)),
        At("2026-03-04T00:00:00Z"),
        (Redeem("B", 8), no("INSUFFICIENT_FUNDS", B=7)),
        (Transfer("B", "A"), ok(A=15, B=card(0, state="ACTIVE"))),
        (Transfer("B", "A"), no("NO_BALANCE")),
        (Transfer("B", "A", close_source=True), ok(A=15, B=card(0, state="CLOSED", tranches=()))),
    )  # fmt: skip


def test_replacing_a_lost_card() -> None:
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 1), ok()),
        (Lock("A"), ok()),
        (Authorize("B", 1).named("h"), ok()),
        (Transfer("B", "A"), no("CARD_LOCKED")),
        (Transfer("A", "B", close_source=True), ok(A=card(0, state="CLOSED"), B=11)),
        (Redeem("A", 1), no("CARD_CLOSED")),
        (Transfer("B", "A"), no("CARD_CLOSED", B=11)),
    )


def test_held_value_does_not_move() -> None:
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 1), ok()),
        (Authorize("A", 4).named("h"), ok()),
        (Transfer("A", "B", close_source=True), no("OPEN_HOLDS")),
        (Transfer("A", "B", 7), no("INSUFFICIENT_FUNDS")),
        (Transfer("A", "B"), ok(A=card(4, held=4), B=7)),
        (Capture("h"), ok(A=0)),
    )
    play(
        (Issue("A", 10), ok()),
        (Issue("B", 1, "EURO", "EUR"), ok()),
        (Transfer("A", "B"), no("CURRENCY_MISMATCH")),
        (Transfer("A", "B", 1, unit="EUR"), no("CURRENCY_MISMATCH")),
        (Transfer("B", "A"), no(
            "CURRENCY_MISMATCH", card_currency="USD", requested_currency="EUR")),
        (Authorize("A", 4, exclusive=True).by("web"), ok()),
        (Issue("C", 1), ok()),
        (Transfer("A", "C"), no("HELD_BY_OTHER")),
    )  # fmt: skip


# Correcting


def test_adjusting() -> None:
    play(
        (Issue("A", 10, "MAX"), ok()),
        (Adjust("A", 5), ok(A=15, approved=5)),
        (Adjust("A", -6), ok(A=9, approved=-6)),
        (Adjust("A", -10), no("INSUFFICIENT_FUNDS", A=9)),
        (Adjust("A", 92), no("MAX_BALANCE_EXCEEDED", A=9)),
        (Adjust("A", 1, "EUR"), no("CURRENCY_MISMATCH")),
        (Authorize("A", 4), ok()),
        (Adjust("A", -6), no("INSUFFICIENT_FUNDS", A=9)),
        (Adjust("A", -5), ok(A=card(4, held=4))),
        (Lock("A"), ok()),
        (Adjust("A", 1), ok(A=card(5, held=4, state="LOCKED"))),
        (Adjust("A", 0), ok(A=card(5, held=4, state="LOCKED"), approved=0)),
    )


def test_value_is_owed_by_who_sold_it_wherever_it_goes() -> None:
    """One tranche for each debtor; a transfer changes the card, not who owes."""
    ledger = MemoryLedger(instant(NOON))
    steps: list[tuple[str, Operation]] = [
        ("west", Issue("A", 50)),
        ("east", Load("A", 30)),
        ("west", Load("A", 5)),
        ("east", Redeem("A", 55)),
        ("east", Issue("B", 1)),
        ("west", Transfer("A", "B")),
    ]
    for number, (entity, operation) in enumerate(steps):
        ledger.translator.location = Location("shop", entity=entity)
        assert ledger.perform(operation.named(str(number))).reason is None
    owed = {
        handle: {account.entity: account.balance for account in card.accounts}
        for card, handle in (
            (card, ledger.translator.handles[card.id][0]) for card in ledger.world.cards.values()
        )
    }
    assert owed == {"A": {"west": 0, "east": 0}, "B": {"east": 31}}
