"""The admin address of the shim: /livez, /readyz and /metrics, by a thread with its own loop.

So a scrape does not keep a call waiting, and /livez can tell that the loop which serves calls
stands still.  It takes no credential and shows none; it is for the machine's own network.
"""

import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

_BACKLOG: Final = 64
_STOP_TIMEOUT_SECONDS: Final = 5
#: Of clients that keep their connection open when the server ends.
_GRACE_SECONDS: Final = 1

#: What is wrong, one line each; nothing when all is well.
Problems = Callable[[], Awaitable[list[str]]]


def exposition(registry: CollectorRegistry) -> Callable[[], Awaitable[bytes]]:
    """The text format of a registry."""

    async def text() -> bytes:
        return generate_latest(registry)

    return text


class AdminServer:
    """Holds its port from the moment it is made, and answers from `start` to `stop`.

    Raises OSError where it cannot listen.  `address` is host:port.
    """

    def __init__(self, address: str) -> None:
        self._listener = _listen(address)
        host = address.rpartition(":")[0]
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(
        self, *, alive: Problems, ready: Problems, metrics: Callable[[], Awaitable[bytes]]
    ) -> None:
        async def exposed(request: Request) -> Response:
            return Response(await metrics(), media_type=CONTENT_TYPE_LATEST)

        routes = [
            Route("/livez", _page(alive)),
            Route("/readyz", _page(ready)),
            Route("/metrics", exposed),
        ]
        self._server = server = uvicorn.Server(
            uvicorn.Config(
                Router(routes, redirect_slashes=False),
                loop="asyncio",
                http="httptools",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._thread = threading.Thread(
            target=lambda: server.run(sockets=[self._listener]), name="admin", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Blocks for a moment."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_STOP_TIMEOUT_SECONDS)
        self._listener.close()


def _page(problems: Problems) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        found = await problems()
        if found:
            return PlainTextResponse("".join(f"{each}\n" for each in found), 503)
        return PlainTextResponse("ok\n")

    return answer


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, where = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
