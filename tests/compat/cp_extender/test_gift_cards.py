"""ReserveIds, Create, BalanceCheck and Certificate, purely."""

from typing import Any

import pytest
from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.type.date_pb2 import Date

from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.cp_extender.steps import (
    APPROVED,
    CARD_ID,
    REFUSED,
    SEALED,
    UNDONE,
    UNSEEN,
    ask,
    card,
    done,
    found,
    usd,
)

RESERVED = v1.Program.CodeFormat(
    prefix="99-", alphabet=v1.Program.CodeFormat.DIGITS, random_length=17,
    check_digit=v1.Program.NONE,
)  # fmt: skip
ASSIGNED = v1.Program.CodeFormat(
    prefix="WEB-", alphabet=v1.Program.CodeFormat.DIGITS, random_length=16,
    check_digit=v1.Program.NONE,
)  # fmt: skip
HOUR = Duration(seconds=3600)

# ReserveIds

#: Members, and what is reserved: how many, for how long, under which name.
RESERVATIONS: list[tuple[dict[str, Any], int, Duration | None, str]] = [
    ({"RequestName": "Web001", "RequestType": "pool", "PoolCount": 10}, 10, None, "Web001"),
    ({"RequestType": "POOL", "PoolCount": "10"}, 10, None, "03/01/2026 12:00:00"),
    ({"RequestType": "pool", "PoolCount": 99999999999}, 2**31 - 1, None, "03/01/2026 12:00:00"),
    ({"requesttype": "single", "PoolCount": 10}, 1, HOUR, "03/01/2026 12:00:00"),
    ({"RequestType": "", "PoolCount": 0}, 1, HOUR, "03/01/2026 12:00:00"),
    ({"RequestName": 7, "Unknown": [1]}, 1, HOUR, "7"),
]


@pytest.mark.parametrize(("members", "count", "expires", "label"), RESERVATIONS)
def test_reserve_ids(
    members: dict[str, Any], count: int, expires: Duration | None, label: str
) -> None:
    answer = v1.ReserveCodesResponse(codes=["99-1", "99-2"], transaction=done())
    (rpc,), reply = ask("Giftcard.ReserveIds", {**members, "Agency": "Website"}, [answer])
    assert rpc.message == v1.ReserveCodesRequest(
        count=count, agency="Website", label=label, expire_after=expires, code_format=RESERVED,
        request_id="cp/reserve/" + "f" * 32,
    )  # fmt: skip
    assert not rpc.client_key, "nothing to know a repeat by"
    assert (reply.status, reply.document) == (200, {"GiftCards": ["99-1", "99-2"]})


#: Members, and what is said of them.
NOT_RESERVED: list[tuple[dict[str, Any], str]] = [
    ({"RequestType": "pool", "PoolCount": 10}, "Agency is required"),
    ({"Agency": "  "}, "Agency is required"),
    ({"Agency": "W" * 129}, "Agency must have at most 128 characters"),
    ({"Agency": "W\n"}, "Agency must not contain control characters"),
    ({"Agency": True}, "Agency must be a string"),
    ({"Agency": "W", "AGENCY": "V"}, "a member is given twice with two values"),
    ({"Agency": "W", "RequestType": "block"}, "RequestType must be single or pool"),
    ({"Agency": "W", "RequestType": "pool"}, "PoolCount must be greater than 0"),
    ({"Agency": "W", "RequestType": "pool", "PoolCount": -1}, "PoolCount must be a whole number"),
    ({"Agency": "W", "RequestType": "pool", "PoolCount": "x"}, "PoolCount must be a whole number"),
    (
        {"Agency": "W", "RequestType": "pool", "PoolCount": n("1.5")},
        "PoolCount must be a whole number",
    ),
]


@pytest.mark.parametrize(("members", "detail"), NOT_RESERVED)
def test_reserve_ids_refused(members: dict[str, Any], detail: str) -> None:
    asked, reply = ask("Giftcard.ReserveIds", members)
    assert asked == []
    assert (reply.status, reply.document) == (
        400,
        {"Message": "Bad Request", "MessageDetail": detail},
    )


# Create

GC = v1.Program(name="programs/GC", currency_code="USD")
SALE = {
    "CustomerNumber": "2059378440", "GiftCardId": "99-53235753896117470", "GiftCardCode": "GC",
    "GiftCardValue": 100, "SaleId": "123456789",
}  # fmt: skip
POINTS = {
    "CustomerNumber": "2059378440", "GiftCardId": "99-53235753896117470", "GiftCardCode": "GC",
    "GiftCardValue": 50, "PointsToRedeem": "5000",
}  # fmt: skip
ISSUED = v1.IssueGiftCardResponse(
    gift_card=card(code="99-53235753896117470"), transaction=done(hold="")
)


def created(members: dict[str, Any], *looked: Any) -> v1.IssueGiftCardRequest:
    """What is asked of the service in the end."""
    asked, reply = ask("Giftcard.Create", members, [GC, *looked, ISSUED])
    assert asked[0].message == v1.GetProgramRequest(name=f"programs/{members['GiftCardCode']}")
    assert asked[-1].client_key == bool(members.get("GiftCardId"))
    expected = '{"GiftCard":{"Id":"99-53235753896117470"}}'
    assert (reply.status, write(reply.document).decode()) == (200, expected)
    message: v1.IssueGiftCardRequest = asked[-1].message
    return message


def test_create_of_a_reserved_id() -> None:
    message = created(SALE, UNSEEN)
    expected = v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(10000), code="99-53235753896117470",
        require_reserved_code=True, customer="customers/2059378440", require_customer=True,
        context=v1.CallContext(receipt="123456789"), request_id=message.request_id,
    )  # fmt: skip
    assert message == expected
    assert message.request_id.startswith("cp/create/")
    assert message.request_id.endswith("/0")


def test_create_by_points() -> None:
    message = created(POINTS, UNSEEN)
    assert message.points_to_redeem == 5000
    assert message.amount == usd(5000)
    assert not message.HasField("context")


def test_create_of_an_id_that_is_assigned() -> None:
    members = {name: value for name, value in SALE.items() if name != "GiftCardId"}
    message = created({**members, "CustomerNumber": None})
    assert message == v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(10000), code_format=ASSIGNED,
        context=v1.CallContext(receipt="123456789"), request_id="cp/create/" + "f" * 32,
    )  # fmt: skip


#: The newest tries, and the number of the next.
TRIES: list[tuple[list[Any], int]] = [
    ([UNSEEN], 0),
    # It stands: the first answer again.
    ([APPROVED, UNSEEN], 0),
    # What was refused, taken back or undone may be tried again.
    ([REFUSED, UNSEEN], 1),
    ([SEALED, UNSEEN], 1),
    ([UNDONE, UNSEEN], 1),
    # 0, 1 and 3 are seen, 7 is not; then 5 and 4 are looked at.
    ([REFUSED, REFUSED, REFUSED, UNSEEN, UNSEEN, UNSEEN], 4),
    ([REFUSED, REFUSED, REFUSED, UNSEEN, REFUSED, APPROVED], 6),
]


@pytest.mark.parametrize(("looked", "number"), TRIES)
def test_a_repeat_is_known(looked: list[Any], number: int) -> None:
    assert created(SALE, *looked).request_id.endswith(f"/{number}")


#: Changes of SALE: whether they mean the same call.
SAME: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"GiftCardValue": "100.00"}, True),
    ({"GiftCardId": " 99 53235753896117470"}, True),
    ({"GiftCardId": "99-53235753896117471"}, False),
    ({"SaleId": "123456780"}, False),
    ({"GiftCardValue": 101}, False),
    ({"CustomerNumber": "2059378441"}, False),
    ({"PointsToRedeem": 5000}, False),
    ({"GiftCardCode": "GC25"}, False),
]


@pytest.mark.parametrize(("changes", "same"), SAME)
def test_what_makes_two_calls_the_same(changes: dict[str, Any], same: bool) -> None:
    ids = {created({**SALE, **each}, UNSEEN).request_id for each in ({}, changes)}
    assert (len(ids) == 1) == same


def test_the_id_of_a_card_is_not_in_the_id_of_a_request() -> None:
    """Nor can it be found by trying: another token makes another digest."""
    ids = set()
    for token in ("Bearer one", "Bearer two"):
        asked, _ = ask(
            "Giftcard.Create", SALE, [GC, UNSEEN, ISSUED], headers={"authorization": token}
        )
        ids.add(asked[-1].message.request_id)
        assert "53235753896117470" not in asked[-1].message.request_id
    assert len(ids) == 2


#: Changes of SALE, what upstream says, and the documented error.
NOT_CREATED: list[tuple[dict[str, Any], list[Any], int, str]] = [
    ({"SaleId": ...}, [], 400, "SaleId is Required"),
    ({"SaleId": ""}, [], 400, "SaleId is Required"),
    ({"SaleId": ..., "PointsToRedeem": 0}, [], 400, "SaleId is Required"),
    ({"GiftCardCode": ...}, [], 404, "Gift Card Code Not Found"),
    ({"GiftCardCode": "a/b"}, [], 404, "Gift Card Code Not Found"),
    ({}, ["PROGRAM_NOT_FOUND"], 404, "Gift Card Code Not Found"),
    ({"GiftCardValue": ...}, [GC], 400, "Gift Card Value must be greater than 0"),
    ({"GiftCardValue": 0}, [GC], 400, "Gift Card Value must be greater than 0"),
    ({"GiftCardValue": "0.00"}, [GC], 400, "Gift Card Value must be greater than 0"),
    ({"GiftCardValue": -5}, [GC], 400, "Gift Card Value must be greater than 0"),
    ({"GiftCardValue": "much"}, [GC], 400, "Bad Request"),
    ({"GiftCardValue": n("1.005")}, [GC], 400, "Bad Request"),
    ({"PointsToRedeem": -5}, [], 400, "Bad Request"),
    ({"CustomerNumber": "a b"}, [GC], 404, "Customer Not Found"),
    ({"CustomerNumber": ..., "PointsToRedeem": 100}, [GC], 404, "Customer Not Found"),
    ({"GiftCardId": "x" * 41}, [GC], 400, "GiftcardId Not Reserved"),
    ({"GiftCardId": "-"}, [GC], 400, "GiftcardId Not Reserved"),
    (
        {}, [GC, UNSEEN, "VALUE_CHANGE_NOT_ALLOWED"],
        400, "GiftCardCode specified does not allow value change",
    ),
    (
        {}, [GC, UNSEEN, "DENOMINATION_NOT_ALLOWED"],
        400, "GiftCardCode specified does not allow value change",
    ),
    ({}, [GC, UNSEEN, "CUSTOMER_NOT_FOUND"], 404, "Customer Not Found"),
    ({}, [GC, UNSEEN, "CODE_EXISTS"], 400, "GiftcardId Already Exists"),
    ({}, [GC, UNSEEN, "CODE_NOT_RESERVED"], 400, "GiftcardId Not Reserved"),
    ({}, [GC, UNSEEN, "INSUFFICIENT_POINTS"], 400, "Customer does not have enough points"),
    ({}, [GC, UNSEEN, "INVALID_FIELD"], 400, "Bad Request"),
    ({}, [GC, UNSEEN, "INTERNAL"], 500, "Internal Server Error"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "answers", "status", "text"), NOT_CREATED)
def test_create_refused(
    changes: dict[str, Any], answers: list[Any], status: int, text: str
) -> None:
    members = {name: value for name, value in {**SALE, **changes}.items() if value is not ...}
    _, reply = ask("Giftcard.Create", members, answers)
    assert (reply.status, reply.document["Message"]) == (status, text)


# BalanceCheck


def moved(kind: int, minor_units: int, **facts: Any) -> v1.Transaction:
    entry = v1.Entry(gift_card=f"giftCards/{CARD_ID}", amount=usd(minor_units))
    base: dict[str, Any] = {
        "name": "transactions/" + "a" * 32, "kind": kind, "state": v1.Transaction.APPROVED,
        "entries": [entry], "business_date": Date(year=2020, month=2, day=25),
        "context": v1.CallContext(location="locations/99"),
    }  # fmt: skip
    return v1.Transaction(**{**base, **facts})


KIRBYS = v1.Location(name="locations/99", display_name="Kirbys Gourmet Gifts")
PATH = {"card_id": "WEB-9198262557214413"}


@pytest.mark.parametrize(
    "route", ["Giftcard.card_id.BalanceCheck", "Giftcard.BalanceCheck.card_id"]
)
def test_balance_check_as_printed(route: str) -> None:
    page = v1.ListTransactionsResponse(transactions=[moved(v1.Transaction.ISSUE, 10000)])
    asked, reply = ask(route, None, [found(), page, KIRBYS], path=PATH)
    assert [rpc.message for rpc in asked] == [
        v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code="WEB-9198262557214413")),
        v1.ListTransactionsRequest(gift_card=f"giftCards/{CARD_ID}", page_size=1000),
        v1.GetLocationRequest(name="locations/99"),
    ]
    assert write(reply.document).decode() == (
        '{"GiftCard":{"Id":"WEB-9198262557214413","Type":"giftcard","Status":"active",'
        '"Balance":100.00,"OpenAuthorizations":0.0,"AvailableBalance":100.00,"History":['
        '{"Activity":"Issued","Date":"02/25/2020","Amount":100.00,'
        '"Location":"Kirbys Gourmet Gifts","Document":null}]}}'
    )


def test_history_is_what_moved_the_balance_oldest_first() -> None:
    other = v1.Entry(gift_card="giftCards/" + "d" * 32, amount=usd(2500))
    transfer = moved(v1.Transaction.TRANSFER, -2500)
    transfer.entries.append(other)
    newer = v1.ListTransactionsResponse(
        transactions=[
            transfer,
            moved(v1.Transaction.AUTHORIZE, 0),
            moved(v1.Transaction.REDEEM, 0, state=v1.Transaction.REFUSED, entries=[]),
        ],
        next_page_token="more",
    )
    nowhere = v1.CallContext(receipt="R7")
    older = v1.ListTransactionsResponse(
        transactions=[
            moved(99, -50, context=nowhere),
            moved(v1.Transaction.CAPTURE, -4000),
            moved(v1.Transaction.ISSUE, 10000),
        ]
    )
    route = "Giftcard.card_id.BalanceCheck"
    asked, reply = ask(route, None, [found(), newer, older, KIRBYS], path=PATH)
    assert [rpc.message.page_token for rpc in asked[1:3]] == ["", "more"]
    lines = reply.document["GiftCard"]["History"]
    assert [(line["Activity"], write(line["Amount"])) for line in lines] == [
        ("Issued", b"100.00"),
        ("Redeemed", b"-40.00"),
        ("Changed", b"-0.50"),
        ("Transferred", b"-25.00"),
    ]
    assert (lines[2]["Location"], lines[2]["Document"]) == (None, "R7")


#: Facts of a card, and the word for its state.
STATUSES: list[tuple[dict[str, Any], str]] = [
    ({}, "active"),
    ({"balance": usd(0), "available": usd(0), "empty": True}, "active"),
    ({"expired": True}, "expired"),
    ({"state": v1.GiftCard.INACTIVE}, "inactive"),
    ({"state": v1.GiftCard.LOCKED, "expired": True}, "locked"),
    ({"state": v1.GiftCard.CLOSED}, "voided"),
    ({"state": v1.GiftCard.VOIDED}, "voided"),
]


@pytest.mark.parametrize(("facts", "word"), STATUSES)
def test_status(facts: dict[str, Any], word: str) -> None:
    empty = v1.ListTransactionsResponse()
    _, reply = ask("Giftcard.card_id.BalanceCheck", None, [found(**facts), empty], path=PATH)
    assert reply.document["GiftCard"]["Status"] == word


@pytest.mark.parametrize("route", ["Giftcard.card_id.BalanceCheck", "Giftcard.card_id.Certificate"])
def test_an_unknown_id(route: str) -> None:
    _, reply = ask(route, None, ["GIFT_CARD_NOT_FOUND"], path=PATH)
    assert (reply.status, reply.document) == (404, {"Message": "Id not found"})
    for impossible in ("x" * 41, "-", "ü", "a\tb"):
        asked, reply = ask(route, None, path={"card_id": impossible})
        assert (asked, reply.status, reply.document) == ([], 404, {"Message": "Id not found"})


# Certificate


def test_certificate() -> None:
    picture = v1.RenderCertificateResponse(content=b"\xff\xd8", content_type="image/jpeg")
    (rpc,), reply = ask("Giftcard.card_id.Certificate", None, [picture], path=PATH)
    assert rpc.message == v1.RenderCertificateRequest(
        gift_card=v1.GiftCardReference(code="WEB-9198262557214413"),
        format=v1.RenderCertificateRequest.JPEG,
    )
    assert (reply.status, reply.content, reply.content_type) == (200, b"\xff\xd8", "image/jpeg")
