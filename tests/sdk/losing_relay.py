"""A TCP relay before a gRPC server without TLS that loses the first answer to each call.

It cuts the connection in every other answer, before one of its frames: a client that calls one
after another and repeats what it was not told is answered at its second try.
"""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

_CHUNK_BYTES: Final = 65536
# RFC 9113, 4.1: three bytes of length, type, flags, four of stream, whose first bit says nothing.
_FRAME_HEADER_BYTES: Final = 9
_STREAM: Final = 0x7FFFFFFF
_DATA: Final = 0
_HEADERS: Final = 1
_END_STREAM: Final = 1
# Nothing is heard, or headers, or all but the status: an answer is headers, data and trailers.
_CUTS: Final = 3


class LosingRelay:
    """Listens while the block runs.  `lost` counts what was answered and never heard."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.answers = 0
        self.lost = 0
        self._sockets: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _close(self._listener, *self._sockets)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets |= {client, server}
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK_BYTES):
                server.sendall(data)
        _close(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        answered: set[int] = set()
        left: int | None = None
        with contextlib.suppress(OSError):
            while frame := _frame(server):
                kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9]) & _STREAM
                if kind == _HEADERS and stream not in answered:
                    answered.add(stream)
                    self.answers += 1
                    left = None
                    if self.answers % 2:
                        left = self.lost % _CUTS
                        self.lost += 1
                if left is not None and kind in (_DATA, _HEADERS):
                    if not left or flags & _END_STREAM:
                        break
                    left -= 1
                client.sendall(frame)
        _close(client, server)


def _frame(connection: socket.socket) -> bytes:
    """The next whole frame, or nothing where the connection has ended."""
    head = _exactly(connection, _FRAME_HEADER_BYTES)
    return head + _exactly(connection, int.from_bytes(head[:3])) if head else b""


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
