"""Commands of whoever runs the service: serve, verify, migrate, keys."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.options import Json, teach
from server.cli.output import REFUSED, CommandError, facts, print_json, say, table
from server.cli.progress import Progress

if TYPE_CHECKING:
    from server.verify import Report

_keys = typer.Typer(no_args_is_help=True, help="Make the keys that protect the cards' codes.")


def add_to(app: typer.Typer) -> None:
    app.command(
        help=teach(
            "Run the service in the foreground until Ctrl-C or SIGTERM.\n\n"
            "Prints one line once it is ready: where gRPC is served, and where the legacy APIs are"
            " (GIFTCARD_HTTP_ADDRESS; empty for none). GIFTCARD_WORKERS above 1 runs that many"
            " processes behind one port, on PostgreSQL.",
            "GIFTCARD_DEMO=1 giftcard serve",
            "GIFTCARD_DATABASE_URL=postgresql://localhost/giftcard GIFTCARD_WORKERS=2"
            " giftcard serve",
        )
    )(serve)
    app.command(
        help=teach(
            "Recompute every balance, hold, hash and total from zero, and name what is wrong.\n\n"
            "Opens the database itself: on SQLite no server may run meanwhile. Exit status 1 when"
            " anything is wrong.",
            "giftcard verify",
        )
    )(verify)
    app.command(
        help=teach(
            "Bring the database to the schema of this release. Serving does so too.",
            "giftcard migrate",
        )
    )(migrate)
    _keys.command(
        "create",
        help=teach(
            "Write new keys for production to a file that only you can read.\n\n"
            "Keep a copy in a safe place: without the keys no code can be looked up any more. An"
            " existing file is never overwritten.",
            "giftcard keys create /etc/giftcard/keys.json",
            "GIFTCARD_KEY_FILE=/etc/giftcard/keys.json GIFTCARD_PROFILE=production giftcard serve",
        ),
    )(create_keys)
    _keys.callback()(lambda: None)
    app.add_typer(_keys, name="keys")


def serve() -> None:
    from server.settings import from_environment

    settings = from_environment(os.environ)
    if settings.workers > 1:
        from server import supervisor

        raise typer.Exit(supervisor.main(settings, os.environ))
    from server import __main__ as process

    raise typer.Exit(process.main(settings, environment=os.environ))


def migrate() -> None:
    from server import app
    from server.settings import from_environment
    from server.storage.migrate import current_revision

    database = app.open_database(from_environment(os.environ))
    try:
        typer.echo(f"The database has the schema {current_revision(database)}.")
    finally:
        database.close()


def create_keys(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The file to write.", show_default=False)
    ],
) -> None:
    from server.secrets import create_key_file

    create_key_file(path)
    typer.echo(f"Keys written to {path}. Keep a copy in a safe place.")


def verify(as_json: Json = False) -> None:
    from server.settings import from_environment
    from server.storage.database import Database
    from server.storage.migrate import require_current
    from server.verify import verify as check

    settings = from_environment(os.environ)
    database = Database(settings.database_url)
    try:
        require_current(database)
        with Progress() as progress:
            report = check(database, progress.of("Verifying"))
    finally:
        database.close()
    if as_json:
        print_json(_report(report))
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(REFUSED)


_BOOKS = {1: "live", 2: "training"}


def _totals(report: "Report") -> list[dict[str, Any]]:
    names = (
        "clearing", "promo_expense", "points_exchange", "opening", "adjustment", "breakage",
        "receivable",
    )  # fmt: skip
    return [
        {
            "merchant": merchant,
            "book": _BOOKS.get(book, str(book)),
            "unit": unit,
            "liability": totals.liability,
            **{name: totals.of(name) for name in names},
        }
        for (merchant, book, unit), totals in sorted(report.totals.items())
    ]


def _report(report: "Report") -> dict[str, Any]:
    return {
        "verified": report.ok,
        "complete": report.complete,
        "counts": dict(report.counts),
        "totals": _totals(report),
        "problems": [
            {
                "table": problem.table, "key": problem.key, "what": problem.what,
                "found": problem.found, "expected": problem.expected,
            }
            for problem in report.problems
        ],
    }  # fmt: skip


def _show(report: "Report") -> None:
    from server.domain.currency import format_amount

    rows = _totals(report)
    if rows:
        words = ("merchant", "book", "unit")
        sums = [name for name in rows[0] if name not in words]
        table(
            [*words, *(name.replace("_", " ") for name in sums)],
            [
                [
                    *(str(row[name]) for name in words),
                    *(format_amount(row[name], row["unit"]) for name in sums),
                ]
                for row in rows
            ],
        )
        typer.echo()
    facts({name.replace("_", " "): f"{count}" for name, count in report.counts.items()})
    typer.echo()
    if report.ok:
        typer.echo("verified")
        return
    if not report.problems:
        raise CommandError("The verification did not come to its end.")
    more = "" if report.complete else " Too much is wrong: it stopped early."
    say(f"giftcard: not verified. First wrong row: {report.problems[0]}.{more}")
    for problem in report.problems[1:]:
        say(f"  also wrong: {problem}")
