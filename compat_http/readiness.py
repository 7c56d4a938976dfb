"""Whether the shim may be sent calls, and whether its event loop goes on."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from compat_http.metrics import Metrics

_LOOK_SECONDS: Final = 1.0
#: An event loop that did not come by for so long stands still.
_LOOP_SECONDS_MAX: Final = 10.0
#: Room for the queue of reversals, which is what a till's money hangs on.
_DISK_FREE_BYTES_MIN: Final = 64 << 20


class Readiness:
    """A task on the event loop, from `start` to `stop`.

    `service` asks the service and answers what is wrong with it, or ""; `broken` says whether the
    shim's own store is; `store_path` is its file.
    """

    def __init__(
        self,
        service: Callable[[], Awaitable[str]],
        broken: Callable[[], bool],
        store_path: Path,
        metrics: Metrics,
    ) -> None:
        self._service = service
        self._broken = broken
        self._store_path = store_path
        self._metrics = metrics
        self._draining = False
        self._problems: list[str] = ["service"]
        self._beat_time = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def drain(self) -> None:
        """The process ends: no new calls, please."""
        self._draining = True

    async def not_alive(self) -> list[str]:
        """From any thread: what /livez has to say."""
        still = time.monotonic() - self._beat_time > _LOOP_SECONDS_MAX
        return ["the event loop stands still"] if still else []

    async def not_ready(self) -> list[str]:
        """From any thread: what /readyz has to say."""
        return [*self._problems, *(["open"] if self._draining else [])]

    async def _run(self) -> None:
        while True:
            checks = {
                "service": not await self._service(),
                "store": not self._broken(),
                "disk": _free_bytes(self._store_path) >= _DISK_FREE_BYTES_MIN,
            }
            self._problems = [name for name, holds in checks.items() if not holds]
            self._metrics.readiness([*checks.items(), ("open", not self._draining)])
            slept = time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)
            self._beat_time = time.monotonic()
            self._metrics.loop_lag(max(0.0, self._beat_time - slept - _LOOK_SECONDS))


def _free_bytes(path: Path) -> int:
    try:
        disk = os.statvfs(path)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize
