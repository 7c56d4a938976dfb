"""From a request's context to the envelope in which its command travels."""

from typing import Any

from giftcard import v1

from server.domain import commands as c
from server.domain.errors import Rejected
from server.rpc import fields
from server.rpc.calls import Call
from server.rpc.identity import Directory


class Intaker:
    """Turns a request's context into what every envelope carries."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def place(self, context: v1.CallContext, call: Call) -> c.Location:
        """The location named, else the one the credential is bound to, else none."""
        bound = call.principal.location_code
        code = bound
        if context.location:
            code = fields.chosen_name(context.location, "locations", "context.location")
        if bound and code != bound:
            raise Rejected("LOCATION_FORBIDDEN", location=f"locations/{bound}")
        if not code:
            return c.Location(time_zone=call.principal.time_zone)
        return await self._directory.location(call.caller.merchant_id, code)

    async def envelope(
        self, request: Any, call: Call, command: c.Command, **parts: Any
    ) -> c.Envelope:
        context = request.context
        location = await self.place(context, call)
        terminal, operator, receipt, reason = fields.context_texts(context)
        return c.Envelope(
            call.caller,
            fields.request_id(request.request_id),
            command,
            c.Context(location.id, terminal, operator, receipt, reason),
            location,
            call.received_time,
            fields.optional_instant(
                context.client_time, context.HasField("client_time"), "context.client_time"
            ),
            **parts,
        )
