"""The benchmark measures what it says, in the shape that others read; no figure is asserted."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.__main__ import main
from tests.bench.figures import GOALS, Run, ratio
from tests.bench.load import Sample
from tests.bench.plots import plot


def sample(per_second: float) -> Sample:
    return Sample(per_second, 1.0, {})


def test_a_short_run_on_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "bench.json"
    arguments = ["--seconds", "0.3", "--rounds", "1", "--only", "redeem_over_echo"]
    arguments += ["--in-flight", "8", "--few-cards", "100", "--generator", "python"]

    assert main([*arguments, "--output", str(output)]) == 0

    content = json.loads(output.read_text())
    assert set(content) == {"machine", "conditions", "figures", "runs", "facts", "curves"}
    assert [run["subject"] for run in content["runs"]] == ["echo_redeem", "redeem"]
    for run in content["runs"]:
        assert run["per_second"] > 0
        assert run["p50_microseconds"] <= run["p99_microseconds"] <= run["max_microseconds"]
        assert run["cpu_seconds"]["server"] > 0
        assert run["cpu_seconds"]["generator"] > 0
    found = content["figures"]["redeem_over_echo"]
    echo, redeem = (run["per_second"] for run in content["runs"])
    assert found["value"] == redeem / echo
    assert (found["hold"], found["aim"]) == (0.55, 0.85)
    assert "redeem_over_echo" in capsys.readouterr().out


def test_growth_tells_what_cards_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.stage._BY_LEDGER_MAX", 50)  # the others are cloned
    output = tmp_path / "bench.json"
    arguments = ["--seconds", "0.3", "--rounds", "1", "--only", "growth", "--in-flight", "8"]
    arguments += ["--few-cards", "10", "--cards", "200", "--kept", str(tmp_path / "kept")]

    for _ in range(2):  # the second time the cards are there
        assert main([*arguments, "--generator", "python", "--output", str(output)]) == 0

    facts = json.loads(output.read_text())["facts"]
    assert (facts["cards_few"], facts["cards_many"]) == (10, 200)
    assert facts["file_bytes_many_cards"] > facts["file_bytes_few_cards"]
    assert facts["file_bytes_per_million_cards"] > 0
    assert facts["start_up_seconds_many_cards"] > 0
    assert facts["disk_read_bytes_a_redemption_many_cards"] >= 0
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["cards-200"]


def test_the_curves_become_pictures(tmp_path: Path) -> None:
    point = {"x": 1, "sample": {"per_second": 5, "p50_microseconds": 1, "p99_microseconds": 2}}
    curves = [
        {"kind": kind, "name": "SQLite", "points": [point, point | {"x": 2}]}
        for kind in ("concurrency", "latency")
    ]
    content = {"machine": {"cores": 2, "cpu": "a processor"}, "curves": curves}

    paths = plot(content, tmp_path)

    assert [path.name for path in paths] == ["bench-throughput.svg", "bench-latency.svg"]
    for path in paths:
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_calls_that_fail_make_no_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.bench.TOKEN", "wrong")
    output = tmp_path / "bench.json"
    arguments = ["--seconds", "0.2", "--rounds", "1", "--only", "p99_at_half_load"]
    arguments += ["--in-flight", "4", "--few-cards", "10", "--generator", "python"]

    assert main([*arguments, "--output", str(output)]) == 1

    assert "UNAUTHENTICATED" in capsys.readouterr().err
    assert not output.exists()


def test_a_ratio_compares_neighbors_and_takes_the_median() -> None:
    rates = [(100, 50), (1000, 600), (10, 9)]
    runs = [
        Run(subject, number, sample(rate))
        for number, (echo, redeem) in enumerate(rates, start=1)
        for subject, rate in (("echo", echo), ("redeem", redeem))
    ]

    found = ratio("redeem_over_echo", runs, "redeem", "echo")

    assert (found.value, found.lowest, found.highest) == (0.6, 0.5, 0.9)


@pytest.mark.parametrize(
    ("name", "value", "reached"),
    [
        ("redeem_over_echo", 0.54, "below"),
        ("redeem_over_echo", 0.55, "hold"),
        ("redeem_over_echo", 0.85, "aim"),
        ("p99_at_half_load", 25.1, "above"),
        ("p99_at_half_load", 25.0, "hold"),
        ("p99_at_half_load", 9.9, "aim"),
    ],
)
def test_what_a_figure_reached(name: str, value: float, reached: str) -> None:
    assert GOALS[name].reached(value) == reached
