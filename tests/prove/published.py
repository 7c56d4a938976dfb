"""The table of a run on the terminal, and PROOF.md."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import GOALS
from tests.prove.guarantees import GUARANTEES, table

ROOT: Final = Path(__file__).parent.parent.parent
PATH: Final = ROOT / "PROOF.md"
#: How long each module took in the run that is published: what tells a first run where to begin.
SECONDS: Final = Path(__file__).with_name("seconds.json")
_PROVE: Final = ROOT / "var" / "prove.json"
_BENCH: Final = ROOT / "var" / "bench.json"
#: The plots and profiles of `make bench`, as they are published.
_PLOTS: Final = ROOT / "docs" / "figures"
#: Between these stands the table of guarantees, which a test compares with the code's.
BEGIN: Final = "<!-- guarantees -->"
END: Final = "<!-- end of guarantees -->"
#: What the column of that name says.
_SIZES: Final = (
    "A push has 25 minutes; *Release* is how many times as much"
    ' `make prove ARGS="--size release"` runs.'
)
_WORDS: Final = {"passed": "ok", "failed": "**RED**", "skipped": "not run"}


def terminal_table(content: dict[str, Any]) -> str:
    """What was measured, what is red and how to have it again."""
    lines = ["", "  What was proved", ""]
    for line in content["suites"]:
        if line["figures"]:
            word = _WORDS[line["outcome"]].strip("*")
            lines.append(f"  {word:<8}{line['suite']:<46} {_figures(line)}  ({line['seconds']} s)")
    lines += ["", "  " + _summary(content)]
    for line in content["suites"]:
        if line["outcome"] != "passed":
            lines.append(f"  {_WORDS[line['outcome']].strip('*')}: {line['test']}: {line['why']}")
            lines.append(f"    again: {line['replay']}")
    return "\n".join(lines)


def write(content: dict[str, Any]) -> None:
    """Writes PROOF.md from what a whole run left."""
    bench = json.loads(_BENCH.read_text()) if _BENCH.exists() else None
    if bench is not None:
        _PLOTS.mkdir(parents=True, exist_ok=True)
        for pattern in ("bench-*.svg", "profile-*.txt"):
            for found in _BENCH.parent.glob(pattern):
                shutil.copy(found, _PLOTS)
    PATH.write_text(document(content, bench))
    SECONDS.write_text(json.dumps(content["modules"], indent=1, sort_keys=True) + "\n")


def write_again() -> None:
    """Writes PROOF.md from the last run of `make prove` and what `make bench` measured since."""
    write(json.loads(_PROVE.read_text()))


def document(content: dict[str, Any], bench: dict[str, Any] | None) -> str:
    """PROOF.md: the run, its suites, the guarantees, and the speed where it was measured."""
    parts = [_head(content), _suites(content), _guarantees(content)]
    if bench is not None:
        parts.append(_speed(bench))
    return "\n\n".join(parts) + "\n"


def rewrite_guarantees() -> None:
    """Replaces the table of guarantees only: after a test got another name."""
    before, _, rest = PATH.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PATH.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


def guarantees_in(text: str) -> str:
    """The table of guarantees as it stands in PROOF.md."""
    return text.partition(BEGIN)[2].partition(END)[0].strip("\n")


def _head(content: dict[str, Any]) -> str:
    machine = content["machine"]
    memory = machine["memory_bytes"] / 2**30
    programs = f"Python {machine['python']}, gRPC {machine['grpcio']}, SQLite {machine['sqlite']}"
    return f"""# Proof

What was promised, and what a run of `make prove` saw. Nothing here is written by hand; what is red
stays red until it is mended.

| | |
|---|---|
| Date | {content["date"]} |
| Commit | {content["commit"]} |
| Command | `{content["command"]}` |
| Machine | {machine["cores"]} cores of {machine["cpu"]}, {memory:.0f} GiB, {machine["system"]} |
| Programs | {programs}, {machine["postgresql"]} |
| Took | {content["seconds"] // 60} min {content["seconds"] % 60:02d} s |
| Outcome | {_summary(content)} |"""


def _summary(content: dict[str, Any]) -> str:
    lines = content["suites"]
    tests = sum(line["cases"] for line in lines)
    red = [line for line in lines if line["outcome"] == "failed"]
    left_out = [line for line in lines if line["outcome"] == "skipped"]
    words = f"{content['outcome']}: {tests:,} tests"
    if red:
        words += f", red: {len(red)}"
    return words + (f", not run: {len(left_out)}" if left_out else "")


def _suites(content: dict[str, Any]) -> str:
    """A row for each line that was reported, under the file it stands in."""
    rows = ["## Suites", "", _SIZES, "", "| Suite | What it saw | Seconds | Release | |"]
    rows.append("|---|---|--:|--:|---|")
    for module in dict.fromkeys(_module(line) for line in content["suites"]):
        rows.append(f"| **{module.removeprefix('tests/')}** | | | | |")
        rows += [_row(line) for line in content["suites"] if _module(line) == module]
    return "\n".join(rows)


def _row(line: dict[str, Any]) -> str:
    word = _WORDS[line["outcome"]]
    if line["outcome"] != "passed":
        why = line["why"].replace("|", "\\|")
        word += f": {why}<br>again: `{line['replay']}`"
    times = line.get("times", 1)
    more = f"×{times:,.0f}" if line["size"] == "push" and times > 1 else ""
    return f"| {line['suite']} | {_figures(line)} | {line['seconds']:g} | {more} | {word} |"


def _figures(line: dict[str, Any]) -> str:
    figures = {name: _number(value) for name, value in line["figures"].items()}
    words = [f"{name.replace('_', ' ')} {value}" for name, value in figures.items()]
    return ", ".join(words) or f"{line['cases']:,} {'case' if line['cases'] == 1 else 'cases'}"


def _number(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _guarantees(content: dict[str, Any]) -> str:
    outcomes: dict[str, set[str]] = {}
    for line in content["suites"]:
        outcomes.setdefault(line["test"].partition("[")[0], set()).add(line["outcome"])
    red = _named(outcomes, "failed")
    absent = _named(outcomes, "skipped")
    said = []
    if red:
        said.append(f"**Red in this run: {', '.join(red)}.**")
    if absent:
        said.append(f"Not wholly run this time: {', '.join(absent)}.")
    words = "\n\n".join(said) or "All that is named here was run and is green."
    return f"## Guarantees\n\n{words}\n\n{BEGIN}\n{table()}\n{END}"


def _named(outcomes: dict[str, set[str]], outcome: str) -> list[str]:
    """The guarantees of which a test ended so; one that was not run at all counts as skipped."""
    missing = {"skipped"}
    return [
        each.id
        for each in GUARANTEES
        if any(outcome in outcomes.get(test, missing) for test in each.tests)
    ]


def _speed(bench: dict[str, Any]) -> str:
    heads: Sequence[str] = ("Figure", "What", "Median", "Range", "Hold", "Aim", "Reached")
    rows = ["## Speed", "", _conditions(bench), "", f"| {' | '.join(heads)} |"]
    rows.append("|---|---|--:|--:|--:|--:|---|")
    for name, found in bench["figures"].items():
        value, lowest, highest, hold, aim = (
            f"{found[key]:.3g}" for key in ("value", "lowest", "highest", "hold", "aim")
        )
        what = GOALS[name].what + (f", {GOALS[name].unit}" if GOALS[name].unit else "")
        cells = (name, what, value, f"{lowest}–{highest}", hold, aim, found["reached"])
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", "| Run | A second | p50 ms | p99 ms |", "|---|--:|--:|--:|"]
    for subject in dict.fromkeys(run["subject"] for run in bench["runs"]):
        runs = [run for run in bench["runs"] if run["subject"] == subject]
        rate = statistics.median(run["per_second"] for run in runs)
        latencies = " | ".join(_milliseconds(runs, key) for key in ("p50", "p99"))
        rows.append(f"| {subject.replace('_', ' ')} | {rate:,.0f} | {latencies} |")
    if bench["facts"]:
        rows += ["", "| Fact | |", "|---|--:|"]
        rows += [
            f"| {name.replace('_', ' ')} | {value:,} |" for name, value in bench["facts"].items()
        ]
    for plot in sorted(_PLOTS.glob("bench-*.svg")):
        title = plot.stem.removeprefix("bench-").capitalize()
        rows += ["", f"![{title}]({plot.relative_to(ROOT)})"]
    for profile in sorted(_PLOTS.glob("profile-*.txt")):
        layers, _, _ = profile.read_text().partition("\n\nµs a call  share  function")
        rows += ["", f"Where the time goes ([by function]({profile.relative_to(ROOT)})):", ""]
        rows += ["```", layers, "```"]
    return "\n".join(rows)


def _conditions(bench: dict[str, Any]) -> str:
    given, machine = bench["conditions"], bench["machine"]
    return (
        f"Measured by `make bench`: {given['rounds']} rounds of {given['seconds']:g} s,"
        f" alternating, medians. Client ({given['generator']}), server and database on one machine,"
        f" whose disk syncs in {machine['fdatasync_p50_microseconds']} µs"
        f" ({machine['file_system']}); {given['postgresql']}."
        " What stands in the way of a figure is in the profiles below and in DECISIONS."
    )


def _milliseconds(runs: Sequence[dict[str, Any]], percentile: str) -> str:
    found = [run[f"{percentile}_microseconds"] for run in runs]
    return f"{statistics.median(found) / 1000:.1f}" if all(found) else ""


def _module(line: dict[str, Any]) -> str:
    return str(line["test"]).partition("::")[0] or "the run"
