"""One JSON line for each call, with the fields named here and no others.

What a caller sends (codes, PINs, tokens, names, request ids, free text) never becomes part of a
line, so no secret can.  Lines are gathered and written a few times a second: a system call for
each would cost more than deciding a redemption.
"""

import asyncio
import contextlib
import time
from typing import IO, Protocol

_FLUSH_SECONDS = 0.2
_LINES_MAX = 5000


class _Call(Protocol):
    @property
    def replayed(self) -> bool: ...
    @property
    def caller(self) -> "_Caller": ...


class _Caller(Protocol):
    @property
    def merchant_id(self) -> str: ...
    @property
    def client_id(self) -> str: ...


class AccessLog:
    """Writes to a binary stream; None writes nothing."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(
        self, method: str, code: str, reason: str, started: float, call: _Call | None
    ) -> None:
        if self._stream is None:
            return
        merchant, client, replayed = "", "", "false"
        if call is not None:
            merchant, client = call.caller.merchant_id, call.caller.client_id
            replayed = "true" if call.replayed else "false"
        # Nothing here needs escaping: names of ours, and ids that a merchant chose from letters,
        # digits and a few signs.
        self._lines.append(
            f'{{"time":{time.time_ns() // 1000},"event":"call","method":"{method}",'
            f'"code":"{code}","reason":"{reason}",'
            f'"milliseconds":{(time.perf_counter() - started) * 1000:.3f},'
            f'"merchant":"{merchant}","client":"{client}","replayed":{replayed}}}\n'
        )
        if len(self._lines) >= _LINES_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stream is not None and self._lines:
            lines, self._lines = self._lines, []
            # Nobody to read the log is no reason to fail a call that was decided.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write("".join(lines).encode())
                self._stream.flush()
