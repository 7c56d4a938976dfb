"""Several worker processes behind one port: `giftcard serve` with GIFTCARD_WORKERS above 1.

The supervisor prepares the database once, reserves the port, starts the workers and waits.  They
share the port by SO_REUSEPORT, so the kernel spreads connections over them.  A worker that dies
takes the others along: whoever started the service then starts it whole.  Each worker holds one
end of a pipe that only the supervisor keeps open, so none outlives it, even on SIGKILL.

Must not know what a worker does with a call.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from typing import Any, Final

from server import log
from server.__main__ import READY, SUPERVISED, admin_server, prepare, ready_line
from server.local import private_directory
from server.settings import Settings, SettingsError
from server.shim import Shim, ShimEndedError
from server.telemetry.admin import AdminServer
from server.telemetry.workers import Workers
from server.tls import ServerCertificate

logger = logging.getLogger("giftcard.supervisor")

_READY_TIMEOUT_SECONDS: Final = 60
#: What a worker gets beyond the time in which it may finish its calls.
_KILL_AFTER_SECONDS: Final = 5
_WORKER_FAILED: Final = 70


def main(settings: Settings, environment: Mapping[str, str]) -> int:
    """Serves until a signal asks to stop; returns the exit status.

    `environment` is what the settings were read from; workers get it with the address that was
    chosen.  Raises one of `server.__main__.CANNOT_START`.
    """
    log.configure()
    if settings.tls:
        ServerCertificate(settings)  # refused here, and not once by each worker
    with contextlib.ExitStack() as stack:
        reservation = stack.enter_context(_reserve(settings.grpc_address))
        admin = admin_server(settings)
        addresses = [""] * settings.workers
        if admin is not None:
            directory = stack.enter_context(private_directory())
            addresses = [f"unix:{directory}/{n}" for n in range(settings.workers)]
        _, database = prepare(settings)
        database.close()
        host = settings.grpc_address.rpartition(":")[0]
        port: int = reservation.getsockname()[1]
        return asyncio.run(
            _Supervisor(settings, environment, f"{host}:{port}", admin, addresses).run()
        )


def _reserve(address: str) -> socket.socket:
    """A socket that keeps the port for the workers; it does not listen, so it gets no calls."""
    host, _, port = address.rpartition(":")
    if address.startswith("unix:"):
        raise SettingsError(
            "GIFTCARD_WORKERS above 1 needs a port to share: GIFTCARD_GRPC_ADDRESS must be"
            " host:port."
        )
    try:
        family, _, _, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Another server's workers would share their port with ours, and calls would go to either.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
        reservation = socket.socket(family, socket.SOCK_STREAM)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind(where)
    except OSError as error:
        raise SettingsError(
            f"GIFTCARD_GRPC_ADDRESS {address} cannot be listened on: is another server running"
            " there?"
        ) from error
    return reservation


class _Supervisor:
    """`admin_addresses` are one for each worker, "" where there is no admin address."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        address: str,
        admin: AdminServer | None,
        admin_addresses: list[str],
    ) -> None:
        self._settings = settings
        self._address = address
        self._admin = admin
        self._admin_addresses = admin_addresses
        self._told = Workers(admin_addresses)
        self._shim = Shim(environment, settings) if settings.http_address else None
        self._environment = {
            **environment,
            "GIFTCARD_GRPC_ADDRESS": self._address,
            "GIFTCARD_DEMO": "0",  # loaded by `prepare` already
            # Workers import what we import, whatever lies in the working directory.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        workers = [await self._start_worker(each) for each in self._admin_addresses]
        failed = await self._serve(workers)
        self._told.drain()
        # The shim first: its calls in flight need the workers.
        shim_failed = await self._shim.stop() if self._shim is not None else 0
        ended_badly = await self._end(workers)
        if self._admin is not None:
            await asyncio.to_thread(self._admin.stop)
        return failed or shim_failed or ended_badly

    async def _start_worker(self, admin_address: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "server", SUPERVISED,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**self._environment, "GIFTCARD_ADMIN_ADDRESS": admin_address},
            # Ctrl-C is for the supervisor, which then tells the workers.
            start_new_session=True,
        )  # fmt: skip

    async def _serve(self, workers: list[Process]) -> int:
        """Returns once somebody asked to stop (0), or with the status of a worker that failed."""
        ready = asyncio.create_task(self._become_ready(workers))
        deaths = {asyncio.create_task(worker.wait()) for worker in workers}
        stop = asyncio.create_task(self._stopping.wait())
        waited: set[asyncio.Task[Any]] = {ready, stop, *deaths}
        try:
            await asyncio.wait(
                waited, timeout=_READY_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not self._stopping.is_set() and ready.done() and ready.result():
                print(ready.result(), flush=True)  # noqa: T201 - the one ready line
                if self._shim is not None:
                    deaths.add(asyncio.create_task(self._shim.wait()))
                    waited |= deaths
                await asyncio.wait(waited - {ready}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return 0
            # The pipe of a worker that fails closes a moment before it is known to have ended.
            await asyncio.wait(deaths, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            statuses = [death.result() for death in deaths if death.done()]
            logger.error(
                "a worker ended by itself, or did not become ready", extra={"count": len(statuses)}
            )
            return next((status for status in statuses if status > 0), _WORKER_FAILED)
        finally:
            for task in waited:
                task.cancel()

    async def _become_ready(self, workers: list[Process]) -> str:
        """Starts the shim once the workers serve; the ready line, or "" when one of them ended."""
        if not await _are_ready(workers):
            return ""
        if self._admin is not None:
            told = self._told
            self._admin.start(alive=told.not_alive, ready=told.not_ready, metrics=told.metrics)
            logger.info("the admin address is served", extra={"address": self._admin.address})
        http_address = ""
        if self._shim is not None:
            try:
                http_address = await self._shim.start(self._address)
            except ShimEndedError:
                return ""
        return ready_line(self._address, http_address)

    async def _end(self, workers: list[Process]) -> int:
        """Asks all workers to finish, then kills; 0 when all of them ended well."""
        _signal(workers, signal.SIGTERM)
        settings = self._settings
        patience = settings.drain_delay_seconds + settings.drain_seconds + _KILL_AFTER_SECONDS
        try:
            async with asyncio.timeout(patience):
                statuses = [await worker.wait() for worker in workers]
        except TimeoutError:
            _signal(workers, signal.SIGKILL)
            statuses = [await worker.wait() for worker in workers]
        # One that was stopped before it knew how to stop has nothing to finish.
        return 0 if set(statuses) <= {0, -signal.SIGTERM} else _WORKER_FAILED


def _signal(workers: list[Process], number: int) -> None:
    for worker in workers:
        if worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(number)


async def _are_ready(workers: list[Process]) -> bool:
    """Waits for all ready lines; False when a worker ends instead."""
    for worker in workers:
        assert worker.stdout is not None
        line = await worker.stdout.readline()
        if not line.decode(errors="replace").startswith(READY):
            return False
    return True
