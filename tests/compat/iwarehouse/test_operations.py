"""The one call purely: the query, what upstream answers, what was asked and what is said."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from compat_http.dialect import LegacyRequest
from compat_http.dialects import iwarehouse
from compat_http.settings import IwarehouseSettings, Settings, SettingsError, from_environment
from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.drive import FRESH_ID, NOW, drive

IWAREHOUSE = iwarehouse.build(Settings())
OPENED = Timestamp(seconds=1551704400)  # 2019-03-04T13:00Z
NOT_SEEN = v1.LookupTransactionResponse(state=v1.LookupTransactionResponse.NOT_SEEN)


def usd(minor_units: int) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code="USD")


def card(**facts: Any) -> v1.GiftCard:
    """The card of the vendor's example, in a currency of ours."""
    base: dict[str, Any] = {
        "name": "giftCards/" + "c" * 32, "state": v1.GiftCard.ACTIVE, "currency_code": "USD",
        "balance": usd(10000), "available": usd(10000), "initial_amount": usd(10000),
        "valid_until": Date(year=2022, month=3, day=4), "time_zone": "America/New_York",
        "issue_time": OPENED, "update_time": OPENED,
    }  # fmt: skip
    return v1.GiftCard(**{**base, **facts})


def ask(query: Mapping[str, str], now: datetime = NOW) -> LegacyRequest:
    """A call with credentials."""
    whole = {"log": "XXX", "pwd": "YYY", **query}
    return LegacyRequest(method="GET", query=whole, now=now, fresh_id=FRESH_ID)


def issued(code: str = "GCQ22X9HE1") -> v1.IssueGiftCardResponse:
    return v1.IssueGiftCardResponse(gift_card=card(code=code))


def looked_up(**facts: Any) -> v1.LookupGiftCardResponse:
    return v1.LookupGiftCardResponse(gift_card=card(**facts))


def issue(units: int = 10000, request_id: str = "", **facts: Any) -> v1.IssueGiftCardRequest:
    return v1.IssueGiftCardRequest(
        program="programs/GC",
        amount=usd(units),
        request_id=request_id or f"iwarehouse/CREATE/{FRESH_ID}",
        **facts,
    )


def lookup(code: str) -> v1.LookupGiftCardRequest:
    return v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=code))


#: Query, upstream's answers, what is asked, whether the id is the client's own.
ASKED: list[tuple[dict[str, str], list[Any], list[Any], bool]] = [
    ({"qty": "100"}, [issued()], [issue()], False),
    ({"QTY": "100", "card": ""}, [issued()], [issue()], False),
    ({"qty": "57.5"}, [issued()], [issue(5750)], False),
    ({"qty": "0.01", "unknown": "x"}, [issued()], [issue(1)], False),
    (
        {"qty": "100", "ref": "order-7"}, [issued()],
        [issue(request_id="iwarehouse/CREATE/REF/order-7")], True,
    ),
    (
        {"qty": "100", "ref": "order-7", "expires": "31/12/2027"}, [issued()],
        [issue(request_id="iwarehouse/CREATE/REF/order-7",
               valid_until=Date(year=2027, month=12, day=31))],
        True,
    ),
    (
        {"qty": "100", "ref": "order-7", "expiresdays": "1"}, [NOT_SEEN, issued()],
        [v1.LookupTransactionRequest(request_id="iwarehouse/CREATE/REF/order-7"),
         issue(request_id="iwarehouse/CREATE/REF/order-7",
               valid_until=Date(year=2026, month=3, day=2))],
        True,
    ),
    ({"card": "GCQ22X9HE1"}, [looked_up()], [lookup("GCQ22X9HE1")], False),
    ({"card": "-" + "x " * 40}, [looked_up()], [lookup("-" + "x " * 40)], False),
    ({"Card": "gcq22x9he1", "qty": "", "ref": "x", "expiresdays": "no"}, [looked_up()],
     [lookup("gcq22x9he1")], False),
]  # fmt: skip


@pytest.mark.parametrize(("query", "answers", "messages", "own_key"), ASKED)
def test_what_is_asked_upstream(
    query: dict[str, str], answers: list[Any], messages: list[Any], own_key: bool
) -> None:
    asked, reply = drive(IWAREHOUSE, ask(query), answers)
    assert [rpc.message for rpc in asked] == messages
    assert [rpc.client_key for rpc in asked if rpc.client_key] == [True] * own_key
    assert reply.status == 200


#: The instant of the call in UTC, what is asked for, and the last day.
EXPIRIES: list[tuple[str, dict[str, str], str]] = [
    # Days
    ("2026-03-01T12:00", {"expiresdays": "1"}, "2026-03-02"),
    ("2026-12-31T12:00", {"expiresdays": "1"}, "2027-01-01"),
    ("2028-02-28T12:00", {"expiresdays": "1"}, "2028-02-29"),
    ("2027-02-28T12:00", {"expiresdays": "1"}, "2027-03-01"),
    ("2026-03-01T12:00", {"expiresdays": "365"}, "2027-03-01"),
    ("2026-03-01T12:00", {"expiresdays": "36500"}, "2126-02-05"),
    # Months: a month without the day ends on its last one
    ("2026-01-31T12:00", {"expiresmonths": "1"}, "2026-02-28"),
    ("2028-01-31T12:00", {"expiresmonths": "1"}, "2028-02-29"),
    ("2026-01-31T12:00", {"expiresmonths": "2"}, "2026-03-31"),
    ("2026-03-31T12:00", {"expiresmonths": "1"}, "2026-04-30"),
    ("2026-12-15T12:00", {"expiresmonths": "1"}, "2027-01-15"),
    ("2026-11-30T12:00", {"expiresmonths": "1"}, "2026-12-30"),
    ("2026-11-30T12:00", {"expiresmonths": "13"}, "2027-12-30"),
    ("2026-03-01T12:00", {"expiresmonths": "1200"}, "2126-03-01"),
    # Years
    ("2019-03-04T12:00", {"expiresyears": "3"}, "2022-03-04"),
    ("2028-02-29T12:00", {"expiresyears": "1"}, "2029-02-28"),
    ("2028-02-29T12:00", {"expiresyears": "4"}, "2032-02-29"),
    ("2028-02-29T12:00", {"expiresyears": "72"}, "2100-02-28"),
    ("2026-03-01T12:00", {"EXPIRESYEARS": "100"}, "2126-03-01"),
    # A day
    ("2026-03-01T12:00", {"expires": "4/03/2027"}, "2027-03-04"),
    ("2026-03-01T12:00", {"expires": "04/3/2027"}, "2027-03-04"),
    ("2026-03-01T12:00", {"expires": "13/12/2027"}, "2027-12-13"),
    ("2026-03-01T12:00", {"expires": "2027-03-04"}, "2027-03-04"),
    ("2026-03-01T12:00", {"expires": "29/02/2028"}, "2028-02-29"),
    # Over already: the service refuses it, in the words of the table
    ("2026-03-01T12:00", {"expires": "4/03/2022"}, "2022-03-04"),
    ("2026-03-01T12:00", {"expires": "31/12/9998"}, "9998-12-31"),
    # Today is that of the zone, here New York's
    ("2026-03-01T04:59", {"expiresdays": "1"}, "2026-03-01"),
    ("2026-03-01T05:00", {"expiresdays": "1"}, "2026-03-02"),
    ("2026-07-01T03:59", {"expiresmonths": "1"}, "2026-07-30"),
    ("2026-07-01T04:00", {"expiresmonths": "1"}, "2026-08-01"),
]  # fmt: skip


@pytest.mark.parametrize(("now", "query", "last"), EXPIRIES)
def test_the_last_day(now: str, query: dict[str, str], last: str) -> None:
    config = IwarehouseSettings(time_zone="America/New_York")
    there = iwarehouse.build(Settings(iwarehouse=config))
    instant = datetime.fromisoformat(now).replace(tzinfo=UTC)
    asked, _ = drive(there, ask({"qty": "100", **query}, instant), [issued()])
    day = asked[0].message.valid_until
    assert f"{day.year:04d}-{day.month:02d}-{day.day:02d}" == last


def test_a_repeat_after_midnight_means_the_day_of_the_first() -> None:
    decided = Timestamp()
    decided.FromDatetime(datetime(2026, 2, 28, 23, 59, tzinfo=UTC))
    first = v1.LookupTransactionResponse(
        state=v1.LookupTransactionResponse.APPROVED,
        transaction=v1.Transaction(decide_time=decided),
    )
    asked, _ = drive(
        IWAREHOUSE, ask({"qty": "1", "ref": "r", "expiresmonths": "1"}), [first, issued()]
    )
    assert asked[1].message.valid_until == Date(year=2026, month=3, day=28)


_EXPIRES = "expires must be a date such as 4/03/2022."
#: Query, status and the words of the refusal.  Nothing is asked upstream.
REFUSED: list[tuple[dict[str, str], int, str]] = [
    *(
        (query, 400, "Either qty (to create a card) or card (to read one) must be given.")
        for query in (
            {}, {"qty": ""}, {"card": ""}, {"qty": "", "card": ""}, {"expiresyears": "3"},
            {"qty": "100", "card": "GCQ22X9HE1"},
        )
    ),
    *(
        ({"qty": value}, 400, f"qty {words}.")
        for value, words in (
            ("0", "must be greater than 0"), ("0.00", "must be greater than 0"),
            ("57.235", "must have at most 2 decimals in USD"),
            ("10000000000.01", "is too large"),
            *(
                (value, "must be a plain decimal number, without sign and exponent")
                for value in ("-1", "+1", "1e2", "1,5", " 1", "x", "1.", ".5", "NaN", "\u0665",
                              "$5", "0x10", "1" * 14)
            ),
        )
    ),
    *(
        ({"qty": "1", name: value}, 400, f"{name} must be a whole number from 1 to {most}.")
        for name, most in (("expiresdays", 36500), ("expiresmonths", 1200), ("expiresyears", 100))
        for value in ("0", "-1", "1.5", "x", str(most + 1), "\u0661", "9" * 40, " 1")
    ),
    *(
        ({"qty": "1", "expires": value}, 400, _EXPIRES)
        for value in ("tomorrow", "4/3/22", "4-3-2022", "2022/03/04", "20220304", "4/03/20222",
                      "2027-3-4", "\u0664/03/2027")
    ),
    *(
        ({"qty": "1", "expires": value}, 400, "expires is no day of the calendar.")
        for value in ("31/02/2027", "29/02/2027", "0/01/2027", "1/13/2027", "2027-02-29",
                      "1/01/0000")
    ),
    ({"qty": "1", "expires": "31/12/1969"}, 400, "expires must be from 1970 to 9998."),
    ({"qty": "1", "expires": "1/01/9999"}, 400, "expires must be from 1970 to 9998."),
    (
        {"qty": "1", "expiresdays": "1", "expires": "1/01/2030"}, 400,
        "Only one of expiresdays, expiresmonths, expiresyears, expires can be given.",
    ),
    ({"qty": "1", "Qty": "2"}, 400, "A parameter is given twice with two values."),
    ({"qty": "1", "ref": "x" * 65}, 400, "ref must be 1 to 64 printable ASCII characters."),
    ({"qty": "1", "ref": "a\tb"}, 400, "ref must be 1 to 64 printable ASCII characters."),
    *(
        ({"card": code}, 404, "There is no such card.")
        for code in (" ", "-", "Ä1", "\u0661", "x" * 41, "a\x00b", "- " * 4000)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("query", "status", "words"), REFUSED)
def test_a_query_that_is_wrong(query: dict[str, str], status: int, words: str) -> None:
    asked, reply = drive(IWAREHOUSE, ask(query))
    assert asked == []
    assert (reply.status, reply.document["Error"]) == (status, words)


#: A card, and its answer but for what all have in common.
ANSWERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    # Whole amounts without decimals, others without trailing zeros
    ({"available": usd(5750)}, {"CardBalance": n("57.5")}),
    ({"available": usd(5723), "initial_amount": usd(1)},
     {"CardBalance": n("57.23"), "CardOpeningBalance": n("0.01")}),
    ({"available": usd(0)}, {"CardBalance": n("0")}),
    # What is held cannot be spent
    ({"balance": usd(10000), "held": usd(4000), "available": usd(6000)}, {"CardBalance": n("60")}),
    ({"valid_until": Date(year=2027, month=12, day=31)}, {"CardExpiryDate": "31/12/2027"}),
    ({"valid_until": None}, {"CardExpiryDate": ""}),
    # Days are those of the card's zone
    ({"time_zone": "Pacific/Auckland"}, {"CardOpeningDteTme": "5/03/2019"}),
    ({"update_time": Timestamp(seconds=1577854800)}, {"CardBalanceDteTme": "1/01/2020"}),
    ({"update_time": Timestamp(seconds=1577854799)}, {"CardBalanceDteTme": "31/12/2019"}),
    # An expired card is active as the vendor's example is
    ({"expired": True}, {}),
    *(
        ({"state": state}, {"CardActive": False})
        for state in (v1.GiftCard.LOCKED, v1.GiftCard.CLOSED, v1.GiftCard.VOIDED)
    ),
    (
        {"state": v1.GiftCard.INACTIVE, "issue_time": None, "initial_amount": None,
         "available": usd(0)},
        {"CardActive": False, "CardOpeningDteTme": "", "CardOpeningBalance": n("0"),
         "CardBalance": n("0")},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "changed"), ANSWERS)
def test_what_is_said_of_a_card(facts: dict[str, Any], changed: dict[str, Any]) -> None:
    _, reply = drive(IWAREHOUSE, ask({"card": "gcq22x9he1 "}), [looked_up(**facts)])
    whole = {
        "CardKey": 726128198, "CardCode": "GCQ22X9HE1", "CardActive": True, "SiteKey": 0,
        "CustomerKey": 0, "ProductKey": 0, "CardOpeningDteTme": "4/03/2019",
        "CardOpeningBalance": n("100"), "CardOpeningBalanceManual": 0, "CardBalanceDteTme": "",
        "CardBalance": n("100"), "CardExpiryDate": "4/03/2022", "CardNotes": "",
    }  # fmt: skip
    assert write(reply.document) == write({**whole, **changed})
    schema = IWAREHOUSE.routes[0].response_schema
    assert schema is not None
    assert list(schema["properties"]) == list(whole)


def test_creating_and_reading_say_the_same() -> None:
    _, created = drive(IWAREHOUSE, ask({"qty": "100"}), [issued()])
    _, read = drive(IWAREHOUSE, ask({"card": "GCQ22X9HE1"}), [looked_up()])
    assert write(created.document) == write(read.document)


def test_a_key_is_a_number_for_old_clients() -> None:
    keys = set()
    for number in range(1000):
        _, reply = drive(IWAREHOUSE, ask({"card": "x1"}), [looked_up(name=f"giftCards/{number}")])
        keys.add(reply.document["CardKey"])
    assert all(1 <= key < 2**31 for key in keys)
    assert len(keys) > 990


def test_a_card_of_another_currency_is_not_passed_off_as_ours() -> None:
    _, reply = drive(IWAREHOUSE, ask({"card": "x1"}), [looked_up(currency_code="EUR")])
    assert (reply.status, reply.document["ErrorCode"]) == (422, "CURRENCY_MISMATCH")


def test_amounts_are_in_the_currencys_decimals() -> None:
    yen = iwarehouse.build(Settings(iwarehouse=IwarehouseSettings(currency="JPY")))
    asked, _ = drive(yen, ask({"qty": "100"}), [issued()])
    assert asked[0].message.amount == v1.Money(minor_units=100, currency_code="JPY")
    assert drive(yen, ask({"qty": "100.0"}))[1].status == 400


@pytest.mark.parametrize("reason", sorted(IWAREHOUSE.reasons))
def test_no_failure_could_be_taken_for_a_card(reason: str) -> None:
    status, text = IWAREHOUSE.reasons[reason]
    for query in ({"qty": "100"}, {"card": "GCQ22X9HE1"}):
        _, reply = drive(IWAREHOUSE, ask(query), [reason])
        assert (reply.status, reply.document) == (status, {"Error": text, "ErrorCode": reason})
    assert status >= 400
    assert set(IWAREHOUSE.error_schema["properties"]) == {"Error", "ErrorCode"}


@pytest.mark.parametrize(
    ("query", "credential"),
    [
        ({}, "Basic WFhYOllZWQ=="),
        ({"log": "", "pwd": "", "LOG": "XXX", "Pwd": "YYY"}, "Basic WFhYOllZWQ=="),
        ({"pwd": "a:b"}, "Basic WFhYOmE6Yg=="),
        ({"pwd": "ü"}, "Basic WFhYOsO8"),
        # The login of another: it would be cut at the colon.
        ({"log": "a:b"}, ""),
        ({"log": ""}, ""),
        ({"pwd": ""}, ""),
    ],
)
def test_credentials_travel_on_as_basic(query: dict[str, str], credential: str) -> None:
    assert IWAREHOUSE.credentials(ask(query)) == credential


def test_the_log_finds_a_call_by_ref_and_card() -> None:
    assert IWAREHOUSE.trace(ask({"qty": "1", "ref": "r"})) == ("create", "r", "")
    assert IWAREHOUSE.trace(ask({"CARD": "GCQ22X9HE1"})) == ("read", "", "GCQ22X9HE1")
    assert IWAREHOUSE.trace(LegacyRequest(now=NOW, fresh_id=FRESH_ID)) == ("read", "", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CURRENCY", "usd"), ("TIME_ZONE", "Mars/Olympus"), ("TIME_ZONE", "../x"), ("TIME_ZONE", "")],
)
def test_settings_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"GIFTCARD_IWAREHOUSE_{name}"):
        from_environment({f"GIFTCARD_IWAREHOUSE_{name}": value})
