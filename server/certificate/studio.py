"""A process of its own that draws, so that nothing it does is felt by a till.

Drawing is tens of milliseconds of pure computation and uses a native library.  Beside the event
loop it would fight for the interpreter, and its crash would be the ledger's.  The process starts
with the first certificate, is less urgent than the server, and ends with it, however that ends.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from server.certificate.model import Certificate, Form

_NICE: Final = 10
_WAITING_MAX: Final = 32


class StudioBusyError(Exception):
    """Too many certificates are waiting to be drawn."""


class StudioError(Exception):
    """The process that draws has died twice over one certificate."""


class Studio:
    """Draws one certificate at a time.  Belongs to one event loop."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def draw(self, certificate: Certificate, form: Form) -> bytes:
        """The certificate as a file.  Raises StudioBusyError or StudioError."""
        if self._waiting >= _WAITING_MAX:
            raise StudioBusyError
        self._waiting += 1
        try:
            return await self._draw(certificate, form)
        finally:
            self._waiting -= 1

    async def _draw(self, certificate: Certificate, form: Form) -> bytes:
        for _ in range(2):
            pool = self._pool = self._pool or _new_pool()
            try:
                # Beside the loop: the first one starts the process.
                drawn = await asyncio.to_thread(pool.submit, draw, certificate, form)
                return await asyncio.wrap_future(drawn)
            except BrokenProcessPool:
                # Another caller may have noticed before and made a new one.
                if self._pool is pool:
                    self._pool = None
        raise StudioError

    def close(self) -> None:
        """Ends the process; what is being drawn is not waited for."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _new_pool() -> ProcessPoolExecutor:
    # A fresh interpreter: a fork of a server with threads and locks is nobody's friend.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_prepare)


def _prepare() -> None:
    """In the new process: leave stopping to the server, be less urgent, do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(_NICE)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()


def draw(certificate: Certificate, form: Form) -> bytes:
    """Runs in the process: only there the libraries are loaded."""
    from server.certificate import drawing

    return drawing.draw(certificate, form)
