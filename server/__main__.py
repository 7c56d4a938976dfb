"""Runs one server process: `python -m server`.  The command line `giftcard serve` comes here.

With `--supervised` it is one of several workers: it stops when its standard input ends, which
happens however the supervisor ends.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from server import demo, log
from server.app import FATAL_STATUS, Server, keys_of, open_database
from server.secrets import SecretKeys, SecretsError
from server.settings import Settings, SettingsError, from_environment
from server.shim import Shim, ShimEndedError
from server.storage.database import Database, UnsafeDatabaseError
from server.storage.migrate import SchemaError
from server.telemetry.admin import AdminServer, exposition
from server.telemetry.tracing import tracer_of

logger = logging.getLogger("giftcard.serve")

SUPERVISED: Final = "--supervised"

#: What cannot be started with; the words say what to do, so a traceback would only hide them.
CANNOT_START: Final = (
    SettingsError, SecretsError, UnsafeDatabaseError, SchemaError, demo.DemoError,
)  # fmt: skip
CANNOT_START_STATUS: Final = 2

#: New objects between two searches for reference cycles.  A call makes some hundred objects that
#: live until its answer, and hardly a cycle: at the default of 700 the collector looks through the
#: same calls in flight again and again.
_COLLECT_AFTER = 100_000

#: After the signal calls are still taken for so long at least: gRPC cuts off what has arrived and
#: was not yet handed to us, so whoever called just before the signal would get a bare CANCELLED.
#: Many turns of the loop rather than one long one, so that they remain when the machine stalls.
_LINGER_TURNS = 25
_LINGER_TURN_SECONDS = 0.01

_SHIM_FAILED_STATUS: Final = 70

READY: Final = "giftcard ready: gRPC on "


def prepare(settings: Settings) -> tuple[SecretKeys, Database]:
    """Keys, and a database that is fit to be served: migrated, with or surely without demo data.

    Raises one of CANNOT_START.
    """
    keys = keys_of(settings)
    database = open_database(settings)
    try:
        if settings.demo:
            demo.load(database, keys)
        demo.refuse_exposure(settings, database)
    except BaseException:
        database.close()
        raise
    return keys, database


def reachable_at(address: str, port: int) -> str:
    """The address that was asked for, with the port that was had."""
    host, _, _ = address.rpartition(":")
    return address if address.startswith("unix:") else f"{host}:{port}"


def ready_line(grpc_address: str, http_address: str = "") -> str:
    """What is printed on standard output once all of it serves: the addresses to call."""
    return f"{READY}{grpc_address}" + (f", HTTP on {http_address}" if http_address else "")


async def run(settings: Settings, *, supervised: bool = False, shim: Shim | None = None) -> int:
    """Serves, with the shim beside it, until a signal asks to stop; returns the exit status."""
    admin = admin_server(settings)
    keys, database = prepare(settings)
    server = Server(settings, database, keys, tracer=tracer_of(os.environ, "giftcard"))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.request_stop)
    if supervised:
        _watch_supervisor(loop, server.request_stop)
    try:
        port = await server.start()
    except RuntimeError as error:
        raise SettingsError(
            f"GIFTCARD_GRPC_ADDRESS {settings.grpc_address} cannot be listened on: is another"
            " server running there?"
        ) from error
    address = reachable_at(settings.grpc_address, port)
    if admin is not None:
        admin.start(
            alive=server.not_alive,
            ready=server.not_ready,
            metrics=exposition(server.metrics.registry),
        )
        if not supervised:
            logger.info("the admin address is served", extra={"address": admin.address})
    try:
        if shim is not None:
            status = await _serve_with(shim, server, address)
        else:
            print(ready_line(address), flush=True)  # noqa: T201 - the ready line
            status = await server.wait()
        if not status:
            await _linger(settings.drain_delay_seconds)
    finally:
        finished = await server.stop()
        if not finished:
            _end_at_once()
        if admin is not None:
            await asyncio.to_thread(admin.stop)
    return status


async def _linger(delay_seconds: int) -> None:
    """Takes calls until those who watch our health have gone elsewhere."""
    turns = max(_LINGER_TURNS, round(delay_seconds / _LINGER_TURN_SECONDS))
    for _ in range(turns):
        await asyncio.sleep(_LINGER_TURN_SECONDS)


def admin_server(settings: Settings) -> AdminServer | None:
    """It holds its port and does not answer yet.  Raises SettingsError."""
    if not settings.admin_address:
        return None
    try:
        return AdminServer(settings.admin_address)
    except OSError as error:
        raise SettingsError(
            f"GIFTCARD_ADMIN_ADDRESS {settings.admin_address} cannot be listened on: is another"
            " server running there?"
        ) from error


def _end_at_once() -> NoReturn:
    """A thread does not come back from its COMMIT, and Python would wait for it for ever."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(FATAL_STATUS)


async def _serve_with(shim: Shim, server: Server, address: str) -> int:
    """The shim starts after the service and ends before it; without it the whole ends."""
    try:
        http_address = await shim.start(address)
    except ShimEndedError as error:
        return error.status if error.status > 0 else CANNOT_START_STATUS
    print(ready_line(address, http_address), flush=True)  # noqa: T201 - the ready line
    ended = asyncio.create_task(shim.wait())
    ended.add_done_callback(lambda _: server.request_stop())
    status = await server.wait()
    if ended.done():
        logger.error("the shim ended by itself")
        return status or _SHIM_FAILED_STATUS
    return status or await shim.stop()


def _watch_supervisor(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Standard input is a pipe whose other end only the supervisor has: it never writes."""

    def on_end() -> None:
        loop.remove_reader(descriptor)
        stop()

    descriptor = sys.stdin.fileno()
    loop.add_reader(descriptor, on_end)


def main(
    settings: Settings, *, supervised: bool = False, environment: Mapping[str, str] | None = None
) -> int:
    """Serves until asked to stop; returns the exit status.  Raises one of CANNOT_START.

    With an `environment` the shim for legacy APIs is run in it, unless its address is empty.
    """
    log.configure()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    shim = None
    if environment is not None and settings.http_address:
        shim = Shim(environment, settings)
    return asyncio.run(run(settings, supervised=supervised, shim=shim))


def _start(arguments: list[str]) -> int:
    try:
        if arguments not in ([], [SUPERVISED]):
            raise SettingsError("Settings come from the environment, not from arguments.")
        return main(from_environment(os.environ), supervised=bool(arguments))
    except CANNOT_START as error:
        print(f"giftcard: {error}", file=sys.stderr)  # noqa: T201 - one sentence, no traceback
        return CANNOT_START_STATUS


if __name__ == "__main__":
    sys.exit(_start(sys.argv[1:]))
