"""A TCP proxy that does to connections what networks do: cuts, resets, delays, black holes.

    with FaultProxy(server.address) as proxy:
        channel = grpc.insecure_channel(proxy.address)
        proxy.cut_after(100)          # 100 more bytes of answers get through, then it is cut
        ...
        proxy.heal()

It runs on an event loop in a thread of its own and may be told what to do from any thread.  It
knows nothing of protocols.
"""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

__all__ = ["FAULTS", "Fault", "FaultProxy", "Way"]

#: What a fault befalls: what clients ask, or what they are answered.
Way = Literal["questions", "answers"]

_CHUNK: Final = 65536
_TIMEOUT_SECONDS: Final = 30.0
#: With it, closing sends RST instead of FIN.
_RESET: Final = struct.pack("ii", 1, 0)


class FaultProxy:
    """Forwards every connection to `target`: host:port, or the path of a Unix socket.

    `answered_bytes` counts what clients were answered, `cuts` the connections that were cut.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        self.answered_bytes = 0
        self.cuts = 0
        self._target = target
        self._links: set[_Link] = set()
        self._plan: tuple[Way, int] | None = None
        self._again = False
        self._reset = False
        self._half_open = False
        self._delay_seconds = 0.0
        self._broken = False
        self._stranded_next = 0
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._passable: dict[Way, asyncio.Event] = {
            "questions": asyncio.Event(), "answers": asyncio.Event(),
        }  # fmt: skip
        for event in self._passable.values():
            event.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._run(self._listen(port))
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._loop.is_closed():
            self._run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_TIMEOUT_SECONDS)
            self._loop.close()

    def cut_after(
        self,
        count: int,
        *,
        way: Way = "answers",
        again: bool = False,
        reset: bool = False,
        half_open: bool = False,
    ) -> None:
        """Lets `count` more bytes through on that way, and then cuts the connection.

        What goes the other way still arrives.  With `again` every later connection is cut too,
        before its first byte.  With `reset` both ends see RST instead of an orderly end, and with
        `half_open` neither sees anything: from then on nothing gets through.
        """
        with self._lock:
            self._plan, self._again = (way, count), again
            self._reset, self._half_open = reset, half_open

    def delay(self, seconds: float) -> None:
        """Everything takes so much longer, each way, until `heal`."""
        self._delay_seconds = seconds

    def black_hole(self, *ways: Way) -> None:
        """Nothing gets through and nobody is told; what is under way arrives after `heal`.

        Where a way is named, what goes the other way still arrives.
        """
        self._run(self._set_passable(ways or ("questions", "answers"), False))

    def strand(self, *, also_next: int = 0) -> None:
        """The connections that are there are half-open for good: neither end hears of the other.

        So are as many of the next; later ones work.
        """
        self._run(self._strand_all(also_next))

    def break_off(self, *, reset: bool = False) -> None:
        """Ends every connection, and each new one at once, until `heal`."""
        self._broken = True
        self._run(self._end_all(reset=reset))

    def heal(self) -> None:
        """Lets everything through again."""
        with self._lock:
            self._plan, self._delay_seconds, self._broken = None, 0.0, False
        self._run(self._set_passable(("questions", "answers"), True))

    def refuse(self) -> None:
        """Nobody can connect any more, and who is connected is cut off.  There is no way back."""
        self._run(self._close())

    # On the loop

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(_TIMEOUT_SECONDS)

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", port, limit=_CHUNK)

    async def _set_passable(self, ways: Sequence[Way], passable: bool) -> None:
        for way in ways:
            if passable:
                self._passable[way].set()
            else:
                self._passable[way].clear()

    async def _strand_all(self, also_next: int) -> None:
        self._stranded_next = also_next
        for link in self._links:
            link.passable.clear()

    async def _end_all(self, *, reset: bool) -> None:
        for link in list(self._links):
            link.end(reset=reset)

    async def _close(self) -> None:
        self._server.close()
        await self._end_all(reset=False)
        # Also those of a connection that came this moment, or whose other half is over.
        pumps = asyncio.all_tasks() - {asyncio.current_task()}
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _End(reader, writer)
        if self._broken:
            client.end(reset=True)
            return
        try:
            server = _End(*await self._connect())
        except OSError:
            client.end(reset=False)
            return
        link = _Link(client, server)
        if self._stranded_next:
            self._stranded_next -= 1
            link.passable.clear()
        self._links.add(link)
        link.pumps = [
            asyncio.create_task(self._pump(link, client, server, "questions")),
            asyncio.create_task(self._pump(link, server, client, "answers")),
        ]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("/"):
            return await asyncio.open_unix_connection(Path(self._target), limit=_CHUNK)
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port), limit=_CHUNK)

    async def _pump(self, link: "_Link", source: "_End", sink: "_End", way: Way) -> None:
        try:
            while data := await source.reader.read(_CHUNK):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._passable[way].wait()
                await link.passable.wait()
                allowed = self._allowed(way, len(data))
                if allowed:
                    sink.writer.write(data[:allowed])
                    await sink.writer.drain()
                if allowed < len(data):
                    if self._half_open:
                        link.passable.clear()
                        await link.passable.wait()
                    link.end(reset=self._reset)
                    return
        except OSError:
            pass
        finally:
            # Whichever end is over first, so is the other: none of our protocols half-closes.
            link.end(reset=False)
            self._links.discard(link)

    def _allowed(self, way: Way, size: int) -> int:
        """How many of so many bytes go through."""
        with self._lock:
            counted = way == "answers"
            if self._plan is None or self._plan[0] != way:
                self.answered_bytes += size * counted
                return size
            left = self._plan[1]
            if left >= size:
                self.answered_bytes += size * counted
                self._plan = (way, left - size)
                return size
            self.cuts += 1
            self._plan = (way, 0) if self._again else None
            return left


class _End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        inner = writer.get_extra_info("socket")
        if inner.family != socket.AF_UNIX:
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self, *, reset: bool) -> None:
        if self.writer.is_closing():
            return
        if reset:
            inner = self.writer.get_extra_info("socket")
            inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.writer.transport.abort()
        else:
            self.writer.close()


class _Link:
    """A client's connection and the one that it is forwarded to."""

    def __init__(self, client: _End, server: _End) -> None:
        self._ends = (client, server)
        self.passable = asyncio.Event()
        self.passable.set()
        self.pumps: list[asyncio.Task[None]] = []

    def end(self, *, reset: bool) -> None:
        for end in self._ends:
            end.end(reset=reset)


#: Begins something that `heal` ends; where it depends on chance, the dice say.
Fault = Callable[[FaultProxy, random.Random], None]

_BYTES_MAX: Final = 8000
_SLOW_SECONDS: Final = 0.1
_TOO_SLOW_SECONDS: Final = 2.0

FAULTS: Final[dict[str, Fault]] = {
    "slow": lambda proxy, dice: proxy.delay(_SLOW_SECONDS),
    "too slow": lambda proxy, dice: proxy.delay(_TOO_SLOW_SECONDS),
    "question reset": lambda proxy, dice: proxy.cut_after(
        dice.randrange(_BYTES_MAX), way="questions", reset=True),
    "answer reset": lambda proxy, dice: proxy.cut_after(dice.randrange(_BYTES_MAX), reset=True),
    "answers reset again and again": lambda proxy, dice: proxy.cut_after(
        dice.randrange(_BYTES_MAX), reset=True, again=True),
    "every connection reset": lambda proxy, dice: proxy.break_off(reset=True),
    "answers swallowed": lambda proxy, dice: proxy.black_hole("answers"),
    "everything swallowed": lambda proxy, dice: proxy.black_hole(),
    "half-open after some answers": lambda proxy, dice: proxy.cut_after(
        dice.randrange(_BYTES_MAX), half_open=True, again=True),
    "half-open, and the next one from its start": lambda proxy, dice: proxy.strand(also_next=1),
}  # fmt: skip
