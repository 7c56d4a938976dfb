"""The README's lines for the edge, run as printed."""

import os
import re
import sysconfig
from pathlib import Path
from typing import Final

import pytest

from compat_http.envoy import config
from tests.compat import documented
from tests.compat.cp_extender.test_goldens import VOLATILE as CP_VOLATILE
from tests.compat.iwarehouse.test_goldens import VOLATILE as IWAREHOUSE_VOLATILE
from tests.compat.retail7.test_goldens import VOLATILE as RETAIL7_VOLATILE
from tests.edge.envoy import Edge

_VOLATILE: Final = (
    (re.compile(r'\\"[0-9a-f]{8}-\d+\\"'), "<etag>"),
    *CP_VOLATILE,
    *IWAREHOUSE_VOLATILE,
    *RETAIL7_VOLATILE,
)  # fmt: skip


def test_the_readme_tells_the_truth_of_the_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    programs = sysconfig.get_path("scripts")
    monkeypatch.setenv("PATH", programs + os.pathsep + os.environ["PATH"])
    monkeypatch.chdir(config.ROOT)
    with Edge(tmp_path) as edge:
        edge.start()
        places = {
            "127.0.0.1:8443": f"127.0.0.1:{edge.port}",
            "var/edge/tls/certificate.pem": str(edge.certificate),
        }
        count = documented.check(
            config.ROOT / "README.md",
            places,
            _VOLATILE,
            regenerate=request.config.getoption("--regenerate-goldens"),
            language="shell-session",
        )
    assert count == 8
