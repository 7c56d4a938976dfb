"""How the engine judges what upstream says: once, again, unknown, undone.

One line is what upstream says in turn (the last for ever), the status that the till sees, how often
upstream was asked (None: until the budget was spent), and whether a reversal was queued.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from giftcard import v1

from compat_http.dialect import Rpc
from compat_http.dialects import retail7
from compat_http.engine import Call, Engine, reversal_id
from compat_http.records import Reversal
from compat_http.settings import Settings
from compat_http.store import Store
from compat_http.upstream import Upstream
from tests.compat.drive import request
from tests.compat.retail7.messages import message
from tests.compat.retail7.test_operations import LOOKED_UP, card, done
from tests.compat.scripted import HANG, Bare, Gate, Script, scripted

RETAIL7 = retail7.build(Settings())
REDEEMED = v1.RedeemGiftCardResponse(gift_card=card(), transaction=done())
REPLAYED = v1.RedeemGiftCardResponse(gift_card=card(), transaction=done(), replayed=True)
STANDING = v1.LookupTransactionResponse(transaction=done())
UNDONE = v1.LookupTransactionResponse(
    transaction=done(reversal_transaction="transactions/" + "b" * 32)
)
CALLER = "Basic eDp5"
KEY = "retail7/7/1001/REDEEM/R1"


@dataclass(slots=True)
class Clock:
    """Each look at it takes seconds of the budget, so no test waits for time to pass."""

    step: float = 1.5
    now: float = field(default=0.0)

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@dataclass(frozen=True, slots=True)
class Stage:
    engine: Engine
    store: Store
    script: Script


@asynccontextmanager
async def stage(
    directory: Path,
    *turns: Any,
    attempt_milliseconds: int = 300,
    monotonic: Callable[[], float] | None = None,
) -> AsyncIterator[Stage]:
    """An engine with a real store before a service that says what the turns have."""
    url = f"sqlite:///{directory / 'exchange.db'}"
    async with scripted(*turns) as script:
        store = Store.open(url, None, production=False)
        upstream = Upstream(script.address)
        try:
            engine = Engine(
                upstream,
                store,
                attempt_milliseconds=attempt_milliseconds,
                grace_seconds=60,
                monotonic=monotonic or Clock(),
            )
            yield Stage(engine, store, script)
        finally:
            await upstream.close()
            await store.close()


async def ask(engine: Engine, operation: str = "REDEEM", **members: Any) -> Any:
    call = Call(RETAIL7, RETAIL7.routes[0])
    return await engine.run(call, request(message(operation, **members)), CALLER)


WRITES: list[tuple[list[Any], int, int | None, bool]] = [
    ([REDEEMED], 200, 1, False),
    # Nothing was done: again at once.
    (["UNAVAILABLE", REDEEMED], 200, 2, False),
    (["DEADLINE_TOO_SHORT", REDEEMED], 200, 2, False),
    (["UNAVAILABLE"], 503, None, False),
    (["DEADLINE_TOO_SHORT"], 503, None, False),
    # Nothing was done, and the till is told to wait.
    (["OVERLOADED"], 503, 1, False),
    (["LOOKUP_BUDGET_EXHAUSTED"], 429, 1, False),
    # A decision is never unknown.
    (["INSUFFICIENT_FUNDS"], 422, 1, False),
    (["GIFT_CARD_NOT_FOUND"], 404, 1, False),
    (["REVERSED_BEFORE_ARRIVAL"], 409, 1, False),
    (["UNAUTHENTICATED"], 401, 1, False),
    # Unknown: again under the same id, until somebody knows.
    (["OUTCOME_UNKNOWN", REDEEMED], 200, 2, False),
    (["INTERNAL", REDEEMED], 200, 2, False),
    ([Bare(grpc.StatusCode.UNAVAILABLE), REDEEMED], 200, 2, False),
    ([Bare(grpc.StatusCode.UNKNOWN), REDEEMED], 200, 2, False),
    ([Bare(grpc.StatusCode.CANCELLED), REDEEMED], 200, 2, False),
    ([Bare(grpc.StatusCode.RESOURCE_EXHAUSTED), REDEEMED], 200, 2, False),
    ([HANG, REDEEMED], 200, 2, False),
    (["OUTCOME_UNKNOWN", "INSUFFICIENT_FUNDS"], 422, 2, False),
    (["OUTCOME_UNKNOWN", "REQUEST_ID_REUSED"], 409, 2, False),
    # Unknown for good: undone.
    (["OUTCOME_UNKNOWN"], 504, None, True),
    (["INTERNAL"], 504, None, True),
    ([Bare(grpc.StatusCode.UNAVAILABLE)], 504, None, True),
    ([Bare(grpc.StatusCode.UNIMPLEMENTED)], 504, None, True),
    ([HANG], 504, None, True),
    # What turned the second attempt away says nothing of the first.
    (["OUTCOME_UNKNOWN", "UNAVAILABLE"], 504, None, True),
    (["OUTCOME_UNKNOWN", "OVERLOADED"], 504, None, True),
    (["OUTCOME_UNKNOWN", "LOOKUP_BUDGET_EXHAUSTED"], 504, None, True),
    (["OUTCOME_UNKNOWN", "UNAUTHENTICATED"], 504, None, True),
    (["OUTCOME_UNKNOWN", "SCOPE_MISSING"], 504, None, True),
    (["OUTCOME_UNKNOWN", "LOCATION_FORBIDDEN"], 504, None, True),
    # A reason that this shim does not know is still a no.
    (["REASON_OF_TOMORROW"], 500, 1, False),
    # Done before: is it still?
    ([REPLAYED, STANDING], 200, 2, False),
    ([REPLAYED, UNDONE], 409, 2, False),
    ([REPLAYED, Bare(grpc.StatusCode.UNAVAILABLE), REPLAYED, STANDING], 200, 4, False),
    ([REPLAYED, "OVERLOADED", REPLAYED, STANDING], 200, 4, False),
    ([REPLAYED, "OVERLOADED"], 504, None, True),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "status", "asked", "queued"), WRITES, ids=range(len(WRITES)))
async def test_a_call_that_writes(
    tmp_path: Path, turns: list[Any], status: int, asked: int | None, queued: bool
) -> None:
    async with stage(tmp_path, *turns) as on:
        reply = await ask(on.engine)
        assert reply.status == status
        if asked is not None:
            assert len(on.script.asked) == asked
        else:
            assert len(on.script.asked) >= 2
        redeemed = [data for name, data, _ in on.script.asked if name == "RedeemGiftCard"]
        assert {v1.RedeemGiftCardRequest.FromString(data).request_id for data in redeemed} == {KEY}
        assert await on.store.take_back(CALLER, KEY) == queued


async def test_to_look_whether_it_still_stands_has_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The till does not wait longer for a replay than for a first answer."""
    given: list[float] = []
    own = Upstream.call

    async def noted(self: Upstream, rpc: Rpc, authorization: str, timeout_seconds: float) -> Any:
        given.append(timeout_seconds)
        return await own(self, rpc, authorization, timeout_seconds)

    monkeypatch.setattr(Upstream, "call", noted)
    # Of eight seconds 4.1 are left for the attempt, and 0.2 once it has its answer.
    clock = Clock(3.9)
    async with stage(tmp_path, REPLAYED, HANG, attempt_milliseconds=60_000, monotonic=clock) as on:
        assert (await ask(on.engine)).status == 504
    assert [round(each, 1) for each in given] == [4.1, 0.2]


async def test_what_was_done_but_cannot_be_told_is_undone(tmp_path: Path) -> None:
    def defect(_: Any, __: Any) -> Any:
        yield Rpc("RedeemGiftCard", v1.RedeemGiftCardRequest(request_id=KEY))
        raise RuntimeError

    call = Call(RETAIL7, dataclasses.replace(RETAIL7.routes[0], operation=defect))
    async with stage(tmp_path, REDEEMED) as on:
        reply = await on.engine.run(call, request(message("REDEEM")), CALLER)
        assert reply.status == 504
        assert await on.store.take_back(CALLER, KEY)


READS: list[tuple[list[Any], int, int | None]] = [
    ([LOOKED_UP], 200, 1),
    (["UNAVAILABLE", LOOKED_UP], 200, 2),
    ([Bare(grpc.StatusCode.UNAVAILABLE), LOOKED_UP], 200, 2),
    ([HANG, LOOKED_UP], 200, 2),
    (["GIFT_CARD_NOT_FOUND"], 404, 1),
    (["OVERLOADED"], 503, 1),
    (["INTERNAL"], 500, 1),
    (["UNAVAILABLE"], 503, None),
    ([HANG], 503, None),
]


@pytest.mark.parametrize(("turns", "status", "asked"), READS, ids=range(len(READS)))
async def test_a_call_that_reads(
    tmp_path: Path, turns: list[Any], status: int, asked: int | None
) -> None:
    """A read has no outcome that could be unknown."""
    async with stage(tmp_path, *turns) as on:
        reply = await ask(on.engine, "STATUS")
        assert reply.status == status
        assert asked is None or len(on.script.asked) == asked


async def test_what_never_left_is_not_unknown(tmp_path: Path) -> None:
    async with stage(tmp_path, REDEEMED) as on:
        await on.script.stop()
        reply = await ask(on.engine)
        assert (reply.status, dict(reply.headers)["retry-after"]) == (503, "1")
        assert not await on.store.take_back(CALLER, KEY)


async def test_the_till_is_told_how_long_to_wait(tmp_path: Path) -> None:
    async with stage(tmp_path, "OVERLOADED") as on:
        assert dict((await ask(on.engine)).headers)["retry-after"] == "2"


async def test_the_caller_is_passed_on(tmp_path: Path) -> None:
    async with stage(tmp_path, REDEEMED) as on:
        await ask(on.engine)
        await ask(on.engine, trainingFlag=True)
    books = [metadata.get("giftcard-book") for _, _, metadata in on.script.asked]
    assert books == [None, "training"]
    assert {metadata["authorization"] for _, _, metadata in on.script.asked} == {CALLER}


async def test_a_defect_of_an_operation_is_answered(tmp_path: Path) -> None:
    # An answer of another type has not what the operation looks for.
    async with stage(tmp_path, v1.LookupGiftCardResponse()) as on:
        reply = await ask(on.engine, "STATUS")
        assert (reply.status, reply.document["responseCode"]) == (500, "INTERNAL")


# The client's own retry


async def test_a_retry_takes_the_reversal_back(tmp_path: Path) -> None:
    async with stage(tmp_path, "OUTCOME_UNKNOWN") as on:
        assert (await ask(on.engine)).status == 504
        on.script.turns = [REPLAYED, STANDING]
        on.script.asked.clear()
        assert (await ask(on.engine)).status == 200
        assert not await on.store.take_back(CALLER, KEY)


@pytest.mark.parametrize("reason", ["OVERLOADED", "INVALID_FIELD", "REQUEST_ID_REUSED"])
async def test_a_retry_that_settles_nothing_leaves_the_reversal(
    tmp_path: Path, reason: str
) -> None:
    async with stage(tmp_path, "OUTCOME_UNKNOWN") as on:
        assert (await ask(on.engine)).status == 504
        on.script.turns = [reason]
        assert (await ask(on.engine)).status != 200
        assert await on.store.take_back(CALLER, KEY)


async def test_a_retry_after_the_reversal_began_is_told_so(tmp_path: Path) -> None:
    async with stage(tmp_path, "OUTCOME_UNKNOWN") as on:
        await on.store.queue_reversal(Reversal(KEY, CALLER, "", "retail7", "giftcard"))
        (claimed,) = await on.store.claim(10)
        assert (claimed.reversal.key, claimed.reversal.authorization) == (KEY, CALLER)
        reply = await ask(on.engine)
        assert (reply.status, reply.document["responseCode"]) == (504, "OUTCOME_UNKNOWN")
        assert on.script.asked == [], "sent now it could be approved, and then be undone"


async def test_calls_under_one_id_run_one_after_the_other(tmp_path: Path) -> None:
    """Else the first could give up, and be undone, after the second was told that it was done."""
    gate = Gate(REDEEMED)
    turns = [gate, REPLAYED, STANDING]
    async with stage(tmp_path, *turns, attempt_milliseconds=60_000, monotonic=lambda: 0.0) as on:
        calls = [asyncio.create_task(ask(on.engine)) for _ in range(2)]
        await gate.reached.wait()
        # Time enough for the second to get there, were it not for the first.
        await asyncio.sleep(0.3)
        assert len(on.script.asked) == 1
        gate.opened.set()
        assert [(await call).status for call in calls] == [200, 200]
        assert [name for name, _, _ in on.script.asked] == [
            "RedeemGiftCard", "RedeemGiftCard", "LookupTransaction",
        ]  # fmt: skip
        assert on.engine._turns == {}


async def test_calls_under_other_ids_do_not_wait(tmp_path: Path) -> None:
    gate = Gate(REDEEMED)
    turns = [gate, REDEEMED]
    async with stage(tmp_path, *turns, attempt_milliseconds=60_000, monotonic=lambda: 0.0) as on:
        first = asyncio.create_task(ask(on.engine))
        await gate.reached.wait()
        assert (await ask(on.engine, requestIDExternal="R2")).status == 200
        gate.opened.set()
        assert (await first).status == 200


async def test_a_cancellation_that_stays_unknown_is_carried_out(tmp_path: Path) -> None:
    not_seen = v1.LookupTransactionResponse(state=v1.LookupTransactionResponse.NOT_SEEN)
    async with stage(tmp_path, not_seen, "OUTCOME_UNKNOWN") as on:
        assert (await ask(on.engine, "CANCEL")).status == 504
        assert await on.store.take_back(CALLER, "retail7/7/1001/REDEEM/R0")


# Sending what was queued

REVERSED = v1.ReverseTransactionResponse(outcome="REVERSED", transaction=done())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "definite"),
    [
        (REVERSED, True),
        ("NOT_REVERSIBLE", True),
        ("REQUEST_ID_REUSED", True),
        ("UNAVAILABLE", False),
        ("OVERLOADED", False),
        ("OUTCOME_UNKNOWN", False),
        ("INTERNAL", False),
        ("UNAUTHENTICATED", False),
        (Bare(grpc.StatusCode.UNAVAILABLE), False),
        (HANG, False),
    ],
    ids=range(10),
)
async def test_a_queued_reversal_is_sent_as_the_caller(
    tmp_path: Path, said: Any, definite: bool
) -> None:
    reversal = Reversal(KEY, CALLER, "training", "retail7", "giftcard")
    async with stage(tmp_path, said) as on:
        assert await on.engine.reverse(reversal) == definite
        (asked,) = on.script.asked
    _check_reversal(asked)


def _check_reversal(asked: tuple[str, bytes, dict[str, str]]) -> None:
    name, data, metadata = asked
    sent = v1.ReverseTransactionRequest.FromString(data)
    assert (name, sent.original_request_id) == ("ReverseTransaction", KEY)
    assert sent.request_id == reversal_id(KEY)
    assert (metadata["authorization"], metadata["giftcard-book"]) == (CALLER, "training")
