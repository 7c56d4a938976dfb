"""From the tests' plain operations to the product's commands, and from its answers back.

For subjects that run in the test's own process; a server behind gRPC has its own translation.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from server.domain import commands as c
from server.domain.errors import DomainError
from server.domain.model import (
    Book,
    Card,
    CardState,
    Disposition,
    HoldState,
    Origin,
    Program,
    SpendOrder,
    TransactionState,
)
from server.domain.record import CardView, Record, view_card
from tests import operations as o
from tests.programs import PROGRAMS

_NEVER = 2**63
_UNKNOWN_ID = "0" * 32


def program(merchant_id: str, code: str) -> Program:
    facts: dict[str, Any] = {"unit": "USD", **PROGRAMS[code]}
    return Program(
        id=f"{merchant_id}-{code}",
        version=1,
        merchant_id=merchant_id,
        code=code,
        display_name=code,
        **facts,
    )


def hash_pin(pin: str) -> str:
    """Stands in for the slow keyed hash of production, which has tests of its own."""
    return f"pin:{pin}"


def pin_matches(card_id: str, pin: str, stored_hash: str) -> bool:
    return stored_hash == hash_pin(pin)


@dataclass(slots=True)
class Translator:
    """Knows which card, hold and transaction of one merchant each handle stands for."""

    merchant_id: str
    new_id: Callable[[], str]
    location: c.Location = field(default_factory=c.Location)
    handles: dict[str, o.CardKey] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    transactions: dict[str, str] = field(default_factory=dict)

    def envelope(self, request: o.Request, received_time: int) -> c.Envelope:
        operation = request.operation
        material = None
        reserved: tuple[c.CodeMaterial, ...] = ()
        if isinstance(operation, (o.Create, o.Issue)):
            material = self._material(request, operation)
        elif isinstance(operation, o.Reserve):
            reserved = tuple(self._code_material(request, card) for card in operation.cards)
        return c.Envelope(
            self.caller(request),
            request.id,
            self._command(request),
            location=self.location,
            received_time=received_time,
            material=material,
            reserved=reserved,
            pins=self._pins(request),
        )

    def caller(self, request: o.Request) -> c.Caller:
        return c.Caller(
            self.merchant_id,
            request.client,
            cell=7,
            book=Book[request.book],
            manages=request.client == "office",
        )

    def code_hash(self, request: o.Request, card: str) -> bytes:
        return sha256(f"{self.merchant_id}/{request.book}/{card}".encode()).digest()

    def _card(self, request: o.Request, card: str) -> c.CardRef:
        return c.CardRef(code_hash=self.code_hash(request, card).hex())

    def _material(self, request: o.Request, operation: o.Create | o.Issue) -> c.CodeMaterial:
        pin_hash = None if operation.pin is None else hash_pin(operation.pin)
        material = self._code_material(request, operation.card)
        return replace(material, card_id=self.new_id(), pin_hash=pin_hash)

    def _code_material(self, request: o.Request, card: str) -> c.CodeMaterial:
        return c.CodeMaterial("", self.code_hash(request, card), b"sealed", card[-4:], 1)

    def _pins(self, request: o.Request) -> dict[c.CardRef, str]:
        operation = request.operation
        typed: list[tuple[str, str | None]] = []
        match operation:
            case o.Activate() | o.Load() | o.Redeem() | o.Authorize():
                typed = [(operation.card, operation.pin)]
            case o.Transfer():
                typed = [(operation.source, operation.pin)]
            case o.RedeemMany():
                typed = list(zip(operation.cards, operation.pins, strict=False))
        return {self._card(request, card): pin for card, pin in typed if pin is not None}

    def _transaction(self, of: str, by_name: bool) -> c.TransactionRef:
        if by_name:
            return c.TransactionRef(id=self.transactions.get(of, _UNKNOWN_ID))
        return c.TransactionRef(request_id=of)

    def _command(self, request: o.Request) -> c.Command:
        op = request.operation

        def card(handle: str) -> c.CardRef:
            return self._card(request, handle)

        def amount(of: Any) -> c.Amount | None:
            return None if of.amount is None else c.Amount(of.amount, of.unit)

        match op:
            case o.Create():
                code_hash = card(op.card).code_hash
                return c.CreateGiftCard(
                    op.program, code_hash, _policy(op), require_reserved_code=op.reserved
                )
            case o.Reserve():
                return c.ReserveCodes(op.program, len(op.cards), "agency", "", op.seconds)
            case o.Release():
                name = self.transactions.get(op.of, _UNKNOWN_ID) if op.of else ""
                return c.ReleaseCodes(name, tuple(card(handle).code_hash for handle in op.cards))
            case o.Issue():
                return c.IssueGiftCard(
                    op.program, card(op.card).code_hash, _policy(op), c.Amount(op.amount, op.unit),
                    Origin.POINTS if op.points else Origin[op.origin], op.tranche_until,
                    require_reserved_code=op.reserved, require_customer=op.customer is not None,
                    points=op.points,
                )  # fmt: skip
            case o.Activate():
                value = c.Amount(op.amount, op.unit)
                return c.ActivateGiftCard(card(op.card), value, op.valid_from, op.valid_until)
            case o.Load():
                value = c.Amount(op.amount, op.unit)
                return c.LoadGiftCard(card(op.card), value, Origin[op.origin], op.tranche_until)
            case o.NewCustomer():
                return c.CreateCustomer(op.customer)
            case o.Earn():
                return c.EarnPoints(op.customer, op.points, op.until)
            case o.AdjustPoints():
                return c.AdjustPoints(op.customer, op.points)
            case o.HoldPoints():
                return c.AuthorizePoints(op.customer, op.points, op.partial, op.seconds)
            case o.Redeem():
                value = c.Amount(op.amount, op.unit)
                return c.RedeemGiftCard(card(op.card), value, op.partial)
            case o.RedeemMany():
                order = SpendOrder(1 + op.soonest_first)
                refs = tuple(card(handle) for handle in op.cards)
                return c.RedeemGiftCards(refs, c.Amount(op.amount, op.unit), op.partial, order)
            case o.Authorize():
                return c.AuthorizeGiftCard(
                    card(op.card), amount(op), op.partial, op.exclusive, op.seconds
                )
            case o.Capture():
                hold_id = self.holds.get(op.hold, _UNKNOWN_ID)
                return c.CaptureHold(hold_id, amount(op), op.final)
            case o.Void():
                return c.VoidHold(self.holds.get(op.hold, _UNKNOWN_ID))
            case o.Refund():
                target = self._transaction(op.of, op.by_name)
                return c.RefundGiftCard(target, c.Amount(op.amount, op.unit))
            case o.Reverse():
                return c.ReverseTransaction(self._transaction(op.of, op.by_name))
            case o.Lookup():
                return c.LookupRequest(op.seal)
            case o.Lock():
                return c.LockGiftCard(card(op.card))
            case o.Unlock():
                return c.UnlockGiftCard(card(op.card))
            case o.Close():
                other = None if op.target is None else card(op.target)
                return c.CloseGiftCard(card(op.card), Disposition[op.disposition], other)
            case o.Transfer():
                return c.TransferBalance(
                    card(op.source), card(op.target), amount(op), op.close_source
                )
            case o.Adjust():
                return c.AdjustGiftCard(card(op.card), c.Amount(op.amount, op.unit))
            case o.Update():
                changes: dict[str, Any] = dict(op.changes)
                if "max_balance" in changes:
                    changes["max_balance"] = _dollars(changes["max_balance"])
                policy = c.Policy(**changes)
                return c.UpdateGiftCard(card(op.card), tuple(changes), policy)
        raise TypeError(f"no command for {op!r}")

    def outcome(
        self, request: o.Request, record: Record | None, error: DomainError | None, replayed: bool
    ) -> o.Outcome:
        """The answer in plain values; remembers what the request's handle stands for."""
        if error is not None:
            return o.Outcome(reason=error.reason, metadata=error.metadata)
        looking = isinstance(request.operation, o.Lookup)
        if record is None:
            return o.Outcome(found="NOT_SEEN")
        found = record.state.name if looking else None
        if record.state is not TransactionState.SEALED:
            self.transactions[request.id] = record.id
        if record.state is not TransactionState.APPROVED:
            reason = None if looking else record.refusal_reason
            return o.Outcome(
                reason=reason,
                found=found,
                replayed=replayed and not looking,
                metadata=record.refusal_metadata,
                transaction_id=record.id,
                stored=record.result_json,
            )
        result = record.result
        if isinstance(request.operation, (o.Create, o.Issue)):
            self.handles[result.cards[0].id] = (request.operation.card, request.book)
        if isinstance(request.operation, o.NewCustomer):
            self.handles[result.cards[0].id] = (request.operation.customer, request.book)
        if isinstance(request.operation, (o.Authorize, o.HoldPoints)) and record.hold_id:
            self.holds[request.id] = record.hold_id
        if looking:
            return o.Outcome(found=found, approved=record.approved, transaction_id=record.id)
        plan: Any = result.extras.get("plan", ())
        shortfall: Any = result.extras.get("shortfall", 0)
        reversal: Any = result.extras.get("outcome")
        codes: Any = result.extras.get("count", result.extras.get("released"))
        return o.Outcome(
            approved=record.approved,
            hold_state=HoldState(result.hold.state).name if result.hold else None,
            reversal=reversal,
            shortfall=shortfall,
            plan=tuple((self.handles[part["card_id"]][0], part["amount"]) for part in plan),
            codes=codes,
            replayed=replayed,
            hold_id=record.hold_id,
            transaction_id=record.id,
            stored=record.result_json,
            cards={self.handles[view.id][0]: figures(view) for view in result.cards},
        )


def _dollars(minor_units: int | None) -> c.Amount | None:
    """The limit that an operation names: always in USD, also for a card in another currency."""
    return None if minor_units is None else c.Amount(minor_units, "USD")


def _policy(operation: o.Create | o.Issue) -> c.Policy:
    return c.Policy(
        max_balance=_dollars(operation.max_balance),
        valid_from=operation.valid_from,
        valid_until=operation.valid_until,
        customer=getattr(operation, "customer", None) or "",
    )


def figures(view: CardView) -> o.CardFigures:
    tranches = sorted(
        (Origin(tranche.origin).name, tranche.balance, tranche.expire_time or _NEVER)
        for tranche in view.tranches
        if tranche.balance
    )
    return o.CardFigures(
        CardState(view.state).name, view.balance, view.held, view.available, tuple(tranches)
    )


def figures_of(card: Card, now: int) -> o.CardFigures:
    return figures(view_card(card, now))
