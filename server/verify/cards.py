"""Every card from its first entry to its last: chain, balances, holds, and what is stored now.

What nobody can recompute without the keys (the hash and ciphertext of a code, the hash of a PIN)
is not judged, nor are the counters of wrong PINs.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from server.domain.currency import POINTS
from server.domain.model import CardState, CodeState, Kind, Movement, TransactionState
from server.storage import schema
from server.storage.audit import Row, Snapshot
from server.storage.writing import OWN_NORMALIZATION, PRIMARY_CODE
from server.verify import views
from server.verify.holds import OpenHolds
from server.verify.report import Findings, Report

_CARD_COLUMNS: Final = (
    "id", "cell", "merchant_id", "book", "unit", "program_id", "state", "sequence", "head",
    "issued_location_id",
    *(name for name in views.CARD_COLUMNS if name not in ("book", "unit", "state", "sequence")),
)  # fmt: skip
_ACCOUNT_COLUMNS: Final = (
    "card_id", "id", "cell", "merchant_id", "book", "unit", "program_id", "program_version",
    "balance", "held", "origin", "expire_time", "entity_code", "create_time",
)  # fmt: skip
_CODE_COLUMNS: Final = (
    "card_id", "code_hash", "merchant_id", "book", "cell", "kind", "state", "normalization",
    "last_four", "create_time", "reservation_id", "line", "expire_time",
)  # fmt: skip
_ENTRY_COLUMNS: Final = (
    "card_id", "sequence", "cell", "transaction_id", "balance_after", "held_after", "card_state",
    "previous", "hash",
)  # fmt: skip
_TRANSACTION_COLUMNS: Final = (
    "id", "merchant_id", "book", "kind", "state", "hold_id", "decided_time", "location_id",
)  # fmt: skip
_POSTING_COLUMNS: Final = (
    "transaction_id", "line", "card_id", "account_id", "debit", "credit", "amount",
    "balance_after", "program_id", "movement", "entity_code",
)  # fmt: skip
_PAGE_CARDS: Final = 200


def verify_cards(
    snapshot: Snapshot, findings: Findings, report: Report, tick: Callable[[int], None]
) -> None:
    """Checks all cards in order of id, each along its entries."""
    low = ""
    stored: dict[tuple[str, int, str], int] = defaultdict(int)
    for page in snapshot.pages(schema.card, _CARD_COLUMNS, ("id", "cell"), size=_PAGE_CARDS):
        _Page(snapshot, findings, report, page, low).verify(stored)
        low = page[-1][0]
        tick(len(page))
    for table, keys in (
        (schema.entry, ("card_id", "sequence")),
        (schema.account, ("card_id", "id")),
        (schema.hold, ("card_id", "id")),
        (schema.code, ("card_id", "code_hash")),
    ):
        for row in snapshot.rows(table, keys, keys, low=low):
            key = row[0] if table is schema.code else tuple(row)
            findings.add(table.name, key, "card_id", "unknown", "a card")
    for ledger, amount in stored.items():
        posted = report.totals[ledger].liability
        findings.check("account", ledger, "sum of balances", amount, posted)
    for ledger, totals in report.totals.items():
        posted = -sum(totals.system.values())
        findings.check("posting", ledger, "value on cards", totals.liability, posted)
        findings.check("posting", ledger, "in_transit", totals.of("in_transit"), 0)


class _Books:
    """One card while its entries are gone through."""

    def __init__(self, card: Row) -> None:
        self.card = card
        self.accounts: dict[str, Row] = {}
        self.balances: dict[str, int] = {}
        self.sequence = 0
        self.hash = ""
        self.state: int | None = None
        self.last_transaction = ""
        self.issued_at: str | None = None
        self.has_code = False
        #: Account -> when it came to be and, where that is told, which entity owes it.
        self.origins: dict[str, tuple[int, str | None]] = {}


class _Page:
    """Some cards with neighbouring ids, and everything that lies between the first and the last."""

    def __init__(
        self, snapshot: Snapshot, findings: Findings, report: Report, cards: Sequence[Row], low: str
    ) -> None:
        self._snapshot = snapshot
        self._findings = findings
        self._report = report
        self._low, self._high = low, cards[-1][0]
        self._books = {row[0]: _Books(row) for row in cards}
        self._holds = OpenHolds(snapshot, findings)
        wallets = sum(row[4] == POINTS for row in cards)
        report.counts["cards"] += len(cards) - wallets
        report.counts["customers"] += wallets

    def verify(self, stored: dict[tuple[str, int, str], int]) -> None:
        for row in self._snapshot.rows(
            schema.account, _ACCOUNT_COLUMNS, _ACCOUNT_COLUMNS[:3], low=self._low, high=self._high
        ):
            books = self._books.get(row[0])
            if books is None:
                self._findings.add("account", (row[0], row[1]), "card_id", "unknown", "a card")
                continue
            books.accounts[row[1]] = row
            stored[row[3], row[4], row[5]] += row.balance
            card = books.card
            self._findings.check(
                "account", (row[0], row[1]), "cell, merchant, book, unit, program",
                tuple(row[2:8]), (*card[1:6], card.program_version),
            )  # fmt: skip
        self._codes()
        current: _Books | None = None
        for page in self._snapshot.pages(
            schema.entry, _ENTRY_COLUMNS, _ENTRY_COLUMNS[:3], low=self._low, high=self._high
        ):
            context = _Context(self._snapshot, page)
            self._holds.expect(context.hold_ids())
            for row in page:
                self._report.counts["entries"] += 1
                if current is None or row[0] != current.card[0]:
                    if current is not None:
                        self._holds.end_of_card()
                    current = self._books.get(row[0])
                    if current is None:
                        key = (row[0], row[1])
                        self._findings.add("entry", key, "card_id", "unknown", "a card")
                        continue
                self._entry(current, row, context)
        self._holds.end_of_card()
        self._report.counts["holds"] += self._holds.check_number(self._low, self._high)
        answers = views.results(
            self._snapshot, (books.last_transaction for books in self._books.values())
        )
        for books in self._books.values():
            self._finish(books)
            result = answers.get(books.last_transaction)
            if result is not None:
                views.check_card(self._findings, books.card, books.accounts.values(), result)

    def _codes(self) -> None:
        """Each card has a code, and each code stands where its card does."""
        for row in self._snapshot.rows(
            schema.code, _CODE_COLUMNS, _CODE_COLUMNS[:2], low=self._low, high=self._high
        ):
            books = self._books.get(row[0])
            if books is None:
                self._findings.add("code", row[0], "card_id", "unknown", "a card")
                continue
            books.has_code = True
            card = books.card
            reserved = row.reservation_id is not None
            # One that was reserved is older than its card; its terms are its reservation's.
            since = row.create_time if reserved else card.create_time
            terms = (row.line, row.expire_time) if reserved else (None, None)
            self._findings.check(
                "code", row[0],
                "merchant, book, cell, kind, state, normalization, last four, create_time, terms",
                (*row[2:10], row.line, row.expire_time),
                (card.merchant_id, card.book, card.cell, PRIMARY_CODE, int(CodeState.USED),
                 OWN_NORMALIZATION, card.code_last_four, since, *terms),
            )  # fmt: skip

    def _entry(self, books: _Books, row: Row, context: "_Context") -> None:
        check, key = self._findings.check, (row[0], row[1])
        if not check("entry", key, "sequence", row[1], books.sequence + 1):
            books.sequence = row[1] - 1
        check("entry", key, "previous", row[7], books.hash)
        check("entry", key, "cell", row[2], books.card[1])
        books.sequence, books.hash, books.state = row[1], row[8], row[6]
        books.last_transaction = row[3]
        transaction = context.transactions.get(row[3])
        if transaction is None:
            self._findings.add("entry", key, "transaction_id", row[3], "a transaction")
            return
        check("entry", key, "merchant, book", tuple(transaction[1:3]), tuple(books.card[2:4]))
        taken: dict[str, int] = defaultdict(int)
        if (
            transaction.kind in (Kind.ISSUE, Kind.ACTIVATE)
            and transaction.state == TransactionState.APPROVED
        ):
            books.issued_at = transaction.location_id or None
        if row[6] == CardState.INACTIVE:
            books.issued_at = None
        for posting in context.postings[row[3]]:
            if posting[2] != row[0]:
                continue
            check("posting", (posting[0], posting[1]), "program_id", posting[8], books.card[5])
            if posting[3] is not None:
                taken[posting[3]] -= self._posting(books, posting, transaction.decided_time)
        check("entry", key, "balance_after", row[4], sum(books.balances.values()))
        held = self._holds.follow(books.card, books.balances, transaction[:7], taken)
        check("entry", key, "held_after", row[5], held)

    def _posting(self, books: _Books, posting: Row, decided_time: int) -> int:
        """Carries a posting out; returns the change of its account's balance."""
        key, account_id = (posting[0], posting[1]), posting[3]
        change: int = posting[6] if posting[5] == account_id else -posting[6]
        balance = books.balances.get(account_id, 0) + change
        if account_id not in books.balances:
            moved = posting.movement == Movement.TRANSFERRED
            books.origins[account_id] = (decided_time, None if moved else posting.entity_code)
        if balance < 0:
            self._findings.add("posting", key, "balance", balance, "0 or more")
        if not self._findings.check("posting", key, "balance_after", posting[7], balance):
            # What follows is judged by what is stored, so that one wrong row is one problem.
            balance = posting[7] if isinstance(posting[7], int) else balance
        books.balances[account_id] = balance
        return change

    def _finish(self, books: _Books) -> None:
        check, card = self._findings.check, books.card
        if books.sequence == 0:
            self._findings.add("entry", card[0], "number of entries", 0, "1 or more")
        check("card", card[0], "state", card[6], books.state)
        check("card", card[0], "sequence", card[7], books.sequence)
        check("card", card[0], "head", card[8], books.hash)
        check("card", card[0], "issued_location_id", card.issued_location_id, books.issued_at)
        check("code", card[0], "is there", books.has_code, card.unit != POINTS)
        held = self._holds.held_on(card[0])
        for account_id, row in books.accounts.items():
            key = (card[0], account_id)
            check("account", key, "balance", row.balance, books.balances.pop(account_id, 0))
            check("account", key, "held", row.held, held.get(account_id, 0))
            create_time, entity = books.origins.get(account_id, (None, None))
            check("account", key, "create_time", row.create_time, create_time)
            if entity is not None:
                check("account", key, "entity_code", row.entity_code, entity)
        for account_id in books.balances:
            self._findings.add("account", (card[0], account_id), "row", "missing", "present")


class _Context:
    """What the entries of a page refer to."""

    def __init__(self, snapshot: Snapshot, page: Sequence[Row]) -> None:
        ids = [(value,) for value in sorted({row[3] for row in page})]
        self.transactions: dict[str, Row] = {
            row[0]: row
            for row in snapshot.find(schema.ledger_transaction, _TRANSACTION_COLUMNS, ("id",), ids)
        }
        self.postings: dict[str, list[Any]] = defaultdict(list)
        rows = snapshot.find(schema.posting, _POSTING_COLUMNS, ("transaction_id",), ids)
        for row in sorted(rows, key=lambda row: (row[0], row[1])):
            self.postings[row[0]].append(row)

    def hold_ids(self) -> list[str]:
        """The holds that come into being here."""
        return [
            row[5]
            for row in self.transactions.values()
            if row[3] == Kind.AUTHORIZE and row[4] == TransactionState.APPROVED and row[5]
        ]
