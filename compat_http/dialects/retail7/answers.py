"""What a till is answered: the envelope, the words for a card's state, and the table of reasons.

The vendor publishes none of it: all of this is our convention, in the vendor's own words where it
has any, and every member can be renamed by GIFTCARD_RETAIL7_MEMBER_NAMES.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from giftcard import v1
from google.type import date_pb2

from compat_http.amounts import decimal_text
from compat_http.dialect import Answer
from compat_http.strict_json import exact_number

_STATES: Final = v1.GiftCard

#: Every reason of the contract and of the shim, in words for a cashier.
REASONS: Final[Mapping[str, Answer]] = {
    # The message
    "INVALID_FIELD": Answer(400, "A field of the request is not valid."),
    "MALFORMED_REQUEST": Answer(400, "The request is not valid JSON"),
    "PAGE_TOKEN_INVALID": Answer(500, "The request could not be processed. Please try again."),
    "REQUEST_TOO_LARGE": Answer(413, "The request is too large."),
    "BODY_TOO_LARGE": Answer(413, "The request is too large."),
    "METHOD_NOT_ALLOWED": Answer(405, "Requests are sent by POST."),
    "PREFETCH_REFUSED": Answer(403, "Requests must not be sent ahead of time."),
    # The caller
    "UNAUTHENTICATED": Answer(401, "User or password is wrong."),
    "SCOPE_MISSING": Answer(403, "This user may not do this."),
    "LOCATION_FORBIDDEN": Answer(403, "This user may not work for this store."),
    # The request id
    "REQUEST_ID_REUSED": Answer(409, "This request ID was used for another request."),
    "REQUEST_SEALED": Answer(409, "This request was given up. Send it under a new request ID."),
    "REVERSED_BEFORE_ARRIVAL": Answer(
        409, "This request was cancelled. Send it under a new request ID."
    ),
    "ETAG_MISMATCH": Answer(409, "The gift card has just been changed. Please try again."),
    # What is named
    "GIFT_CARD_NOT_FOUND": Answer(404, "Gift card not found."),
    "HOLD_NOT_FOUND": Answer(404, "Reservation not found."),
    "TRANSACTION_NOT_FOUND": Answer(404, "Transaction not found."),
    "PROGRAM_NOT_FOUND": Answer(422, "Unknown gift card type."),
    "LOCATION_NOT_FOUND": Answer(422, "Unknown store."),
    "MERCHANT_NOT_FOUND": Answer(422, "Unknown merchant."),
    "API_CLIENT_NOT_FOUND": Answer(422, "Unknown client."),
    "CREDENTIAL_NOT_FOUND": Answer(422, "Unknown credential."),
    "CODE_RESERVATION_NOT_FOUND": Answer(422, "Unknown reservation of gift card IDs."),
    "CUSTOMER_NOT_FOUND": Answer(422, "Unknown customer."),
    "CODE_NOT_RESERVED": Answer(422, "This gift card ID is not reserved."),
    "CODE_NOT_STORED": Answer(422, "The ID of this gift card cannot be shown."),
    "CODE_EXISTS": Answer(409, "A gift card with this ID exists already."),
    "RESOURCE_EXISTS": Answer(409, "This exists already."),
    # The PIN, for which RETAIL7 has no field
    "PIN_REQUIRED": Answer(422, "This gift card needs a PIN and cannot be used here."),
    "PIN_INCORRECT": Answer(422, "The PIN is wrong."),
    "PIN_LOCKED": Answer(422, "The PIN of this gift card is locked."),
    # State
    "CARD_INACTIVE": Answer(422, "The gift card has not been sold yet."),
    "CARD_ALREADY_ACTIVE": Answer(409, "The gift card has been sold already."),
    "CARD_LOCKED": Answer(422, "The gift card is locked."),
    "CARD_CLOSED": Answer(422, "The gift card is closed."),
    "CARD_VOIDED": Answer(422, "The gift card was cancelled."),
    "HOLD_CAPTURED": Answer(422, "The reservation was used already."),
    "HOLD_VOIDED": Answer(422, "The reservation was released already."),
    "HOLD_EXPIRED": Answer(422, "The reservation has expired."),
    "OPEN_HOLDS": Answer(422, "Part of the balance is reserved."),
    "HELD_BY_OTHER": Answer(422, "The gift card is reserved elsewhere."),
    "PROGRAM_RETIRED": Answer(422, "Gift cards of this type are not sold any more."),
    "NOT_REFUNDABLE": Answer(422, "This cannot be refunded."),
    "NOT_REVERSIBLE": Answer(422, "This cannot be cancelled."),
    "SAME_CARD": Answer(422, "The gift card is named twice."),
    # Validity, currency, rules
    "CARD_NOT_YET_VALID": Answer(422, "The gift card is not valid yet."),
    "CARD_EXPIRED": Answer(422, "The gift card has expired."),
    "CURRENCY_MISMATCH": Answer(422, "The gift card has another currency."),
    "RELOAD_NOT_ALLOWED": Answer(422, "The gift card cannot be loaded again."),
    "RETURN_NOT_ALLOWED": Answer(422, "The gift card cannot be returned."),
    "PARTIAL_REDEEM_NOT_ALLOWED": Answer(422, "The gift card can only be redeemed in full."),
    "HOLDS_NOT_ALLOWED": Answer(422, "The gift card cannot be reserved."),
    "VALUE_CHANGE_NOT_ALLOWED": Answer(422, "Gift cards of this type have a fixed value."),
    "DENOMINATION_NOT_ALLOWED": Answer(422, "Gift cards of this type are not sold at this value."),
    # Limits and funds
    "AMOUNT_BELOW_MINIMUM": Answer(422, "The amount is too low for this type of gift card."),
    "AMOUNT_ABOVE_MAXIMUM": Answer(422, "The amount is too high for this type of gift card."),
    "MAX_BALANCE_EXCEEDED": Answer(422, "The maximum balance of the gift card is exceeded."),
    "CAPTURE_EXCEEDS_HOLD": Answer(422, "More than what is reserved."),
    "REFUND_EXCEEDS_REDEMPTION": Answer(422, "More than what was paid."),
    "NO_BALANCE": Answer(422, "The gift card has no balance."),
    "INSUFFICIENT_FUNDS": Answer(422, "The balance of the gift card is not sufficient."),
    "POINTS_NOT_ALLOWED": Answer(422, "Gift cards of this type cannot be bought with points."),
    "POINTS_AMOUNT_MISMATCH": Answer(422, "The points are not what the gift card costs."),
    "POINTS_EXPIRED": Answer(422, "The points have expired."),
    "INSUFFICIENT_POINTS": Answer(422, "The customer does not have enough points."),
    "BALANCE_NOT_ZERO": Answer(422, "The gift card still has a balance."),
    # The service
    "OVERLOADED": Answer(503, "The service is busy. Please try again."),
    "LOOKUP_BUDGET_EXHAUSTED": Answer(429, "Too many wrong card numbers. Please try again later."),
    "DEADLINE_TOO_SHORT": Answer(503, "The service is busy. Please try again."),
    "UNAVAILABLE": Answer(503, "The service is not available. Please try again."),
    "OUTCOME_UNKNOWN": Answer(
        504, "No answer in time. Send the request again under the same ID; else it is cancelled."
    ),
    "UNIMPLEMENTED": Answer(501, "This is not offered."),
    "INTERNAL": Answer(500, "The request could not be processed. Please try again."),
}

_STATUS_WORDS: Final = {
    v1.GiftCard.INACTIVE: "ForSale",
    v1.GiftCard.ACTIVE: "Redeemable",
    v1.GiftCard.LOCKED: "Locked",
    v1.GiftCard.CLOSED: "Closed",
    v1.GiftCard.VOIDED: "Closed",
}


def status_word(card: v1.GiftCard) -> str:
    """ForSale, Redeemable, Closed, Locked or Expired.

    As the vendor's life cycle has it, an empty card that cannot be loaded again is closed.
    """
    word = _STATUS_WORDS[card.state]
    if word == "Redeemable":
        if card.expired:
            return "Expired"
        if card.empty and not card.reload_allowed:
            return "Closed"
    return word


def card_members(card: v1.GiftCard, type_code: str) -> dict[str, Any]:
    """What every answer tells of the card."""
    currency = card.currency_code
    return {
        "cardStatus": status_word(card),
        "balance": number(card.balance),
        "availableBalance": number(card.available),
        "currencyCode": currency,
        "validFrom": _date(card.valid_from) if card.HasField("valid_from") else None,
        "validUntil": _date(card.valid_until) if card.HasField("valid_until") else None,
        "cardTypeCode": type_code,
        "maxBalance": number(card.max_balance) if card.HasField("max_balance") else None,
        "reloadAllowed": card.reload_allowed,
        "returnAllowed": card.return_allowed,
        "partRedeemAllowed": card.partial_redeem_allowed,
    }


def number(money: v1.Money) -> Any:
    """With all decimals of the currency, as the vendor prints amounts: 5.00."""
    return exact_number(decimal_text(money.minor_units, money.currency_code))


def _date(value: date_pb2.Date) -> str:
    return date(value.year, value.month, value.day).isoformat()


def timestamp(instant: datetime) -> str:
    """As the vendor writes it: 2021-02-21T11:30:25.930Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: The order of members in an answer; those without a value are left out.
ORDER: Final = (
    "requestIDExternal", "operationType", "cardID", "responseCode", "responseText", "cancelOutcome",
    "cardStatus", "balance", "availableBalance", "currencyCode", "amount", "shortfall",
    "validFrom", "validUntil", "cardTypeCode", "maxBalance", "reloadAllowed", "returnAllowed",
    "partRedeemAllowed", "transactionID", "customerText", "trainingFlag", "timestamp",
)  # fmt: skip

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_FLAG: Final = {"type": "boolean"}
_SCHEMAS: Final[Mapping[str, Any]] = {
    "balance": _NUMBER, "availableBalance": _NUMBER, "amount": _NUMBER, "shortfall": _NUMBER,
    "maxBalance": _NUMBER, "reloadAllowed": _FLAG, "returnAllowed": _FLAG,
    "partRedeemAllowed": _FLAG, "trainingFlag": _FLAG,
    "cardStatus": {"enum": ["ForSale", "Redeemable", "Closed", "Locked", "Expired"]},
    "cancelOutcome": {"enum": ["CANCELLED", "NOTHING_TO_CANCEL", "ALREADY_CANCELLED"]},
    "timestamp": {"type": "string", "format": "date-time"},
}  # fmt: skip


def schema(names: Mapping[str, str]) -> dict[str, Any]:
    """The JSON schema of an answer, with its members as they are named here."""
    required = ("requestIDExternal", "operationType", "cardID", "responseCode", "responseText")
    return {
        "type": "object",
        "required": [names.get(name, name) for name in required],
        "properties": {names.get(name, name): _SCHEMAS.get(name, _TEXT) for name in ORDER},
    }


def error_schema(names: Mapping[str, str]) -> dict[str, Any]:
    """The JSON schema of a refusal: of the request, what could be read of it."""
    known = ("requestIDExternal", "operationType", "cardID", "trainingFlag")
    members = (*known[:3], "responseCode", "responseText", "trainingFlag", "timestamp")
    return {
        "type": "object",
        "required": [names.get(n, n) for n in ("responseCode", "responseText", "timestamp")],
        "properties": {names.get(name, name): _SCHEMAS.get(name, _TEXT) for name in members},
    }


def envelope(
    members: Mapping[str, Any], names: Mapping[str, str], request_id_name: str
) -> dict[str, Any]:
    """Members in their order and under their names; the request id as the client spelled it."""
    found: dict[str, Any] = {}
    for name in ORDER:
        value = members.get(name)
        if value is not None:
            found[names.get(name, request_id_name if name == ORDER[0] else name)] = value
    return found
