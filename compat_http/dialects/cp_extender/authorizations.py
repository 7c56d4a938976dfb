"""Authorizing, confirming and cancelling, for gift cards and for loyalty points alike."""

from collections.abc import Generator
from typing import Any, Final, NamedTuple

from giftcard import v1

from compat_http.dialect import LegacyRequest, Operation, Refusal, Reply, Rpc, UpstreamRefusal
from compat_http.dialects.cp_extender import answers
from compat_http.dialects.cp_extender.answers import bad_request, refusal
from compat_http.dialects.cp_extender.members import Members
from compat_http.dialects.cp_extender.names import card_reference, customer_name
from compat_http.dialects.cp_extender.tries import LOOKED, Tries, digest
from compat_http.settings import CpSettings

_REQUIRED: Final = "Required: Type, Ref, SaleId, and (RequestedAmount or RequestedPoints)"
_TYPES: Final = {"giftcard": "RequestedAmount", "loyalty": "RequestedPoints"}


# Authorize


class _Wanted(NamedTuple):
    """What is to be kept aside, and the call that does it; `units` in minor units or points."""

    owner: str
    units: int
    method: str
    message: Any


def authorize(request: LegacyRequest, config: CpSettings) -> Operation:
    return _authorize(Members(request.document), "")


def authorize_loyalty(request: LegacyRequest, config: CpSettings) -> Operation:
    """The same, for points alone."""
    members = Members(request.document)
    if members.text("Type").lower() not in ("", "loyalty"):
        raise bad_request("Type must be loyalty")
    return (yield from _authorize(members, "loyalty"))


def _authorize(members: Members, default: str) -> Operation:
    kind = members.text("Type").lower() or default
    if not kind:
        raise Refusal("INVALID_FIELD", 400, "Type is required")
    if kind not in _TYPES:
        raise bad_request("Type must be giftcard or loyalty")
    sale = members.text("SaleId")
    if not (members.has("Ref") and sale and members.has(_TYPES[kind])):
        raise Refusal("INVALID_FIELD", 400, _REQUIRED)
    wanted = _points(members) if kind == "loyalty" else (yield from _value(members))
    message = wanted.message
    message.allow_partial = True
    message.sale_reference = message.context.receipt = sale
    tries = Tries("authorize", digest(wanted.owner, sale, str(wanted.units)))
    newest = yield from tries.newest()
    goes_on = newest.stands and (yield from _is_open(newest.transaction.hold))
    message.request_id = tries.request_id(newest.number + (not goes_on))
    try:
        # Sent again even where it is known: a reversal that waits is taken back by it.
        answer = yield Rpc(wanted.method, message, client_key=True)
    except UpstreamRefusal as refused:
        if refused.reason == "INSUFFICIENT_POINTS":
            raise refusal("NO_BALANCE") from None  # whoever takes a part is refused only for none
        raise
    if kind == "loyalty":
        granted = answer.approved_points
    else:
        granted = answers.number(answer.approved_amount)
    return Reply(
        200,
        {
            "RequestId": answers.guid(answer.transaction.name),
            "Type": kind,
            "AuthorizedAmount": granted,
            "AuthCode": answers.auth_code(answer.hold.name),
        },
    )


def _value(members: Members) -> Generator[Rpc, Any, _Wanted]:
    reference = card_reference(members.text("Ref"))
    looked = yield Rpc("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=reference))
    card: v1.GiftCard = looked.gift_card
    units = members.minor_units("RequestedAmount", card.currency_code)
    if not units:
        raise bad_request("RequestedAmount must be greater than 0")
    amount = v1.Money(minor_units=units, currency_code=card.currency_code)
    message = v1.AuthorizeGiftCardRequest(gift_card=reference, amount=amount)
    return _Wanted(card.name, units, "AuthorizeGiftCard", message)


def _points(members: Members) -> _Wanted:
    customer, points = customer_name(members.text("Ref")), members.points("RequestedPoints")
    message = v1.AuthorizePointsRequest(customer=customer, points=points)
    return _Wanted(customer, points, "AuthorizePoints", message)


def _is_open(name: str) -> Generator[Rpc, Any, bool]:
    hold = yield Rpc("GetHold", v1.GetHoldRequest(name=name))
    return bool(hold.state == v1.Hold.OPEN)


# Confirm and Cancel


def confirm(request: LegacyRequest, config: CpSettings) -> Operation:
    """Takes all that was authorized."""
    hold = yield from _hold(Members(request.document))
    tries = _confirmations(hold)
    newest = yield from tries.newest()
    if newest.undone:
        raise refusal("HOLD_VOIDED")  # the value is back, and the hold is over
    # One that was taken back before it arrived may be tried again; all else is final.
    number = newest.number + (newest.state in (LOOKED.NOT_SEEN, LOOKED.SEALED))
    message = v1.CaptureHoldRequest(name=hold.name, final=True, request_id=tries.request_id(number))
    message.context.receipt = hold.sale_reference
    yield Rpc("CaptureHold", message, client_key=True)
    return Reply(204)


def cancel(request: LegacyRequest, config: CpSettings) -> Operation:
    """Gives back what was authorized; harmless where nothing is kept any more."""
    hold = yield from _hold(Members(request.document))
    tries = Tries("cancel", hold.name.removeprefix("holds/"))
    newest = yield from tries.newest()
    number = newest.number + (newest.state in (LOOKED.NOT_SEEN, LOOKED.SEALED))
    message = v1.VoidHoldRequest(name=hold.name, request_id=tries.request_id(number))
    message.context.receipt = hold.sale_reference
    try:
        yield Rpc("VoidHold", message, client_key=True)
    except UpstreamRefusal as refused:
        if refused.reason == "HOLD_CAPTURED":
            confirmation = yield from _confirmations(hold).newest()
            if not confirmation.undone:
                raise
        elif refused.reason not in ("HOLD_VOIDED", "HOLD_EXPIRED"):
            raise
    return Reply(204)


def _confirmations(hold: v1.Hold) -> Tries:
    return Tries("confirm", hold.name.removeprefix("holds/"))


def _hold(members: Members) -> Generator[Rpc, Any, v1.Hold]:
    """The hold that AuthCode stands for, if it is one of Ref's.

    Raises:
        Refusal: there is none, which looks like one of somebody else.
    """
    ref, code = members.required("Ref"), members.required("AuthCode")
    hold: v1.Hold = yield Rpc("GetHold", v1.GetHoldRequest(name=answers.hold_name(code)))
    if hold.customer:
        owner = "customers/" + ref
    else:
        owner = yield from _card_name(ref)
    if owner not in (hold.customer, hold.gift_card):
        raise refusal("HOLD_NOT_FOUND")
    return hold


def _card_name(code: str) -> Generator[Rpc, Any, str]:
    try:
        message = v1.LookupGiftCardRequest(gift_card=card_reference(code))
        looked = yield Rpc("LookupGiftCard", message)
    except (UpstreamRefusal, Refusal) as refused:
        if refused.reason == "GIFT_CARD_NOT_FOUND":
            raise refusal("HOLD_NOT_FOUND") from None
        raise
    name: str = looked.gift_card.name
    return name
