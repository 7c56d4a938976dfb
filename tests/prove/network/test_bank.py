"""Value only moves from card to card: every sum that anybody reads is the same, whatever breaks."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import pysqlite3
import pytest
from giftcard import v1

from tests.ack_log import AckLog
from tests.faults import client as c
from tests.faults.checks import check_books, check_history, resolve
from tests.faults.client import Client, connected
from tests.faults.workload import settle
from tests.grpc_server import GrpcServer
from tests.ports import free_port
from tests.prove.network.troubles import Troubles
from tests.prove.proof import Proof

pytestmark = pytest.mark.slow

_CARDS: Final = 10
_VALUE: Final = 100
_MOVERS: Final = 16
_AMOUNT_MAX: Final = 60
_BACK_OFF_SECONDS: Final = 0.1
_SUMS: Final = "SELECT CAST(sum(balance) AS BIGINT) FROM account GROUP BY card_id"

#: All balances of the database in one snapshot, read behind the service's back.
ReadBalances = Callable[[], list[int]]


@dataclass(slots=True)
class Bank:
    """Cards between which movers move value while summers add it up."""

    log: AckLog
    cards: list[str]
    dice: random.Random
    sums: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    @property
    def total(self) -> int:
        return _CARDS * _VALUE

    async def move(self, client: Client, until: asyncio.Event) -> None:
        while not until.is_set():
            source, target = self.dice.sample(self.cards, 2)
            request = c.transfer(source, target, self.dice.randint(1, _AMOUNT_MAX))
            sent = self.log.sending("TransferBalance", request)
            said = await client.call("TransferBalance", request)
            if not settle(self.log, sent, said):
                await asyncio.sleep(_BACK_OFF_SECONDS)
            self.refused += bool(sent.refusal)

    async def sum_by_list(self, client: Client, until: asyncio.Event) -> None:
        """One page of ListGiftCards is one snapshot."""
        request = v1.ListGiftCardsRequest(page_size=100)
        while not until.is_set():
            said = await client.call("ListGiftCards", request)
            if said.ok:
                balances = [card.balance.minor_units for card in said.message.gift_cards]
                self._check(balances)
                self.sums["by list"] += 1
            await asyncio.sleep(0)

    async def sum_by_sql(self, read: ReadBalances, until: asyncio.Event) -> None:
        while not until.is_set():
            self._check(await asyncio.to_thread(read))
            self.sums["by SQL"] += 1
            await asyncio.sleep(0.005)

    def _check(self, balances: list[int]) -> None:
        assert len(balances) == _CARDS
        assert sum(balances) == self.total, f"the cards are worth {sum(balances)}: {balances}"
        assert min(balances) >= 0, balances


async def run_bank(
    bank: Bank, client: Client, read: ReadBalances, disturb: Callable[[], Awaitable[None]]
) -> None:
    """Moves and sums until the disturbance is over; a wrong sum ends it at once."""
    until = asyncio.Event()
    tasks = [
        *(asyncio.create_task(bank.move(client, until)) for _ in range(_MOVERS)),
        *(asyncio.create_task(bank.sum_by_list(client, until)) for _ in range(2)),
        asyncio.create_task(bank.sum_by_sql(read, until)),
    ]
    try:
        await disturb()
    finally:
        until.set()
        await asyncio.gather(*tasks)


async def check_end(bank: Bank, client: Client) -> None:
    """What is unknown is resolved; then balances, history and acknowledged moves agree."""
    await resolve(client, bank.log)
    balances = [(await client.card(card)).balance.minor_units for card in bank.cards]
    bank._check(balances)
    await check_history(client, bank.log)


@asynccontextmanager
async def opened(proof: Proof, client: Client, path: Path) -> AsyncIterator[Bank]:
    with AckLog(path / "acks.jsonl") as log:
        cards = []
        for _ in range(_CARDS):
            request = c.issue(_VALUE)
            sent = log.sending("IssueGiftCard", request)
            answer: Any = await client.answer("IssueGiftCard", request)
            log.acknowledged(sent, answer)
            cards.append(answer.gift_card.name)
        yield Bank(log, cards, proof.random("bank"))


def report(proof: Proof, suite: str, bank: Bank, **more: int) -> None:
    proof.report(
        suite,
        moves=sum(sent.answer is not None for sent in bank.log) - _CARDS,
        refused=bank.refused,
        sums_by_list=bank.sums["by list"],
        sums_by_sql=bank.sums["by SQL"],
        **more,
    )
    assert min(bank.sums["by list"], bank.sums["by SQL"], bank.refused) > 0, bank.sums


async def test_every_sum_is_the_same(proof: Proof, database_url: str, tmp_path: Path) -> None:
    seconds = proof.cases(push=6, release=600)
    with GrpcServer(database_url, tmp_path) as server:
        server.start()
        with balances_of(database_url) as read:
            async with (
                connected(server.address) as client,
                opened(proof, client, tmp_path) as bank,
            ):
                await run_bank(bank, client, read, lambda: asyncio.sleep(seconds))
                await check_end(bank, client)
        report(proof, f"Bank, {server.engine}", bank)
        assert server.stop() == 0
    check_books(database_url)


async def test_every_sum_is_the_same_through_faults(
    proof: Proof, database_url: str, tmp_path: Path
) -> None:
    rounds = proof.cases(push=5, release=1000)
    with GrpcServer(database_url, tmp_path, port=free_port()) as server:
        server.start()
        with balances_of(database_url) as read, Troubles(server, proof.random("bank")) as troubles:

            async def disturb() -> None:
                for round_ in range(rounds):
                    await troubles.disturb(kill=round_ % 5 == 4)

            async with (
                connected(server.address) as client,
                opened(proof, client, tmp_path) as bank,
            ):
                async with connected(*troubles.addresses, channels=1) as shaken:
                    await run_bank(bank, shaken, read, disturb)
                await check_end(bank, client)
        report(
            proof, f"Bank through faults, {server.engine}", bank, kills=troubles.kills,
            cuts=troubles.cuts,
        )  # fmt: skip
        assert server.stop() == 0
    check_books(database_url)


@contextmanager
def balances_of(database_url: str) -> Iterator[ReadBalances]:
    """Reads as a report would: one read transaction, beside the service."""
    if database_url.startswith("sqlite"):
        file = database_url.removeprefix("sqlite:///")
        # Read only: the last one to close a database would otherwise tidy up its log.
        reader = pysqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)
        yield lambda: [balance for (balance,) in reader.execute(_SUMS).fetchall()]
        reader.close()
        return
    plain = database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True

        def read() -> list[int]:
            with connection.transaction():
                return [balance for (balance,) in connection.execute(_SUMS).fetchall()]

        yield read
