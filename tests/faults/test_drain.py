"""SIGTERM under load: what was accepted is answered, what was not has no effect, and exit is 0."""

import asyncio
import contextlib
import random
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

_TIMES = 10
_WIDTH = 32
_STATES = health_pb2.HealthCheckResponse


async def test_drain_loses_no_call(server: GrpcServer, dice: random.Random, proof: Proof) -> None:
    async with connected(server.address) as client:
        cards = await client.issue(c.INITIAL, 8)
    made = turned_away = 0
    for _ in range(_TIMES):
        calls, seen = await _stop_under_load(server, cards, dice)
        # Readiness went before the listener did, so a balancer can take the server out.
        assert seen == [_STATES.SERVING, _STATES.NOT_SERVING]
        await asyncio.to_thread(server.start)
        async with connected(server.address) as client:
            await _check(client, calls)
        made += len(calls)
        turned_away += sum(not said.ok for _, said in calls)
    proof.report(
        f"Stops under load, {server.engine}",
        stops=_TIMES, calls=made, answered=made - turned_away, turned_away=turned_away,
    )  # fmt: skip
    async with connected(server.address) as client:
        left = [(await client.card(card)).balance.minor_units for card in cards]
    assert sum(left) == c.INITIAL * len(cards) - made
    assert server.stop() == 0
    check_books(server.database_url)


async def _stop_under_load(
    server: GrpcServer, cards: list[str], dice: random.Random
) -> tuple[list[tuple[Any, Said]], list[int]]:
    """Each call with what its caller was told, and the states that the health watch saw."""
    calls: list[tuple[Any, Said]] = []
    seen: list[int] = []
    stopped = asyncio.Event()

    async def work(client: Client) -> None:
        while not stopped.is_set():
            request = c.redeem(dice.choice(cards), 1)
            said = await client.call("RedeemGiftCard", request)
            calls.append((request, said))
            if not said.ok:
                return

    async with connected(server.address) as client, connected(server.address, channels=1) as other:
        watching = asyncio.create_task(_watch(other.channels[0], seen))
        workers = [asyncio.create_task(work(client)) for _ in range(_WIDTH)]
        await asyncio.sleep(dice.uniform(0.1, 0.4))
        status = await asyncio.to_thread(server.stop)
        stopped.set()
        await asyncio.gather(*workers)
        await watching
    assert status == 0
    return calls, seen


async def _watch(channel: grpc.aio.Channel, seen: list[int]) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="giftcard.v1.GiftCardService"))
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for response in watch:
            seen.append(response.status)
            if response.status == _STATES.NOT_SERVING:
                watch.cancel()
                break


async def _check(client: Client, calls: list[tuple[Any, Said]]) -> None:
    """Only calls that were never accepted failed, and the new process takes those."""
    for request, said in calls:
        if said.ok:
            continue
        # Of what it has received and not handed over when the server stops, gRPC says CANCELLED.
        assert said.code in ("UNAVAILABLE", "CANCELLED"), said
        assert said.reason == "", f"it came as far as the ledger, and failed: {said}"
        assert await client.state(request.request_id) == "NOT_SEEN", (
            f"{request.request_id} was carried out and its caller was not told: {said}"
        )
        answer = await client.answer("RedeemGiftCard", request)
        assert not answer.replayed
