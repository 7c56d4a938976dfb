"""Everything that is counted and timed in a server process; docs/observability.md explains each.

A label's value is always a name of ours (a method, a status code, a reason), so what a caller
sends can neither be seen here nor make the number of series grow.  A call costs 1.5 µs of this:
what it needs is looked up once, when its method is first seen.
"""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

_CALL_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_DISK_SECONDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_BATCH_COMMANDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

#: Start of every series' birth, which nobody here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class MethodMetrics:
    """One method's calls."""

    def __init__(self, name: str, metrics: "Metrics") -> None:
        self._name = name
        self._metrics = metrics
        self._duration = metrics.call_duration.labels(name)
        self._replays = metrics.replays.labels(name)
        self._outcomes: dict[tuple[str, str], tuple[Counter, ...]] = {}
        self._bind("OK", "")

    def record(self, code: str, reason: str, seconds: float, *, replayed: bool) -> None:
        """One call that was answered: the name of its status code, its reason or ""."""
        counters = self._outcomes.get((code, reason)) or self._bind(code, reason)
        for counter in counters:
            counter.inc()
        self._duration.observe(seconds)
        if replayed:
            self._replays.inc()

    def _bind(self, code: str, reason: str) -> tuple[Counter, ...]:
        calls = self._metrics.calls.labels(self._name, code, reason)
        watched = self._metrics.watched.get(reason)
        bound = (calls,) if watched is None else (calls, watched)
        self._outcomes[code, reason] = bound
        return bound


class Metrics:
    """One process's metrics; `registry` is what /metrics shows.

    What is watched for has a counter of its own that stands at 0 from the start: a rate over a
    series that begins with its first event does not see that event.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.calls = Counter(
            "giftcard_calls", "Calls answered, by method, status code and reason.",
            ("method", "code", "reason"), registry=registry,
        )  # fmt: skip
        self.call_duration = Histogram(
            "giftcard_call_duration_seconds", "From a call's arrival to its answer.",
            ("method",), buckets=_CALL_SECONDS, registry=registry,
        )  # fmt: skip
        self.replays = Counter(
            "giftcard_replays", "Calls answered from what was decided before.",
            ("method",), registry=registry,
        )  # fmt: skip
        misses = Counter(
            "giftcard_misses", "Calls that named a card nobody has, or a wrong PIN.",
            ("kind",), registry=registry,
        )  # fmt: skip
        shed = Counter(
            "giftcard_shed_calls", "Calls turned away before they were looked at, by reason.",
            ("reason",), registry=registry,
        )  # fmt: skip
        unknown = Counter(
            "giftcard_unknown_outcomes", "Calls answered that their outcome is not known.",
            registry=registry,
        )  # fmt: skip
        self.watched: dict[str, Counter] = {
            "OUTCOME_UNKNOWN": unknown,
            "GIFT_CARD_NOT_FOUND": misses.labels("unknown_card"),
            "PIN_INCORRECT": misses.labels("wrong_pin"),
            "PIN_LOCKED": misses.labels("locked_pin"),
            **{
                reason: shed.labels(reason)
                for reason in ("OVERLOADED", "DEADLINE_TOO_SHORT", "LOOKUP_BUDGET_EXHAUSTED")
            },
        }
        self.pin_lockouts = Counter(
            "giftcard_pin_lockouts", "PINs closed for a while after wrong ones.", registry=registry
        )
        self._batch_commands = Histogram(
            "giftcard_batch_commands", "Commands that shared one database transaction.",
            buckets=_BATCH_COMMANDS, registry=registry,
        )  # fmt: skip
        self._prepare = Histogram(
            "giftcard_batch_prepare_duration_seconds",
            "Loading, deciding and writing a batch, all but its COMMIT.",
            buckets=_DISK_SECONDS, registry=registry,
        )  # fmt: skip
        self._commit = Histogram(
            "giftcard_commit_duration_seconds", "One COMMIT.",
            buckets=_DISK_SECONDS, registry=registry,
        )  # fmt: skip
        self._commits_unknown = Counter(
            "giftcard_commits_unknown", "COMMITs after which nobody knew.", registry=registry
        )
        self._batches_rerun = Counter(
            "giftcard_batches_rerun", "Batches run again in halves, such as after a lost race.",
            registry=registry,
        )  # fmt: skip
        self._queue = Gauge(
            "giftcard_queue_commands", "Commands that wait for the writer.",
            ("queue",), registry=registry,
        )  # fmt: skip
        self._queue_limit = Gauge(
            "giftcard_queue_limit_commands", "Commands that may wait before others are shed.",
            ("queue",), registry=registry,
        )  # fmt: skip
        self._oldest = Gauge(
            "giftcard_oldest_waiting_seconds", "How long the longest waiting command has waited.",
            registry=registry,
        )  # fmt: skip
        self._loop_lag = Histogram(
            "giftcard_event_loop_lag_seconds", "How much later than wanted the event loop came.",
            buckets=_LAG_SECONDS, registry=registry,
        )  # fmt: skip
        self._ready = Gauge(
            "giftcard_ready", "1 while the process may be sent calls.", registry=registry
        )
        self._check = Gauge(
            "giftcard_ready_check", "1 while this check of readiness holds.",
            ("check",), registry=registry,
        )  # fmt: skip

    def method(self, name: str) -> MethodMetrics:
        return MethodMetrics(name, self)

    def batch(self, commands: int, prepare_seconds: float, *, rerun: bool) -> None:
        """A batch that has ended."""
        self._batch_commands.observe(commands)
        self._prepare.observe(prepare_seconds)
        if rerun:
            self._batches_rerun.inc()

    def commit(self, seconds: float, *, known: bool) -> None:
        self._commit.observe(seconds)
        if not known:
            self._commits_unknown.inc()

    def watch_queue(self, name: str, length: Callable[[], float], limit: int) -> None:
        """Has a queue asked for its length whenever somebody looks."""
        self._queue.labels(name).set_function(length)
        self._queue_limit.labels(name).set(limit)

    def watch_waiting(self, oldest_seconds: Callable[[], float]) -> None:
        self._oldest.set_function(oldest_seconds)

    def loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(seconds)

    def readiness(self, checks: Iterable[tuple[str, bool]]) -> None:
        every = True
        for name, holds in checks:
            self._check.labels(name).set(holds)
            every = every and holds
        self._ready.set(every)

    def gauge(self, name: str, words: str, value: Callable[[], float]) -> None:
        """A figure that is looked up whenever somebody looks."""
        Gauge(name, words, registry=self.registry).set_function(value)
