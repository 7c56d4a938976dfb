"""CANCEL purely: what is looked up, what is undone, and what the till is told."""

from typing import Any

import pytest
from giftcard import v1

from compat_http.dialects import retail7
from compat_http.dialects.retail7.operations import CANCELLED_KINDS
from compat_http.settings import Settings
from compat_http.strict_json import write
from tests.compat.drive import drive, request
from tests.compat.retail7.messages import message
from tests.compat.retail7.test_operations import card, done, key, looked, usd

RETAIL7 = retail7.build(Settings())
NOT_SEEN = v1.LookupTransactionResponse(state=v1.LookupTransactionResponse.NOT_SEEN)
SEALED = v1.LookupTransactionResponse(state=v1.LookupTransactionResponse.SEALED)
UNNAMED = {"originalOperationType": ...}
TYPES = list(CANCELLED_KINDS)


def found(state: str = "APPROVED", last_four: str = "0001", amount: int = 500) -> Any:
    return v1.LookupTransactionResponse(
        state=state,  # type: ignore[arg-type]
        transaction=done(requested_amount=usd(amount)),
        gift_cards=[card(code_last_four=last_four)],
    )


def reversed_with(outcome: str, **facts: Any) -> v1.ReverseTransactionResponse:
    base: dict[str, Any] = {"outcome": outcome, "gift_cards": [card()], "transaction": done()}
    return v1.ReverseTransactionResponse(**{**base, **facts})


REVERSED = reversed_with("REVERSED")

#: What the message changes, upstream's answers, which original is reversed, and the outcome.
BY_ID: list[tuple[dict[str, Any], list[Any], str, str]] = [
    ({}, [found(), REVERSED], "REDEEM", "CANCELLED"),
    ({"amount": "5.00"}, [found(), REVERSED], "REDEEM", "CANCELLED"),
    ({"originalOperationType": "sell"}, [found(), REVERSED], "SELL", "CANCELLED"),
    ({}, [found(), reversed_with("ALREADY_REVERSED")], "REDEEM", "ALREADY_CANCELLED"),
    ({}, [found("REFUSED"), reversed_with("NOTHING_TO_REVERSE")], "REDEEM", "NOTHING_TO_CANCEL"),
    # Not seen yet: whatever arrives later is refused.
    ({}, [NOT_SEEN, reversed_with("TOMBSTONED", gift_cards=[])], "REDEEM", "NOTHING_TO_CANCEL"),
    ({}, [SEALED, reversed_with("NOTHING_TO_REVERSE", gift_cards=[])], "REDEEM",
     "NOTHING_TO_CANCEL"),
    # Of which type is not said: the one that was done, on this card.
    (UNNAMED, [NOT_SEEN, NOT_SEEN, found(), *[NOT_SEEN] * 3, REVERSED], "REDEEM", "CANCELLED"),
    (UNNAMED, [found(last_four="9999"), found(), *[NOT_SEEN] * 4, REVERSED], "LOAD", "CANCELLED"),
    (UNNAMED, [found("REFUSED"), NOT_SEEN, found(), *[NOT_SEEN] * 3, REVERSED], "REDEEM",
     "CANCELLED"),
    # None is there, but one arrives while the ids are sealed.
    (UNNAMED, [*[NOT_SEEN] * 6, SEALED, found(), *[SEALED] * 4, REVERSED], "LOAD", "CANCELLED"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "answers", "target", "outcome"), BY_ID, ids=range(len(BY_ID)))
def test_by_id(changes: dict[str, Any], answers: list[Any], target: str, outcome: str) -> None:
    asked, reply = drive(RETAIL7, request(message("CANCEL", **changes)), answers)
    last: Any = asked[-1].message
    assert last.original_request_id == key(target, "R0")
    assert last.request_id == key("CANCEL")
    assert (reply.status, reply.document["cancelOutcome"]) == (200, outcome)


def test_an_id_that_was_never_seen_is_sealed_for_every_type() -> None:
    answers = [NOT_SEEN] * 6 + [SEALED] * 6
    asked, reply = drive(RETAIL7, request(message("CANCEL", **UNNAMED)), answers)
    messages: list[Any] = [rpc.message for rpc in asked]
    expected = [(key(each, "R0"), seal) for seal in (False, True) for each in TYPES]
    assert [(each.request_id, each.seal) for each in messages] == expected
    assert reply.document["cancelOutcome"] == "NOTHING_TO_CANCEL"
    assert reply.document["responseText"] == "There was nothing to cancel."


@pytest.mark.parametrize(
    ("changes", "answers", "reason"),
    [
        ({}, [found(last_four="9999")], "ORIGINAL_MISMATCH"),
        ({"amount": "4.99"}, [found()], "ORIGINAL_MISMATCH"),
        (UNNAMED, [found(), found(), *[NOT_SEEN] * 4], "ORIGINAL_AMBIGUOUS"),
    ],
    ids=range(3),
)
def test_not_without_certainty(changes: dict[str, Any], answers: list[Any], reason: str) -> None:
    _, reply = drive(RETAIL7, request(message("CANCEL", **changes)), answers)
    assert (reply.status, reply.document["responseCode"]) == (409, reason)


def test_what_was_spent_is_told() -> None:
    answer = reversed_with("REVERSED", shortfall=usd(150))
    _, reply = drive(RETAIL7, request(message("CANCEL")), [found(), answer])
    assert b'"amount":5.00,"shortfall":1.50,' in write(reply.document)


# Without the original's id

BY_RECEIPT = {
    "originalRequestIDExternal": ..., "originalOperationType": ..., "amount": "5.00",
    "clientTrx": "T9",
}  # fmt: skip


def line(name: str, kind: str = "REDEEM", amount: int = 500, **facts: Any) -> v1.Transaction:
    base: dict[str, Any] = {
        "name": f"transactions/{name * 32}", "kind": kind, "approved_amount": usd(amount),
        "state": v1.Transaction.APPROVED,
    }  # fmt: skip
    return v1.Transaction(**{**base, **facts})


def page(*lines: v1.Transaction, more: str = "") -> v1.ListTransactionsResponse:
    return v1.ListTransactionsResponse(transactions=lines, next_page_token=more)


#: What the message changes, the transactions on the receipt, and the one undone or the outcome.
RECEIPTS: list[tuple[dict[str, Any], list[v1.Transaction], str]] = [
    ({}, [line("1")], "1"),
    ({}, [line("1"), line("2", amount=400)], "1"),
    ({}, [line("1"), line("2", "LOCK"), line("3", state=v1.Transaction.REFUSED)], "1"),
    ({}, [line("1"), line("2", reversal_transaction="transactions/x")], "1"),
    ({"originalOperationType": "SELL"}, [line("1"), line("2", "ISSUE")], "2"),
    ({"originalOperationType": "SELL"}, [line("1"), line("2", "ACTIVATE")], "2"),
    ({"originalOperationType": "LOAD"}, [line("1"), line("2", "LOAD")], "2"),
    ({}, [], "NOTHING_TO_CANCEL"),
    ({}, [line("2", amount=400)], "NOTHING_TO_CANCEL"),
    ({}, [line("1", reversal_transaction="transactions/x")], "ALREADY_CANCELLED"),
]


@pytest.mark.parametrize(("changes", "lines", "expected"), RECEIPTS, ids=range(len(RECEIPTS)))
def test_by_receipt(changes: dict[str, Any], lines: list[v1.Transaction], expected: str) -> None:
    answers: list[Any] = [looked(), page(*lines)]
    if expected.isdigit():
        answers.append(REVERSED)
    document = message("CANCEL", **{**BY_RECEIPT, **changes})
    asked, reply = drive(RETAIL7, request(document), answers)
    listed: Any = asked[1].message
    assert (listed.gift_card, listed.receipt) == (card().name, "T9")
    last: Any = asked[-1].message
    if expected.isdigit():
        assert last.transaction == f"transactions/{expected * 32}"
        expected = "CANCELLED"
    assert (reply.status, reply.document["cancelOutcome"]) == (200, expected)


def test_every_page_of_a_receipt_is_read() -> None:
    answers = [looked(), page(more="next"), page(line("1")), REVERSED]
    asked, _ = drive(RETAIL7, request(message("CANCEL", **BY_RECEIPT)), answers)
    second: Any = asked[2].message
    assert (second.page_token, second.receipt) == ("next", "T9")


@pytest.mark.parametrize(
    ("changes", "answers", "status", "reason"),
    [
        ({}, [looked(), page(line("1"), line("2"))], 409, "ORIGINAL_AMBIGUOUS"),
        ({"currencyCode": "EUR"}, [looked()], 422, "CURRENCY_MISMATCH"),
        ({}, ["GIFT_CARD_NOT_FOUND"], 404, "GIFT_CARD_NOT_FOUND"),
    ],
    ids=range(3),
)
def test_by_receipt_refused(
    changes: dict[str, Any], answers: list[Any], status: int, reason: str
) -> None:
    _, reply = drive(RETAIL7, request(message("CANCEL", **{**BY_RECEIPT, **changes})), answers)
    assert (reply.status, reply.document["responseCode"]) == (status, reason)
