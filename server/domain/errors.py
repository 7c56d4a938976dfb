"""What the domain says when the answer is no: reasons, their words, and whether they are kept.

A refusal is a decision: it is stored under its request id and answered again on a replay.
A rejection is not: nothing is stored and the same request id may be used again.  This module
knows neither status codes (`server.rpc.errors`) nor how a till words a reason.
"""

from typing import Final

#: Reason -> the sentence a person reads.  Everything that varies stands in the metadata
#: (https://google.aip.dev/193), so a replayed refusal reads exactly like the first.
MESSAGES: Final[dict[str, str]] = {
    "GIFT_CARD_NOT_FOUND": "No gift card has this name or code. Check it and try again.",
    "HOLD_NOT_FOUND": "No hold has this name.",
    "PROGRAM_NOT_FOUND": "No program has this name. List the programs to see those there are.",
    "LOCATION_NOT_FOUND": "No location has this name. List the locations to see those there are.",
    "TRANSACTION_NOT_FOUND": "No transaction has this name or request id.",
    "MERCHANT_NOT_FOUND": "No merchant has this name.",
    "API_CLIENT_NOT_FOUND": "No API client has this name.",
    "CREDENTIAL_NOT_FOUND": "No credential has this name.",
    "CUSTOMER_NOT_FOUND": "No customer has this number.",
    "CODE_RESERVATION_NOT_FOUND": "No reservation of codes has this name.",
    "CODE_EXISTS": "Another gift card already has this code. Choose another code.",
    "CODE_NOT_RESERVED": "This code is not reserved. Reserve codes first, or choose another.",
    "CODE_NOT_STORED": "The code of this gift card is not stored, so it cannot be printed.",
    "RESOURCE_EXISTS": (
        "A resource with this name or login exists already, or the client has as many usable"
        " credentials of this kind as it may have: revoke one first."
    ),
    "REQUEST_ID_REUSED": (
        "This request id was used for another request. Send a new request id, or the first request."
    ),
    "REQUEST_SEALED": (
        "This request id was sealed: the request did not happen and never will."
        " Send the request again under a new id."
    ),
    "REVERSED_BEFORE_ARRIVAL": (
        "This request was reversed before it arrived, so it was not carried out."
    ),
    "CARD_INACTIVE": "The gift card is not active yet. Activate it first.",
    "CARD_ALREADY_ACTIVE": "The gift card is active already. Load it to add value.",
    "CARD_LOCKED": "The gift card is locked. Unlock it first.",
    "CARD_CLOSED": "The gift card is closed.",
    "CARD_VOIDED": "The gift card was voided.",
    "CARD_NOT_YET_VALID": "The gift card is not valid yet.",
    "CARD_EXPIRED": "The gift card has expired.",
    "CURRENCY_MISMATCH": "The amount is in another currency than the gift card.",
    "PROGRAM_RETIRED": "The program is retired: it issues no new gift cards.",
    "RELOAD_NOT_ALLOWED": "This gift card cannot be loaded again.",
    "RETURN_NOT_ALLOWED": "This gift card cannot be paid out.",
    "PARTIAL_REDEEM_NOT_ALLOWED": "This gift card can only be redeemed in full.",
    "HOLDS_NOT_ALLOWED": "Cards of this program cannot be held.",
    "VALUE_CHANGE_NOT_ALLOWED": "Cards of this program have a fixed value.",
    "DENOMINATION_NOT_ALLOWED": "The amount is not one of the program's denominations.",
    "AMOUNT_BELOW_MINIMUM": "The amount is below the program's minimum.",
    "AMOUNT_ABOVE_MAXIMUM": "The amount is above the program's maximum.",
    "MAX_BALANCE_EXCEEDED": "The gift card would hold more than its maximum balance.",
    "INSUFFICIENT_FUNDS": "The available balance does not cover the amount.",
    "NO_BALANCE": "The gift card has no balance available.",
    "POINTS_NOT_ALLOWED": "Cards of this program cannot be bought with points.",
    "POINTS_AMOUNT_MISMATCH": "The points are not what the amount costs in this program.",
    "INSUFFICIENT_POINTS": "The customer has fewer points available than that.",
    "POINTS_EXPIRED": "The points would have expired already.",
    "BALANCE_NOT_ZERO": "The gift card still has a balance. Say what shall become of it.",
    "HELD_BY_OTHER": "The whole gift card is held by another client.",
    "OPEN_HOLDS": "The gift card has open holds. Capture or void them first.",
    "HOLD_CAPTURED": "The hold was captured already.",
    "HOLD_VOIDED": "The hold was voided already.",
    "HOLD_EXPIRED": "The hold has expired.",
    "CAPTURE_EXCEEDS_HOLD": "The amount is more than what remains of the hold.",
    "NOT_REFUNDABLE": "This transaction took no value from a gift card: nothing to refund.",
    "REFUND_EXCEEDS_REDEMPTION": "The refund is more than what remains of the redemption.",
    "NOT_REVERSIBLE": "A transaction of this kind cannot be reversed.",
    "SAME_CARD": "Source and target are the same gift card.",
    "PIN_REQUIRED": "This gift card needs its PIN.",
    "PIN_INCORRECT": "The PIN is wrong.",
    "PIN_LOCKED": "Too many wrong PINs. Wait and try again.",
    "ETAG_MISMATCH": "The resource has changed since it was read. Read it again.",
    "INVALID_FIELD": "A field of the request is not valid. See the field violations.",
    "OVERLOADED": "The service is busy. Nothing was done; try again shortly.",
    "OUTCOME_UNKNOWN": (
        "It is not known whether the request was carried out."
        " Send it again with the same request id, look it up, or reverse it."
    ),
}


class DomainError(Exception):
    """A typed no.  `reason` is stable and public; `metadata` holds everything that varies."""

    def __init__(self, reason: str, **metadata: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.metadata = {key: str(value) for key, value in metadata.items()}

    @property
    def message(self) -> str:
        return MESSAGES[self.reason]


class Refused(DomainError):
    """A business refusal: decided, stored, and answered again to the same request id."""


class Rejected(DomainError):
    """Not a decision: leaves no row, and the request id stays unused."""


class InvalidField(Rejected):
    """A malformed request; `field` is the path of the offending field (AIP-193)."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__("INVALID_FIELD", field=field)
        self.field = field
        self.description = description
