"""Requests to commands: one function for each operation on a card.

Everything that can be said without looking at a card is checked here and answered as a field
violation.  `Intake` gathers what belongs to a request but not to its meaning.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from giftcard import v1

from server.domain import code as codes
from server.domain import commands as c
from server.domain.errors import InvalidField
from server.domain.model import Disposition, Origin, SpendOrder
from server.rpc import fields
from server.secrets import SecretKeys

CARDS_MAX: Final = 20

#: What UpdateGiftCard may name in its mask, and the field of `Policy` that it sets.
UPDATABLE: Final = {
    "max_balance": "max_balance",
    "valid_from": "valid_from",
    "valid_until": "valid_until",
    "reload_allowed": "reload_allowed",
    "return_allowed": "return_allowed",
    "partial_redeem_allowed": "partial_redeem_allowed",
    "batch": "batch",
    "customer": "customer",
    "external_reference": "external_reference",
    "labels": "labels",
}

Chosen = TypeVar("Chosen", bound=int)


class Intake:
    """Reads references to cards; keeps the PINs and the other hashes of their codes."""

    def __init__(self, keys: SecretKeys, caller: c.Caller) -> None:
        self._keys = keys
        self._caller = caller
        self.pins: dict[c.CardRef, str] = {}
        self.aliases: dict[str, tuple[str, ...]] = {}

    def card(self, value: v1.GiftCardReference, present: bool, field: str) -> c.CardRef:
        which = value.WhichOneof("reference") if present else None
        if which == "code":
            ref = c.CardRef(code_hash=self.code(value.code, f"{field}.code"))
        elif which == "name":
            ref = c.CardRef(id=fields.opaque_name(value.name, "giftCards", f"{field}.name"))
        else:
            raise InvalidField(field, "Is required: give the card's name or its code.")
        if value.pin:
            self.pins[ref] = fields.pin(value.pin, f"{field}.pin")
        return ref

    def code(self, value: str, field: str) -> str:
        """The code's keyed hash under the oldest key; the others become its aliases."""
        try:
            normalized = codes.normalize(value)
        except codes.CodeFormatError as error:
            raise InvalidField(field, str(error)) from error
        oldest, *others = self._keys.code_hashes_all_versions(
            self._caller.merchant_id, self._caller.book, normalized
        )
        stable = oldest.hex()
        if others:
            self.aliases[stable] = tuple(other.hex() for other in others)
        return stable

    def new_pin(self, value: str, request_id: str, field: str) -> str:
        """What stands in the command for the PIN that it sets; empty where it sets none."""
        if not value:
            return ""
        pin = fields.pin(value, field)
        return self._keys.new_pin_mark(self._caller.merchant_id, request_id, pin).hex()


def _policy(request: v1.CreateGiftCardRequest | v1.IssueGiftCardRequest) -> c.Policy:
    valid_from = fields.optional_date(
        request.valid_from, request.HasField("valid_from"), "valid_from"
    )
    valid_until = fields.optional_date(
        request.valid_until, request.HasField("valid_until"), "valid_until"
    )
    fields.ordered_dates(valid_from, valid_until, "valid_until")
    limit = fields.optional_amount(
        request.max_balance, request.HasField("max_balance"), "max_balance"
    )
    return c.Policy(
        limit,
        valid_from,
        valid_until,
        request.reload_allowed if request.HasField("reload_allowed") else None,
        request.return_allowed if request.HasField("return_allowed") else None,
        request.partial_redeem_allowed if request.HasField("partial_redeem_allowed") else None,
        fields.text(request.batch, "batch"),
        fields.customer(request.customer, "customer"),
        fields.text(request.external_reference, "external_reference"),
        fields.labels(dict(request.labels), "labels"),
    )


def _new_card_terms(
    request: v1.CreateGiftCardRequest | v1.IssueGiftCardRequest,
) -> dict[str, Any]:
    """What is asked of the code of a new card, given or made, and of its customer."""
    if request.require_customer and not request.customer:
        raise InvalidField("require_customer", "Must not be set without customer.")
    if request.require_reserved_code and not request.code:
        raise InvalidField("require_reserved_code", "Must not be set without code.")
    if request.HasField("code_format") and request.code:
        raise InvalidField("code_format", "Must not be set with code.")
    wanted = request.HasField("code_format")
    return {
        "code_format": fields.code_format(request.code_format, "code_format") if wanted else None,
        "require_reserved_code": request.require_reserved_code,
        "require_customer": request.require_customer,
    }


def create(request: v1.CreateGiftCardRequest, intake: Intake) -> c.Command:
    return c.CreateGiftCard(
        fields.chosen_name(request.program, "programs", "program"),
        intake.code(request.code, "code") if request.code else "",
        _policy(request),
        **_new_card_terms(request),
        new_pin=intake.new_pin(request.pin, request.request_id, "pin"),
    )


def issue(request: v1.IssueGiftCardRequest, intake: Intake) -> c.Command:
    points = request.points_to_redeem
    if points:
        fields.points(points, "points_to_redeem")
        if not request.customer:
            raise InvalidField("customer", "Is required where points pay.")
        if request.origin:
            raise InvalidField("origin", "Must not be set where points pay.")
    return c.IssueGiftCard(
        fields.chosen_name(request.program, "programs", "program"),
        intake.code(request.code, "code") if request.code else "",
        _policy(request),
        fields.amount(request.amount, request.HasField("amount"), "amount"),
        Origin.POINTS if points else _origin(request.origin),
        fields.optional_date(
            request.tranche_expire_date,
            request.HasField("tranche_expire_date"),
            "tranche_expire_date",
        ),
        **_new_card_terms(request),
        points=points,
        new_pin=intake.new_pin(request.pin, request.request_id, "pin"),
    )


def _origin(value: int) -> Origin:
    """PAID unless said otherwise; what the ledger itself makes (REFUND, POINTS) is refused."""
    if value == v1.Tranche.ORIGIN_UNSPECIFIED:
        return Origin.PAID
    if value not in (Origin.PAID, Origin.PROMO, Origin.IMPORT):
        raise InvalidField("origin", "Must be PAID, PROMO or IMPORT.")
    return Origin(value)


def activate(request: v1.ActivateGiftCardRequest, intake: Intake) -> c.Command:
    valid_from = fields.optional_date(
        request.valid_from, request.HasField("valid_from"), "valid_from"
    )
    valid_until = fields.optional_date(
        request.valid_until, request.HasField("valid_until"), "valid_until"
    )
    fields.ordered_dates(valid_from, valid_until, "valid_until")
    return c.ActivateGiftCard(
        _card(request, intake),
        fields.amount(request.amount, request.HasField("amount"), "amount"),
        valid_from,
        valid_until,
    )


def _card(request: Any, intake: Intake) -> c.CardRef:
    return intake.card(request.gift_card, request.HasField("gift_card"), "gift_card")


def load(request: v1.LoadGiftCardRequest, intake: Intake) -> c.Command:
    return c.LoadGiftCard(
        _card(request, intake),
        fields.amount(request.amount, request.HasField("amount"), "amount"),
        _origin(request.origin),
        fields.optional_date(
            request.tranche_expire_date,
            request.HasField("tranche_expire_date"),
            "tranche_expire_date",
        ),
    )


def redeem(request: v1.RedeemGiftCardRequest, intake: Intake) -> c.Command:
    return c.RedeemGiftCard(
        _card(request, intake),
        fields.amount(request.amount, request.HasField("amount"), "amount"),
        request.allow_partial,
    )


def redeem_many(request: v1.RedeemGiftCardsRequest, intake: Intake) -> c.Command:
    if not 1 <= len(request.gift_cards) <= CARDS_MAX:
        raise InvalidField("gift_cards", f"Must name 1 to {CARDS_MAX} cards.")
    refs = tuple(
        intake.card(value, True, f"gift_cards[{index}]")
        for index, value in enumerate(request.gift_cards)
    )
    if len(set(refs)) != len(refs):
        raise InvalidField("gift_cards", "Must not name a card twice.")
    return c.RedeemGiftCards(
        refs,
        fields.amount(request.amount, request.HasField("amount"), "amount"),
        request.allow_partial,
        _choice(SpendOrder, request.order, "order", SpendOrder.AS_GIVEN),
    )


def _choice(kind: Callable[[int], Chosen], value: int, field: str, default: Chosen) -> Chosen:
    """An enum of the domain; the contract's numbers are the same, and 0 means the default."""
    if value == 0:
        return default
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidField(field, "Is not a known value.") from error


def _target(
    request: v1.RefundGiftCardRequest | v1.ReverseTransactionRequest,
) -> c.TransactionRef:
    which = request.WhichOneof("original")
    if which == "transaction":
        name = fields.opaque_name(request.transaction, "transactions", "transaction")
        return c.TransactionRef(id=name)
    if which == "original_request_id":
        return c.TransactionRef(
            request_id=fields.request_id(request.original_request_id, "original_request_id")
        )
    raise InvalidField("original", "Is required: give the transaction or its request id.")


def refund(request: v1.RefundGiftCardRequest, intake: Intake) -> c.Command:
    amount = fields.amount(request.amount, request.HasField("amount"), "amount")
    return c.RefundGiftCard(_target(request), amount)


def authorize(request: v1.AuthorizeGiftCardRequest, intake: Intake) -> c.Command:
    which = request.WhichOneof("extent")
    amount = None
    if which == "amount":
        amount = fields.amount(request.amount, True, "amount")
    elif which is None or not request.whole_balance:
        raise InvalidField("amount", "Is required, unless whole_balance is true.")
    return c.AuthorizeGiftCard(
        _card(request, intake),
        amount,
        request.allow_partial,
        request.exclusive,
        fields.optional_seconds(
            request.expire_after, request.HasField("expire_after"), "expire_after"
        ),
        fields.text(request.sale_reference, "sale_reference"),
    )


def capture(request: v1.CaptureHoldRequest, intake: Intake) -> c.Command:
    return c.CaptureHold(
        fields.opaque_name(request.name, "holds", "name"),
        fields.optional_amount(request.amount, request.HasField("amount"), "amount"),
        request.final,
    )


def void(request: v1.VoidHoldRequest, intake: Intake) -> c.Command:
    return c.VoidHold(fields.opaque_name(request.name, "holds", "name"))


def reverse(request: v1.ReverseTransactionRequest, intake: Intake) -> c.Command:
    target = _target(request)
    if target.request_id == request.request_id:
        raise InvalidField("request_id", "Must differ from the request id to be reversed.")
    return c.ReverseTransaction(target)


def lock(request: v1.LockGiftCardRequest, intake: Intake) -> c.Command:
    return c.LockGiftCard(_card(request, intake))


def unlock(request: v1.UnlockGiftCardRequest, intake: Intake) -> c.Command:
    return c.UnlockGiftCard(_card(request, intake))


def close(request: v1.CloseGiftCardRequest, intake: Intake) -> c.Command:
    disposition = _choice(Disposition, request.disposition, "disposition", Disposition.REQUIRE_ZERO)
    named = request.HasField("transfer_target")
    if named != (disposition is Disposition.TRANSFER):
        raise InvalidField("transfer_target", "Is required for TRANSFER, and only for that.")
    target = intake.card(request.transfer_target, True, "transfer_target") if named else None
    return c.CloseGiftCard(_card(request, intake), disposition, target)


def transfer(request: v1.TransferBalanceRequest, intake: Intake) -> c.Command:
    return c.TransferBalance(
        intake.card(request.source, request.HasField("source"), "source"),
        intake.card(request.target, request.HasField("target"), "target"),
        fields.optional_amount(request.amount, request.HasField("amount"), "amount"),
        request.close_source,
    )


def adjust(request: v1.AdjustGiftCardRequest, intake: Intake) -> c.Command:
    amount = fields.amount(request.amount, request.HasField("amount"), "amount", signed=True)
    fields.text(request.context.reason, "context.reason", limit=255, required=True)
    return c.AdjustGiftCard(_card(request, intake), amount)


def update(request: v1.UpdateGiftCardRequest, intake: Intake) -> c.Command:
    """Absent mask: all fields that are set (AIP-134); `*` means every updatable field."""
    card = request.gift_card
    name = fields.opaque_name(card.name, "giftCards", "gift_card.name")
    paths = list(request.update_mask.paths)
    if not paths:
        ignored = {"name", "etag"}
        paths = [field.name for field, _ in card.ListFields() if field.name not in ignored]
    if paths == ["*"]:
        paths = list(UPDATABLE)
    for path in paths:
        if path not in UPDATABLE and path != "pin":
            raise InvalidField(
                "update_mask",
                f"{path[:64]} cannot be updated. It may name: {', '.join(UPDATABLE)}, pin.",
            )
    if not paths:
        raise InvalidField("update_mask", "Names nothing to update.")
    limit = fields.optional_amount(
        card.max_balance, card.HasField("max_balance"), "gift_card.max_balance"
    )
    valid_from = fields.optional_date(
        card.valid_from, card.HasField("valid_from"), "gift_card.valid_from"
    )
    valid_until = fields.optional_date(
        card.valid_until, card.HasField("valid_until"), "gift_card.valid_until"
    )
    fields.ordered_dates(valid_from, valid_until, "gift_card.valid_until")
    policy = c.Policy(
        limit,
        valid_from,
        valid_until,
        card.reload_allowed if card.HasField("reload_allowed") else None,
        card.return_allowed if card.HasField("return_allowed") else None,
        card.partial_redeem_allowed if card.HasField("partial_redeem_allowed") else None,
        fields.text(card.batch, "gift_card.batch"),
        fields.customer(card.customer, "gift_card.customer"),
        fields.text(card.external_reference, "gift_card.external_reference"),
        fields.labels(dict(card.labels), "gift_card.labels"),
    )
    # What is not masked is not meant, whatever was sent along: the command does not have it.
    meant = {path: getattr(policy, UPDATABLE[path]) for path in paths if path in UPDATABLE}
    return c.UpdateGiftCard(
        c.CardRef(id=name),
        tuple(sorted(set(paths))),
        c.Policy(**meant),
        fields.text(card.etag, "gift_card.etag"),
        intake.new_pin(card.pin, request.request_id, "gift_card.pin") if "pin" in paths else "",
    )
