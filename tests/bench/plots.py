"""The curves as pictures: throughput against concurrency, latency against load.

Reads what the report wrote and measures nothing.
"""

from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INCHES: Final = (8.0, 4.5)
_PERCENTILES: Final = (("p50_microseconds", "-", "p50"), ("p99_microseconds", "--", "p99"))


def plot(content: dict[str, Any], folder: Path) -> list[Path]:
    """Writes bench-throughput.svg and bench-latency.svg; returns their paths."""
    machine = content["machine"]
    where = f"{machine['cores']} cores of {machine['cpu']}; client, server and database together"
    throughput, latency = _axes(where), _axes(where)
    for curve in content["curves"]:
        points = curve["points"]
        if curve["kind"] == "concurrency":
            rates = [point["sample"]["per_second"] for point in points]
            throughput.plot(
                [point["x"] for point in points], rates, marker="o", label=curve["name"]
            )
        else:
            _latencies(latency, curve["name"], points)
    throughput.set_xscale("log", base=2)
    throughput.xaxis.set_major_formatter("{x:g}")
    throughput.set_xlabel("calls in flight")
    throughput.set_ylabel("calls a second")
    throughput.set_ylim(bottom=0)
    throughput.set_title("Throughput against concurrency")
    latency.set_yscale("log")
    latency.set_xlabel("calls offered a second")
    latency.set_ylabel("milliseconds")
    latency.set_title("Latency against load")
    return [
        _save(throughput, folder / "bench-throughput.svg"),
        _save(latency, folder / "bench-latency.svg"),
    ]


def _axes(where: str) -> Axes:
    figure = Figure(figsize=_INCHES, layout="constrained")
    figure.supxlabel(where, fontsize="x-small", color="gray")
    axes = figure.add_subplot()
    axes.grid(visible=True, alpha=0.3)
    return axes


def _latencies(axes: Axes, name: str, points: list[dict[str, Any]]) -> None:
    """Both percentiles of one subject in one colour."""
    colour = None
    for key, style, label in _PERCENTILES:
        (line,) = axes.plot(
            [point["x"] for point in points],
            [point["sample"][key] / 1000 for point in points],
            style, marker="o", color=colour, label=f"{name}, {label}",
        )  # fmt: skip
        colour = line.get_color()


def _save(axes: Axes, path: Path) -> Path:
    axes.legend()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(path, metadata={"Date": None})
    return path
