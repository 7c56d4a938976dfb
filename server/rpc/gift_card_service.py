"""GiftCardService: every method is parse, ask, render."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from giftcard import v1

from server.certificate import Studio
from server.domain import code as codes
from server.domain import commands as c
from server.domain.errors import Rejected
from server.domain.record import Record
from server.ledger.batch import Answer
from server.rpc import fields, parse, render
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.card_reads import CardReads
from server.rpc.certificates import Certificates
from server.rpc.envelopes import Intaker
from server.rpc.identity import Directory
from server.rpc.outcomes import approved
from server.rpc.reservations import Reservations
from server.rpc.sealed_codes import code_format, code_material, open_code
from server.secrets import SecretKeys, new_id
from server.storage import directory as stored

SERVICE: Final = "giftcard.v1.GiftCardService"

_GENERATED_CODE_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class _Operation:
    """A method that goes through the ledger."""

    request: type[Any]
    parse: Callable[[Any, parse.Intake], c.Command]
    render: Callable[[render.Answered], Any]
    scope: str | None


_OPERATIONS: Final = {
    "CreateGiftCard": _Operation(v1.CreateGiftCardRequest, parse.create, render.create, "SELL"),
    "ActivateGiftCard": _Operation(
        v1.ActivateGiftCardRequest, parse.activate, render.activate, "SELL"
    ),
    "IssueGiftCard": _Operation(v1.IssueGiftCardRequest, parse.issue, render.issue, "SELL"),
    "LoadGiftCard": _Operation(v1.LoadGiftCardRequest, parse.load, render.load, "SELL"),
    "RedeemGiftCard": _Operation(v1.RedeemGiftCardRequest, parse.redeem, render.redeem, "REDEEM"),
    "RedeemGiftCards": _Operation(
        v1.RedeemGiftCardsRequest, parse.redeem_many, render.redeem_many, "REDEEM"
    ),
    "RefundGiftCard": _Operation(v1.RefundGiftCardRequest, parse.refund, render.refund, "REFUND"),
    "AuthorizeGiftCard": _Operation(
        v1.AuthorizeGiftCardRequest, parse.authorize, render.authorize, "REDEEM"
    ),
    "CaptureHold": _Operation(v1.CaptureHoldRequest, parse.capture, render.capture, "REDEEM"),
    "VoidHold": _Operation(v1.VoidHoldRequest, parse.void, render.void, "REDEEM"),
    "ReverseTransaction": _Operation(
        v1.ReverseTransactionRequest, parse.reverse, render.reverse, None
    ),
    "LockGiftCard": _Operation(v1.LockGiftCardRequest, parse.lock, render.lock, "MANAGE"),
    "UnlockGiftCard": _Operation(v1.UnlockGiftCardRequest, parse.unlock, render.unlock, "MANAGE"),
    "CloseGiftCard": _Operation(v1.CloseGiftCardRequest, parse.close, render.close, "MANAGE"),
    "TransferBalance": _Operation(
        v1.TransferBalanceRequest, parse.transfer, render.transfer, "MANAGE"
    ),
    "AdjustGiftCard": _Operation(v1.AdjustGiftCardRequest, parse.adjust, render.adjust, "ADJUST"),
    "UpdateGiftCard": _Operation(v1.UpdateGiftCardRequest, parse.update, render.update, "MANAGE"),
}


class GiftCardService:
    def __init__(
        self,
        bridge: Bridge,
        directory: Directory,
        keys: SecretKeys,
        *,
        clock: Callable[[], int],
        reserve_codes_max: int,
        studio: Studio,
    ) -> None:
        self._bridge = bridge
        self._directory = directory
        self._keys = keys
        self._clock = clock
        self._intaker = Intaker(directory)
        self._reads = CardReads(bridge, keys, clock=clock)
        self._reservations = Reservations(bridge, directory, keys, self._intaker, reserve_codes_max)

        self._certificates = Certificates(bridge, keys, self._reads, studio, clock)

    def rpcs(self) -> list[Rpc]:
        """Every method of the service."""
        rpcs = [
            Rpc(
                name,
                operation.request,
                self._writing(operation),
                frozenset({operation.scope} if operation.scope else ()),
            )
            for name, operation in _OPERATIONS.items()
        ]
        lookup = self._lookup_transaction
        rpcs.append(Rpc("LookupTransaction", v1.LookupTransactionRequest, lookup, frozenset()))
        parts = (self._reads, self._reservations, self._certificates)
        return rpcs + [rpc for part in parts for rpc in part.rpcs()]

    def _writing(self, operation: _Operation) -> Callable[[Any, Call], Awaitable[Any]]:
        async def write(request: Any, call: Call) -> Any:
            intake = parse.Intake(self._keys, call.caller)
            command = operation.parse(request, intake)
            code = ""
            if isinstance(command, c.NewCard):
                answer, code = await self._make_card(request, call, command, intake)
            else:
                envelope = await self._intaker.envelope(
                    request,
                    call,
                    command,
                    pins=intake.pins,
                    aliases=intake.aliases,
                    material=self._new_pin(command, request),
                )
                answer = await self._bridge.decide(envelope)
            call.replayed = answer.replayed
            return operation.render(render.Answered(approved(answer), answer.replayed, code))

        return write

    async def _make_card(
        self,
        request: Any,
        call: Call,
        command: c.NewCard,
        intake: parse.Intake,
    ) -> tuple[Answer, str]:
        """Adds what a new card needs: an id, its code (given or generated) and its PIN."""
        if command.points and "REDEEM" not in call.principal.scopes:
            raise Rejected("SCOPE_MISSING", scope="REDEEM")
        program = await self._directory.program(call.caller.merchant_id, command.program)
        pin = fields.pin(request.pin, "pin") if request.pin else None
        for attempt in range(1, _GENERATED_CODE_TRIES + 1):
            wanted = command.code_format or code_format(program)
            code = request.code or codes.generate(wanted, secrets.randbelow)
            material = self._material(call.caller, code, pin)
            envelope = await self._intaker.envelope(
                request, call, command, aliases=intake.aliases, material=material
            )
            try:
                answer = await self._bridge.decide(envelope)
            except Rejected as rejection:
                taken = rejection.reason == "CODE_EXISTS"
                if not taken or request.code or attempt == _GENERATED_CODE_TRIES:
                    raise
                continue
            record = approved(answer)
            if answer.replayed or "reservation" in record.result.extras:
                code = await self._stored_code(call, record)
            return answer, code
        raise AssertionError("unreachable")

    def _new_pin(self, command: c.Command, request: Any) -> c.CodeMaterial | None:
        """The keyed hash of a PIN that an update sets, or none where it removes the PIN."""
        if not isinstance(command, c.UpdateGiftCard) or "pin" not in command.fields:
            return None
        card_id, pin = command.card.id, request.gift_card.pin
        hashed = (
            self._keys.pin_hash(card_id, fields.pin(pin, "gift_card.pin")).hex() if pin else None
        )
        return c.CodeMaterial(card_id, b"", b"", "", 0, hashed)

    def _material(self, caller: c.Caller, code: str, pin: str | None) -> c.CodeMaterial:
        card_id = new_id(self._clock())
        pin_hash = self._keys.pin_hash(card_id, pin).hex() if pin else None
        return replace(code_material(self._keys, caller, code), card_id=card_id, pin_hash=pin_hash)

    async def _stored_code(self, call: Call, record: Record) -> str:
        card_id = record.result.cards[0].id
        sealed = await self._bridge.read(
            lambda connection: stored.sealed_code(connection, card_id, call.caller.cell),
            call.caller.merchant_id,
        )
        assert sealed is not None, "a card that was made has a code"
        return open_code(self._keys, sealed)

    async def _lookup_transaction(
        self, request: v1.LookupTransactionRequest, call: Call
    ) -> v1.LookupTransactionResponse:
        envelope = await self._intaker.envelope(request, call, c.LookupRequest(request.seal))
        record = (await self._bridge.decide(envelope)).record
        if record is None:
            return v1.LookupTransactionResponse(state=v1.LookupTransactionResponse.NOT_SEEN)
        return await self._reads.found(record, call)
