"""iWAREHOUSE Gift Card API: one GET that creates a card (`qty`) or reads one (`card`).

The vendor documents the parameters and the thirteen members of the answer, in this order and with
this spelling, dates as d/MM/yyyy, and codes in upper case with a prefix.  It publishes no failure,
and nothing of what several of its words mean.  The following is *our convention*.

`qty` is the card's value and not a count: one call creates one card.  One of `expiresdays`,
`expiresmonths`, `expiresyears` and `expires` may say how long it is valid, through the whole of its
last day; a month without that day ends on its last one.  `expires` is d/M/yyyy, or yyyy-MM-dd.
Without any of them the program decides.

`CardBalance` is what can be spent now.  `CardBalanceDteTme` is the day of the last change since the
sale, empty when there was none.  `CardActive` says that the card was sold and is neither locked nor
closed; whether it has expired, `CardExpiryDate` says.  `CardKey` is made from the card's name and
always the same, but two cards may share one: the code is what names a card.  Members that have no
counterpart are 0 or empty, as in the vendor's examples.

Since a GET creates value here, it is never cached, and refused to HEAD and to look-ahead requests.
An optional `ref` names the request: the same one sent again is answered with the card that was made
the first time.  Without it each call is a new card, and a 504 means that none was left behind.

A failure is a 4xx or 5xx with `Error` and `ErrorCode`, and no member that starts with Card.

The login's client needs the scopes READ and SELL.
"""

import base64
import calendar
import re
from collections.abc import Generator, Mapping
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from compat_http import amounts
from compat_http.dialect import (
    Answer,
    Dialect,
    LegacyRequest,
    Operation,
    Refusal,
    Reply,
    Route,
    Rpc,
    Trace,
    derived_id,
)
from compat_http.settings import IwarehouseSettings, Settings
from compat_http.strict_json import exact_number

PATH: Final = "/core/sales/cards/gift/gift_api.asp"

#: Spaces and hyphens of a code do not count.
_CODE: Final = re.compile(r"(?:[ -]*[!-,.-~]){1,40}[ -]*")
_REF: Final = re.compile(r"[ -~]{1,64}")
_COUNT: Final = re.compile(r"[0-9]{1,5}")
_DAY_FIRST: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
_ISO: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9998

#: Every reason of the contract and of the shim, in words for a developer.
REASONS: Final[Mapping[str, Answer]] = {
    # The request
    "INVALID_FIELD": Answer(400, "A parameter is not valid."),
    "MALFORMED_REQUEST": Answer(400, "The request is not valid"),
    "PAGE_TOKEN_INVALID": Answer(500, "The request could not be processed."),
    "REQUEST_TOO_LARGE": Answer(413, "The request is too large."),
    "BODY_TOO_LARGE": Answer(413, "The request is too large."),
    "METHOD_NOT_ALLOWED": Answer(405, "Requests are sent by GET."),
    "PREFETCH_REFUSED": Answer(403, "Requests must not be sent ahead of time."),
    # The caller
    "UNAUTHENTICATED": Answer(401, "log or pwd is missing or wrong."),
    "SCOPE_MISSING": Answer(403, "This login may not do this."),
    "LOCATION_FORBIDDEN": Answer(403, "This login may not work for this location."),
    # Repeats
    "REQUEST_ID_REUSED": Answer(409, "This ref was used for another request."),
    "REQUEST_SEALED": Answer(409, "This ref was given up. Send the request under a new one."),
    "REVERSED_BEFORE_ARRIVAL": Answer(
        409, "The request with this ref was undone. Send it under a new one."
    ),
    "ETAG_MISMATCH": Answer(409, "The card has just been changed. Please try again."),
    # What is named
    "GIFT_CARD_NOT_FOUND": Answer(404, "There is no such card."),
    "HOLD_NOT_FOUND": Answer(404, "There is no such hold."),
    "TRANSACTION_NOT_FOUND": Answer(404, "There is no such transaction."),
    "PROGRAM_NOT_FOUND": Answer(422, "Cards cannot be created here."),
    "LOCATION_NOT_FOUND": Answer(422, "Unknown location."),
    "MERCHANT_NOT_FOUND": Answer(422, "Unknown merchant."),
    "API_CLIENT_NOT_FOUND": Answer(422, "Unknown client."),
    "CREDENTIAL_NOT_FOUND": Answer(422, "Unknown credential."),
    "CUSTOMER_NOT_FOUND": Answer(422, "Unknown customer."),
    "CODE_RESERVATION_NOT_FOUND": Answer(422, "Unknown reservation of card numbers."),
    "CODE_EXISTS": Answer(409, "No free code was found. Please try again."),
    "CODE_NOT_RESERVED": Answer(422, "The card number is not reserved."),
    "CODE_NOT_STORED": Answer(422, "The number of this card cannot be shown."),
    "RESOURCE_EXISTS": Answer(409, "This exists already."),
    # The PIN, for which there is no parameter
    "PIN_REQUIRED": Answer(422, "This card needs a PIN and cannot be read here."),
    "PIN_INCORRECT": Answer(422, "The PIN is wrong."),
    "PIN_LOCKED": Answer(422, "The PIN of this card is locked."),
    # State
    "CARD_INACTIVE": Answer(422, "The card has not been sold yet."),
    "CARD_ALREADY_ACTIVE": Answer(409, "The card has been sold already."),
    "CARD_LOCKED": Answer(422, "The card is locked."),
    "CARD_CLOSED": Answer(422, "The card is closed."),
    "CARD_VOIDED": Answer(422, "The sale of the card was undone."),
    "HOLD_CAPTURED": Answer(422, "The hold was used already."),
    "HOLD_VOIDED": Answer(422, "The hold was released already."),
    "HOLD_EXPIRED": Answer(422, "The hold has expired."),
    "OPEN_HOLDS": Answer(409, "Part of the balance is reserved."),
    "HELD_BY_OTHER": Answer(409, "The card is reserved elsewhere."),
    "PROGRAM_RETIRED": Answer(422, "Cards are not created here any more."),
    "NOT_REFUNDABLE": Answer(422, "This cannot be refunded."),
    "NOT_REVERSIBLE": Answer(422, "This cannot be undone."),
    "SAME_CARD": Answer(422, "The card is named twice."),
    # Validity, currency, rules
    "CARD_NOT_YET_VALID": Answer(422, "The card is not valid yet."),
    "CARD_EXPIRED": Answer(422, "The expiry date is over."),
    "CURRENCY_MISMATCH": Answer(422, "The card has another currency."),
    "RELOAD_NOT_ALLOWED": Answer(422, "The card cannot be loaded again."),
    "RETURN_NOT_ALLOWED": Answer(422, "The card cannot be returned."),
    "PARTIAL_REDEEM_NOT_ALLOWED": Answer(422, "The card can only be used in full."),
    "HOLDS_NOT_ALLOWED": Answer(422, "The card cannot be reserved."),
    "VALUE_CHANGE_NOT_ALLOWED": Answer(422, "Cards have a fixed value here, and qty is another."),
    "DENOMINATION_NOT_ALLOWED": Answer(422, "Cards are not sold at this value."),
    # Limits and funds
    "AMOUNT_BELOW_MINIMUM": Answer(422, "qty is below the minimum value of a card."),
    "AMOUNT_ABOVE_MAXIMUM": Answer(422, "qty is above the maximum value of a card."),
    "MAX_BALANCE_EXCEEDED": Answer(422, "qty is above the maximum balance of a card."),
    "CAPTURE_EXCEEDS_HOLD": Answer(422, "More than what is reserved."),
    "REFUND_EXCEEDS_REDEMPTION": Answer(422, "More than what was paid."),
    "NO_BALANCE": Answer(422, "The card has no balance."),
    "INSUFFICIENT_FUNDS": Answer(422, "The balance of the card is not sufficient."),
    "BALANCE_NOT_ZERO": Answer(422, "The card still has a balance."),
    "POINTS_NOT_ALLOWED": Answer(422, "Cards of this type cannot be bought with points."),
    "POINTS_AMOUNT_MISMATCH": Answer(422, "The points are not what the card costs."),
    "POINTS_EXPIRED": Answer(422, "The points have expired."),
    "INSUFFICIENT_POINTS": Answer(422, "The customer does not have enough points."),
    # The service
    "OVERLOADED": Answer(503, "The service is busy. Please try again."),
    "LOOKUP_BUDGET_EXHAUSTED": Answer(429, "Too many wrong card numbers. Please try again later."),
    "DEADLINE_TOO_SHORT": Answer(503, "The service is busy. Please try again."),
    "UNAVAILABLE": Answer(503, "The service is not available. Please try again."),
    "OUTCOME_UNKNOWN": Answer(
        504, "No answer in time. Send the request again under the same ref; else it is undone."
    ),
    "UNIMPLEMENTED": Answer(501, "This is not offered."),
    "INTERNAL": Answer(500, "The request could not be processed."),
}


def _invalid(problem: str) -> Refusal:
    """Says what is wrong and never what was sent."""
    return Refusal("INVALID_FIELD", 400, problem)


def _parameters(request: LegacyRequest) -> dict[str, str]:
    """The query by names in lower case; empty parameters count as absent.

    Raises:
        Refusal: a parameter is given twice, in two spellings.
    """
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if value and found.setdefault(name.lower(), value) != value:
            raise _invalid("A parameter is given twice with two values.")
    return found


# Expiry


def _count(name: str, text: str, maximum: int) -> int:
    count = int(text) if _COUNT.fullmatch(text) else 0
    if not 1 <= count <= maximum:
        raise _invalid(f"{name} must be a whole number from 1 to {maximum}.")
    return count


def _after_months(day: date, months: int) -> date:
    year, month_index = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month_index + 1)[1]
    return date(year, month_index + 1, min(day.day, last))


def _expiry_date(text: str) -> date:
    day_first, iso = _DAY_FIRST.fullmatch(text), _ISO.fullmatch(text)
    if day_first:
        day, month, year = map(int, day_first.groups())
    elif iso:
        year, month, day = map(int, iso.groups())
    else:
        raise _invalid("expires must be a date such as 4/03/2022.")
    try:
        found = date(year, month, day)
    except ValueError:
        raise _invalid("expires is no day of the calendar.") from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise _invalid(f"expires must be from {_FIRST_YEAR} to {_LAST_YEAR}.")
    return found


#: The longest that a card may be made to last, for each way of saying it.
_FORMS: Final = {"expiresdays": 36500, "expiresmonths": 1200, "expiresyears": 100, "expires": 0}


def _last_day(parameters: Mapping[str, str], today: date) -> date | None:
    """The last day of validity; None for what the program says."""
    given = [name for name in _FORMS if name in parameters]
    if not given:
        return None
    if len(given) > 1:
        raise _invalid(f"Only one of {', '.join(_FORMS)} can be given.")
    (name,) = given
    if name == "expires":
        return _expiry_date(parameters[name])
    count = _count(name, parameters[name], _FORMS[name])
    if name == "expiresdays":
        return today + timedelta(days=count)
    return _after_months(today, count * 12 if name == "expiresyears" else count)


# Operations


def handle(request: LegacyRequest, config: IwarehouseSettings) -> Operation:
    """Creates or reads, by which parameter is there."""
    parameters = _parameters(request)
    if ("qty" in parameters) == ("card" in parameters):
        raise _invalid("Either qty (to create a card) or card (to read one) must be given.")
    if "qty" in parameters:
        return (yield from _create(parameters, request, config))
    return (yield from _read(parameters["card"], config))


def _create(
    parameters: Mapping[str, str], request: LegacyRequest, config: IwarehouseSettings
) -> Operation:
    ref = parameters.get("ref", "")
    if ref and not _REF.fullmatch(ref):
        raise _invalid("ref must be 1 to 64 printable ASCII characters.")
    parts = ("CREATE", "REF", ref) if ref else ("CREATE", request.fresh_id)
    message = v1.IssueGiftCardRequest(
        program="programs/" + config.program,
        amount=_value(parameters["qty"], config.currency),
        request_id=derived_id("iwarehouse", parts),
    )
    zone = ZoneInfo(config.time_zone)
    last = _last_day(parameters, request.now.astimezone(zone).date())
    if last is not None:
        if ref and "expires" not in parameters:
            # A repeat means the day of the first attempt, also after midnight.
            first = yield from _first_attempt(message.request_id)
            if first is not None:
                last = _last_day(parameters, first.ToDatetime(tzinfo=zone).date())
                assert last is not None
        message.valid_until.CopyFrom(date_pb2.Date(year=last.year, month=last.month, day=last.day))
    answer = yield Rpc("IssueGiftCard", message, client_key=bool(ref))
    return _answer(answer.gift_card, answer.gift_card.code)


def _value(text: str, currency: str) -> v1.Money:
    try:
        units = amounts.minor_units(text, currency)
    except amounts.AmountError as error:
        raise _invalid(f"qty {error}.") from None
    if units == 0:
        raise _invalid("qty must be greater than 0.")
    return v1.Money(minor_units=units, currency_code=currency)


def _first_attempt(request_id: str) -> Generator[Rpc, Any, Timestamp | None]:
    """When the request was decided; None when it was not."""
    looked = yield Rpc("LookupTransaction", v1.LookupTransactionRequest(request_id=request_id))
    if looked.state == v1.LookupTransactionResponse.NOT_SEEN:
        return None
    decided: Timestamp = looked.transaction.decide_time
    return decided


def _read(code: str, config: IwarehouseSettings) -> Operation:
    if not _CODE.fullmatch(code):
        raise Refusal("GIFT_CARD_NOT_FOUND", *REASONS["GIFT_CARD_NOT_FOUND"])
    reference = v1.GiftCardReference(code=code)
    looked = yield Rpc("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=reference))
    card: v1.GiftCard = looked.gift_card
    if card.currency_code != config.currency:
        # The answer could not say so, and 100 would be taken for something else.
        raise Refusal("CURRENCY_MISMATCH", *REASONS["CURRENCY_MISMATCH"])
    return _answer(card, code.strip())


# Answers


def _answer(card: v1.GiftCard, code: str) -> Reply:
    zone = ZoneInfo(card.time_zone or "UTC")
    opened = card.issue_time if card.HasField("issue_time") else None
    changed = opened is not None and card.update_time.ToNanoseconds() > opened.ToNanoseconds()
    last = card.valid_until
    return Reply(
        200,
        {
            "CardKey": _key(card.name),
            "CardCode": code.upper(),
            "CardActive": card.state == v1.GiftCard.ACTIVE,
            "SiteKey": 0,
            "CustomerKey": 0,
            "ProductKey": 0,
            "CardOpeningDteTme": _local_day(opened, zone) if opened is not None else "",
            "CardOpeningBalance": _number(card.initial_amount, card.currency_code),
            "CardOpeningBalanceManual": 0,
            "CardBalanceDteTme": _local_day(card.update_time, zone) if changed else "",
            "CardBalance": _number(card.available, card.currency_code),
            "CardExpiryDate": _day(last) if card.HasField("valid_until") else "",
            "CardNotes": "",
        },
    )


def _key(name: str) -> int:
    """A positive number that fits the 32 bits of old clients."""
    return int.from_bytes(sha256(name.encode()).digest()[:4]) % (2**31 - 1) + 1


def _local_day(instant: Timestamp, zone: ZoneInfo) -> str:
    return _day(instant.ToDatetime(tzinfo=zone))


def _day(value: date | date_pb2.Date) -> str:
    """As the vendor writes it: 4/03/2019."""
    return f"{value.day}/{value.month:02d}/{value.year:04d}"


def _number(money: v1.Money, currency: str) -> Any:
    return exact_number(amounts.shortest_text(money.minor_units, currency, decimals_min=0))


def refuse(request: LegacyRequest, refusal: Refusal, config: IwarehouseSettings) -> Reply:
    """Nothing that a client could take for a card."""
    return Reply(refusal.status, {"Error": refusal.text, "ErrorCode": refusal.reason})


def credentials(request: LegacyRequest) -> str:
    """`log` and `pwd` as HTTP Basic, whose login cannot hold a colon."""
    named = {name.lower(): value for name, value in request.query.items()}
    login, password = named.get("log", ""), named.get("pwd", "")
    if not login or not password or ":" in login:
        return ""
    pair = f"{login}:{password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def trace(request: LegacyRequest) -> Trace:
    named = {name.lower(): value for name, value in request.query.items() if value}
    operation = "create" if "qty" in named else "read"
    return Trace(operation, named.get("ref", ""), named.get("card", ""))


# Description


def _parameter(name: str, description: str, *, required: bool = False) -> Mapping[str, Any]:
    return {
        "name": name, "in": "query", "required": required,
        "schema": {"type": "string"}, "description": description,
    }  # fmt: skip


_PARAMETERS: Final = (
    _parameter("log", "Login.", required=True),
    _parameter("pwd", "Password.", required=True),
    _parameter("qty", "Value of the card to create. Not a count."),
    _parameter("card", "Code of the card to read, in any letter case."),
    _parameter("expiresdays", "The card expires this many days from today."),
    _parameter("expiresmonths", "The card expires this many months from today."),
    _parameter("expiresyears", "The card expires this many years from today."),
    _parameter("expires", "The card expires after this day: d/M/yyyy, or yyyy-MM-dd."),
    _parameter("ref", "Our convention: the same request under the same ref creates one card."),
)


def _response_schema() -> dict[str, Any]:
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    day = {"type": "string", "pattern": "^([0-9]{1,2}/[0-9]{2}/[0-9]{4})?$"}
    properties: dict[str, Any] = {
        "CardKey": whole, "CardCode": text, "CardActive": {"type": "boolean"},
        "SiteKey": whole, "CustomerKey": whole, "ProductKey": whole,
        "CardOpeningDteTme": day, "CardOpeningBalance": number, "CardOpeningBalanceManual": number,
        "CardBalanceDteTme": day, "CardBalance": number, "CardExpiryDate": day, "CardNotes": text,
    }  # fmt: skip
    return {"type": "object", "required": list(properties), "properties": properties}


def build(settings: Settings) -> Dialect:
    config = settings.iwarehouse
    return Dialect(
        name="iwarehouse",
        title="iWAREHOUSE Gift Card API",
        operations=frozenset({"create", "read"}),
        description=__doc__,
        config=config,
        routes=(
            Route(
                method="GET",
                path=PATH,
                name="giftcard",
                summary="Creates a card of the value qty, or reads the card named by card.",
                operation=handle,
                reads_body=False,
                parameters=_PARAMETERS,
                response_schema=_response_schema(),
            ),
        ),
        credentials=credentials,
        challenge='Query realm="gift cards"',
        reasons=REASONS,
        refuse=refuse,
        trace=trace,
        budget_milliseconds=config.budget_milliseconds,
        error_schema={
            "type": "object",
            "required": ["Error", "ErrorCode"],
            "properties": {"Error": {"type": "string"}, "ErrorCode": {"type": "string"}},
        },
        code_members=frozenset({"cardcode", "card"}),
        secret_members=frozenset({"log", "pwd"}),
        # As the web server of the vendor's product takes it.
        case_insensitive=True,
    )
