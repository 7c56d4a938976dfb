"""kill -9 under load: what was acknowledged stays, what was not can be resolved."""

import asyncio
import random
from pathlib import Path

from tests.ack_log import AckLog
from tests.faults.checks import check_books, check_kills, check_outages
from tests.grpc_server import GrpcServer
from tests.postgres import PostgresServer

_SERVER_KILLS = 20
_POSTGRESQL_KILLS = 3


async def test_killed_server_loses_nothing(
    server: GrpcServer, dice: random.Random, tmp_path: Path
) -> None:
    with AckLog(tmp_path / "acknowledgements.jsonl") as log:
        await check_kills(server, log, dice, cycles=_SERVER_KILLS)
        assert any(sent.failures for sent in log), "no kill met a call in flight"
        print(f"{len(log)} requests, {sum(bool(sent.failures) for sent in log)} of them cut off")
    assert server.stop() == 0
    check_books(server.database_url)


async def test_killed_postgresql_loses_nothing(
    durable_postgres: PostgresServer, dice: random.Random, tmp_path: Path
) -> None:
    """The server stays up: it says that it does not know, and finds its database again."""
    url = durable_postgres.create_database("giftcard")

    async def outage() -> None:
        await asyncio.to_thread(durable_postgres.kill)
        await asyncio.sleep(dice.uniform(0, 0.5))
        await asyncio.to_thread(durable_postgres.start)
        await asyncio.sleep(0.5)

    with GrpcServer(url, tmp_path) as server, AckLog(tmp_path / "acks.jsonl") as log:
        server.start()
        first = server.process_id
        await check_outages(server, log, dice, outage, cycles=_POSTGRESQL_KILLS)
        assert server.process_id == first
        told = {why for sent in log for why in sent.failures}
        assert told <= {"UNAVAILABLE UNAVAILABLE", "UNAVAILABLE OUTCOME_UNKNOWN"}, told
        assert told, "nobody noticed that the database was gone"
        assert server.stop() == 0
        check_books(url)
