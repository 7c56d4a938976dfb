"""The examples of a page: each command is run, and its answer stands below it.

What stands in ```sh is run before each.  A command starts with `$ ` and goes on until its quotes
are closed; what follows is the answer.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_SET_UP: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
Volatile = Sequence[tuple[re.Pattern[str], str]]


def check(
    page: Path,
    places: Mapping[str, str],
    volatile: Volatile,
    *,
    regenerate: bool,
    language: str = "console",
) -> int:
    """Runs every example of a page in its order, and compares; returns how many there were.

    The examples are the blocks of this language.  `places` says where what is printed really is.
    """
    block = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    text = page.read_text()
    set_up = "".join(match.group(1) for match in _SET_UP.finditer(text))
    count = 0

    def run_block(match: re.Match[str]) -> str:
        nonlocal count
        lines = []
        for command in _commands(match.group(1)):
            lines.append(f"$ {command}\n{_run(set_up, command, places)}\n")
            count += 1
        return f"```{language}\n" + "".join(lines) + "```"

    now = block.sub(run_block, text)
    if regenerate:
        page.write_text(now)
        return count
    assert _plain(now, volatile) == _plain(text, volatile)
    return count


def _commands(block: str) -> list[str]:
    commands: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
        elif commands and commands[-1].count("'") % 2:
            commands[-1] += "\n" + line
    return commands


def _run(set_up: str, command: str, places: Mapping[str, str]) -> str:
    script = f"{set_up}\n{command}"
    for printed, real in places.items():
        script = script.replace(printed, real)
    done = subprocess.run(
        ["bash", "-euc", script], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.rstrip("\n")


def _plain(text: str, volatile: Volatile) -> str:
    for pattern, replacement in volatile:
        text = pattern.sub(replacement, text)
    return text
