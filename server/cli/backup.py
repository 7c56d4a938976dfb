"""Commands that copy the whole database into a folder, and bring it back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from server.cli.options import Json, teach
from server.cli.output import facts, print_json, say
from server.cli.progress import Progress

if TYPE_CHECKING:
    from server.backup import Manifest

_KEYS_ARE_ELSEWHERE: Final = (
    "The keys are not in it. Keep a copy of the key file in another place: without it no code of"
    " this backup can be found."
)

_Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Where the backup lies.", show_default=False)
]
_Check = Annotated[
    bool,
    typer.Option(
        "--verify/--no-verify",
        help="Recompute the copy's books as giftcard verify does. Without it only the database's"
        " own checks are made.",
    ),
]


def add_to(app: typer.Typer) -> None:
    app.command(
        help=teach(
            "Copy the whole database, as it is at one instant, into a new folder.\n\n"
            "The service may run and is not stopped. The folder takes its name only once the copy"
            " is complete, on the disk and verified. The keys are not in it: keep them elsewhere."
            " PostgreSQL needs its client programs (pg_dump) on this machine.",
            "giftcard backup /backups/2026-03-01",
        )
    )(backup)
    app.command(
        help=teach(
            "Make the database what a backup is a copy of. Stop the service first.\n\n"
            "Refuses a backup that is damaged, keys that are not those of its codes, and a database"
            " that is not empty. PostgreSQL needs its client programs (pg_restore).",
            "GIFTCARD_DATABASE_URL=sqlite:///restored.db giftcard restore /backups/2026-03-01",
        )
    )(restore)


def backup(
    folder: _Folder,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the backup that lies there.")
    ] = False,
    check: _Check = True,
    as_json: Json = False,
) -> None:
    from server import backup as backups
    from server.settings import from_environment

    settings = from_environment(os.environ)
    with Progress() as progress:
        made = backups.create(settings, folder, progress.show, force=force, check=check)
    _show(made, folder, as_json)
    say(_KEYS_ARE_ELSEWHERE)


def restore(
    folder: _Folder,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also where the database is not empty. SQLite keeps the old file beside the new"
            " one; PostgreSQL drops what is there.",
        ),
    ] = False,
    check: _Check = True,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Do not look whether the keys fit.")
    ] = False,
    as_json: Json = False,
) -> None:
    from server import backup as backups
    from server.secrets import load_keys
    from server.settings import from_environment, key_source

    settings = from_environment(os.environ)
    keys = None
    if not without_keys:
        keys = load_keys(*key_source(settings), production=settings.production)
    with Progress() as progress:
        found = backups.restore(
            settings, folder, progress.show, keys=keys, force=force, check=check
        )
    _show(found, folder, as_json)


def _show(manifest: "Manifest", folder: Path, as_json: bool) -> None:
    verified = manifest.transactions is not None
    versions = sorted(each["key_version"] for each in manifest.sealed)
    if as_json:
        shown: dict[str, Any] = {
            "folder": str(folder), "engine": manifest.engine, "schema": manifest.schema,
            "createTime": manifest.create_time, "bytes": manifest.bytes,
            "sha256": manifest.sha256, "keyVersions": versions, "verified": verified,
            "feeds": manifest.feeds,
        }  # fmt: skip
        print_json(shown)
        return
    facts({
        "folder": str(folder),
        "engine": manifest.engine,
        "made": manifest.create_time,
        "bytes": str(manifest.bytes),
        "transactions": "not verified" if not verified else str(manifest.transactions),
        "key versions": ", ".join(map(str, versions)),
    })  # fmt: skip
