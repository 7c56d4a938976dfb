"""The figures, what they must hold and aim at, and how they come from runs.

Pure: numbers in, numbers out.  Ratios, because machines differ; a figure is the median over the
rounds, and each round compares runs that were neighbors in time.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.load import Sample


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure.  `hold` is what the product must not fall below (or, in ms, not exceed)."""

    name: str
    what: str
    hold: float
    aim: float
    unit: str = ""

    @property
    def smaller_is_better(self) -> bool:
        return self.unit == "ms"

    def reached(self, value: float) -> str:
        for word, bound in (("aim", self.aim), ("hold", self.hold)):
            if value <= bound if self.smaller_is_better else value >= bound:
                return word
        return "below" if not self.smaller_is_better else "above"


GOALS: Final = {
    goal.name: goal
    for goal in (
        Goal("redeem_over_echo", "redemptions, SQLite ÷ bare echo of the same sizes", 0.55, 0.85),
        Goal("lookup_over_echo", "look-ups, SQLite ÷ bare echo of the same sizes", 0.70, 0.90),
        Goal("redeem_pg_over_pgbench", "redemptions, PostgreSQL, 2 workers ÷ pgbench", 0.8, 1.5),
        Goal("hot_pg_over_pgbench", "the same, all on one card ÷ pgbench likewise", 2.5, 6.0),
        Goal("legacy_over_grpc", "RETAIL7 redemptions through the shim ÷ by gRPC", 0.5, 0.8),
        Goal("p99_at_half_load", "redemptions, SQLite, at half the peak rate", 25, 10, "ms"),
        Goal("growth", "redemptions, SQLite, many cards ÷ few", 0.85, 0.95),
    )
}


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: what ran, in which round, and how it went."""

    subject: str
    round: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve: calls in flight, or calls offered a second."""

    x: float
    sample: Sample


@dataclass(frozen=True, slots=True)
class Curve:
    """`kind` is concurrency (calls in flight) or latency (calls offered a second)."""

    kind: str
    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """The median and the spread of a figure over the rounds."""

    name: str
    value: float
    lowest: float
    highest: float
    rounds: tuple[float, ...]


def figure(name: str, values: Sequence[float]) -> Figure:
    return Figure(name, statistics.median(values), min(values), max(values), tuple(values))


def rates(runs: Sequence[Run], subject: str) -> list[float]:
    """Per second, in the order of the rounds."""
    return [run.sample.per_second for run in runs if run.subject == subject]


def ratio(name: str, runs: Sequence[Run], subject: str, yardstick: str) -> Figure:
    pairs = zip(rates(runs, subject), rates(runs, yardstick), strict=True)
    return figure(name, [measured / against for measured, against in pairs])


def percentile(name: str, runs: Sequence[Run], subject: str) -> Figure:
    """The 99th percentile in milliseconds."""
    found = [run.sample.p99_microseconds for run in runs if run.subject == subject]
    return figure(name, [microseconds / 1000 for microseconds in found if microseconds is not None])
