"""An acknowledgement means: on the primary and on its standby, the first answer and each later one.

Killed while its COMMIT waited for the standby, a primary comes back with a row that no standby has
(PostgreSQL marks what waited as committed).  Whoever sends the request again must not be told that
it is done before it is done on both.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.fault_proxy import FaultProxy
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.grpc_server import GrpcServer
from tests.postgres import (
    PostgresServer,
    server_of,
    start_postgres,
    temporary_directory,
    through,
)
from tests.prove.network.standby import make_standby
from tests.prove.proof import Proof

pytestmark = pytest.mark.slow

_UNKNOWN: Final = ("UNAVAILABLE", "OUTCOME_UNKNOWN")
_SETTINGS: Final = {"GIFTCARD_COMMIT_TIMEOUT_SECONDS": "2"}
_DATABASE: Final = "giftcard"


@dataclass(slots=True)
class Pair:
    primary: PostgresServer
    standby: PostgresServer
    link: FaultProxy

    def rows(self, server: PostgresServer, request_id: str) -> int:
        """How many transactions of that request a server shows to whoever reads there."""
        text = "SELECT count(*) FROM ledger_transaction WHERE request_id = %s"
        with closing(server.connect(_DATABASE)) as connection:
            found = connection.execute(text, (request_id,)).fetchone()
        assert found is not None
        return int(found[0])


@pytest.fixture
def pair(own_engine: None) -> Iterator[Pair]:
    """A primary that waits for its standby, and the connection between the two."""
    with temporary_directory() as first, temporary_directory() as second:
        primary = start_postgres(first, durable=True)
        try:
            primary.create_database(_DATABASE)
            with FaultProxy(server_of(primary.url_for(_DATABASE))) as link:
                standby = make_standby(primary, link.address, second)
                try:
                    primary.require_standby()
                    yield Pair(primary, standby, link)
                finally:
                    standby.stop(immediate=True)
        finally:
            primary.stop(immediate=True)


async def test_a_replay_waits_for_the_standby_too(proof: Proof, pair: Pair, tmp_path: Path) -> None:
    url = pair.primary.url_for(_DATABASE)
    cycles = proof.cases(push=4, release=50)
    with GrpcServer(url, tmp_path, environment=_SETTINGS) as server:
        server.start()
        async with connected(server.address) as client:
            (card,) = await client.issue()
            for number in range(cycles):
                await _one_cycle(pair, client, card)
                found = await client.card(card)
                assert found.balance.minor_units == c.INITIAL - number - 1
        assert server.stop() == 0
    proof.report(
        "Replay of a commit that no standby has", kills=cycles,
        replays_held_back=2 * cycles,
    )  # fmt: skip
    check_books(url)


async def _one_cycle(pair: Pair, client: Client, card: str) -> None:
    request = c.redeem(card, 1)
    await asyncio.to_thread(pair.link.black_hole)
    said = await client.call("RedeemGiftCard", request)
    assert (said.code, said.reason) == _UNKNOWN, said
    assert pair.rows(pair.primary, request.request_id) == 0, "it is visible before it is safe"

    await asyncio.to_thread(pair.primary.kill)
    await asyncio.to_thread(pair.primary.start)
    assert pair.rows(pair.primary, request.request_id) == 1, "the kill came too late or too early"
    assert pair.rows(pair.standby, request.request_id) == 0

    told = await _insist(client, request)
    assert (told.code, told.reason) == _UNKNOWN, told
    # The second meets the row that the first one's waiting COMMIT holds.
    told = await client.call("RedeemGiftCard", request)
    assert (told.code, told.reason) == _UNKNOWN, told
    await asyncio.to_thread(pair.link.heal)
    answer = await client.settle("RedeemGiftCard", request)
    assert answer.ok, answer
    assert answer.message.replayed
    assert pair.rows(pair.standby, request.request_id) == 1


async def _insist(client: Client, request: object) -> Said:
    """The first word that is not "the database cannot be reached"."""
    said = await client.call("RedeemGiftCard", request)
    while (said.code, said.reason) == ("UNAVAILABLE", "UNAVAILABLE"):
        await asyncio.sleep(0.1)
        said = await client.call("RedeemGiftCard", request)
    return said


async def test_a_commit_without_its_standby_is_unknown(
    proof: Proof, pair: Pair, tmp_path: Path
) -> None:
    """Also when an operator ends the wait: PostgreSQL then says COMMIT, with a warning."""
    with GrpcServer(pair.primary.url_for(_DATABASE), tmp_path) as server:
        server.start()
        async with connected(server.address) as client:
            (card,) = await client.issue()
            request = c.redeem(card, 1)
            await asyncio.to_thread(pair.link.black_hole)
            asked = asyncio.create_task(client.call("RedeemGiftCard", request))
            ended = await asyncio.to_thread(_end_wait, pair.primary)
            said = await asked
            assert (said.code, said.reason) == _UNKNOWN, said
            assert pair.rows(pair.primary, request.request_id) == 1
            await asyncio.to_thread(pair.link.heal)
            answer = await client.settle("RedeemGiftCard", request)
            assert answer.ok
            assert answer.message.replayed
    proof.report("Commit that was not replicated", waits_ended=ended)


def _end_wait(primary: PostgresServer) -> int:
    """Cancels what waits for the standby; returns how many did."""
    text = (
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
        " WHERE wait_event = 'SyncRep' AND application_name = 'giftcard'"
    )
    with closing(primary.connect()) as connection:
        while True:
            found = connection.execute(text).fetchone()
            if found is not None and found[0]:
                return int(found[0])


async def test_a_server_that_stopped_is_not_waited_for(
    proof: Proof, pair: Pair, tmp_path: Path
) -> None:
    """No answer and no end of the connection: callers are told, and it goes on with another one."""
    with (
        FaultProxy(server_of(pair.primary.url_for(_DATABASE))) as wire,
        GrpcServer(
            through(wire, pair.primary.url_for(_DATABASE)), tmp_path, environment=_SETTINGS
        ) as server,
    ):
        server.start()
        async with connected(server.address) as client:
            (card,) = await client.issue()
            await client.card(card)
            await asyncio.to_thread(wire.black_hole)
            calls = [client.call("RedeemGiftCard", c.redeem(card, 1)) for _ in range(20)]
            reading = client.call("GetGiftCard", c.card_by_name(card))
            *said, read = await asyncio.gather(*calls, reading)
            assert all(told.code == "UNAVAILABLE" for told in said), said
            assert read.code == "UNAVAILABLE", read
            # Those that the hole swallowed stay lost: what it forwards from now on is new.
            await asyncio.to_thread(wire.break_off)
            await asyncio.to_thread(wire.heal)
            answer = await client.settle("RedeemGiftCard", c.redeem(card, 1))
            assert answer.ok
            assert (await client.card(card)).balance == answer.message.gift_card.balance
        assert server.stop() == 0
    proof.report("Database that does not answer", told=len(said))
