"""generated/ is what proto/ yields, and passes buf."""

import subprocess
import sys
from pathlib import Path

import pytest

from proto import generate


def test_generated_equals_regeneration(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    difference = generate.first_difference(generate.GENERATED, tmp_path)
    assert difference is None, f"generated/{difference}: run `python -m proto.generate`"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("nothing", None),
        ("edit giftcard/v1/gift_card_pb2.py", "giftcard/v1/gift_card_pb2.py"),
        ("remove giftcard/py.typed", "giftcard/py.typed"),
        ("add giftcard/v1/stray.py", "giftcard/v1/stray.py"),
        ("edit giftcard.binpb", "giftcard.binpb"),
        ("edit giftcard_client/reasons.py", "giftcard_client/reasons.py"),
        ("add giftcard_client/client.py", None),
        ("add README.md", None),
        ("add giftcard/__pycache__/x.pyc", None),
    ],
)
def test_check_names_the_first_difference(tmp_path: Path, change: str, named: str | None) -> None:
    names = [
        "giftcard.binpb",
        "giftcard/py.typed",
        "giftcard/v1/gift_card_pb2.py",
        "giftcard_client/reasons.py",
    ]
    for folder in ("committed", "fresh"):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("same")
    verb, _, name = change.partition(" ")
    target = tmp_path / "committed" / name
    if verb == "remove":
        target.unlink()
    elif verb in {"add", "edit"}:
        target.parent.mkdir(exist_ok=True)
        target.write_text("other")
    assert generate.first_difference(tmp_path / "committed", tmp_path / "fresh") == named


def test_the_contract_passes_buf() -> None:
    command = [sys.executable, "-m", "proto.generate", "--lint"]
    result = subprocess.run(command, cwd=generate.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
