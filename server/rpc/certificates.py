"""RenderCertificate: looks up what stands on it, opens the code, and has it drawn."""

from collections.abc import Callable
from datetime import date
from typing import Final

from giftcard import v1

from server.certificate import (
    CONTENT_TYPES,
    Certificate,
    Form,
    Studio,
    StudioBusyError,
    StudioError,
)
from server.domain.currency import format_amount
from server.domain.errors import InvalidField, Rejected
from server.domain.model import CardState
from server.domain.record import view_card
from server.rpc.bridge import Bridge, NotDecidedError
from server.rpc.calls import Call, Rpc
from server.rpc.card_reads import CardReads
from server.rpc.sealed_codes import open_code
from server.secrets import SecretKeys
from server.storage.certificates import certificate_facts

_RETRY_AFTER_MILLISECONDS: Final = 1000

_FORMS: Final = {
    v1.RenderCertificateRequest.FORMAT_UNSPECIFIED: Form.JPEG,
    v1.RenderCertificateRequest.JPEG: Form.JPEG,
    v1.RenderCertificateRequest.PNG: Form.PNG,
    v1.RenderCertificateRequest.PDF: Form.PDF,
}
#: A certificate of what cannot be spent would be a promise that nobody keeps.
_REASONS: Final = {
    CardState.INACTIVE: "CARD_INACTIVE",
    CardState.CLOSED: "CARD_CLOSED",
    CardState.VOIDED: "CARD_VOIDED",
}


class Certificates:
    def __init__(
        self,
        bridge: Bridge,
        keys: SecretKeys,
        reads: CardReads,
        studio: Studio,
        clock: Callable[[], int],
    ) -> None:
        self._bridge = bridge
        self._keys = keys
        self._reads = reads
        self._studio = studio
        self._clock = clock

    def rpcs(self) -> list[Rpc]:
        scope = frozenset({"SELL"})
        return [Rpc("RenderCertificate", v1.RenderCertificateRequest, self._render, scope)]

    async def _render(
        self, request: v1.RenderCertificateRequest, call: Call
    ) -> v1.RenderCertificateResponse:
        form = _FORMS.get(request.format)
        if form is None:
            raise InvalidField("format", "Is not a known value.")
        card, _ = await self._reads.find(request, call, pin_for_name=False)
        if card.state in _REASONS:
            raise Rejected(_REASONS[card.state])
        facts = await self._bridge.read(
            lambda connection: certificate_facts(connection, card), call.caller.merchant_id
        )
        if facts.sealed is None:
            raise Rejected("CODE_NOT_STORED")
        view = view_card(card, max(self._clock(), card.update_time))
        certificate = Certificate(
            merchant=facts.merchant,
            program=facts.program or "Gift card",
            value=format_amount(view.balance, view.unit),
            currency=view.unit,
            code=open_code(self._keys, facts.sealed),
            valid_until=date.fromisoformat(card.valid_until) if card.valid_until else None,
            location=facts.location,
            color=facts.color,
        )
        try:
            content = await self._studio.draw(certificate, form)
        except StudioBusyError as error:
            raise Rejected(
                "OVERLOADED", retry_after_milliseconds=_RETRY_AFTER_MILLISECONDS
            ) from error
        except StudioError as error:
            raise NotDecidedError("UNAVAILABLE") from error
        return v1.RenderCertificateResponse(content=content, content_type=CONTENT_TYPES[form])
