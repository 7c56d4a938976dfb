"""Makes ids that never repeat and rise within a process (layout: `server.domain.ids`).

Random words come from the operating system in blocks, since a call for each id would cost more
than all the rest. The time is an argument: nothing here reads a clock.
"""

import os
import secrets
import struct
import threading
from typing import Final

from server.domain.ids import compose_id, stamp_at

_BLOCK: Final = struct.Struct(">512Q")


class _Generator:
    """The state behind `new_id`: the last stamp given out and a pool of random words."""

    __slots__ = ("_last_stamp", "_lock", "_pool")

    def __init__(self) -> None:
        self._last_stamp = -1
        self.forget()

    def forget(self) -> None:
        """Drops pool and lock: a forked child must not repeat its parent's random words."""
        self._lock = threading.Lock()
        self._pool: list[int] = []

    def next_id(self, stamp: int, shard_bits: int | None) -> str:
        with self._lock:
            if stamp <= self._last_stamp:
                # More than four ids in a microsecond, or a clock that stepped back: run ahead.
                stamp = self._last_stamp + 1
            self._last_stamp = stamp
            if not self._pool:
                self._pool.extend(_BLOCK.unpack(secrets.token_bytes(_BLOCK.size)))
            random_word = self._pool.pop()
        return compose_id(stamp, random_word, shard_bits)


_generator: Final = _Generator()
os.register_at_fork(after_in_child=_generator.forget)


def new_id(now_microseconds: int, shard_bits: int | None = None) -> str:
    """Returns a new id that sorts after all earlier ids of this process. Thread-safe.

    Ids of different processes sort by time to a quarter of a microsecond, and differ by 52
    random bits or more. A fork starts with fresh randomness.

    Args:
        now_microseconds: the time, in microseconds since the epoch.
        shard_bits: 0..1023 to place in the shard hint (`shard_bits_of` another id keeps two
            together); None fills it at random.

    Raises:
        ValueError: a time or shard hint that does not fit its field.
    """
    return _generator.next_id(stamp_at(now_microseconds), shard_bits)
