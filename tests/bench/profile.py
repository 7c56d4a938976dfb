"""Where the time of one method goes: shares by layer and by function, in microseconds a call.

Runs the product under full load with a sampler inside (see profiled_server).
"""

import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from tests.bench.bench import CARDS, CONNECTIONS
from tests.bench.load import BenchError, Generator, Load, Sample, measure
from tests.bench.stage import Stage, Target
from tests.grpc_server import TOKEN

_IN_FLIGHT: Final = 64
_FUNCTIONS_SHOWN: Final = 45
_WRITE_TIMEOUT_SECONDS: Final = 10.0
_WAITING: Final = "waiting for work"
_GRPC: Final = "gRPC and event loop"

#: The first prefix that fits a function's place names its layer.
_LAYERS: Final = (
    ("server/storage/statements.py:execute", "SQL"),
    ("server/storage/database.py", "SQL"),
    ("server/storage/", "storage: rows"),
    ("server/ledger/", "ledger and rules"),
    ("server/domain/", "ledger and rules"),
    ("server/", "edge"),
    ("python3", _WAITING),
)


#: What can be profiled: the call, and the engine.
SUBJECTS: Final = {
    "redeem": ("redeem", "SQLite"),
    "lookup": ("lookup", "SQLite"),
    "redeem-postgresql": ("redeem", "PostgreSQL"),
}


def profile(
    subject: str,
    seconds: float,
    generator: Generator,
    path: Path,
    say: Callable[[str], None],
) -> str:
    """Profiles one of SUBJECTS, writes the table to `path` and returns it."""
    kind, engine = SUBJECTS[subject]
    with tempfile.TemporaryDirectory(prefix="profile-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL may have to run as another account
        output = directory / "samples.json"
        with Stage(directory, say) as stage:
            target = _target(stage, engine, ("tests.bench.profiled_server", str(output)))
            load = Load(
                target.address, kind, TOKEN, CARDS, CONNECTIONS, _IN_FLIGHT // CONNECTIONS,
                seconds, 1.0,
            )  # fmt: skip
            say(f"Profiling {kind} on {engine} for {seconds:g} s")
            sample = measure(
                generator, load, target.cpu,
                started=lambda: os.kill(target.process_id, signal.SIGUSR1),
                ended=lambda: os.kill(target.process_id, signal.SIGUSR2),
            )  # fmt: skip
            found = json.loads(_await(output))
    text = _text(kind, engine, sample, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return text


def _target(stage: Stage, engine: str, module: tuple[str, ...]) -> Target:
    if engine == "SQLite":
        return stage.sqlite("sqlite", CARDS, module)
    return stage.postgresql(stage.postgres(), CARDS, 1, module)


def _await(output: Path) -> str:
    deadline = time.monotonic() + _WRITE_TIMEOUT_SECONDS
    while not output.exists():
        if time.monotonic() > deadline:
            raise BenchError("The profiled server wrote no profile.")
        time.sleep(0.05)
    return output.read_text()


def _layer(file: str, function: str) -> str:
    place = f"{file}:{function}"
    if file.endswith("selectors.py"):
        return _WAITING
    return next((name for prefix, name in _LAYERS if place.startswith(prefix)), _GRPC)


def _text(kind: str, engine: str, sample: Sample, found: dict[str, Any]) -> str:
    calls = sample.per_second * sample.seconds
    samples = [(_layer(file, name), f"{file}:{name}", n) for file, name, n in found["samples"]]
    working = sum(count for layer, _, count in samples if layer != _WAITING)
    main = found["threads"].pop("MainThread")
    # The main thread's processor time is shared out by samples, other threads' is known.
    each = main / working / calls * 1_000_000
    by_layer: Counter[str] = Counter()
    for layer, _, count in samples:
        if layer != _WAITING:
            by_layer[layer] += count
    rows = [(layer, count * each) for layer, count in by_layer.most_common()]
    for thread, used in sorted(found["threads"].items(), key=lambda item: -item[1]):
        if used > 0:
            rows.append((_thread(thread, engine), used / calls * 1_000_000))
    if database := sample.cpu_seconds.get("database"):
        rows.append(("the database's own processes", database / calls * 1_000_000))
    functions = [
        (f"{layer}: {place}", count * each) for layer, place, count in samples if layer != _WAITING
    ]
    idle = 1 - working / max(sum(count for _, _, count in samples), 1)
    heading = [
        f"{kind}: {sample.per_second:,.0f} calls a second, {_IN_FLIGHT} in flight, {engine}",
        f"{working:,} samples of the main thread, which waited {idle:.0%} of the time",
    ]
    tables = _lines("layer", rows), _lines("function (main thread)", functions[:_FUNCTIONS_SHOWN])
    return "\n".join([*heading, "", *tables[0], "", *tables[1]])


def _thread(name: str, engine: str) -> str:
    if name.startswith("ledger-writer"):
        if engine == "PostgreSQL":
            return "ledger, rules, rows, SQL and commit (a thread)"
        return "commit (a thread that waits for the disk)"
    if name.startswith(("card-reader", "reader")):
        return "long reads (a thread)"
    return "gRPC's own threads"


def _lines(head: str, rows: Iterable[tuple[str, float]]) -> list[str]:
    merged: dict[str, float] = {}
    for name, microseconds in rows:
        merged[name] = merged.get(name, 0.0) + microseconds
    total = sum(merged.values())
    lines = [f"µs a call  share  {head}", "─────────  ─────  " + "─" * len(head)]
    lines += [
        f"{microseconds:9.1f}  {microseconds / total:5.1%}  {name}"
        for name, microseconds in sorted(merged.items(), key=lambda item: -item[1])
    ]
    return [*lines, f"{total:9.1f}         sum"]
