"""production.yaml with the real service behind it: each shows the other its certificate."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.envoy import BEARER
from tests.edge.process import Envoy, wait_until
from tests.edge.production import Site, port_of
from tests.grpc_server import TOKEN, GrpcServer
from tests.ports import free_port

_OWN = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def _serving(site: Site, directory: Path) -> Iterator[tuple[Envoy, int]]:
    """Envoy and the port of the one replica that runs; the other is down."""
    url = f"sqlite:///{directory}/giftcard.db"
    with GrpcServer(url, directory, environment=site.settings) as server:
        server.start()
        port = port_of(server)
        with Envoy(site.configuration([port, free_port()]), site.folder) as envoy:
            yield envoy, port


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_calls_reach_the_service(site: Site, tmp_path: Path) -> None:
    with _serving(site, tmp_path) as (envoy, port):
        wait_until("the replica is healthy", lambda: envoy.healthy("service")[port])
        caller = site.caller(envoy)
        # The replica that is down gets none of them.
        assert {caller.call("GET", "/v1/giftCards", headers=_OWN).status for _ in range(20)} == {
            200
        }
        assert caller.call("GET", "/v1/giftCards", headers=BEARER).status == 401
        assert envoy.counter("cluster.service.ssl.handshake") >= 1
        _renew_and_call(site, envoy)


def _renew_and_call(site: Site, envoy: Envoy) -> None:
    """A new client certificate is taken up while calls go on."""
    taken = "cluster.service.client_ssl_socket_factory.ssl_context_update_by_sds"
    so_far = envoy.counter(taken)
    site.renew("service")
    wait_until("Envoy has it", lambda: envoy.counter(taken) > so_far)
    said = site.caller(envoy).call("GET", "/v1/giftCards", headers=_OWN)
    assert said.status == 200


def test_a_certificate_for_another_name_is_not_the_service(tmp_path: Path) -> None:
    site = Site(tmp_path, service_name="elsewhere.internal")
    with _serving(site, tmp_path) as (envoy, _):
        refused = "cluster.service.ssl.fail_verify_san"
        wait_until("Envoy has looked", lambda: envoy.counter(refused) > 0)
        assert not any(envoy.healthy("service").values())
        said = site.caller(envoy).call("GET", "/v1/giftCards", headers=_OWN)
        assert (said.status, said.json["details"][0]["reason"]) == (503, "UNAVAILABLE")


def test_the_service_wants_envoys_certificate(site: Site, tmp_path: Path) -> None:
    """One that a stranger signed does not do."""
    stranger = Site(tmp_path / "stranger")
    for name in ("certificate.pem", "key.pem"):
        (stranger.folder / "service" / name).rename(site.folder / "service" / name)
    with _serving(site, tmp_path) as (envoy, _):
        failed = "cluster.service.health_check.failure"
        wait_until("Envoy has tried", lambda: envoy.counter(failed) > 2)
        assert not any(envoy.healthy("service").values())
        said = site.caller(envoy).call("GET", "/v1/giftCards", headers=_OWN)
        assert (said.status, said.json["details"][0]["reason"]) == (503, "UNAVAILABLE")
