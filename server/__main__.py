"""Runs one server process: `python -m server`.  The command line `giftcard serve` comes here.

With `--supervised` it is one of several workers: it stops when its standard input ends, which
happens however the supervisor ends.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from server import demo, log
from server.app import Server, keys_of, open_database
from server.secrets import SecretKeys, SecretsError
from server.settings import Settings, SettingsError, from_environment
from server.storage.database import Database, UnsafeDatabaseError
from server.storage.migrate import SchemaError

SUPERVISED: Final = "--supervised"

#: What cannot be started with; the words say what to do, so a traceback would only hide them.
CANNOT_START: Final = (
    SettingsError, SecretsError, UnsafeDatabaseError, SchemaError, demo.DemoError,
)  # fmt: skip
CANNOT_START_STATUS: Final = 2

#: How long a thread may keep the interpreter.  The default, 5 ms, would let the event loop starve
#: the writer after each statement, and the other way round.
_SWITCH_SECONDS = 0.005

#: New objects between two searches for reference cycles.  A call makes some hundred objects that
#: live until its answer, and hardly a cycle: at the default of 700 the collector looks through the
#: same calls in flight again and again.
_COLLECT_AFTER = 100_000

#: After the signal calls are still taken for so long: gRPC cuts off what has arrived and was not
#: yet handed to us, so whoever called just before the signal would get a bare CANCELLED.  Many
#: turns of the loop rather than one long one, so that they remain when the machine stalls.
_LINGER_TURNS = 25
_LINGER_TURN_SECONDS = 0.01

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


def ready_line(address: str, port: int) -> str:
    """What a process prints on standard output once it serves: the address to call."""
    host, _, _ = address.rpartition(":")
    return READY + (address if address.startswith("unix:") else f"{host}:{port}")


async def run(settings: Settings, *, supervised: bool = False) -> int:
    """Serves until a signal asks to stop; returns the exit status."""
    keys, database = prepare(settings)
    server = Server(settings, database, keys)
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
    print(ready_line(settings.grpc_address, port), flush=True)  # noqa: T201 - the ready line
    status = await server.wait()
    for _ in range(0 if status else _LINGER_TURNS):
        await asyncio.sleep(_LINGER_TURN_SECONDS)
    await server.stop()
    return status


def _watch_supervisor(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Standard input is a pipe whose other end only the supervisor has: it never writes."""

    def on_end() -> None:
        loop.remove_reader(descriptor)
        stop()

    descriptor = sys.stdin.fileno()
    loop.add_reader(descriptor, on_end)


def main(settings: Settings, *, supervised: bool = False) -> int:
    """Serves until asked to stop; returns the exit status.  Raises one of CANNOT_START."""
    log.configure()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    return asyncio.run(run(settings, supervised=supervised))


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
