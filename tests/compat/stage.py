"""The shim as a process of its own before a real server with demo data, and HTTP to call it.

    with ShimServer(grpc_address, directory) as shim:
        shim.start()
        said = call(shim.address, "POST", "/retail7/giftcards", body, RETAIL7)

Knows no dialect.
"""

import base64
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import orjson

from compat_http.__main__ import READY
from tests.processes import Watchdog, kill_family, said_until

_ROOT: Final = Path(__file__).parents[2]
_TIMEOUT_SECONDS: Final = 60.0
_NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})


def basic(login: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    pair = base64.b64encode(f"{login}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as it came; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def call(
    address: str,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = _NOTHING_MORE,
    *,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> Said:
    """One request on a connection of its own.

    Raises:
        OSError, http.client.HTTPException: no whole answer came.
    """
    connection = http.client.HTTPConnection(address, timeout=timeout_seconds)
    try:
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Said(answer.status, named, content)
    finally:
        connection.close()


class ShimServer:
    """One shim.  Start, stop and kill it as often as needed; its store lies in `directory`."""

    def __init__(
        self,
        grpc_address: str,
        directory: Path,
        *,
        environment: Mapping[str, str] = _NOTHING_MORE,
    ) -> None:
        self.address = ""
        self._grpc_address = grpc_address
        self._directory = directory
        self._more = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def process_id(self) -> int:
        return self._running().pid

    @property
    def log(self) -> str:
        """Standard error of every start so far."""
        return self._log_path.read_text(errors="replace")

    @property
    def _log_path(self) -> Path:
        return self._directory / "shim.log"

    def start(self) -> str:
        """Returns the address it serves.

        Raises:
            RuntimeError: it did not say that it is ready.
        """
        assert self._process is None, "it runs already"
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "compat_http"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._directory,
                env=self._environment(),
                start_new_session=True,
            )
        self._watchdog = Watchdog(self._process.pid, "KILL")
        line = said_until(self._running(), b"\n", _TIMEOUT_SECONDS)
        if not line.startswith(READY):
            self.kill()
            raise RuntimeError(f"The shim is not ready. It said:\n{self.log[-4000:]}")
        self.address = line.removeprefix(READY).strip()
        return self.address

    def stop(self) -> int:
        """SIGTERM; waits for the drain and returns the exit status."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=_TIMEOUT_SECONDS)
        self._forget()
        return status

    def kill(self) -> None:
        """SIGKILL."""
        process = self._running()
        kill_family(process.pid)
        process.wait()
        self._forget()

    def _environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("GIFTCARD_")}
        return {
            **own,
            "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_ROOT / "generated"))),
            "GIFTCARD_GRPC_ADDRESS": self._grpc_address,
            "GIFTCARD_HTTP_ADDRESS": "127.0.0.1:0",
            "GIFTCARD_HTTP_ADMIN_ADDRESS": "",
            "GIFTCARD_DEMO": "1",
            **self._more,
        }

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it is down"
        return self._process

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            process.stdout.close()
        if self._watchdog is not None:
            self._watchdog.stand_down()
            self._watchdog = None
