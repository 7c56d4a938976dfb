"""What this machine is, how fast its disk keeps a promise, and who used its processors.

Ratios travel between machines, but only with these facts beside them.  Knows nothing of servers.
"""

import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
import pysqlite3

_SYNCS: Final = 200
_PAGE_BYTES: Final = 4096


def cpu_seconds(process_id: int) -> float:
    """Seconds in user and kernel mode of a process and all below it, ended ones included.

    What has ended altogether reads 0: whoever called it knows by its answers.
    """
    try:
        parent = psutil.Process(process_id)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        # Linux only; elsewhere they read 0.
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def memory_bytes(process_id: int) -> int:
    """Memory that a process and all below it hold for themselves (unique set size)."""
    parent = psutil.Process(process_id)
    return sum(
        process.memory_full_info().uss for process in (parent, *parent.children(recursive=True))
    )


def disk_read_bytes(process_id: int) -> int:
    """What a process has read that the system had to fetch from the disk; 0 but on Linux."""
    process = psutil.Process(process_id)
    return process.io_counters().read_bytes if hasattr(process, "io_counters") else 0


def facts(directory: Path) -> dict[str, Any]:
    """Hardware, versions and the disk under `directory`."""
    median, slow = _sync_microseconds(directory)
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(directory),
        "fdatasync_p50_microseconds": median,
        "fdatasync_p99_microseconds": slow,
        "load_average_1_minute": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "protobuf": version("protobuf"),
        "sqlite": pysqlite3.sqlite_version,
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(directory: Path) -> str:
    """The type of the file system that holds a directory: on tmpfs a commit costs nothing."""
    holding = [
        part for part in psutil.disk_partitions(all=True)
        if directory.resolve().is_relative_to(part.mountpoint)
    ]  # fmt: skip
    deepest = max(holding, key=lambda part: len(part.mountpoint), default=None)
    return deepest.fstype if deepest is not None else "unknown"


def _sync_microseconds(directory: Path) -> tuple[int, int]:
    """Median and 99th percentile of appending a page and waiting for the disk."""
    synced = getattr(os, "fdatasync", os.fsync)
    took: list[float] = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * _PAGE_BYTES)
            file.flush()
            started = time.perf_counter()
            synced(file.fileno())
            took.append((time.perf_counter() - started) * 1_000_000)
    cuts = statistics.quantiles(took, n=100)
    return round(cuts[49]), round(cuts[98])
