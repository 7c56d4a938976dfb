"""Resico's voice: sales, payments and reservations under the caller's Idempotency-Key."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from giftcard import v1

from compat_http.dialect import derived_id
from compat_http.dialects import resico
from compat_http.settings import Settings
from tests import operations as o
from tests.compat import speak
from tests.compat.machine.voice import Line, Told, Voice, amount, units
from tests.compat.stage import Said
from tests.operations import CardKey, Request

if TYPE_CHECKING:
    from tests.compat.machine.subject import DialectSubject

STORE: Final = "S1"
_CLIENTS: Final = ("till", "web", "office")
#: So many lives can be lived before one shim; a failure takes more to become short.
_MERCHANTS_MAX: Final = 500
_RESERVATION_SECONDS: Final = 3600
_FIGURES: Final = {
    "balance": "currentBalance", "held": "reservedBalance", "available": "availableBalance",
}  # fmt: skip


class ResicoVoice(Voice):
    dialect = resico.build(Settings())
    environment: Mapping[str, str] = {
        "GIFTCARD_RESICO_RESERVATION_SECONDS": str(_RESERVATION_SECONDS),
        "GIFTCARD_RESICO_CONSUMERS": json.dumps({
            f"merchant-{number}-{client}": f"merchants/merchant-{number}/apiClients/{client}"
            for number in range(1, _MERCHANTS_MAX) for client in _CLIENTS
        }),
    }  # fmt: skip

    def begin(self, subject: "DialectSubject") -> None:
        """The shim finds out once who a client is, which takes an instant of the ledger's."""
        message = v1.LookupTransactionRequest(request_id="resico/CALLER", seal=True)
        for client in _CLIENTS:
            subject.client.answer(message, subject.token(client))

    def say(self, subject: "DialectSubject", request: Request) -> Line | None:
        op: Any = request.operation
        if request.book != "LIVE" or getattr(op, "pin", None) is not None:
            return None
        match op:
            case o.Issue(program="GC", origin="PAID", tranche_until=None, unit="USD",
                         reserved=False, customer=None):  # fmt: skip
                return self._line(
                    subject, request, "SELL", "/cards/", amount=amount(op.amount),
                    transactionNo=request.id[:8], locationCode=STORE,
                )  # fmt: skip
            case o.Redeem(partial=False, unit="USD"):
                consumer = f"{subject.merchant}-{request.client}"
                path = f"/transactions/{consumer}/cards/"
                return self._line(subject, request, "USE", path, amount=amount(op.amount))
            case o.Authorize(amount=None, exclusive=True, partial=False, seconds=3600):
                return self._line(subject, request, "RESERVE", "/reserve/", locationCode=STORE)
            case o.Void():
                return self._cancel(subject, request, op)
        return None

    def _line(
        self, subject: "DialectSubject", request: Request, word: str, path: str, **members: Any
    ) -> Line | None:
        op: Any = request.operation
        card = subject.card(request, op.card)
        if card is not None and card.pin_set:
            return None
        code = subject.translator.code(request, op.card)
        return Line(
            lambda address, token: speak.resico(
                address, "POST", path + code, request.id, who=speak.bearer(token), **members
            ),
            derived_id("resico", (word, "KEY", request.id)),
        )

    def _cancel(self, subject: "DialectSubject", request: Request, op: o.Void) -> Line | None:
        """Only of the caller's own reservation: without one, cancelling is no error in Resico."""
        hold = subject.hold(request, op.hold)
        if (
            hold is None
            or hold.state != v1.Hold.OPEN
            or not hold.exclusive
            or not hold.api_client.endswith(f"/{request.client}")
        ):
            return None
        handle, book = subject.translator.handles[hold.gift_card]
        card = subject.card(request, handle)
        if card is None or card.pin_set:
            return None
        path = "/cancelreserve/" + subject.translator.codes.get((handle, book), handle)
        return Line(
            lambda address, token: speak.resico(address, "GET", path, who=speak.bearer(token))
        )

    def repeats(self, subject: "DialectSubject", request: Request, known: v1.Transaction) -> bool:
        return not isinstance(request.operation, o.Void)

    def hear(self, request: Request, said: Said) -> Told:
        card = said.json
        figures = {ours: units(card[theirs]) for ours, theirs in _FIGURES.items()}
        return Told(figures=figures, stored=sorted(figures.items()))

    def reasons(self, said: Said) -> set[str]:
        if said.status == 200:
            return set()
        reason = said.json["error"]
        assert self.dialect.reasons[reason].status == said.status, said
        return {reason}

    def read(self, subject: "DialectSubject", key: CardKey) -> Mapping[str, int] | None:
        handle, book = key
        if book != "LIVE":
            return None
        code = subject.translator.codes.get(key, handle)
        who = speak.bearer(subject.token("office"))
        said = speak.resico(subject.shim.address, "GET", f"/cards/{code}", who=who)
        if said.status != 200:
            assert said.json["error"] == "PIN_REQUIRED", said
            return None
        return {ours: units(said.json[theirs]) for ours, theirs in _FIGURES.items()}
