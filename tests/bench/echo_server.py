"""The yardstick for the edge: a bare server on the same stack that decides and stores nothing.

It parses the request and serializes an answer of the real size, as any handler must.  Standard
input is one line of JSON: the address to serve, which several processes may share, and method name
-> a real answer, hexadecimal.  Must not import the product.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from giftcard import v1

SERVICE = "giftcard.v1.GiftCardService"
MESSAGES: dict[str, tuple[Any, Any]] = {
    "RedeemGiftCard": (v1.RedeemGiftCardRequest, v1.RedeemGiftCardResponse),
    "LookupGiftCard": (v1.LookupGiftCardRequest, v1.LookupGiftCardResponse),
}
READY = "echo ready: "


def _echo(answer: Any) -> Callable[[Any, Any], Awaitable[Any]]:
    async def handle(request: Any, context: Any) -> Any:
        return answer

    return handle


async def serve(address: str, answers: dict[str, str]) -> None:
    """Serves until killed; prints the address once it does."""
    handlers: dict[str, Any] = {}
    for name, (request, response) in MESSAGES.items():
        answer = response.FromString(bytes.fromhex(answers[name]))
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            _echo(answer),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port(address)
    await server.start()
    print(f"{READY}127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(*json.loads(sys.stdin.readline())))
