import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.ids import STAMP_MAX, compose_id, is_id, shard_bits_of, stamp_at
from server.secrets.ids import new_id

NOW = 1_780_000_000_123_456
LATEST = (STAMP_MAX >> 12) * 1000 + 999


@pytest.mark.parametrize(
    ("now", "word", "shard_bits", "identifier"),
    [
        (0, 0, None, "00000000000070008000000000000000"),
        (0, 2**64 - 1, None, "0000000000007000bfffffffffffffff"),
        (0, 2**64 - 1, 0, "0000000000007000800fffffffffffff"),
        (0, 0, 1, "00000000000070008010000000000000"),
        (0, 0, 1023, "0000000000007000bff0000000000000"),
        (1, 0, 0, "00000000000070048000000000000000"),
        (999, 0, 0, "0000000000007ffb8000000000000000"),
        (1000, 0, 0, "00000000000170008000000000000000"),
        (LATEST, 0, 0, "ffffffffffff7ffb8000000000000000"),
        # The example of RFC 9562 appendix A.6: 2022-02-22 14:22:22.00-05:00.
        (1_645_557_742_000_000, 0, 0, "017f22e279b070008000000000000000"),
    ],
)
def test_layout(now: int, word: int, shard_bits: int | None, identifier: str) -> None:
    assert compose_id(stamp_at(now), word, shard_bits) == identifier
    assert is_id(identifier)
    assert uuid.UUID(identifier).version == 7
    assert uuid.UUID(identifier).variant == uuid.RFC_4122
    assert uuid.UUID(identifier).hex == identifier


@given(st.integers(0, LATEST), st.integers(0, 2**64 - 1), st.integers(0, 1023))
def test_shard_bits_round_trip(now: int, word: int, shard_bits: int) -> None:
    identifier = compose_id(stamp_at(now), word, shard_bits)
    assert shard_bits_of(identifier) == shard_bits
    assert int(identifier[:12], 16) == now // 1000
    assert int(identifier[19:], 16) == word % 2**52


@given(st.integers(0, LATEST - 1))
def test_stamps_rise_with_each_microsecond(now: int) -> None:
    assert stamp_at(now) < stamp_at(now + 1)


def test_a_million_ids_are_unique_and_rise() -> None:
    last, shard_hints = "", set()
    for count in range(1_000_000):
        identifier = new_id(NOW + count // 8)  # eight to the microsecond: ids run ahead of time
        assert identifier > last
        last = identifier
        if count % 20 == 0:
            shard_hints.add(shard_bits_of(identifier))
    assert len(shard_hints) == 1024  # left to chance, the hint takes every value


def test_ids_rise_when_the_clock_steps_back() -> None:
    later = new_id(NOW + 60_000_000)
    assert new_id(NOW) > later
    assert new_id(0) > later


def test_ids_of_threads_are_unique() -> None:
    def make(_: int) -> list[str]:
        return [new_id(NOW) for _ in range(5_000)]

    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(make, range(8)))
    assert len({identifier for batch in batches for identifier in batch}) == 40_000
    assert all(batch == sorted(batch) for batch in batches)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of forks beside threads
def test_a_fork_does_not_repeat_its_parent() -> None:
    new_id(NOW)  # fills the pool of random words
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, new_id(NOW).encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child, of_parent = os.read(read_end, 64).decode(), new_id(NOW)
    os.close(read_end)
    os.close(write_end)
    assert is_id(of_child)
    assert of_child[:16] == of_parent[:16]  # the same stamp, hence the danger
    assert of_child[16:] != of_parent[16:]


@pytest.mark.parametrize(
    ("now", "shard_bits"), [(-1, None), (LATEST + 1, None), (NOW, -1), (NOW, 1024)]
)
def test_refused(now: int, shard_bits: int | None) -> None:
    with pytest.raises(ValueError, match="outside"):
        new_id(now, shard_bits)


@pytest.mark.parametrize("stamp", [-1, STAMP_MAX + 1])
def test_stamp_refused(stamp: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        compose_id(stamp, 0, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 32,
        "017f22e279b07000800000000000000",  # 31 characters
        "017f22e279b0700080000000000000000",  # 33
        "017F22E279B070008000000000000000",  # upper case
        "017f22e279b040008000000000000000",  # version 4
        "017f22e279b07000c000000000000000",  # another variant
        "017f22e2-79b0-7000-8000-000000000000",
        "017f22e279b070008000000000000000\n",
        "017f22e279b07000800000000000000\u0661",
    ],
)
def test_no_id(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="not an identifier"):
        shard_bits_of(text)
