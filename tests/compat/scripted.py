"""A gRPC server that says what it is told to, for answers that the real one gives rarely."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

#: Not an answer: the call hangs until the caller gives up.
HANG: Final = object()


@dataclass(frozen=True, slots=True)
class Gate:
    """An answer that waits until the gate is opened."""

    answer: Message
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Bare:
    """A status without an ErrorInfo, as gRPC itself or a proxy gives it."""

    code: grpc.StatusCode


@dataclass(slots=True)
class Script:
    """What is said in turn, the last for ever: a message, a reason, `Bare`, `Gate`, HANG."""

    turns: Sequence[Any]
    asked: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    address: str = ""
    server: Any = None

    async def stop(self) -> None:
        """Nobody listens any more."""
        await self.server.stop(None)

    def next(self) -> Any:
        return self.turns[min(len(self.asked), len(self.turns)) - 1]


_CODES: Final = {
    "UNAVAILABLE": 14, "OUTCOME_UNKNOWN": 14, "INTERNAL": 13, "OVERLOADED": 8,
    "LOOKUP_BUDGET_EXHAUSTED": 8,
    "DEADLINE_TOO_SHORT": 4, "UNAUTHENTICATED": 16, "REQUEST_ID_REUSED": 6,
}  # fmt: skip


def status_of(reason: str) -> Any:
    """As the service renders a reason; what is not named is a refused precondition."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="giftcard.v1", metadata={"a": "b"})
    status = status_pb2.Status(code=_CODES.get(reason, 9), message="no")
    status.details.add().Pack(info)
    if reason == "OVERLOADED":
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(1500)
        status.details.add().Pack(retry)
    return rpc_status.to_status(status)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, script: Script) -> None:
        self._script = script

    def service(self, handler_call_details: Any) -> Any:
        script, path = self._script, handler_call_details.method

        async def answer(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            metadata = {str(k): str(v) for k, v in context.invocation_metadata() or ()}
            script.asked.append((path.rpartition("/")[2], data, metadata))
            said = script.next()
            if said is HANG:
                await asyncio.Event().wait()
            if isinstance(said, Gate):
                said.reached.set()
                await said.opened.wait()
                said = said.answer
            if isinstance(said, Bare):
                await context.abort(said.code, "no")
            if isinstance(said, str):
                await context.abort_with_status(status_of(said))
            assert isinstance(said, Message)
            return said.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def scripted(*turns: Any) -> AsyncIterator[Script]:
    """Serves the script on a free port."""
    script = Script(turns)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handlers(script),))
    script.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    script.server = server
    await server.start()
    try:
        yield script
    finally:
        await script.stop()
