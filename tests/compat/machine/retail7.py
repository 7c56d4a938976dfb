"""RETAIL7's voice: every operation, in both books, for cards with and without a PIN."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from giftcard import v1

from compat_http.dialect import derived_id
from compat_http.dialects import retail7
from compat_http.settings import Settings
from tests import operations as o
from tests.compat import speak
from tests.compat.machine.voice import Line, Told, Voice, amount, units
from tests.compat.stage import Said
from tests.operations import CardKey, Request
from tests.programs import PROGRAMS

if TYPE_CHECKING:
    from tests.compat.machine.subject import DialectSubject

STORE: Final = "S1"
_OUTCOMES: Final = {
    "CANCELLED": ("REVERSED",),
    "ALREADY_CANCELLED": ("ALREADY_REVERSED",),
    "NOTHING_TO_CANCEL": ("NOTHING_TO_REVERSE", "TOMBSTONED"),
}
_POLICIES: Final = {
    "reload_allowed": "reloadAllowed",
    "return_allowed": "returnAllowed",
    "partial_redeem_allowed": "partRedeemAllowed",
    "valid_until": "validUntil",
}
#: What CANCEL can name.
_CANCELLED: Final = ("SELL", "LOAD", "REDEEM", "RETURN", "CREATE", "CLOSE")


class Retail7Voice(Voice):
    dialect = retail7.build(Settings())
    environment: Mapping[str, str] = {}

    def say(self, subject: "DialectSubject", request: Request) -> Line | None:
        if getattr(request.operation, "pin", None) is not None:
            return None
        words = self._words(subject, request, request.operation)
        if words is None:
            return None
        operation, card, members = words
        members |= {
            "clientStore": STORE, "clientID": request.client,
            "trainingFlag": request.book == "TRAINING",
        }  # fmt: skip
        return Line(
            lambda address, token: speak.retail7(
                address, operation, card, request.id, who=speak.bearer(token), **members
            ),
            self._id(operation, request.id, request.client, request.book),
        )

    def late(self, request_id: str, client: str, book: str) -> str:
        return self._id("REDEEM", request_id, client, book)

    def _id(self, operation: str, request_id: str, client: str, book: str) -> str:
        parts = (client, STORE, operation, request_id)
        return derived_id("retail7", parts, training=book == "TRAINING")

    def _words(
        self, subject: "DialectSubject", request: Request, op: Any
    ) -> tuple[str, str, dict[str, Any]] | None:
        match op:
            case o.Create(max_balance=None, valid_from=None, valid_until=None):
                currency = PROGRAMS.get(op.program, {}).get("unit", "USD")
                members = {"cardTypeCode": op.program, "currencyCode": currency}
                return "CREATE", subject.translator.code(request, op.card), members
            case o.Issue(origin="PAID", tranche_until=None, reserved=False, customer=None):
                members = {"issuedByClient": True, "cardTypeCode": op.program, **_money(op)}
                return "SELL", subject.translator.code(request, op.card), members
            case o.Activate(valid_from=None, valid_until=None):
                return (
                    "SELL",
                    subject.translator.code(request, op.card),
                    {"issuedByClient": False, **_money(op)},
                )
            case o.Load(origin="PAID", tranche_until=None):
                return "LOAD", subject.translator.code(request, op.card), _money(op)
            case o.Redeem(partial=False):
                return "REDEEM", subject.translator.code(request, op.card), _money(op)
            case o.Lock() | o.Unlock():
                code = subject.translator.code(request, op.card)
                return type(op).__name__.upper(), code, {}
            case o.Close(disposition="REQUIRE_ZERO"):
                return "CLOSE", subject.translator.code(request, op.card), {}
            case o.Close(disposition="CASH_OUT"):
                return self._return(subject, request, op)
            case o.Update():
                return self._update(subject, request, op)
            case o.Reverse(by_name=False):
                return self._cancel(subject, request, op)
        return None

    def _return(
        self, subject: "DialectSubject", request: Request, op: o.Close
    ) -> tuple[str, str, dict[str, Any]] | None:
        """Only of an unused card: of another one RETURN says what the ledger does not."""
        card = subject.card(request, op.card)
        if (
            card is None
            or card.pin_set
            or card.state != v1.GiftCard.ACTIVE
            or card.balance != card.initial_amount
            or not card.balance.minor_units
        ):
            return None
        members = {"amount": amount(card.balance.minor_units), "currencyCode": card.currency_code}
        return "RETURN", subject.translator.code(request, op.card), members

    def _update(
        self, subject: "DialectSubject", request: Request, op: o.Update
    ) -> tuple[str, str, dict[str, Any]] | None:
        ((name, value),) = op.changes
        card = subject.card(request, op.card)
        if value is None or (card is not None and card.pin_set):
            return None
        if name == "max_balance":
            assert isinstance(value, int)
            if card is not None and card.currency_code != "USD":
                return None
            members: dict[str, Any] = {"maxBalance": amount(value)}
        else:
            members = {_POLICIES[name]: value}
        return "UPDATE", subject.translator.code(request, op.card), members

    def _cancel(
        self, subject: "DialectSubject", request: Request, op: o.Reverse
    ) -> tuple[str, str, dict[str, Any]] | None:
        prefix = self._id("SELL", "0", request.client, request.book).removesuffix("SELL/0")
        known = subject.id_of_late(request, op.of)
        operation, _, original = known.removeprefix(prefix).partition("/")
        if not known.startswith(prefix) or original != op.of or operation not in _CANCELLED:
            return None
        members = {"originalRequestIDExternal": op.of, "originalOperationType": operation}
        return "CANCEL", subject.code_of_request(request, op.of), members

    def hear(self, request: Request, said: Said) -> Told:
        document = said.json
        figures: dict[str, int] = {}
        if "balance" in document:
            balance, available = units(document["balance"]), units(document["availableBalance"])
            figures = {"balance": balance, "available": available, "held": balance - available}
        return Told(
            approved=units(document["amount"]) if "amount" in document else None,
            figures=figures,
            transaction=f"transactions/{document['transactionID']}",
            reversal=_OUTCOMES.get(document.get("cancelOutcome", ""), ()),
            shortfall=units(document.get("shortfall", 0)),
            stored=said.body,
        )

    def reasons(self, said: Said) -> set[str]:
        reason = said.json["responseCode"]
        if reason == "OK":
            assert said.status == 200, said
            return set()
        listed = self.dialect.reasons.get(reason)
        assert listed is None or listed.status == said.status, said
        return {reason}

    def read(self, subject: "DialectSubject", key: CardKey) -> Mapping[str, int] | None:
        handle, book = key
        code = subject.translator.codes.get(key, handle)
        said = speak.retail7(
            subject.shim.address, "STATUS", code, "look", who=speak.bearer(subject.token("office")),
            clientStore=STORE, trainingFlag=book == "TRAINING",
        )  # fmt: skip
        if said.status != 200:
            assert said.json["responseCode"] == "PIN_REQUIRED", said
            return None
        balance, available = (units(said.json[n]) for n in ("balance", "availableBalance"))
        return {"balance": balance, "available": available, "held": balance - available}


def _money(op: Any) -> dict[str, Any]:
    return {"amount": amount(op.amount), "currencyCode": op.unit}
