"""Disks as a power failure may leave them, made from what a story wrote.

What a file was told before its last sync is there.  Of what came later each write may be there, or
not, or half of it, in any order; names and lengths change in the order in which they were changed.
That is ordered metadata and sync by file: not every file system there is, and no disk that lies.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pysqlite3

from tests.prove.disk.story import Told
from tests.prove.disk.system_calls import SYNCS, Call, read_calls

_SECTOR_BYTES: Final = 512
#: SQLite's index of its log lies in memory that a power failure takes.
_OF_THE_FILES: Final = ("shop.db", "shop.db-wal", "shop.db-journal")
#: The books must agree with themselves, at little cost: each transaction stands in a commit, and
#: what lies in the accounts was posted to them.
_SUMS: Final = """
    SELECT (SELECT count(*) FROM ledger_transaction),
           (SELECT coalesce(sum(count), 0) FROM ledger_commit),
           (SELECT coalesce(sum(balance), 0) FROM account),
           (SELECT coalesce(sum(CASE WHEN credit = account_id THEN amount ELSE -amount END), 0)
              FROM posting WHERE account_id IS NOT NULL)
"""


@dataclass(slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    later: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        for call in self.later:
            _apply(self.synced, call)
        self.later = []


@dataclass(frozen=True, slots=True)
class Image:
    """The files after a power failure, and what the callers had been told by then."""

    files: dict[str, bytes]
    told: Sequence[Told]


def _apply(content: bytearray, call: Call, length: int | None = None) -> None:
    if call.name == "ftruncate":
        del content[call.offset :]
        content.extend(bytes(call.offset - len(content)))
        return
    data = call.data if length is None else call.data[:length]
    content.extend(bytes(max(0, call.offset - len(content))))
    content[call.offset : call.offset + len(data)] = data


def images(
    before: bytes, calls: Sequence[Call], dice: random.Random, count: int
) -> Iterator[Image]:
    """About `count` different disks, spread evenly over the places where the power may fail.

    `before` is the database's file at the story's beginning.
    """
    files = {"shop.db": _File(bytearray(before))}
    told: list[Told] = []
    loose = sum(_is_loose(calls))
    wanted = 0.0
    for call in calls:
        _happen(files, told, call)
        if call.name == "write" or not any(file.later for file in files.values()):
            yield Image(_left(files, set()), tuple(told))
            continue
        wanted += count / loose
        seen: set[tuple[int, ...]] = set()
        while wanted >= 1:
            wanted -= 1
            image, signature = _failed(files, dice)
            if signature not in seen:
                seen.add(signature)
                yield Image(image, tuple(told))


def _is_loose(calls: Sequence[Call]) -> Iterator[bool]:
    """For each call, whether after it something written is not yet synced."""
    loose: set[str] = set()
    for call in calls:
        if call.name in (*SYNCS, "unlink"):
            loose.discard(call.path)
        elif call.name in ("pwrite64", "ftruncate") and _name(call):
            loose.add(call.path)
        yield bool(loose) and call.name != "write"


def _name(call: Call) -> str:
    name = Path(call.path).name
    return name if name in _OF_THE_FILES else ""


def _happen(files: dict[str, _File], told: list[Told], call: Call) -> None:
    name = _name(call)
    if call.name == "write" and call.path.endswith("said.jsonl"):
        told += [Told(**json.loads(line)) for line in call.data.decode().splitlines()]
    elif not name:
        return
    elif call.name == "unlink":
        files.pop(name, None)
    elif call.name in SYNCS:
        files.setdefault(name, _File()).sync()
    elif call.name in ("pwrite64", "ftruncate"):
        files.setdefault(name, _File()).later.append(call)


def _failed(
    files: dict[str, _File], dice: random.Random
) -> tuple[dict[str, bytes], tuple[int, ...]]:
    """One disk, and by what it differs from others at the same place."""
    share = dice.choice((0.0, 1.0, 0.5, 0.9, dice.random()))
    loose = [call for file in files.values() for call in file.later]
    kept = [number for number in range(len(loose)) if dice.random() < share]
    torn, length = -1, 0
    if kept and dice.random() < 0.5:
        torn = dice.choice(kept)
        length = dice.randrange(len(loose[torn].data) // _SECTOR_BYTES + 1) * _SECTOR_BYTES
    cut = (id(loose[torn]), length) if torn >= 0 else (0, 0)
    left = _left(files, {id(loose[number]) for number in kept}, cut)
    return left, (*kept, -1, torn, length)


def _left(
    files: dict[str, _File], kept: set[int], cut: tuple[int, int] = (0, 0)
) -> dict[str, bytes]:
    """The files with what was synced and the `kept` of the later calls; `cut` is (call, length)."""
    left: dict[str, bytes] = {}
    for name, file in files.items():
        content = bytearray(file.synced) if file.later else file.synced
        for call in file.later:
            if id(call) in kept:
                _apply(content, call, cut[1] if id(call) == cut[0] else None)
        left[name] = bytes(content)
    return left


@dataclass(frozen=True, slots=True)
class Found:
    """What an image turned out to be: `lost` are requests that had been acknowledged."""

    lost: tuple[str, ...] = ()
    corrupt: str = ""


def write_image(image: Image, folder: Path) -> Path:
    """Puts the files of an image into a folder, and removes what lies there of another one."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in image.files.items():
        (folder / name).write_bytes(content)
    return folder / "shop.db"


def open_image(image: Image, folder: Path) -> Found:
    """Lets SQLite recover the image, checks its pages and sums, and looks for what was said."""
    path = write_image(image, folder)
    connection = pysqlite3.connect(path)
    try:
        rows = connection.execute("SELECT request_id, id, result FROM ledger_transaction")
        found = {row[0]: row[1:] for row in rows}
        checked = [row[0] for row in connection.execute("PRAGMA quick_check")]
        sums = connection.execute(_SUMS).fetchone()
    except pysqlite3.DatabaseError as error:
        return Found(corrupt=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    if checked != ["ok"]:
        return Found(corrupt=checked[0])
    if sums[0] != sums[1] or sums[2] != sums[3]:
        return Found(corrupt=f"sums {sums}")
    return Found(
        tuple(
            each.request_id
            for each in image.told
            if not each.failure and found.get(each.request_id) != (each.transaction_id, each.stored)
        )
    )


@dataclass(frozen=True, slots=True)
class Recording:
    """strace's log of a story, and the database's file before it."""

    log: Path
    before: Path
    seed: int


@dataclass(slots=True)
class Tally:
    """What became of the images of a recording."""

    images: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    samples: list[Path] = field(default_factory=list)


def examine(recording: Recording, count: int, every: int, folder: Path) -> Tally:
    """Opens about `count` images, and puts one in `every` aside for whoever looks closer."""
    tally = Tally()
    calls = list(read_calls(recording.log))
    scratch = folder / "image"
    scratch.mkdir(parents=True)
    dice = random.Random(recording.seed)
    for image in images(recording.before.read_bytes(), calls, dice, count):
        tally.images += 1
        tally.acknowledged += len(image.told)
        what = f"seed {recording.seed}, image {tally.images}"
        found = open_image(image, scratch)
        if found.lost:
            tally.lost.append(f"{what}: {len(found.lost)} lost, {found.lost[0]} first")
        if found.corrupt:
            tally.corrupt.append(f"{what}: {found.corrupt}")
        if every and tally.images % every == 0:
            aside = folder / f"{recording.seed}-{tally.images}"
            aside.mkdir()
            write_image(image, aside)
            said = "".join(json.dumps(asdict(each)) + "\n" for each in image.told)
            (aside / "said.jsonl").write_text(said)
            tally.samples.append(aside)
    return tally
