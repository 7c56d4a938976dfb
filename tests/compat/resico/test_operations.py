"""Each operation purely: the request, what upstream answers, what was asked and what is said."""

from typing import Any

import pytest
from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from compat_http.dialect import LegacyRequest
from compat_http.dialects import resico
from compat_http.settings import ResicoSettings, Settings
from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from compat_http.upstream import METHODS
from tests.compat.drive import FRESH_ID, drive
from tests.compat.resico.requests import ask

ME, OTHER = "merchants/m/apiClients/me", "merchants/m/apiClients/other"
CONFIG = ResicoSettings(consumers={"consumer": ME, "others": OTHER})
RESICO = resico.build(Settings(resico=CONFIG))
ROUTES = {route.name: number for number, route in enumerate(RESICO.routes)}
REFERENCE = v1.GiftCardReference(code="CARD0001")
SOLD = Timestamp(seconds=1772366400, nanos=987654000)
LOOKED_UP_STATES = v1.LookupTransactionResponse


def usd(minor_units: int) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code="USD")


def card(**facts: Any) -> v1.GiftCard:
    """An active card worth 57.23 that was sold for that."""
    base: dict[str, Any] = {
        "name": "giftCards/" + "c" * 32, "program": "programs/GC", "state": v1.GiftCard.ACTIVE,
        "currency_code": "USD", "balance": usd(5723), "available": usd(5723), "held": usd(0),
        "initial_amount": usd(5723), "valid_from": Date(year=2026, month=3, day=1),
        "time_zone": "UTC", "issue_time": SOLD,
    }  # fmt: skip
    return v1.GiftCard(**{**base, **facts})


HELD = {"held": usd(5723), "available": usd(0)}


def hold(client: str, *, exclusive: bool = True, name: str = "holds/1") -> v1.Hold:
    return v1.Hold(name=name, api_client=client, exclusive=exclusive, state=v1.Hold.OPEN)


PROGRAM = v1.Program(currency_code="USD", value_change_allowed=True)
SALE = v1.ListTransactionsResponse(
    transactions=[
        v1.Transaction(kind=v1.Transaction.LOCK),
        v1.Transaction(
            kind=v1.Transaction.ISSUE, context=v1.CallContext(location="locations/SHOP1")
        ),
    ]
)
CALLER_REQUEST = v1.LookupTransactionRequest(request_id="resico/CALLER")
SEALING_REQUEST = v1.LookupTransactionRequest(request_id="resico/CALLER", seal=True)
NOT_SEEN = v1.LookupTransactionResponse(state=LOOKED_UP_STATES.NOT_SEEN)


def caller(client: str = ME) -> v1.LookupTransactionResponse:
    transaction = v1.Transaction(api_client=client)
    return v1.LookupTransactionResponse(state=LOOKED_UP_STATES.SEALED, transaction=transaction)


def sale_of(looked_up: v1.GiftCard) -> v1.ListTransactionsRequest:
    end = Timestamp(seconds=SOLD.seconds, nanos=SOLD.nanos + 1000)
    return v1.ListTransactionsRequest(gift_card=looked_up.name, start_time=SOLD, end_time=end)


#: What each operation on a known card reads first, and what it is answered.
LOOK: list[Any] = [
    v1.LookupGiftCardRequest(gift_card=REFERENCE),
    v1.GetProgramRequest(name="programs/GC"),
    sale_of(card()),
]


def known(**facts: Any) -> list[Any]:
    return [v1.LookupGiftCardResponse(gift_card=card(**facts)), PROGRAM, SALE]


LIST_HOLDS = v1.ListHoldsRequest(gift_card=card().name, state=v1.Hold.OPEN)
ISSUE: dict[str, Any] = {"program": "programs/GC", "amount": usd(5723), "code": "CARD0001"}
ISSUED = v1.IssueGiftCardResponse(gift_card=card())
AT_SHOP1 = v1.CallContext(location="locations/SHOP1")
SALE_CONTEXT = v1.CallContext(location="locations/SHOP1", receipt="00000045")
REDEEM: dict[str, Any] = {"gift_card": REFERENCE, "amount": usd(1000)}
REDEEMED = v1.RedeemGiftCardResponse(gift_card=card(balance=usd(4723), available=usd(4723)))
RESERVE: dict[str, Any] = {
    "gift_card": REFERENCE, "whole_balance": True, "exclusive": True,
    "expire_after": Duration(seconds=900), "context": AT_SHOP1,
}  # fmt: skip
RESERVED = v1.AuthorizeGiftCardResponse(gift_card=card(**HELD))
VOID = v1.VoidHoldRequest(name="holds/1", request_id=f"resico/CANCELRESERVE/{FRESH_ID}")
VOIDED = v1.VoidHoldResponse(gift_card=card())

#: Route, request, upstream's answers, what is asked, whether the id is the client's own.
ASKED: list[tuple[str, LegacyRequest, list[Any], list[Any], bool]] = [
    ("getCard", ask("getCard"), known(), LOOK, False),
    (
        "sellCard", ask("sellCard"), [PROGRAM, ISSUED],
        [LOOK[1], v1.IssueGiftCardRequest(
            **ISSUE, context=SALE_CONTEXT, request_id="resico/SELL/SHOP1/00000045/0001/5723")],
        True,
    ),
    (
        "sellCard", ask("sellCard", key="k1", amount="57.23"), [PROGRAM, ISSUED],
        [LOOK[1], v1.IssueGiftCardRequest(
            **ISSUE, context=SALE_CONTEXT,
            request_id="resico/SELL/KEY/k1")],
        True,
    ),
    (
        "useCard", ask("useCard"), [caller(), *known(), REDEEMED],
        [CALLER_REQUEST, *LOOK,
         v1.RedeemGiftCardRequest(
             **REDEEM, context=v1.CallContext(), request_id=f"resico/USE/{FRESH_ID}")],
        False,
    ),
    (
        "useCard", ask("useCard", key="k1", locationCode="SHOP1", transactionNo="7"),
        [NOT_SEEN, caller(), *known(), REDEEMED],
        [CALLER_REQUEST, SEALING_REQUEST, *LOOK,
         v1.RedeemGiftCardRequest(
             **REDEEM, context=v1.CallContext(location="locations/SHOP1", receipt="7"),
             request_id="resico/USE/KEY/k1")],
        True,
    ),
    (
        "reserveCard", ask("reserveCard"), [*known(), RESERVED],
        [*LOOK, v1.AuthorizeGiftCardRequest(**RESERVE, request_id=f"resico/RESERVE/{FRESH_ID}")],
        False,
    ),
    (
        "reserveCard", ask("reserveCard", key="k1"), [*known(), RESERVED],
        [*LOOK, v1.AuthorizeGiftCardRequest(**RESERVE, request_id="resico/RESERVE/KEY/k1")],
        True,
    ),
    ("cancelReserve", ask("cancelReserve"), known(), LOOK, False),
    (
        "cancelReserve", ask("cancelReserve"),
        [*known(**HELD), caller(),
         v1.ListHoldsResponse(holds=[hold(OTHER), hold(ME, exclusive=False)])],
        [*LOOK, CALLER_REQUEST, LIST_HOLDS], False,
    ),
    (
        "cancelReserve", ask("cancelReserve"),
        [*known(**HELD), caller(), v1.ListHoldsResponse(holds=[hold(ME)]), VOIDED],
        [*LOOK, CALLER_REQUEST, LIST_HOLDS, VOID], False,
    ),
    *(
        (
            # It ended in the meantime, one way or another.
            "cancelReserveByPost", ask("cancelReserve"),
            [*known(**HELD), caller(), v1.ListHoldsResponse(holds=[hold(ME)]), reason, *known()],
            [*LOOK, CALLER_REQUEST, LIST_HOLDS, VOID, *LOOK], False,
        )
        for reason in ("HOLD_VOIDED", "HOLD_CAPTURED", "HOLD_EXPIRED")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("route", "legacy", "answers", "messages", "own_key"), ASKED)
def test_what_is_asked_upstream(
    route: str, legacy: LegacyRequest, answers: list[Any], messages: list[Any], own_key: bool
) -> None:
    asked, reply = drive(RESICO, legacy, answers, route=ROUTES[route])
    assert [rpc.message for rpc in asked] == messages
    assert [rpc.client_key for rpc in asked if rpc.client_key] == [True] * own_key
    assert not any(rpc.training for rpc in asked)
    assert reply.status == 200


def test_a_sale_is_told_by_its_location_number_card_and_amount() -> None:
    """And by nothing that would give a card's number away."""
    changes: list[dict[str, Any]] = [
        {}, {"locationCode": "99"}, {"transactionNo": "00000046"}, {"card": "CARD0002"},
        {"amount": n("57.24")}, {"key": "k1"}, {"key": "k2"},
    ]  # fmt: skip
    ids = set()
    for change in changes:
        asked, _ = drive(RESICO, ask("sellCard", **change), [PROGRAM, ISSUED], route=1)
        ids.add(asked[-1].message.request_id)
    assert len(ids) == len(changes)
    assert not any("CARD000" in each for each in ids)
    again, _ = drive(RESICO, ask("sellCard", amount="57.23"), [PROGRAM, ISSUED], route=1)
    assert again[-1].message.request_id in ids


@pytest.mark.parametrize(
    ("consumer", "client", "asked"),
    [("unknown", ME, 0), ("others", ME, 1), ("consumer", OTHER, 1), ("consumer", "", 1)],
)
def test_a_consumer_key_is_of_the_tokens_client(consumer: str, client: str, asked: int) -> None:
    legacy = ask("useCard", consumer=consumer)
    rpcs, reply = drive(RESICO, legacy, [caller(client)] * asked, route=ROUTES["useCard"])
    assert (reply.status, reply.document["error"]) == (401, "UNAUTHENTICATED")
    assert all(rpc.method == "LookupTransaction" for rpc in rpcs)


#: A card, and the answer to getCard, but for what all have in common.
ANSWERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"balance": usd(5720), "held": usd(1), "available": usd(5719)},
        {"currentBalance": n("57.20"), "reservedBalance": n("0.01"),
         "availableBalance": n("57.19")},
    ),
    ({"balance": usd(0), "available": usd(0)},
     {"currentBalance": n("0.00"), "availableBalance": n("0.00")}),
    ({"valid_until": Date(year=2027, month=2, day=3)}, {"expiryDate": "2027-02-03"}),
    ({"expired": True}, {"status": "Expired", "redeemAllowed": False}),
    ({"state": v1.GiftCard.LOCKED}, {"status": "Locked", "redeemAllowed": False}),
    ({"state": v1.GiftCard.LOCKED, "expired": True}, {"status": "Locked", "redeemAllowed": False}),
    ({"state": v1.GiftCard.CLOSED}, {"status": "Closed", "redeemAllowed": False}),
    ({"state": v1.GiftCard.VOIDED}, {"status": "Voided", "redeemAllowed": False}),
    ({"valid_from": Date(year=2026, month=3, day=2)}, {"redeemAllowed": False}),
    # It is that day already in the card's time zone: NOW is noon of the first, UTC.
    ({"valid_from": Date(year=2026, month=3, day=2), "time_zone": "Pacific/Kiritimati"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "changed"), ANSWERS)
def test_what_is_said_of_a_card(facts: dict[str, Any], changed: dict[str, Any]) -> None:
    _, reply = drive(RESICO, ask("getCard"), known(**facts), route=0)
    whole = {
        "idgiftCardNo": "CARD0001", "originalBalance": n("57.23"), "currentBalance": n("57.23"),
        "reservedBalance": n("0.00"), "availableBalance": n("57.23"), "currencyCode": "USD",
        "fixedAmount": False, "redeemAllowed": True, "locationCode": "SHOP1", "status": "Active",
        "expiryDate": None,
    }  # fmt: skip
    assert write(reply.document) == write({**whole, **changed})


def test_a_card_for_sale_has_no_sale_to_look_for() -> None:
    unsold = v1.GiftCard(
        name="giftCards/1", program="programs/GC25", state=v1.GiftCard.INACTIVE,
        currency_code="USD", balance=usd(0), available=usd(0), held=usd(0),
    )  # fmt: skip
    fixed = v1.Program(value_change_allowed=False)
    answers = [v1.LookupGiftCardResponse(gift_card=unsold), fixed]
    _, reply = drive(RESICO, ask("getCard"), answers, route=0)
    said = reply.document
    assert (said["status"], said["locationCode"], said["fixedAmount"]) == ("Inactive", "", True)
    assert write(said["originalBalance"]) == b"0.00"


def test_members_can_be_renamed() -> None:
    names = {"idgiftCardNo": "giftCardNo", "status": "state"}
    renamed = resico.build(Settings(resico=ResicoSettings(member_names=names)))
    _, reply = drive(renamed, ask("getCard"), known(), route=0)
    assert next(iter(reply.document)) == "giftCardNo"
    assert "state" in reply.document
    assert renamed.code_members == {"giftcardno"}
    schema = renamed.routes[0].response_schema
    assert schema is not None
    assert list(schema["properties"]) == list(reply.document)


@pytest.mark.parametrize("reason", sorted(set(RESICO.reasons) - {"HOLD_VOIDED"}))
def test_a_reason_of_upstream_is_said_by_the_table(reason: str) -> None:
    for route, before in (("getCard", []), ("sellCard", [PROGRAM]), ("useCard", [caller()])):
        _, reply = drive(RESICO, ask(route), [*before, reason], route=ROUTES[route])
        status, text = RESICO.reasons[reason]
        assert (reply.status, reply.document) == (status, {"error": reason, "message": text})


def test_what_may_be_refused_by_the_vendors_document() -> None:
    statuses = {
        "UNAUTHENTICATED": 401, "GIFT_CARD_NOT_FOUND": 404, "CODE_EXISTS": 409,
        "INVALID_FIELD": 422, "LOCATION_NOT_FOUND": 422, "INSUFFICIENT_FUNDS": 422,
        "HOLDS_NOT_ALLOWED": 422, "HELD_BY_OTHER": 409,
    }  # fmt: skip
    assert {reason: RESICO.reasons[reason].status for reason in statuses} == statuses


def test_a_cancellation_passes_other_refusals_on() -> None:
    answers = [*known(**HELD), caller(), v1.ListHoldsResponse(holds=[hold(ME)]), "OUTCOME_UNKNOWN"]
    _, reply = drive(RESICO, ask("cancelReserve"), answers, route=ROUTES["cancelReserve"])
    assert reply.status == 504


def test_only_a_bearer_token_travels_on() -> None:
    for value, taken in (
        ("Bearer x", True), ("bearer x", True), ("Basic eDp5", False), ("Bearer", False),
        ("Bearer ü", False), ("", False),
    ):  # fmt: skip
        legacy = LegacyRequest(
            headers={"authorization": value}, now=ask("getCard").now, fresh_id=FRESH_ID
        )
        assert RESICO.credentials(legacy) == (value if taken else "")


def test_the_log_finds_a_call_by_key_number_and_card() -> None:
    assert RESICO.trace(ask("sellCard")) == ("", "00000045", "CARD0001")
    assert RESICO.trace(ask("sellCard", key="k1")) == ("", "k1", "CARD0001")
    assert RESICO.trace(ask("getCard", transactionNo=n("5"))) == ("", "", "CARD0001")
    assert RESICO.trace(LegacyRequest(now=ask("getCard").now, fresh_id=FRESH_ID)) == ("", "", "")


def test_every_call_writes_once_at_most() -> None:
    for route, legacy, answers, _, _ in ASKED:
        asked, _reply = drive(RESICO, legacy, answers, route=ROUTES[route])
        assert len([rpc for rpc in asked if METHODS[rpc.method].writes]) <= 1
