"""Resico Gift Card API: five calls on a card, with a bearer token, JSON in and out.

The vendor documents the paths, what is sent, and 401, 404, 409 and 422.  It publishes no answer:
the members of a card, the words of its status and every error's form are *our convention*, in the
vendor's words where it has any.  So is what follows.

Amounts have two digits after the separator, a dot; a JSON number that dropped its zeros (57.2) is
taken too, and so is a string.  A card number of another length than cards have is answered like
an unknown one.

A reservation keeps the whole balance for the token's client, until it is used, cancelled or its
time is over.  A payment by that client consumes it and the rest returns to the card; other clients
get 409.  Cancelling changes something though it is a GET: it is never cached, refused to HEAD and
to look-ahead requests, and repeats are harmless.  It can be sent by POST as well.

The same sale (location, transaction number, card and amount) answers the first decision again.  A
payment or reservation has nothing to tell a repeat by: it takes an `Idempotency-Key` header, as a
sale does, and without one each is new.  After 504 nothing stays done, unless the caller repeats the
sale, or the call under its key.

The token's client needs the scopes READ, SELL and REDEEM.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from giftcard import v1
from google.protobuf.duration_pb2 import Duration

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
    UpstreamRefusal,
    authorization_header,
    derived_id,
    ending,
)
from compat_http.settings import ResicoSettings, Settings
from compat_http.strict_json import exact_number

_BASE: Final = "/api/giftcards/v1"
_TRANSACTION_NO_LENGTH_MAX: Final = 8
_KEY_LENGTH_MAX: Final = 128

_PRINTABLE: Final = re.compile(r"[ -~]+")
_CODE: Final = re.compile(r"[ -~]*[!-,.-~][ -~]*")
_AMOUNT: Final = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,2})?")
_CHOSEN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,62}")

#: Under this request id, which is never sent, a client finds out who it is.
_CALLER_ID: Final = derived_id("resico", ("CALLER",))

#: Every reason of the contract and of the shim, in words for a caller.
REASONS: Final[Mapping[str, Answer]] = {
    # The request
    "INVALID_FIELD": Answer(422, "A member of the request is not valid."),
    "MALFORMED_REQUEST": Answer(400, "The request is not valid JSON"),
    "PAGE_TOKEN_INVALID": Answer(500, "The request could not be processed."),
    "REQUEST_TOO_LARGE": Answer(413, "The request is too large."),
    "BODY_TOO_LARGE": Answer(413, "The request is too large."),
    "METHOD_NOT_ALLOWED": Answer(405, "This method is not offered here."),
    "PREFETCH_REFUSED": Answer(403, "This call must not be sent ahead of time."),
    # The caller
    "UNAUTHENTICATED": Answer(401, "The bearer token or the consumer key is missing or wrong."),
    "SCOPE_MISSING": Answer(403, "This client may not do this."),
    "LOCATION_FORBIDDEN": Answer(403, "This client may not work for this location."),
    # Repeats
    "REQUEST_ID_REUSED": Answer(409, "This key or transaction was used for another request."),
    "REQUEST_SEALED": Answer(409, "This request was given up. Send it as a new one."),
    "REVERSED_BEFORE_ARRIVAL": Answer(409, "This request was undone. Send it as a new one."),
    "ETAG_MISMATCH": Answer(409, "The gift card has just been changed. Please try again."),
    # What is named
    "GIFT_CARD_NOT_FOUND": Answer(404, "The gift card does not exist."),
    "HOLD_NOT_FOUND": Answer(404, "The reservation does not exist."),
    "TRANSACTION_NOT_FOUND": Answer(404, "The transaction does not exist."),
    "PROGRAM_NOT_FOUND": Answer(422, "Gift cards of this type are not sold here."),
    "LOCATION_NOT_FOUND": Answer(422, "The location code does not exist."),
    "MERCHANT_NOT_FOUND": Answer(422, "Unknown merchant."),
    "API_CLIENT_NOT_FOUND": Answer(422, "Unknown client."),
    "CREDENTIAL_NOT_FOUND": Answer(422, "Unknown credential."),
    "CUSTOMER_NOT_FOUND": Answer(422, "Unknown customer."),
    "CODE_RESERVATION_NOT_FOUND": Answer(422, "Unknown reservation of card numbers."),
    "CODE_EXISTS": Answer(409, "A gift card with this number exists already."),
    "CODE_NOT_RESERVED": Answer(422, "The card number is not reserved."),
    "CODE_NOT_STORED": Answer(422, "The number of this card cannot be shown."),
    "RESOURCE_EXISTS": Answer(409, "This exists already."),
    # The PIN, for which Resico has no member
    "PIN_REQUIRED": Answer(422, "This gift card needs a PIN and cannot be used here."),
    "PIN_INCORRECT": Answer(422, "The PIN is wrong."),
    "PIN_LOCKED": Answer(422, "The PIN of this gift card is locked."),
    # State
    "CARD_INACTIVE": Answer(422, "The gift card has not been sold yet."),
    "CARD_ALREADY_ACTIVE": Answer(409, "The gift card has been sold already."),
    "CARD_LOCKED": Answer(422, "The gift card is locked."),
    "CARD_CLOSED": Answer(422, "The gift card is closed."),
    "CARD_VOIDED": Answer(422, "The sale of the gift card was undone."),
    "HOLD_CAPTURED": Answer(422, "The reservation was used already."),
    "HOLD_VOIDED": Answer(422, "The reservation was cancelled already."),
    "HOLD_EXPIRED": Answer(422, "The reservation has expired."),
    "OPEN_HOLDS": Answer(409, "The gift card is reserved already."),
    "HELD_BY_OTHER": Answer(409, "The gift card is reserved by another client."),
    "PROGRAM_RETIRED": Answer(422, "Gift cards of this type are not sold any more."),
    "NOT_REFUNDABLE": Answer(422, "This cannot be refunded."),
    "NOT_REVERSIBLE": Answer(422, "This cannot be undone."),
    "SAME_CARD": Answer(422, "The gift card is named twice."),
    # Validity, currency, rules
    "CARD_NOT_YET_VALID": Answer(422, "The gift card is not valid yet."),
    "CARD_EXPIRED": Answer(422, "The gift card has expired."),
    "CURRENCY_MISMATCH": Answer(422, "The gift card has another currency."),
    "RELOAD_NOT_ALLOWED": Answer(422, "The gift card cannot be loaded again."),
    "RETURN_NOT_ALLOWED": Answer(422, "The gift card cannot be returned."),
    "PARTIAL_REDEEM_NOT_ALLOWED": Answer(422, "The gift card can only be used in full."),
    "HOLDS_NOT_ALLOWED": Answer(422, "Gift cards of this type do not support reservations."),
    "VALUE_CHANGE_NOT_ALLOWED": Answer(422, "Gift cards of this type have a fixed amount."),
    "DENOMINATION_NOT_ALLOWED": Answer(422, "Gift cards of this type are not sold at this amount."),
    # Limits and funds
    "AMOUNT_BELOW_MINIMUM": Answer(422, "The amount is below the minimum."),
    "AMOUNT_ABOVE_MAXIMUM": Answer(422, "The amount is above the maximum."),
    "MAX_BALANCE_EXCEEDED": Answer(422, "The maximum balance of the gift card is exceeded."),
    "CAPTURE_EXCEEDS_HOLD": Answer(422, "More than what is reserved."),
    "REFUND_EXCEEDS_REDEMPTION": Answer(422, "More than what was paid."),
    "NO_BALANCE": Answer(422, "The gift card has no balance."),
    "INSUFFICIENT_FUNDS": Answer(422, "The balance of the gift card is not sufficient."),
    "BALANCE_NOT_ZERO": Answer(422, "The gift card still has a balance."),
    "POINTS_NOT_ALLOWED": Answer(422, "Gift cards of this type cannot be bought with points."),
    "POINTS_AMOUNT_MISMATCH": Answer(422, "The points are not what the gift card costs."),
    "POINTS_EXPIRED": Answer(422, "The points have expired."),
    "INSUFFICIENT_POINTS": Answer(422, "The customer does not have enough points."),
    # The service
    "OVERLOADED": Answer(503, "The service is busy. Please try again."),
    "LOOKUP_BUDGET_EXHAUSTED": Answer(429, "Too many wrong card numbers. Please try again later."),
    "DEADLINE_TOO_SHORT": Answer(503, "The service is busy. Please try again."),
    "UNAVAILABLE": Answer(503, "The service is not available. Please try again."),
    "OUTCOME_UNKNOWN": Answer(
        504, "No answer in time. Repeat the call under the same key; else it is undone."
    ),
    "UNIMPLEMENTED": Answer(501, "This is not offered."),
    "INTERNAL": Answer(500, "The request could not be processed."),
}


def _refusal(reason: str) -> Refusal:
    return Refusal(reason, *REASONS[reason])


def _invalid(name: str, problem: str) -> Refusal:
    """Says what is wrong and never what was sent."""
    return Refusal("INVALID_FIELD", REASONS["INVALID_FIELD"].status, f"{name} {problem}.")


# Reading a request


def _card_number(request: LegacyRequest, config: ResicoSettings) -> str:
    number = request.path["card_id"]
    fits = config.card_number_length_min <= len(number) <= config.card_number_length_max
    if not (fits and _CODE.fullmatch(number)):
        raise _refusal("GIFT_CARD_NOT_FOUND")
    return number


def _text(request: LegacyRequest, name: str, *, length_max: int, mandatory: bool = True) -> str:
    """A member's text; "" where it is absent, null or empty and may be."""
    value = request.document.get(name)
    if value is None or value == "":
        if mandatory:
            raise _invalid(name, "is mandatory")
        return ""
    if type(value) is not str:
        raise _invalid(name, "must be a string")
    if len(value) > length_max:
        raise _invalid(name, f"must have at most {length_max} characters")
    if not _PRINTABLE.fullmatch(value):
        raise _invalid(name, "must be printable ASCII characters")
    return value


def _amount(request: LegacyRequest, config: ResicoSettings) -> v1.Money:
    value = request.document.get("amount")
    if value is None or value == "":
        raise _invalid("amount", "is mandatory")
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise _invalid("amount", "must be a positive decimal with two digits after the dot")
    try:
        units = amounts.minor_units(value, config.currency)
    except amounts.AmountError as error:
        raise _invalid("amount", str(error)) from None
    if units == 0:
        raise _invalid("amount", "must be greater than 0")
    return v1.Money(minor_units=units, currency_code=config.currency)


def _context(request: LegacyRequest, *, location_mandatory: bool = True) -> v1.CallContext:
    location = _text(request, "locationCode", length_max=63, mandatory=location_mandatory)
    if location and not _CHOSEN_ID.fullmatch(location):
        raise _refusal("LOCATION_NOT_FOUND")
    return v1.CallContext(location=f"locations/{location}" if location else "")


def _transaction_no(request: LegacyRequest, *, mandatory: bool) -> str:
    length_max = _TRANSACTION_NO_LENGTH_MAX
    return _text(request, "transactionNo", length_max=length_max, mandatory=mandatory)


def _key(request: LegacyRequest, operation: str) -> str:
    """The request id that derives from the caller's Idempotency-Key; "" without one."""
    value = request.headers.get("idempotency-key")
    if value is None:
        return ""
    if len(value) > _KEY_LENGTH_MAX or not _PRINTABLE.fullmatch(value):
        raise _invalid("Idempotency-Key", f"must be 1 to {_KEY_LENGTH_MAX} ASCII characters")
    return derived_id("resico", (operation, "KEY", value))


def _write(method: str, message: Any, request: LegacyRequest, operation: str) -> Rpc:
    """Under the caller's key, else as a call like no other."""
    key = _key(request, operation)
    message.request_id = key or derived_id("resico", (operation, request.fresh_id))
    return Rpc(method, message, client_key=bool(key))


# Reading what has to be known before anything is written


@dataclass(frozen=True, slots=True)
class _Known:
    """A card and what its answer tells beside it: none of it changes by an operation."""

    number: str
    card: v1.GiftCard
    fixed_amount: bool
    location_code: str


def _known(number: str) -> Generator[Rpc, Any, _Known]:
    reference = v1.GiftCardReference(code=number)
    looked = yield Rpc("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=reference))
    card: v1.GiftCard = looked.gift_card
    fixed_amount = yield from _has_fixed_amount(card.program)
    location = ""
    if card.HasField("issue_time"):
        sold = v1.ListTransactionsRequest(gift_card=card.name, start_time=card.issue_time)
        sold.end_time.FromMicroseconds(card.issue_time.ToMicroseconds() + 1)
        listed = yield Rpc("ListTransactions", sold)
        sales = (v1.Transaction.ISSUE, v1.Transaction.ACTIVATE)
        location = next((t.context.location for t in listed.transactions if t.kind in sales), "")
    return _Known(number, card, fixed_amount, location.removeprefix("locations/"))


def _has_fixed_amount(program: str) -> Generator[Rpc, Any, bool]:
    found = yield Rpc("GetProgram", v1.GetProgramRequest(name=program))
    return not found.value_change_allowed


def _caller() -> Generator[Rpc, Any, str]:
    """The resource name of the client that the token belongs to.

    The contract tells it of a request that was decided, so one that was never sent is sealed once.
    """
    request = v1.LookupTransactionRequest(request_id=_CALLER_ID)
    looked = yield Rpc("LookupTransaction", request)
    if looked.state == v1.LookupTransactionResponse.NOT_SEEN:
        sealing = v1.LookupTransactionRequest(request_id=_CALLER_ID, seal=True)
        looked = yield Rpc("LookupTransaction", sealing)
    name: str = looked.transaction.api_client
    return name


def _own_reservation(card: v1.GiftCard) -> Generator[Rpc, Any, str]:
    """The resource name of the caller's reservation of the card; "" when there is none."""
    if not card.held.minor_units:
        return ""
    caller = yield from _caller()
    # One that excludes others was the first on its card, so it stands on the first page.
    holds = v1.ListHoldsRequest(gift_card=card.name, state=v1.Hold.OPEN)
    listed = yield Rpc("ListHolds", holds)
    own = (hold.name for hold in listed.holds if hold.exclusive and hold.api_client == caller)
    return next(own, "")


# Operations


def get_card(request: LegacyRequest, config: ResicoSettings) -> Operation:
    known = yield from _known(_card_number(request, config))
    return _answer(known, known.card, request, config)


def sell(request: LegacyRequest, config: ResicoSettings) -> Operation:
    number = _card_number(request, config)
    amount = _amount(request, config)
    context = _context(request)
    context.receipt = _transaction_no(request, mandatory=True)
    location = context.location.removeprefix("locations/")
    # Of the card's number only the end, since request ids are no secrets.
    sale = (location, context.receipt, ending(number), str(amount.minor_units))
    key = _key(request, "SELL") or derived_id("resico", ("SELL", *sale))
    program = "programs/" + config.program
    fixed_amount = yield from _has_fixed_amount(program)
    message = v1.IssueGiftCardRequest(
        program=program, amount=amount, code=number, context=context, request_id=key
    )
    answer = yield Rpc("IssueGiftCard", message, client_key=True)
    known = _Known(number, answer.gift_card, fixed_amount, location)
    return _answer(known, answer.gift_card, request, config)


def use(request: LegacyRequest, config: ResicoSettings) -> Operation:
    """All or nothing; a reservation of this client is consumed by it."""
    consumer = config.consumers.get(request.path["consumer_key"])
    if consumer is None:
        raise UpstreamRefusal("UNAUTHENTICATED")
    number = _card_number(request, config)
    amount = _amount(request, config)
    context = _context(request, location_mandatory=False)
    context.receipt = _transaction_no(request, mandatory=False)
    if (yield from _caller()) != consumer:
        raise UpstreamRefusal("UNAUTHENTICATED")
    known = yield from _known(number)
    message = v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(code=number), amount=amount, context=context
    )
    answer = yield _write("RedeemGiftCard", message, request, "USE")
    return _answer(known, answer.gift_card, request, config)


def reserve(request: LegacyRequest, config: ResicoSettings) -> Operation:
    number = _card_number(request, config)
    context = _context(request)
    known = yield from _known(number)
    message = v1.AuthorizeGiftCardRequest(
        gift_card=v1.GiftCardReference(code=number),
        whole_balance=True,
        exclusive=True,
        expire_after=Duration(seconds=config.reservation_seconds),
        context=context,
    )
    answer = yield _write("AuthorizeGiftCard", message, request, "RESERVE")
    return _answer(known, answer.gift_card, request, config)


def cancel_reserve(request: LegacyRequest, config: ResicoSettings) -> Operation:
    """Ends the caller's own reservation; where there is none, nothing happens."""
    known = yield from _known(_card_number(request, config))
    name = yield from _own_reservation(known.card)
    if not name:
        return _answer(known, known.card, request, config)
    # Never under an id that a repeat would use again: were it undone, no repeat could cancel.
    message = v1.VoidHoldRequest(
        name=name, request_id=derived_id("resico", ("CANCELRESERVE", request.fresh_id))
    )
    try:
        answer = yield Rpc("VoidHold", message)
    except UpstreamRefusal as refused:
        if refused.reason not in ("HOLD_VOIDED", "HOLD_CAPTURED", "HOLD_EXPIRED"):
            raise
        # It ended while this call was on its way.
        return (yield from get_card(request, config))
    return _answer(known, answer.gift_card, request, config)


# Answers

_STATUS_WORDS: Final = {
    v1.GiftCard.INACTIVE: "Inactive",
    v1.GiftCard.ACTIVE: "Active",
    v1.GiftCard.LOCKED: "Locked",
    v1.GiftCard.CLOSED: "Closed",
    v1.GiftCard.VOIDED: "Voided",
}


def _answer(
    known: _Known, card: v1.GiftCard, request: LegacyRequest, config: ResicoSettings
) -> Reply:
    """The card's data, as `card` has it now."""
    active = card.state == v1.GiftCard.ACTIVE and not card.expired
    expired = card.state == v1.GiftCard.ACTIVE and card.expired
    members = {
        "idgiftCardNo": known.number,
        "originalBalance": _number(card.initial_amount, card.currency_code),
        "currentBalance": _number(card.balance, card.currency_code),
        "reservedBalance": _number(card.held, card.currency_code),
        "availableBalance": _number(card.available, card.currency_code),
        "currencyCode": card.currency_code,
        "fixedAmount": known.fixed_amount,
        "redeemAllowed": active and _has_begun(card, request),
        "locationCode": known.location_code,
        "status": "Expired" if expired else _STATUS_WORDS[card.state],
        "expiryDate": _date(card.valid_until).isoformat() if card.HasField("valid_until") else None,
    }
    return Reply(200, {config.member_names.get(name, name): v for name, v in members.items()})


def _has_begun(card: v1.GiftCard, request: LegacyRequest) -> bool:
    today = request.now.astimezone(ZoneInfo(card.time_zone or "UTC")).date()
    return not card.HasField("valid_from") or _date(card.valid_from) <= today


def _date(value: Any) -> date:
    return date(value.year, value.month, value.day)


def _number(money: v1.Money, currency: str) -> Any:
    return exact_number(amounts.decimal_text(money.minor_units, currency))


def refuse(request: LegacyRequest, refusal: Refusal, config: ResicoSettings) -> Reply:
    """One shape for everything that is not done."""
    return Reply(refusal.status, {"error": refusal.reason, "message": refusal.text})


def trace(request: LegacyRequest) -> Trace:
    document = request.document if isinstance(request.document, dict) else {}
    number = document.get("transactionNo")
    request_id = request.headers.get("idempotency-key") or (number if type(number) is str else "")
    return Trace("", request_id, request.path.get("card_id", ""))


def credentials(request: LegacyRequest) -> str:
    header = authorization_header(request)
    return header if header[:7].lower() == "bearer " else ""


# Description

#: The vendor prints the bodies of a sale and a reservation; that of a payment is like them.
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "sell": {
        "amount": exact_number("57.23"), "transactionNo": "00000045", "locationCode": "SHOP1",
    },
    "use": {"amount": exact_number("10.00")},
    "reserve": {"locationCode": "SHOP1"},
}  # fmt: skip

_MEMBERS: Final[Mapping[str, Any]] = {
    "amount": {
        "description": "Amount with two digits after the dot.",
        "oneOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": 10**10},
            {"type": "string", "pattern": r"^[0-9]{1,11}(\.[0-9]{1,2})?$"},
        ],
    },
    "transactionNo": {
        "type": "string", "minLength": 1, "maxLength": _TRANSACTION_NO_LENGTH_MAX,
        "description": "Transaction identifier.",
    },
    "locationCode": {
        "type": "string", "minLength": 1, "maxLength": 63,
        "description": "Unique location identifier, which must exist in the system.",
    },
}  # fmt: skip
_CARD_PARAMETER: Final = {
    "name": "card_id", "in": "path", "required": True, "schema": {"type": "string"},
    "description": "The gift card number.",
}  # fmt: skip
_CONSUMER_PARAMETER: Final = {
    "name": "consumer_key", "in": "path", "required": True, "schema": {"type": "string"},
    "description": "The consumer key of the client that the token belongs to.",
}  # fmt: skip
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": _KEY_LENGTH_MAX},
    "description": "Our convention: the same call under the same key is carried out once.",
}  # fmt: skip


def _card_schema(names: Mapping[str, str]) -> dict[str, Any]:
    text, number, flag = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
    words = [*_STATUS_WORDS.values(), "Expired"]
    members: dict[str, Any] = {
        "idgiftCardNo": text, "originalBalance": number, "currentBalance": number,
        "reservedBalance": number, "availableBalance": number, "currencyCode": text,
        "fixedAmount": flag, "redeemAllowed": flag, "locationCode": text,
        "status": {"enum": words}, "expiryDate": {"type": ["string", "null"], "format": "date"},
    }  # fmt: skip
    properties = {names.get(name, name): schema for name, schema in members.items()}
    return {"type": "object", "required": list(properties), "properties": properties}


def _body(*required: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    properties = {name: _MEMBERS[name] for name in (*required, *optional)}
    return {"type": "object", "required": list(required), "properties": properties}


_CARDS: Final = f"{_BASE}/cards/{{card_id}}"
_CANCELRESERVE: Final = f"{_BASE}/cancelreserve/{{card_id}}"


def _routes(card: Mapping[str, Any]) -> tuple[Route, ...]:
    return (
        Route(
            method="GET", path=_CARDS, name="getCard", summary="Retrieves a card.",
            operation=get_card, changes_state=False, reads_body=False,
            parameters=(_CARD_PARAMETER,), response_schema=card,
        ),
        Route(
            method="POST", path=_CARDS, name="sellCard", summary="Sells (creates) a new card.",
            operation=sell, parameters=(_CARD_PARAMETER, _KEY_PARAMETER),
            request_schema=_body("amount", "transactionNo", "locationCode"),
            request_examples={"sell": EXAMPLES["sell"]}, response_schema=card,
        ),
        Route(
            method="POST", path=f"{_BASE}/transactions/{{consumer_key}}/cards/{{card_id}}",
            name="useCard", summary="Uses a card for payment.",
            operation=use, parameters=(_CONSUMER_PARAMETER, _CARD_PARAMETER, _KEY_PARAMETER),
            request_schema=_body("amount", optional=("transactionNo", "locationCode")),
            request_examples={"use": EXAMPLES["use"]}, response_schema=card,
        ),
        Route(
            method="POST", path=f"{_BASE}/reserve/{{card_id}}", name="reserveCard",
            summary="Reserves the whole balance of a card for this client.",
            operation=reserve, parameters=(_CARD_PARAMETER, _KEY_PARAMETER),
            request_schema=_body("locationCode"),
            request_examples={"reserve": EXAMPLES["reserve"]}, response_schema=card,
        ),
        Route(
            method="GET", path=_CANCELRESERVE, name="cancelReserve",
            summary="Cancels this client's reservation of a card.",
            operation=cancel_reserve, reads_body=False,
            parameters=(_CARD_PARAMETER,), response_schema=card,
        ),
        Route(
            method="POST", path=_CANCELRESERVE, name="cancelReserveByPost",
            summary="The same, by the method that fits. Our convention.",
            operation=cancel_reserve, reads_body=False,
            parameters=(_CARD_PARAMETER,), response_schema=card,
        ),
    )  # fmt: skip


def build(settings: Settings) -> Dialect:
    config = settings.resico
    names = config.member_names
    return Dialect(
        name="resico",
        title="Resico Gift Card API",
        description=__doc__,
        config=config,
        routes=_routes(_card_schema(names)),
        credentials=credentials,
        challenge='Bearer realm="gift cards"',
        reasons=REASONS,
        refuse=refuse,
        trace=trace,
        budget_milliseconds=config.budget_milliseconds,
        error_schema={
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
        },
        code_members=frozenset({names.get("idgiftCardNo", "idgiftCardNo").lower()}),
    )
