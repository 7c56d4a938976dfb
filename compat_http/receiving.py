"""The HTTP protocol of the shim: uvicorn's, with a limit on how long and how large a request comes.

uvicorn waits for ever for the rest of a request and keeps any number of header bytes.  Here a
connection ends when a request has not arrived whole in time, or its head is too large; no answer is
lost by that, since none was begun.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Request line and headers.  What does not fit is no request of any till.
_HEAD_BYTES_MAX: Final = 65_536


def receiving_within(seconds: float) -> type[HttpToolsProtocol]:
    """The protocol class that gives each request so many seconds, counted from its first byte.

    A connection that never sends one has as long.
    """

    class ReceivingWithin(_BoundedProtocol):
        receive_seconds = seconds

    return ReceivingWithin


class _BoundedProtocol(HttpToolsProtocol):
    receive_seconds: float
    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX:
                self.transport.abort()

    # Called by the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._end()
        super().on_message_complete()

    def _begin(self) -> None:
        self._end()
        self._in_head, self._head_bytes = True, 0
        self._deadline = self.loop.call_later(self.receive_seconds, self.transport.abort)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
