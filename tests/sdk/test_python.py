"""The Python client from its wheel, alone in an environment of its own, as its users have it."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest

from tests.cli.giftcard import serving

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = ROOT / "tests/sdk/python/quick_start.py"
PRINTED: Final = (ROOT / "tests/sdk/python/expected.txt").read_text()
PAGES: Final = ("docs/sdk/python.md", "generated/README.md", "README.md")
#: What the wheel asks for, and what that brings.
NEEDED: Final = ("googleapis-common-protos", "grpcio", "protobuf", "typing-extensions")


def run(*command: str | Path, **more: str) -> str:
    """Output of a program that must succeed; of the environment it has what a shell needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [str(word) for word in command],
        env={**kept, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter in an environment that holds the wheel and what its metadata ask for."""
    directory = tmp_path_factory.mktemp("alone")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT / "generated", capture_output=True, check=True)
    (wheel,) = directory.glob("*.whl")
    uv = ROOT / ".tools/uv/bin/uv"
    environment = directory / "environment"
    run(uv, "venv", "--python", sys.executable, environment)
    # The dependencies are this environment's own files: the test needs no network.
    (site,) = (environment / "lib").glob("python*/site-packages")
    for name in NEEDED:
        _lend(name, site)
    found = environment / "bin/python"
    run(uv, "pip", "install", "--offline", "--python", found, wheel)
    assert "satisfied" not in run(uv, "pip", "check", "--python", found)
    return found


def _lend(name: str, site: Path) -> None:
    """Puts an installed distribution into another environment: files linked, metadata copied."""
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or () if ".." not in file.parts}:
        own, lent = Path(str(installed.locate_file(top))), site / top
        if top.endswith(".dist-info"):  # uv does not see a link
            shutil.copytree(own, lent)
        elif not lent.exists():
            lent.symlink_to(own)


def test_the_quick_start_runs_with_the_wheel_alone(python: Path, tmp_path: Path) -> None:
    with serving(tmp_path, {"GIFTCARD_DEMO": "1"}) as service:
        printed = run(
            python,
            "-I",
            PROGRAM,
            GIFTCARD_SERVER=service.address,
            GIFTCARD_TOKEN="demo-service-token",
        )
    assert printed == PRINTED


def test_nothing_of_the_server_came_along(python: Path) -> None:
    listed = "import sys, giftcard_client; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    loaded = run(python, "-I", "-c", listed).split()
    assert "giftcard_client" in loaded
    assert not {"server", "compat_http", "grpc_status", "sqlalchemy"} & {*loaded}


def test_the_page_shows_the_program_and_what_it_prints() -> None:
    page = (ROOT / "docs/sdk/python.md").read_text()
    assert f"```python\n{PROGRAM.read_text()}```" in page
    assert f"```\n{PRINTED}```" in page


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_the_pages_pass_mypy(page: str, tmp_path: Path) -> None:
    """In the way a user's own checker sees them."""
    for number, example in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    ):
        (tmp_path / f"example_{number}.py").write_text(example)
    run(
        sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache",
        *sorted(tmp_path.glob("*.py")), MYPYPATH=str(ROOT / "generated"),
    )  # fmt: skip
