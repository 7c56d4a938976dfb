"""The table on the terminal and var/bench.json."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.bench import Bench
from tests.bench.figures import GOALS

Row = Sequence[str]


def document(machine: dict[str, Any], conditions: dict[str, Any], bench: Bench) -> dict[str, Any]:
    """Everything measured, for var/bench.json."""
    runs, figures = bench.runs, bench.figures
    return {
        "machine": machine,
        "conditions": conditions,
        "figures": {
            figure.name: {
                **asdict(figure),
                "hold": GOALS[figure.name].hold,
                "aim": GOALS[figure.name].aim,
                "reached": GOALS[figure.name].reached(figure.value),
            }
            for figure in figures
        },
        "runs": [
            {"subject": run.subject, "round": run.round, **asdict(run.sample)} for run in runs
        ],
        "facts": bench.facts,
        "curves": [asdict(curve) for curve in bench.curves],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def tables(content: dict[str, Any]) -> str:
    """The same for people: machine, runs, figures."""
    return "\n\n".join(
        (
            _machine(content["machine"], content["conditions"]),
            _runs(content),
            _facts(content["facts"]),
            _figures(content),
        )
    )


def _machine(machine: dict[str, Any], conditions: dict[str, Any]) -> str:
    gibibytes = machine["memory_bytes"] / 2**30
    syncs = "{fdatasync_p50_microseconds} and {fdatasync_p99_microseconds}".format_map(machine)
    programs = [
        f"Python {machine['python']}",
        f"gRPC {machine['grpcio']}",
        f"SQLite {machine['sqlite']}",
        conditions["postgresql"],
    ]
    facts = [
        f"{machine['cores']} cores of {machine['cpu']}, {gibibytes:.0f} GiB, {machine['system']}",
        ", ".join(filter(None, programs)),
        f"Disk: {machine['file_system']}, fdatasync p50 and p99 in µs: {syncs}",
        f"Load average at the start: {machine['load_average_1_minute']}",
        f"{conditions['rounds']} rounds of {conditions['seconds']:g} s, alternating",
        f"Load: {conditions['in_flight']} calls in flight for each server process",
        f"Load generator: {conditions['generator']}, on the same machine as server and database",
    ]
    return "\n".join(facts)


def _runs(content: dict[str, Any]) -> str:
    """Medians over the rounds; processor time as cores in use."""
    rows = []
    for subject in dict.fromkeys(run["subject"] for run in content["runs"]):
        runs = [run for run in content["runs"] if run["subject"] == subject]
        rates = [run["per_second"] for run in runs]
        row = [subject, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}–{max(rates):,.0f}"]
        for name in ("p50_microseconds", "p99_microseconds"):
            values = [run[name] for run in runs if run[name] is not None]
            row.append(f"{statistics.median(values) / 1000:.1f}" if values else "")
        for name in ("server", "generator", "database"):
            cores = [
                run["cpu_seconds"][name] / run["seconds"]
                for run in runs
                if name in run["cpu_seconds"]
            ]
            row.append(f"{statistics.median(cores):.2f}" if cores else "")
        rows.append([*row, _microseconds_a_call(runs)])
    heads = (
        "run", "per second", "range", "p50 ms", "p99 ms", "server cores", "load cores", "db cores",
        "server µs a call",
    )  # fmt: skip
    return _table(heads, rows)


def _microseconds_a_call(runs: Sequence[dict[str, Any]]) -> str:
    """Processor time of the server: it tells more than the rate where others use the machine."""
    costs = [
        run["cpu_seconds"]["server"] / run["seconds"] / run["per_second"] * 1_000_000
        for run in runs
        if "server" in run["cpu_seconds"]
    ]
    return f"{statistics.median(costs):.0f}" if costs else ""


def _facts(facts: dict[str, float]) -> str:
    return _table(("fact", "value"), [(name, f"{value:,}") for name, value in facts.items()])


def _figures(content: dict[str, Any]) -> str:
    rows = [
        [
            name, _number(found["value"], name),
            f"{_number(found['lowest'], name)}–{_number(found['highest'], name)}",
            f"{found['hold']:g}", f"{found['aim']:g}", found["reached"], GOALS[name].what,
        ]
        for name, found in content["figures"].items()
    ]  # fmt: skip
    return _table(("figure", "median", "range", "hold", "aim", "reached", "what"), rows)


def _number(value: float, name: str) -> str:
    unit = GOALS[name].unit
    return f"{value:.1f} {unit}" if unit else f"{value:.2f}"


def _table(heads: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as they need; words to the left, numbers to the right."""
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(not cell or cell[0].isdigit() for cell in column[1:]) for column in columns]

    def line(cells: Row) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join((line(heads), "  ".join("─" * width for width in widths), *map(line, rows)))
