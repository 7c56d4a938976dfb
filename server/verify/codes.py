"""Reserved codes: every reservation has those that it was made with.

A code's last four are not judged before a card has it: only the keys tell what they repeat.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from server.domain.model import Kind, TransactionState
from server.domain.record import Record
from server.domain.reservations import hash_of
from server.storage import schema
from server.storage.audit import Row, Snapshot
from server.storage.writing import OWN_NORMALIZATION, PRIMARY_CODE
from server.verify.report import Findings

_COLUMNS: Final = (
    "reservation_id", "line", "cell", "merchant_id", "book", "kind", "normalization",
    "create_time", "expire_time", "code_hash",
)  # fmt: skip


class Reservations:
    """Holds the codes that are stored against the transactions that made them."""

    def __init__(self, snapshot: Snapshot, findings: Findings) -> None:
        self._snapshot = snapshot
        self._findings = findings
        self._seen: set[str] = set()
        self._codes = 0

    def verify(self, records: Sequence[Record]) -> None:
        """Checks the reservations among some transactions."""
        made = [
            record
            for record in records
            if record.kind is Kind.RESERVE_CODES and record.state is TransactionState.APPROVED
        ]
        if not made:
            return
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self._snapshot.find(
            schema.code, _COLUMNS, _COLUMNS[:1], [(record.id,) for record in made]
        ):
            found[row[0]].append(row)
        for record in made:
            self._seen.add(record.id)
            self._reservation(record, sorted(found[record.id], key=lambda row: int(row[1])))

    def _reservation(self, record: Record, codes: Sequence[Row]) -> None:
        check, extras = self._findings.check, record.result.extras
        self._codes += len(codes)
        check("code", record.id, "number of codes", len(codes), extras.get("count"))
        same = (
            record.cell, record.merchant_id, int(record.book), PRIMARY_CODE, OWN_NORMALIZATION,
            record.decided_time, extras.get("expire_time"),
        )  # fmt: skip
        for number, row in enumerate(codes, start=1):
            check(
                "code", (record.id, row[1]),
                "line, cell, merchant, book, kind, normalization, create_time, expire_time",
                tuple(row[1:9]), (number, *same),
            )  # fmt: skip
        sealed = hash_of(bytes(row[9]).hex() for row in codes)
        check("code", record.id, "hash of its codes", sealed, extras.get("codes_hash"))

    def finish(self) -> int:
        """Names codes whose reservation does not exist; returns how many were reserved."""
        stored = self._snapshot.count(schema.code, "reservation_id")
        if stored != self._codes:
            keys = ("reservation_id", "line")
            for row in self._snapshot.rows(schema.code, keys, keys):
                if row[0] not in self._seen:
                    self._findings.add(
                        "code", tuple(row), "reservation_id", "unknown", "a reservation"
                    )
        return stored
