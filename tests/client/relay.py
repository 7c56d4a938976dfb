"""A TCP relay that loses answers.  Knows nothing of what passes through it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Self

_CHUNK_BYTES: Final = 65536


class Relay:
    """Passes on what clients ask of `target`, and loses what is answered as it is told to.

    `cut_after(n)`: n more bytes of answers, then the connection is cut, once.
    `swallow()`: connections stay open and nothing comes back, until `heal()`.  `asked` tells when
    something was asked since.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._swallows = False
        self._left: int | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""
        self.asked = asyncio.Event()
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Nobody can connect any more, and who is connected is cut off."""
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut_after(self, count: int) -> None:
        self._left = count

    def swallow(self) -> None:
        self._swallows = True
        self.asked.clear()

    def heal(self) -> None:
        self._swallows, self._left = False, None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_connection(*self._target)
        both = (writer, asks)
        for source, sink, answering in ((reader, asks, False), (answers, writer, True)):
            pump = asyncio.create_task(self._pump(source, sink, both, answering=answering))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        answering: bool,
    ) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(_CHUNK_BYTES):
                    if answering and self._swallows:
                        continue
                    if not answering:
                        self.asked.set()
                    allowed = self._allowed(len(data)) if answering else len(data)
                    sink.write(data[:allowed])
                    await sink.drain()
                    if allowed < len(data):
                        break
        finally:
            for each in both:
                each.close()

    def _allowed(self, size: int) -> int:
        if self._left is None or self._left >= size:
            if self._left is not None:
                self._left -= size
            return size
        allowed, self._left = self._left, None
        self.cuts += 1
        return allowed
