"""What must be true after every fault.  The suites use these, and the planted bugs must fail them.

Each raises AssertionError that says what the customer or the merchant would have lost.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from typing import Any, Final

from giftcard import v1

from server.storage.database import Database
from server.verify import verify
from tests.ack_log import AckLog, Sent
from tests.faults import client as c
from tests.faults.client import Client, connected
from tests.faults.workload import Load, settle
from tests.grpc_server import CLIENT_ID, GrpcServer

_AT_ONCE: Final = 64
_PATIENCE_SECONDS: Final = 30
_LOAD_SECONDS: Final = (0.05, 0.35)


def check_books(database_url: str) -> None:
    """Recomputes the books from zero.  On SQLite the server must have stopped."""
    with closing(Database(database_url)) as database:
        report = verify(database)
    problems = "\n".join(str(problem) for problem in report.problems)
    assert report.ok, f"the books are wrong:\n{problems}"


# The same request many times


async def check_same_request(
    client: Client,
    method: str,
    requests: Sequence[Any],
    answer_type: Any,
    *,
    width: int = 64,
    rounds_at_once: int = 4,
) -> list[Any]:
    """Sends each request `width` times at once: one answer is new, all say the same.

    Returns one answer for each request.
    """
    calls: list[Any] = [channel.unary_unary(c.SERVICE + method) for channel in client.channels]
    gate = asyncio.Semaphore(rounds_at_once)

    async def race(request: Any) -> Any:
        data = request.SerializeToString()
        async with gate:
            answers = await asyncio.gather(
                *(
                    calls[number % len(calls)](data, metadata=c.METADATA, timeout=c.TIMEOUT_SECONDS)
                    for number in range(width)
                )
            )
        counted = Counter(answers)
        parsed = {raw: answer_type.FromString(raw) for raw in counted}
        new = sum(counted[raw] for raw, answer in parsed.items() if not answer.replayed)
        assert new == 1, f"{request.request_id} was carried out {new} times"
        for answer in parsed.values():
            answer.replayed = False
        first, *others = parsed.values()
        assert all(answer == first for answer in others), f"{request.request_id}: answers differ"
        return first

    return list(await asyncio.gather(*(race(request) for request in requests)))


async def check_one_effect(client: Client, card: str, request_ids: Sequence[str]) -> None:
    """The card's history has the issue and each of these requests once, and nothing else."""
    history = await client.transactions(card)
    found = Counter(t.request_id for t in history if t.kind != v1.Transaction.ISSUE)
    assert found == Counter(request_ids), (
        f"{card}: {len(found)} requests had an effect, {len(request_ids)} were made;"
        f" more than once: {[each for each, count in found.items() if count > 1]}"
    )


async def check_no_double_spend(client: Client, *, cards: int, value: int, purchases: int) -> None:
    """Many purchases of 1 on cards that are worth less: exactly the cards' value is sold."""
    names = await client.issue(value, cards)

    async def buy(card: str) -> str:
        said = await client.call("RedeemGiftCard", c.redeem(card, 1))
        assert said.ok or said.reason in ("INSUFFICIENT_FUNDS", "NO_BALANCE"), said
        return card if said.ok else ""

    wanted = names * purchases
    random.Random(1).shuffle(wanted)
    sold = Counter(await asyncio.gather(*(buy(card) for card in wanted)))
    for card in names:
        left = (await client.card(card)).balance.minor_units
        assert (sold[card], left) == (value, 0), (
            f"{card} was worth {value}: {sold[card]} were sold and {left} are left"
        )


# Killing


async def check_kills(server: GrpcServer, log: AckLog, dice: random.Random, *, cycles: int) -> None:
    """Kills the server under load, starts it again, and compares it with what it had said."""
    load = Load(log, dice)
    for _ in range(cycles):
        seen = known_ids(log)
        async with connected(server.address) as client:
            load.start(client)
            await asyncio.sleep(dice.uniform(*_LOAD_SECONDS))
            await _until_acknowledged(log, seen)
            await asyncio.to_thread(server.kill)
            await load.stop()
        await asyncio.to_thread(server.start)
        async with connected(server.address) as client:
            await check_since(client, log, seen)
    async with connected(server.address) as client:
        await check_history(client, log)


async def check_outages(
    server: GrpcServer,
    log: AckLog,
    dice: random.Random,
    outage: Callable[[], Awaitable[None]],
    *,
    cycles: int,
) -> None:
    """The load goes on while something that the server needs goes away and comes back."""
    load = Load(log, dice)
    async with connected(server.address) as client:
        for _ in range(cycles):
            seen = known_ids(log)
            load.start(client)
            await asyncio.sleep(dice.uniform(*_LOAD_SECONDS))
            await _until_acknowledged(log, seen)
            await outage()
            await load.stop()
            await check_since(client, log, seen)
        await check_history(client, log)


async def _until_acknowledged(log: AckLog, seen: set[str]) -> None:
    """On a busy machine the load may take longer than it was given."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not known_ids(log) - seen:  # noqa: ASYNC110 - the load knows nothing of who waits
            await asyncio.sleep(0.05)


def known_ids(log: AckLog) -> set[str]:
    return {sent.request_id for sent in log.known()}


async def check_since(client: Client, log: AckLog, seen: set[str]) -> None:
    """What was acknowledged lately is there; what was not is found out by sending it again."""
    lately = [sent for sent in log.known() if sent.request_id not in seen]
    assert lately, "the load did nothing"
    await check_acknowledged(client, lately)
    await resolve(client, log)


def _as_decided(found: v1.Transaction) -> v1.Transaction:
    """Without what is known only after the commit, which no first answer can say."""
    decided = v1.Transaction()
    decided.CopyFrom(found)
    for later in ("commit_time", "feed_sequence", "reversal_transaction"):
        decided.ClearField(later)
    for entry in decided.entries:
        entry.ClearField("hash")
    return decided


async def check_acknowledged(client: Client, acknowledged: Sequence[Sent]) -> None:
    """Every one of them is there, as it was said."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def check(sent: Sent) -> None:
        async with gate:
            found = await client.lookup(sent.request_id)
        what = f"{sent.method} {sent.request_id} was acknowledged, "
        states = v1.LookupTransactionResponse
        now = states.State.Name(found.state)
        if sent.refusal:
            assert found.state == states.REFUSED, what + f"refused, and is now {now}"
            assert found.transaction.refusal_reason == sent.refusal, what + "with other words"
            return
        assert found.state == states.APPROVED, what + f"and is gone: {now}"
        decided = _as_decided(found.transaction)
        assert decided == sent.answer.transaction, what + "and says something else now"

    await asyncio.gather(*(check(sent) for sent in acknowledged))


async def resolve(client: Client, log: AckLog) -> None:
    """Sends again, with the same id, whatever has no answer yet."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def send_again(sent: Sent) -> None:
        async with gate:
            log.sending(sent.method, sent.request)
            said = await client.settle(sent.method, sent.request)
        assert settle(log, sent, said), f"{sent.method} {sent.request_id}: {said}"

    await asyncio.gather(*(send_again(sent) for sent in log.unknown()))


async def check_history(client: Client, log: AckLog) -> None:
    """The server's history and the client's are the same, request by request and cent by cent."""
    history = [t for t in await client.transactions() if t.api_client.endswith(f"/{CLIENT_ID}")]
    assert Counter(t.request_id for t in history) == Counter(s.request_id for s in log)
    stored = {t.request_id: t for t in history}
    balances: dict[str, int] = defaultdict(int)
    for sent in log:
        transaction = stored[sent.request_id]
        assert transaction.refusal_reason == sent.refusal, sent.request_id
        if sent.answer is None:
            continue
        said = sent.answer.transaction
        assert transaction.approved_amount == said.approved_amount, sent.request_id
        for mine, entry in zip(said.entries, transaction.entries, strict=True):
            assert (mine.gift_card, mine.sequence, mine.amount, mine.balance_after) == (
                entry.gift_card, entry.sequence, entry.amount, entry.balance_after,
            ), sent.request_id  # fmt: skip
            balances[entry.gift_card] += entry.amount.minor_units
    gate = asyncio.Semaphore(_AT_ONCE)

    async def check_card(name: str, expected: int) -> None:
        async with gate:
            card = await client.card(name)
        assert card.balance.minor_units == expected, name

    await asyncio.gather(*(check_card(name, balance) for name, balance in balances.items()))
