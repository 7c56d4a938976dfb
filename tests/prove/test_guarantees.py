"""The table of guarantees names tests that exist, and PROOF.md shows that table."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.prove import published
from tests.prove.guarantees import GUARANTEES, Guarantee, named_tests, table


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda each: each.id)
def test_each_is_proved_or_says_why_not(guarantee: Guarantee) -> None:
    assert bool(guarantee.tests) or bool(guarantee.not_proved)
    assert guarantee.promise.endswith(".")


def test_none_is_left_out() -> None:
    assert [each.id for each in GUARANTEES] == [f"G{number}" for number in range(1, 34)]


@pytest.mark.parametrize("test", sorted(named_tests()))
def test_a_named_test_exists(test: str) -> None:
    path, _, function = test.partition("::")
    assert function in _collected(path), f"{path} has no test {function}"


def test_what_does_not_exist_is_noticed() -> None:
    assert "test_that_nobody_wrote" not in _collected("tests/prove/test_guarantees.py")


def test_the_published_table_is_this_one() -> None:
    """After a change: `python -m tests.prove --guarantees`."""
    assert published.guarantees_in(published.PATH.read_text()) == table()


@cache
def _collected(path: str) -> frozenset[str]:
    """The tests of a file: as pytest collects them, functions of a module named test_…"""
    file = published.ROOT / path
    assert Path(path).name.startswith("test_"), f"pytest does not collect {path}"
    assert file.exists(), f"there is no {path}"
    return frozenset(
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )
