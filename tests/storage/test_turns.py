"""Merchants take turns, and none of them can have all the places."""

import itertools

import pytest

from server.domain.errors import Rejected
from server.ledger.turns import Turns


def _fill(turns: Turns[str], merchant: str) -> int:
    """How many more a merchant gets in."""
    before = len(turns)
    with pytest.raises(Rejected, match="OVERLOADED"):
        _join_without_end(turns, merchant)
    return len(turns) - before


def _join_without_end(turns: Turns[str], merchant: str) -> None:
    for number in itertools.count():
        turns.join(merchant, f"{merchant}{number}")


def _drain(turns: Turns[str]) -> list[str]:
    return [turns.next() for _ in range(len(turns))]


def test_a_merchant_alone_has_its_own_order() -> None:
    turns: Turns[str] = Turns(5)
    assert _fill(turns, "a") == 5
    assert _drain(turns) == ["a0", "a1", "a2", "a3", "a4"]
    with pytest.raises(IndexError):
        turns.next()


def test_merchants_take_turns() -> None:
    turns: Turns[str] = Turns(50)
    for item in ("a0", "a1", "a2", "b0", "c0", "c1"):
        turns.join(item[0], item)
    assert turns.next() == "a0"
    turns.join("d", "d0")
    assert _drain(turns) == ["b0", "c0", "a1", "d0", "c1", "a2"]


@pytest.mark.parametrize(("merchants", "first"), [(2, 60), (3, 60), (6, 60)])
def test_whoever_comes_to_a_full_queue_finds_room(merchants: int, first: int) -> None:
    turns: Turns[str] = Turns(60)
    had = [_fill(turns, str(number)) for number in range(merchants)]
    assert had[0] == first
    assert all(had), "one found no room"
    assert len(turns) < 2 * 60


def test_places_come_back() -> None:
    turns: Turns[str] = Turns(3)
    for _ in range(100):
        assert _fill(turns, "a") == 3
        assert _fill(turns, "b") == 2
        assert len(_drain(turns)) == 5
