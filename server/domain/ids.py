"""Identifiers made by the server: UUID version 7 (RFC 9562) as 32 lower-case hex digits.

::

    48 bits  Unix milliseconds
     4 bits  version (7)
    12 bits  fraction of the millisecond, in 1/4096 (RFC 9562 section 6.2, method 3)
     2 bits  variant (binary 10)
    10 bits  shard hint: chosen by the caller, or random
    52 bits  random

The shard hint is reserved so that one day a merchant's cards can be spread over cells and every
id still names its cell without a directory. Nothing may depend on it today.

This module knows the layout only. `server.secrets.ids` makes ids: it has the randomness and the
memory that this takes.
"""

import re
from typing import Final

SHARD_BITS_MAX: Final = 1023

STAMP_MAX: Final = (1 << 60) - 1
"""Largest time stamp: 48 bits of milliseconds, then 12 bits of fraction (year 10889)."""

_RANDOM_MASK: Final = (1 << 52) - 1
_SHARD_AND_RANDOM_MASK: Final = (1 << 62) - 1
_VARIANT: Final = 1 << 63
_VERSION: Final = 0x7000
_ID_TEXT: Final = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")


def stamp_at(now_microseconds: int) -> int:
    """Returns the 60-bit stamp of an instant (microseconds since the epoch).

    There are 4096 stamps in a millisecond, so distinct microseconds stay distinct and in order.

    Raises:
        ValueError: before 1970 or after the year 10889.
    """
    milliseconds, microseconds = divmod(now_microseconds, 1000)
    stamp = milliseconds << 12 | microseconds * 4096 // 1000
    if not 0 <= stamp <= STAMP_MAX:
        raise ValueError("Time is outside what an id can hold.")
    return stamp


def compose_id(stamp: int, random_word: int, shard_bits: int | None) -> str:
    """Returns the id with these parts.

    Args:
        stamp: see `stamp_at`.
        random_word: 64 random bits; the low 62 or, with a shard hint, 52 are used.
        shard_bits: 0..1023 to place in the shard hint; None fills it at random.

    Raises:
        ValueError: a stamp or shard hint that does not fit its field.
    """
    if not 0 <= stamp <= STAMP_MAX:
        raise ValueError("Time is outside what an id can hold.")
    high = (stamp >> 12) << 16 | _VERSION | (stamp & 0xFFF)
    if shard_bits is None:
        low = _VARIANT | (random_word & _SHARD_AND_RANDOM_MASK)
    elif 0 <= shard_bits <= SHARD_BITS_MAX:
        low = _VARIANT | shard_bits << 52 | (random_word & _RANDOM_MASK)
    else:
        raise ValueError("Shard bits are outside 0..1023.")
    return f"{high << 64 | low:032x}"


def is_id(text: str) -> bool:
    """Tells whether the text has the shape of an id made by this service."""
    return _ID_TEXT.fullmatch(text) is not None


def shard_bits_of(identifier: str) -> int:
    """Returns the shard hint of an id, 0..1023.

    Raises:
        ValueError: not an id made by this service.
    """
    if not is_id(identifier):
        raise ValueError("Text is not an identifier of this service.")
    return int(identifier[16:19], 16) & SHARD_BITS_MAX
