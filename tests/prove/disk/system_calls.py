"""What a story writes, system call by system call, as strace saw it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: By which SQLite changes what is on the disk, or makes it stay there.
WRITES: Final = ("pwrite64", "ftruncate", "unlink")
SYNCS: Final = ("fsync", "fdatasync")
#: For strace: `write` is how the worker notes what the callers were told.
TRACE: Final = f"trace={','.join((*WRITES, *SYNCS, 'write', 'openat'))}"
DATA_OPTIONS: Final = ("-y", "-xx", "-s", "70000", "-e", TRACE, "-e", "signal=none")

_CALL: Final = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_FILE: Final = re.compile(r"^\d+<([^>]*)>")
_BYTES: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded; `path` is what it was about."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0


def read_calls(log: Path) -> Iterator[Call]:
    """The calls in the order in which they were made.  Lines that are none are left out."""
    with log.open() as lines:
        for line in lines:
            call = _parse(line)
            if call is not None:
                yield call


def _parse(line: str) -> Call | None:
    found = _CALL.match(line)
    if found is None or int(found[3]) < 0:
        assert "unfinished" not in line, "two threads wrote at once"
        return None
    name, arguments = found[1], found[2]
    if name in ("unlink", "openat"):
        text = _BYTES.search(arguments)
        return None if text is None else Call(name, _decode(text[1]).decode())
    file = _FILE.match(arguments)
    if file is None:
        return None
    path = _decode(file[1]).decode() if "\\x" in file[1] else file[1]
    if name in SYNCS:
        return Call(name, path)
    if name == "ftruncate":
        return Call(name, path, offset=int(arguments.rpartition(", ")[2]))
    data = _BYTES.search(arguments)
    assert data is not None, line[:200]
    whole = _decode(data[1])
    if name == "write":
        return Call(name, path, whole)
    _, length, offset = arguments.rsplit(", ", 2)
    assert len(whole) == int(length), "strace cut the data off"
    return Call(name, path, whole, int(offset))


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def points(calls: list[Call], folder: str) -> list[tuple[str, int]]:
    """Each call on the database's files as (name, which of its kind), as strace counts them."""
    counted: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    for call in calls:
        if call.name in (*WRITES, *SYNCS):
            counted[call.name] += 1
            assert call.path.startswith(folder), f"{call.name} of {call.path}"
            found.append((call.name, counted[call.name]))
    return found
