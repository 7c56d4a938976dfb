"""The holds of cards, followed along the cards' entries from authorization to end."""

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.domain.model import HoldState, Kind, TransactionState
from server.domain.record import HoldView
from server.storage import schema
from server.storage.audit import Row, Snapshot
from server.verify import views
from server.verify.report import Findings

_HOLD_COLUMNS: Final = (
    "id", "card_id", "merchant_id", "book", "transaction_id", "cell", "state", "captured",
    "end_time", *views.HOLD_COLUMNS,
)  # fmt: skip
_LINE_COLUMNS: Final = ("hold_id", "account_id", "authorized", "remaining", "cell", "line")

#: How a hold ends by a transaction of its own; by any other it ends because its time is over.
_ENDS: Final = {
    Kind.CAPTURE: HoldState.CAPTURED,
    Kind.REDEEM: HoldState.CAPTURED,
    Kind.VOID: HoldState.VOIDED,
    Kind.REVERSE: HoldState.VOIDED,
}


@dataclass(slots=True)
class _Hold:
    row: Row
    view: HoldView | None
    lines: dict[str, Row]
    remaining: dict[str, int]
    captured: int = 0


class OpenHolds:
    """Keeps only holds that are open at the entry reached, so a long history needs no memory.

    A hold ends at the entry whose transaction was decided at the hold's `end_time`: a void, a
    last capture, or whatever was decided first on the card after the hold's time was over.
    """

    def __init__(self, snapshot: Snapshot, findings: Findings) -> None:
        self._snapshot = snapshot
        self._findings = findings
        self._expected: dict[str, _Hold] = {}
        self._open: dict[str, _Hold] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._seen = 0

    def expect(self, ids: Sequence[str]) -> None:
        """Reads the holds that the next entries authorize."""
        keys = [(hold_id,) for hold_id in ids]
        lines: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in self._snapshot.find(schema.hold_line, _LINE_COLUMNS, ("hold_id",), keys):
            lines[row[0]][row[1]] = row
        rows = self._snapshot.find(schema.hold, _HOLD_COLUMNS, ("id",), keys)
        answers = views.results(self._snapshot, (row.transaction_id for row in rows))
        self._expected = {
            row[0]: _Hold(
                row, getattr(answers.get(row.transaction_id), "hold", None), lines[row[0]],
                {key: line[2] for key, line in lines[row[0]].items()},
            )
            for row in rows
        }  # fmt: skip

    def follow(
        self, card: Row, accounts: Container[str], transaction: Sequence[Any], taken: dict[str, int]
    ) -> int:
        """Takes a transaction's effect on the card's holds; returns what is held after it.

        `transaction` is (id, merchant, book, kind, state, hold, decided time); `taken` is what
        its postings take from each account.
        """
        transaction_id, merchant_id, book, kind, state, hold_id, decided_time = transaction
        if kind == Kind.AUTHORIZE and state == TransactionState.APPROVED and hold_id:
            owner = (card[0], merchant_id, book, transaction_id, card[1])
            self._authorize(hold_id, owner, accounts)
        elif hold_id in self._open and kind in (Kind.CAPTURE, Kind.REDEEM, Kind.VOID):
            hold = self._open[hold_id]
            if kind != Kind.VOID:
                self._capture(hold, taken, partly=kind == Kind.REDEEM)
            if kind != Kind.CAPTURE or not any(hold.remaining.values()):
                self._findings.check("hold", hold_id, "end_time", hold.row.end_time, decided_time)
                self._end(hold, _ENDS[kind])
        ended = [
            hold
            for hold in self._open.values()
            if hold.row.state != HoldState.OPEN and hold.row.end_time == decided_time
        ]
        for hold in ended:
            over = hold.row.expire_time <= decided_time
            own = HoldState.OPEN if hold.row.id != hold_id else _ENDS.get(kind, HoldState.OPEN)
            self._end(hold, HoldState.EXPIRED if over else own)
        return sum(sum(hold.remaining.values()) for hold in self._open.values())

    def _authorize(
        self, hold_id: str, owner: tuple[str, str, int, str, int], accounts: Container[str]
    ) -> None:
        hold = self._expected.get(hold_id)
        if hold is None:
            self._findings.add("hold", hold_id, "row", "missing", "present")
            return
        self._seen += 1
        check = self._findings.check
        check(
            "hold", hold_id, "card, merchant, book, transaction, cell", tuple(hold.row[1:6]), owner
        )
        check("hold", hold_id, "authorized", hold.row.authorized, sum(hold.remaining.values()))
        views.check_hold(self._findings, hold.row, hold.view)
        numbers = sorted(line.line for line in hold.lines.values())
        check("hold_line", hold_id, "lines", numbers, list(range(1, len(numbers) + 1)))
        for line in hold.lines.values():
            check("hold_line", (hold_id, line.account_id), "cell", line.cell, owner[4])
            if line.account_id not in accounts:
                self._findings.add(
                    "hold_line", (hold_id, line.account_id), "account_id", "unknown",
                    "an account of the card",
                )  # fmt: skip
        self._open[hold_id] = hold

    def _capture(self, hold: _Hold, taken: dict[str, int], *, partly: bool) -> None:
        """`partly`: a redemption that pays from the reservation first and then from the rest."""
        total = sum(taken.values())
        if partly:
            hold.captured += min(total, sum(hold.remaining.values()))
            return
        hold.captured += total
        for account_id, amount in taken.items():
            left = hold.remaining.get(account_id, 0) - amount
            hold.remaining[account_id] = left
            if left < 0:
                self._findings.add(
                    "hold_line", (hold.row[0], account_id), "captured", f"{-left} too much",
                    "no more than was held",
                )  # fmt: skip

    def _end(self, hold: _Hold, state: HoldState) -> None:
        del self._open[hold.row[0]]
        self._findings.check("hold", hold.row[0], "state", hold.row.state, int(state))
        self._findings.check("hold", hold.row[0], "captured", hold.row.captured, hold.captured)
        for account_id, line in hold.lines.items():
            self._findings.check("hold_line", (hold.row[0], account_id), "remaining", line[3], 0)

    def end_of_card(self) -> None:
        """After a card's last entry: what its holds must be now."""
        check = self._findings.check
        for hold in self._open.values():
            hold_id = hold.row[0]
            held = self._held.setdefault(hold.row[1], defaultdict(int))
            if check("hold", hold_id, "end_time", hold.row.end_time, None):
                check("hold", hold_id, "state", hold.row.state, int(HoldState.OPEN))
            check("hold", hold_id, "captured", hold.row.captured, hold.captured)
            for account_id, remaining in hold.remaining.items():
                held[account_id] += remaining
                line = hold.lines.get(account_id)
                found = None if line is None else line[3]
                check("hold_line", (hold_id, account_id), "remaining", found, remaining)
        self._open.clear()

    def held_on(self, card_id: str) -> dict[str, int]:
        """Account -> what its card's open holds keep back, once the card's entries are done."""
        return self._held.get(card_id, {})

    def check_number(self, low: str, high: str) -> int:
        """Names a hold that no entry authorized; returns how many holds these cards have."""
        number = self._snapshot.count(schema.hold, "card_id", low, high)
        if number != self._seen:
            names = ("card_id", "id", "transaction_id")
            for row in self._snapshot.rows(schema.hold, names, names[:2], low=low, high=high):
                origin = self._snapshot.find(
                    schema.ledger_transaction, ("hold_id", "kind"), ("id",), [(row[2],)]
                )
                if [tuple(found) for found in origin] != [(row[1], int(Kind.AUTHORIZE))]:
                    self._findings.add(
                        "hold", row[1], "transaction_id", row[2], "its authorization"
                    )
        return number
