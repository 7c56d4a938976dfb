"""What the three services of the set-up share: carrying a change out, masks, names.

Every change goes through the ledger as a transaction, so that it has a request id, a place in the
history and an author.  It is planned on a read of what stands now and written only if that still
stands.
"""

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any, Final

import orjson
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.domain import commands as c
from server.domain.administration import Effect, Owner
from server.domain.errors import DomainError, InvalidField, Rejected
from server.domain.model import TransactionState
from server.rpc import fields
from server.rpc.bridge import Bridge
from server.rpc.calls import Call
from server.rpc.envelopes import Intaker
from server.rpc.identity import Directory

READ: Final = frozenset({"READ"})
CONFIGURE: Final = frozenset({"CONFIGURE"})

#: Tries of one change whose ground was changed between reading and writing.
_TRIES_MAX: Final = 5

Plan = Callable[[], Awaitable[Effect]]


class Changes:
    """Sends planned changes through the ledger."""

    def __init__(self, bridge: Bridge, directory: Directory) -> None:
        self._bridge = bridge
        self._intaker = Intaker(directory)

    async def carry_out(
        self, request: Any, call: Call, command: c.Administer, plan: Plan
    ) -> dict[str, Any]:
        """Returns the facts that the first answer and every replay show.

        `plan` reads what stands now and says what to write, or raises why not; it may be asked
        again when somebody else was faster.  Its no is sent along and spoken by the ledger, for
        the request may be a replay of one that was carried out before.
        """
        envelope = await self._intaker.envelope(request, call, command)
        for attempt in range(1, _TRIES_MAX + 1):
            try:
                effect = await plan()
                sent = replace(envelope, changes=effect.changes, facts=effect.facts)
            except DomainError as objection:
                sent = replace(envelope, objection=objection)
            try:
                answer = await self._bridge.decide(sent)
            except Rejected as rejection:
                lost = rejection.reason == "ETAG_MISMATCH" and sent.objection is None
                if lost and attempt < _TRIES_MAX:
                    continue
                raise
            record = answer.record
            assert record is not None
            assert record.state is TransactionState.APPROVED, "the set-up refuses nothing for good"
            call.replayed = answer.replayed
            return record.result.extras
        raise AssertionError("unreachable")


def owner(call: Call) -> Owner:
    """The caller's own merchant."""
    return Owner(call.caller.merchant_id, call.caller.cell)


def administer(resource: str, action: str, name: str, body: dict[str, Any]) -> c.Administer:
    """The command of a change; `body` as plain JSON, the same before and after it was stored."""
    return c.Administer(resource, action, name, orjson.loads(orjson.dumps(body)))


def masked(message: Message, mask: FieldMask, updatable: Collection[str]) -> list[str]:
    """The fields to set (https://google.aip.dev/134), sorted.

    No mask means those that are populated, whatever else was read along with them; `*` means all
    of `updatable`.  Only whole fields can be named.
    """
    paths = list(mask.paths)
    if not paths:
        paths = [field.name for field, _ in message.ListFields() if field.name in updatable]
    elif paths == ["*"]:
        paths = list(updatable)
    for path in paths:
        if path not in updatable:
            raise InvalidField(
                "update_mask",
                f"{path[:64]} cannot be updated. It may name: {', '.join(updatable)}.",
            )
    if not paths:
        raise InvalidField("update_mask", "Names nothing to update.")
    return sorted(set(paths))


def required(request: Any, field: str) -> Any:
    """A message that must be there."""
    if not request.HasField(field):
        raise InvalidField(field, "Is required.")
    return getattr(request, field)


_NESTED: Final = {
    "merchants/{merchant}": re.compile(r"merchants/([^/]+)"),
    "merchants/{merchant}/apiClients/{api_client}": re.compile(
        r"merchants/([^/]+)/apiClients/([^/]+)"
    ),
    "merchants/{merchant}/apiClients/{api_client}/credentials/{credential}": re.compile(
        r"merchants/([^/]+)/apiClients/([^/]+)/credentials/([^/]+)"
    ),
}
MERCHANT, CLIENT, CREDENTIAL = _NESTED


def nested_name(value: str, form: str, field: str) -> tuple[str, ...]:
    """The ids in a name of one of the forms MERCHANT, CLIENT and CREDENTIAL."""
    match = _NESTED[form].fullmatch(value)
    if match is None:
        raise InvalidField(field, f"Must be a name of the form {form}.")
    return tuple(fields.chosen_id(identifier, field) for identifier in match.groups())
