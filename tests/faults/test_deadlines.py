"""Callers who give up: no transaction is torn, no outcome stays unknown, nothing piles up."""

import asyncio
import random
from pathlib import Path

from giftcard import v1

from server.app import Server, keys_of, open_database
from server.settings import Settings
from tests.fault_proxy import FaultProxy
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, connected
from tests.faults.conftest import MakeServer
from tests.grpc_server import keys_in, seed
from tests.prove.proof import Proof, engine_of

_CALLS = 2000
_AT_ONCE = 64


async def test_impatient_callers(
    database_url: str, tmp_path: Path, dice: random.Random, proof: Proof
) -> None:
    key_file = keys_in(tmp_path)
    seed(database_url, key_file)
    settings = Settings(
        database_url=database_url, grpc_address="127.0.0.1:0", key_file=str(key_file),
        access_log=False, drain_seconds=5,
    )  # fmt: skip
    server = Server(settings, open_database(settings), keys_of(settings))
    port = await server.start()
    try:
        async with connected(f"127.0.0.1:{port}") as client:
            (card,) = await client.issue()
            tasks_before = len(asyncio.all_tasks())
            requests = [c.redeem(card, 1) for _ in range(_CALLS)]
            given_up = await _send(client, requests, dice)
            assert given_up > _CALLS // 4, "hardly a storm"
            # Healthy at once, for those who have time.
            healthy = await client.settle("RedeemGiftCard", c.redeem(card, 1))
            assert healthy.ok, healthy
            await asyncio.sleep(0.1)
            assert _leftovers(server) == []
            assert len(asyncio.all_tasks()) <= tasks_before + 2
            # Whoever sends the same again learns what became of it; it happens once.
            gate = asyncio.Semaphore(_AT_ONCE)

            async def resolve(request: v1.RedeemGiftCardRequest) -> None:
                async with gate:
                    said = await client.settle("RedeemGiftCard", request)
                    assert said.ok, said

            await asyncio.gather(*(resolve(request) for request in requests))
            found = await client.card(card)
            assert found.balance.minor_units == c.INITIAL - _CALLS - 1
            assert found.transaction_count == _CALLS + 2
    finally:
        await server.stop()
    check_books(database_url)
    proof.report(
        f"Callers who give up, {engine_of(database_url)}",
        callers=_CALLS, gave_up=given_up,
    )  # fmt: skip


async def _send(
    client: Client, requests: list[v1.RedeemGiftCardRequest], dice: random.Random
) -> int:
    """Sends all; half have a deadline, half hang up.  Returns how many got no answer."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def with_deadline(request: v1.RedeemGiftCardRequest) -> bool:
        # Below 20 ms the server does not even begin; above, it is cut off in the middle.
        seconds = dice.uniform(0.001, 0.060)
        async with gate:
            said = await client.call("RedeemGiftCard", request, timeout_seconds=seconds)
        # The server's clock may run out first; what it then does reaches the caller as CANCELLED.
        assert said.ok or said.code in ("DEADLINE_EXCEEDED", "CANCELLED"), said
        return not said.ok

    async def hang_up(request: v1.RedeemGiftCardRequest) -> bool:
        async with gate:
            call = asyncio.create_task(client.call("RedeemGiftCard", request))
            await asyncio.sleep(dice.uniform(0.001, 0.060))
            call.cancel()
            try:
                return not (await call).ok
            except asyncio.CancelledError:
                return True

    sending = [
        with_deadline(request) if number % 2 else hang_up(request)
        for number, request in enumerate(requests)
    ]
    return sum(await asyncio.gather(*sending))


def _leftovers(server: Server) -> list[str]:
    """What the bridge still keeps of calls that are over; its insides, on purpose."""
    bridge = server._bridge
    kept = {
        "futures": len(bridge._waiting),
        "look-ups": len(bridge._lookups),
        "queued": bridge._ledger.queued,
        "writing": int(bridge._writing.busy),
        "reading": int(bridge._looking_up.busy),
    }
    return [f"{count} {name}" for name, count in kept.items() if count]


async def test_a_caller_whose_connection_breaks_is_no_error_of_ours(
    make_server: MakeServer,
) -> None:
    server = make_server("slow_commit")
    server.start()
    with FaultProxy(server.address) as proxy:
        async with connected(server.address) as client, connected(proxy.address) as cut_off:
            (card,) = await client.issue()
            requests = [c.redeem(card, 1) for _ in range(200)]
            calls = [asyncio.create_task(cut_off.call("RedeemGiftCard", each)) for each in requests]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            proxy.break_off(reset=True)
            assert not all(said.ok for said in await asyncio.gather(*calls)), "cut too late"
            for each in requests:
                assert (await client.settle("RedeemGiftCard", each)).ok
            assert (await client.card(card)).balance.minor_units == c.INITIAL - len(requests)
    assert server.stop() == 0
    assert '"CANCELLED"' in server.log
    assert "INTERNAL" not in server.log
