"""Bad requests to GiftCardService, one line a case: what is sent, and what must be answered."""

from dataclasses import dataclass
from typing import Any, Final

from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from tests.rpc.edge_stage import unique, usd

CODE, OTHERS_CODE, PIN_CODE = "BAD-INPUT-1", "OTHERS-1", "PIN-1"
SALE_CODE: Final = "FOR-SALE-1"
UNKNOWN_ID: Final = "0" * 32
MOST: Final = 10**12
UNKNOWN: Any = 99
INVALID, MISSING, REFUSED = "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"
FIELD = "INVALID_FIELD"


@dataclass(frozen=True, slots=True)
class Case:
    """`request` may hold {card} and {hold} where names go.

    A decision is stored, and so leaves one row; nothing else leaves any.
    """

    name: str
    request: Message
    field: str = ""
    code: str = INVALID
    reason: str = FIELD
    decision: bool = False


def card(code: str = CODE, **parts: Any) -> v1.GiftCardReference:
    return v1.GiftCardReference(code=code, **parts)


def named(name: str) -> v1.GiftCardReference:
    return v1.GiftCardReference(name=name)


def money(minor_units: int, currency: str = "USD") -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code=currency)


def day(year: int, month: int, day: int) -> Date:
    return Date(year=year, month=month, day=day)


def create(**parts: Any) -> Message:
    return v1.CreateGiftCardRequest(**{"program": "programs/GC", "request_id": unique(), **parts})


def issue(**parts: Any) -> Message:
    usual = {"program": "programs/GC", "amount": usd(100), "request_id": unique()}
    return v1.IssueGiftCardRequest(**{**usual, **parts})


def activate(**parts: Any) -> Message:
    usual = {"gift_card": card(), "amount": usd(100), "request_id": unique()}
    return v1.ActivateGiftCardRequest(**{**usual, **parts})


def load(**parts: Any) -> Message:
    usual = {"gift_card": card(), "amount": usd(100), "request_id": unique()}
    return v1.LoadGiftCardRequest(**{**usual, **parts})


def redeem(**parts: Any) -> Message:
    usual = {"gift_card": card(), "amount": usd(100), "request_id": unique()}
    return v1.RedeemGiftCardRequest(**{**usual, **parts})


def redeem_many(*cards: v1.GiftCardReference, **parts: Any) -> Message:
    usual = {"gift_cards": cards, "amount": usd(100), "request_id": unique()}
    return v1.RedeemGiftCardsRequest(**{**usual, **parts})


def refund(**parts: Any) -> Message:
    usual = {"original_request_id": "sale", "amount": usd(1), "request_id": unique()}
    return v1.RefundGiftCardRequest(**{**usual, **parts})


def authorize(**parts: Any) -> Message:
    usual = {"gift_card": card(), "request_id": unique()}
    return v1.AuthorizeGiftCardRequest(**{**usual, **parts})


def capture(name: str = "{hold}", **parts: Any) -> Message:
    return v1.CaptureHoldRequest(**{"name": name, "request_id": unique(), **parts})


def reverse(**parts: Any) -> Message:
    return v1.ReverseTransactionRequest(**{"request_id": unique(), **parts})


def close(**parts: Any) -> Message:
    usual = {"gift_card": card(), "request_id": unique()}
    return v1.CloseGiftCardRequest(**{**usual, **parts})


def transfer(**parts: Any) -> Message:
    usual = {"source": card(), "target": card(PIN_CODE), "request_id": unique()}
    return v1.TransferBalanceRequest(**{**usual, **parts})


def adjust(**parts: Any) -> Message:
    usual = {"gift_card": card(), "amount": usd(1), "request_id": unique()}
    return v1.AdjustGiftCardRequest(**{**usual, "context": v1.CallContext(reason="why"), **parts})


def update(*paths: str, **parts: Any) -> Message:
    return v1.UpdateGiftCardRequest(
        gift_card=v1.GiftCard(**{"name": "{card}", **parts}),
        update_mask=FieldMask(paths=paths),
        request_id=unique(),
    )


def context(**parts: Any) -> Message:
    return redeem(context=v1.CallContext(**parts))


def earn(**parts: Any) -> Message:
    usual = {"customer": "customers/7", "points": 5, "request_id": unique()}
    return v1.EarnPointsRequest(**{**usual, **parts})


def adjust_points(**parts: Any) -> Message:
    usual = {"customer": "customers/7", "points": 5, "request_id": unique()}
    why = v1.CallContext(reason="why")
    return v1.AdjustPointsRequest(**{**usual, "context": why, **parts})


def hold_points(**parts: Any) -> Message:
    usual = {"customer": "customers/7", "request_id": unique()}
    return v1.AuthorizePointsRequest(**{**usual, **parts})


def customer(customer_id: str, **parts: Any) -> Message:
    return v1.CreateCustomerRequest(
        customer_id=customer_id, customer=v1.Customer(**parts), request_id=unique()
    )


def update_customer(*paths: str, name: str = "customers/7", **parts: Any) -> Message:
    return v1.UpdateCustomerRequest(
        customer=v1.Customer(name=name, **parts), update_mask=FieldMask(paths=paths),
        request_id=unique(),
    )  # fmt: skip


def reserve(**parts: Any) -> Message:
    usual = {"program": "programs/GC", "agency": "Website", "request_id": unique()}
    return v1.ReserveCodesRequest(**{**usual, **parts})


def release(**parts: Any) -> Message:
    return v1.ReleaseCodesRequest(**{"request_id": unique(), **parts})


def certificate(**parts: Any) -> Message:
    return v1.RenderCertificateRequest(**{"gift_card": card(), **parts})


def code_format(**parts: Any) -> v1.Program.CodeFormat:
    return v1.Program.CodeFormat(**parts)


UNITS, UNIT = "amount.minor_units", "amount.currency_code"
CASES: Final = (
    # Amounts
    Case("amount missing", redeem(amount=None), "amount"),
    Case("amount empty", redeem(amount=v1.Money()), UNITS),
    Case("amount 0", redeem(amount=usd(0)), UNITS),
    Case("amount -1", redeem(amount=usd(-1)), UNITS),
    Case("amount above the cap", redeem(amount=usd(MOST + 1)), UNITS),
    Case("amount 2^63-1", redeem(amount=usd(2**63 - 1)), UNITS),
    Case("amount -2^63", redeem(amount=usd(-(2**63))), UNITS),
    Case("issue 0", issue(amount=usd(0)), UNITS),
    Case("issue nothing", issue(amount=None), "amount"),
    Case("issue -2^63", issue(amount=usd(-(2**63))), UNITS),
    Case("activate 0", activate(amount=usd(0)), UNITS),
    Case("load -5", load(amount=usd(-5)), UNITS),
    Case("redeem many 0", redeem_many(card(), amount=usd(0)), UNITS),
    Case("refund 0", refund(amount=usd(0)), UNITS),
    Case("refund nothing", refund(amount=None), "amount"),
    Case("hold 0", authorize(amount=usd(0)), UNITS),
    Case("capture 0", capture(amount=usd(0)), UNITS),
    Case("capture above the cap", capture(amount=usd(MOST + 1)), UNITS),
    Case("transfer 0", transfer(amount=usd(0)), UNITS),
    Case("adjust 0", adjust(amount=usd(0)), UNITS),
    Case("adjust -2^63", adjust(amount=usd(-(2**63))), UNITS),
    Case("adjust below the cap", adjust(amount=usd(-MOST - 1)), UNITS),
    Case("max_balance 0", issue(max_balance=usd(0)), "max_balance.minor_units"),
    Case("max_balance -1", create(max_balance=usd(-1)), "max_balance.minor_units"),
    Case("currency missing", redeem(amount=money(100, "")), UNIT),
    Case("currency unknown", redeem(amount=money(100, "XYZ")), UNIT),
    Case("currency without minor unit", redeem(amount=money(100, "XAU")), UNIT),
    Case("currency in lower case", redeem(amount=money(100, "usd")), UNIT),
    Case("currency with a space", redeem(amount=money(100, "USD ")), UNIT),
    Case("currency of max_balance", issue(max_balance=money(1, "ZZZ")),
         "max_balance.currency_code"),
    Case("redeem other", redeem(amount=money(1, "EUR")), "", REFUSED, "CURRENCY_MISMATCH", True),
    Case("load other", load(amount=money(100, "EUR")), "", REFUSED, "CURRENCY_MISMATCH", True),
    Case("issue other", issue(amount=money(100, "EUR")), "", REFUSED, "CURRENCY_MISMATCH", True),
    Case("capture other", capture(amount=money(1, "EUR")), "", REFUSED, "CURRENCY_MISMATCH", True),
    # Enums
    Case("origin unknown, issue", issue(origin=UNKNOWN), "origin"),
    Case("origin REFUND, issue", issue(origin=v1.Tranche.REFUND), "origin"),
    Case("origin unknown, load", load(origin=UNKNOWN), "origin"),
    Case("origin POINTS, load", load(origin=v1.Tranche.POINTS), "origin"),
    Case("order unknown", redeem_many(card(), order=UNKNOWN), "order"),
    Case("order -1", redeem_many(card(), order=-1), "order"),
    Case("disposition unknown", close(disposition=UNKNOWN), "disposition"),
    Case("card state unknown", v1.ListGiftCardsRequest(state=UNKNOWN), "state"),
    Case("card state -1", v1.ListGiftCardsRequest(state=-1), "state"),  # type: ignore[arg-type]
    Case("hold state unknown", v1.ListHoldsRequest(state=UNKNOWN), "state"),
    # Dates, instants, durations
    Case("date zero", issue(valid_from=Date()), "valid_from"),
    Case("date impossible", issue(valid_until=day(2026, 2, 30)), "valid_until"),
    Case("date of year 10000", issue(valid_until=day(10000, 1, 1)), "valid_until"),
    Case("date of last day", issue(valid_until=day(9999, 12, 31)), "valid_until"),
    Case("date before 1970", issue(valid_until=day(1969, 12, 31)), "valid_until"),
    Case("date negative", issue(valid_until=day(2026, -1, 1)), "valid_until"),
    Case("date without day", create(valid_from=day(2026, 2, 0)), "valid_from"),
    Case("date without year", create(valid_from=day(0, 2, 1)), "valid_from"),
    Case("dates swapped, issue",
         issue(valid_from=day(2026, 3, 2), valid_until=day(2026, 3, 1)), "valid_until"),
    Case("dates swapped, activate",
         activate(valid_from=day(2026, 3, 2), valid_until=day(2026, 3, 1)), "valid_until"),
    Case("dates swapped, update",
         update("valid_from", "valid_until", valid_from=day(2026, 3, 2),
                valid_until=day(2026, 3, 1)), "gift_card.valid_until"),
    Case("tranche date impossible", load(tranche_expire_date=day(2026, 13, 1)),
         "tranche_expire_date"),
    Case("update date impossible", update("valid_until", valid_until=day(2026, 2, 29)),
         "gift_card.valid_until"),
    Case("client_time before 1970", context(client_time=Timestamp(seconds=-1)),
         "context.client_time"),
    Case("client_time after 9999", context(client_time=Timestamp(seconds=253402300800)),
         "context.client_time"),
    Case("client_time nanos", context(client_time=Timestamp(seconds=1, nanos=-1)),
         "context.client_time"),
    Case("start_time huge", v1.ListTransactionsRequest(start_time=Timestamp(seconds=2**62)),
         "start_time"),
    Case("end_time negative", v1.ListTransactionsRequest(end_time=Timestamp(seconds=-(2**62))),
         "end_time"),
    Case("times swapped", v1.ListTransactionsRequest(
        start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)), "end_time"),
    Case("no time at all", v1.ListTransactionsRequest(
        start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=2)), "end_time"),
    Case("hold for 0 s", authorize(whole_balance=True, expire_after=Duration()), "expire_after"),
    Case("hold for -1 s", authorize(whole_balance=True, expire_after=Duration(seconds=-1)),
         "expire_after"),
    Case("hold for half a second", authorize(whole_balance=True, expire_after=Duration(nanos=5)),
         "expire_after"),
    Case("hold for 1.5 s",
         authorize(whole_balance=True, expire_after=Duration(seconds=1, nanos=500_000_000)),
         "expire_after"),
    Case("hold for 367 days",
         authorize(whole_balance=True, expire_after=Duration(seconds=31_708_800)), "expire_after"),
    Case("hold for ever", authorize(whole_balance=True, expire_after=Duration(seconds=2**62)),
         "expire_after"),
    # Request ids
    Case("request id empty", redeem(request_id=""), "request_id"),
    Case("request id of 129", redeem(request_id="x" * 129), "request_id"),
    Case("request id not ASCII", redeem(request_id="ä"), "request_id"),
    Case("request id with NUL", redeem(request_id="a\0b"), "request_id"),
    Case("request id with newline", redeem(request_id="a\n"), "request_id"),
    Case("request id with leading space", redeem(request_id=" a"), "request_id"),
    Case("request id with trailing space", redeem(request_id="a "), "request_id"),
    Case("looked-up id empty", v1.LookupTransactionRequest(), "request_id"),
    Case("looked-up id of 129", v1.LookupTransactionRequest(request_id="x" * 129), "request_id"),
    Case("reversed id not ASCII", reverse(original_request_id="ä"), "original_request_id"),
    Case("reversed id empty", reverse(original_request_id=""), "original_request_id"),
    Case("reversal of itself", reverse(original_request_id="r", request_id="r"), "request_id"),
    # Names
    Case("name empty", v1.GetGiftCardRequest(), "name"),
    Case("name malformed", v1.GetGiftCardRequest(name="giftCards/1"), "name"),
    Case("name in capitals", v1.GetGiftCardRequest(name="giftCards/" + "A" * 32), "name"),
    Case("name too deep", v1.GetGiftCardRequest(name=f"giftCards/{UNKNOWN_ID}/x"), "name"),
    Case("name of a hold", v1.GetGiftCardRequest(name=f"holds/{UNKNOWN_ID}"), "name"),
    Case("name of a card", v1.GetHoldRequest(name=f"giftCards/{UNKNOWN_ID}"), "name"),
    Case("transaction malformed", v1.GetTransactionRequest(name="transactions/"), "name"),
    Case("capture by card", capture(f"giftCards/{UNKNOWN_ID}"), "name"),
    Case("reverse by hold", reverse(transaction=f"holds/{UNKNOWN_ID}"), "transaction"),
    Case("refund malformed", refund(transaction="x"), "transaction"),
    Case("update without a card", v1.UpdateGiftCardRequest(request_id="u"), "gift_card.name"),
    Case("card name malformed", redeem(gift_card=named("x")), "gift_card.name"),
    Case("program malformed", issue(program="GC"), "program"),
    Case("program empty", issue(program=""), "program"),
    Case("program with a slash", issue(program="programs/a/b"), "program"),
    Case("program of 64", issue(program="programs/" + "x" * 64), "program"),
    Case("location malformed", context(location="shop"), "context.location"),
    Case("filter program malformed", v1.ListGiftCardsRequest(program="GC"), "program"),
    Case("filter location malformed", v1.ListTransactionsRequest(location="x"), "location"),
    Case("filter card malformed", v1.ListHoldsRequest(gift_card="x"), "gift_card"),
    Case("filter card of transactions", v1.ListTransactionsRequest(gift_card="x"), "gift_card"),
    # Well-formed, but there is no such thing
    Case("card unknown", v1.GetGiftCardRequest(name=f"giftCards/{UNKNOWN_ID}"), "", MISSING,
         "GIFT_CARD_NOT_FOUND"),
    Case("code unknown", redeem(gift_card=card("NOBODYS")), "", MISSING, "GIFT_CARD_NOT_FOUND"),
    Case("lookup unknown", v1.LookupGiftCardRequest(gift_card=card("NOBODYS")), "", MISSING,
         "GIFT_CARD_NOT_FOUND"),
    Case("hold unknown", v1.GetHoldRequest(name=f"holds/{UNKNOWN_ID}"), "", MISSING,
         "HOLD_NOT_FOUND"),
    Case("capture unknown", capture(f"holds/{UNKNOWN_ID}"), "", MISSING, "HOLD_NOT_FOUND"),
    Case("transaction unknown", v1.GetTransactionRequest(name=f"transactions/{UNKNOWN_ID}"), "",
         MISSING, "TRANSACTION_NOT_FOUND"),
    Case("reverse unknown", reverse(transaction=f"transactions/{UNKNOWN_ID}"), "", MISSING,
         "TRANSACTION_NOT_FOUND"),
    Case("refund unknown", refund(original_request_id="never sent"), "", MISSING,
         "TRANSACTION_NOT_FOUND"),
    Case("program unknown", issue(program="programs/NONE"), "", MISSING, "PROGRAM_NOT_FOUND"),
    Case("location unknown", context(location="locations/none"), "", MISSING,
         "LOCATION_NOT_FOUND"),
    Case("target unknown", transfer(target=card("NOBODYS")), "", MISSING, "GIFT_CARD_NOT_FOUND"),
    # Codes and PINs
    Case("card missing", redeem(gift_card=None), "gift_card"),
    Case("card reference empty", redeem(gift_card=v1.GiftCardReference()), "gift_card"),
    Case("only a PIN", redeem(gift_card=v1.GiftCardReference(pin="1234")), "gift_card"),
    Case("code empty", redeem(gift_card=card("")), "gift_card.code"),
    Case("code of blanks", redeem(gift_card=card(" - ")), "gift_card.code"),
    Case("code not ASCII", redeem(gift_card=card("GÜLTIG")), "gift_card.code"),
    Case("code in other digits", redeem(gift_card=card("١٢٣")), "gift_card.code"),
    Case("code of 41", redeem(gift_card=card("x" * 41)), "gift_card.code"),
    Case("code with control characters", redeem(gift_card=card("a\x07b")), "gift_card.code"),
    Case("new code of 41", issue(code="x" * 41), "code"),
    Case("new code not ASCII", create(code="ä"), "code"),
    Case("new code of blanks", create(code="  "), "code"),
    Case("PIN of letters", redeem(gift_card=card(PIN_CODE, pin="abcd")), "gift_card.pin"),
    Case("PIN of 3", redeem(gift_card=card(PIN_CODE, pin="123")), "gift_card.pin"),
    Case("PIN of 13", redeem(gift_card=card(PIN_CODE, pin="1" * 13)), "gift_card.pin"),
    Case("PIN in other digits", redeem(gift_card=card(PIN_CODE, pin="١٢٣٤")), "gift_card.pin"),
    Case("new PIN of 3", issue(pin="123"), "pin"),
    Case("changed PIN of letters", update("pin", pin="abcd"), "gift_card.pin"),
    Case("PIN required by the program", issue(program="programs/PIN"), "pin"),
    Case("code taken", issue(code=CODE), "", "ALREADY_EXISTS", "CODE_EXISTS"),
    Case("code taken, spelled otherwise", create(code="bad input 1"), "", "ALREADY_EXISTS",
         "CODE_EXISTS"),
    Case("PIN not given", redeem(gift_card=card(PIN_CODE)), "", "PERMISSION_DENIED",
         "PIN_REQUIRED", True),
    # One of several
    Case("hold nothing", authorize(), "amount"),
    Case("hold not the whole balance", authorize(whole_balance=False), "amount"),
    Case("hold amount empty", authorize(amount=v1.Money()), UNITS),
    Case("reverse nothing", reverse(), "original"),
    Case("refund nothing named", refund(original_request_id=None), "original"),
    Case("TRANSFER without target", close(disposition=v1.CloseGiftCardRequest.TRANSFER),
         "transfer_target"),
    Case("target without TRANSFER",
         close(disposition=v1.CloseGiftCardRequest.BREAKAGE, transfer_target=card(PIN_CODE)),
         "transfer_target"),
    Case("target without disposition", close(transfer_target=card(PIN_CODE)), "transfer_target"),
    Case("target empty", close(disposition=v1.CloseGiftCardRequest.TRANSFER,
         transfer_target=v1.GiftCardReference()), "transfer_target"),
    Case("transfer without source", transfer(source=None), "source"),
    Case("transfer without target", transfer(target=None), "target"),
    Case("transfer to itself", transfer(target=card()), "", REFUSED, "SAME_CARD", True),
    # Lists of cards
    Case("no cards", redeem_many(), "gift_cards"),
    Case("21 cards", redeem_many(*(card(f"c{n}") for n in range(21))), "gift_cards"),
    Case("the same card twice", redeem_many(card(), card()), "gift_cards"),
    Case("the same card spelled twice", redeem_many(card(), card("bad input-1")), "gift_cards"),
    Case("the same card by code and name", redeem_many(card(), named("{card}")), "", REFUSED,
         "SAME_CARD", True),
    Case("a card without reference", redeem_many(card(), v1.GiftCardReference()),
         "gift_cards[1]"),
    Case("a malformed second card", redeem_many(card(), card("ä")), "gift_cards[1].code"),
    # Texts and labels
    Case("terminal of 129", context(terminal="x" * 129), "context.terminal"),
    Case("operator with a newline", context(operator="a\nb"), "context.operator"),
    Case("receipt with NUL", context(receipt="\0"), "context.receipt"),
    Case("reason of 256", context(reason="x" * 256), "context.reason"),
    Case("adjust without a reason", adjust(context=None), "context.reason"),
    Case("adjust for a blank reason", adjust(context=v1.CallContext(reason=" ")),
         "context.reason"),
    Case("batch of 129", issue(batch="x" * 129), "batch"),
    Case("customer with a tab", issue(customer="customers/a\tb"), "customer"),
    Case("customer that is no name", create(customer="4711"), "customer"),
    Case("customer of another collection", update("customer", customer="giftCards/1"),
         "gift_card.customer"),
    Case("reference of 129", create(external_reference="x" * 129), "external_reference"),
    Case("sale reference of 129", authorize(whole_balance=True, sale_reference="x" * 129),
         "sale_reference"),
    Case("33 labels", issue(labels={f"k{n}": "v" for n in range(33)}), "labels"),
    Case("label without a key", issue(labels={"": "v"}), "labels.key"),
    Case("label key of 64", issue(labels={"k" * 64: "v"}), "labels.key"),
    Case("label of 256", issue(labels={"k": "v" * 256}), "labels[k]"),
    Case("last four of 5", v1.ListGiftCardsRequest(code_last_four="12345"), "code_last_four"),
    # Masks
    Case("mask on money", update("balance"), "update_mask"),
    Case("mask on state", update("state"), "update_mask"),
    Case("mask on name", update("name"), "update_mask"),
    Case("mask on code", update("code"), "update_mask"),
    Case("mask unknown", update("nonsense"), "update_mask"),
    Case("mask inside a field", update("labels.a"), "update_mask"),
    Case("mask star and more", update("*", "batch"), "update_mask"),
    Case("mask empty, money set", update(balance=usd(5)), "update_mask"),
    Case("mask empty, nothing set", update(), "update_mask"),
    Case("etag old", update("batch", etag='"old"'), "", "ABORTED", "ETAG_MISMATCH"),
    # Customers and points
    Case("customer without a number", customer(""), "customer_id"),
    Case("customer with a slash", customer("a/b"), "customer_id"),
    Case("customer of 64", customer("7" * 64), "customer_id"),
    Case("customer's labels", customer("8", labels={"": "v"}), "customer.labels.key"),
    Case("customer's reference", customer("8", external_reference="x" * 129),
         "customer.external_reference"),
    Case("customer there is", customer("7"), "", "ALREADY_EXISTS", "RESOURCE_EXISTS"),
    Case("customer's name", v1.GetCustomerRequest(name="giftCards/7"), "name"),
    Case("customer unknown", v1.GetCustomerRequest(name="customers/8"), "", MISSING,
         "CUSTOMER_NOT_FOUND"),
    Case("earn nothing", earn(points=0), "points"),
    Case("earn -1", earn(points=-1), "points"),
    Case("earn above the cap", earn(points=MOST + 1), "points"),
    Case("earn 2^63-1", earn(points=2**63 - 1), "points"),
    Case("earn for nobody", earn(customer=""), "customer"),
    Case("earn for a card", earn(customer=f"giftCards/{UNKNOWN_ID}"), "customer"),
    Case("earn for an unknown one", earn(customer="customers/8"), "", MISSING,
         "CUSTOMER_NOT_FOUND"),
    Case("earn until no day", earn(expire_date=day(2026, 2, 30)), "expire_date"),
    Case("earn until yesterday", earn(expire_date=day(2026, 2, 28)), "", REFUSED,
         "POINTS_EXPIRED", True),
    Case("adjust points by 0", adjust_points(points=0), "points"),
    Case("adjust points by -2^63", adjust_points(points=-(2**63)), "points"),
    Case("adjust points for no reason", adjust_points(context=None), "context.reason"),
    Case("adjust points below zero", adjust_points(points=-1), "", REFUSED,
         "INSUFFICIENT_POINTS", True),
    Case("hold no points", hold_points(), "points"),
    Case("hold 0 points", hold_points(points=0), "points"),
    Case("hold not all points", hold_points(whole_balance=False), "points"),
    Case("hold points for ever", hold_points(points=1, expire_after=Duration(seconds=2**62)),
         "expire_after"),
    Case("hold points that are not there", hold_points(points=1), "", REFUSED,
         "INSUFFICIENT_POINTS", True),
    Case("hold all of no points", hold_points(whole_balance=True), "", REFUSED,
         "INSUFFICIENT_POINTS", True),
    Case("update nobody", v1.UpdateCustomerRequest(request_id="u"), "customer"),
    Case("update a customer's points", update_customer("point_balance"), "update_mask"),
    Case("update nothing of a customer", update_customer(), "update_mask"),
    Case("update a customer by an old etag", update_customer("labels", etag='"old"'), "",
         "ABORTED", "ETAG_MISMATCH"),
    Case("points without a customer", issue(points_to_redeem=5), "customer"),
    Case("points below zero", issue(points_to_redeem=-5, customer="customers/7"),
         "points_to_redeem"),
    Case("points above the cap", issue(points_to_redeem=MOST + 1, customer="customers/7"),
         "points_to_redeem"),
    Case("points and PROMO",
         issue(points_to_redeem=5, customer="customers/7", origin=v1.Tranche.PROMO), "origin"),
    Case("points of a stranger", issue(points_to_redeem=5, customer="customers/8"), "", MISSING,
         "CUSTOMER_NOT_FOUND"),
    Case("points where money is wanted", issue(points_to_redeem=5, customer="customers/7"), "",
         REFUSED, "POINTS_NOT_ALLOWED", True),
    Case("customer required and none", issue(require_customer=True), "require_customer"),
    Case("customer required and unknown",
         create(require_customer=True, customer="customers/8"), "", MISSING,
         "CUSTOMER_NOT_FOUND"),
    Case("customer of a card malformed", issue(customer="8"), "customer"),
    Case("update to a malformed customer", update("customer", customer="8"),
         "gift_card.customer"),
    Case("points on a card", load(amount=money(1, "POINTS")), "", REFUSED, "CURRENCY_MISMATCH",
         True),
    Case("holds of a card and a customer",
         v1.ListHoldsRequest(gift_card=f"giftCards/{UNKNOWN_ID}", customer="customers/7"),
         "customer"),
    Case("holds of a stranger", v1.ListHoldsRequest(customer="customers/8"), "", MISSING,
         "CUSTOMER_NOT_FOUND"),
    Case("transactions of a malformed customer", v1.ListTransactionsRequest(customer="7"),
         "customer"),
    # Codes for cards to come, certificates
    Case("reserve for nobody", reserve(agency=""), "agency"),
    Case("reserve for a blank", reserve(agency="  "), "agency"),
    Case("reserve for 129", reserve(agency="x" * 129), "agency"),
    Case("reserve with a label of 129", reserve(label="x" * 129), "label"),
    Case("reserve -1", reserve(count=-1), "count"),
    Case("reserve for 0 s", reserve(expire_after=Duration()), "expire_after"),
    Case("reserve too long", reserve(expire_after=Duration(seconds=3661 * 86400)),
         "expire_after"),
    Case("reserve in no format", reserve(program=""), "program"),
    Case("reserve in an unknown program", reserve(program="programs/NONE"), "", MISSING,
         "PROGRAM_NOT_FOUND"),
    Case("reserve what is guessed",
         reserve(code_format=code_format(alphabet=v1.Program.CodeFormat.DIGITS, random_length=9)),
         "code_format"),
    Case("reserve in an unknown alphabet", reserve(code_format=code_format(alphabet=UNKNOWN)),
         "code_format.alphabet"),
    Case("reserve with an unknown check", reserve(code_format=code_format(check_digit=UNKNOWN)),
         "code_format.check_digit"),
    Case("reserve under a prefix in small letters",
         reserve(code_format=code_format(prefix="web-")), "code_format"),
    Case("format and code", issue(code="FORMAT-1", code_format=code_format()), "code_format"),
    Case("format of nothing", create(code_format=code_format(random_length=-1)), "code_format"),
    Case("reserved and no code", issue(require_reserved_code=True), "require_reserved_code"),
    Case("not reserved", create(require_reserved_code=True, code="FREE-1"), "", REFUSED,
         "CODE_NOT_RESERVED", True),
    Case("release nothing", release(), "reservation"),
    Case("release both", release(reservation=f"codeReservations/{UNKNOWN_ID}", codes=["X"]),
         "reservation"),
    Case("release by another name", release(reservation=f"transactions/{UNKNOWN_ID}"),
         "reservation"),
    Case("release an unknown one", release(reservation=f"codeReservations/{UNKNOWN_ID}"), "",
         MISSING, "CODE_RESERVATION_NOT_FOUND"),
    Case("release no code", release(codes=["A", ""]), "codes[1]"),
    Case("release a code twice", release(codes=["AB", "a-b"]), "codes"),
    Case("release 1001 codes", release(codes=[f"C{n}" for n in range(1001)]), "codes"),
    Case("certificate of nothing", certificate(gift_card=None), "gift_card"),
    Case("certificate in an unknown form", certificate(format=UNKNOWN), "format"),
    Case("certificate of an unknown card", certificate(gift_card=card("NOBODYS")), "", MISSING,
         "GIFT_CARD_NOT_FOUND"),
    Case("certificate without the PIN", certificate(gift_card=card(PIN_CODE)), "",
         "PERMISSION_DENIED", "PIN_REQUIRED"),
    Case("certificate of a card for sale", certificate(gift_card=card(SALE_CODE)), "", REFUSED,
         "CARD_INACTIVE"),
    # Pages
    Case("page size -1, customers", v1.ListCustomersRequest(page_size=-1), "page_size"),
    Case("page size -1, cards", v1.ListGiftCardsRequest(page_size=-1), "page_size"),
    Case("page size -1, holds", v1.ListHoldsRequest(page_size=-1), "page_size"),
    Case("page size -2^31, transactions", v1.ListTransactionsRequest(page_size=-(2**31)),
         "page_size"),
    *(Case(f"page token {name}", v1.ListTransactionsRequest(page_token=token), "", INVALID,
           "PAGE_TOKEN_INVALID")
      for name, token in (("garbage", "!!!"), ("not ASCII", "ä"), ("of base64", "AAAA"),
                          ("of zeros", "A" * 60), ("of blanks", "   "))),
)  # fmt: skip
