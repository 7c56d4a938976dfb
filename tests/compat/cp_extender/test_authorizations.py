"""Authorize, Confirm and Cancel, purely."""

from typing import Any

import pytest
from giftcard import v1

from compat_http.dialects.cp_extender import answers
from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.cp_extender.steps import (
    APPROVED,
    AUTH_CODE,
    HOLD,
    HOLD_ID,
    REFUSED,
    SEALED,
    UNDONE,
    UNSEEN,
    ask,
    done,
    found,
    hold,
    points,
    usd,
)

REFERENCE = v1.GiftCardReference(code="WEB-9198262557214413")
CARD = {
    "Type": "giftcard", "Ref": "WEB-9198262557214413", "SaleId": "WB-100-10259",
    "RequestedAmount": n("40.00"),
}  # fmt: skip
LOYALTY = {"Type": "loyalty", "Ref": "2059378440", "SaleId": "WB-100-10259", "RequestedPoints": 500}
HELD = v1.AuthorizeGiftCardResponse(
    transaction=done(), hold=hold(), approved_amount=usd(4000), remaining_due=usd(0)
)
HELD_POINTS = v1.AuthorizePointsResponse(
    transaction=done(), hold=hold(gift_card="", customer="customers/2059378440"),
    approved_points=300,
)  # fmt: skip
OPEN = hold()
ENDED = hold(state=v1.Hold.CAPTURED)

# Authorize


def test_authorize_as_printed() -> None:
    asked, reply = ask("Giftcard.Authorize", CARD, [found(), UNSEEN, HELD])
    request_id = asked[1].message.request_id
    assert [rpc.message for rpc in asked] == [
        v1.LookupGiftCardRequest(gift_card=REFERENCE),
        v1.LookupTransactionRequest(request_id=request_id),
        v1.AuthorizeGiftCardRequest(
            gift_card=REFERENCE, amount=usd(4000), allow_partial=True,
            sale_reference="WB-100-10259", context=v1.CallContext(receipt="WB-100-10259"),
            request_id=request_id,
        ),
    ]  # fmt: skip
    assert asked[2].client_key
    assert reply.status == 200
    assert write(reply.document).decode() == (
        '{"RequestId":"0cb3fb5b-6b65-4d52-860e-33297f97fa2e","Type":"giftcard",'
        f'"AuthorizedAmount":40.00,"AuthCode":"{AUTH_CODE}"}}'
    )


@pytest.mark.parametrize("route", ["Giftcard.Authorize", "Loyalty.Authorize"])
def test_authorize_points(route: str) -> None:
    asked, reply = ask(route, LOYALTY, [UNSEEN, HELD_POINTS])
    assert asked[1].message == v1.AuthorizePointsRequest(
        customer="customers/2059378440", points=500, allow_partial=True,
        sale_reference="WB-100-10259", context=v1.CallContext(receipt="WB-100-10259"),
        request_id=asked[0].message.request_id,
    )  # fmt: skip
    assert "2059378440" not in asked[1].message.request_id
    assert reply.document["Type"] == "loyalty"
    assert reply.document["AuthorizedAmount"] == 300


def test_loyalty_needs_no_type_at_its_own_path() -> None:
    _, reply = ask("Loyalty.Authorize", {**LOYALTY, "Type": None}, [UNSEEN, HELD_POINTS])
    assert (reply.status, reply.document["Type"]) == (200, "loyalty")
    _, reply = ask("Loyalty.Authorize", CARD)
    assert (reply.status, reply.document["Message"]) == (400, "Bad Request")


#: What is known of earlier tries, and the number of the one that is sent.
TRIES: list[tuple[list[Any], int]] = [
    ([UNSEEN], 0),
    # While it is open, the same again; sent again, so that a waiting reversal is taken back.
    ([APPROVED, UNSEEN, OPEN], 0),
    ([APPROVED, UNSEEN, ENDED], 1),
    ([APPROVED, UNSEEN, hold(state=v1.Hold.VOIDED)], 1),
    ([APPROVED, UNSEEN, hold(state=v1.Hold.EXPIRED)], 1),
    ([UNDONE, UNSEEN], 1),
    ([REFUSED, UNSEEN], 1),
    ([SEALED, UNSEEN], 1),
    ([APPROVED, APPROVED, UNSEEN, UNSEEN, OPEN], 1),
    ([APPROVED, REFUSED, UNSEEN, APPROVED, ENDED], 3),
]


@pytest.mark.parametrize(("known", "number"), TRIES)
def test_a_repeat_while_it_is_open_is_the_same(known: list[Any], number: int) -> None:
    asked, _ = ask("Giftcard.Authorize", CARD, [found(), *known, HELD])
    assert asked[-1].message.request_id == asked[1].message.request_id[:-1] + str(number)


#: Changes of the call: whether it is the same one.
SAME: list[tuple[dict[str, Any], bool]] = [
    ({"RequestedAmount": "40"}, True),
    ({"ref": "WEB-9198262557214413", "Type": "GiftCard"}, True),
    ({"SaleId": "WB-100-10260"}, False),
    ({"RequestedAmount": 41}, False),
]


@pytest.mark.parametrize(("changes", "same"), SAME)
def test_what_makes_two_authorizations_the_same(changes: dict[str, Any], same: bool) -> None:
    ids = set()
    for each in ({}, changes):
        asked, _ = ask("Giftcard.Authorize", {**CARD, **each}, [found(), UNSEEN, HELD])
        ids.add(asked[-1].message.request_id)
    assert (len(ids) == 1) == same


LOST = "No answer in time. If it is not sent again, it is taken back."
REQUIRED = "Required: Type, Ref, SaleId, and (RequestedAmount or RequestedPoints)"

#: Changes of CARD, what upstream says, and the error.
NOT_AUTHORIZED: list[tuple[dict[str, Any], list[Any], int, str]] = [
    ({"Type": ...}, [], 400, "Type is required"),
    ({"Type": "", "Ref": ...}, [], 400, "Type is required"),
    ({"Type": "cash"}, [], 400, "Bad Request"),
    ({"Ref": ...}, [], 400, REQUIRED),
    ({"SaleId": ""}, [], 400, REQUIRED),
    ({"RequestedAmount": None}, [], 400, REQUIRED),
    ({"RequestedAmount": ..., "RequestedPoints": 5}, [], 400, REQUIRED),
    ({"Type": "loyalty"}, [], 400, REQUIRED),
    ({"RequestedAmount": 0}, [found()], 400, "Bad Request"),
    ({"RequestedAmount": -4}, [found()], 400, "Bad Request"),
    ({"RequestedAmount": "4,00"}, [found()], 400, "Bad Request"),
    ({"Ref": "x" * 41}, [], 404, "Id not found"),
    ({}, ["GIFT_CARD_NOT_FOUND"], 404, "Id not found"),
    ({}, [found(), UNSEEN, "CARD_VOIDED"], 400, "GiftCard has been voided"),
    ({}, [found(), UNSEEN, "CARD_CLOSED"], 400, "GiftCard has been voided"),
    ({}, [found(), UNSEEN, "CARD_EXPIRED"], 400, "GiftCard has expired"),
    ({}, [found(), UNSEEN, "NO_BALANCE"], 400, "No Balance Remaining"),
    ({}, [found(), UNSEEN, "CARD_LOCKED"], 400, "GiftCard is locked"),
    ({}, [found(), UNSEEN, "INTERNAL"], 500, "Internal Server Error"),
    ({}, [found(), UNSEEN, "OUTCOME_UNKNOWN"], 504,
     LOST),
    ({**LOYALTY}, [UNSEEN, "INSUFFICIENT_POINTS"], 400, "No Balance Remaining"),
    ({**LOYALTY}, [UNSEEN, "CUSTOMER_NOT_FOUND"], 404, "Customer Not Found"),
    ({**LOYALTY, "Ref": "/"}, [], 404, "Customer Not Found"),
    ({**LOYALTY, "RequestedPoints": 0}, [], 400, "Bad Request"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "status", "text"), NOT_AUTHORIZED)
def test_authorize_refused(
    changes: dict[str, Any], said: list[Any], status: int, text: str
) -> None:
    members = {name: value for name, value in {**CARD, **changes}.items() if value is not ...}
    _, reply = ask("Giftcard.Authorize", members, said)
    assert (reply.status, reply.document["Message"]) == (status, text)


# The AuthCode


def test_auth_code_is_the_name_of_the_hold() -> None:
    assert answers.auth_code(HOLD) == AUTH_CODE
    assert answers.hold_name(AUTH_CODE) == answers.hold_name(AUTH_CODE.lower()) == HOLD


# Confirm and Cancel

SETTLE = {"Ref": "WEB-9198262557214413", "AuthCode": AUTH_CODE}
RECEIPT = v1.CallContext(receipt="S1")
CAPTURED = v1.CaptureHoldResponse(transaction=done(), hold=ENDED)
VOIDED = v1.VoidHoldResponse(transaction=done(), hold=hold(state=v1.Hold.VOIDED))
POINTS_HOLD = hold(gift_card="", customer="customers/2059378440", remaining_amount=points(300))


def test_confirm() -> None:
    asked, reply = ask("Authorize.Confirm", SETTLE, [OPEN, found(), UNSEEN, CAPTURED])
    assert [rpc.message for rpc in asked] == [
        v1.GetHoldRequest(name=HOLD),
        v1.LookupGiftCardRequest(gift_card=REFERENCE),
        v1.LookupTransactionRequest(request_id=f"cp/confirm/{HOLD_ID}/0"),
        v1.CaptureHoldRequest(
            name=HOLD, final=True, context=RECEIPT, request_id=f"cp/confirm/{HOLD_ID}/0"
        ),
    ]
    assert asked[-1].client_key
    assert (reply.status, reply.document, reply.content) == (204, None, b"")


def test_cancel() -> None:
    asked, reply = ask("Authorize.Cancel", SETTLE, [OPEN, found(), UNSEEN, VOIDED])
    assert asked[-1].message == v1.VoidHoldRequest(
        name=HOLD, context=RECEIPT, request_id=f"cp/cancel/{HOLD_ID}/0"
    )
    assert asked[-1].client_key
    assert (reply.status, reply.document, reply.content) == (204, None, b"")


@pytest.mark.parametrize(("route", "last"), [("Confirm", CAPTURED), ("Cancel", VOIDED)])
def test_points_are_settled_alike(route: str, last: Any) -> None:
    members = {"Ref": "2059378440", "AuthCode": AUTH_CODE}
    _, reply = ask(f"Authorize.{route}", members, [POINTS_HOLD, UNSEEN, last])
    assert reply.status == 204


#: What is known of earlier tries, and the number of the one that is sent.
SETTLED: list[tuple[list[Any], int]] = [
    ([UNSEEN], 0),
    ([APPROVED, UNSEEN], 0),
    ([REFUSED, UNSEEN], 0),
    # Taken back before it arrived, so the hold may still be open.
    ([SEALED, UNSEEN], 1),
]


@pytest.mark.parametrize(("known", "number"), SETTLED)
@pytest.mark.parametrize(("route", "last"), [("confirm", CAPTURED), ("cancel", VOIDED)])
def test_a_repeat_of_the_same_outcome(route: str, last: Any, known: list[Any], number: int) -> None:
    name = f"Authorize.{route.capitalize()}"
    asked, reply = ask(name, SETTLE, [OPEN, found(), *known, last])
    assert asked[-1].message.request_id == f"cp/{route}/{HOLD_ID}/{number}"
    assert reply.status == 204


CONFIRMED_ALREADY = "Authorization has already been confirmed"
CANCELLED = "Authorization has been cancelled"
UNKNOWN = "Authorization not found"

#: What both say alike: changes of SETTLE, what upstream says, and what is answered.
ALIKE: list[tuple[dict[str, Any], list[Any], int, str]] = [
    ({"AuthCode": ""}, [], 400, "Bad Request"),
    ({"Ref": None}, [], 400, "Bad Request"),
    ({"AuthCode": "GDA17"}, [], 404, UNKNOWN),
    ({"AuthCode": "X" + AUTH_CODE[1:]}, [], 404, UNKNOWN),
    ({}, ["HOLD_NOT_FOUND"], 404, UNKNOWN),
    # Of another card, or of nobody: they look alike.
    ({}, [OPEN, found(name="giftCards/" + "d" * 32)], 404, UNKNOWN),
    ({}, [OPEN, "GIFT_CARD_NOT_FOUND"], 404, UNKNOWN),
    ({"Ref": "ü"}, [OPEN], 404, UNKNOWN),
    ({"Ref": "2059378441"}, [POINTS_HOLD], 404, UNKNOWN),
    ({}, [OPEN, "UNAVAILABLE"], 503, "The service is not available. Please try again."),
]

#: Route, what upstream says, and what is answered; "" for 204.
OUTCOMES: list[tuple[str, list[Any], int, str]] = [
    ("Confirm", [OPEN, found(), UNSEEN, "HOLD_VOIDED"], 400, CANCELLED),
    ("Confirm", [OPEN, found(), UNSEEN, "HOLD_EXPIRED"], 400, "Authorization has expired"),
    ("Confirm", [OPEN, found(), UNSEEN, "HOLD_CAPTURED"], 400, CONFIRMED_ALREADY),
    # What was confirmed is undone, and nobody may be told that it stands.
    ("Confirm", [ENDED, found(), UNDONE, UNSEEN], 400, CANCELLED),
    ("Confirm", [OPEN, found(), UNSEEN, "OUTCOME_UNKNOWN"], 504,
     LOST),
    ("Cancel", [ENDED, found(), UNSEEN, "HOLD_CAPTURED", APPROVED, UNSEEN], 400,
     CONFIRMED_ALREADY),
    ("Cancel", [ENDED, found(), UNSEEN, "HOLD_CAPTURED", UNSEEN], 400, CONFIRMED_ALREADY),
    ("Cancel", [ENDED, found(), UNSEEN, "HOLD_CAPTURED", UNDONE, UNSEEN], 204, ""),
    ("Cancel", [OPEN, found(), UNSEEN, "HOLD_VOIDED"], 204, ""),
    ("Cancel", [OPEN, found(), UNSEEN, "HOLD_EXPIRED"], 204, ""),
    ("Cancel", [OPEN, found(), UNSEEN, "OVERLOADED"], 503,
     "The service is busy. Please try again."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "status", "text"), ALIKE)
@pytest.mark.parametrize("route", ["Confirm", "Cancel"])
def test_what_cannot_be_settled(
    route: str, changes: dict[str, Any], said: list[Any], status: int, text: str
) -> None:
    _, reply = ask(f"Authorize.{route}", {**SETTLE, **changes}, said)
    assert (reply.status, reply.document["Message"]) == (status, text)


@pytest.mark.parametrize(("route", "said", "status", "text"), OUTCOMES)
def test_outcomes(route: str, said: list[Any], status: int, text: str) -> None:
    _, reply = ask(f"Authorize.{route}", SETTLE, said)
    assert reply.status == status
    assert (reply.document or {"Message": ""})["Message"] == text
