"""Callers without patience, by the tens of thousands: they leave nothing behind in the server."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import psutil
import psycopg
import pytest
from giftcard import v1

from server.app import Server, keys_of, open_database
from server.settings import Settings
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, connected
from tests.grpc_server import keys_in, seed
from tests.prove.proof import Proof, engine_of

_AT_ONCE = 32
_SECONDS = (0.001, 0.050)
_SETTLE_SECONDS = 30.0
_METHODS = ("RedeemGiftCard", "AuthorizeGiftCard", "GetGiftCard")


@pytest.mark.slow
async def test_callers_without_patience(proof: Proof, database_url: str, tmp_path: Path) -> None:
    calls = proof.cases(push=50_000, release=500_000) // 2
    key_file = keys_in(tmp_path)
    seed(database_url, key_file)
    settings = Settings(
        database_url=database_url, grpc_address="127.0.0.1:0", key_file=str(key_file),
        access_log=False, drain_seconds=5, admin_address="",
    )  # fmt: skip
    server = Server(settings, open_database(settings), keys_of(settings))
    port = await server.start()
    try:
        async with connected(f"127.0.0.1:{port}", channels=8) as client:
            cards = await client.issue(c.INITIAL, 16)
            await _storm(client, cards, 256, proof.random("warm-up"))
            before = await _settled(server, None)
            heard = await _storm(client, cards, calls, proof.random("storm"))
            after = await _settled(server, before)
            carried_out = sum([(await client.card(card)).transaction_count for card in cards])
            afterwards = [await client.call("RedeemGiftCard", c.redeem(card, 1)) for card in cards]
            sessions = _sessions(database_url)
            proof.report(
                f"Deadlines of 1 to 50 ms, {engine_of(database_url)}",
                calls=calls, answered=heard["OK"], given_up=calls - heard["OK"],
                carried_out=carried_out,
                tasks_left=after["tasks"] - before["tasks"],
                descriptors_left=after["descriptors"] - before["descriptors"],
                kept=after["kept"], sessions_not_idle=sessions,
                refused_afterwards=sum(not said.ok for said in afterwards),
            )  # fmt: skip
            assert heard.keys() <= {"OK", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"}
            assert calls - heard["OK"] > calls // 10, "hardly a storm"
            assert carried_out > calls // 50, "hardly any call came as far as a transaction"
            assert after["kept"] == 0
            assert after["tasks"] <= before["tasks"] + 2
            assert after["descriptors"] <= before["descriptors"] + 2
            assert sessions == 0
            assert [said for said in afterwards if not said.ok] == []
    finally:
        await server.stop()
    check_books(database_url)


async def _storm(client: Client, cards: list[str], calls: int, dice: random.Random) -> Counter[str]:
    """Half of the callers have a deadline, half hang up.  Returns how their calls ended."""
    heard: Counter[str] = Counter()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        seconds = dice.uniform(*_SECONDS)
        method = _METHODS[number % len(_METHODS)]
        card = cards[number % len(cards)]
        request = {
            "RedeemGiftCard": c.redeem(card, 1),
            "AuthorizeGiftCard": c.authorize(card, 1, seconds=1),
            "GetGiftCard": v1.GetGiftCardRequest(name=card),
        }[method]
        async with gate:
            if number % 2:
                said = await client.call(method, request, timeout_seconds=seconds)
                heard[said.code] += 1
                return
            call = asyncio.create_task(client.call(method, request))
            await asyncio.sleep(seconds)
            call.cancel()
            try:
                heard[(await call).code] += 1
            except asyncio.CancelledError:
                heard["CANCELLED"] += 1

    await asyncio.gather(*(one(number) for number in range(calls)))
    return heard


async def _settled(server: Server, before: dict[str, int] | None) -> dict[str, int]:
    """What the server holds once it has come to rest; waits for that as long as may be needed."""
    deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
    while True:
        await asyncio.sleep(0.2)
        bridge = server._bridge
        held = {
            "tasks": len(asyncio.all_tasks()),
            "descriptors": psutil.Process().num_fds(),
            "kept": len(bridge._waiting) + len(bridge._lookups) + len(bridge._queries)
            + bridge._ledger.queued + bridge._writing.busy + bridge._looking_up.busy
            + bridge._reading,
        }  # fmt: skip
        at_rest = held["kept"] == 0 and (
            before is None or all(held[name] <= before[name] + 2 for name in before)
        )
        if at_rest or asyncio.get_running_loop().time() > deadline:
            return held


def _sessions(url: str) -> int:
    """Sessions of PostgreSQL that are in a transaction though nobody calls."""
    if not url.startswith("postgresql"):
        return 0
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state <> 'idle' AND backend_type = 'client backend'"
        ).fetchone()
    assert row is not None
    return int(row[0])
