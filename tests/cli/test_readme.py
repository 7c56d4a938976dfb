"""The README's walk, run as printed: every command, every line of its output.

Ids, times and days differ from run to run, so they are compared by shape; a hold's name in a later
command stands for the one that this run was given.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.cli.giftcard import ROOT, TIMEOUT_SECONDS, environment, run, serving

_SHAPES = (
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}Z"), "<time>"),
    (re.compile(r"\b20\d{2}-\d{2}-\d{2}\b(?!-)"), "<day>"),
)
_HOLD = re.compile(r"holds/[0-9a-f]{32}")


def _walk() -> list[tuple[list[str], list[str]]]:
    """The commands of the README's console blocks, each with the lines printed after it."""
    steps: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ giftcard "):
                steps.append((shlex.split(line)[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def test_the_program_of_the_readme_runs(tmp_path: Path) -> None:
    """Twice: the second time it gets the first answer again."""
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    promised = re.findall(r"\d+ (?:True|False)", program)
    assert promised == ["2000 False", "2000 True"]
    with serving(tmp_path, {"GIFTCARD_DEMO": "1"}) as service:
        own = program.replace("127.0.0.1:50051", service.address)
        for line in promised:
            done = subprocess.run(
                [sys.executable, "-c", own],
                env=environment(tmp_path, {}),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
            assert (done.stdout.strip(), done.stderr) == (line, "")


def _shape(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    for pattern, name in _SHAPES:
        text = pattern.sub(name, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_readme_tells_the_truth(tmp_path: Path) -> None:
    steps = _walk()
    assert len(steps) > 10
    holds: dict[str, str] = {}
    with serving(tmp_path, {"GIFTCARD_DEMO": "1"}) as service:
        there = {
            "GIFTCARD_SERVER": service.address,
            "GIFTCARD_TOKEN": "demo-service-token",
            "COLUMNS": "200",
        }
        for arguments, printed in steps:
            if arguments == ["verify"]:
                assert service.stop() == 0
            settings = {} if arguments == ["verify"] else there
            done = run(tmp_path, *(holds.get(word, word) for word in arguments), settings=settings)
            output = (done.stdout + done.stderr).splitlines()
            assert _shape(output) == _shape(printed), " ".join(arguments)
            shown, found = (_HOLD.findall("\n".join(lines)) for lines in (printed, output))
            holds.update(zip(shown, found, strict=True))
