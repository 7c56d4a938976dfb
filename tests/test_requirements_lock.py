"""The lock holds wherever packages come from, pins every file, and says what pyproject says."""

import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_LOCK = (_ROOT / "requirements.lock").read_text()
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_DECLARED = [
    *_PROJECT["project"]["dependencies"],
    *(entry for group in _PROJECT["dependency-groups"].values() for entry in group),
    *_PROJECT["build-system"]["requires"],
]


def test_the_lock_names_no_address() -> None:
    assert "://" not in _LOCK
    assert re.findall(r"^\s*--(?!hash=sha256:)\S*", _LOCK, flags=re.MULTILINE) == []


def test_every_locked_package_has_a_hash() -> None:
    entries = re.split(r"\n(?=[a-z])", _LOCK[_LOCK.index("\nalembic==") + 1 :])
    assert len(entries) > 50
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("requirement", sorted(set(_DECLARED)))
def test_a_declared_version_is_exact_and_locked(requirement: str) -> None:
    match = re.fullmatch(r"([a-z0-9-]+)(?:\[\w+\])?==([\w.]+)(?:;.*)?", requirement)
    assert match is not None
    name, version = match.groups()
    assert re.search(rf"^{re.escape(name)}=={re.escape(version)} ", _LOCK, flags=re.MULTILINE)
