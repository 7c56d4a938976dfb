"""From the tests' plain operations to requests over gRPC, and from the answers back.

The counterpart of `tests.in_process`, seen from outside: it knows the contract and nothing of the
server.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from tests import operations as o
from tests.rpc.edge_stage import Heard

NEVER: Final = 2**63
UNKNOWN_ID: Final = "0" * 32
#: Answers that say no without being a decision, although they name a transaction.
_NOT_DECIDED: Final = {"REQUEST_ID_REUSED", "REQUEST_SEALED", "REVERSED_BEFORE_ARRIVAL"}
_REASON: Final = v1.CallContext(reason="a test says so")


def to_date(text: str | None) -> Date | None:
    if text is None:
        return None
    day = date.fromisoformat(text)
    return Date(year=day.year, month=day.month, day=day.day)


def to_program(facts: dict[str, Any]) -> v1.Program:
    """A program from the plain facts of `tests.programs`."""
    parts = dict(facts)
    unit = parts.pop("unit", "USD")
    validity: dict[str, Callable[[Any], v1.Program.Validity]] = {
        "validity_days": lambda days: v1.Program.Validity(days=days),
        "validity_months": lambda months: v1.Program.Validity(months=months),
        "valid_until": lambda day: v1.Program.Validity(until=to_date(day)),
    }
    program = v1.Program(currency_code=unit)
    for name, value in parts.items():
        if name in validity:
            program.validity.CopyFrom(validity[name](value))
        elif name == "retired":
            program.state = v1.Program.RETIRED
        elif name == "denominations":
            program.denominations.extend(money(each, unit) for each in value)
        elif isinstance(value, bool) or name == "points_per_major_unit":
            setattr(program, name, value)
        else:
            getattr(program, name).CopyFrom(money(value, unit))
    return program


def money(minor_units: int, unit: str) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code=unit)


def amount_of(operation: Any) -> v1.Money | None:
    return None if operation.amount is None else money(operation.amount, operation.unit)


def micros(instant: Timestamp) -> int:
    return int(instant.seconds) * o.SECOND + instant.nanos // 1000


def figures(card: v1.GiftCard) -> o.CardFigures:
    return o.CardFigures(
        v1.GiftCard.State.Name(card.state), card.balance.minor_units, card.held.minor_units,
        card.available.minor_units, _tranches(card),
    )  # fmt: skip


def points(customer: v1.Customer) -> o.CardFigures:
    """A customer's points, as figures like those of a card."""
    return o.CardFigures(
        "ACTIVE", customer.point_balance, customer.held_points, customer.available_points,
        _tranches(customer),
    )  # fmt: skip


def handle_of(customer: v1.Customer) -> str:
    return customer.name.removeprefix("customers/")


def _tranches(of: v1.GiftCard | v1.Customer) -> tuple[tuple[str, int, int], ...]:
    tranches = sorted(
        (
            v1.Tranche.Origin.Name(tranche.origin),
            tranche.balance.minor_units,
            micros(tranche.expire_time) if tranche.HasField("expire_time") else NEVER,
        )
        for tranche in of.tranches
        if tranche.balance.minor_units
    )
    return tuple(tranches)


@dataclass(slots=True)
class Translator:
    """Knows the names that one merchant's cards, holds and transactions got."""

    names: dict[o.CardKey, str] = field(default_factory=dict)
    handles: dict[str, o.CardKey] = field(default_factory=dict)
    customers: set[o.CardKey] = field(default_factory=set)
    holds: dict[str, str] = field(default_factory=dict)
    transactions: dict[str, str] = field(default_factory=dict)
    #: Codes that the server made; any other card's code is its handle.
    codes: dict[o.CardKey, str] = field(default_factory=dict)
    _sent: dict[o.Request, Message] = field(default_factory=dict)

    def message(self, request: o.Request) -> Message:
        """The same message whenever the same is asked again."""
        if request not in self._sent:
            self._sent[request] = self._message(request)
        return self._sent[request]

    def _message(self, request: o.Request) -> Any:
        op: Any = self._with_codes(request)
        match op:
            case o.Create() | o.Issue():
                message = self._new_card(op)
            case o.NewCustomer() | o.Earn() | o.AdjustPoints() | o.HoldPoints():
                message = self._about_a_customer(op)
            case o.Reserve() | o.Release():
                message = self._about_codes(op)
            case o.Refund() | o.Reverse() | o.Lookup():
                message = self._about_a_request(op)
            case o.Capture() | o.Void():
                message = self._about_a_hold(op)
            case o.RedeemMany() | o.Transfer() | o.Close() | o.Update():
                message = self._several_things(request, op)
            case _:
                message = self._about_a_card(op)
        message.request_id = request.id
        return message

    def code(self, request: o.Request, card: str) -> str:
        return self.codes.get((card, request.book), card)

    def _with_codes(self, request: o.Request) -> Any:
        """The operation with the codes in place of the handles of its cards."""
        op: Any = request.operation
        match op:
            case o.Update() | o.Reserve():
                return op
            case o.RedeemMany() | o.Release():
                return replace(op, cards=tuple(self.code(request, card) for card in op.cards))
            case o.Transfer():
                source, target = self.code(request, op.source), self.code(request, op.target)
                return replace(op, source=source, target=target)
            case o.Close():
                into = None if op.target is None else self.code(request, op.target)
                return replace(op, card=self.code(request, op.card), target=into)
        return replace(op, card=self.code(request, op.card)) if hasattr(op, "card") else op

    def _about_codes(self, op: o.Reserve | o.Release) -> Any:
        if isinstance(op, o.Reserve):
            lasts = None if op.seconds is None else Duration(seconds=op.seconds)
            program = f"programs/{op.program}"
            return v1.ReserveCodesRequest(
                program=program, count=len(op.cards), agency="agency", expire_after=lasts
            )
        if not op.of:
            return v1.ReleaseCodesRequest(codes=op.cards)
        name = self.transactions.get(op.of, f"transactions/{UNKNOWN_ID}")
        return v1.ReleaseCodesRequest(reservation=name.replace("transactions", "codeReservations"))

    def _new_card(self, op: o.Create | o.Issue) -> Any:
        parts: dict[str, Any] = {
            "program": f"programs/{op.program}", "code": op.card, "pin": op.pin or "",
            "valid_from": to_date(op.valid_from), "valid_until": to_date(op.valid_until),
            "require_reserved_code": op.reserved,
        }  # fmt: skip
        if op.max_balance is not None:
            parts["max_balance"] = money(op.max_balance, "USD")
        if isinstance(op, o.Create):
            return v1.CreateGiftCardRequest(**parts)
        if op.customer is not None:
            parts |= {"customer": f"customers/{op.customer}", "require_customer": True}
        origin = v1.Tranche.Origin.Value("ORIGIN_UNSPECIFIED" if op.points else op.origin)
        return v1.IssueGiftCardRequest(
            amount=amount_of(op), origin=origin, points_to_redeem=op.points,
            tranche_expire_date=to_date(op.tranche_until), **parts,
        )  # fmt: skip

    def _about_a_customer(self, op: Any) -> Any:
        name = f"customers/{op.customer}"
        match op:
            case o.NewCustomer():
                return v1.CreateCustomerRequest(customer_id=op.customer)
            case o.Earn():
                return v1.EarnPointsRequest(
                    customer=name, points=op.points, expire_date=to_date(op.until)
                )
            case o.AdjustPoints():
                return v1.AdjustPointsRequest(customer=name, points=op.points, context=_REASON)
        lasts = None if op.seconds is None else Duration(seconds=op.seconds)
        extent = {"whole_balance": True} if op.points is None else {"points": op.points}
        return v1.AuthorizePointsRequest(
            customer=name, allow_partial=op.partial, expire_after=lasts, **extent
        )

    def _about_a_card(self, op: Any) -> Any:
        card = v1.GiftCardReference(code=op.card, pin=getattr(op, "pin", None) or "")
        match op:
            case o.Activate():
                return v1.ActivateGiftCardRequest(
                    gift_card=card, amount=amount_of(op), valid_from=to_date(op.valid_from),
                    valid_until=to_date(op.valid_until),
                )  # fmt: skip
            case o.Load():
                return v1.LoadGiftCardRequest(
                    gift_card=card, amount=amount_of(op),
                    origin=v1.Tranche.Origin.Value(op.origin),
                    tranche_expire_date=to_date(op.tranche_until),
                )  # fmt: skip
            case o.Redeem():
                return v1.RedeemGiftCardRequest(
                    gift_card=card, amount=amount_of(op), allow_partial=op.partial
                )
            case o.Authorize():
                parts: dict[str, Any] = {"whole_balance": True}
                if op.amount is not None:
                    parts = {"amount": amount_of(op)}
                if op.seconds is not None:
                    parts["expire_after"] = Duration(seconds=op.seconds)
                return v1.AuthorizeGiftCardRequest(
                    gift_card=card, allow_partial=op.partial, exclusive=op.exclusive, **parts
                )
            case o.Lock():
                return v1.LockGiftCardRequest(gift_card=card)
            case o.Unlock():
                return v1.UnlockGiftCardRequest(gift_card=card)
            case o.Adjust():
                return v1.AdjustGiftCardRequest(
                    gift_card=card, amount=amount_of(op), context=_REASON
                )
        raise TypeError(f"no request for {op!r}")

    def _several_things(self, request: o.Request, op: Any) -> Any:
        match op:
            case o.RedeemMany():
                order = v1.RedeemGiftCardsRequest.Order
                first = order.SOONEST_EXPIRY_FIRST if op.soonest_first else order.AS_GIVEN
                return v1.RedeemGiftCardsRequest(
                    gift_cards=self._each_once_spelled(request, op), amount=amount_of(op),
                    allow_partial=op.partial, order=first,
                )  # fmt: skip
            case o.Transfer():
                return v1.TransferBalanceRequest(
                    source=v1.GiftCardReference(code=op.source, pin=op.pin or ""),
                    target=v1.GiftCardReference(code=op.target), amount=amount_of(op),
                    close_source=op.close_source,
                )  # fmt: skip
            case o.Close():
                target = None if op.target is None else v1.GiftCardReference(code=op.target)
                return v1.CloseGiftCardRequest(
                    gift_card=v1.GiftCardReference(code=op.card), transfer_target=target,
                    disposition=v1.CloseGiftCardRequest.Disposition.Value(op.disposition),
                )  # fmt: skip
            case o.Update():
                return self._update(self._name(request, op.card), dict(op.changes))
        raise TypeError(f"no request for {op!r}")

    def _each_once_spelled(
        self, request: o.Request, op: o.RedeemMany
    ) -> list[v1.GiftCardReference]:
        """The edge itself refuses a card spelled alike twice; by code and by name it cannot."""
        references: dict[str, v1.GiftCardReference] = {}
        pins = op.pins or (None,) * len(op.cards)
        for card, pin in zip(op.cards, pins, strict=True):
            if card not in references:
                references[card] = v1.GiftCardReference(code=card, pin=pin or "")
            else:
                name = self._name(request, card)
                references[name] = v1.GiftCardReference(name=name, pin=pin or "")
        return list(references.values())

    def _name(self, request: o.Request, card: str) -> str:
        return self.names.get((card, request.book), f"giftCards/{UNKNOWN_ID}")

    def _update(self, name: str, changes: dict[str, Any]) -> v1.UpdateGiftCardRequest:
        card = v1.GiftCard(name=name)
        for field_name, value in changes.items():
            if value is None:
                continue
            if field_name == "max_balance":
                card.max_balance.CopyFrom(money(value, "USD"))
            elif field_name in {"valid_from", "valid_until"}:
                getattr(card, field_name).CopyFrom(to_date(value))
            else:
                setattr(card, field_name, value)
        return v1.UpdateGiftCardRequest(gift_card=card, update_mask=FieldMask(paths=changes))

    def _about_a_hold(self, op: o.Capture | o.Void) -> Any:
        name = self.holds.get(op.hold, f"holds/{UNKNOWN_ID}")
        if isinstance(op, o.Void):
            return v1.VoidHoldRequest(name=name)
        return v1.CaptureHoldRequest(name=name, amount=amount_of(op), final=op.final)

    def _about_a_request(self, op: Any) -> Any:
        if isinstance(op, o.Lookup):
            return v1.LookupTransactionRequest(seal=op.seal)
        target = {"original_request_id": op.of}
        if op.by_name:
            target = {"transaction": self.transactions.get(op.of, f"transactions/{UNKNOWN_ID}")}
        if isinstance(op, o.Refund):
            return v1.RefundGiftCardRequest(amount=amount_of(op), **target)
        return v1.ReverseTransactionRequest(**target)

    # Answers

    def outcome(self, request: o.Request, heard: Heard) -> o.Outcome:
        """The answer in plain values, but for the state of a hold that it only names."""
        if heard.message is None:
            return self._refusal(request, heard)
        message = heard.message
        if isinstance(message, v1.Customer):
            return self._customer_made(request, heard)
        transaction = message.transaction
        if isinstance(request.operation, o.Lookup):
            found = v1.LookupTransactionResponse.State.Name(message.state)
            if found in {"APPROVED", "REFUSED"}:
                self.transactions[request.id] = transaction.name
            return o.Outcome(found=found, approved=_approved(transaction))
        assert heard.replayed == message.replayed
        self.transactions[request.id] = transaction.name
        cards = list(_cards(message))
        if isinstance(request.operation, (o.Create, o.Issue)):
            key = (request.operation.card, request.book)
            self.names[key], self.handles[cards[0].name] = cards[0].name, key
            self.names[cards[0].code, request.book] = cards[0].name
            assert cards[0].code == self.code(request, request.operation.card)
        if isinstance(request.operation, o.Reserve):
            keys = [(card, request.book) for card in request.operation.cards]
            known = [self.codes.setdefault(*pair) for pair in zip(keys, message.codes, strict=True)]
            assert known == list(message.codes), "a replay has the same codes"
        hold_state = None
        if isinstance(request.operation, (o.Authorize, o.HoldPoints, o.Capture, o.Void)):
            assert message.hold.name == transaction.hold
            hold_state = v1.Hold.State.Name(message.hold.state)
        if isinstance(request.operation, (o.Authorize, o.HoldPoints)):
            self.holds[request.id] = transaction.hold
        reversing = isinstance(request.operation, o.Reverse)
        return o.Outcome(
            approved=_approved(transaction),
            hold_state=hold_state,
            reversal=message.Outcome.Name(message.outcome) if reversing else None,
            shortfall=message.shortfall.minor_units if reversing else 0,
            plan=tuple(
                (self.handles[line.gift_card][0], line.amount.minor_units)
                for line in getattr(message, "plan", ())
            ),
            codes=_codes(message),
            replayed=heard.replayed,
            hold_id=transaction.hold or None,
            transaction_id=transaction.name,
            stored=_stored(message),
            cards={
                **{self.handles[card.name][0]: figures(card) for card in cards},
                **{handle_of(each): points(each) for each in _customers(message)},
            },
        )

    def _customer_made(self, request: o.Request, heard: Heard) -> o.Outcome:
        """The answer of CreateCustomer is the bare customer: it names no transaction."""
        customer = heard.message
        self.customers.add((handle_of(customer), request.book))
        return o.Outcome(replayed=heard.replayed, cards={handle_of(customer): points(customer)})

    def _refusal(self, request: o.Request, heard: Heard) -> o.Outcome:
        assert heard.reason, heard
        metadata = dict(heard.metadata)
        replayed = metadata.pop("replayed", "") == "true"
        transaction = metadata.get("transaction")
        if heard.reason in _NOT_DECIDED or transaction is None:
            return o.Outcome(reason=heard.reason)
        self.transactions[request.id] = transaction
        stored = f"{heard.reason} {heard.text} {sorted(metadata.items())}"
        return o.Outcome(
            reason=heard.reason, replayed=replayed, transaction_id=transaction, stored=stored
        )


def _approved(transaction: v1.Transaction) -> int | None:
    if not transaction.HasField("approved_amount"):
        return None
    return transaction.approved_amount.minor_units


def _codes(message: Any) -> int | None:
    match message:
        case v1.ReserveCodesResponse():
            return len(message.codes)
        case v1.ReleaseCodesResponse():
            return int(message.released_count)
    return None


def _cards(message: Any) -> list[v1.GiftCard]:
    cards = list(getattr(message, "gift_cards", ()))
    names = ("gift_card", "source", "target", "transfer_target")
    known = [name for name in names if name in message.DESCRIPTOR.fields_by_name]
    return cards + [getattr(message, name) for name in known if message.HasField(name)]


def _customers(message: Any) -> list[v1.Customer]:
    customers = list(getattr(message, "customers", ()))
    known = "customer" in message.DESCRIPTOR.fields_by_name and message.HasField("customer")
    return [*customers, message.customer] if known else customers


def _stored(message: Message) -> str:
    copy: Any = type(message)()
    copy.CopyFrom(message)
    copy.replayed = False
    return str(copy.SerializeToString(deterministic=True))
