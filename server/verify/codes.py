"""Reserved codes: every reservation has those that it was made with, and no others are there."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from server.domain.model import Kind, TransactionState
from server.domain.record import Record
from server.domain.reservations import hash_of
from server.storage import schema
from server.storage.audit import Row, Snapshot
from server.verify.report import Findings

_COLUMNS: Final = (
    "reservation_id", "line", "cell", "merchant_id", "book", "code_hash", "expire_time",
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
        owner = (record.cell, record.merchant_id, int(record.book))
        for number, row in enumerate(codes, start=1):
            key = (record.id, row[1])
            check("code", key, "line, cell, merchant, book", tuple(row[1:5]), (number, *owner))
            check("code", key, "expire_time", row[6], extras.get("expire_time"))
        sealed = hash_of(bytes(row[5]).hex() for row in codes)
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
