"""kill -9 under load: what was acknowledged stays, what was not can be resolved."""

import asyncio
import random
from pathlib import Path

from tests.ack_log import AckLog
from tests.faults.checks import check_books, check_kills, check_outages
from tests.grpc_server import GrpcServer
from tests.postgres import PostgresServer
from tests.prove.proof import Figure, Proof


async def test_killed_server_loses_nothing(
    server: GrpcServer, dice: random.Random, tmp_path: Path, proof: Proof
) -> None:
    kills = proof.cases(push=12, release=500)
    with AckLog(tmp_path / "acknowledgements.jsonl") as log:
        await check_kills(server, log, dice, cycles=kills)
        proof.report(f"kill -9 of the server, {server.engine}", kills=kills, **_counted(log))
        assert any(sent.failures for sent in log), "no kill met a call in flight"
    assert server.stop() == 0
    check_books(server.database_url)


async def test_killed_postgresql_loses_nothing(
    durable_postgres: PostgresServer, dice: random.Random, tmp_path: Path, proof: Proof
) -> None:
    """The server stays up: it says that it does not know, and finds its database again."""
    kills = proof.cases(push=5, release=100)
    url = durable_postgres.create_database("giftcard")

    async def outage() -> None:
        await asyncio.to_thread(durable_postgres.kill)
        await asyncio.sleep(dice.uniform(0, 0.5))
        await asyncio.to_thread(durable_postgres.start)
        await asyncio.sleep(0.5)

    with GrpcServer(url, tmp_path) as server, AckLog(tmp_path / "acks.jsonl") as log:
        server.start()
        first = server.process_id
        await check_outages(server, log, dice, outage, cycles=kills)
        proof.report("kill -9 of PostgreSQL", kills=kills, **_counted(log))
        assert server.process_id == first
        told = {why for sent in log for why in sent.failures}
        assert told <= {"UNAVAILABLE UNAVAILABLE", "UNAVAILABLE OUTCOME_UNKNOWN"}, told
        assert told, "nobody noticed that the database was gone"
        assert server.stop() == 0
        check_books(url)


def _counted(log: AckLog) -> dict[str, Figure]:
    """What clients know for certain: all of it was compared, which raises where it differs."""
    cut_off = sum(bool(sent.failures) for sent in log)
    return {"requests": len(log), "cut_off": cut_off, "lost": 0, "doubled": 0}
