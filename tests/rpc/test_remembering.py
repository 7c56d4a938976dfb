"""Credentials that are looked up: once for all who ask together, whoever of them goes away."""

import asyncio

import pytest

from server.rpc.identity import _Shortly


class Lookup:
    """Counts how often it is asked, and answers when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.fails = False

    async def __call__(self) -> str | None:
        self.asked += 1
        await self.may_answer.wait()
        if self.fails:
            raise ConnectionError("away")
        return "known"


async def _ask_together(
    shortly: _Shortly[str, str | None], lookup: Lookup, count: int
) -> list[asyncio.Task[str | None]]:
    asking = [asyncio.create_task(shortly.get("key", lookup)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return asking


async def test_one_look_up_is_for_all() -> None:
    shortly, lookup = _Shortly[str, str | None](60, misses=True), Lookup()
    asking = await _ask_together(shortly, lookup, 100)
    lookup.may_answer.set()
    assert await asyncio.gather(*asking) == ["known"] * 100
    assert await shortly.get("key", lookup) == "known"
    assert lookup.asked == 1


async def test_whoever_asked_first_may_go_away() -> None:
    shortly, lookup = _Shortly[str, str | None](60, misses=True), Lookup()
    first, *others = await _ask_together(shortly, lookup, 3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    lookup.may_answer.set()
    assert await asyncio.gather(*others) == ["known"] * 2
    assert lookup.asked == 1


async def test_a_look_up_that_failed_is_made_again() -> None:
    shortly, lookup = _Shortly[str, str | None](60, misses=True), Lookup()
    lookup.fails = True
    asking = await _ask_together(shortly, lookup, 3)
    lookup.may_answer.set()
    heard = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in heard] == [ConnectionError] * 3
    lookup.fails = False
    assert await shortly.get("key", lookup) == "known"
    assert lookup.asked == 2


async def test_what_was_just_created_is_found_though_others_asked_before() -> None:
    shortly, lookup = _Shortly[str, str | None](60, misses=False), Lookup()
    asking = await _ask_together(shortly, lookup, 3)
    lookup.may_answer.set()
    await asyncio.gather(*asking)
    assert lookup.asked == 3
