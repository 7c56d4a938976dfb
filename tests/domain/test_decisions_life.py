"""The life of a card, and which of several reasons a refusal gives."""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import pytest

from server.domain import commands
from server.domain.decide import RULES
from tests.memory_ledger import MemoryLedger
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
    Request,
    Reverse,
    Transfer,
    Unlock,
    Void,
    update,
)
from tests.stories import NOON, At, Line, Wait, card, instant, no, ok, play

#: How card A comes into each state, with 100 on it where the state can have value. Card B is
#: active. "hold" and "sale" are an open hold on A and a redemption from it, made before.
STATES: dict[str, tuple[Line, ...]] = {
    "INACTIVE": ((Create("A"), ok()),),
    "ACTIVE": (),
    "LOCKED": ((Lock("A"), ok()),),
    "CLOSED": ((Close("A", "BREAKAGE"), ok()),),
    "VOIDED": ((Create("A").named("a"), ok()), (Reverse("a"), ok(A=card(0, state="VOIDED")))),
}
#: What each operation on card A answers in each state: "" is yes.
MATRIX: dict[str, tuple[Operation, dict[str, str]]] = {}


def in_states(
    name: str, operation: Operation, inactive: str, active: str, locked: str, closed: str,
    voided: str,
) -> None:  # fmt: skip
    answers = (inactive, active, locked, closed, voided)
    MATRIX[name] = (operation, dict(zip(STATES, answers, strict=True)))


I, L, C, V = "CARD_INACTIVE", "CARD_LOCKED", "CARD_CLOSED", "CARD_VOIDED"  # noqa: E741
# fmt: off
in_states("create",        Create("A"),          *["CODE_EXISTS"] * 5)
in_states("issue",         Issue("A", 5),        *["CODE_EXISTS"] * 5)
in_states("activate",      Activate("A", 100),   "", "CARD_ALREADY_ACTIVE", L, C, V)
in_states("load",          Load("A", 5),         I,  "", L,  C,  V)
in_states("redeem",        Redeem("A", 5),       I,  "", L,  C,  V)
in_states("redeem many",   RedeemMany(("B", "A"), 5), I, "", L, C, V)
in_states("authorize",     Authorize("A", 5),    I,  "", L,  C,  V)
in_states("lock",          Lock("A"),            I,  "", "", C,  V)
in_states("unlock",        Unlock("A"),          I,  "", "", C,  V)
in_states("close",         Close("A", "BREAKAGE"), "", "", "", "", V)
in_states("transfer from", Transfer("A", "B"),   I,  "", "", C,  V)
in_states("transfer to",   Transfer("B", "A"),   I,  "", L,  C,  V)
in_states("close into",    Close("B", "TRANSFER", "A"), I, "", L, C, V)
in_states("add",           Adjust("A", 5),       I,  "", "", C,  V)
in_states("take",          Adjust("A", -5),      I,  "", "", C,  V)
in_states("update",        update("A", batch="x"), "", "", "", C, V)
# fmt: on


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", MATRIX)
def test_state_and_operation(name: str, state: str) -> None:
    operation, answers = MATRIX[name]
    lines: list[Line] = [(Issue("B", 100), ok())]
    if state in ("ACTIVE", "LOCKED", "CLOSED"):
        lines.append((Issue("A", 100), ok()))
    lines += STATES[state]
    reason = answers[state]
    play(*lines, (operation, no(reason) if reason else ok()))


def after(state: str, *lines: Line) -> tuple[Line, ...]:
    """Card A had a hold and a redemption, and is in this state now."""
    opening = (Issue("A", 100), ok()), (Redeem("A", 10).named("sale"), ok())
    hold = (Authorize("A", 20).named("hold"), ok(A=card(90, held=20)))
    return (*opening, hold, *STATES[state], *lines)


@pytest.mark.parametrize("state", ["ACTIVE", "LOCKED"])
@pytest.mark.parametrize(
    ("operation", "balance", "held"),
    [
        (Capture("hold"), 70, 0),
        (Capture("hold", 5), 85, 15),
        (Void("hold"), 90, 0),
        (Refund("sale", 10), 100, 20),
        (Reverse("sale"), 100, 20),
        (Reverse("hold"), 90, 0),
    ],
    ids=str,
)
def test_what_was_promised_works_on_a_locked_card(
    state: str, operation: Operation, balance: int, held: int
) -> None:
    play(*after(state, (operation, ok(A=card(balance, held=held, state=state)))))


def test_every_rule_has_a_line() -> None:
    operations = {
        "create": commands.CreateGiftCard, "issue": commands.IssueGiftCard,
        "activate": commands.ActivateGiftCard, "load": commands.LoadGiftCard,
        "redeem": commands.RedeemGiftCard, "redeem many": commands.RedeemGiftCards,
        "authorize": commands.AuthorizeGiftCard, "lock": commands.LockGiftCard,
        "unlock": commands.UnlockGiftCard, "close": commands.CloseGiftCard,
        "transfer from": commands.TransferBalance, "add": commands.AdjustGiftCard,
        "update": commands.UpdateGiftCard,
    }  # fmt: skip
    by_transaction = {
        commands.RefundGiftCard, commands.CaptureHold, commands.VoidHold,
        commands.ReverseTransaction, commands.Administer, commands.CheckPin,
        commands.ReserveCodes, commands.ReleaseCodes,
    }  # fmt: skip
    of_customers = {
        commands.CreateCustomer, commands.UpdateCustomer, commands.EarnPoints,
        commands.AdjustPoints, commands.AuthorizePoints,
    }  # fmt: skip
    assert operations.keys() <= MATRIX.keys()
    assert RULES.keys() == set(operations.values()) | by_transaction | of_customers


def test_states_come_and_go() -> None:
    play(
        (Create("A"), ok(A=card(0, state="INACTIVE"))),
        (Activate("A", 40), ok(A=card(40, state="ACTIVE"), approved=40)),
        (Lock("A"), ok(A=card(40, state="LOCKED"))),
        (Lock("A"), ok(A=card(40, state="LOCKED"))),
        (Unlock("A"), ok(A=card(40, state="ACTIVE"))),
        (Unlock("A"), ok(A=card(40, state="ACTIVE"))),
        (Close("A"), no("BALANCE_NOT_ZERO", A=card(40, state="ACTIVE"))),
        (Redeem("A", 40), ok(A=0)),
        (Close("A"), ok(A=card(0, state="CLOSED"), approved=0)),
        (Close("A"), ok(A=card(0, state="CLOSED"))),
    )


# Precedence. Each reason has a condition that alone brings it about; then each pair of conditions
# must give the reason that is published earlier.


@dataclass(frozen=True, slots=True)
class Condition:
    """What card A is like, and what is asked of it."""

    book: str = "LIVE"
    program: str = "GC"
    pin: str | None = None
    locked: bool = False
    valid_until: str | None = None
    held: bool = False
    reload_allowed: bool = True
    max_balance: int | None = None
    unit: str = "USD"
    amount: int = 20


NOT_FOUND: dict[str, dict[str, Any]] = {"GIFT_CARD_NOT_FOUND": {"book": "TRAINING"}}
NO_PIN: dict[str, dict[str, Any]] = {"PIN_REQUIRED": {"pin": "1234"}}
LOCKED: dict[str, dict[str, Any]] = {"CARD_LOCKED": {"locked": True}}
EXPIRED: dict[str, dict[str, Any]] = {"CARD_EXPIRED": {"valid_until": "2026-03-02"}}
CURRENCY: dict[str, dict[str, Any]] = {"CURRENCY_MISMATCH": {"unit": "EUR"}}
HELD: dict[str, dict[str, Any]] = {"HELD_BY_OTHER": {"held": True}}
DYNAMIC: dict[str, dict[str, Any]] = {"HOLDS_NOT_ALLOWED": {"program": "DYN"}}
ONCE: dict[str, dict[str, Any]] = {"RELOAD_NOT_ALLOWED": {"reload_allowed": False}}
FULL: dict[str, dict[str, Any]] = {"MAX_BALANCE_EXCEEDED": {"max_balance": 60}}
FUNDS: dict[str, dict[str, Any]] = {"INSUFFICIENT_FUNDS": {"amount": 1000}}
TOO_LOW: dict[str, dict[str, Any]] = {"INSUFFICIENT_FUNDS": {"amount": -1000}}
BEGIN = NOT_FOUND | NO_PIN | LOCKED | EXPIRED | CURRENCY
#: For each operation its reasons in the published order.
PRECEDENCE = {
    "load": BEGIN | ONCE | FULL,
    "redeem": BEGIN | HELD | FUNDS,
    "redeem many": BEGIN | HELD | FUNDS,
    "authorize": BEGIN | HELD | DYNAMIC | FUNDS,
    "transfer": NOT_FOUND | NO_PIN | EXPIRED | CURRENCY | HELD | FUNDS,
    "adjust": NOT_FOUND | CURRENCY | TOO_LOW,
}
PAIRS = [
    (operation, first, second)
    for operation, reasons in PRECEDENCE.items()
    for first, second in combinations_with_replacement(reasons, 2)
    if {first, second} != {"HELD_BY_OTHER", "HOLDS_NOT_ALLOWED"}  # one excludes the other
]


def refusal(operation: str, condition: Condition) -> str | None:
    """The reason that the operation gives when card A is like this."""
    ledger = MemoryLedger(instant(NOON))
    pin = condition.pin
    issue = Issue("A", 50, condition.program, pin=pin, valid_until=condition.valid_until)
    changes = {name: getattr(condition, name) for name in ("reload_allowed", "max_balance")}
    steps = [Request(issue), Request(Issue("B", 50)), Request(update("A", **changes))]
    if condition.held:
        steps.append(Authorize("A", 10, exclusive=True, pin=pin, seconds=10**9).by("web"))
    if condition.locked:
        steps.append(Request(Lock("A")))
    for number, step in enumerate(steps):
        assert ledger.perform(step.named(f"step {number}")).reason is None
    if condition.valid_until is not None:
        ledger.clock.now = instant("2026-03-03T00:00:00Z")
    amount, unit = condition.amount, condition.unit
    operations: dict[str, Operation] = {
        "load": Load("A", amount, unit),
        "redeem": Redeem("A", amount, unit=unit),
        "redeem many": RedeemMany(("A",), amount, unit=unit),
        "authorize": Authorize("A", amount, unit=unit),
        "transfer": Transfer("A", "B", amount, unit=unit),
        "adjust": Adjust("A", amount, unit=unit),
    }
    return ledger.perform(Request(operations[operation], "asked", book=condition.book)).reason


@pytest.mark.parametrize(
    ("operation", "first", "second"), PAIRS, ids=[" / ".join(pair) for pair in PAIRS]
)
def test_the_earlier_reason_is_given(operation: str, first: str, second: str) -> None:
    reasons = PRECEDENCE[operation]
    both = Condition(**(reasons[second] | reasons[first]))
    assert refusal(operation, both) == first


def test_validity_comes_before_currency_when_a_card_is_sold() -> None:
    play(
        (Create("A", valid_until="2026-03-01"), ok()),
        Wait(86400),
        (Activate("A", 1, "EUR"), no("CARD_EXPIRED", A=card(0, state="INACTIVE"))),
    )


def test_currency_comes_before_the_program_and_that_before_limits() -> None:
    play(
        (Issue("A", 9, "RANGE", "EUR"), no("CURRENCY_MISMATCH")),
        (Issue("A", 9, "RANGE", max_balance=5), no("AMOUNT_BELOW_MINIMUM")),
        (Issue("A", 51, "RANGE", max_balance=5), no("AMOUNT_ABOVE_MAXIMUM")),
        (Issue("A", 10, "RANGE", max_balance=5), no("MAX_BALANCE_EXCEEDED")),
    )


def test_the_state_of_holds_comes_before_currency_and_funds() -> None:
    play(
        (Issue("A", 50), ok()),
        (Authorize("A", None).named("h"), ok()),
        (Authorize("A", 60, exclusive=True), no("OPEN_HOLDS")),
        (Capture("h", 99, unit="EUR"), no("CURRENCY_MISMATCH")),
        (Void("h"), ok()),
        (Capture("h", 99, unit="EUR"), no("HOLD_VOIDED")),
    )


@pytest.mark.parametrize("state", ["INACTIVE", "LOCKED", "CLOSED", "VOIDED"])
def test_a_target_that_cannot_take_is_named_before_the_funds(state: str) -> None:
    start: tuple[Line, ...] = ((Issue("B", 10), ok()),)
    if state in ("LOCKED", "CLOSED"):
        start += ((Issue("A", 10), ok()),)
    play(*start, *STATES[state], (Transfer("B", "A", 99), no(f"CARD_{state}")))


def test_a_locked_card_is_named_before_an_expired_one() -> None:
    play(
        (Issue("A", 10, valid_until="2026-03-01"), ok()),
        (Issue("B", 10), ok()),
        (Lock("B"), ok()),
        At("2026-03-02T00:00:00Z"),
        (RedeemMany(("A", "B"), 5), no("CARD_LOCKED")),
    )


def test_a_refund_names_the_closed_card_before_the_cap() -> None:
    play(
        (Issue("A", 10), ok()),
        (Redeem("A", 10).named("sale"), ok()),
        (Close("A"), ok()),
        (Refund("sale", 11), no("CARD_CLOSED")),
    )


#: Of two cards: what is wrong with each, what is asked, and the reason that comes first.
TWO_CARDS: list[tuple[str, Operation, str]] = [
    ("A held, E euro", RedeemMany(("A", "E"), 5), "CURRENCY_MISMATCH"),
    ("A expired, B locked", Transfer("A", "B", 5), "CARD_LOCKED"),
    ("A euro, B expired", Transfer("E", "B", 5), "CARD_EXPIRED"),
    ("B locked", Transfer("A", "B", 5, unit="EUR"), "CARD_LOCKED"),
    ("A held, B full", Transfer("A", "B", 50), "HELD_BY_OTHER"),
    ("A held, B full", Transfer("A", "B", close_source=True), "HELD_BY_OTHER"),
    ("A expired", Transfer("A", "A", 5), "SAME_CARD"),
    ("A voided", Close("A", "TRANSFER", "nobody"), "GIFT_CARD_NOT_FOUND"),
    ("A expired, B locked", Close("A", "TRANSFER", "B"), "CARD_LOCKED"),
    ("A held, B locked", Close("A", "TRANSFER", "B"), "CARD_LOCKED"),
    ("A held, B expired", Close("A", "TRANSFER", "B"), "CARD_EXPIRED"),
    ("A held, E euro", Close("A", "TRANSFER", "E"), "CURRENCY_MISMATCH"),
    ("A held, B full", Close("A", "TRANSFER", "B"), "OPEN_HOLDS"),
    ("B full", Close("A", "TRANSFER", "B"), "MAX_BALANCE_EXCEEDED"),
    ("A held", Close("A", "TRANSFER", "A"), "SAME_CARD"),
    ("A held", Close("A", "CASH_OUT"), "OPEN_HOLDS"),
]


@pytest.mark.parametrize(
    ("wrong", "operation", "reason"),
    TWO_CARDS,
    ids=[f"{wrong} / {operation}" for wrong, operation, _ in TWO_CARDS],
)
def test_the_earlier_reason_is_given_whichever_card_has_it(
    wrong: str, operation: Operation, reason: str
) -> None:
    until = {
        handle: "2026-03-02" if f"{handle} expired" in wrong else None for handle in ("A", "B", "E")
    }
    lines: list[Line] = [
        (Issue(handle, 50, program, unit, valid_until=until[handle]).named(f"issue-{handle}"), ok())
        for handle, program, unit in (("A", "GC", "USD"), ("B", "GC", "USD"), ("E", "EURO", "EUR"))
    ]
    wrongs: dict[str, Line] = {
        "A held": (Authorize("A", 10, exclusive=True, seconds=10**9).by("web"), ok()),
        "B locked": (Lock("B"), ok()),
        "B full": (update("B", max_balance=60), ok()),
        "A voided": (Reverse("issue-A"), ok()),
    }
    lines += [line for name, line in wrongs.items() if name in wrong]
    play(*lines, At("2026-03-03T00:00:00Z"), (operation, no(reason)))
