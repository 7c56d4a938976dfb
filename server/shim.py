"""The HTTP shim for legacy APIs, as a child process: `giftcard serve` runs it beside the service.

It is a program of its own that knows nothing of this one but the contract, so it is started by
name, told where the service is, and asked to stop first: its calls in flight need the service.
It holds one end of a pipe that only its parent keeps open, so it never outlives it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from typing import Final

from server.settings import Settings, SettingsError

_PROGRAM: Final = ("compat_http", "--supervised")
_READY: Final = "giftcard shim ready: HTTP on "
_READY_TIMEOUT_SECONDS: Final = 60
#: Longer than it may take to answer its calls in flight.
_STOP_TIMEOUT_SECONDS: Final = 60


class ShimEndedError(Exception):
    """It did not become ready.  It has said why on standard error; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__("The HTTP shim did not start.")
        self.status = status


class Shim:
    """Start, then `wait` for an end that nobody asked for, then `stop`."""

    def __init__(self, environment: Mapping[str, str], settings: Settings) -> None:
        """Raises SettingsError where it could not reach a service with these settings."""
        _check_way(environment, settings)
        self._environment = environment
        self._process: Process | None = None

    async def start(self, grpc_address: str) -> str:
        """Returns the address it serves.

        Raises:
            ShimEndedError: it ended instead.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", *_PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **self._environment,
                "GIFTCARD_GRPC_ADDRESS": grpc_address,
                # It imports what we import, whatever lies in the working directory.
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            # Ctrl-C is for the parent, which then tells it.
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_READY_TIMEOUT_SECONDS):
                line = (await self._process.stdout.readline()).decode(errors="replace")
                if line.startswith(_READY):
                    return line.removeprefix(_READY).strip()
                raise ShimEndedError(await self._process.wait())
        except TimeoutError:
            await self.stop()
            raise ShimEndedError(-signal.SIGKILL) from None

    async def wait(self) -> int:
        """Returns its exit status once it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int:
        """Asks it to finish its calls, then kills it; 0 when it ended well or never began."""
        if self._process is None:
            return 0
        _signal(self._process, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            _signal(self._process, signal.SIGKILL)
            status = await self._process.wait()
        # One that was stopped before it knew how to stop has nothing to finish.
        return 0 if status == -signal.SIGTERM else status


def _check_way(environment: Mapping[str, str], settings: Settings) -> None:
    """Both ends of the way between the two must agree on TLS."""
    for service, shim, why in (
        (settings.tls_certificate_file, "CA_FILE", "speaks TLS"),
        (settings.tls_client_ca_file, "CERTIFICATE_FILE", "asks for client certificates"),
    ):
        if service and not environment.get(f"GIFTCARD_HTTP_UPSTREAM_{shim}"):
            raise SettingsError(
                f"The service {why}, so the shim beside it needs GIFTCARD_HTTP_UPSTREAM_{shim}."
                " Set GIFTCARD_HTTP_ADDRESS to nothing to run none."
            )
    if environment.get("GIFTCARD_HTTP_UPSTREAM_CA_FILE") and not settings.tls:
        raise SettingsError(
            "GIFTCARD_HTTP_UPSTREAM_CA_FILE is set, but the service has no"
            " GIFTCARD_TLS_CERTIFICATE_FILE."
        )


def _signal(process: Process, number: int) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
