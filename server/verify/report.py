"""What a verification says: counts, totals, and the rows that are wrong."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

#: Merchant, book, unit: money of different ones never meets.
Ledger = tuple[str, int, str]


class EnoughError(Exception):
    """So much is wrong that looking further helps nobody."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that is wrong.  `what` names the column or rule; never shows a secret."""

    table: str
    key: str
    what: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.what} is {self.found}, expected {self.expected}"


@dataclass(slots=True)
class Totals:
    """One ledger's value, in minor units of its unit.

    `liability` is what the cards hold.  `system` has, by name, what flowed into each system
    account less what flowed out of it, so that all of it and the liability sum to zero.
    """

    liability: int = 0
    system: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def of(self, name: str) -> int:
        """The sum of one kind of system account: `clearing` covers those of all locations."""
        return sum(amount for key, amount in self.system.items() if key.partition("/")[0] == name)


@dataclass(slots=True)
class Report:
    """`complete` is False when the verification stopped early because too much was wrong."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    totals: dict[Ledger, Totals] = field(default_factory=lambda: defaultdict(Totals))
    problems: list[Problem] = field(default_factory=list)
    complete: bool = False

    @property
    def ok(self) -> bool:
        return self.complete and not self.problems


class Findings:
    """Collects problems in the order in which they are found, up to a limit."""

    def __init__(self, problems: list[Problem], limit: int) -> None:
        self._problems = problems
        self._limit = limit

    def add(self, table: str, key: Any, what: str, found: Any, expected: Any) -> None:
        """Raises EnoughError once the limit is reached."""
        text = "/".join(str(part) for part in key) if isinstance(key, tuple) else str(key)
        self._problems.append(Problem(table, text, what, str(found), str(expected)))
        if len(self._problems) >= self._limit:
            raise EnoughError

    def check(self, table: str, key: Any, what: str, found: Any, expected: Any) -> bool:
        """Notes a difference; returns whether there was none."""
        if found == expected:
            return True
        self.add(table, key, what, found, expected)
        return False
