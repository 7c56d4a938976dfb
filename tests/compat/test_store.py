"""The queue and the log in one process."""

import asyncio
import contextlib
import random
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from compat_http.records import ReversalStartedError
from compat_http.store import Store, StoreError, reading
from tests.compat.exchanges import AUTHORIZATION, exchange, files_of, opened, reversal, url_of

_SECOND = 1_000_000


class Clock:
    """Microseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * _SECOND

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: int) -> None:
        self.now += seconds * _SECOND


async def test_the_life_of_a_reversal(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, now=clock) as store:
        assert await store.take_back(AUTHORIZATION, "k") is False
        await store.queue_reversal(reversal("k", book="training", operation="SELL"))
        await store.queue_reversal(reversal("k", operation="again"))
        (claimed,) = await store.claim(9)
        assert claimed.reversal == reversal("k", book="training", operation="SELL")
        assert claimed.attempts == 1
        await store.postpone(claimed, 30)
        assert await store.claim(9) == []
        clock.pass_seconds(30)
        (claimed,) = await store.claim(9)
        assert claimed.attempts == 2
        with pytest.raises(ReversalStartedError):
            await store.take_back(AUTHORIZATION, "k")
        await store.queue_reversal(reversal("k"))  # changes nothing: it is on its way
        with pytest.raises(ReversalStartedError):
            await store.take_back(AUTHORIZATION, "k")
        await store.settle(claimed)
        assert await store.take_back(AUTHORIZATION, "k") is False
        assert await store.claim(9) == []


async def test_a_reversal_belongs_to_its_caller(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.queue_reversal(reversal("k"))
        await store.queue_reversal(reversal("k", authorization="Basic eDp5"))
        assert await store.take_back("Bearer other", "k") is False
        assert await store.take_back(AUTHORIZATION, "K") is False
        assert await store.take_back(AUTHORIZATION, "k") is True
        assert await store.take_back(AUTHORIZATION, "k") is False
        (left,) = await store.claim(9)
        assert left.reversal.authorization == "Basic eDp5"


async def test_what_comes_again_while_it_goes_is_not_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.queue_reversal(reversal("k"))
        await asyncio.gather(
            store.take_back(AUTHORIZATION, "k"), store.queue_reversal(reversal("k"))
        )
        assert await store.take_back(AUTHORIZATION, "k") is True
        await store.queue_reversal(reversal("k"))
        (claimed,) = await store.claim(1)
        await asyncio.gather(store.settle(claimed), store.queue_reversal(reversal("k")))
        assert await store.take_back(AUTHORIZATION, "k") is True
        assert store._known == {}


async def test_a_client_may_take_back_before_the_first_attempt(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, now=clock) as store:
        await store.queue_reversal(reversal("k", grace_seconds=10))
        assert await store.claim(9) == []
        clock.pass_seconds(9)
        assert await store.claim(9) == []
        clock.pass_seconds(1)
        assert [each.reversal.key for each in await store.claim(9)] == ["k"]


async def test_a_clock_that_steps_back_delays_nothing_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, now=clock) as store:
        await store.queue_reversal(reversal("k"))
        clock.pass_seconds(-86_400)
        assert [each.reversal.key for each in await store.claim(9)] == ["k"]


async def test_either_the_client_or_the_sender_wins(tmp_path: Path) -> None:
    """1,000 times, whoever comes first by a hair."""
    winners: list[str] = []
    dice = random.Random(11)
    async with opened(tmp_path) as store:

        async def take_back(key: str) -> None:
            with contextlib.suppress(ReversalStartedError):
                if await store.take_back(AUTHORIZATION, key):
                    winners.append(f"{key} taken back")

        async def send() -> None:
            for claimed in await store.claim(25):
                winners.append(f"{claimed.reversal.key} sent")
                await store.settle(claimed)

        for first in range(0, 1_000, 25):
            keys = [str(number) for number in range(first, first + 25)]
            await asyncio.gather(*(store.queue_reversal(reversal(key)) for key in keys))
            racers = [take_back(key) for key in keys]
            racers.insert(dice.randint(0, 25), send())
            await asyncio.gather(*racers)
            assert len(winners) == first + 25, winners[first:]
    assert len({winner.split()[0] for winner in winners}) == 1_000
    assert {winner.partition(" ")[2] for winner in winners} == {"taken back", "sent"}


async def test_whoever_stops_waiting_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        waiting = asyncio.create_task(store.queue_reversal(reversal("k")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await store.take_back(AUTHORIZATION, "k") is True


async def test_files_are_private_and_hold_no_credential(tmp_path: Path) -> None:
    secret = AUTHORIZATION.split()[1]
    async with opened(tmp_path) as store:
        await store.queue_reversal(reversal("k"))
        store.log(exchange(answer={"text": f"bad token {secret}"}, secrets=(secret,)))
        await asyncio.to_thread(_wait_for, lambda: bool(_logged(tmp_path)))
        assert b"REDEEM" in files_of(tmp_path)
        assert secret.encode() not in files_of(tmp_path)
        modes = _modes(tmp_path)
    assert len(modes) == 5  # database, its log and index, lock, key
    assert set(modes.values()) == {0o600}, modes


def _modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"


def _logged(directory: Path, **wanted: Any) -> reading.Rows:
    with reading.opened(url_of(directory)) as connection:
        return reading.exchanges(connection, reading.Filter(**wanted), 10_000)


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(1_500):
            store.log(exchange(legacy_request_id=f"GC{number}"))
    logged = _logged(tmp_path)
    assert [each["legacy_request_id"] for each in logged] == [f"GC{n}" for n in range(1499, -1, -1)]
    store.log(exchange())  # too late, and nobody is hurt


async def test_more_than_can_be_written_is_counted(tmp_path: Path) -> None:
    async with opened(tmp_path, exchanges_max=5) as store:
        release = threading.Event()
        busy = asyncio.create_task(store._done(lambda _: release.wait()))
        await asyncio.sleep(0)
        # The writer may take what comes before it comes to the operation; then it is busy.
        for _ in range(12):
            store.log(exchange())
        release.set()
        await busy
    with reading.opened(url_of(tmp_path)) as connection:
        assert reading.dropped(connection, reading.Filter()) == 7
    assert len(_logged(tmp_path)) == 5


async def test_old_exchanges_go(tmp_path: Path) -> None:
    day = 86_400 * _SECOND
    clock = Clock()
    async with opened(tmp_path, now=clock, keep_days=90) as store:
        for age in (91, 90, 89, 0):
            store.log(exchange(time_microseconds=clock.now - age * day, legacy_request_id=str(age)))
    async with opened(tmp_path, now=clock, keep_days=90) as store:
        await store.claim(1)  # by then the writer runs
        await asyncio.to_thread(_wait_for, lambda: not _logged(tmp_path, request_id="91"))
    assert [each["legacy_request_id"] for each in _logged(tmp_path)] == ["0", "89", "90"]


async def test_what_nobody_foresaw_does_not_stop_the_log(tmp_path: Path) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("canary")

    odd: list[Any] = [
        Hostile(), {"text": Hostile()}, {"text": "\ud800"}, {"text": "\x00"}, {"amount": 10**400},
        [[]], "text", {"nested": {"nested": {"amount": 1.5}}}, {1: 2},
    ]  # fmt: skip
    async with opened(tmp_path) as store:
        for each in odd:
            store.log(exchange(request=each, legacy_request_id="\ud800", reason="\x00"))
    assert len(_logged(tmp_path)) == len(odd)
    assert not store.broken


REFUSED: list[tuple[str, str]] = [
    ("postgresql://u:canary@h/d", "must be a SQLite file"),
    ("canary", "must be a SQLite file"),
    ("sqlite://", "in memory keeps nothing"),
    ("sqlite:///:memory:", "in memory keeps nothing"),
    ("sqlite:////proc/nowhere/exchange.db", "/proc/nowhere"),
]


@pytest.mark.parametrize(("url", "sentence"), REFUSED)
def test_where_nothing_can_be_kept(url: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence) as refused:
        Store.open(url, None, production=False)
    assert "canary" not in str(refused.value)


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    path.write_bytes(b"not a database, but somebody's work" * 100)
    for _ in range(2):  # the lock is not left behind
        with pytest.raises(StoreError, match="cannot be opened"):
            Store.open(url_of(tmp_path), None, production=False)
    assert path.read_bytes().startswith(b"not a database")


async def test_another_key_is_refused_while_something_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.queue_reversal(reversal("k"))
    other = tmp_path / "other.json"
    with pytest.raises(StoreError, match="1 reversals wait"):
        Store.open(url_of(tmp_path), other, production=False)
    async with opened(tmp_path) as store:
        (claimed,) = await store.claim(1)
        await store.settle(claimed)
    await Store.open(url_of(tmp_path), other, production=False).close()


async def test_production_wants_a_key_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Set GIFTCARD_EXCHANGE_KEY_FILE"):
        Store.open(url_of(tmp_path), None, production=True)
    missing = tmp_path / "key.json"
    with pytest.raises(StoreError, match="cannot be read"):
        Store.open(url_of(tmp_path), missing, production=True)
    async with opened(tmp_path):
        pass
    with pytest.raises(StoreError, match="made for development"):
        Store.open(url_of(tmp_path), tmp_path / "exchange.db.key", production=True)


def _pragma(name: str, connection: Connection) -> Any:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


async def test_the_file_is_written_safely(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        found = {}
        for name in ("journal_mode", "synchronous", "trusted_schema"):
            found[name] = await store._done(partial(_pragma, name))
    assert found == {"journal_mode": "wal", "synchronous": 2, "trusted_schema": 0}
