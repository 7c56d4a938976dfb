"""Backups: a folder with a copy of the whole database and a page that says what it is a copy of.

A backup is one instant of history: every transaction up to its heads, and none after.  It takes
its name only when it is whole, on the disk, and found right.  The keys are not in it: who finds a
backup finds no code, and who loses the keys finds none either; so a restore first makes sure that
the keys at hand fit.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from server.domain import code as codes
from server.secrets import SecretKeys, SecretsError
from server.settings import Settings
from server.storage import copies, migrate
from server.storage.audit import Snapshot, snapshot
from server.storage.copies import CopyError, SealedSample
from server.storage.database import Connection, Database
from server.verify import Report, verify, verify_snapshot

#: Told (what is being done, steps done, steps in all).
Progress = Callable[[str, int, int], None]

MANIFEST: Final = "backup.json"
_FORMAT: Final = 1
_DATA: Final = {"sqlite": "giftcard.db", "postgresql": "giftcard.dump"}
_READ_BYTES: Final = 1 << 20

__all__ = ["MANIFEST", "CopyError", "Manifest", "create", "read_manifest", "restore"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is a copy of.  `feeds` tell how far each merchant's history goes.

    `sealed` has a code for each version of the keys that codes are stored under, as it is stored:
    by it a restore knows the right keys.  `transactions` is None where nothing was verified.
    """

    format: int
    engine: str
    schema: str
    history: str
    create_time: str
    data: str
    bytes: int
    sha256: str
    sealed: list[dict[str, Any]]
    feeds: list[dict[str, Any]]
    transactions: int | None


def create(
    settings: Settings, folder: Path, progress: Progress, *, force: bool = False, check: bool = True
) -> Manifest:
    """Backs the configured database up into `folder`, beside a running server or without one.

    Raises CopyError; nothing is left under `folder`'s name then but what stood there before.
    """
    if folder.exists() and not force:
        raise CopyError(f"{folder} is there already. Name another one, or use --force.")
    if folder.exists() and not (folder / MANIFEST).exists():
        raise CopyError(f"{folder} is no backup, so it is not overwritten, not even by --force.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made under another name, and only its owner may enter it.
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.unfinished-", dir=folder.parent))
    try:
        make = _back_up_sqlite if copies.engine_of(settings.database_url) == "sqlite" else (
            _back_up_postgresql
        )  # fmt: skip
        manifest = make(settings.database_url, draft, progress, check)
        (draft / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
        for path in (draft / manifest.data, draft / MANIFEST, draft):
            copies.sync(path)
        old = draft.with_name(f"{draft.name}.replaced")
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
        copies.sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def _back_up_sqlite(url: str, draft: Path, progress: Progress, check: bool) -> Manifest:
    data = draft / _DATA["sqlite"]
    copies.copy_sqlite(url, data, _telling(progress, "Copying"))
    data.chmod(0o600)
    database = Database(f"sqlite:///{data}")
    try:
        migrate.require_current(database)
        report = verify(database, _telling(progress, "Verifying")) if check else None
        with database.connect_reader() as connection:
            facts = _facts(connection)
    finally:
        database.close()
    data.with_name(f"{data.name}.lock").unlink()
    return _manifest("sqlite", data, facts, report, progress)


def _back_up_postgresql(url: str, draft: Path, progress: Progress, check: bool) -> Manifest:
    data = draft / _DATA["postgresql"]
    with closing(Database(url)) as database:
        migrate.require_current(database)
        # One snapshot for the archive, the verification and the heads.
        with snapshot(database) as books:
            name = copies.export_snapshot(books.connection)
            copies.dump_postgresql(url, data, name, _telling(progress, "Copying"))
            data.chmod(0o600)
            report = _verify(books, progress) if check else None
            facts = _facts(books.connection)
    return _manifest("postgresql", data, facts, report, progress)


def _verify(books: Snapshot, progress: Progress) -> Report:
    return verify_snapshot(books, _telling(progress, "Verifying"))


def _facts(connection: Connection) -> dict[str, Any]:
    return {
        "history": copies.history_id(connection),
        "sealed": [_as_text(sample) for sample in copies.sealed_samples(connection)],
        "feeds": copies.feeds(connection),
    }


def _as_text(sample: SealedSample) -> dict[str, Any]:
    facts = asdict(sample)
    return facts | {name: facts[name].hex() for name in ("code_hash", "ciphertext")}


def _manifest(
    engine: str, data: Path, facts: dict[str, Any], report: Report | None, progress: Progress
) -> Manifest:
    if report is not None:
        _require_right(report, "The database is not in order, so this is no good backup")
    return Manifest(
        format=_FORMAT,
        engine=engine,
        schema=migrate.head_revision(),
        create_time=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        data=data.name,
        bytes=data.stat().st_size,
        sha256=_sha256(data, progress),
        transactions=None if report is None else report.counts["transactions"],
        **facts,
    )


def _require_right(report: Report, what: str) -> None:
    if not report.ok:
        first = report.problems[0] if report.problems else "it stopped early"
        raise CopyError(f"{what}. First wrong row: {first}. giftcard verify tells more.")


# Restoring


def read_manifest(folder: Path) -> Manifest:
    """Raises CopyError for what is no backup, or one that was not finished."""
    try:
        facts = json.loads((folder / MANIFEST).read_text())
        manifest = Manifest(**facts)
    except FileNotFoundError:
        raise CopyError(f"{folder} is no backup, or one that was not finished.") from None
    except (ValueError, TypeError):
        raise CopyError(f"{folder / MANIFEST} is not what giftcard backup writes.") from None
    if manifest.format != _FORMAT or manifest.data != _DATA.get(manifest.engine):
        raise CopyError(f"{folder} was made by a newer release. Restore it with that one.")
    return manifest


def restore(
    settings: Settings,
    folder: Path,
    progress: Progress,
    *,
    keys: SecretKeys | None,
    force: bool = False,
    check: bool = True,
) -> Manifest:
    """Makes the configured database what the backup is a copy of.  No server may run on it.

    Without `keys` it is not looked whether they fit.  Raises CopyError, and leaves the database as
    it was, for a backup that is damaged or does not fit the engine or the keys, and for a database
    that is not empty unless forced.  Nothing stays of what was loaded and is not in order.
    """
    manifest = read_manifest(folder)
    engine = copies.engine_of(settings.database_url)
    if engine != manifest.engine:
        raise CopyError(
            f"This is a backup of {manifest.engine}, and GIFTCARD_DATABASE_URL names {engine}."
        )
    if keys is not None:
        _require_fitting(keys, manifest)
    data = folder / manifest.data
    if not data.exists() or data.stat().st_size != manifest.bytes:
        raise CopyError(f"{data} has not the length that it was written with.")
    if _sha256(data, progress) != manifest.sha256:
        raise CopyError(f"{data} is damaged: it is not what was written.")
    load = _restore_sqlite if engine == "sqlite" else _restore_postgresql
    load(settings.database_url, data, progress, force, check)
    return manifest


def _require_fitting(keys: SecretKeys, manifest: Manifest) -> None:
    """One code of each key version must open, and be found again by its hash."""
    for sealed in manifest.sealed:
        code_hash = bytes.fromhex(sealed["code_hash"])
        try:
            plain = keys.decrypt_code(bytes.fromhex(sealed["ciphertext"]), code_hash)
            hashes = keys.code_hashes_all_versions(
                sealed["merchant_id"], sealed["book"], codes.normalize(plain)
            )
        except SecretsError:
            hashes = ()
        if code_hash not in hashes:
            raise CopyError(
                f"These are not the keys of this backup: version {sealed['key_version']} does not"
                " open its codes. Point GIFTCARD_KEY_FILE at the right ones, or use --without-keys"
                " and know that no code will be found."
            )


def _restore_sqlite(url: str, data: Path, progress: Progress, force: bool, check: bool) -> None:
    with copies.replaced_sqlite(url, force=force) as draft:
        shutil.copyfile(data, draft)
        draft.chmod(0o600)
        with closing(Database(f"sqlite:///{draft}")) as database:
            _finish(database, progress, check)


def _restore_postgresql(url: str, data: Path, progress: Progress, force: bool, check: bool) -> None:
    with closing(Database(url)) as database:
        if copies.others_connected(database):
            raise CopyError("A server has this database open. Stop it first.")
        if not copies.is_empty(database) and not force:
            raise CopyError(
                "The database is not empty. Name another one in GIFTCARD_DATABASE_URL, or use"
                " --force: what is there is then gone."
            )
        copies.load_postgresql(url, data, _telling(progress, "Loading"), force=force)
        try:
            _finish(database, progress, check)
        except CopyError:
            # A database that looks whole and is not must not be there for a server to find.
            migrate.downgrade(database)
            raise


def _finish(database: Database, progress: Progress, check: bool) -> None:
    """What was loaded, brought to this release's schema and looked through."""
    migrate.upgrade(database)
    if check:
        report = verify(database, _telling(progress, "Verifying"))
        _require_right(report, "What was restored is not in order")


def _telling(progress: Progress, what: str) -> copies.Progress:
    return lambda done, steps: progress(what, done, steps)


def _sha256(path: Path, progress: Progress) -> str:
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
            done += len(part)
            progress("Reading", done, size)
    return digest.hexdigest()
