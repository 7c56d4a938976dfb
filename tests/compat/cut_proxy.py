"""A TCP proxy that cuts answers: after so many bytes, or for good.  Knows nothing of protocols."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 65536


class CutProxy:
    """Forwards every connection to `target`.

    `cut_after(n)` lets n more bytes of answers through and then cuts the connection; what is asked
    still arrives.  With `again` it cuts every later connection before its first answer too.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.answered_bytes = 0
        self.cuts = 0
        self._left: int | None = None
        self._again = False
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()

    def cut_after(self, count: int, *, again: bool = False) -> None:
        """See the class."""
        with self._lock:
            self._left, self._again = count, again

    def heal(self) -> None:
        """Lets everything through again."""
        with self._lock:
            self._left = None

    def refuse(self) -> None:
        """Nobody can connect any more, and who is connected is cut off."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            open_ones = list(self._sockets)
        for each in open_ones:
            _close(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
            for pump in (self._ask, self._answer):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                server.sendall(data)
        self._end(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                allowed = self._allowed(len(data))
                client.sendall(data[:allowed])
                if allowed < len(data):
                    break
        self._end(client, server)

    def _allowed(self, size: int) -> int:
        """How many of so many bytes go through."""
        with self._lock:
            if self._left is None or self._left >= size:
                self.answered_bytes += size
                if self._left is not None:
                    self._left -= size
                return size
            allowed, self.cuts = self._left, self.cuts + 1
            self._left = 0 if self._again else None
            return allowed

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            _close(each)
        with self._lock:
            self._sockets -= set(sockets)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
