"""One admin address for several worker processes: the supervisor asks each of them.

Each worker's series stay its own, with the label `worker`; adding them up is a query's work, which
knows that counters add and that the longest wait is a maximum.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_TIMEOUT_SECONDS: Final = 5


class Workers:
    """The workers' admin addresses, unix:PATH each, as one.  Used by one event loop."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)
        self._draining = False

    def drain(self) -> None:
        """From any thread: the whole service ends."""
        self._draining = True

    async def not_alive(self) -> list[str]:
        return await self._problems("/livez")

    async def not_ready(self) -> list[str]:
        found = await self._problems("/readyz")
        return [*found, "open"] if self._draining else found

    async def metrics(self) -> bytes:
        """Every worker's series; of one that does not answer there are none."""
        registry = CollectorRegistry()
        registry.register(_Merged([text for status, text in await self._ask("/metrics")]))
        return generate_latest(registry)

    async def _problems(self, page: str) -> list[str]:
        return [
            f"worker {number}: {line}"
            for number, (status, text) in enumerate(await self._ask(page))
            if status != 200
            for line in text.splitlines() or ["no answer"]
        ]

    async def _ask(self, page: str) -> list[tuple[int, str]]:
        return await asyncio.gather(*(_get(address, page) for address in self._addresses))


class _Merged(Collector):
    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def collect(self) -> list[Metric]:
        merged: dict[str, Metric] = {}
        for number, text in enumerate(self._texts):
            for family in text_string_to_metric_families(text):
                own = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": str(number)}
                    own.add_sample(sample.name, labels, sample.value)
        return list(merged.values())


async def _get(address: str, page: str) -> tuple[int, str]:
    """Status and text of a worker's page; (0, "") without an answer."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
            try:
                writer.write(f"GET {page} HTTP/1.0\r\nHost: worker\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, ""
