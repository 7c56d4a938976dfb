"""Runs the shim: `python -m compat_http`.  `giftcard serve` starts it so, beside the service.

With `--supervised` it stops when its standard input ends, which happens however whoever started it
ends.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import uvicorn
import uvloop

from compat_http import log
from compat_http.admin import AdminServer, exposition
from compat_http.app import Shim
from compat_http.readiness import Readiness
from compat_http.receiving import receiving_within
from compat_http.reversals import ReversalSender
from compat_http.settings import Settings, SettingsError, from_environment
from compat_http.store import Store, StoreError, reading
from compat_http.store.database import path_of
from compat_http.tracing import tracer_of

logger = logging.getLogger("giftcard.shim")

SUPERVISED: Final = "--supervised"
READY: Final = "giftcard shim ready: HTTP on "
CANNOT_START_STATUS: Final = 2
#: The exchange database failed: only a fresh start can tell what the disk has.
BROKEN_STATUS: Final = 70
_BACKLOG: Final = 1024


class _HttpServer(uvicorn.Server):
    """Leaves signals to us: asked to stop, we end with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"GIFTCARD_HTTP_ADDRESS {address} cannot be listened on: is another server running"
            " there?"
        ) from error
    return listener


async def run(settings: Settings, *, supervised: bool) -> int:
    """Serves until a signal asks to stop, then answers the calls in flight; the exit status."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        readiness.drain()
        server.should_exit = True

    def stop_from_elsewhere() -> None:
        # By the time the loop comes to it, there is a server.
        loop.call_soon_threadsafe(stop)

    listener = _listen(settings.http_address)
    admin = _admin_server(settings)
    store = Store.open(
        settings.exchange_database_url,
        Path(settings.exchange_key_file) if settings.exchange_key_file else None,
        production=settings.production,
        keep_days=settings.exchange_keep_days,
        on_broken=stop_from_elsewhere,
    )
    shim = Shim(settings, store, tracer_of(os.environ))
    metrics = shim.metrics
    metrics.watch_store(lambda: _waiting(settings.exchange_database_url), lambda: store.dropped)
    readiness = Readiness(
        shim.service_problem,
        lambda: store.broken,
        path_of(settings.exchange_database_url),
        metrics,
    )
    sender = ReversalSender(store, shim.engine.reverse)
    server = _HttpServer(
        uvicorn.Config(
            shim.app,
            http=receiving_within(settings.http_receive_seconds),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=settings.http_drain_seconds,
        )
    )

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    if supervised:
        _watch_supervisor(loop, stop)
    if admin is not None:
        admin.start(
            alive=readiness.not_alive,
            ready=readiness.not_ready,
            metrics=exposition(metrics.registry),
        )
        logger.info("the admin address is served", extra={"address": admin.address})
    host = settings.http_address.rpartition(":")[0]
    print(f"{READY}{host}:{listener.getsockname()[1]}", flush=True)  # noqa: T201 - the ready line
    sender.start()
    readiness.start()
    try:
        await server.serve(sockets=[listener])
    finally:
        readiness.stop()
        if admin is not None:
            await asyncio.to_thread(admin.stop)
        await sender.stop()
        await shim.close()
        await store.close()
    return BROKEN_STATUS if store.broken else 0


def _admin_server(settings: Settings) -> AdminServer | None:
    if not settings.http_admin_address:
        return None
    try:
        return AdminServer(settings.http_admin_address)
    except OSError as error:
        raise SettingsError(
            f"GIFTCARD_HTTP_ADMIN_ADDRESS {settings.http_admin_address} cannot be listened on: is"
            " another server running there?"
        ) from error


def _waiting(url: str) -> tuple[float, float]:
    """How many reversals wait, and for how many seconds the oldest does; NaN while nobody knows."""
    try:
        count, oldest_time = reading.waiting(url)
    except StoreError:
        return math.nan, math.nan
    return count, max(0.0, time.time() - oldest_time / 1e6) if count else 0.0


def _watch_supervisor(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Standard input is a pipe whose other end only the supervisor has: it never writes."""

    def on_end() -> None:
        loop.remove_reader(descriptor)
        stop()

    descriptor = sys.stdin.fileno()
    loop.add_reader(descriptor, on_end)


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    log.configure()
    try:
        if arguments not in ([], [SUPERVISED]):
            raise SettingsError("Settings come from the environment, not from arguments.")
        settings = from_environment(os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(settings, supervised=bool(arguments)))
    except (SettingsError, StoreError) as error:
        print(f"giftcard: {error}", file=sys.stderr)  # noqa: T201 - one sentence, no traceback
        return CANNOT_START_STATUS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
