"""CP Extender over real HTTP against the real server: each conversation is a golden on disk.

Every scenario makes its own cards, so that none depends on another; `as-printed` alone uses what
the vendor prints.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from giftcard import v1

from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.goldens import Goldens, Step
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer

FORTY: Final = n("40.00")
SHOP: Final = {"Authorization": "Bearer demo-cp-token"}
VOLATILE: Final = (
    (re.compile(r'"RequestId":"[0-9a-f-]{36}"'), '"RequestId":"…"'),
    (re.compile(r'"AuthCode":"G[0-9A-F]{32}"'), '"AuthCode":"…"'),
    (re.compile(r'(?:"99-[0-9]{17}",){499}"99-[0-9]{17}"'), '(500 times) "99-…"'),
    (re.compile(r"99-(?!53235753896117470|36031997041479042)[0-9]{17}"), "99-…"),
    (re.compile(r"WEB-(?!9198262557214413)[0-9]{16}"), "WEB-…"),
    (re.compile(r'"Date":"[0-9]{2}/[0-9]{2}/(?!2020)20[0-9]{2}"'), '"Date":"(a day)"'),
)
RESERVED: Final = {"Id": r'"(99-[0-9]{17})"'}
MADE: Final = {"Id": r'"Id":"([^"]+)"'}
AUTHORIZED: Final = {"AuthCode": r'"AuthCode":"(G[0-9A-F]{32})"'}

#: Customers that the scenarios need, and their points.
CUSTOMERS: Final = {"CP-CREATE": 10_000, "CP-EARN": 0, "CP-HOLD": 500, "CP-POOR": 0}
#: Cards in states that no call of this API leads to.
MADE_CARDS: Final = ("CPVOIDED01", "CPLOCKED01", "CPCLOSED01", "CPINACTIV1", "CPPIN00001")
#: With one of the demo's whose time is over.
CARDS: Final = (*MADE_CARDS, "GCQ22X9HE1")


def post(target: str, members: Any, keeps: dict[str, str] | None = None) -> Step:
    body = members if isinstance(members, str) else write(members).decode()
    return Step("POST", target, body, SHOP, keeps or {})


def get(target: str, body: str = "") -> Step:
    return Step("GET", target, body, SHOP)


def reserve() -> Step:
    """One id, for the steps that follow."""
    return post("/Giftcard/ReserveIds", {"Agency": "Website"}, RESERVED)


def create(keeps: dict[str, str] | None = None, **changes: Any) -> Step:
    """A card for 100.00; a member that is `...` is left out."""
    members: dict[str, Any] = {"GiftCardCode": "GC", "GiftCardValue": 100, "SaleId": "S-1"}
    whole = {name: each for name, each in {**members, **changes}.items() if each is not ...}
    return post("/Giftcard/Create", whole, keeps)


def authorize(ref: str = "«Id»", amount: Any = FORTY, sale: str = "S-2", **more: Any) -> Step:
    members = {"Type": "giftcard", "Ref": ref, "SaleId": sale, "RequestedAmount": amount, **more}
    whole = {name: each for name, each in members.items() if each is not ...}
    return post("/Giftcard/Authorize", whole)


def authorized(*arguments: Any) -> Step:
    """One that steps after it confirm or cancel."""
    step = authorize(*arguments)
    return Step(step.method, step.target, step.body, step.headers, AUTHORIZED)


def settle(how: str, ref: str = "«Id»", code: str = "«AuthCode»") -> Step:
    return post(f"/Authorize/{how}", {"Ref": ref, "AuthCode": code})


def balance(ref: str = "«Id»") -> Step:
    return get(f"/Giftcard/{ref}/BalanceCheck")


def hold_points(customer: str, points: int, sale: str = "S-3") -> Step:
    members = {"Type": "loyalty", "Ref": customer, "SaleId": sale, "RequestedPoints": points}
    return post("/Giftcard/Authorize", members, AUTHORIZED)


SCENARIOS: Final[dict[str, list[Step]]] = {
    # What the vendor prints, to the letter.
    "as-printed": [
        balance("WEB-9198262557214413"),
        post("/Giftcard/ReserveIds",
             '{ "RequestName":"Web001", "RequestType":"pool", "PoolCount":10,'
             ' "Agency":"Website" }'),
        post("/Giftcard/Create",
             '{\n"CustomerNumber":"2059378440",\n"GiftCardId":"99-53235753896117470",\n'
             '"GiftCardCode":"GC",\n"GiftCardValue":100,\n"SaleId":"123456789"\n}'),
        # Printed with the id of the example before.
        post("/Giftcard/Create",
             '{\n"CustomerNumber":"2059378440",\n"GiftCardId":"99-36031997041479042",\n'
             '"GiftCardCode":"GC",\n"GiftCardValue":50,\n"PointsToRedeem":"5000"\n}'),
        post("/Giftcard/Authorize",
             '{\n"Type":"giftcard",\n"Ref":"WEB-9198262557214413",\n"SaleId":"WB-100-10259",\n'
             '"RequestedAmount":40.00\n}', AUTHORIZED),
        balance("WEB-9198262557214413"),
        post("/Authorize/Cancel", '{"Ref":"WEB-9198262557214413","AuthCode":"«AuthCode»"}'),
        balance("WEB-9198262557214413"),
        get("/Connection/Status"),
        get("/Connection/GetVersion"),
    ],
    # ReserveIds
    "reserve-ids": [
        reserve(),
        post("/Giftcard/ReserveIds", {"Agency": "Website", "RequestType": "pool",
                                      "PoolCount": "2"}),
        post("/Giftcard/ReserveIds", {"Agency": "Website", "RequestType": "pool",
                                      "PoolCount": 501}),
        post("/Giftcard/ReserveIds", {"RequestName": "Web001"}),
        post("/Giftcard/ReserveIds", {"Agency": "Website", "RequestType": "pool"}),
    ],
    # Create
    "create-of-a-reserved-id": [
        reserve(),
        create(GiftCardId="«Id»", GiftCardValue="100.00", CustomerNumber="CP-CREATE"),
        # The same again has the same answer; anything else is another card with this id.
        create(GiftCardId="«Id»", CustomerNumber="CP-CREATE"),
        create(GiftCardId="«Id»", CustomerNumber="CP-CREATE", SaleId="S-9"),
        balance(),
    ],
    "create-of-an-id-that-is-assigned": [create(MADE), create(), balance()],
    "create-by-points": [
        reserve(),
        create(GiftCardId="«Id»", CustomerNumber="CP-CREATE", SaleId=..., PointsToRedeem="10000"),
        create(GiftCardId="«Id»", CustomerNumber="CP-CREATE", SaleId=..., PointsToRedeem="10000"),
        balance(),
        get("/Loyalty/CP-CREATE/BalanceCheck"),
        create(CustomerNumber="CP-CREATE", SaleId=..., PointsToRedeem="10000"),
        create(CustomerNumber="CP-CREATE", SaleId=..., PointsToRedeem="9999"),
        create(CustomerNumber="CP-CREATE", SaleId=..., PointsToRedeem=2500, GiftCardCode="GC25",
               GiftCardValue=25),
    ],
    "create-refused": [
        create(SaleId=...),
        create(GiftCardCode="NONE"),
        create(GiftCardValue=0),
        create(GiftCardCode="GC25", GiftCardValue=30),
        create(CustomerNumber="CP-NOBODY"),
        create(GiftCardId="12399"),
        create(GiftCardId="99-00000000000000000"),
        create(GiftCardValue="a lot"),
        create(GiftCardValue=501),
        create(GiftCardId="99-00000000000000000", CustomerNumber=..., SaleId=...,
               PointsToRedeem=100),
    ],
    # Reading
    "balance-check": [
        create(MADE),
        balance(),
        get("/giftcard/balancecheck/«Id»"),
        get("/GIFTCARD/«Id»/BALANCECHECK"),
        balance("NOBODY"),
        *(balance(code) for code in CARDS),
    ],
    "certificate": [
        get("/Giftcard/WEB-9198262557214413/Certificate"),
        get("/giftcard/certificate/WEB-9198262557214413"),
        get("/Giftcard/NOBODY/Certificate"),
        *(get(f"/Giftcard/{code}/Certificate") for code in CARDS),
    ],
    # Authorize, Confirm, Cancel
    "confirm": [
        create(MADE),
        authorized(),
        authorize(),
        balance(),
        settle("Confirm"),
        settle("Confirm"),
        settle("Cancel"),
        balance(),
    ],
    "cancel": [
        create(MADE),
        authorized(),
        settle("Cancel"),
        settle("Cancel"),
        settle("Confirm"),
        balance(),
        # The sale may be tried again.
        authorized(),
        settle("Confirm"),
        balance(),
    ],
    "authorize-less-than-asked": [
        create(MADE),
        authorize("«Id»", "70"),
        authorize("«Id»", "70", "S-4"),
        authorize("«Id»", "70", "S-5"),
        balance(),
    ],
    "authorize-refused": [
        authorize("NOBODY", Type=...),
        authorize("NOBODY", RequestedAmount=...),
        authorize("NOBODY"),
        *(authorize(code) for code in CARDS),
        authorize("DYN0000001"),
        create(MADE),
        authorize("«Id»", 0),
        authorize("«Id»", n("4.001")),
        authorize("«Id»", "4,00"),
    ],
    "settle-refused": [
        create(MADE),
        authorized(),
        settle("Confirm", "12399"),
        settle("Confirm", "«Id»", "GDA17E1614ABBA6596E5B3BA3781B339B"),
        settle("Cancel", "«Id»", "GDA17E1614ABBA6596E5B3BA3781B339B"),
        settle("Confirm", "«Id»", "nonsense"),
        settle("Cancel", "NOBODY"),
        settle("Confirm", "", ""),
        balance(),
    ],
    # Loyalty
    "earn": [
        post("/Loyalty/Earn", {"CustomerNumber": "CP-EARN", "Points": 100, "Reason": "Survey",
                               "Reference": "S-1"}),
        post("/Loyalty/Earn", {"CustomerNumber": "CP-EARN", "Points": "50"}),
        get("/Loyalty/CP-EARN/BalanceCheck"),
        get("/Loyalty/CP-EARN/BalanceCheck",
            '{"startDate":"01/01/2020 00:00:00.000","endDate":"01/01/2021 00:00:00.000"}'),
        get("/Loyalty/BalanceCheck/CP-EARN?startDate=01/01/2020&endDate=01/01/2019"),
        post("/Loyalty/Earn", {"CustomerNumber": "CP-EARN", "Points": 0}),
        post("/Loyalty/Earn", {"CustomerNumber": "CP-NOBODY", "Points": 5}),
        get("/Loyalty/CP-NOBODY/BalanceCheck"),
    ],
    "points-confirm-and-cancel": [
        hold_points("CP-HOLD", 300),
        hold_points("CP-HOLD", 300),
        get("/Loyalty/CP-HOLD/BalanceCheck"),
        settle("Confirm", "CP-HOLD"),
        settle("Confirm", "CP-HOLD"),
        settle("Cancel", "CP-HOLD"),
        post("/Loyalty/Authorize", {"Ref": "CP-HOLD", "SaleId": "S-6", "RequestedPoints": 300},
             AUTHORIZED),
        settle("Cancel", "CP-HOLD"),
        settle("Confirm", "CP-HOLD"),
        get("/Loyalty/CP-HOLD/BalanceCheck"),
        post("/Loyalty/Authorize", {"Ref": "CP-POOR", "SaleId": "S-6", "RequestedPoints": 300}),
        post("/Loyalty/Authorize", {"Ref": "CP-NOBODY", "SaleId": "S-6", "RequestedPoints": 300}),
    ],
    # Login and the rest
    "login": [
        Step("POST", "/SSO/Login", '{"UserName":"web","Password":"demo-cp-token"}'),
        Step("POST", "/sso/login", '{"UserName":"web","Password":"wrong"}'),
        Step("POST", "/SSO/Login", '{"UserName":"web"}'),
    ],
    "credentials": [
        Step("GET", "/Giftcard/12399/BalanceCheck"),
        Step("GET", "/Giftcard/12399/BalanceCheck", "", {"Authorization": "Bearer wrong"}),
        Step("GET", "/Giftcard/12399/BalanceCheck", "", {"Authorization": "Basic ZGVtbzpkZW1v"}),
        Step("GET", "/Connection/Status"),
    ],
    "malformed": [
        post("/Giftcard/Create", '{"GiftCardValue": 1e2}'),
        post("/Giftcard/Create", '{"SaleId": "1", "SaleId": "2"}'),
        post("/Giftcard/Create", '{"SaleId": "1", "saleid": "2"}'),
        post("/Giftcard/Authorize", "[]"),
        post("/Authorize/Confirm", " "),
        get("/Giftcard/Create"),
        Step("HEAD", "/Connection/GetVersion"),
    ],
}  # fmt: skip


class _Service:
    """Makes what no call of this API can make."""

    def __init__(self, channel: Any) -> None:
        self.cards: Any = v1.GiftCardServiceStub(channel)
        self.customers: Any = v1.CustomerServiceStub(channel)
        self._metadata = (("authorization", "Bearer demo-service-token"),)

    def ask(self, method: Any, request: Any) -> Any:
        return method(request, metadata=self._metadata)

    def make_customer(self, number: str, points: int) -> None:
        create = v1.CreateCustomerRequest(customer_id=number, request_id=f"make/{number}")
        self.ask(self.customers.CreateCustomer, create)
        if points:
            earn = v1.EarnPointsRequest(
                customer=f"customers/{number}", points=points, request_id=f"earn/{number}"
            )
            self.ask(self.customers.EarnPoints, earn)

    def make_cards(self) -> None:
        for code in MADE_CARDS:
            request = v1.IssueGiftCardRequest(
                program="programs/GC", code=code, request_id=f"make/{code}",
                amount=v1.Money(minor_units=2500, currency_code="USD"),
                context=v1.CallContext(location="locations/1001"),
            )  # fmt: skip
            if code == "CPPIN00001":
                request.pin = "4711"
            if code == "CPINACTIV1":
                create = v1.CreateGiftCardRequest(
                    program="programs/GC", code=code, request_id=f"make/{code}"
                )
                self.ask(self.cards.CreateGiftCard, create)
            else:
                self.ask(self.cards.IssueGiftCard, request)
        reference = v1.GiftCardReference
        lock = v1.LockGiftCardRequest(gift_card=reference(code="CPLOCKED01"), request_id="lock")
        self.ask(self.cards.LockGiftCard, lock)
        close = v1.CloseGiftCardRequest(
            gift_card=reference(code="CPCLOSED01"), request_id="close",
            disposition=v1.CloseGiftCardRequest.BREAKAGE,
        )  # fmt: skip
        self.ask(self.cards.CloseGiftCard, close)
        undo = v1.ReverseTransactionRequest(
            original_request_id="make/CPVOIDED01", request_id="undo"
        )
        self.ask(self.cards.ReverseTransaction, undo)


@pytest.fixture(scope="session")
def made(demo_server: GrpcServer) -> Iterator[None]:
    """Customers and cards of the scenarios."""
    with grpc.insecure_channel(demo_server.address) as channel:
        service = _Service(channel)
        for number, points in CUSTOMERS.items():
            service.make_customer(number, points)
        service.make_cards()
        yield


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("name", SCENARIOS)
def test_golden(shim: ShimServer, goldens: Goldens, name: str) -> None:
    goldens.check(name, shim.address, SCENARIOS[name], VOLATILE)


def test_no_golden_is_left_over(goldens: Goldens) -> None:
    assert {path.stem for path in goldens.folder.glob("*.txt")} >= set(SCENARIOS)
