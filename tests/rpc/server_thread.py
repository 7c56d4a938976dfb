"""The real server in a thread of the test's own process, with a clock that the test controls.

It can be stopped as an operator stops it and killed as the machine kills it, and started again on
the same database. Knows nothing of what is asked of it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from server.app import Server, clock, open_database
from server.domain.administration import home_cell
from server.secrets import SecretKeys, create_development_keys, load_keys, token_hash
from server.settings import Settings
from server.storage.database import Database
from server.storage.directory import Principal

Value = TypeVar("Value")

_SECONDS = 30


def keys_in(directory: Path) -> SecretKeys:
    """Keys as an operator's, the same each time for one directory."""
    path = directory / "keys.json"
    if not path.exists():
        create_development_keys(path)
    return load_keys(path, None, production=False)


def principal(
    merchant: str,
    client: str,
    scopes: str,
    *,
    location: str = "",
    time_zone: str = "UTC",
    expire_time: int | None = None,
) -> Principal:
    """Who a credential speaks for; `scopes` as words."""
    return Principal(
        merchant, client, home_cell(merchant), time_zone, frozenset(scopes.split()), location,
        expire_time,
    )  # fmt: skip


def _nothing() -> None:
    """Starts no batch."""


@dataclass(slots=True)
class ServerThread:
    """Start, stop and kill it as often as needed.

    `operators` are its credentials, from bearer tokens to principals: they cost no look-up, and
    more may be added while it runs.
    """

    settings: Settings
    keys: SecretKeys
    now: Callable[[], int] = clock
    operators: dict[str, Principal] = field(default_factory=dict)
    server: Server = field(init=False)
    database: Database = field(init=False)
    open_database: Callable[[Settings], Database] = open_database
    port: int = 0
    _hashed: dict[bytes, Principal] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread | None = None
    _killed: asyncio.Event = field(init=False)

    def add(self, token: str, who: Principal) -> None:
        self.operators[token] = who
        self._hashed[token_hash(token)] = who

    def start(self) -> None:
        for token, who in self.operators.items():
            self._hashed[token_hash(token)] = who
        ready = threading.Event()
        problems: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._serve(ready))
            except BaseException as problem:  # noqa: BLE001 - raised in the test's thread
                problems.append(problem)
                ready.set()

        self._thread = threading.Thread(target=run, name="server", daemon=True)
        self._thread.start()
        assert ready.wait(_SECONDS), "the server did not start"
        if problems:
            raise problems[0]

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._killed = asyncio.Event()
        self.database = self.open_database(self.settings)
        self.server = Server(
            self.settings, self.database, self.keys, now=self.now, operators=self._hashed
        )
        self.port = await self.server.start()
        ready.set()
        stopped = asyncio.create_task(self.server.wait())
        killed = asyncio.create_task(self._killed.wait())
        await asyncio.wait((stopped, killed), return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if stopped.done():
            await self.server.stop()
            return
        stopped.cancel()
        await self._die()

    async def _die(self) -> None:
        """What a kill leaves: calls cut off, what was not committed rolled back, no farewell."""
        await self.server._grpc.stop(None)
        self.server._watch.cancel()
        self.server._readiness.stop()
        self.server._studio.close()
        if self.server._checkpointer is not None:
            self.server._checkpointer.close()
        bridge = self.server._bridge
        # A batch that ends meanwhile wakes the next one later, when its connection is gone.
        for pace in (bridge._writing, bridge._looking_up):
            pace._start = _nothing
        for executor in (bridge._writer_thread, bridge._cards_thread, bridge._reads_thread):
            executor.shutdown(wait=True, cancel_futures=True)
        for connection in (bridge._ledger, bridge._cards, bridge._reads):
            connection.close()
        self.database.close()

    def on_loop(self, function: Callable[[], Value]) -> Value:
        """Runs a function on the server's own thread."""
        done: list[Value] = []
        over = threading.Event()

        def call() -> None:
            try:
                done.append(function())
            finally:
                over.set()

        self._loop.call_soon_threadsafe(call)
        assert over.wait(_SECONDS)
        return done[0]

    def stop(self) -> None:
        """As on SIGTERM: drains. Stopping a server that is down does nothing."""
        self._end(self.server.request_stop)

    def begin_to_stop(self) -> None:
        self._loop.call_soon_threadsafe(self.server.request_stop)

    def kill(self) -> None:
        self._end(self._killed.set)

    def _end(self, ask: Callable[[], Any]) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(ask)
        thread.join(_SECONDS)
        assert not thread.is_alive(), "the server did not end"
