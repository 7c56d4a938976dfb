"""iWAREHOUSE's voice: cards are created under a `ref` and read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from giftcard import v1

from compat_http.dialect import derived_id
from compat_http.dialects import iwarehouse
from compat_http.settings import Settings
from tests import operations as o
from tests.compat import speak
from tests.compat.machine.voice import Line, Told, Voice, amount, units
from tests.compat.stage import Said
from tests.operations import CardKey, Request

if TYPE_CHECKING:
    from tests.compat.machine.subject import DialectSubject

_CLIENTS: Final = ("till", "web", "office")
_PASSWORD: Final = "a password of the tests"
_SCOPES: Final = (v1.ApiClient.READ, v1.ApiClient.SELL)


class IwarehouseVoice(Voice):
    dialect = iwarehouse.build(Settings())
    environment: Mapping[str, str] = {}

    def begin(self, subject: "DialectSubject") -> None:
        """Logins, since the dialect knows no tokens."""
        merchant = f"merchants/{subject.merchant}"
        for client in _CLIENTS:
            subject.client.answer(
                v1.CreateApiClientRequest(
                    parent=merchant, api_client_id=client,
                    api_client=v1.ApiClient(display_name=client, scopes=_SCOPES),
                ), "platform",
            )  # fmt: skip
            subject.client.answer(
                v1.CreateCredentialRequest(
                    parent=f"{merchant}/apiClients/{client}", password=_PASSWORD,
                    credential=v1.Credential(
                        kind=v1.Credential.PASSWORD, login=subject.token(client)
                    ),
                ), "platform",
            )  # fmt: skip

    def say(self, subject: "DialectSubject", request: Request) -> Line | None:
        op: Any = request.operation
        key = (getattr(op, "card", ""), request.book)
        if (
            request.book != "LIVE"
            or key in subject.translator.codes
            or key in subject.translator.names
        ):
            return None
        match op:
            case o.Issue(program="GC", origin="PAID", tranche_until=None, unit="USD", pin=None,
                         reserved=False, customer=None):  # fmt: skip
                return Line(
                    lambda address, token: speak.iwarehouse(
                        address, who=_who(token), qty=amount(op.amount), ref=request.id
                    ),
                    derived_id("iwarehouse", ("CREATE", "REF", request.id)),
                )
        return None

    def hear(self, request: Request, said: Said) -> Told:
        available = units(said.json["CardBalance"])
        return Told(figures={"available": available}, code=said.json["CardCode"], stored=said.body)

    def reasons(self, said: Said) -> set[str]:
        if said.status == 200:
            return set()
        reason = said.json["ErrorCode"]
        assert self.dialect.reasons[reason].status == said.status, said
        return {reason}

    def read(self, subject: "DialectSubject", key: CardKey) -> Mapping[str, int] | None:
        handle, book = key
        if book != "LIVE":
            return None
        code = subject.translator.codes.get(key, handle)
        who = _who(subject.token("office"))
        said = speak.iwarehouse(subject.shim.address, who=who, card=code.lower())
        if said.status != 200:
            assert said.json["ErrorCode"] in ("PIN_REQUIRED", "CURRENCY_MISMATCH"), said
            return None
        return {"available": units(said.json["CardBalance"])}


def _who(token: str) -> dict[str, str]:
    """The login has the name of the token that the same client has."""
    return {"log": token, "pwd": _PASSWORD}
