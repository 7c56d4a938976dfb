"""generated/ is what proto/ yields, passes buf, and its distribution works alone."""

import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from proto import generate

USE = """
import sys
sys.path.insert(0, sys.argv[1])
from giftcard.v1 import GiftCardServiceStub, Money, RedeemGiftCardRequest
request = RedeemGiftCardRequest(amount=Money(minor_units=500, currency_code="USD"))
assert RedeemGiftCardRequest.FromString(request.SerializeToString()) == request
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"server", "compat_http", "grpc_status", "grpc_health", "sqlalchemy"}, loaded
print(sys.modules["giftcard.v1"].__file__)
"""


def test_generated_equals_regeneration(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    difference = generate.first_difference(generate.GENERATED, tmp_path)
    assert difference is None, f"generated/{difference}: run `python proto/generate.py`"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("nothing", None),
        ("edit giftcard/v1/gift_card_pb2.py", "giftcard/v1/gift_card_pb2.py"),
        ("remove giftcard/py.typed", "giftcard/py.typed"),
        ("add giftcard/v1/stray.py", "giftcard/v1/stray.py"),
        ("edit giftcard.binpb", "giftcard.binpb"),
        ("add README.md", None),
        ("add giftcard/__pycache__/x.pyc", None),
    ],
)
def test_check_names_the_first_difference(tmp_path: Path, change: str, named: str | None) -> None:
    names = ["giftcard.binpb", "giftcard/py.typed", "giftcard/v1/gift_card_pb2.py"]
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
    command = [sys.executable, "proto/generate.py", "--lint"]
    result = subprocess.run(command, cwd=generate.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_client_distribution_installs_and_imports_alone(tmp_path: Path) -> None:
    """Builds the wheel and unpacks it beside what its metadata ask for, and nothing else."""
    build = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        str(tmp_path / "dist"),
    ]
    subprocess.run(build, cwd=generate.GENERATED, capture_output=True, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (metadata,) = site.glob("*.dist-info/METADATA")
    requirements = re.findall(r"^Requires-Dist: (\S+?)[<>=!~ ]", metadata.read_text(), re.MULTILINE)
    assert sorted(requirements) == ["googleapis-common-protos", "grpcio", "protobuf"]
    for name in [*requirements, "typing-extensions"]:  # the last one comes with grpcio
        _link_distribution(name, site)
    # Isolated and without site-packages: only the folder given is importable.
    command = [sys.executable, "-I", "-S", "-c", USE, str(site)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_relative_to(site)


def _link_distribution(name: str, site: Path) -> None:
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or () if ".." not in file.parts}:
        link = site / top
        if not link.exists() and not top.endswith(".dist-info"):
            link.symlink_to(Path(str(installed.locate_file(top))))
