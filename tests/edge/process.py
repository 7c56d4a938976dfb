"""Envoy alone, for tests that choose what stands behind it."""

import http.client
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Self

from compat_http.envoy import config
from compat_http.envoy.__main__ import envoy_program
from tests.processes import Watchdog

_TIMEOUT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


def validate(text: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """What Envoy says of a configuration without running it."""
    file = directory / "validated.yaml"
    file.write_text(text, encoding="utf-8")
    return subprocess.run(
        [envoy_program(), "--mode", "validate", "--log-level", "warning", "-c", str(file)],
        cwd=config.ROOT, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS,
    )  # fmt: skip


def wait_until(what: str, condition: Any) -> float:
    """Polls until the condition holds; returns the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < _TIMEOUT_SECONDS, f"it did not come to be: {what}"
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


class Envoy:
    """One process with this configuration, whose ports are 0.  It writes into `directory`."""

    def __init__(self, text: str, directory: Path) -> None:
        self.port = 0
        self.admin_address = ""
        self.directory = directory
        self._text = text
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        file, admin_file = self.directory / "envoy.yaml", self.directory / "admin-address"
        file.write_text(self._text, encoding="utf-8")
        access, log = self.directory / "access.log", self.directory / "envoy.log"
        with access.open("ab") as out, log.open("ab") as error:
            self._process = subprocess.Popen(
                [
                    envoy_program(), "-c", str(file), "--log-level", "warning",
                    "--disable-hot-restart", "--file-flush-interval-msec", "100",
                    "--admin-address-path", str(admin_file),
                ],
                stdin=subprocess.DEVNULL, stdout=out, stderr=error, start_new_session=True,
            )  # fmt: skip
        self._watchdog = Watchdog(self._process.pid, "KILL")
        try:
            wait_until("Envoy's administration is there", lambda: self._is_up(admin_file))
        except BaseException:
            self.__exit__()
            raise
        listeners = self._listeners()
        self.port = listeners[0]["local_address"]["socket_address"]["port_value"]
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if self._watchdog is not None:
            self._watchdog.stand_down()
            self._watchdog = None

    def admin(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(self.admin_address, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
            return content if answer.status == http.HTTPStatus.OK else b""
        finally:
            connection.close()

    def healthy(self, cluster: str) -> dict[int, bool]:
        """Which port of a cluster's hosts would get calls."""
        found = json.loads(self.admin("/clusters?format=json"))["cluster_statuses"]
        (status,) = (each for each in found if each["name"] == cluster)
        hosts = status.get("host_statuses", [])
        return {
            host["address"]["socket_address"]["port_value"]: host["health_status"]
            == {"eds_health_status": "HEALTHY"}
            for host in hosts
        }

    def counter(self, name: str) -> int:
        """A counter of Envoy's by its full name."""
        for line in self.admin(f"/stats?filter=^{name}$").decode().splitlines():
            return int(line.rpartition(":")[2])
        raise AssertionError(f"Envoy counts no {name}")

    def access_log(self) -> str:
        return (self.directory / "access.log").read_text(errors="replace")

    def _is_up(self, admin_file: Path) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            log = (self.directory / "envoy.log").read_text(errors="replace")
            raise AssertionError(f"Envoy ended:\n{log[:4000]}")
        if not admin_file.exists():
            return False
        self.admin_address = admin_file.read_text(encoding="utf-8").strip()
        try:
            return bool(self.admin_address and self.admin("/ready") and self._listeners())
        except OSError:
            return False

    def _listeners(self) -> list[Any]:
        found: list[Any] = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        return found
