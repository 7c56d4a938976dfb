"""One merchant asks without end, of a database that is slow; its neighbour is served as ever."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from giftcard import v1

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, Said, connected
from tests.faults.conftest import MakeServer
from tests.grpc_server import add_merchant, keys_in, seed
from tests.prove.proof import Proof

_TOKEN: Final = "gct_of-a-neighbour-that-nobody-else-can-be"
_METADATA: Final = (("authorization", f"Bearer {_TOKEN}"),)
#: Some 100 commands and 100 reports a second are done: first come, first served, the flood would
#: have the neighbour wait for longer than this.
_SETTINGS: Final = {"GIFTCARD_BATCH_LIMIT": "4"}
_FLOOD: Final = 500
_DEADLINE_SECONDS: Final = 2.0
_BACK_OFF_SECONDS: Final = 0.25


@pytest.mark.slow
async def test_a_flood_keeps_no_other_merchant_waiting(
    proof: Proof, make_server: MakeServer, database_url: str, tmp_path: Path
) -> None:
    rounds = proof.cases(push=15, release=500)
    seed(database_url, keys_in(tmp_path))
    add_merchant(database_url, keys_in(tmp_path), "neighbour", _TOKEN)
    server = make_server("slow_commit", "slow_read", environment=_SETTINGS)
    server.start()
    async with connected(server.address, channels=8) as client:
        (card,) = await client.issue()
        issued = await client.call("IssueGiftCard", c.issue(c.INITIAL), metadata=_METADATA)
        mine = issued.message.gift_card.name
        flood = _Flood(client, card)
        await flood.rise()
        heard: list[tuple[float, Said]] = []
        for _ in range(rounds):
            for method, request in (
                ("RedeemGiftCard", c.redeem(mine, 1)),
                ("GetGiftCard", v1.GetGiftCardRequest(name=mine)),
                ("ListTransactions", v1.ListTransactionsRequest(gift_card=mine, page_size=1)),
            ):
                heard.append(await _ask(client, method, request))
        meanwhile = flood.heard.copy()
        await flood.ebb()
    codes = Counter(said.code for _, said in heard)
    proof.report(
        f"A merchant beside another's flood, {server.engine}",
        flood_in_flight=2 * _FLOOD, flood_answered=meanwhile["OK"],
        flood_turned_away=meanwhile.total() - meanwhile["OK"], calls=len(heard),
        answered=codes["OK"], slowest_seconds=round(max(seconds for seconds, _ in heard), 2),
    )  # fmt: skip
    assert codes == {"OK": len(heard)}
    assert server.stop() == 0
    check_books(server.database_url)


async def _ask(client: Client, method: str, request: Any) -> tuple[float, Said]:
    began = time.monotonic()
    said = await client.call(method, request, timeout_seconds=_DEADLINE_SECONDS, metadata=_METADATA)
    return time.monotonic() - began, said


class _Flood:
    """Purchases and reports, always so many of each in flight."""

    def __init__(self, client: Client, card: str) -> None:
        self._client = client
        self._card = card
        self._tasks: list[asyncio.Task[None]] = []
        self._risen = asyncio.Event()
        self.heard: Counter[str] = Counter()

    async def rise(self) -> None:
        """Returns when the server is under water."""
        report = v1.ListTransactionsRequest(gift_card=self._card, page_size=1)
        for _ in range(_FLOOD):
            self._tasks.append(asyncio.create_task(self._pour("RedeemGiftCard")))
            self._tasks.append(asyncio.create_task(self._pour("ListTransactions", report)))
        await self._risen.wait()

    async def ebb(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pour(self, method: str, request: Any = None) -> None:
        while True:
            said = await self._client.call(method, request or c.redeem(self._card, 1))
            self.heard[said.code] += 1
            if not said.ok:
                await asyncio.sleep(_BACK_OFF_SECONDS)
            if self.heard.total() >= _FLOOD // 10:
                self._risen.set()
