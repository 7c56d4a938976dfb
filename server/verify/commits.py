"""The feed: commits without gaps, each hash over its transactions and the hash before it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from server.storage import schema
from server.storage.audit import Row, Snapshot
from server.storage.writing import commit_hash
from server.verify.report import Findings

#: Merchant, book, cell: one feed.
Feed = tuple[str, int, int]

COLUMNS: Final = (
    "merchant_id", "book", "first_sequence", "cell", "id", "count", "commit_time", "previous",
    "hash", "first_transaction_id", "last_transaction_id",
)  # fmt: skip
_KEYS: Final = COLUMNS[:4]
#: Transactions of one commit have neighbouring ids, so more than this many begun commits at a
#: time means that some will never be complete.
_OPEN_COMMITS_MAX: Final = 10_000
_CHUNK_COMMITS: Final = 200_000


@dataclass(slots=True)
class _Begun:
    """A commit of which some transactions were seen."""

    row: Row
    digests: dict[int, bytes] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    odd_entries: list[tuple[str, str]] = field(default_factory=list)

    @property
    def feed(self) -> Feed:
        return (self.row[0], self.row[1], self.row[3])


class Commits:
    """Puts the digests of transactions, which come in order of id, together by commit."""

    def __init__(self, snapshot: Snapshot, findings: Findings) -> None:
        self._snapshot = snapshot
        self._findings = findings
        self._begun: dict[str, _Begun] = {}
        self._missing: set[str] = set()
        self._finished: dict[Feed, int] = defaultdict(int)

    def expect(self, ids: Sequence[str]) -> None:
        """Reads the commits that the next transactions name."""
        wanted = sorted({i for i in ids if i not in self._begun and i not in self._missing})
        for row in self._snapshot.find(
            schema.ledger_commit, COLUMNS, ("id",), [(commit_id,) for commit_id in wanted]
        ):
            self._begun[row[4]] = _Begun(row)
        for commit_id in wanted:
            if commit_id not in self._begun:
                self._missing.add(commit_id)
                self._findings.add("ledger_commit", commit_id, "row", "missing", "present")

    def add(
        self,
        feed: Feed,
        commit_id: str,
        ordinal: int,
        transaction_id: str,
        digest: bytes,
        odd_entries: Sequence[str],
    ) -> None:
        """A transaction of a commit, with those of its entries whose hash does not fit."""
        begun = self._begun.get(commit_id)
        if begun is None:
            if commit_id not in self._missing:
                # Its last transaction was seen before this one.
                self._findings.add(
                    "ledger_transaction", transaction_id, "commit_id", commit_id, "another commit"
                )
            return
        key = transaction_id
        self._findings.check("ledger_transaction", key, "merchant, book, cell", feed, begun.feed)
        if ordinal in begun.digests or not 0 <= ordinal < begun.row[5]:
            self._findings.add(
                "ledger_transaction", key, "ordinal", ordinal,
                f"an unused one below {begun.row[5]}",
            )  # fmt: skip
            return
        begun.digests[ordinal] = digest
        if odd_entries:
            begun.broken.append(transaction_id)
            begun.odd_entries += [(entry, transaction_id) for entry in odd_entries]
        if len(begun.digests) == begun.row[5]:
            self._finish(begun)
        elif len(self._begun) > _OPEN_COMMITS_MAX:
            self._give_up(next(iter(self._begun.values())))

    def _finish(self, begun: _Begun) -> None:
        """Two hashes cover a transaction, its entry's and its commit's: they tell who is wrong."""
        del self._begun[begun.row[4]]
        self._finished[begun.feed] += 1
        merchant_id, book, first, cell, _, count, commit_time, previous, stored, *ids = begun.row
        digests = [begun.digests[ordinal] for ordinal in range(count)]
        feed = (merchant_id, book, cell)
        expected = commit_hash(previous, feed, first, (ids[0], ids[1]), commit_time, digests)
        if stored == expected:
            for entry, _ in begun.odd_entries:
                self._findings.add("entry", entry, "hash", "not that of the row", "that of the row")
        elif begun.broken:
            for transaction_id in begun.broken:
                self._findings.add(
                    "ledger_transaction", transaction_id, "contents",
                    "not what its entries and its commit have sealed", "unchanged",
                )  # fmt: skip
        else:
            self._findings.add("ledger_commit", begun.row[:4], "hash", stored, expected)

    def _give_up(self, begun: _Begun) -> None:
        del self._begun[begun.row[4]]
        self._finished[begun.feed] += 1
        missing = next(n for n in range(begun.row[5]) if n not in begun.digests)
        self._findings.add(
            "ledger_transaction", f"commit {begun.row[4]} ordinal {missing}", "row", "missing",
            "present",
        )  # fmt: skip

    def finish(self) -> int:
        """After the last transaction: what is missing, and the chain itself.  Counts commits."""
        for begun in list(self._begun.values()):
            self._give_up(begun)
        counted = self._check_chain()
        for feed, number in counted.items():
            if number != self._finished[feed]:
                self._name_untouched(feed)
        return sum(counted.values())

    def _check_chain(self) -> dict[Feed, int]:
        heads: dict[Feed, tuple[int, str, int]] = {}
        counted: dict[Feed, int] = defaultdict(int)
        check = self._findings.check
        for row in self._snapshot.rows(schema.ledger_commit, COLUMNS, _KEYS):
            merchant_id, book, first, cell, _, count, commit_time, previous, stored, *_ = row
            feed = (merchant_id, book, cell)
            last, last_hash, last_time = heads.get(feed, (0, "", 0))
            check("ledger_commit", row[:4], "first_sequence", first, last + 1)
            check("ledger_commit", row[:4], "previous", previous, last_hash)
            if commit_time <= last_time:
                self._findings.add(
                    "ledger_commit", row[:4], "commit_time", commit_time, f"after {last_time}"
                )
            heads[feed] = (first + count - 1, stored, commit_time)
            counted[feed] += 1
        names = ("merchant_id", "book", "cell", "head", "hash", "commit_time")
        for row in self._snapshot.rows(schema.feed_head, names, names[:3]):
            found, expected = tuple(row[3:]), heads.pop((row[0], row[1], row[2]), None)
            check("feed_head", tuple(row[:3]), "head, hash, commit_time", found, expected)
        for feed, expected in heads.items():
            self._findings.add("feed_head", feed, "row", "missing", expected)
        return counted

    def _name_untouched(self, feed: Feed) -> None:
        """Names the first commit of which not one transaction is left.  Slow, and rare."""
        rows = self._snapshot.rows(schema.ledger_commit, COLUMNS, _KEYS)
        own = ((row[4], row) for row in rows if (row[0], row[1], row[3]) == feed)
        while chunk := dict(islice(own, _CHUNK_COMMITS)):
            for row in self._snapshot.rows(schema.ledger_transaction, ("id", "commit_id"), ("id",)):
                chunk.pop(row[1], None)
            for commit_id in chunk:
                self._findings.add(
                    "ledger_transaction", f"commit {commit_id} ordinal 0", "row", "missing",
                    "present",
                )  # fmt: skip
                return
