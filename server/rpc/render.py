"""Stored facts to messages.  First answers and replays come through the same functions, from
the same record, so they cannot differ.

What stands inside an answer is rendered as `Fields`, plain dictionaries, and becomes messages only
where the answer is made: protobuf copies a message that is put into another, which took half of
the time.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from giftcard import v1

from server.domain.currency import POINTS
from server.domain.errors import MESSAGES
from server.domain.lifecycle import etag
from server.domain.model import Card, CardState, Origin, TransactionState
from server.domain.record import (
    CardView,
    EntryView,
    HoldView,
    Record,
    TrancheView,
    view_card,
    view_hold,
)
from server.storage.queries import Described, FoundHold

#: A message as the dictionary of its fields.  The generated types know messages only, hence Any.
Fields = Any


def money(minor_units: int, unit: str) -> Fields:
    return {"minor_units": minor_units, "currency_code": unit}


def timestamp(instant: int | None) -> Fields | None:
    if instant is None:
        return None
    seconds, micros = divmod(instant, 1_000_000)
    return {"seconds": seconds, "nanos": micros * 1000}


def calendar_date(text: str | None) -> Fields | None:
    """From an ISO date."""
    if not text:
        return None
    year, month, day = text.split("-")
    return {"year": int(year), "month": int(month), "day": int(day)}


def card_fields(view: CardView, code: str = "") -> Fields:
    unit = view.unit
    return {
        "name": "giftCards/" + view.id,
        "program": "programs/" + view.program,
        "program_version": view.program_version,
        "state": view.state,
        "expired": view.expired,
        "empty": view.balance == 0 and view.state != CardState.INACTIVE,
        "currency_code": unit,
        "balance": money(view.balance, unit),
        "held": money(view.held, unit),
        "available": money(view.available, unit),
        "initial_amount": (
            None if view.state == CardState.INACTIVE else money(view.initial_amount, unit)
        ),
        "max_balance": None if view.max_balance is None else money(view.max_balance, unit),
        "valid_from": calendar_date(view.valid_from),
        "valid_until": calendar_date(view.valid_until),
        "expire_time": timestamp(view.expire_time),
        "time_zone": view.time_zone,
        "reload_allowed": view.reload_allowed,
        "return_allowed": view.return_allowed,
        "partial_redeem_allowed": view.partial_redeem_allowed,
        "pin_set": view.pin_set,
        "code": code,
        "code_last_four": view.code_last_four,
        "tranches": _tranches(view),
        "batch": view.batch,
        "customer": _name("customers/", view.customer),
        "external_reference": view.external_reference,
        "labels": view.labels or None,
        "book": view.book,
        "create_time": timestamp(view.create_time),
        "update_time": timestamp(view.update_time),
        "issue_time": timestamp(view.issue_time),
        "etag": etag(view.id, view.sequence),
        "transaction_count": view.sequence,
    }


def customer_fields(view: CardView) -> Fields:
    """The customer whose points this card is."""
    return {
        "name": "customers/" + view.customer,
        "point_balance": view.balance,
        "held_points": view.held,
        "available_points": view.available,
        "tranches": _tranches(view),
        "external_reference": view.external_reference,
        "labels": view.labels or None,
        "book": view.book,
        "create_time": timestamp(view.create_time),
        "update_time": timestamp(view.update_time),
        "etag": etag(view.id, view.sequence),
        "transaction_count": view.sequence,
    }


def _tranches(view: CardView) -> Fields:
    unit = view.unit
    return [
        {
            "origin": tranche.origin,
            "balance": money(tranche.balance, unit),
            "held": money(tranche.held, unit),
            "expire_time": timestamp(tranche.expire_time),
        }
        for tranche in sorted(view.tranches, key=_spend_order)
    ]


def _spend_order(tranche: TrancheView) -> tuple[int, bool]:
    """Soonest-expiring first, then promotional value; of equals the older one, as they stand."""
    end = 2**63 if tranche.expire_time is None else tranche.expire_time
    return end, tranche.origin != Origin.PROMO


def card_now(card: Card, now: int) -> Fields:
    """The card as it is; never as it was before its last change, whatever the clock says."""
    return card_fields(view_card(card, max(now, card.update_time)))


def customer_now(wallet: Card, now: int) -> Fields:
    return customer_fields(view_card(wallet, max(now, wallet.update_time)))


def client_name(merchant_id: str, client_id: str) -> str:
    return f"merchants/{merchant_id}/apiClients/{client_id}"


def hold_fields(view: HoldView, merchant_id: str, customer: str = "") -> Fields:
    """`customer` is empty unless the hold keeps points."""
    unit = view.unit
    return {
        "name": "holds/" + view.id,
        "gift_card": "" if customer else "giftCards/" + view.card_id,
        "customer": _name("customers/", customer),
        "state": view.state,
        "requested_amount": money(view.requested, unit),
        "authorized_amount": money(view.authorized, unit),
        "captured_amount": money(view.captured, unit),
        "remaining_amount": money(view.remaining, unit),
        "exclusive": view.exclusive,
        "sale_reference": view.sale_reference,
        "authorization_code": "G" + view.id.upper(),
        "expire_time": timestamp(view.expire_time),
        "create_time": timestamp(view.create_time),
        "end_time": timestamp(view.end_time),
        "api_client": client_name(merchant_id, view.client_id),
    }


def hold_now(found: FoundHold, merchant_id: str, now: int) -> Fields:
    return hold_fields(view_hold(found.hold, found.unit, now), merchant_id, found.customer)


def transaction_fields(record: Record) -> Fields:
    unit = record.unit
    return {
        "name": "transactions/" + record.id,
        "kind": record.kind,
        "state": record.state,
        "entries": [
            _entry(entry, card)
            for entry, card in zip(record.result.entries, record.result.cards, strict=True)
        ],
        "requested_amount": None if record.requested is None else money(record.requested, unit),
        "approved_amount": None if record.approved is None else money(record.approved, unit),
        "hold": _name("holds/", record.hold_id),
        "target_transaction": _name("transactions/", record.target_id),
        "request_id": record.request_id,
        "api_client": client_name(record.merchant_id, record.client_id),
        "context": _context(record),
        "refusal_reason": record.refusal_reason,
        "refusal_message": MESSAGES.get(record.refusal_reason, ""),
        "decide_time": timestamp(record.decided_time),
        "effective_time": timestamp(record.effective_time),
        "business_date": calendar_date(record.business_date),
        "book": record.book,
    }


def _entry(view: EntryView, card: CardView) -> Fields:
    unit = card.unit
    return {
        "gift_card": "" if unit == POINTS else "giftCards/" + card.id,
        "customer": "customers/" + card.customer if unit == POINTS else "",
        "sequence": view.sequence,
        "amount": money(view.amount, unit),
        "balance_after": money(view.balance_after, unit),
        "held_after": money(view.held_after, unit),
    }


def described_transaction(found: Described) -> Fields:
    """Adds what became of a transaction after it was decided."""
    transaction = transaction_fields(found.record)
    transaction["feed_sequence"] = found.feed_sequence
    transaction["commit_time"] = timestamp(found.commit_time)
    transaction["reversal_transaction"] = _name("transactions/", found.reversal_id)
    hashes = {entry.card_id: entry.hash for entry in found.record.entries}
    for view, entry in zip(found.record.result.entries, transaction["entries"], strict=True):
        entry["hash"] = bytes.fromhex(hashes[view.card_id])
    return transaction


def _name(prefix: str, identifier: str | None) -> str:
    return prefix + identifier if identifier else ""


def _context(record: Record) -> Fields | None:
    if not (
        record.location_id
        or record.terminal
        or record.operator
        or record.receipt
        or record.reason
        or record.client_time
    ):
        return None
    return {
        "location": _name("locations/", record.location_id),
        "terminal": record.terminal,
        "operator": record.operator,
        "receipt": record.receipt,
        "client_time": timestamp(record.client_time),
        "reason": record.reason,
    }


class Answered:
    """The parts that answers share, made from a stored decision."""

    def __init__(self, record: Record, replayed: bool, code: str = "") -> None:
        self.record = record
        self.code = code
        self.common: Fields = {
            "transaction": transaction_fields(record),
            "replayed": replayed,
        }

    def card(self, index: int = 0) -> Fields:
        return card_fields(self.record.result.cards[index], self.code)

    def owner(self) -> Fields:
        """What a hold is of: a card, or a customer with its points."""
        view = self.record.result.cards[0]
        if view.unit == POINTS:
            return {"customer": customer_fields(view)}
        return {"gift_card": card_fields(view)}

    def owners(self) -> Fields:
        """All cards and customers that were touched."""
        return _owners(self.record.result.cards)

    def approved(self) -> Fields:
        return money(self.record.approved or 0, self.record.unit)

    def due(self) -> Fields:
        record = self.record
        return money((record.requested or 0) - (record.approved or 0), record.unit)

    def hold(self) -> Fields | None:
        view = self.record.result.hold
        if view is None:
            return None
        card = self.record.result.cards[0]
        customer = card.customer if card.unit == POINTS else ""
        return hold_fields(view, self.record.merchant_id, customer)


def _owners(views: Sequence[CardView]) -> Fields:
    return {
        "gift_cards": [card_fields(view) for view in views if view.unit != POINTS],
        "customers": [customer_fields(view) for view in views if view.unit == POINTS],
    }


def _with_card(response: type[Any]) -> Any:
    """Renders the many answers that are a card and its transaction."""

    def render(answered: Answered) -> Any:
        return response(gift_card=answered.card(), **answered.common)

    return render


create: Final = _with_card(v1.CreateGiftCardResponse)
activate: Final = _with_card(v1.ActivateGiftCardResponse)
load: Final = _with_card(v1.LoadGiftCardResponse)
update: Final = _with_card(v1.UpdateGiftCardResponse)
lock: Final = _with_card(v1.LockGiftCardResponse)
unlock: Final = _with_card(v1.UnlockGiftCardResponse)
adjust: Final = _with_card(v1.AdjustGiftCardResponse)


def issue(answered: Answered) -> v1.IssueGiftCardResponse:
    return v1.IssueGiftCardResponse(
        gift_card=answered.card(),
        customer=next(iter(answered.owners()["customers"]), None),
        **answered.common,
    )


def redeem(answered: Answered) -> v1.RedeemGiftCardResponse:
    return v1.RedeemGiftCardResponse(
        gift_card=answered.card(),
        approved_amount=answered.approved(),
        remaining_due=answered.due(),
        **answered.common,
    )


def redeem_many(answered: Answered) -> v1.RedeemGiftCardsResponse:
    unit = answered.record.unit
    lines: Any = answered.record.result.extras["plan"]
    plan: Fields = [
        {
            "gift_card": "giftCards/" + line["card_id"],
            "amount": money(line["amount"], unit),
            "explanation": line["why"],
        }
        for line in lines
    ]
    return v1.RedeemGiftCardsResponse(
        gift_cards=answered.owners()["gift_cards"],
        plan=plan,
        approved_amount=answered.approved(),
        remaining_due=answered.due(),
        **answered.common,
    )


def refund(answered: Answered) -> v1.RefundGiftCardResponse:
    return v1.RefundGiftCardResponse(**answered.owners(), **answered.common)


def authorize(answered: Answered) -> v1.AuthorizeGiftCardResponse:
    return v1.AuthorizeGiftCardResponse(
        gift_card=answered.card(),
        hold=answered.hold(),
        approved_amount=answered.approved(),
        remaining_due=answered.due(),
        **answered.common,
    )


def capture(answered: Answered) -> v1.CaptureHoldResponse:
    return v1.CaptureHoldResponse(
        **answered.owner(),
        hold=answered.hold(),
        captured_amount=answered.approved(),
        **answered.common,
    )


def void(answered: Answered) -> v1.VoidHoldResponse:
    return v1.VoidHoldResponse(
        **answered.owner(),
        hold=answered.hold(),
        released_amount=answered.approved(),
        **answered.common,
    )


def reverse(answered: Answered) -> v1.ReverseTransactionResponse:
    extras: Any = answered.record.result.extras
    unit = answered.record.unit
    return v1.ReverseTransactionResponse(
        **answered.owners(),
        outcome=extras["outcome"],
        shortfall=money(extras["shortfall"], unit) if extras["shortfall"] else None,
        **answered.common,
    )


def close(answered: Answered) -> v1.CloseGiftCardResponse:
    moved = len(answered.record.result.cards) > 1
    return v1.CloseGiftCardResponse(
        gift_card=answered.card(),
        disposed_amount=answered.approved(),
        transfer_target=answered.card(1) if moved else None,
        **answered.common,
    )


def transfer(answered: Answered) -> v1.TransferBalanceResponse:
    return v1.TransferBalanceResponse(
        source=answered.card(0),
        target=answered.card(1),
        transferred_amount=answered.approved(),
        **answered.common,
    )


def lookup(found: Described, cards: Iterable[Card], now: int) -> v1.LookupTransactionResponse:
    states = v1.LookupTransactionResponse
    state = {
        TransactionState.APPROVED: states.APPROVED,
        TransactionState.REFUSED: states.REFUSED,
        TransactionState.SEALED: states.SEALED,
    }[found.record.state]
    views = [view_card(card, max(now, card.update_time)) for card in cards]
    return states(state=state, transaction=described_transaction(found), **_owners(views))
