"""Service, shim and Envoy with demo data, as `make edge` runs them, on free ports.

    with Edge(directory) as edge:
        edge.start()
        said = edge.call("POST", "/v1/giftCards:lookup", body, BEARER)
        async with edge.channel() as channel:
            ...

`changes` replaces words of envoy.yaml, such as the size of a bucket.  Several tests may share one
edge: what each address may ask for is limited, and `UNLIMITED` lifts that.
"""

import http.client
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import grpc
import orjson

from compat_http.envoy import config
from compat_http.envoy.__main__ import READY
from tests.compat.stage import Said
from tests.grpc_server import keys_in
from tests.processes import Watchdog, kill_family, said_until

_TIMEOUT_SECONDS: Final = 60.0
_NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})

#: The published credential of the demo merchant, as a header.
BEARER: Final[Mapping[str, str]] = MappingProxyType({"Authorization": "Bearer demo-service-token"})

#: For suites that ask more than one caller may.
UNLIMITED: Final[Mapping[str, str]] = MappingProxyType(
    {"token_bucket: {max_tokens: ": "token_bucket: {max_tokens: 1000"}
)


class Caller:
    """Calls an edge over TLS, by HTTP and by gRPC."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.port = port
        self.certificate = certificate

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def call(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] = _NOTHING_MORE,
    ) -> Said:
        """One HTTP/1.1 request over TLS on a connection of its own; a body that is not bytes is
        sent as JSON."""
        named = dict(headers)
        if body is not None and not isinstance(body, bytes):
            body = orjson.dumps(body)
            named.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS, context=self.tls
        )
        try:
            connection.request(method, target, body, named)
            answer = connection.getresponse()
            content = answer.read()
            return Said(
                answer.status, {n.lower(): text for n, text in answer.getheaders()}, content
            )
        finally:
            connection.close()

    def channel(self) -> grpc.aio.Channel:
        """gRPC over TLS, which by itself repeats nothing."""
        credentials = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options)


class Edge(Caller):
    """One edge.  `directory` holds all that it keeps; `environment` further settings."""

    def __init__(
        self,
        directory: Path,
        *,
        environment: Mapping[str, str] = _NOTHING_MORE,
        changes: Mapping[str, str] = _NOTHING_MORE,
    ) -> None:
        super().__init__(0, directory / "tls" / "certificate.pem")
        self.directory = directory
        self.grpc_address = ""
        self.http_address = ""
        self.admin_address = ""
        self._more = dict(environment)
        self._changes = changes
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

    def log(self, name: str) -> str:
        """What has been written by `service` (with the shim), `envoy`, or `access`."""
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Raises RuntimeError with what was said when it is not ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "changed.yaml"
        file.write_text(config.render(config.DEVELOPMENT, self._changes), encoding="utf-8")
        with (self.directory / "edge.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "compat_http.envoy"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                cwd=config.ROOT, env=self._environment(file), start_new_session=True,
            )  # fmt: skip
        # Asked to stop, it stops the others; it would leave them behind if it were killed.
        self._watchdog = Watchdog(self._process.pid, "TERM")
        try:
            said = self._read_ready_block()
        except BaseException:
            self.kill()
            raise
        self.port = int(said["REST, gRPC, gRPC-Web, legacy"].rpartition(":")[2])
        self.grpc_address = said["behind it, gRPC"]
        self.http_address = said["behind it, legacy"].removeprefix("http://")
        self.admin_address = said["Envoy's administration"].removeprefix("http://")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop; returns the exit status."""
        self._running().send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Waits until it has ended; returns the exit status."""
        status = self._running().wait(timeout=_TIMEOUT_SECONDS)
        self._forget()
        return status

    def kill(self) -> None:
        process = self._running()
        kill_family(process.pid)
        process.wait()
        self._forget()

    def admin(self, path: str, method: str = "GET") -> bytes:
        """Asks Envoy's administration."""
        connection = http.client.HTTPConnection(self.admin_address, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _environment(self, file: Path) -> dict[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith("GIFTCARD_")}
        return {
            **own,
            "PYTHONPATH": os.pathsep.join((str(config.ROOT), str(config.ROOT / "generated"))),
            "GIFTCARD_DEMO": "1",
            "GIFTCARD_DATABASE_URL": f"sqlite:///{self.directory}/giftcard.db",
            "GIFTCARD_EXCHANGE_DATABASE_URL": f"sqlite:///{self.directory}/exchange.db",
            "GIFTCARD_KEY_FILE": str(keys_in(self.directory)),
            "GIFTCARD_GRPC_ADDRESS": "127.0.0.1:0",
            "GIFTCARD_HTTP_ADDRESS": "127.0.0.1:0",
            # Invented requests name what is not there more often than any client may.
            "GIFTCARD_LOOKUP_MISSES_PER_CLIENT_MAX": "1000000000",
            "GIFTCARD_LOOKUP_MISSES_MAX": "1000000000",
            "GIFTCARD_ADMIN_ADDRESS": "",
            "GIFTCARD_HTTP_ADMIN_ADDRESS": "",
            "GIFTCARD_EDGE_PORT": "0",
            "GIFTCARD_EDGE_ADMIN_PORT": "0",
            "GIFTCARD_EDGE_DIRECTORY": str(self.directory),
            "GIFTCARD_EDGE_CONFIG": str(file),
            **self._more,
        }

    def _read_ready_block(self) -> dict[str, str]:
        said = said_until(self._running(), b"*.log\n", _TIMEOUT_SECONDS)
        title, *lines = said.splitlines() or [""]
        if title != READY or not said.endswith("*.log\n"):
            logs = "\n".join(self.log(name) for name in ("edge", "service", "envoy"))
            raise RuntimeError(f"The edge is not ready. It said:\n{said}\n{logs}")
        return {line[2:33].strip(): line[33:].strip() for line in lines}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("This edge is down.")
        return self._process

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            process.stdout.close()
        if self._watchdog is not None:
            self._watchdog.stand_down()
            self._watchdog = None
