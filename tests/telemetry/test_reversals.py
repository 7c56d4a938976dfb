"""A queued reversal that nobody may send is seen: how long it has waited, and why it is refused."""

import asyncio
import time
from pathlib import Path

from tests.compat.exchanges import opened, reversal, url_of
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer
from tests.telemetry.scrape import ADMIN, Scrape, admin_address

_SECONDS = 60


async def test_a_reversal_whose_caller_lost_its_credential(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.queue_reversal(reversal("cp/lost", authorization="Bearer revoked-meanwhile"))
    environment = {
        **ADMIN, "GIFTCARD_DEMO": "1", "GIFTCARD_EXCHANGE_DATABASE_URL": url_of(tmp_path),
    }  # fmt: skip
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with GrpcServer(url, tmp_path, environment=environment) as server:
        server.start()
        with ShimServer(server.address, tmp_path, environment=environment) as shim:
            shim.start()
            admin = admin_address(shim.log)
            deadline = time.monotonic() + _SECONDS
            lost = "giftcard_shim_reversals_credential_lost_total"
            while not (scrape := Scrape(admin)).value(lost, reason="UNAUTHENTICATED"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
    assert scrape.value("giftcard_shim_reversals_waiting") == 1
    assert scrape.value("giftcard_shim_reversals_oldest_seconds") > 0
    assert scrape.value("giftcard_shim_reversals_settled_total") == 0
