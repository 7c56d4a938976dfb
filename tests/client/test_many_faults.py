"""Tills whose answers are cut, swallowed and lost in crashes: what each believes is true."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pytest
from giftcard.v1 import LookupTransactionRequest, LookupTransactionResponse, RedeemGiftCardRequest
from giftcard_client import GiftcardClient, OutcomeUnknown, RetryPolicy, reasons

from tests.client.till import INITIAL, balance, client, issue, redeem
from tests.fault_proxy import FaultProxy
from tests.faults.checks import check_books
from tests.grpc_server import GrpcServer
from tests.ports import free_port
from tests.prove.proof import Proof

_TILLS: Final = 8
_CRASH_EVERY: Final = 100
#: Short, so that many a call ends without an answer.
_HASTY: Final = RetryPolicy(patience_seconds=1.0, try_seconds=0.4)
_WAYS: Final[tuple[Literal["lookup", "retry", "reversal"], ...]] = ("lookup", "retry", "reversal")


@dataclass(slots=True)
class Day:
    """What all tills have done so far; `applied` is what they believe of each request."""

    left: int
    applied: dict[str, bool] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    crash: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.mark.slow
async def test_what_each_till_believes_is_true(
    sqlite_url: str, tmp_path: Path, proof: Proof
) -> None:
    day = Day(left=proof.cases(push=200, release=10_000))
    asked = day.left
    crashes = 0
    with GrpcServer(sqlite_url, tmp_path, port=free_port()) as server:
        server.start()
        async with client(server.address) as direct:
            card = await issue(direct)
            tills = [
                asyncio.create_task(
                    _till(server.address, card, day, proof.random(f"till {number}"))
                )
                for number in range(_TILLS)
            ]
            everybody = asyncio.gather(*tills)
            while not everybody.done():
                crash = asyncio.create_task(day.crash.wait())
                await asyncio.wait((everybody, crash), return_when=asyncio.FIRST_COMPLETED)
                crash.cancel()
                if day.crash.is_set():
                    day.crash.clear()
                    crashes += 1
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
            await everybody
            true = {request_id: await _stands(direct, request_id) for request_id in day.applied}
            taken = INITIAL - await balance(direct, card)
        assert server.stop() == 0
    lost = [id_ for id_, applied in day.applied.items() if applied and not true[id_]]
    taken_unseen = [id_ for id_, applied in day.applied.items() if not applied and true[id_]]
    proof.report(
        "Python client, unknown outcomes",
        requests=len(day.applied),
        crashes=crashes,
        **dict(sorted(day.ended.items())),
        lost=len(lost),
        taken_unseen=len(taken_unseen),
        taken_twice=taken - sum(true.values()),
    )
    assert (lost, taken_unseen, taken) == ([], [], sum(true.values()))
    assert len(day.applied) == asked
    assert day.ended["unknown"] > asked / 20, "hardly a fault"
    check_books(sqlite_url)


async def _till(address: str, card: str, day: Day, dice: random.Random) -> None:
    with FaultProxy(address) as proxy:
        async with client(proxy.address, _HASTY) as till:
            while day.left > 0:
                day.left -= 1
                if day.left % _CRASH_EVERY == 1:
                    day.crash.set()
                fault = dice.choice(("none", "cut", "cut", "swallow"))
                if fault == "cut":
                    proxy.cut_after(dice.randrange(600))
                elif fault == "swallow":
                    proxy.black_hole("answers")
                request = redeem(card)
                applied = await _paid(till, proxy, request, day, dice)
                day.applied[request.request_id] = applied
                proxy.heal()


async def _paid(
    till: GiftcardClient,
    proxy: FaultProxy,
    request: RedeemGiftCardRequest,
    day: Day,
    dice: random.Random,
) -> bool:
    try:
        await till.gift_cards.RedeemGiftCard(request)
    except OutcomeUnknown as unknown:
        day.ended["unknown"] += 1
        proxy.heal()
        by = dice.choice(_WAYS)
        return (await till.resolve_unknown(unknown, by=by, patience_seconds=300)).applied
    except reasons.Unavailable:
        day.ended["unavailable"] += 1
        return False
    day.ended["answered"] += 1
    return True


async def _stands(direct: GiftcardClient, request_id: str) -> bool:
    """Whether the request was carried out and not undone."""
    found = await direct.gift_cards.LookupTransaction(
        LookupTransactionRequest(request_id=request_id)
    )
    done = found.state == LookupTransactionResponse.APPROVED
    return done and not found.transaction.reversal_transaction
