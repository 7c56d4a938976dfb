"""Runs what the figures need, alternating, and keeps every run.

Knows how the figures are measured; what becomes of them (table, JSON) is the report's.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.bench.figures import Curve, Figure, Point, Run, percentile, rates, ratio
from tests.bench.load import Generator, Load, Sample, measure
from tests.bench.machine import disk_read_bytes, memory_bytes
from tests.bench.pgbench import PgBench
from tests.bench.stage import Stage, Target
from tests.grpc_server import TOKEN

CARDS: Final = 10_000
WORKERS: Final = 2
#: Connections to one process.  Enough for the kernel to spread them evenly over workers.
CONNECTIONS: Final = 16
#: The points of the curves: calls in flight; shares of the peak rate.
_IN_FLIGHT: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Subject = tuple[str, Callable[[], Sample]]


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure, how often, and which figures.  `many_cards` is for growth."""

    seconds: float
    warm_up_seconds: float
    rounds: int
    only: frozenset[str]
    in_flight: int
    cards: int
    many_cards: int
    #: Where databases with many cards stay between runs.
    kept: Path
    curves: bool


@dataclass(slots=True)
class Bench:
    """One benchmark on a stage.  `say` tells of progress."""

    options: Options
    generator: Generator
    stage: Stage
    say: Callable[[str], None]
    runs: list[Run] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    #: What is told without a goal: start-up, memory, bytes on the disk.
    facts: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Measures every figure asked for, cheapest to set up first."""
        only = self.options.only
        if only - {"redeem_pg_over_pgbench", "hot_pg_over_pgbench"}:
            self._on_sqlite()
        if only & {"redeem_pg_over_pgbench", "hot_pg_over_pgbench"}:
            self._on_postgresql()

    def _on_sqlite(self) -> None:
        only = self.options.only
        target = self.stage.sqlite("sqlite", self.options.cards)
        redeem = ("redeem", self._load(target, "redeem"))
        if only & {"redeem_over_echo", "lookup_over_echo"}:
            echo = self.stage.echo(target)
            if "redeem_over_echo" in only:
                self._alternate([("echo_redeem", self._load(echo, "redeem")), redeem])
                self._ratio("redeem_over_echo", "redeem", "echo_redeem")
            if "lookup_over_echo" in only:
                lookup = ("lookup", self._load(target, "lookup"))
                self._alternate([("echo_lookup", self._load(echo, "lookup")), lookup])
                self._ratio("lookup_over_echo", "lookup", "echo_lookup")
        if "legacy_over_grpc" in only:
            self._legacy(target, redeem)
        if "p99_at_half_load" in only:
            self._half_load(target, redeem)
        if self.options.curves:
            self._concurrency("SQLite, redeem", target, "redeem")
            self._concurrency("SQLite, look-up", target, "lookup")
            self._latency("SQLite, redeem", target, "redeem")
        if "growth" in only:
            self._growth()

    def _growth(self) -> None:
        """Two servers that have just started, so that they differ by their cards alone."""
        options = self.options
        targets = {
            "few": self.stage.sqlite("sqlite-few", options.cards),
            "many": self.stage.kept_sqlite(options.kept, options.many_cards),
        }
        before = {name: disk_read_bytes(found.process_id) for name, found in targets.items()}
        self._alternate([
            (f"redeem_{name}_cards", self._load(target, "redeem"))
            for name, target in targets.items()
        ])  # fmt: skip
        self._ratio("growth", "redeem_many_cards", "redeem_few_cards")
        for name, target in targets.items():
            self._tell(name, target, disk_read_bytes(target.process_id) - before[name])
        self._per_million()

    def _tell(self, name: str, target: Target, read_bytes: int) -> None:
        """After the load, so that caches are as full as they get."""
        options = self.options
        redemptions = sum(rates(self.runs, f"redeem_{name}_cards")) * (
            options.seconds + options.warm_up_seconds
        )
        self.facts |= {
            f"cards_{name}": target.cards,
            f"start_up_seconds_{name}_cards": round(target.start_seconds, 3),
            f"server_memory_bytes_{name}_cards": memory_bytes(target.process_id),
            f"file_bytes_{name}_cards": target.file_bytes,
            # What was not in memory: with more cards than fit, the disk sets the pace.
            f"disk_read_bytes_a_redemption_{name}_cards": round(read_bytes / redemptions),
        }

    def _per_million(self) -> None:
        """What a million cards more cost, in memory of the server and on the disk."""
        millions = (self.facts["cards_many"] - self.facts["cards_few"]) / 1_000_000
        for what in ("server_memory_bytes", "file_bytes"):
            more = self.facts[f"{what}_many_cards"] - self.facts[f"{what}_few_cards"]
            self.facts[f"{what}_per_million_cards"] = round(more / millions)

    def _concurrency(self, name: str, target: Target, kind: str, workers: int = 1) -> None:
        """Calls in flight against calls a second, doubled step by step."""
        points = []
        for in_flight in _IN_FLIGHT:
            load = replace(
                self._shape(target, kind, workers=workers),
                connections=min(CONNECTIONS * workers, in_flight),
                in_flight=max(in_flight // (CONNECTIONS * workers), 1),
            )
            points.append(Point(in_flight, measure(self.generator, load, target.cpu)))
        self._keep(Curve("concurrency", name, tuple(points)))

    def _latency(self, name: str, target: Target, kind: str, workers: int = 1) -> None:
        """Calls offered a second against how long they take, up to nearly the peak."""
        peak = measure(self.generator, self._shape(target, kind, workers=workers), target.cpu)
        points = []
        for share in _SHARES:
            rate = share * peak.per_second
            load = self._shape(target, kind, rate=rate, workers=workers)
            points.append(Point(rate, measure(self.generator, load, target.cpu)))
        self._keep(Curve("latency", name, tuple(points)))

    def _keep(self, curve: Curve) -> None:
        self.curves.append(curve)
        best = max(point.sample.per_second for point in curve.points)
        self.say(f"  curve of {curve.kind}: {curve.name}, up to {best:,.0f} per second")

    def _legacy(self, target: Target, redeem: Subject) -> None:
        if self.generator.name != "Go":
            self.say("  legacy_over_grpc needs the Go load generator and is left out")
            return
        shim = self.stage.shim(target)
        again = ("redeem_again", redeem[1])
        self._alternate([again, ("retail7_redeem", self._load(shim, "retail7"))])
        self._ratio("legacy_over_grpc", "retail7_redeem", "redeem_again")

    def _half_load(self, target: Target, redeem: Subject) -> None:
        if not rates(self.runs, "redeem"):
            self._alternate([redeem])
        half = statistics.median(rates(self.runs, "redeem")) / 2
        self._alternate([("redeem_half_load", self._load(target, "redeem", rate=half))])
        self.figures.append(percentile("p99_at_half_load", self.runs, "redeem_half_load"))

    def _on_postgresql(self) -> None:
        only, options = self.options.only, self.options
        postgres = self.stage.postgres()
        yardstick = PgBench(postgres)
        target = self.stage.postgresql(postgres, options.cards, WORKERS)
        # What the edge alone can do with as many workers: no figure, but the bound of both.
        echo = self._load(self.stage.echo(target, WORKERS), "redeem", workers=WORKERS)
        for name, kind, script, cards in (
            ("redeem_pg_over_pgbench", "pg", "redeem.sql", options.cards),
            ("hot_pg_over_pgbench", "pg_hot", "hot_card.sql", 1),
        ):
            if name not in only:
                continue

            def by_hand(script: str = script) -> Sample:
                warm_up = options.warm_up_seconds
                return yardstick.run(script, options.seconds, warm_up, target.cpu["database"])

            ours = self._load(target, "redeem", cards=cards, workers=WORKERS)
            self._alternate([
                (f"pgbench_{kind}", by_hand), (f"redeem_{kind}", ours), (f"echo_{kind}", echo),
            ])  # fmt: skip
            self._ratio(name, f"redeem_{kind}", f"pgbench_{kind}")
        # What the second worker brings.
        single = self.stage.postgresql(postgres, options.cards, 1)
        self._alternate([
            ("redeem_pg_1_worker", self._load(single, "redeem")),
            ("redeem_pg_2_workers", self._load(target, "redeem", workers=WORKERS)),
        ])  # fmt: skip
        if options.curves:
            self._concurrency("PostgreSQL, redeem, 1 worker", single, "redeem")
            self._concurrency("PostgreSQL, redeem, 2 workers", target, "redeem", WORKERS)
            self._latency("PostgreSQL, redeem, 2 workers", target, "redeem", WORKERS)

    def _load(
        self, target: Target, kind: str, *, rate: float = 0.0, cards: int = 0, workers: int = 1
    ) -> Callable[[], Sample]:
        load = self._shape(target, kind, rate=rate, cards=cards, workers=workers)
        return lambda: measure(self.generator, load, target.cpu)

    def _shape(
        self, target: Target, kind: str, *, rate: float = 0.0, cards: int = 0, workers: int = 1
    ) -> Load:
        options = self.options
        connections = min(CONNECTIONS, options.in_flight) * workers
        return Load(
            target.address, kind, TOKEN, cards or target.cards, connections,
            max(options.in_flight * workers // connections, 1), options.seconds,
            options.warm_up_seconds, rate,
        )  # fmt: skip

    def _alternate(self, subjects: Sequence[Subject]) -> None:
        """A B A B …: whatever else the machine does then falls on all of them alike."""
        for number in range(1, self.options.rounds + 1):
            for name, sample in subjects:
                run = Run(name, number, sample())
                self.runs.append(run)
                self.say(
                    f"  {number}/{self.options.rounds}  {name:<18}"
                    f"{run.sample.per_second:>9,.0f} per second"
                )

    def _ratio(self, name: str, subject: str, yardstick: str) -> None:
        self.figures.append(ratio(name, self.runs, subject, yardstick))
