"""The examples of a page in docs/: each command is run, and its answer stands below it.

What stands in ```sh is run before each.  A command starts with `$ ` and goes on until its quotes
are closed; what follows is the answer.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SET_UP: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PRINTED_ADDRESS: Final = "127.0.0.1:8080"

Volatile = Sequence[tuple[re.Pattern[str], str]]


def check(page: Path, address: str, volatile: Volatile, *, regenerate: bool) -> int:
    """Runs every example of a page in its order, and compares; returns how many there were."""
    text = page.read_text()
    set_up = "".join(match.group(1) for match in _SET_UP.finditer(text))
    count = 0

    def run_block(match: re.Match[str]) -> str:
        nonlocal count
        lines = []
        for command in _commands(match.group(1)):
            lines.append(f"$ {command}\n{_run(set_up, command, address)}\n")
            count += 1
        return "```console\n" + "".join(lines) + "```"

    now = _BLOCK.sub(run_block, text)
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


def _run(set_up: str, command: str, address: str) -> str:
    script = f"{set_up}\n{command}".replace(_PRINTED_ADDRESS, address)
    done = subprocess.run(
        ["bash", "-euc", script], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.rstrip("\n")


def _plain(text: str, volatile: Volatile) -> str:
    for pattern, replacement in volatile:
        text = pattern.sub(replacement, text)
    return text
