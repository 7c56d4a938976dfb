"""The README's walk, run as printed: every command, every line of its output.

Ids, times and days differ from run to run, so they are compared by shape; a hold's name in a later
command stands for the one that this run was given.
"""

import re
import shlex
from pathlib import Path

from tests.cli.giftcard import ROOT, run, serving

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
