"""Exchanges, reversals and stores for tests of what the shim keeps."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from compat_http.records import Exchange, Reversal
from compat_http.redaction import Redaction
from compat_http.store import Store

AUTHORIZATION: Final = "Bearer canary-token-7c1e90"

REDACTION: Final = Redaction(
    codes=frozenset({"cardid", "cards"}),
    secrets=frozenset({"pin"}),
    declared=frozenset({"cardid", "amount", "text", "nested", "list", "flag", "pin"}),
)

_EXCHANGE: Final = Exchange(
    time_microseconds=1_772_366_400_123_456,  # 2026-03-01T12:00:00.123456Z
    duration_microseconds=12_345,
    dialect="retail7",
    operation="REDEEM",
    method="POST",
    path="/retail7/giftcards",
    legacy_request_id="GC10",
    request_id="retail7/1001/1001/REDEEM/GC10",
    code_last_four="99",
    status=200,
    reason="",
    transaction="transactions/01a2",
    request={"cardID": "12399"},
    answer={"amount": 5},
    redaction=REDACTION,
)


def exchange(**changes: Any) -> Exchange:
    return dataclasses.replace(_EXCHANGE, **changes)


def reversal(key: str, *, authorization: str = AUTHORIZATION, **changes: Any) -> Reversal:
    made = Reversal(key, authorization, "", "retail7", "REDEEM")
    return dataclasses.replace(made, **changes)


def url_of(directory: Path) -> str:
    return f"sqlite:///{directory / 'exchange.db'}"


def files_of(directory: Path) -> bytes:
    """All that the store has written there, but its key."""
    found = sorted(each for each in directory.glob("exchange.db*") if each.suffix != ".key")
    return b"".join(each.read_bytes() for each in found)


@contextlib.asynccontextmanager
async def opened(directory: Path, keep_days: int = 36_500, **more: Any) -> AsyncIterator[Store]:
    """Outside production, and for a log whose exchanges may be of any time."""
    store = Store.open(url_of(directory), None, production=False, keep_days=keep_days, **more)
    try:
        yield store
    finally:
        await store.close()
