"""Sends queued reversals until each has a definite answer, however often that takes a restart.

A till that was told "no money moved" relies on this.  Attempts are spaced out, from half a second
to a minute; a reversal that is repeated gets the first answer again, so repeating is harmless.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from compat_http.records import Exchange, Reversal
from compat_http.store import Claimed, Store, StoreBrokenError

logger = logging.getLogger("giftcard.shim")

#: Sends a reversal once; True when the service gave a definite answer.
Reverse = Callable[[Reversal], Awaitable[bool]]

SETTLED: Final = "REVERSAL_SETTLED"
"""Reason under which the log says that a queued reversal had its answer."""

_AT_ONCE: Final = 8
_ATTEMPT_SECONDS_MAX: Final = 30
_FIRST_DELAY_SECONDS: Final = 0.5
_DELAY_SECONDS_MAX: Final = 60.0
_POLL_SECONDS: Final = 1.0


def delay_seconds(attempts: int, chance: float) -> float:
    """How long to wait after so many attempts; `chance` in 0..1 keeps many apart."""
    longest = min(_FIRST_DELAY_SECONDS * (1 << min(attempts - 1, 16)), _DELAY_SECONDS_MAX)
    return longest * (0.5 + chance / 2)


class ReversalSender:
    """A task on the running event loop, from `start` to `stop`."""

    def __init__(self, store: Store, reverse: Reverse) -> None:
        self._store = store
        self._reverse = reverse
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What is on its way is given up here, and sent again after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            while True:
                claimed = await self._store.claim(_AT_ONCE)
                if claimed:
                    await asyncio.gather(*map(self._send, claimed))
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._store.queued.wait()
                self._store.queued.clear()
        except StoreBrokenError:
            logger.critical("reversals are not sent any more: start again")

    async def _send(self, claimed: Claimed) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS_MAX):
                definite = await self._reverse(claimed.reversal)
        except Exception:  # whatever it was, it was no answer
            logger.exception("a reversal could not be sent")
            definite = False
        if not definite:
            delay = delay_seconds(claimed.attempts, random.random())  # noqa: S311 - spacing only
            await self._store.postpone(claimed, delay)
            return
        await self._store.settle(claimed)
        self._log(claimed.reversal, time.perf_counter() - started)

    def _log(self, reversal: Reversal, seconds: float) -> None:
        """So that whoever looks for the call finds what became of it."""
        duration = int(seconds * 1_000_000)
        self._store.log(
            Exchange(
                time_microseconds=time.time_ns() // 1000 - duration,
                duration_microseconds=duration,
                dialect=reversal.dialect,
                operation=reversal.operation,
                method="",
                path="",
                legacy_request_id="",
                request_id=reversal.key,
                code_last_four="",
                status=0,
                reason=SETTLED,
                transaction="",
                request=None,
                answer=None,
            )
        )
