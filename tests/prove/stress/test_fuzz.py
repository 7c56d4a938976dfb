"""Any bytes for everything that reads what strangers send: an answer or a known refusal."""

import importlib.util
import os
import re
import subprocess
import sys
from typing import Final

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.prove.proof import Proof
from tests.prove.published import ROOT
from tests.prove.stress.fuzz import TARGETS

_GROWTH_BYTES_MAX: Final = 64 * 2**20
_TEXTS: Final = st.text(
    alphabet="0123456789.,-+eE \t\"'{}[]:\\/aTZ\u0661\uff11\u00a0\u0000", max_size=40
)
_BYTES: Final = st.one_of(st.binary(max_size=200), _TEXTS.map(str.encode))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(proof: Proof, name: str) -> None:
    """By Hypothesis, on every machine."""
    inputs = proof.cases(push=4_000, release=200_000)
    target = TARGETS[name]

    @seed(proof.seed)
    @settings(
        max_examples=inputs, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=_BYTES)
    def one(data: bytes) -> None:
        target(data)

    for data in (b"", b"0", b"5.00", b"{}"):
        target(data)
    process = psutil.Process()
    before = process.memory_info().rss
    one()
    growth = process.memory_info().rss - before
    proof.report(
        f"Any bytes, {name}, Hypothesis", inputs=inputs,
        growth_mebibytes=round(growth / 2**20, 1),
    )  # fmt: skip
    assert growth < _GROWTH_BYTES_MAX


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_bytes_that_reach_every_branch(proof: Proof, name: str) -> None:
    """By atheris, which looks for inputs that take other branches."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has no wheel for this Python: Hypothesis alone invents the inputs")
    inputs = proof.cases(push=200_000, release=200_000_000)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.prove.stress.fuzz",
            name,
            str(inputs),
            str(proof.seed % 2**31),
        ],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'generated'}"},
    )
    ran = [int(count) for count in re.findall(r"^Done (\d+)", done.stderr, re.MULTILINE)]
    memory = [int(each) for each in re.findall(r"rss: (\d+)Mb", done.stderr)]
    proof.report(
        f"Any bytes, {name}, atheris", inputs=ran[0] if ran else 0,
        memory_mebibytes_first=memory[0] if memory else 0,
        memory_mebibytes_last=memory[-1] if memory else 0,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert ran[0] >= inputs
    assert memory[-1] - memory[0] < _GROWTH_BYTES_MAX // 2**20
