"""Conversations over HTTP, kept on disk byte for byte but for what is different each time.

A golden is a file that a person can read: each request with its body, each answer with status,
the headers that matter and its body.  `pytest tests/compat --regenerate-goldens` writes them anew.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.compat.stage import Said, call

#: Of these headers an answer's value is kept, where it has one.
_HEADERS: Final = ("content-type", "cache-control", "allow", "www-authenticate", "retry-after")
#: What stands for credentials that are not published.
_HIDDEN: Final = ("authorization",)


@dataclass(frozen=True, slots=True)
class Step:
    """One request.

    `keeps` says what of the answer later steps need: a name, and a pattern whose group it is.  They
    write it as «name», and so does the golden.
    """

    method: str
    target: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    keeps: Mapping[str, str] = field(default_factory=dict)


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
        kept: dict[str, str] = {}
        conversation = "\n".join(_exchange(address, step, volatile, kept) for step in steps)
        path = self.folder / f"{name}.txt"
        if self.regenerate:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(conversation)
        assert path.exists(), f"no golden {path.name}: run with --regenerate-goldens"
        assert conversation == path.read_text()


def _exchange(
    address: str, step: Step, volatile: Sequence[tuple[re.Pattern[str], str]], kept: dict[str, str]
) -> str:
    target, body = _filled(step.target, kept), _filled(step.body, kept).encode() or None
    said = call(address, step.method, target, body, step.headers)
    lines = [f"> {step.method} {step.target}"]
    lines += [
        f"> {name}: {value.split()[0] + ' …' if name.lower() in _HIDDEN else value}"
        for name, value in step.headers.items()
    ]
    if step.body:
        lines.append(step.body)
    lines.append(f"< {said.status}")
    lines += [f"< {name}: {said.headers[name]}" for name in _HEADERS if name in said.headers]
    lines += _body(said, step.keeps, volatile, kept)
    return "\n".join(lines) + "\n"


def _filled(text: str, kept: Mapping[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace(f"«{name}»", value)
    return text


def _body(
    said: Said,
    keeps: Mapping[str, str],
    volatile: Sequence[tuple[re.Pattern[str], str]],
    kept: dict[str, str],
) -> list[str]:
    """The body as the golden has it; of what is no text only how it begins."""
    if said.headers.get("content-type", "").startswith("image/"):
        return [f"{said.body[:3].hex(' ')} …"]
    text = said.body.decode()
    for name, kept_pattern in keeps.items():
        found = re.search(kept_pattern, text)
        assert found, f"the answer has no {name}: {text}"
        kept[name] = found.group(1)
    for name, value in kept.items():
        text = text.replace(value, f"«{name}»")
    for pattern, replacement in volatile:
        text = pattern.sub(replacement, text)
    return [text] if text else []
