"""Reserving ids, creating gift cards, and reading them."""

from collections.abc import Generator, Mapping
from typing import Any, Final

from giftcard import v1
from google.protobuf.duration_pb2 import Duration

from compat_http.dialect import LegacyRequest, Operation, Refusal, Reply, Rpc
from compat_http.dialects.cp_extender import answers, history
from compat_http.dialects.cp_extender.answers import bad_request, refusal
from compat_http.dialects.cp_extender.members import Members
from compat_http.dialects.cp_extender.names import card_reference, customer_name, program_name
from compat_http.dialects.cp_extender.tries import Tries, digest, fresh
from compat_http.settings import CpSettings

_COUNT_MAX: Final = 2**31 - 1


def _format(prefix: str, digits: int) -> v1.Program.CodeFormat:
    return v1.Program.CodeFormat(
        prefix=prefix,
        alphabet=v1.Program.CodeFormat.DIGITS,
        random_length=digits,
        check_digit=v1.Program.NONE,
    )


def reserve_ids(request: LegacyRequest, config: CpSettings) -> Operation:
    """Reserves one id for an hour, or a pool for ever.  Never fails for too many."""
    members = Members(request.document)
    agency = members.required("Agency")
    kind = members.text("RequestType").lower() or "single"
    if kind not in ("single", "pool"):
        raise bad_request("RequestType must be single or pool")
    count = 1
    if kind == "pool":
        count = members.whole("PoolCount")
        if count < 1:
            raise bad_request("PoolCount must be greater than 0")
    message = v1.ReserveCodesRequest(
        count=min(count, _COUNT_MAX),
        agency=agency,
        # Without a name the batch is known by its time.
        label=members.text("RequestName") or request.now.strftime("%m/%d/%Y %H:%M:%S"),
        code_format=_format(config.reserved_id_prefix, config.reserved_id_digits),
        request_id=fresh("reserve", request),
    )
    if kind == "single":
        message.expire_after.CopyFrom(Duration(seconds=config.single_reservation_seconds))
    answer = yield Rpc("ReserveCodes", message)
    return Reply(200, {"GiftCards": list(answer.codes)})


# Create


def create(request: LegacyRequest, config: CpSettings) -> Operation:
    """Makes a gift card, paid by a sale or by the customer's points."""
    members = Members(request.document)
    points = members.whole("PointsToRedeem")
    sale = members.text("SaleId")
    if not (points or sale.strip()):
        raise Refusal("INVALID_FIELD", 400, "SaleId is Required")
    program = program_name(members.text("GiftCardCode"), config.gift_card_codes)
    found = yield Rpc("GetProgram", v1.GetProgramRequest(name=program))
    currency: str = found.currency_code
    message = v1.IssueGiftCardRequest(
        program=program,
        amount=v1.Money(minor_units=_value(members, currency), currency_code=currency),
        points_to_redeem=points,
    )
    if points or members.has("CustomerNumber"):
        message.customer = customer_name(members.text("CustomerNumber"))
        message.require_customer = True
    if sale:
        message.context.receipt = sale
    if members.has("GiftCardId"):
        rpc = yield from _of_reserved_id(request, members.text("GiftCardId"), message)
    else:
        message.code_format.CopyFrom(_format(config.assigned_id_prefix, config.assigned_id_digits))
        message.request_id = fresh("create", request)
        rpc = Rpc("IssueGiftCard", message)
    answer = yield rpc
    return Reply(200, {"GiftCard": {"Id": answer.gift_card.code}})


def _value(members: Members, currency: str) -> int:
    text = members.text("GiftCardValue")
    negative = text.startswith("-") and text[1:2].isdigit()
    units = 0 if negative or not text else members.minor_units("GiftCardValue", currency)
    if not units:
        raise Refusal("INVALID_FIELD", 400, "Gift Card Value must be greater than 0")
    return units


def _of_reserved_id(
    request: LegacyRequest, code: str, message: v1.IssueGiftCardRequest
) -> Generator[Rpc, Any, Rpc]:
    """The call for a given id, which makes it safe to repeat: the same body is the same call."""
    try:
        reference = card_reference(code)
    except Refusal:
        raise refusal("CODE_NOT_RESERVED") from None
    message.code = reference.code
    message.require_reserved_code = True
    plain = "".join(code.split()).replace("-", "").upper()
    meant = v1.IssueGiftCardRequest()
    meant.CopyFrom(message)
    meant.ClearField("code")
    token = request.headers.get("authorization", "").partition(" ")[2]
    rest = meant.SerializeToString(deterministic=True).hex()
    tries = Tries("create", digest(plain, rest, key=token))  # the id of a card is a secret
    newest = yield from tries.newest()
    message.request_id = tries.request_id(newest.number + (not newest.stands))
    return Rpc("IssueGiftCard", message, client_key=True)


# Reading


def balance_check(request: LegacyRequest, config: CpSettings) -> Operation:
    code = request.path["card_id"]
    message = v1.LookupGiftCardRequest(gift_card=card_reference(code))
    looked = yield Rpc("LookupGiftCard", message)
    card: v1.GiftCard = looked.gift_card
    lines = yield from history.of_card(card.name)
    return Reply(
        200,
        {
            "GiftCard": {
                "Id": code,
                "Type": "giftcard",
                "Status": _status(card),
                "Balance": answers.number(card.balance),
                "OpenAuthorizations": answers.number(card.held),
                "AvailableBalance": answers.number(card.available),
                "History": lines,
            }
        },
    )


#: `active` is the vendor's word; the others are ours.
STATUSES: Final[Mapping[int, str]] = {
    v1.GiftCard.INACTIVE: "inactive",
    v1.GiftCard.ACTIVE: "active",
    v1.GiftCard.LOCKED: "locked",
    v1.GiftCard.CLOSED: "voided",
    v1.GiftCard.VOIDED: "voided",
}


def _status(card: v1.GiftCard) -> str:
    return "expired" if card.expired and card.state == v1.GiftCard.ACTIVE else STATUSES[card.state]


def certificate(request: LegacyRequest, config: CpSettings) -> Operation:
    """The picture that the holder is given."""
    message = v1.RenderCertificateRequest(
        gift_card=card_reference(request.path["card_id"]),
        format=v1.RenderCertificateRequest.JPEG,
    )
    answer = yield Rpc("RenderCertificate", message)
    return Reply(200, content=answer.content, content_type=answer.content_type)
