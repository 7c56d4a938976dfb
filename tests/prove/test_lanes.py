"""Every suite runs once, the longest first, and each in its stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.prove.plugin import _STAGE_OF, STAGES, begin, begun_directory
from tests.prove.published import ROOT

_CURRENCY = "tests/domain/test_currency.py"
_AMOUNTS = "tests/compat/test_amounts.py"


def test_a_module_is_begun_by_one_lane(tmp_path: Path) -> None:
    assert [begin(tmp_path, module) for module in ("a/b.py", "b.py", "a/b.py")] == [
        True,
        True,
        False,
    ]


def test_a_lane_runs_what_no_other_has_begun(tmp_path: Path) -> None:
    begun = begun_directory(tmp_path / "prove.json")
    begun.mkdir()
    assert begin(begun, _AMOUNTS)
    first = _run(tmp_path, "first", _CURRENCY, _AMOUNTS)
    assert "domain/test_currency.py" in first
    assert "compat/test_amounts.py" not in first
    assert "domain/test_currency.py" not in _run(tmp_path, "second", _CURRENCY, _AMOUNTS)


def test_the_longest_of_the_last_time_is_first(tmp_path: Path) -> None:
    for longest, other in ((_CURRENCY, _AMOUNTS), (_AMOUNTS, _CURRENCY)):
        took = {longest: 90.0, other: 4.0}
        (tmp_path / "prove.json").write_text(json.dumps({"modules": took}))
        collected = _run(tmp_path, "first", "--collect-only", _CURRENCY, _AMOUNTS)
        assert collected.index(longest) < collected.index(other)


def test_a_lane_begins_nothing_before_its_time(tmp_path: Path) -> None:
    """While a module runs, the other lane can have the next."""
    begun = begun_directory(tmp_path / "prove.json")
    begun.mkdir()
    (tmp_path / "looks.py").write_text(
        "import pathlib\n"
        "def pytest_runtest_logstart(nodeid, location):\n"
        f"    begun = [*pathlib.Path({str(begun)!r}).iterdir()]\n"
        "    print(nodeid.partition('::')[0], len(begun), end=';')\n"
    )
    told = _run(tmp_path, "first", "-p", "looks", _CURRENCY, _AMOUNTS)
    assert f"{_AMOUNTS} 1;" in told
    assert f"{_AMOUNTS} 2;" not in told
    assert f"{_CURRENCY} 2;" in told


def test_each_stage_runs_what_is_its_own(tmp_path: Path) -> None:
    begun_directory(tmp_path / "prove.json").mkdir()
    for stage, lanes in enumerate(STAGES):
        collected = _run(tmp_path, lanes[0], "--collect-only", _CURRENCY, *_STAGE_OF)
        modules = {line.partition("::")[0] for line in collected.splitlines() if "::" in line}
        assert modules == {
            each for each in (_CURRENCY, *_STAGE_OF) if _STAGE_OF.get(each, 0) == stage
        }


def test_a_module_that_cannot_be_read_breaks_the_lane_off(tmp_path: Path) -> None:
    broken = tmp_path / "test_broken.py"
    broken.write_text("import nothing_of_this_name\n")
    begun_directory(tmp_path / "prove.json").mkdir()
    told = _run(tmp_path, "first", _CURRENCY, str(broken))
    assert "1 error" in told
    assert "passed" not in told


def _run(directory: Path, lane: str, *arguments: str) -> str:
    """What one lane tells of its run."""
    command = [sys.executable, "-m", "pytest", "-m", "", "-q", "-p", "no:cacheprovider"]
    command += ["--lane", lane, "--prove-json", str(directory / "prove.json"), *arguments]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout
