"""ReserveCodes and ReleaseCodes: codes for cards to come.

The codes leave in the answer, in full, to a replay too; what is stored is hashed and encrypted.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from giftcard import v1

from server.domain import code as codes
from server.domain import commands as c
from server.domain.errors import InvalidField, Rejected
from server.domain.reservations import described
from server.ledger.batch import Answer
from server.rpc import fields, parse, render
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.envelopes import Intaker
from server.rpc.identity import Directory
from server.rpc.outcomes import approved
from server.rpc.sealed_codes import code_format, code_material, open_code
from server.secrets import SecretKeys
from server.storage import directory as stored

SELL: Final = frozenset({"SELL"})
RELEASE_MAX: Final = 1000
_SECONDS_MAX: Final = 3660 * 24 * 3600
_TRIES: Final = 5


def _parse_reserve(request: v1.ReserveCodesRequest) -> c.ReserveCodes:
    own_format = request.HasField("code_format")
    if not request.program and not own_format:
        raise InvalidField("program", "Is required, unless code_format is given.")
    if request.count < 0:
        raise InvalidField("count", "Must not be negative.")
    return c.ReserveCodes(
        fields.chosen_name(request.program, "programs", "program") if request.program else "",
        request.count or 1,
        fields.text(request.agency, "agency", required=True),
        fields.text(request.label, "label"),
        fields.optional_seconds(
            request.expire_after, request.HasField("expire_after"), "expire_after", _SECONDS_MAX
        ),
        fields.code_format(request.code_format, "code_format") if own_format else None,
    )


def _parse_release(request: v1.ReleaseCodesRequest, intake: parse.Intake) -> c.ReleaseCodes:
    if bool(request.reservation) == bool(request.codes):
        raise InvalidField("reservation", "Is required, unless codes are given.")
    if request.reservation:
        name = fields.opaque_name(request.reservation, "codeReservations", "reservation")
        return c.ReleaseCodes(name)
    if len(request.codes) > RELEASE_MAX:
        raise InvalidField("codes", f"Must be at most {RELEASE_MAX}.")
    hashes = tuple(intake.code(code, f"codes[{index}]") for index, code in enumerate(request.codes))
    if len(set(hashes)) != len(hashes):
        raise InvalidField("codes", "Must not name a code twice.")
    return c.ReleaseCodes(code_hashes=hashes)


def _reservation(facts: dict[str, Any]) -> v1.CodeReservation:
    return v1.CodeReservation(
        name=f"codeReservations/{facts['id']}",
        agency=facts["agency"],
        label=facts["label"],
        expire_time=render.timestamp(facts["expire_time"]),
        code_count=facts["code_count"],
        used_count=facts.get("used_count", 0),
        released_count=facts.get("released_count", 0),
        create_time=render.timestamp(facts["create_time"]),
    )


class Reservations:
    def __init__(
        self,
        bridge: Bridge,
        directory: Directory,
        keys: SecretKeys,
        intaker: Intaker,
        count_max: int,
    ) -> None:
        self._bridge = bridge
        self._directory = directory
        self._keys = keys
        self._intaker = intaker
        self._count_max = count_max

    def rpcs(self) -> list[Rpc]:
        return [
            Rpc("ReserveCodes", v1.ReserveCodesRequest, self._reserve, SELL),
            Rpc("ReleaseCodes", v1.ReleaseCodesRequest, self._release, SELL),
        ]

    async def _reserve(
        self, request: v1.ReserveCodesRequest, call: Call
    ) -> v1.ReserveCodesResponse:
        command = _parse_reserve(request)
        wanted = command.code_format
        if command.program:
            program = await self._directory.program(call.caller.merchant_id, command.program)
            wanted = wanted or code_format(program)
        assert wanted is not None
        answer, made = await self._decide(request, call, command, wanted)
        call.replayed = answer.replayed
        record = approved(answer)
        if answer.replayed:
            sealed = await self._bridge.read(
                lambda connection: stored.reserved_codes(connection, record.id, record.cell),
                call.caller.merchant_id,
            )
            made = [open_code(self._keys, each) for each in sealed]
        return v1.ReserveCodesResponse(
            reservation=_reservation(described(record)),
            codes=made,
            **render.Answered(record, answer.replayed).common,
        )

    async def _decide(
        self,
        request: v1.ReserveCodesRequest,
        call: Call,
        command: c.ReserveCodes,
        wanted: codes.CodeFormat,
    ) -> tuple[Answer, Sequence[str]]:
        """Makes codes, other ones where one of them turns out to be known."""
        envelope = await self._intaker.envelope(request, call, command)
        count = min(command.count, self._count_max)
        for attempt in range(1, _TRIES + 1):
            # Beside the loop: making hundreds of codes takes longer than a redemption may wait.
            made, reserved = await asyncio.to_thread(self._make, call.caller, wanted, count)
            try:
                return await self._bridge.decide(replace(envelope, reserved=reserved)), made
            except Rejected as rejection:
                if rejection.reason != "CODE_EXISTS" or attempt == _TRIES:
                    raise
        raise AssertionError("unreachable")

    def _make(
        self, caller: c.Caller, wanted: codes.CodeFormat, count: int
    ) -> tuple[list[str], tuple[c.CodeMaterial, ...]]:
        made: dict[str, None] = {}
        while len(made) < count:
            made[codes.generate(wanted, secrets.randbelow)] = None
        return list(made), tuple(code_material(self._keys, caller, code) for code in made)

    async def _release(
        self, request: v1.ReleaseCodesRequest, call: Call
    ) -> v1.ReleaseCodesResponse:
        intake = parse.Intake(self._keys, call.caller)
        command = _parse_release(request, intake)
        envelope = await self._intaker.envelope(request, call, command, aliases=intake.aliases)
        answer = await self._bridge.decide(envelope)
        call.replayed = answer.replayed
        record = approved(answer)
        facts: Any = record.result.extras.get("reservation")
        released: Any = record.result.extras["released"]
        return v1.ReleaseCodesResponse(
            reservation=None if facts is None else _reservation(facts),
            released_count=released,
            **render.Answered(record, answer.replayed).common,
        )
