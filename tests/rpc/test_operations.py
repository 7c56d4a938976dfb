"""Every method for cards and customers through real gRPC, its answers compared with a golden.

One story for both engines. `operations.golden.txt` holds what each step must answer; after a
change that is meant, write it anew with UPDATE_GOLDEN=1 and read the difference.
"""

import os
from pathlib import Path
from typing import Any, Final

import pytest
from giftcard import v1
from giftcard.v1 import customer_service_pb2, gift_card_service_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from tests.rpc.edge_stage import SCOPES, START, Heard, Stage, usd
from tests.rpc.plain import Plain
from tests.rpc.server_thread import principal

GOLDEN: Final = Path(__file__).parent / "operations.golden.txt"
FIRST, SECOND, THIRD = "GC-FIRST-0001", "GC-SECOND-0002", "GC-THIRD-0003"
AT_THE_SHOP = v1.CallContext(
    location="locations/shop", terminal="till-7", operator="op-3", receipt="R-1001",
    client_time=Timestamp(seconds=1772366399, nanos=500_000_000), reason="sale",
)  # fmt: skip


def ref(code: str, pin: str = "") -> v1.GiftCardReference:
    return v1.GiftCardReference(code=code, pin=pin)


def transaction(told: dict[str, Any], step: str) -> str:
    name: str = told[step].transaction.name
    return name


#: A step's name and its request; `again` sends an earlier step's request once more. Requests
#: without an id get the step's name as theirs.
STORY: Final[tuple[tuple[str, Any], ...]] = (
    ("create", v1.CreateGiftCardRequest(
        program="programs/GC", code=FIRST, max_balance=usd(50_000),
        valid_from=Date(year=2026, month=3, day=1), valid_until=Date(year=2027, month=2, day=28),
        reload_allowed=True, return_allowed=True, partial_redeem_allowed=True, pin="1234",
        labels={"season": "spring", "chain": "north"}, batch="B-1", external_reference="ERP-77",
        customer="customers/4711", context=AT_THE_SHOP)),
    ("create, again", None),
    ("activate", v1.ActivateGiftCardRequest(
        gift_card=ref(FIRST, "1234"), amount=usd(5000), context=AT_THE_SHOP)),
    ("issue", v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(2500), origin=v1.Tranche.PROMO,
        tranche_expire_date=Date(year=2026, month=6, day=30),
        valid_until=Date(year=2026, month=12, day=31))),
    ("issue, again", None),
    ("issue a plain one", v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(1000), code=THIRD)),
    ("get", lambda told: v1.GetGiftCardRequest(name=told["activate"].gift_card.name)),
    ("lookup", v1.LookupGiftCardRequest(gift_card=ref(" gc-first 0001", "1234"))),
    ("load", v1.LoadGiftCardRequest(
        gift_card=ref(FIRST, "1234"), amount=usd(700), origin=v1.Tranche.PROMO)),
    ("redeem", v1.RedeemGiftCardRequest(
        gift_card=ref(FIRST, "1234"), amount=usd(1200), context=AT_THE_SHOP)),
    ("redeem, again", None),
    ("redeem in part", v1.RedeemGiftCardRequest(
        gift_card=ref(THIRD), amount=usd(1300), allow_partial=True)),
    ("redeem too much", v1.RedeemGiftCardRequest(
        gift_card=ref(FIRST, "1234"), amount=usd(4501))),
    ("redeem too much, again", None),
    ("redeem many", lambda told: v1.RedeemGiftCardsRequest(
        gift_cards=[ref(FIRST, "1234"), ref(THIRD), ref(told["issue"].gift_card.code)],
        amount=usd(3000), order=v1.RedeemGiftCardsRequest.SOONEST_EXPIRY_FIRST)),
    ("redeem many, again", None),
    ("refund", lambda told: v1.RefundGiftCardRequest(
        transaction=transaction(told, "redeem"), amount=usd(600))),
    ("authorize", v1.AuthorizeGiftCardRequest(
        gift_card=ref(FIRST, "1234"), amount=usd(9999), allow_partial=True, exclusive=True,
        expire_after=Duration(seconds=3600), sale_reference="SALE-9", context=AT_THE_SHOP)),
    ("get hold", lambda told: v1.GetHoldRequest(name=told["authorize"].hold.name)),
    ("capture in part", lambda told: v1.CaptureHoldRequest(
        name=told["authorize"].hold.name, amount=usd(1500))),
    ("capture finally", lambda told: v1.CaptureHoldRequest(
        name=told["authorize"].hold.name, amount=usd(100), final=True)),
    ("authorize all", v1.AuthorizeGiftCardRequest(
        gift_card=ref(FIRST, "1234"), whole_balance=True)),
    ("void", lambda told: v1.VoidHoldRequest(name=told["authorize all"].hold.name)),
    ("void, again", None),
    ("list holds", lambda told: v1.ListHoldsRequest(gift_card=told["activate"].gift_card.name)),
    ("reverse", lambda told: v1.ReverseTransactionRequest(
        transaction=transaction(told, "redeem many"))),
    ("reverse, again", None),
    ("reverse twice", v1.ReverseTransactionRequest(original_request_id="redeem many")),
    ("reverse a sale that was spent", lambda told: v1.ReverseTransactionRequest(
        original_request_id="issue a plain one")),
    ("reverse what is late", v1.ReverseTransactionRequest(original_request_id="late")),
    ("late", v1.RedeemGiftCardRequest(gift_card=ref(FIRST, "1234"), amount=usd(100))),
    ("look up approved", v1.LookupTransactionRequest(request_id="redeem")),
    ("look up refused", v1.LookupTransactionRequest(request_id="redeem too much")),
    ("look up unseen", v1.LookupTransactionRequest(request_id="unseen")),
    ("look up and seal", v1.LookupTransactionRequest(request_id="unseen", seal=True)),
    ("unseen", v1.RedeemGiftCardRequest(gift_card=ref(FIRST, "1234"), amount=usd(100))),
    ("get transaction", lambda told: v1.GetTransactionRequest(
        name=transaction(told, "redeem many"))),
    ("list transactions", v1.ListTransactionsRequest(
        location="locations/shop", receipt="R-1001", page_size=2)),
    ("lock", v1.LockGiftCardRequest(gift_card=ref(FIRST))),
    ("unlock", v1.UnlockGiftCardRequest(gift_card=ref(FIRST))),
    ("update", lambda told: v1.UpdateGiftCardRequest(
        gift_card=v1.GiftCard(
            name=told["unlock"].gift_card.name, etag=told["unlock"].gift_card.etag, batch="B-2",
            labels={"season": "summer"}),
        update_mask=FieldMask(paths=["batch", "labels", "valid_until"]))),
    ("adjust", v1.AdjustGiftCardRequest(
        gift_card=ref(FIRST), amount=usd(-250), context=v1.CallContext(reason="counted wrongly"))),
    ("issue another", v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(100), code=SECOND)),
    ("transfer", v1.TransferBalanceRequest(
        source=ref(FIRST, "1234"), target=ref(SECOND), amount=usd(300))),
    ("close", v1.CloseGiftCardRequest(
        gift_card=ref(FIRST), disposition=v1.CloseGiftCardRequest.CASH_OUT, context=AT_THE_SHOP)),
    ("close into another", lambda told: v1.CloseGiftCardRequest(
        gift_card=v1.GiftCardReference(name=told["issue"].gift_card.name),
        disposition=v1.CloseGiftCardRequest.TRANSFER, transfer_target=ref(SECOND))),
    ("change the PIN", lambda told: v1.UpdateGiftCardRequest(
        gift_card=v1.GiftCard(name=told["issue another"].gift_card.name, pin="8642"),
        update_mask=FieldMask(paths=["pin"]))),
    ("change the PIN, again", None),
    ("lookup with the old PIN", v1.LookupGiftCardRequest(gift_card=ref(SECOND, "1234"))),
    ("lookup with the new PIN", v1.LookupGiftCardRequest(gift_card=ref(SECOND, "8642"))),
    ("certificate", v1.RenderCertificateRequest(
        gift_card=ref(SECOND, "8642"), format=v1.RenderCertificateRequest.PDF)),
    ("certificate of a closed card", v1.RenderCertificateRequest(gift_card=ref(FIRST, "1234"))),
    # Customers and their points
    ("loyal", v1.CreateProgramRequest(program_id="LOYAL", program=v1.Program(
        currency_code="USD", points_per_major_unit=100, certificate_color="#c8102e"))),
    ("customer", v1.CreateCustomerRequest(
        customer_id="4711", context=AT_THE_SHOP, customer=v1.Customer(
            external_reference="CRM-9", labels={"tier": "gold"}))),
    ("customer, again", None),
    ("customer twice", v1.CreateCustomerRequest(customer_id="4711")),
    ("earn", v1.EarnPointsRequest(customer="customers/4711", points=6000, context=AT_THE_SHOP)),
    ("earn, again", None),
    ("earn for a while", v1.EarnPointsRequest(
        customer="customers/4711", points=500, expire_date=Date(year=2026, month=6, day=30))),
    ("adjust points", v1.AdjustPointsRequest(
        customer="customers/4711", points=-50, context=v1.CallContext(reason="counted twice"))),
    ("authorize points", v1.AuthorizePointsRequest(
        customer="customers/4711", points=9999, allow_partial=True, sale_reference="SALE-10",
        expire_after=Duration(seconds=600))),
    ("get hold of points", lambda told: v1.GetHoldRequest(
        name=told["authorize points"].hold.name)),
    ("list holds of a customer", v1.ListHoldsRequest(customer="customers/4711")),
    ("capture points", lambda told: v1.CaptureHoldRequest(
        name=told["authorize points"].hold.name,
        amount=v1.Money(minor_units=150, currency_code="POINTS"))),
    ("void points", lambda told: v1.VoidHoldRequest(name=told["authorize points"].hold.name)),
    ("refund points", v1.RefundGiftCardRequest(
        original_request_id="capture points",
        amount=v1.Money(minor_units=50, currency_code="POINTS"))),
    ("buy with points", v1.IssueGiftCardRequest(
        program="programs/LOYAL", amount=usd(5000), customer="customers/4711",
        points_to_redeem=5000, code_format=v1.Program.CodeFormat(
            prefix="WEB-", alphabet=v1.Program.CodeFormat.DIGITS, random_length=16,
            check_digit=v1.Program.NONE))),
    ("buy with points, again", None),
    ("buy with too many", v1.IssueGiftCardRequest(
        program="programs/LOYAL", amount=usd(5000), customer="customers/4711",
        points_to_redeem=5000)),
    ("buy for too few", v1.IssueGiftCardRequest(
        program="programs/LOYAL", amount=usd(1000), customer="customers/4711",
        points_to_redeem=999)),
    ("reverse the purchase", v1.ReverseTransactionRequest(original_request_id="buy with points")),
    ("look the purchase up", v1.LookupTransactionRequest(request_id="buy with points")),
    ("get customer", v1.GetCustomerRequest(name="customers/4711")),
    ("update customer", lambda told: v1.UpdateCustomerRequest(
        customer=v1.Customer(
            name="customers/4711", etag=told["get customer"].etag, external_reference="CRM-10"),
        update_mask=FieldMask(paths=["*"]))),
    ("list customers", v1.ListCustomersRequest(page_size=1)),
    ("list transactions of a customer", v1.ListTransactionsRequest(
        customer="customers/4711", page_size=3)),
    # Codes for cards to come
    ("reserve", v1.ReserveCodesRequest(
        count=3, agency="Website", label="Web001", expire_after=Duration(seconds=3600),
        context=AT_THE_SHOP, code_format=v1.Program.CodeFormat(
            prefix="99-", alphabet=v1.Program.CodeFormat.DIGITS, random_length=17,
            check_digit=v1.Program.NONE))),
    ("reserve, again", None),
    ("issue a reserved one", lambda told: v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(700), require_reserved_code=True,
        code=told["reserve"].codes[0].replace("-", " "))),
    ("issue a reserved one, again", None),
    ("issue what is not reserved", v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(700), require_reserved_code=True, code="NOBODYS")),
    ("release one", lambda told: v1.ReleaseCodesRequest(codes=list(told["reserve"].codes[:2]))),
    ("release", lambda told: v1.ReleaseCodesRequest(reservation=told["reserve"].reservation.name)),
    ("release, again", None),
    ("reserve by the program", v1.ReserveCodesRequest(program="programs/GC", agency="Printers")),
    ("reverse a reservation", v1.ReverseTransactionRequest(
        original_request_id="reserve by the program")),
    ("list", v1.ListGiftCardsRequest(state=v1.GiftCard.ACTIVE)),
)  # fmt: skip


def tell(stage: Stage) -> tuple[dict[str, Any], list[str]]:
    """Plays the story; returns the answers by step, and all of it in plain lines."""
    plain = Plain()
    told: dict[str, Any] = {}
    sent: dict[str, tuple[Message, Heard]] = {}
    lines: list[str] = []
    for number, (name, written) in enumerate(STORY):
        stage.clock.now = START + (number + 1) * 60_000_000
        if written is None:
            request, first = sent[name.removesuffix(", again")]
            assert_replayed(first, stage.call(request, "story"))
            continue
        request = written(told) if callable(written) else written
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = name
        heard = stage.call(request, "story")
        sent[name] = request, heard
        told[name] = heard.message
        if name in {"issue", "buy with points"}:
            plain.hide(heard.message.gift_card.code)
        elif isinstance(request, v1.ReserveCodesRequest):
            for code in heard.message.codes:
                plain.hide(code)
        method = request.DESCRIPTOR.name.removesuffix("Request")
        lines += ["", f"# {name} ({method})", *plain.lines(heard)]
    return told, lines[1:]


def assert_replayed(first: Heard, again: Heard) -> None:
    """A replay is the first answer, byte for byte, but for saying that it is one."""
    assert again.code == first.code
    if first.message is None:
        assert again.metadata == {**first.metadata, "replayed": "true"}
        assert (again.reason, again.text, again.details) == (
            first.reason, first.text, first.details,
        )  # fmt: skip
        return
    assert again.replayed
    if "replayed" in again.message.DESCRIPTOR.fields_by_name:
        assert again.message.replayed
        again.message.replayed = False
    assert again.message == first.message


@pytest.fixture(scope="module")
def story(both: Stage) -> tuple[dict[str, Any], list[str]]:
    both.thread.add("story", principal("own", "story", SCOPES, time_zone="UTC"))
    return tell(both)


def test_every_answer_is_the_golden(story: tuple[dict[str, Any], list[str]]) -> None:
    _, lines = story
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text("\n".join(lines) + "\n")
    assert lines == GOLDEN.read_text().splitlines()


def test_the_feed_has_no_gap_and_every_transaction_reads_the_same_alone(
    both: Stage, story: tuple[dict[str, Any], list[str]]
) -> None:
    listed: list[v1.Transaction] = []
    token = ""
    while True:
        request = v1.ListTransactionsRequest(page_size=7, page_token=token)
        page = both.answer(request, "story")
        listed += page.transactions
        token = page.next_page_token
        if not token:
            break
    sequences = [each.feed_sequence for each in listed]
    assert sequences == list(range(len(listed), 0, -1))
    for each in listed:
        assert each.commit_time.ToMicroseconds() >= each.decide_time.ToMicroseconds()
        assert all(len(entry.hash) == 32 for entry in each.entries)
        assert both.answer(v1.GetTransactionRequest(name=each.name), "story") == each


def test_the_story_has_every_method() -> None:
    services = (
        gift_card_service_pb2.DESCRIPTOR.services_by_name["GiftCardService"],
        customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"],
    )
    told = {line.split("(")[-1][:-1] for line in GOLDEN.read_text().splitlines() if line[:1] == "#"}
    methods = {method.name for service in services for method in service.methods}
    assert told == methods | {"CreateProgram"}
