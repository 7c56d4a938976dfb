"""pytest's side of `make prove`: which tests, their size and seed, progress, what they report."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.prove.guarantees import named_tests
from tests.prove.proof import PROPERTY, Line, Proof, Size

#: What runs together: two lanes share the two cores; then a long wait and a look at memory; at last
#: what measures goodput has the machine to itself.
STAGES: Final = (("first", "second"), ("third", "fourth"), ("alone",))
_STAGE_OF: Final = {
    "tests/prove/network/test_failover.py": 1,
    "tests/prove/stress/test_soak.py": 1,
    "tests/prove/stress/test_overload.py": 2,
}
_LANES: Final = {lane: stage for stage, lanes in enumerate(STAGES) for lane in lanes}
#: Of a module that was never run here.
_SECONDS_EXPECTED: Final = 10.0
_DEFAULT_SEED: Final = 20260301
#: Of several outcomes of one test the first of these is shown.
_GRAVEST_FIRST: Final = ("failed", "skipped", "passed")
_WRITE_AFTER_SECONDS: Final = 2.0
_WORDS: Final = {"passed": "ok", "failed": "RED", "skipped": "not run"}


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
    group.addoption(
        "--database-url",
        help="prove this PostgreSQL-compatible server instead of one of our own: the SQLAlchemy URL"
        " of a database whose user may create others",
    )
    group.addoption(
        "--lane",
        choices=_LANES,
        help="run those modules of its stage that no other lane has begun",
    )
    group.addoption(
        "--prove-json",
        type=Path,
        help="run what is slow or named by a guarantee, and write what was measured into this file",
    )


def configure(config: pytest.Config) -> None:
    if config.getoption("--prove-json") is not None:
        config.pluginmanager.register(_Run(config), "giftcard-prove")


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """The size and seed of this run; collects what the test reports."""
    size: Size = request.config.getoption("--size")
    given = Proof(size, request.config.getoption("--seed"))
    request.node.user_properties.append((PROPERTY, given.lines))
    return given


@pytest.fixture
def own_engine(request: pytest.FixtureRequest) -> None:
    """For what starts, kills or watches the engine itself: not run with one that was given."""
    if request.config.getoption("--database-url"):
        pytest.skip("it needs the engine's own processes")


class _Run:
    """Chooses the tests, shows one line for each module, and keeps the lines of all tests.

    The file is written on the way, so that it tells what a run that broke off had done.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._path: Path = config.getoption("--prove-json")
        self._took = _seconds_of_modules(self._path)
        self._lines: list[Line] = []
        self._modules: list[str] = []
        self._running = ""
        self._outcomes: Counter[str] = Counter()
        self._started = 0.0
        self._written = 0.0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        named = named_tests()
        chosen = [
            item
            for item in items
            if item.get_closest_marker("slow") or item.nodeid.partition("[")[0] in named
        ]
        lane = self._config.getoption("--lane")
        if lane is not None:
            chosen = [
                item for item in chosen if _STAGE_OF.get(_module(item.nodeid), 0) == _LANES[lane]
            ]
            chosen.sort(key=lambda item: _longest_first(_module(item.nodeid), self._took))
        kept = set(chosen)
        self._config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = chosen
        self._modules = list(dict.fromkeys(_module(item.nodeid) for item in chosen))

    # pytest's own loop, but for what another lane has begun.
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if self._config.getoption("--lane") is None or self._config.option.collectonly:
            return None
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        for module, tests in groupby(session.items, key=lambda item: _module(item.nodeid)):
            if not begin(begun_directory(self._path), module):
                continue
            # Which module follows is open until this one has ended; whatever it is, what belongs to
            # the session stays for it, and all else ends here.
            for item, following in pairwise([*tests, session]):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
        return True

    # No dots: a module's line is its progress.
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str]:
        shown = report.outcome if report.when == "call" or report.outcome != "passed" else ""
        return shown, "", ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        module = _module(nodeid)
        if module == self._running:
            return
        self._module_ends()
        self._running = module
        self._started = time.monotonic()
        self._outcomes.clear()
        self._write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        self._outcomes[report.outcome] += 1
        seconds, why = round(report.duration, 1), _why(report)
        own: list[Line] = []
        for name, lines in report.user_properties:
            if name == PROPERTY and isinstance(lines, list):
                own += lines
        for line in own:
            self._lines.append(
                replace(line, test=report.nodeid, seconds=seconds, outcome=report.outcome, why=why)
            )
        if not own:
            self._count(report, seconds, why)
        if report.failed or time.monotonic() - self._written > _WRITE_AFTER_SECONDS:
            self._write()

    def _count(self, report: pytest.TestReport, seconds: float, why: str) -> None:
        """A test that reports nothing is a line too: one for all its parameters."""
        function = report.nodeid.partition("[")[0]
        words = function.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        size: Size = self._config.getoption("--size")
        new = Line(
            words[:1].upper() + words[1:], {}, function, self._config.getoption("--seed"), size,
            seconds=seconds, outcome=report.outcome, why=why,
        )  # fmt: skip
        for place, line in enumerate(self._lines):
            if line.test == function:
                outcomes = {line.outcome, new.outcome}
                self._lines[place] = replace(
                    line,
                    cases=line.cases + 1,
                    seconds=round(line.seconds + seconds, 1),
                    outcome=next(each for each in _GRAVEST_FIRST if each in outcomes),
                    why=line.why or new.why,
                )
                return
        self._lines.append(new)

    def pytest_sessionfinish(self) -> None:
        self._module_ends()
        self._running = ""
        self._write()

    def _module_ends(self) -> None:
        if not self._running:
            return
        took = time.monotonic() - self._started
        self._took[self._running] = took
        gravest = next((each for each in _GRAVEST_FIRST if self._outcomes[each]), "passed")
        left = self._modules[self._modules.index(self._running) + 1 :]
        known = [self._took[module] for module in left if module in self._took]
        about = "" if not left else f"   {len(left)} left"
        if known:
            lane = self._config.getoption("--lane")
            expected = sum(known) / (1 if lane is None else len(STAGES[_LANES[lane]]))
            about += f", {'about' if len(known) == len(left) else 'over'} {_clock(expected)}"
        red = gravest == "failed"
        place = self._modules.index(self._running) + 1
        # A line at a time: another lane writes to the same terminal.
        self._terminal.write(
            f"[{place:>2}/{len(self._modules)}]  {self._running.removeprefix('tests/'):<44}"
            f"{_clock(took):>12}  {self._outcomes.total():>5} tests  "
        )
        self._terminal.write(_WORDS[gravest], red=red, green=not red, bold=red)
        self._terminal.write(f"{about}\n", flush=True)

    def _write(self) -> None:
        self._written = time.monotonic()
        content = {
            "running": self._running,
            "suites": [line.as_json() for line in self._lines],
            "modules": {module: round(took, 1) for module, took in self._took.items()},
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(content, indent=1) + "\n")

    @property
    def _terminal(self) -> pytest.TerminalReporter:
        found = self._config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(found, pytest.TerminalReporter)
        return found


def _longest_first(module: str, took: dict[str, float]) -> tuple[float, str]:
    return -took.get(module, _SECONDS_EXPECTED), module


def begun_directory(path: Path) -> Path:
    """Where the lanes tell each other which modules they have begun."""
    return path.with_name("prove-begun")


def begin(directory: Path, module: str) -> bool:
    """Whether it falls to this lane: none has begun it before."""
    try:
        (directory / module.replace("/", ".")).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _why(report: pytest.TestReport) -> str:
    """The last line of what went wrong, or why a test was not run."""
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    message: str = crash.message if crash is not None else report.longreprtext
    return next(iter(message.splitlines()), "") if report.outcome == "failed" else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _seconds_of_modules(path: Path) -> dict[str, float]:
    """How long each module took the last time; nothing where that is not known."""
    try:
        known = json.loads(path.read_text())["modules"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {str(module): float(took) for module, took in _pairs(known)}


def _pairs(known: object) -> Iterable[tuple[object, float]]:
    return known.items() if isinstance(known, dict) else ()
