"""Loyalty/Earn and Loyalty BalanceCheck, purely."""

from typing import Any

import pytest
from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from compat_http.strict_json import write
from tests.compat.cp_extender.steps import ask, done, hold, points

EARN = {"CustomerNumber": "2059378440", "Points": 100, "Reason": "Survey", "Reference": "S-1"}
NAME = "customers/2059378440"
PATH = {"customer_id": "2059378440"}
ROUTE = "Loyalty.customer_id.BalanceCheck"


def test_earn() -> None:
    answer = v1.EarnPointsResponse(transaction=done())
    (rpc,), reply = ask("Loyalty.Earn", EARN, [answer])
    assert rpc.message == v1.EarnPointsRequest(
        customer=NAME, points=100, context=v1.CallContext(reason="Survey", receipt="S-1"),
        request_id="cp/earn/" + "f" * 32,
    )  # fmt: skip
    assert not rpc.client_key
    assert (reply.status, reply.content) == (204, b"")


#: Changes of EARN, what upstream says, and the error.
NOT_EARNED: list[tuple[dict[str, Any], list[Any], int, str]] = [
    ({"CustomerNumber": ""}, [], 400, "Bad Request"),
    ({"CustomerNumber": "a/b"}, [], 404, "Customer Not Found"),
    ({"Points": None}, [], 400, "Bad Request"),
    ({"Points": "0"}, [], 400, "Bad Request"),
    ({"Points": -1}, [], 400, "Bad Request"),
    ({"Points": 10**13}, [], 400, "Bad Request"),
    ({"Reason": "x" * 256}, [], 400, "Bad Request"),
    ({}, ["CUSTOMER_NOT_FOUND"], 404, "Customer Not Found"),
    ({}, ["UNAUTHENTICATED"], 401, "Unauthorized"),
    ({}, ["INTERNAL"], 500, "Internal Server Error"),
]


@pytest.mark.parametrize(("changes", "said", "status", "text"), NOT_EARNED)
def test_earn_refused(changes: dict[str, Any], said: list[Any], status: int, text: str) -> None:
    _, reply = ask("Loyalty.Earn", {**EARN, **changes}, said)
    assert (reply.status, reply.document["Message"]) == (status, text)


CUSTOMER = v1.Customer(name=NAME, point_balance=10300, held_points=300, available_points=10000)


def moved(number: int, day: int, **context: Any) -> v1.Transaction:
    """On that day of February 2026."""
    return v1.Transaction(
        kind=v1.Transaction.EARN_POINTS,
        entries=[v1.Entry(customer=NAME, amount=points(number))],
        decide_time=Timestamp(seconds=1769904000 + (day - 1) * 86400),
        business_date=Date(year=2026, month=2, day=day),
        context=v1.CallContext(**context),
    )


PAGE = v1.ListTransactionsResponse(transactions=[moved(500, 20), moved(-200, 10, receipt="S-9")])
PENDING = v1.ListHoldsResponse(
    holds=[hold(gift_card="", customer=NAME, remaining_amount=points(300))]
)


def test_balance_check() -> None:
    asked, reply = ask(ROUTE, None, [CUSTOMER, PAGE, PENDING], path=PATH)
    assert asked[0].message == v1.GetCustomerRequest(name=NAME)
    assert asked[1].message == v1.ListTransactionsRequest(
        customer=NAME, start_time=Timestamp(seconds=1740830400, nanos=123456000), page_size=1000
    )
    assert asked[2].message == v1.ListHoldsRequest(
        customer=NAME, state=v1.Hold.OPEN, page_size=1000
    )
    assert write(reply.document).decode() == (
        '{"PointBalance":10300,"OpenAuthorizations":300,"PendingPointsEarned":0,'
        '"AvailablePointBalance":10000,"History":['
        '{"Activity":"Historical Summary","Date":"03/01/2025","Amount":10000,"Location":null,'
        '"Document":null},'
        '{"Date":"02/10/2026","Amount":-200,"Location":null,"Document":"S-9"},'
        '{"Date":"02/20/2026","Amount":500,"Location":null,"Document":null},'
        '{"Activity":"Pending Charge","Date":"03/01/2026","Amount":-300,"Location":null,'
        '"Document":"S1"}]}'
    )


#: Body and query, and the amounts of the lines.
PERIODS: list[tuple[dict[str, Any] | None, dict[str, str], list[int]]] = [
    (None, {"startDate": "02/01/2026"}, [10000, -200, 500]),
    ({"startDate": "02/01/2026 00:00:00.000"}, {}, [10000, -200, 500]),
    (None, {"enddate": "02/15/2026 00:00:00.5"}, [10000, -200]),
    # What comes after is in the balance but not in the lines.
    ({"endDate": "02/20/2026 00:00:00.000"}, {"startDate": "01/01/2026"}, [10000, -200]),
    ({"endDate": "02/20/2026 00:00:00.001"}, {"startDate": "01/01/2026"}, [10000, -200, 500]),
]


@pytest.mark.parametrize(("body", "query", "amounts"), PERIODS)
def test_period(body: dict[str, Any] | None, query: dict[str, str], amounts: list[int]) -> None:
    nothing_held = v1.Customer(name=NAME, point_balance=10300, available_points=10300)
    _, reply = ask(ROUTE, body, [nothing_held, PAGE], path=PATH, query=query)
    assert [line["Amount"] for line in reply.document["History"]] == amounts


@pytest.mark.parametrize(
    "query",
    [
        {"startDate": "2026-02-01"},
        {"startDate": "02/30/2026"},
        {"startDate": "02/01/1900"},
        {"startDate": "03/02/2026"},
        {"startDate": "02/01/2026", "STARTDATE": "02/02/2026"},
    ],
)
def test_no_period(query: dict[str, str]) -> None:
    asked, reply = ask(ROUTE, None, path=PATH, query=query)
    assert (asked, reply.status, reply.document["Message"]) == ([], 400, "Bad Request")


def test_an_unknown_customer() -> None:
    _, reply = ask("Loyalty.BalanceCheck.customer_id", None, ["CUSTOMER_NOT_FOUND"], path=PATH)
    assert (reply.status, reply.document) == (404, {"Message": "Customer Not Found"})
