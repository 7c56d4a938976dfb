"""CP Extender's voice: reserved ids, cards made of them, authorizations of cards and of points.

It has no request ids, so most repeats mean something else there than the ledger's do: they go over
gRPC, under the id that the shim made and with the message that it must have sent.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from giftcard import v1

from compat_http.dialect import derived_id
from compat_http.dialects import cp_extender
from compat_http.settings import Settings
from tests import operations as o
from tests.compat import speak
from tests.compat.machine.voice import Line, Told, Voice, amount, units
from tests.compat.stage import Said
from tests.operations import CardKey, Request

if TYPE_CHECKING:
    from tests.compat.machine.subject import DialectSubject

_HOUR_SECONDS: Final = 3600
_AGENCY: Final = "agency"


class CpVoice(Voice):
    dialect = cp_extender.build(Settings())
    environment: Mapping[str, str] = {}

    def say(self, subject: "DialectSubject", request: Request) -> Line | None:
        if request.book != "LIVE" or getattr(request.operation, "pin", None) is not None:
            return None
        op: Any = request.operation
        match op:
            case o.Reserve(seconds=None, program="GC"):
                return _line(
                    "/Giftcard/ReserveIds", RequestName=request.id, RequestType="pool",
                    PoolCount=len(op.cards), Agency=_AGENCY,
                )  # fmt: skip
            case o.Reserve(cards=(_,), seconds=3600, program="GC"):
                return _line("/Giftcard/ReserveIds", RequestName=request.id, Agency=_AGENCY)
            case o.Issue(origin="PAID", tranche_until=None, unit="USD"):
                return self._create(subject, request, op)
            case o.Authorize(partial=True, exclusive=False, seconds=None):
                return self._authorize(subject, request, op)
            case o.HoldPoints(partial=True, seconds=None) if op.points is not None:
                return _authorization(op.points, "loyalty", op.customer, request.id)
            case o.Earn(until=None):
                return _line("/Loyalty/Earn", CustomerNumber=op.customer, Points=op.points)
            case o.Capture(amount=None, final=True) | o.Void():
                return self._settle(subject, request, op)
        return None

    def _create(self, subject: "DialectSubject", request: Request, op: o.Issue) -> Line | None:
        key = (op.card, request.book)
        members: dict[str, Any] = {"GiftCardCode": op.program, "GiftCardValue": amount(op.amount)}
        if op.points:
            members |= {"PointsToRedeem": op.points, "CustomerNumber": op.customer}
        else:
            members["SaleId"] = request.id
        if op.reserved and key in subject.translator.codes:
            members["GiftCardId"] = subject.translator.codes[key]
        elif op.reserved or key in subject.translator.codes or key in subject.translator.names:
            return None
        return _line("/Giftcard/Create", **members)

    def _authorize(
        self, subject: "DialectSubject", request: Request, op: o.Authorize
    ) -> Line | None:
        card = subject.card(request, op.card)
        if op.amount is None or card is None or card.pin_set or card.currency_code != op.unit:
            return None
        code = subject.translator.code(request, op.card)
        return _authorization(op.amount, "giftcard", code, request.id)

    def _settle(
        self, subject: "DialectSubject", request: Request, op: o.Capture | o.Void
    ) -> Line | None:
        hold = subject.hold(request, op.hold)
        if hold is None or hold.state != v1.Hold.OPEN:
            return None
        if hold.customer:
            ref = hold.customer.removeprefix("customers/")
        else:
            handle, book = subject.translator.handles[hold.gift_card]
            ref = subject.translator.codes.get((handle, book), handle)
            card = subject.card(request, handle)
            if card is None or card.pin_set:
                return None
        path, word = "/Authorize/Confirm", "confirm"
        if isinstance(op, o.Void):
            path, word = "/Authorize/Cancel", "cancel"
        plain = hold.name.removeprefix("holds/")
        return _line(
            path, derived_id("cp", (word, plain, "0")), Ref=ref, AuthCode="G" + plain.upper()
        )

    def repeats(self, subject: "DialectSubject", request: Request, known: v1.Transaction) -> bool:
        """An authorization as long as it is open, a confirmation as long as it stands."""
        if known.state != v1.Transaction.APPROVED or known.reversal_transaction:
            return False
        op = request.operation
        if isinstance(op, (o.Authorize, o.HoldPoints)):
            hold = subject.hold(request, request.id)
            return hold is not None and hold.state == v1.Hold.OPEN
        if isinstance(op, o.Issue):
            return op.reserved
        return isinstance(op, (o.Capture, o.Void))

    def adds(self, request: Request, line: Line, message: Any) -> None:
        op = request.operation
        match op:
            case o.Reserve():
                message.ClearField("program")
                message.label, message.agency = request.id, _AGENCY
                message.code_format.CopyFrom(_format("99-", 17))
            case o.Authorize() | o.HoldPoints():
                message.sale_reference = message.context.receipt = request.id
            case o.Capture() | o.Void():
                message.context.receipt = op.hold
            case o.Issue():
                message.ClearField("origin")
                if not op.points:
                    message.context.receipt = request.id
                if not op.reserved:
                    message.ClearField("code")
                    message.code_format.CopyFrom(_format("WEB-", 16))

    def hear(self, request: Request, said: Said) -> Told:
        match request.operation:
            case o.Reserve():
                return Told(codes=tuple(said.json["GiftCards"]), stored=said.body)
            case o.Issue():
                return Told(code=said.json["GiftCard"]["Id"], stored=said.body)
            case o.HoldPoints():
                return Told(approved=int(said.json["AuthorizedAmount"]), stored=said.body)
            case o.Authorize():
                granted = units(said.json["AuthorizedAmount"])
                return Told(approved=granted, stored=said.body)
        assert (said.status, said.body) == (204, b"")
        return Told(stored=said.body)

    def reasons(self, said: Said) -> set[str]:
        if said.status in (200, 204):
            return set()
        text = said.json["Message"]
        found = {
            reason
            for reason, answer in self.dialect.reasons.items()
            if (answer.status, answer.text) == (said.status, text)
        }
        if "NO_BALANCE" in found:
            found.add("INSUFFICIENT_POINTS")  # whoever takes a part is refused only for none
        assert found, said
        return found

    def undecided(self, reasons: set[str]) -> str:
        return "PIN_REQUIRED" if "PIN_REQUIRED" in reasons else super().undecided(reasons)

    def read(self, subject: "DialectSubject", key: CardKey) -> Mapping[str, int] | None:
        handle, book = key
        if book != "LIVE":
            return None
        code = subject.translator.codes.get(key, handle)
        said = speak.cp(
            subject.shim.address, f"/Giftcard/{code}/BalanceCheck",
            who=speak.bearer(subject.token("office")),
        )  # fmt: skip
        if said.status != 200:
            assert "PIN_REQUIRED" in self.reasons(said), said
            return None
        card = said.json["GiftCard"]
        return {
            "balance": units(card["Balance"]),
            "held": units(card["OpenAuthorizations"]),
            "available": units(card["AvailableBalance"]),
        }


def _line(path: str, request_id: str = "", /, **members: Any) -> Line:
    return Line(
        lambda address, token: speak.cp(address, path, who=speak.bearer(token), **members),
        request_id,
    )


def _authorization(wanted: int, kind: str, ref: str, sale: str) -> Line:
    asked: dict[str, Any] = {"RequestedPoints": wanted}
    if kind == "giftcard":
        asked = {"RequestedAmount": amount(wanted)}
    return _line("/Giftcard/Authorize", Type=kind, Ref=ref, SaleId=sale, **asked)


def _format(prefix: str, digits: int) -> v1.Program.CodeFormat:
    return v1.Program.CodeFormat(
        prefix=prefix, alphabet=v1.Program.CodeFormat.DIGITS, random_length=digits,
        check_digit=v1.Program.NONE,
    )  # fmt: skip
