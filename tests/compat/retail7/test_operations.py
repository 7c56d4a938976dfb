"""Each operation purely: the message, what upstream answers, what was asked and what is said."""

from typing import Any

import pytest
from giftcard import v1
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from compat_http.dialects import retail7
from compat_http.settings import Retail7Settings, Settings
from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.drive import drive, request
from tests.compat.retail7.messages import message

RETAIL7 = retail7.build(Settings())
USD5 = v1.Money(minor_units=500, currency_code="USD")
REFERENCE = v1.GiftCardReference(code="CARD0001")
DECIDED = Timestamp(seconds=1772366400, nanos=987654000)


def usd(minor_units: int) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code="USD")


def card(**facts: Any) -> v1.GiftCard:
    """An active card worth 5.00 that was sold for that."""
    base: dict[str, Any] = {
        "name": "giftCards/" + "c" * 32, "program": "programs/GC", "state": v1.GiftCard.ACTIVE,
        "currency_code": "USD", "balance": USD5, "available": USD5, "initial_amount": USD5,
        "valid_from": Date(year=2026, month=3, day=1), "code_last_four": "0001",
        "reload_allowed": True, "return_allowed": False, "partial_redeem_allowed": True,
    }  # fmt: skip
    return v1.GiftCard(**{**base, **facts})


def done(**facts: Any) -> v1.Transaction:
    return v1.Transaction(
        name="transactions/" + "a" * 32, decide_time=DECIDED, **{"approved_amount": USD5, **facts}
    )


def context(**facts: Any) -> v1.CallContext:
    at = Timestamp(seconds=1772364625, nanos=930000000)
    return v1.CallContext(location="locations/1001", terminal="7", client_time=at, **facts)


def key(operation: str, request_id: str = "R1") -> str:
    return f"retail7/7/1001/{operation}/{request_id}"


TILL: dict[str, Any] = {"context": context(receipt="T1")}
LOOKED_UP = v1.LookupGiftCardResponse(gift_card=card())
SOLD = v1.ActivateGiftCardResponse(gift_card=card(), transaction=done())

#: Message, upstream's answers, and what is asked for.
ASKED: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    (
        message("STATUS"),
        [LOOKED_UP],
        [v1.LookupGiftCardRequest(gift_card=REFERENCE)],
    ),
    (
        message("SELL"),
        [SOLD],
        [v1.ActivateGiftCardRequest(
            gift_card=REFERENCE, amount=USD5, request_id=key("SELL"), **TILL)],
    ),
    (
        message("SELL", validFrom="2026-03-02", validUntil="2028-03-01", reason="gift",
                # Used only when the card is issued by the client.
                maxBalance="9.00", cardTypeCode="01", reloadAllowed=True),
        [SOLD],
        [v1.ActivateGiftCardRequest(
            gift_card=REFERENCE, amount=USD5, request_id=key("SELL"),
            valid_from=Date(year=2026, month=3, day=2), valid_until=Date(year=2028, month=3, day=1),
            context=context(receipt="T1", reason="gift"))],
    ),
    (
        message("SELL", issuedByClient="True"),
        [v1.IssueGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.IssueGiftCardRequest(
            program="programs/GC", amount=USD5, code="CARD0001", request_id=key("SELL"), **TILL)],
    ),
    (
        message("SELL", issuedByClient=True, cardTypeCode="GC25", maxBalance=n("500"),
                reloadAllowed="false", returnAllowed="true", partRedeemAllowed=False,
                validUntil="2026-12-31"),
        [v1.IssueGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.IssueGiftCardRequest(
            program="programs/GC25", amount=USD5, code="CARD0001", request_id=key("SELL"),
            max_balance=usd(50000), reload_allowed=False, return_allowed=True,
            partial_redeem_allowed=False, valid_until=Date(year=2026, month=12, day=31), **TILL)],
    ),
    (
        message("LOAD", amount="5.00"),
        [v1.LoadGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.LoadGiftCardRequest(
            gift_card=REFERENCE, amount=USD5, request_id=key("LOAD"), **TILL)],
    ),
    (
        message("REDEEM", amount=n("5")),
        [v1.RedeemGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.RedeemGiftCardRequest(
            gift_card=REFERENCE, amount=USD5, request_id=key("REDEEM"), **TILL)],
    ),
    (
        message("CREATE", cardTypeCode="DYN", maxBalance="7.00", validFrom="2026-04-01"),
        [v1.Program(currency_code="USD"),
         v1.CreateGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.GetProgramRequest(name="programs/DYN"),
         v1.CreateGiftCardRequest(
            program="programs/DYN", code="CARD0001", max_balance=usd(700),
            valid_from=Date(year=2026, month=4, day=1), request_id=key("CREATE"),
            context=context())],
    ),
    (
        message("UPDATE", maxBalance=n("7.00"), validUntil="2027-01-01", reloadAllowed=False,
                cardTypeCode="GC"),
        [LOOKED_UP, v1.UpdateGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.LookupGiftCardRequest(gift_card=REFERENCE),
         v1.UpdateGiftCardRequest(
            gift_card=v1.GiftCard(
                name=card().name, max_balance=usd(700), reload_allowed=False,
                valid_until=Date(year=2027, month=1, day=1)),
            update_mask=FieldMask(paths=["valid_until", "reload_allowed", "max_balance"]),
            request_id=key("UPDATE"), context=context())],
    ),
    (
        message("LOCK", reason="lost"),
        [v1.LockGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.LockGiftCardRequest(
            gift_card=REFERENCE, request_id=key("LOCK"), context=context(reason="lost"))],
    ),
    (
        message("UNLOCK"),
        [v1.UnlockGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.UnlockGiftCardRequest(
            gift_card=REFERENCE, request_id=key("UNLOCK"), context=context())],
    ),
    (
        message("CLOSE"),
        [v1.CloseGiftCardResponse(gift_card=card(), transaction=done())],
        [v1.CloseGiftCardRequest(
            gift_card=REFERENCE, disposition=v1.CloseGiftCardRequest.REQUIRE_ZERO,
            request_id=key("CLOSE"), context=context())],
    ),
    (
        message("RETURN"),
        [LOOKED_UP, v1.CloseGiftCardResponse(
            gift_card=card(), transaction=done(), disposed_amount=USD5)],
        [v1.LookupGiftCardRequest(gift_card=REFERENCE),
         v1.CloseGiftCardRequest(
            gift_card=REFERENCE, disposition=v1.CloseGiftCardRequest.CASH_OUT,
            request_id=key("RETURN"), **TILL)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "answers", "expected"), ASKED, ids=range(len(ASKED)))
def test_asked(document: dict[str, Any], answers: list[Any], expected: list[Any]) -> None:
    asked, reply = drive(RETAIL7, request(document), answers)
    assert [rpc.message for rpc in asked] == expected
    for rpc in asked:
        assert rpc.method + "Request" == type(rpc.message).__name__
        # The till chose the id, so its retry wins over a reversal.
        assert rpc.client_key == hasattr(rpc.message, "request_id")
        assert not rpc.training
    assert (reply.status, reply.document["responseCode"]) == (200, "OK")


def test_training_is_another_book_under_another_id() -> None:
    (rpc,), reply = drive(RETAIL7, request(message("SELL", trainingFlag="true")), [SOLD])
    assert rpc.training
    assert rpc.message.request_id == "retail7-training/7/1001/SELL/R1"
    assert reply.document["trainingFlag"] is True


def test_the_answer() -> None:
    sold = v1.ActivateGiftCardResponse(
        gift_card=card(
            available=usd(400), max_balance=usd(50000), valid_until=Date(year=2028, month=3, day=1)
        ),
        transaction=done(),
    )
    _, reply = drive(RETAIL7, request(message("SELL")), [sold])
    assert write(reply.document).decode() == (
        '{"requestIDExternal":"R1","operationType":"SELL","cardID":"CARD0001","responseCode":"OK",'
        '"responseText":"OK","cardStatus":"Redeemable","balance":5.00,"availableBalance":4.00,'
        '"currencyCode":"USD","amount":5.00,"validFrom":"2026-03-01","validUntil":"2028-03-01",'
        '"cardTypeCode":"GC","maxBalance":500.00,"reloadAllowed":true,"returnAllowed":false,'
        f'"partRedeemAllowed":true,"transactionID":"{"a" * 32}","trainingFlag":false,'
        '"timestamp":"2026-03-01T12:00:00.987Z"}'
    )


def test_the_refusal() -> None:
    _, reply = drive(RETAIL7, request(message("REDEEM")), ["INSUFFICIENT_FUNDS"])
    assert reply.status == 422
    assert write(reply.document).decode() == (
        '{"requestIDExternal":"R1","operationType":"REDEEM","cardID":"CARD0001",'
        '"responseCode":"INSUFFICIENT_FUNDS",'
        '"responseText":"The balance of the gift card is not sufficient.",'
        '"trainingFlag":false,"timestamp":"2026-03-01T12:00:00.123Z"}'
    )


@pytest.mark.parametrize("spelled", ["requestIDExternal", "requestIDexternal", "REQUESTIDEXTERNAL"])
def test_the_request_id_is_echoed_as_it_was_spelled(spelled: str) -> None:
    document = message("STATUS", requestIDExternal=...) | {spelled: "R1"}
    _, reply = drive(RETAIL7, request(document), [LOOKED_UP])
    assert reply.document[spelled] == "R1"
    _, reply = drive(RETAIL7, request(document), ["GIFT_CARD_NOT_FOUND"])
    assert (reply.status, reply.document[spelled]) == (404, "R1")


def test_both_spellings_may_agree_and_unknown_members_are_ignored() -> None:
    document = message("STATUS", requestIDexternal="R1", somethingNew={"a": [n("1")]})
    _, reply = drive(RETAIL7, request(document), [LOOKED_UP])
    assert reply.status == 200


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"state": v1.GiftCard.INACTIVE}, "ForSale"),
        ({}, "Redeemable"),
        ({"empty": True}, "Redeemable"),
        ({"empty": True, "reload_allowed": False}, "Closed"),
        ({"expired": True}, "Expired"),
        ({"expired": True, "empty": True}, "Expired"),
        ({"state": v1.GiftCard.LOCKED}, "Locked"),
        ({"state": v1.GiftCard.LOCKED, "expired": True}, "Locked"),
        ({"state": v1.GiftCard.CLOSED}, "Closed"),
        ({"state": v1.GiftCard.VOIDED}, "Closed"),
    ],
    ids=range(10),
)
def test_the_word_for_a_cards_state(facts: dict[str, Any], word: str) -> None:
    answer = v1.LookupGiftCardResponse(gift_card=card(**facts))
    _, reply = drive(RETAIL7, request(message("STATUS")), [answer])
    assert reply.document["cardStatus"] == word


# What is refused before the service is asked to write: the reason and status for each message.

CLOSED = v1.LookupGiftCardResponse(gift_card=card(state=v1.GiftCard.CLOSED, balance=usd(0)))


def closed(amount: int, *, replayed: bool = False) -> v1.CloseGiftCardResponse:
    return v1.CloseGiftCardResponse(
        gift_card=card(), transaction=done(), disposed_amount=usd(amount), replayed=replayed
    )


def looked(**facts: Any) -> v1.LookupGiftCardResponse:
    return v1.LookupGiftCardResponse(gift_card=card(**facts))


REFUSED: list[tuple[dict[str, Any], list[Any], int, str]] = [
    (message("LOAD", clientStore="No 1"), [], 422, "LOCATION_NOT_FOUND"),
    (message("CREATE", cardTypeCode="a b"), [], 422, "PROGRAM_NOT_FOUND"),
    (message("CREATE", currencyCode="EUR"), [v1.Program(currency_code="USD")], 422,
     "CURRENCY_MISMATCH"),
    (message("UPDATE", reloadAllowed=...), [LOOKED_UP], 400, "INVALID_FIELD"),
    (message("UPDATE", cardTypeCode="GC25"), [LOOKED_UP], 400, "INVALID_FIELD"),
    (message("RETURN", currencyCode="EUR"), [LOOKED_UP], 422, "CURRENCY_MISMATCH"),
    (message("RETURN", amount="4.00"), [LOOKED_UP], 422, "AMOUNT_NOT_BALANCE"),
    (message("RETURN"), [looked(balance=usd(499))], 422, "CARD_USED"),
    (message("RETURN"), [looked(balance=usd(501))], 422, "CARD_USED"),
    (message("RETURN"), [LOOKED_UP, "RETURN_NOT_ALLOWED"], 422, "RETURN_NOT_ALLOWED"),
    (message("RETURN"), [CLOSED, closed(0)], 422, "CARD_CLOSED"),
    (message("RETURN"), [CLOSED, closed(0, replayed=True)], 422, "CARD_CLOSED"),
    (message("RETURN"), [CLOSED, closed(400, replayed=True)], 409, "REQUEST_ID_REUSED"),
    (message("CANCEL", originalOperationType="STATUS"), [], 400, "INVALID_FIELD"),
    (message("CANCEL", originalOperationType="LOCK"), [], 400, "INVALID_FIELD"),
    (message("CANCEL", originalRequestIDExternal=...), [], 400, "INVALID_FIELD"),
    (message("CANCEL", originalRequestIDExternal=..., amount="5.00"), [], 400, "INVALID_FIELD"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "answers", "status", "reason"), REFUSED, ids=range(len(REFUSED))
)
def test_refused(document: dict[str, Any], answers: list[Any], status: int, reason: str) -> None:
    _, reply = drive(RETAIL7, request(document), answers)
    assert (reply.status, reply.document["responseCode"]) == (status, reason)


def test_a_repeated_return_is_answered_like_the_first() -> None:
    first = drive(RETAIL7, request(message("RETURN")), [LOOKED_UP, closed(500)])
    again = drive(RETAIL7, request(message("RETURN")), [CLOSED, closed(500, replayed=True)])
    assert again[0][-1] == first[0][-1]
    assert write(again[1].document) == write(first[1].document)


@pytest.mark.parametrize("reason", sorted(RETAIL7.reasons))
def test_every_reason_has_the_same_shape(reason: str) -> None:
    _, reply = drive(RETAIL7, request(message("REDEEM")), [reason])
    expected = RETAIL7.reasons[reason]
    assert (reply.status, reply.document["responseText"]) == expected
    assert reply.document["responseCode"] == reason


# Settings


def test_past_validity_is_passed_on_unless_it_may_be_replaced() -> None:
    replacing = retail7.build(Settings(retail7=Retail7Settings(past_valid_until="replace")))
    for dialect, day, sent in (
        (RETAIL7, "2026-02-27", True),
        (replacing, "2026-02-27", False),
        (replacing, "2026-02-28", False),
        # Still that day somewhere on earth, so the service decides.
        (replacing, "2026-03-01", True),
        (replacing, "2026-03-02", True),
    ):
        legacy = request(message("SELL", validFrom="2026-02-01", validUntil=day))
        (rpc,), _ = drive(dialect, legacy, [SOLD])
        assert rpc.message.HasField("valid_until") == sent, (dialect.config, day)
        assert rpc.message.HasField("valid_from")


def test_type_codes_texts_and_names_are_settings() -> None:
    dialect = retail7.build(
        Settings(
            retail7=Retail7Settings(
                program="DYN",
                card_types={"01": {"program": "GC", "texts": {"SELL": "Have fun!"}}},
                member_names={"responseCode": "resultCode"},
                close_disposition="BREAKAGE",
            )
        )
    )
    issued = v1.IssueGiftCardResponse(gift_card=card(), transaction=done())
    for type_code, program in (("01", "GC"), ("GC25", "GC25"), (..., "DYN")):
        legacy = request(message("SELL", issuedByClient=True, cardTypeCode=type_code))
        (rpc,), reply = drive(dialect, legacy, [issued])
        assert rpc.message.program == f"programs/{program}"
        assert reply.document["cardTypeCode"] == "01"
        assert reply.document["customerText"] == "Have fun!"
        assert reply.document["resultCode"] == "OK"
    _, reply = drive(dialect, request(message("STATUS")), [LOOKED_UP])
    assert "customerText" not in reply.document
    (rpc,), _ = drive(
        dialect,
        request(message("CLOSE")),
        [v1.CloseGiftCardResponse(gift_card=card(), transaction=done())],
    )
    assert rpc.message.disposition == v1.CloseGiftCardRequest.BREAKAGE
