"""The sender: each queued reversal is sent until it has a definite answer, and then no more."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from compat_http import reversals
from compat_http.records import Reversal, ReversalStartedError
from compat_http.reversals import ReversalSender, delay_seconds
from compat_http.store import Store, StoreBrokenError, reading
from tests.compat.exchanges import AUTHORIZATION, opened, reversal, url_of


class Service:
    """Counts what it is sent; `answer` says what becomes of it."""

    def __init__(
        self, answer: Callable[[Reversal, int], Any] = lambda reversal, count: True
    ) -> None:
        self.sent: Counter[str] = Counter()
        self.settled: set[str] = set()
        self._answer = answer

    async def reverse(self, reversal: Reversal) -> bool:
        assert reversal.authorization == AUTHORIZATION
        assert reversal.key not in self.settled, "it was definite"
        self.sent[reversal.key] += 1
        definite = self._answer(reversal, self.sent[reversal.key])
        if isinstance(definite, Awaitable):
            definite = await definite
        if definite:
            self.settled.add(reversal.key)
        return bool(definite)


@contextlib.asynccontextmanager
async def sending(store: Store, service: Service) -> AsyncIterator[None]:
    sender = ReversalSender(store, service.reverse)
    sender.start()
    try:
        yield
    finally:
        await sender.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what it waits for is in a file
            await asyncio.sleep(0.005)


def waiting(directory: Path) -> int:
    with reading.opened(url_of(directory)) as connection:
        return len(reading.reversals(connection))


@pytest.fixture(autouse=True)
def no_long_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reversals, "_FIRST_DELAY_SECONDS", 0.001)


async def test_all_are_sent_once_and_logged(tmp_path: Path) -> None:
    service = Service()
    keys = [f"k{number}" for number in range(50)]
    async with opened(tmp_path) as store:
        await store.queue_reversal(reversal("k0"))
        async with sending(store, service):
            for key in keys[1:]:
                await store.queue_reversal(reversal(key))
            await until(lambda: waiting(tmp_path) == 0)
    assert service.sent == Counter(keys)
    with reading.opened(url_of(tmp_path)) as connection:
        logged = reading.exchanges(connection, reading.Filter(request_id="k7"), 9)
    assert [(each["operation"], each["reason"], each["status"]) for each in logged] == [
        ("REDEEM", "REVERSAL_SETTLED", 0)
    ]


async def test_again_and_again_until_the_answer_is_definite(tmp_path: Path) -> None:
    def answer(reversal: Reversal, count: int) -> bool:
        if count == 2:
            raise RuntimeError("canary")
        return count == 5

    service = Service(answer)
    async with opened(tmp_path) as store, sending(store, service):
        await store.queue_reversal(reversal("k"))
        await until(lambda: waiting(tmp_path) == 0)
    assert service.sent == {"k": 5}


async def test_one_that_hangs_is_given_up_and_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reversals, "_ATTEMPT_SECONDS_MAX", 0.05)

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    service = Service(lambda reversal, count: hang() if count == 1 else True)
    async with opened(tmp_path) as store, sending(store, service):
        await store.queue_reversal(reversal("k"))
        await until(lambda: waiting(tmp_path) == 0)
    assert service.sent == {"k": 2}


async def test_what_was_on_its_way_is_sent_after_the_next_start(tmp_path: Path) -> None:
    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    service = Service(lambda reversal, count: hang() if count == 1 else True)
    async with opened(tmp_path) as store, sending(store, service):
        await store.queue_reversal(reversal("k"))
        await until(lambda: bool(service.sent))
    async with opened(tmp_path) as store:
        with pytest.raises(ReversalStartedError):
            await store.take_back(AUTHORIZATION, "k")
        async with sending(store, service):
            await until(lambda: waiting(tmp_path) == 0)
    assert service.sent == {"k": 2}


async def test_the_client_and_the_sender_never_both_win(tmp_path: Path) -> None:
    """1,000 times with the sender running, however the scheduler shuffles them."""
    service = Service()
    taken_back: set[str] = set()

    async def client(store: Store, key: str) -> None:
        await store.queue_reversal(reversal(key))
        for _ in range(hash(key) % 5):
            await asyncio.sleep(0)
        with contextlib.suppress(ReversalStartedError):
            if await store.take_back(AUTHORIZATION, key):
                assert key not in service.sent
                taken_back.add(key)

    async with opened(tmp_path) as store, sending(store, service):
        for first in range(0, 1_000, 20):
            await asyncio.gather(*(client(store, str(n)) for n in range(first, first + 20)))
        await until(lambda: waiting(tmp_path) == 0)
        await until(lambda: len(service.sent) + len(taken_back) == 1_000)
    assert not taken_back & service.sent.keys()
    assert set(service.sent.values()) <= {1}


async def test_a_broken_store_ends_it(tmp_path: Path) -> None:
    def fail(connection: object) -> None:
        raise RuntimeError("the disk is gone")

    async with opened(tmp_path) as store, sending(store, Service()):
        with pytest.raises(StoreBrokenError):
            await store._done(fail)
        assert store.broken


@pytest.mark.parametrize(
    ("attempts", "chance", "seconds"),
    [(1, 1, 0.5), (1, 0, 0.25), (2, 1, 1), (7, 1, 32), (8, 1, 60), (8, 0, 30), (10**6, 1, 60)],
)
def test_attempts_are_spaced_out(
    monkeypatch: pytest.MonkeyPatch, attempts: int, chance: float, seconds: float
) -> None:
    monkeypatch.setattr(reversals, "_FIRST_DELAY_SECONDS", 0.5)
    assert delay_seconds(attempts, chance) == seconds
