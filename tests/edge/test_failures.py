"""What callers are told when the service is away, or goes away in the middle of a call."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from giftcard import v1

from compat_http.envoy import certificate, config
from tests.edge.envoy import BEARER, Caller
from tests.edge.process import Envoy, wait_until
from tests.fault_proxy import FaultProxy
from tests.faults.client import Client
from tests.grpc_server import GrpcServer
from tests.ports import free_port

_DEMO: Final = (("authorization", "Bearer demo-service-token"),)
_LOOKUP: Final = "/v1/giftCards:lookup"
_REDEEM: Final = "/v1/giftCards:redeem"
#: The first bytes that the service sends may be its greeting, before it carries anything out.
_TRIES: Final = 20


@contextmanager
def _edge_before(address: str, directory: Path) -> Iterator[tuple[Envoy, Caller]]:
    """Envoy before a service at this address; there is no shim."""
    certificate.ensure(directory / "tls")
    text = config.development(
        directory,
        edge_port=0,
        admin_port=0,
        grpc_port=int(address.rpartition(":")[2]),
        http_port=free_port(),
    )
    with Envoy(text, directory) as envoy:
        yield envoy, Caller(envoy.port, directory / "tls" / certificate.CERTIFICATE)


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Envoy, Caller]]:
    """Nothing behind Envoy at all."""
    directory = tmp_path_factory.mktemp("away")
    with _edge_before(f"127.0.0.1:{free_port()}", directory) as edge:
        envoy = edge[0]
        wait_until("Envoy knows", lambda: not any(envoy.healthy("service").values()))
        yield edge


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    directory = tmp_path_factory.mktemp("service")
    url = f"sqlite:///{directory}/giftcard.db"
    with GrpcServer(url, directory, environment={"GIFTCARD_DEMO": "1"}) as server:
        server.start()
        yield server


@pytest.fixture
def cut(service: GrpcServer, tmp_path: Path) -> Iterator[tuple[FaultProxy, Envoy, Caller]]:
    """A service whose answers can be cut off on their way to Envoy."""
    with (
        FaultProxy(service.address) as proxy,
        _edge_before(proxy.address, tmp_path) as (envoy, caller),
    ):
        wait_until("the service is healthy", lambda: all(envoy.healthy("service").values()))
        yield proxy, envoy, caller


# The service is away


def test_rest_says_that_nothing_was_done(away: tuple[Envoy, Caller]) -> None:
    """Pitfall: in panic Envoy would call what is known to be down, and wait for it."""
    _, caller = away
    said = caller.call("POST", _LOOKUP, {"giftCard": {"code": "12399"}}, BEARER)
    assert said.status == 503
    info, retry = said.json["details"]
    assert (said.json["code"], info["reason"]) == (14, "UNAVAILABLE")
    assert retry["retryDelay"] == "0.200s"


async def test_grpc_says_that_nothing_was_done(away: tuple[Envoy, Caller]) -> None:
    """Pitfall: what a mapper writes as a body becomes the message of a gRPC call."""
    _, caller = away
    async with caller.channel() as channel:
        said = await Client([channel]).call(
            "ListGiftCards", v1.ListGiftCardsRequest(), metadata=_DEMO
        )
    assert (said.code, said.reason) == ("UNAVAILABLE", "UNAVAILABLE")
    assert said.retry_seconds == 0.2


async def test_the_message_is_words(away: tuple[Envoy, Caller]) -> None:
    _, caller = away
    async with caller.channel() as channel:
        stub: Any = v1.GiftCardServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListGiftCards(v1.ListGiftCardsRequest(), metadata=_DEMO)
    assert "{" not in (caught.value.details() or "")


def test_a_till_is_told_too(away: tuple[Envoy, Caller]) -> None:
    _, caller = away
    said = caller.call("GET", "/giftcard/12399/balancecheck")
    assert said.status == 503
    assert said.json["details"][0]["reason"] == "UNAVAILABLE"


def test_nothing_is_sent_to_what_is_down(away: tuple[Envoy, Caller]) -> None:
    envoy, caller = away
    assert caller.call("GET", "/v1/giftCards", headers=BEARER).status == 503
    assert envoy.counter("cluster.service.lb_healthy_panic") == 0


def test_it_is_called_again_once_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    url = f"sqlite:///{tmp_path}/giftcard.db"
    with (
        _edge_before(f"127.0.0.1:{port}", tmp_path / "edge") as (envoy, caller),
        GrpcServer(url, tmp_path, port=port, environment={"GIFTCARD_DEMO": "1"}) as server,
    ):
        assert caller.call("GET", "/v1/giftCards", headers=BEARER).status == 503
        server.start()
        wait_until("Envoy knows", lambda: all(envoy.healthy("service").values()))
        assert caller.call("GET", "/v1/giftCards", headers=BEARER).status == 200


# The answer is lost


def test_a_redemption_whose_answer_is_lost_is_unknown(
    cut: tuple[FaultProxy, Envoy, Caller],
) -> None:
    """Pitfall: it was carried out, so it is neither repeated by Envoy nor called a failure."""
    proxy, envoy, caller = cut
    for cuts in range(1, _TRIES + 1):
        request = {
            "giftCard": {"code": "12399"},
            "amount": {"minorUnits": "1", "currencyCode": "USD"},
            "requestId": uuid.uuid4().hex,
        }
        _cut_next_answer(proxy, envoy)
        said = caller.call("POST", _REDEEM, request, BEARER)
        assert proxy.cuts == cuts
        assert said.status == 503
        assert (said.json["code"], said.json["details"][0]["reason"]) == (14, "OUTCOME_UNKNOWN")
        wait_until("the service is healthy", lambda: all(envoy.healthy("service").values()))
        again = caller.call("POST", _REDEEM, request, BEARER)
        assert again.status == 200
        if again.json["replayed"]:
            break
    else:
        pytest.fail("none was carried out before its answer was lost")
    assert envoy.counter("cluster.service.upstream_rq_retry") == 0


async def test_by_grpc_it_is_unknown_too(cut: tuple[FaultProxy, Envoy, Caller]) -> None:
    proxy, envoy, caller = cut
    request = v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(code="12399"),
        amount=v1.Money(minor_units=1, currency_code="USD"),
        request_id=uuid.uuid4().hex,
    )
    await asyncio.to_thread(_cut_next_answer, proxy, envoy)
    async with caller.channel() as channel:
        client = Client([channel])
        said = await client.call("RedeemGiftCard", request, metadata=_DEMO)
        assert proxy.cuts == 1
        assert (said.code, said.reason) == ("UNAVAILABLE", "OUTCOME_UNKNOWN")


def test_a_read_is_sent_again(cut: tuple[FaultProxy, Envoy, Caller]) -> None:
    proxy, envoy, caller = cut
    _cut_next_answer(proxy, envoy)
    said = caller.call("GET", "/v1/giftCards", headers=BEARER)
    assert proxy.cuts == 1
    assert said.status == 200
    assert envoy.counter("cluster.service.upstream_rq_retry") >= 1


def _cut_next_answer(proxy: FaultProxy, envoy: Envoy) -> None:
    """So that the cut meets a call and no health check: one is asked right after another."""
    checks = "cluster.service.health_check.success"
    so_far = envoy.counter(checks)
    wait_until("a health check has passed", lambda: envoy.counter(checks) > so_far)
    proxy.cut_after(0)


# Many at once


async def test_a_burst_at_the_start_is_taken(cut: tuple[FaultProxy, Envoy, Caller]) -> None:
    """Pitfall: calls that wait for the first connection count as pending, and few may pend."""
    _, envoy, caller = cut
    async with caller.channel() as channel:
        client = Client([channel])
        said = await asyncio.gather(
            *(client.call("ListGiftCards", v1.ListGiftCardsRequest(), metadata=_DEMO)
              for _ in range(200))
        )  # fmt: skip
    assert {each.code for each in said} == {"OK"}
    assert envoy.counter("cluster.service.upstream_rq_pending_overflow") == 0
