"""Recomputes the books from zero and names the first row that is wrong.

Reads everything once or twice in one snapshot, in pages; a live server is not disturbed on
PostgreSQL.  Believes nothing that is derived: balances, holds, chains and totals are recomputed
from postings and transactions, and those are held against the hashes that sealed them.  It knows
the domain's rules of record, no SQL and no protobuf.
"""

from collections.abc import Callable

from server.storage import schema
from server.storage.audit import Snapshot, snapshot
from server.storage.database import Database
from server.verify.cards import verify_cards
from server.verify.report import EnoughError, Findings, Problem, Report, Totals
from server.verify.transactions import verify_transactions

__all__ = ["PROBLEMS_MAX", "Problem", "Report", "Totals", "verify", "verify_snapshot"]

#: After this many wrong rows it stops: the first ones tell what happened.
PROBLEMS_MAX = 20


def verify(
    database: Database,
    progress: Callable[[int, int], None] | None = None,
    *,
    problems_max: int = PROBLEMS_MAX,
) -> Report:
    """Verifies the whole database.  `progress` gets (steps done, steps in all) now and then.

    On SQLite it runs in the process that has the database open.  `report.ok` is the verdict.
    """
    with snapshot(database) as books:
        return verify_snapshot(books, progress, problems_max=problems_max)


def verify_snapshot(
    books: Snapshot,
    progress: Callable[[int, int], None] | None = None,
    *,
    problems_max: int = PROBLEMS_MAX,
) -> Report:
    """The same for whoever has a snapshot already."""
    report = Report()
    findings = Findings(report.problems, problems_max)
    done, steps = 0, books.count(schema.ledger_transaction) + books.count(schema.card)

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, steps)

    try:
        verify_transactions(books, findings, report, tick)
        verify_cards(books, findings, report, tick)
        report.complete = True
    except EnoughError:
        pass
    return report
