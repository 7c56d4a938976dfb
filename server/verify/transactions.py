"""Every transaction by itself: its identity, its contents, its postings, its place in the feed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from server.domain.commands import Caller
from server.domain.decision import (
    ADJUSTMENT,
    BREAKAGE,
    IN_TRANSIT,
    OPENING,
    POINTS_EXCHANGE,
    PROMO_EXPENSE,
    RECEIVABLE,
)
from server.domain.model import Movement, TransactionState
from server.domain.record import EntryRow, PostingRow, Record, entry_hash
from server.ledger.intake import fingerprint, request_key
from server.storage import loading, schema
from server.storage.audit import Row, Snapshot
from server.verify.codes import Reservations
from server.verify.commits import Commits
from server.verify.report import Findings, Report

_COLUMNS: Final = (
    *loading.RECORD_COLUMNS, "approval_id", "job_id", "commit_id", "ordinal",
)  # fmt: skip
_KEYS: Final = ("id", "cell")
_POSTING_COLUMNS: Final = (
    "transaction_id", "line", "cell", "debit", "credit", "amount", "movement", "card_id",
    "account_id", "origin", "balance_after", "reverses_transaction", "reverses_line",
    "merchant_id", "book", "unit", "location_id", "entity_code", "business_date",
    "consideration_paid",
)  # fmt: skip
_ENTRY_COLUMNS: Final = (
    "card_id", "cell", "sequence", "balance_after", "held_after", "card_state", "previous",
    "hash", "transaction_id",
)  # fmt: skip
_SYSTEM_ACCOUNTS: Final = frozenset({
    "clearing", IN_TRANSIT, BREAKAGE, RECEIVABLE, PROMO_EXPENSE, ADJUSTMENT, OPENING,
    POINTS_EXCHANGE,
})  # fmt: skip


def verify_transactions(
    snapshot: Snapshot, findings: Findings, report: Report, tick: Callable[[int], None]
) -> None:
    """Checks all transactions in order of id, then the feed that they stand in."""
    check = _Check(findings, report)
    commits = Commits(snapshot, findings)
    reservations = Reservations(snapshot, findings)
    last_id = ""
    for page in snapshot.pages(schema.ledger_transaction, _COLUMNS, _KEYS):
        records = [record for row in page if (record := _parse(row, findings)) is not None]
        commits.expect([row[-2] for row in page])
        places = {row[0]: (row[-2], row[-1]) for row in page}
        for row in page:
            # Nothing writes these yet, and no hash covers them.
            findings.check("ledger_transaction", row[0], "approval, job", tuple(row[-4:-2]),
                           (None, None))  # fmt: skip
        postings = _postings(snapshot, findings, last_id, page)
        entries = _entries(snapshot, records)
        for record in records:
            odd = check.transaction(record, postings[record.id], entries)
            commits.add(
                (record.merchant_id, int(record.book), record.cell), *places[record.id],
                record.id, record.digest(), odd,
            )  # fmt: skip
        reservations.verify(records)
        last_id = page[-1][0]
        tick(len(page))
    for row in snapshot.rows(
        schema.posting, ("transaction_id", "line", "cell"), ("transaction_id", "line"),
        low=last_id,
    ):  # fmt: skip
        findings.add("posting", (row[0], row[1]), "transaction_id", "unknown", "a transaction")
    report.counts["commits"] = commits.finish()
    report.counts["reserved codes"] = reservations.finish()


def _parse(row: Row, findings: Findings) -> Record | None:
    try:
        return loading.to_record(row[: len(loading.RECORD_COLUMNS)])
    except (KeyError, TypeError, ValueError) as error:
        findings.add(
            "ledger_transaction", row[0], "row", f"unreadable ({type(error).__name__})", "readable"
        )
        return None


def _postings(
    snapshot: Snapshot, findings: Findings, low: str, page: Sequence[Row]
) -> dict[str, list[Row]]:
    """The postings of a page of transactions; those between them belong to none."""
    known = {row[0] for row in page}
    found: dict[str, list[Row]] = defaultdict(list)
    for row in snapshot.rows(
        schema.posting, _POSTING_COLUMNS, _POSTING_COLUMNS[:3], low=low, high=page[-1][0]
    ):
        if row[0] in known:
            found[row[0]].append(row)
        else:
            findings.add("posting", (row[0], row[1]), "transaction_id", "unknown", "a transaction")
    return found


def _entries(snapshot: Snapshot, records: Sequence[Record]) -> dict[tuple[str, int], Row]:
    keys = [(view.card_id, view.sequence) for r in records for view in r.result.entries]
    rows = snapshot.find(schema.entry, _ENTRY_COLUMNS, ("card_id", "sequence"), keys)
    return {(row[0], row[2]): row for row in rows}


class _Check:
    """The checks of one transaction; adds what it moves to the totals."""

    def __init__(self, findings: Findings, report: Report) -> None:
        self._findings = findings
        self._report = report

    def transaction(
        self, record: Record, postings: Sequence[Row], entries: dict[tuple[str, int], Row]
    ) -> list[str]:
        """Returns the keys of those entries whose hash does not fit their row and transaction."""
        same = self._findings.check
        table, key = "ledger_transaction", record.id
        caller = Caller(record.merchant_id, record.client_id, record.cell, record.book)
        expected = request_key(caller, record.request_id)
        same(table, key, "request_key", record.request_key.hex(), expected.hex())
        meaning = fingerprint(record.command)
        same(table, key, "fingerprint", record.fingerprint.hex(), meaning.hex())
        self._report.counts["transactions"] += 1
        self._report.counts["postings"] += len(postings)
        if postings and record.state is not TransactionState.APPROVED:
            row_key = (key, postings[0][1])
            same("posting", row_key, "transaction's state", record.state.name, "APPROVED")
        lines = [row[1] for row in postings]
        if lines != list(range(1, len(lines) + 1)):
            self._findings.add("posting", key, "lines", lines, "1, 2, … without gaps")
        moved: dict[str, int] = defaultdict(int)
        units = {view.id: view.unit for view in record.result.cards}
        for row in postings:
            self._posting(record, row, units, moved)
        return self._entries(record, moved, entries)

    def _posting(
        self, record: Record, row: Row, units: dict[str, str], moved: dict[str, int]
    ) -> None:
        """Checks one posting, which is in the unit of its card, and counts what it moves."""
        key = (row[0], row[1])
        debit, credit, amount, movement, card_id, account_id = row[3:9]
        copies = (
            record.merchant_id, record.book, units.get(row[7]), record.location_id, record.entity,
            record.business_date, None, record.cell,
        )  # fmt: skip
        self._findings.check(
            "posting", key,
            "merchant, book, unit, location, entity, business date, consideration, cell",
            (*row[13:20], row.cell), copies,
        )  # fmt: skip
        try:
            kind = Movement(movement)
        except ValueError:
            self._findings.add("posting", key, "movement", movement, "a known movement")
            return
        record.postings.append(PostingRow(row[1], debit, credit, amount, kind, *row[7:13]))
        totals = self._report.totals[record.merchant_id, int(record.book), row[15]]
        for side, signed in ((debit, -amount), (credit, amount)):
            if side == account_id:
                moved[card_id] += signed
                totals.liability += signed
            elif side.partition("/")[0] in _SYSTEM_ACCOUNTS:
                totals.system[side] += signed
            else:
                self._findings.add(
                    "posting", key, "debit or credit", side, "its account or a system account"
                )
        if account_id is not None and account_id not in (debit, credit):
            self._findings.add("posting", key, "account_id", account_id, "its debit or its credit")

    def _entries(
        self, record: Record, moved: dict[str, int], entries: dict[tuple[str, int], Row]
    ) -> list[str]:
        same = self._findings.check
        digest = record.digest()
        odd: list[str] = []
        for view in record.result.entries:
            key = (view.card_id, view.sequence)
            same("posting", record.id, f"sum on card {view.card_id}",
                 moved.pop(view.card_id, 0), view.amount)  # fmt: skip
            row = entries.get(key)
            if row is None:
                self._findings.add("entry", key, "row", "missing", "present")
                continue
            same("entry", key, "transaction_id", row[8], record.id)
            same("entry", key, "balance_after, held_after", (row[3], row[4]),
                 (view.balance_after, view.held_after))  # fmt: skip
            entry = EntryRow(*row[:8])
            if row[8] == record.id and entry_hash(entry.previous, entry, digest) != entry.hash:
                odd.append(f"{view.card_id}/{view.sequence}")
        for card_id in moved:
            self._findings.add(
                "posting", record.id, "card_id", card_id, "a card that the transaction touched"
            )
        return odd
