"""Everything that is counted and timed in the shim; docs/observability.md explains each.

A label's value is always a name of ours (a dialect, an operation, a status, a reason), so what a
till sends can neither be seen here nor make the number of series grow.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_CALL_SECONDS: Final = (
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

#: A queued reversal that is told this will be told it for ever.
CREDENTIAL_LOST: Final = ("UNAUTHENTICATED", "SCOPE_MISSING", "LOCATION_FORBIDDEN")

#: Start of every series' birth, which nobody here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Timed:
    """What has an outcome and takes time, with the labels that name it looked up once."""

    def __init__(self, names: tuple[str, ...], outcomes: Counter, duration: Histogram) -> None:
        self._names = names
        self._all = outcomes
        self._duration = duration.labels(*names)
        self._outcomes: dict[tuple[str, ...], Counter] = {}

    def record(self, seconds: float, *outcome: str) -> None:
        counter = self._outcomes.get(outcome)
        if counter is None:
            counter = self._outcomes[outcome] = self._all.labels(*self._names, *outcome)
        counter.inc()
        self._duration.observe(seconds)


class Metrics:
    """One process's metrics; `registry` is what /metrics shows."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "giftcard_shim_requests", "Legacy calls answered.",
            ("dialect", "operation", "status", "reason"), registry=registry,
        )  # fmt: skip
        self._request_duration = Histogram(
            "giftcard_shim_request_duration_seconds", "From a legacy call's arrival to its answer.",
            ("dialect", "operation"), buckets=_CALL_SECONDS, registry=registry,
        )  # fmt: skip
        self._upstream = Counter(
            "giftcard_shim_upstream_calls",
            "Calls of the service: reason \"\" was answered, NO_ANSWER was not.",
            ("method", "reason"), registry=registry,
        )  # fmt: skip
        self._upstream_duration = Histogram(
            "giftcard_shim_upstream_call_duration_seconds", "One call of the service.",
            ("method",), buckets=_CALL_SECONDS, registry=registry,
        )  # fmt: skip
        self.retries = Counter(
            "giftcard_shim_upstream_retries", "Calls of the service that were made again.",
            registry=registry,
        )  # fmt: skip
        self.unknown_outcomes = Counter(
            "giftcard_shim_unknown_outcomes",
            "Legacy calls whose outcome stayed unknown, so that they are undone.",
            registry=registry,
        )  # fmt: skip
        self.reversals_queued = Counter(
            "giftcard_shim_reversals_queued", "Reversals put into the queue.", registry=registry
        )
        self.reversals_unqueued = Counter(
            "giftcard_shim_reversals_unqueued",
            "Reversals that could not be put into the queue: undo these by hand.",
            registry=registry,
        )  # fmt: skip
        self.reversals_settled = Counter(
            "giftcard_shim_reversals_settled", "Queued reversals that had their definite answer.",
            registry=registry,
        )  # fmt: skip
        self._credential_lost = Counter(
            "giftcard_shim_reversals_credential_lost",
            "Attempts of queued reversals whose caller's credential is no longer taken.",
            ("reason",), registry=registry,
        )  # fmt: skip
        for reason in CREDENTIAL_LOST:
            self._credential_lost.labels(reason)
        self._loop_lag = Histogram(
            "giftcard_shim_event_loop_lag_seconds",
            "How much later than wanted the event loop came.",
            buckets=_LAG_SECONDS, registry=registry,
        )  # fmt: skip
        self._ready = Gauge(
            "giftcard_shim_ready", "1 while the process may be sent calls.", registry=registry
        )
        self._check = Gauge(
            "giftcard_shim_ready_check", "1 while this check of readiness holds.",
            ("check",), registry=registry,
        )  # fmt: skip

    def requests(self, dialect: str, operation: str) -> Timed:
        return Timed((dialect, operation), self._requests, self._request_duration)

    def upstream(self, method: str) -> Timed:
        return Timed((method,), self._upstream, self._upstream_duration)

    def reversal_refused(self, reason: str) -> None:
        """A queued reversal was turned away before anybody looked for what it undoes."""
        if reason in CREDENTIAL_LOST:
            self._credential_lost.labels(reason).inc()

    def loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(seconds)

    def readiness(self, checks: Iterable[tuple[str, bool]]) -> None:
        every = True
        for name, holds in checks:
            self._check.labels(name).set(holds)
            every = every and holds
        self._ready.set(every)

    def watch_store(
        self, waiting: Callable[[], tuple[float, float]], dropped: Callable[[], int]
    ) -> None:
        """Asked at every scrape: how many reversals wait and how many seconds the oldest has, and
        how many exchanges were not logged."""
        self.registry.register(_Store(waiting, dropped))


class _Store(Collector):
    def __init__(
        self, waiting: Callable[[], tuple[float, float]], dropped: Callable[[], int]
    ) -> None:
        self._waiting = waiting
        self._dropped = dropped

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked before there is a store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        count, oldest_seconds = self._waiting()
        yield GaugeMetricFamily(
            "giftcard_shim_reversals_waiting", "Reversals that wait to be sent.", count
        )
        yield GaugeMetricFamily(
            "giftcard_shim_reversals_oldest_seconds", "How long the oldest has waited.",
            oldest_seconds,
        )  # fmt: skip
        yield CounterMetricFamily(
            "giftcard_shim_exchanges_dropped", "Exchanges that the log had no room for.",
            self._dropped(),
        )  # fmt: skip
