"""The load generator for machines without Go: the same options, the same output.

It eats about as much processor as the server it measures, so its figures are too low; the table
says which generator ran.  See loadgen/main.go for what the options mean.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from giftcard import v1


@dataclass(slots=True)
class Tally:
    """What was counted between start and end, both on the monotonic clock."""

    start: float
    end: float
    latencies: list[int] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


class Load:
    """Sends requests to one method and counts the answers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._metadata = (("authorization", f"Bearer {options.token}"),)
        self._channels = [
            # Without a pool of its own each channel would share one connection.
            grpc.aio.insecure_channel(
                options.address, options=[("grpc.use_local_subchannel_pool", 1)]
            )
            for _ in range(options.connections)
        ]
        self._methods: list[Any] = [
            channel.unary_unary(options.method) for channel in self._channels
        ]

    async def run(self) -> Tally:
        options = self._options
        start = time.perf_counter() + options.warm_up
        tally = Tally(start, start + options.seconds)
        if options.rate > 0:
            await self._open_loop(tally)
        else:
            async with asyncio.TaskGroup() as group:
                for method in self._methods * options.in_flight:
                    group.create_task(self._closed_loop(method, tally))
        for channel in self._channels:
            await channel.close()
        return tally

    async def _closed_loop(self, method: Any, tally: Tally) -> None:
        while (now := time.perf_counter()) < tally.end:
            await self._call(method, now, tally)

    async def _open_loop(self, tally: Tally) -> None:
        due, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while due < tally.end:
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                method = self._methods[number % len(self._methods)]
                group.create_task(self._call(method, due, tally))
                due += random.expovariate(self._options.rate)
                number += 1

    async def _call(self, method: Any, due: float, tally: Tally) -> None:
        failed = None
        try:
            await method(self._request(), metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            failed = error.code().name
        ended = time.perf_counter()
        if not tally.start <= ended <= tally.end:
            return
        if failed is None:
            tally.latencies.append(round((ended - due) * 1_000_000))
        else:
            tally.errors[failed] = tally.errors.get(failed, 0) + 1

    def _request(self) -> bytes:
        code = card_code(random.randrange(self._options.cards))
        return lookup(code) if self._options.kind == "lookup" else redemption(code)


def card_code(number: int) -> str:
    """The code of one of the seeded cards."""
    return f"GC{number:014d}"


def lookup(code: str) -> bytes:
    reference = v1.GiftCardReference(code=code)
    return v1.LookupGiftCardRequest(gift_card=reference).SerializeToString()


def redemption(code: str) -> bytes:
    """A redemption under a request id never used before, as long as a UUID."""
    return v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(code=code),
        amount=v1.Money(minor_units=5, currency_code="USD"),
        request_id=random.randbytes(18).hex(),
    ).SerializeToString()


def cpu_seconds() -> float:
    """What this process has used so far, in user and in kernel mode."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the load and returns the report."""
    load = asyncio.create_task(Load(options).run())
    await asyncio.sleep(options.warm_up)
    before = cpu_seconds()
    print("measuring", flush=True)
    tally = await load
    used = cpu_seconds() - before
    latencies = sorted(tally.latencies)

    def at(share: float) -> int:
        last = len(latencies) - 1
        return latencies[min(int(share * len(latencies)), last)] if latencies else 0

    return {
        "count": len(latencies),
        "errors": tally.errors,
        "seconds": options.seconds,
        "cpu_seconds": used,
        "p50_microseconds": at(0.50),
        "p95_microseconds": at(0.95),
        "p99_microseconds": at(0.99),
        "max_microseconds": at(1.0),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name, default in (("-address", ""), ("-method", ""), ("-kind", "redeem"), ("-token", "")):
        parser.add_argument(name, default=default)
    for name, default_count in (("-cards", 1), ("-connections", 8), ("-in-flight", 8)):
        parser.add_argument(name, type=int, default=default_count)
    for name, default_number in (("-rate", 0.0), ("-warm-up", 1.0), ("-seconds", 5.0)):
        parser.add_argument(name, type=float, default=default_number)
    print(json.dumps(asyncio.run(measure(parser.parse_args(arguments)))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
