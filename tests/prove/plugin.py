"""pytest's side of `make prove`: options, the fixture `proof`, the table, var/prove.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.prove.proof import PROPERTY, Line, Proof, Size

_DEFAULT_SEED = 20260301


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("prove", "the suites of make prove")
    group.addoption(
        "--size",
        choices=("push", "release"),
        default="push",
        help="push: within 25 minutes on two cores; release: as far as the promises ask",
    )
    group.addoption(
        "--seed", type=int, default=_DEFAULT_SEED, help="replays the choices of a run; printed"
    )
    group.addoption("--prove-json", type=Path, help="write what was measured into this file")


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """The size and seed of this run; collects what the test reports."""
    size: Size = request.config.getoption("--size")
    given = Proof(size, request.config.getoption("--seed"))
    request.node.user_properties.append((PROPERTY, given.lines))
    return given


class Collector:
    """Gathers the lines of all tests with the tests' outcomes."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lines: list[Line] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        own: list[Line] = []
        for name, lines in report.user_properties:
            if name == PROPERTY and isinstance(lines, list):
                own += lines
        suite = report.nodeid.rpartition("::")[2]
        # A test that reports nothing is a line too, and so is one that broke before it could.
        for line in own or [Line(suite, {}, seed=self._config.getoption("--seed"))]:
            self._lines.append(
                replace(
                    line,
                    test=report.nodeid,
                    seconds=round(report.duration, 1),
                    outcome=report.outcome,
                )
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        reported = [line for line in self._lines if line.figures]
        if not reported:
            return
        terminalreporter.section("what was proved")
        for line in reported:
            figures = "  ".join(f"{name}={value}" for name, value in line.figures.items())
            mark = {"passed": "ok ", "failed": "RED"}.get(line.outcome, line.outcome)
            terminalreporter.write_line(f"{mark}  {line.suite:<44} {figures}  ({line.seconds} s)")

    def pytest_sessionfinish(self) -> None:
        path: Path | None = self._config.getoption("--prove-json")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([line.as_json() for line in self._lines], indent=1) + "\n")


def configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Collector(config), "giftcard-prove")
