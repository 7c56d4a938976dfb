"""How CP Extender says things: amounts, dates, ids, and the table of reasons.

The vendor lists errors as a status and a phrase, and no body.  The phrases are kept to the letter;
`{"Message": …}` around them, and each phrase that the vendor does not list, is our convention.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from giftcard import v1
from google.type import date_pb2

from compat_http.amounts import decimal_text, shortest_text
from compat_http.dialect import Answer, LegacyRequest, Refusal, Reply
from compat_http.strict_json import exact_number

_BAD_REQUEST: Final = "Bad Request"
_SERVER_ERROR: Final = "Internal Server Error"
_REPEAT: Final = "The request was cancelled. Please send it again."
_BUSY: Final = "The service is busy. Please try again."

#: Every reason of the contract and of the shim.
REASONS: Final[Mapping[str, Answer]] = {
    # The message
    "INVALID_FIELD": Answer(400, _BAD_REQUEST),
    "MALFORMED_REQUEST": Answer(400, _BAD_REQUEST),
    "PAGE_TOKEN_INVALID": Answer(500, _SERVER_ERROR),
    "REQUEST_TOO_LARGE": Answer(413, "The request is too large."),
    "BODY_TOO_LARGE": Answer(413, "The request is too large."),
    "METHOD_NOT_ALLOWED": Answer(405, "Method Not Allowed"),
    "PREFETCH_REFUSED": Answer(403, "Requests must not be sent ahead of time."),
    # The caller
    "UNAUTHENTICATED": Answer(401, "Unauthorized"),
    "SCOPE_MISSING": Answer(403, "This token may not do this."),
    "LOCATION_FORBIDDEN": Answer(403, "This token may not work for this location."),
    # The request id, which is ours: CP Extender has none
    "REQUEST_ID_REUSED": Answer(409, "Another request was sent for this sale."),
    "REQUEST_SEALED": Answer(409, _REPEAT),
    "REVERSED_BEFORE_ARRIVAL": Answer(409, _REPEAT),
    "ETAG_MISMATCH": Answer(409, "It has just been changed. Please try again."),
    # What is named
    "GIFT_CARD_NOT_FOUND": Answer(404, "Id not found"),
    "HOLD_NOT_FOUND": Answer(404, "Authorization not found"),
    "TRANSACTION_NOT_FOUND": Answer(404, "Transaction not found"),
    "PROGRAM_NOT_FOUND": Answer(404, "Gift Card Code Not Found"),
    "CUSTOMER_NOT_FOUND": Answer(404, "Customer Not Found"),
    "LOCATION_NOT_FOUND": Answer(404, "Location not found"),
    "MERCHANT_NOT_FOUND": Answer(404, "Merchant not found"),
    "API_CLIENT_NOT_FOUND": Answer(404, "Client not found"),
    "CREDENTIAL_NOT_FOUND": Answer(404, "Credential not found"),
    "CODE_RESERVATION_NOT_FOUND": Answer(404, "Reservation not found"),
    "CODE_EXISTS": Answer(400, "GiftcardId Already Exists"),
    "CODE_NOT_RESERVED": Answer(400, "GiftcardId Not Reserved"),
    "CODE_NOT_STORED": Answer(400, "GiftCard has no certificate"),
    "RESOURCE_EXISTS": Answer(409, "It exists already."),
    # The PIN, for which CP Extender has no member
    "PIN_REQUIRED": Answer(400, "GiftCard needs a PIN and cannot be used here"),
    "PIN_INCORRECT": Answer(400, "GiftCard needs a PIN and cannot be used here"),
    "PIN_LOCKED": Answer(400, "GiftCard needs a PIN and cannot be used here"),
    # State
    "CARD_INACTIVE": Answer(400, "GiftCard has not been issued"),
    "CARD_ALREADY_ACTIVE": Answer(400, "GiftCard has already been issued"),
    "CARD_LOCKED": Answer(400, "GiftCard is locked"),
    "CARD_CLOSED": Answer(400, "GiftCard has been voided"),
    "CARD_VOIDED": Answer(400, "GiftCard has been voided"),
    "HOLD_CAPTURED": Answer(400, "Authorization has already been confirmed"),
    "HOLD_VOIDED": Answer(400, "Authorization has been cancelled"),
    "HOLD_EXPIRED": Answer(400, "Authorization has expired"),
    "OPEN_HOLDS": Answer(400, "GiftCard has open authorizations"),
    "HELD_BY_OTHER": Answer(400, "GiftCard is reserved elsewhere"),
    "PROGRAM_RETIRED": Answer(400, "GiftCardCode specified is not sold any more"),
    "NOT_REFUNDABLE": Answer(400, "This cannot be refunded"),
    "NOT_REVERSIBLE": Answer(400, "This cannot be cancelled"),
    "SAME_CARD": Answer(400, "GiftCard is named twice"),
    # Validity, currency, rules
    "CARD_NOT_YET_VALID": Answer(400, "GiftCard is not valid yet"),
    "CARD_EXPIRED": Answer(400, "GiftCard has expired"),
    "CURRENCY_MISMATCH": Answer(400, "GiftCard has another currency"),
    "RELOAD_NOT_ALLOWED": Answer(400, "GiftCard cannot be loaded again"),
    "RETURN_NOT_ALLOWED": Answer(400, "GiftCard cannot be returned"),
    "PARTIAL_REDEEM_NOT_ALLOWED": Answer(400, "GiftCard can only be redeemed in full"),
    "HOLDS_NOT_ALLOWED": Answer(400, "GiftCard cannot be authorized"),
    "VALUE_CHANGE_NOT_ALLOWED": Answer(400, "GiftCardCode specified does not allow value change"),
    "DENOMINATION_NOT_ALLOWED": Answer(400, "GiftCardCode specified does not allow value change"),
    # Limits and funds
    "AMOUNT_BELOW_MINIMUM": Answer(400, "Gift Card Value is too low"),
    "AMOUNT_ABOVE_MAXIMUM": Answer(400, "Gift Card Value is too high"),
    "MAX_BALANCE_EXCEEDED": Answer(400, "Maximum balance is exceeded"),
    "CAPTURE_EXCEEDS_HOLD": Answer(400, "More than was authorized"),
    "REFUND_EXCEEDS_REDEMPTION": Answer(400, "More than was paid"),
    "NO_BALANCE": Answer(400, "No Balance Remaining"),
    "INSUFFICIENT_FUNDS": Answer(400, "The balance is not sufficient"),
    "BALANCE_NOT_ZERO": Answer(400, "GiftCard still has a balance"),
    "POINTS_NOT_ALLOWED": Answer(400, "GiftCardCode specified cannot be bought with points"),
    "POINTS_AMOUNT_MISMATCH": Answer(400, "PointsToRedeem is not what Gift Card Value costs"),
    "POINTS_EXPIRED": Answer(400, "Points have expired"),
    "INSUFFICIENT_POINTS": Answer(400, "Customer does not have enough points"),
    # The service
    "OVERLOADED": Answer(503, _BUSY),
    "LOOKUP_BUDGET_EXHAUSTED": Answer(429, "Too many wrong card numbers. Please try again later."),
    "DEADLINE_TOO_SHORT": Answer(503, _BUSY),
    "UNAVAILABLE": Answer(503, "The service is not available. Please try again."),
    "OUTCOME_UNKNOWN": Answer(504, "No answer in time. If it is not sent again, it is taken back."),
    "UNIMPLEMENTED": Answer(501, "Not Implemented"),
    "INTERNAL": Answer(500, _SERVER_ERROR),
}


def refusal(reason: str) -> Refusal:
    """The refusal that the table has for a reason."""
    status, text = REASONS[reason]
    return Refusal(reason, status, text)


def bad_request(problem: str) -> Refusal:
    """What is wrong with a member.  Says its name and never what was sent."""
    return Refusal("INVALID_FIELD", 400, f"{_BAD_REQUEST}: {problem}")


def refuse(request: LegacyRequest, refused: Refusal, config: Any) -> Reply:
    """The vendor's phrase by itself; what there is to say beyond it has a member of its own."""
    text, detail = refused.text, ""
    if text.startswith(f"{_BAD_REQUEST}: "):
        text, _, detail = text.partition(": ")
    document = {"Message": text, **({"MessageDetail": detail} if detail else {})}
    return Reply(refused.status, document)


ERROR_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["Message"],
    "properties": {"Message": {"type": "string"}, "MessageDetail": {"type": "string"}},
}


def number(money: v1.Money) -> Any:
    """As printed: 100.00, but nothing at all is 0.0; at least one decimal in each currency."""
    units, currency = money.minor_units, money.currency_code
    if units == 0:
        return exact_number("0.0")
    text = decimal_text(units, currency)
    return exact_number(text if "." in text else shortest_text(units, currency, decimals_min=1))


def day(value: date_pb2.Date) -> str:
    """MM/dd/yyyy."""
    return f"{value.month:02}/{value.day:02}/{value.year:04}"


def day_of(instant: datetime) -> str:
    """The same of an instant, in UTC."""
    return instant.strftime("%m/%d/%Y")


def guid(transaction: str) -> str:
    """The transaction's id in the spelling of a GUID."""
    return str(UUID(hex=transaction.removeprefix("transactions/")))


_AUTH_CODE: Final = re.compile(r"G[0-9A-F]{32}", re.IGNORECASE | re.ASCII)


def auth_code(hold: str) -> str:
    """The AuthCode that stands for a hold: G and its id, in capitals."""
    return "G" + hold.removeprefix("holds/").upper()


def hold_name(code: str) -> str:
    """The hold that an AuthCode stands for.

    Raises:
        Refusal: it stands for none.
    """
    if not _AUTH_CODE.fullmatch(code):
        raise refusal("HOLD_NOT_FOUND")
    return "holds/" + code[1:].lower()
