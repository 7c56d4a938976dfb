"""Conversations over HTTP, kept on disk byte for byte but for what is different each time.

A golden is a file that a person can read: each request with its body, each answer with status,
the headers that matter and its body.  `pytest tests/compat --regenerate-goldens` writes them anew.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.compat.stage import call

#: Of these headers an answer's value is kept, where it has one.
_HEADERS: Final = ("content-type", "cache-control", "allow", "www-authenticate", "retry-after")
#: What stands for credentials that are not published.
_HIDDEN: Final = ("authorization",)


@dataclass(frozen=True, slots=True)
class Step:
    """One request."""

    method: str
    target: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goldens:
    """The goldens in one folder."""

    folder: Path
    regenerate: bool

    def check(
        self,
        name: str,
        address: str,
        steps: Iterable[Step],
        volatile: Sequence[tuple[re.Pattern[str], str]],
    ) -> None:
        """Calls, and compares with the golden of that name."""
        conversation = "\n".join(_exchange(address, step, volatile) for step in steps)
        path = self.folder / f"{name}.txt"
        if self.regenerate:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(conversation)
        assert path.exists(), f"no golden {path.name}: run with --regenerate-goldens"
        assert conversation == path.read_text()


def _exchange(address: str, step: Step, volatile: Sequence[tuple[re.Pattern[str], str]]) -> str:
    body = step.body.encode() if step.body else None
    said = call(address, step.method, step.target, body, step.headers)
    lines = [f"> {step.method} {step.target}"]
    lines += [
        f"> {name}: {value.split()[0] + ' …' if name.lower() in _HIDDEN else value}"
        for name, value in step.headers.items()
    ]
    if step.body:
        lines.append(step.body)
    lines.append(f"< {said.status}")
    lines += [f"< {name}: {said.headers[name]}" for name in _HEADERS if name in said.headers]
    text = said.body.decode()
    for pattern, replacement in volatile:
        text = pattern.sub(replacement, text)
    if text:
        lines.append(text)
    return "\n".join(lines) + "\n"
