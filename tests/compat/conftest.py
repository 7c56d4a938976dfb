"""One server with demo data and one shim before it, for all that only needs them to be there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.goldens import Goldens
from tests.compat.stage import ShimServer
from tests.fault_proxy import FaultProxy
from tests.grpc_server import GrpcServer


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    """A real server over SQLite with the demo merchant."""
    directory = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{directory / 'giftcard.db'}"
    with GrpcServer(url, directory, environment={"GIFTCARD_DEMO": "1"}) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def shim(demo_server: GrpcServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShimServer]:
    """A running shim before it."""
    with ShimServer(demo_server.address, tmp_path_factory.mktemp("shim")) as shim:
        shim.start()
        yield shim


@pytest.fixture(scope="module")
def untouched_shim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShimServer]:
    """A pair of its own for goldens that show the demo cards as nobody has touched them."""
    directory = tmp_path_factory.mktemp("untouched")
    url = f"sqlite:///{directory / 'giftcard.db'}"
    with GrpcServer(url, directory, environment={"GIFTCARD_DEMO": "1"}) as server:
        server.start()
        with ShimServer(server.address, tmp_path_factory.mktemp("shim")) as shim:
            shim.start()
            yield shim


@pytest.fixture(scope="session")
def behind(demo_server: GrpcServer) -> Iterator[FaultProxy]:
    """Between a shim of its own, `cut_shim`, and the service."""
    with FaultProxy(demo_server.address) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def cut_shim(behind: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShimServer]:
    """A shim whose way to the service is cut now and then."""
    with ShimServer(behind.address, tmp_path_factory.mktemp("cut-shim")) as shim:
        shim.start()
        yield shim


@pytest.fixture(scope="module")
def worn_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    """One of the module's own, whose demo cards and customer nobody spares."""
    directory = tmp_path_factory.mktemp("worn-server")
    url = f"sqlite:///{directory / 'giftcard.db'}"
    with GrpcServer(url, directory, environment={"GIFTCARD_DEMO": "1"}) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def worn_shim(
    worn_server: GrpcServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShimServer]:
    """A running shim before it."""
    with ShimServer(worn_server.address, tmp_path_factory.mktemp("worn-shim")) as shim:
        shim.start()
        yield shim


@pytest.fixture
def goldens(request: pytest.FixtureRequest) -> Goldens:
    """Compares with, or writes, the folder `goldens` beside the test."""
    folder = Path(request.path).parent / "goldens"
    return Goldens(folder, regenerate=request.config.getoption("--regenerate-goldens"))
