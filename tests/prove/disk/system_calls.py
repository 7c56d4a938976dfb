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
TRACE: Final = f"trace={','.join((*WRITES, *SYNCS, 'write'))}"
DATA_OPTIONS: Final = ("-y", "-xx", "-s", "70000", "-e", TRACE, "-e", "signal=none")

#: A sync covers what had been written when it began.
BEGIN: Final = "begin"

_CALL: Final = re.compile(r"^(\w+)\((.*)\) += (-?\d+)")
_FILE: Final = re.compile(r"^\d+<([^>]*)>")
_BYTES: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_UNFINISHED: Final = " <unfinished ...>"
_RESUMED: Final = re.compile(r"^<\.\.\. \w+ resumed>")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded, or the beginning of a sync; `path` is what it was about."""

    name: str
    path: str
    thread: str
    data: bytes = b""
    offset: int = 0


def read_calls(log: Path) -> Iterator[Call]:
    """The calls in the order in which they ended.  Lines that are none are left out."""
    begun: dict[str, str] = {}
    with log.open() as lines:
        for line in lines:
            thread, _, text = line.rstrip("\n").partition(" ")
            text = text.lstrip()
            resumed = _RESUMED.match(text)
            if resumed is not None:
                call = _parse(thread, begun.pop(thread) + text[resumed.end() :])
            elif text.endswith(_UNFINISHED):
                begun[thread] = text.removesuffix(_UNFINISHED)
                if text.startswith(SYNCS):
                    yield Call(BEGIN, _path(text.partition("(")[2]), thread)
                continue
            else:
                call = _parse(thread, text)
                if call is not None and call.name in SYNCS:
                    yield Call(BEGIN, call.path, thread)
            if call is not None:
                yield call


def _path(arguments: str) -> str:
    file = _FILE.match(arguments)
    if file is None:
        return ""
    return _decode(file[1]).decode() if "\\x" in file[1] else file[1]


def _parse(thread: str, text: str) -> Call | None:
    found = _CALL.match(text)
    if found is None or int(found[3]) < 0:
        return None
    name, arguments = found[1], found[2]
    if name == "unlink":
        path = _BYTES.search(arguments)
        assert path is not None, text
        return Call(name, _decode(path[1]).decode(), thread)
    path_of_file = _path(arguments)
    if name in SYNCS:
        return Call(name, path_of_file, thread)
    if name == "ftruncate":
        return Call(name, path_of_file, thread, offset=int(arguments.rpartition(", ")[2]))
    data = _BYTES.search(arguments)
    assert data is not None, text[:200]
    whole = _decode(data[1])
    if name == "write":
        return Call(name, path_of_file, thread, whole)
    _, length, offset = arguments.rsplit(", ", 2)
    assert len(whole) == int(length), "strace cut the data off"
    return Call(name, path_of_file, thread, whole, int(offset))


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def points(calls: list[Call], folder: str) -> list[tuple[str, int]]:
    """Each call on the database's files as (name, which of its kind), as strace counts them: for
    each thread."""
    counted: Counter[tuple[str, str]] = Counter()
    found: dict[tuple[str, int], None] = {}
    for call in calls:
        if call.name in (*WRITES, *SYNCS):
            counted[call.name, call.thread] += 1
            assert call.path.startswith(folder), f"{call.name} of {call.path}"
            found[call.name, counted[call.name, call.thread]] = None
    return list(found)
