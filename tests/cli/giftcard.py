"""The command line as tests run it: in this process, or as processes of their own."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import pytest
from typer.testing import CliRunner, Result

from server.cli.root import app
from tests.processes import kill_family

ROOT: Final = Path(__file__).parents[2]
READY: Final = "giftcard ready: gRPC on "
HTTP: Final = ", HTTP on "
TIMEOUT_SECONDS: Final = 60.0


def environment(directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """A process's whole environment: nothing of the developer's own settings is in it."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "generated")]),
        "TMPDIR": str(directory),
        "GIFTCARD_GRPC_ADDRESS": "127.0.0.1:0",
        "GIFTCARD_HTTP_ADDRESS": "127.0.0.1:0",
        "GIFTCARD_ADMIN_ADDRESS": "",
        "GIFTCARD_HTTP_ADMIN_ADDRESS": "",
        **settings,
    }


def run(
    directory: Path, *arguments: str, settings: Mapping[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """`giftcard` with these arguments, as a process in `directory`; what it says is text."""
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments],
        cwd=directory,
        env=environment(directory, settings),
        input=typed,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def invoke(
    monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str], *arguments: str, typed: str = ""
) -> Result:
    """`giftcard` with these arguments in this process: quicker, and as the terminal sees it."""
    for name in os.environ:
        if name.startswith("GIFTCARD_"):
            monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(app, arguments, input=typed, prog_name="giftcard")


class Service:
    """A `giftcard serve` that has printed its ready line."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self._errors = errors
        self._lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()
        self.address = self.http_address = ""

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put("")

    def wait_until_ready(self) -> None:
        line = self._lines.get(timeout=TIMEOUT_SECONDS)
        assert line.startswith(READY), f"no ready line, but {line!r}: {self.errors}"
        self.address, _, self.http_address = line.removeprefix(READY).strip().partition(HTTP)

    @property
    def errors(self) -> str:
        """What it wrote on standard error until now."""
        return self._errors.read_text()

    @property
    def more_output(self) -> list[str]:
        """What it printed after the ready line; it must have ended."""
        self._reader.join(TIMEOUT_SECONDS)
        return list(self._lines.queue)[:-1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop; returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=TIMEOUT_SECONDS)


@contextmanager
def serving(directory: Path, settings: Mapping[str, str]) -> Iterator[Service]:
    """Runs `giftcard serve` in `directory`, from its ready line to the end of the block."""
    errors = directory / "serve.log"
    with errors.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve"],
            cwd=directory,
            env=environment(directory, settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    service = Service(process, errors)
    try:
        service.wait_until_ready()
        yield service
    finally:
        if process.poll() is None:
            kill_family(process.pid)
        process.wait()
        assert process.stdout is not None
        service._reader.join()
        process.stdout.close()
