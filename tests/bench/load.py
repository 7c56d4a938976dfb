"""Runs the load generator in a process of its own and reads what it measured.

The generator is compiled with Go when that is there, so that the server stays the bottleneck;
else a Python one takes its place.  This module knows no figures and starts no servers.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_SOURCE: Final = Path(__file__).parent / "loadgen"
_BINARY: Final = ROOT / ".tools" / "loadgen"
_BUILD_TIMEOUT_SECONDS: Final = 600
#: Beyond warm-up and measurement: start of the process, and calls that end late.
_PATIENCE_SECONDS: Final = 60

METHODS: Final = {
    "redeem": "/giftcard.v1.GiftCardService/RedeemGiftCard",
    "lookup": "/giftcard.v1.GiftCardService/LookupGiftCard",
    "retail7": "/retail7/giftcards",
}


class BenchError(Exception):
    """A measurement that is worth nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Generator:
    """How to start the generator, and what to call it in the table.  HTTP needs the Go one."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.  `rate` (calls a second) makes it an open loop; 0 keeps all calls in flight."""

    address: str
    kind: str
    token: str
    cards: int
    connections: int
    in_flight: int
    seconds: float
    warm_up_seconds: float
    rate: float = 0.0

    def arguments(self) -> list[str]:
        pairs = {
            "address": self.address, "method": METHODS[self.kind], "kind": self.kind,
            "token": self.token, "cards": self.cards, "connections": self.connections,
            "in-flight": self.in_flight, "rate": self.rate, "warm-up": self.warm_up_seconds,
            "seconds": self.seconds,
        }  # fmt: skip
        return [text for name, value in pairs.items() for text in (f"-{name}", str(value))]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run.  Latencies in microseconds, None where the tool does not say; CPU in seconds."""

    per_second: float
    seconds: float
    cpu_seconds: dict[str, float]
    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    max_microseconds: int | None = None


def find_generator(choice: str, say: Callable[[str], None]) -> Generator:
    """`go`, `python`, or `auto`: Go where it is installed and builds, else Python.

    Raises:
        BenchError: Go was asked for and is not to be had.
    """
    if choice != "python":
        why = _build(say)
        if why is None:
            return Generator("Go", (str(_BINARY),))
        if choice == "go":
            raise BenchError(f"The load generator could not be built: {why}")
        say(f"No Go load generator ({why}); the Python one is slower, and so are all figures.")
    return Generator("Python", (sys.executable, "-m", "tests.bench.python_loadgen"))


def _build(say: Callable[[str], None]) -> str | None:
    """Compiles the generator; returns why not."""
    go = shutil.which("go")
    if go is None:
        return "go is not installed"
    say("Building the load generator (the first time takes a minute or two)")
    try:
        built = subprocess.run(
            [go, "build", "-trimpath", "-o", str(_BINARY), "."],
            cwd=_SOURCE, check=False, capture_output=True, text=True,
            timeout=_BUILD_TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "go build took too long"
    return (built.stderr.strip() or "go build failed") if built.returncode else None


def _nothing() -> None:
    return


def measure(
    generator: Generator,
    load: Load,
    cpu: Mapping[str, Callable[[], float]],
    *,
    started: Callable[[], None] = _nothing,
    ended: Callable[[], None] = _nothing,
) -> Sample:
    """Runs one load.

    `cpu` says for each name (server, database) how many seconds it has used so far; `started` and
    `ended` are called where the measured time begins and ends.

    Raises:
        BenchError: a call failed, or the generator did.
    """
    process = subprocess.Popen(
        [*generator.command, *load.arguments()],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'generated'}"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "measuring\n":
            raise BenchError("The load generator did not start.")
        before = {name: used() for name, used in cpu.items()}
        started()
        text, _ = process.communicate(timeout=load.seconds + _PATIENCE_SECONDS)
        ended()
        spent = {name: used() - before[name] for name, used in cpu.items()}
    finally:
        process.kill()
        process.wait()
    report = json.loads(text)
    if report["errors"]:
        raise BenchError(f"Calls failed ({load.kind}): {report['errors']}")
    if not report["count"]:
        raise BenchError(f"No call was answered ({load.kind}).")
    return Sample(
        per_second=report["count"] / report["seconds"],
        seconds=report["seconds"],
        cpu_seconds={**spent, "generator": report["cpu_seconds"]},
        p50_microseconds=report["p50_microseconds"],
        p95_microseconds=report["p95_microseconds"],
        p99_microseconds=report["p99_microseconds"],
        max_microseconds=report["max_microseconds"],
    )
