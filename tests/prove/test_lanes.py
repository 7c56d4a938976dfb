"""Every suite runs once, and what measures runs alone."""

from tests.prove.plugin import _ALONE, _lanes

_TOOK = {"tests/a.py": 90.0, "tests/b.py": 50.0, "tests/c.py": 45.0, "tests/d.py": 4.0}


def test_two_lanes_take_equally_long() -> None:
    assert _lanes(set(_TOOK), _TOOK) == {
        "tests/a.py": "first",
        "tests/b.py": "second",
        "tests/c.py": "second",
        "tests/d.py": "first",
    }


def test_what_measures_runs_alone() -> None:
    lanes = _lanes({*_TOOK, *_ALONE}, _TOOK)
    assert {module for module, lane in lanes.items() if lane == "alone"} == _ALONE
    assert lanes.keys() == {*_TOOK, *_ALONE}
