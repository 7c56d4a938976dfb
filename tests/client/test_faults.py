"""The client against the real server and real faults: money moves once, every doubt is ended."""

import asyncio
import socket
from pathlib import Path
from typing import Literal

import pytest
from giftcard.v1 import LookupTransactionResponse, RedeemGiftCardResponse
from giftcard_client import GiftcardClient, GiftcardError, OutcomeUnknown, RetryPolicy, reasons

from tests.client.till import BRIEF, INITIAL, balance, client, issue, redeem, state
from tests.fault_proxy import FaultProxy
from tests.faults.checks import check_books
from tests.faults.conftest import MakeServer
from tests.faults.planted import TRIGGER
from tests.grpc_server import GrpcServer
from tests.ports import free_port
from tests.prove.proof import Proof

By = Literal["lookup", "retry", "reversal"]
State = LookupTransactionResponse.State


async def test_an_answer_cut_off_is_asked_for_again(server: GrpcServer) -> None:
    """Cut at every tenth byte: the id is the client's own, and the money moves once."""
    replays = 0
    with FaultProxy(server.address) as proxy:
        async with client(server.address) as direct:
            card = await issue(direct)
            async with client(proxy.address) as cut_off:
                await balance(cut_off, card)
                for count in range(0, 400, 10):
                    proxy.cut_after(count)
                    request = redeem(card)
                    answer = await cut_off.gift_cards.RedeemGiftCard(request)
                    assert answer.transaction.request_id == request.request_id != ""
                    assert answer.gift_card.balance.minor_units == INITIAL - 1 - count // 10
                    replays += answer.replayed
            assert await balance(direct, card) == INITIAL - 40
    assert proxy.cuts > 20
    assert replays, "no answer was lost after its commit"


async def test_carried_out_and_no_answer_ever(server: GrpcServer) -> None:
    """Three redemptions of which nothing is heard; one is asked about, one repeated, one undone."""
    ways: dict[By, bool] = {"lookup": True, "retry": True, "reversal": False}
    once = RetryPolicy(patience_seconds=3, try_seconds=3)
    with FaultProxy(server.address) as proxy:
        async with client(server.address) as direct:
            card = await issue(direct)
            async with client(proxy.address, once) as cut_off:
                await balance(cut_off, card)
                proxy.black_hole("answers")
                unknown = await asyncio.gather(*(_not_answered(cut_off, card) for _ in ways))
                assert await balance(direct, card) == INITIAL - len(ways)
                for error, (by, applied) in zip(unknown, ways.items(), strict=True):
                    proxy.black_hole("answers")
                    # Still cut off: it stays unknown, and is told so of the same request.
                    with pytest.raises(OutcomeUnknown) as still:
                        await cut_off.resolve_unknown(error, by=by, patience_seconds=0.3)
                    assert still.value.request_id == error.request_id
                    proxy.heal()
                    outcome = await cut_off.resolve_unknown(still.value, by=by)
                    assert outcome.applied == applied
                    assert outcome.found.transaction.request_id == error.request_id
                    # Asked again by the id alone, as after a restart: the same.
                    again = await direct.resolve_unknown(error.request_id)
                    assert again.applied == applied
            assert await balance(direct, card) == INITIAL - 2


async def _not_answered(cut_off: GiftcardClient, card: str) -> GiftcardError:
    request = redeem(card)
    with pytest.raises(OutcomeUnknown) as unknown:
        await cut_off.gift_cards.RedeemGiftCard(request)
    assert unknown.value.request_id == request.request_id != ""
    return unknown.value


@pytest.mark.slow
async def test_a_half_open_connection_is_given_up(server: GrpcServer, proof: Proof) -> None:
    """Nobody hears that it is dead, nor that the next one is: the third has the answer."""
    with FaultProxy(server.address) as proxy:
        async with (
            client(server.address) as direct,
            client(proxy.address, RetryPolicy(patience_seconds=40, try_seconds=5)) as cut_off,
        ):
            card = await issue(direct)
            await balance(cut_off, card)
            proxy.strand(also_next=1)
            await cut_off.gift_cards.RedeemGiftCard(redeem(card))
            assert await balance(direct, card) == INITIAL - 1
    proof.report("Python client, half-open connections", connections=2)


@pytest.mark.parametrize(
    ("by", "applied", "found", "late"),
    [
        ("lookup", False, "SEALED", "REQUEST_SEALED"),
        ("reversal", False, "SEALED", "REVERSED_BEFORE_ARRIVAL"),
        ("retry", True, "APPROVED", None),
    ],
)
async def test_never_arrived(
    server: GrpcServer, by: By, applied: bool, found: str, late: str | None
) -> None:
    """A listener that swallows everything: the client cannot know that nobody has read it."""
    async with client(server.address) as direct:
        card = await issue(direct)
        request = redeem(card, request_id=f"till-1/{by}")
        with socket.create_server(("127.0.0.1", 0)) as swallows:
            address = f"127.0.0.1:{swallows.getsockname()[1]}"
            async with client(address, BRIEF) as lost:
                with pytest.raises(OutcomeUnknown) as unknown:
                    await lost.gift_cards.RedeemGiftCard(request)
        outcome = await direct.resolve_unknown(unknown.value, by=by)
        assert (outcome.applied, State.Name(outcome.found.state)) == (applied, found)
        if late is None:
            assert (await direct.gift_cards.RedeemGiftCard(request)).replayed
        else:
            with pytest.raises(reasons.BY_REASON[late]):
                await direct.gift_cards.RedeemGiftCard(request)
        assert await balance(direct, card) == INITIAL - applied


async def test_an_earlier_try_is_not_forgotten(server: GrpcServer) -> None:
    """The last try surely did nothing, for nobody was there; the first one may have."""
    once_and_again = RetryPolicy(patience_seconds=3, try_seconds=3)
    with FaultProxy(server.address) as proxy:
        async with (
            client(server.address) as direct,
            client(proxy.address, once_and_again) as lost,
        ):
            card = await issue(direct)
            await balance(lost, card)
            proxy.black_hole("answers")
            paying = asyncio.ensure_future(lost.gift_cards.RedeemGiftCard(redeem(card)))
            while await balance(direct, card) == INITIAL:
                assert not paying.done()
            proxy.refuse()
            with pytest.raises(OutcomeUnknown) as unknown:
                await paying
            assert "failed to connect" in str(unknown.value.__cause__)
            assert (await direct.resolve_unknown(unknown.value)).applied
            assert await balance(direct, card) == INITIAL - 1


async def test_a_dead_server_is_not_an_unknown_outcome(server: GrpcServer) -> None:
    """No connection, so nothing was sent: the caller is told that nothing was done."""
    async with client(f"127.0.0.1:{free_port()}", BRIEF) as nobody:
        with pytest.raises(reasons.Unavailable, match="failed to connect"):
            await nobody.gift_cards.RedeemGiftCard(redeem("giftCards/01"))


async def test_a_read_without_answer_is_unavailable(server: GrpcServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as swallows:
        async with client(f"127.0.0.1:{swallows.getsockname()[1]}", BRIEF) as lost:
            with pytest.raises(reasons.Unavailable) as failed:
                await balance(lost, "giftCards/01")
    assert failed.value.request_id == ""


async def test_killed_and_restarted_while_redeeming(
    sqlite_url: str, tmp_path: Path, make_server: MakeServer
) -> None:
    """Ten tills redeem one after the other through three crashes; each redemption counts once."""
    with GrpcServer(sqlite_url, tmp_path, port=free_port()) as server:
        server.start()
        async with client(server.address) as tills:
            card = await issue(tills)
            done: list[RedeemGiftCardResponse] = []
            busy, over = asyncio.Event(), asyncio.Event()

            async def till() -> None:
                while not over.is_set():
                    done.append(await tills.gift_cards.RedeemGiftCard(redeem(card)))
                    if len(done) % 50 == 0:
                        busy.set()

            running = [asyncio.create_task(till()) for _ in range(10)]
            for _ in range(3):
                busy.clear()
                await busy.wait()
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            over.set()
            await asyncio.gather(*running)
            assert len({each.transaction.name for each in done}) == len(done)
            assert await balance(tills, card) == INITIAL - len(done)
        assert server.stop() == 0
    check_books(sqlite_url)


async def test_a_deadline_that_passes_while_committing(make_server: MakeServer) -> None:
    """The caller's time is over while the disk still writes."""
    server = make_server("slow_commit")
    server.start()
    async with client(server.address) as patient:
        card = await issue(patient)
        requests = [redeem(card) for _ in range(40)]
        unknown: list[OutcomeUnknown] = []
        answered = 0
        for number, request in enumerate(requests):
            try:
                # From hopeless to enough: 20 ms are refused, a commit takes 30 ms and more.
                await patient.gift_cards.RedeemGiftCard(request, timeout=0.022 + number / 1000)
                answered += 1
            except OutcomeUnknown as error:
                unknown.append(error)
            except reasons.DeadlineTooShort:
                assert await state(patient, request.request_id) == "NOT_SEEN"
        assert unknown, "no deadline passed in the middle"
        applied = [
            (await patient.resolve_unknown(error, by=("lookup", "retry")[number % 2])).applied
            for number, error in enumerate(unknown)
        ]
        assert any(applied), "nothing was committed after its deadline"
        assert await balance(patient, card) == INITIAL - answered - sum(applied)
    assert server.stop() == 0
    check_books(server.database_url)


@pytest.mark.parametrize("plant", ["commit_fails_before", "commit_fails_after"])
@pytest.mark.parametrize("engine", ["sqlite_url", "postgresql_url"])
async def test_a_commit_that_reports_an_error(
    request: pytest.FixtureRequest, tmp_path: Path, plant: str, engine: str
) -> None:
    """OUTCOME_UNKNOWN is tried again under the same id; on SQLite the server restarts meanwhile."""
    trigger = tmp_path / "fail-the-next-commit"
    database_url = request.getfixturevalue(engine)
    server = GrpcServer(
        database_url,
        tmp_path,
        module=("tests.faults.planted", plant),
        environment={TRIGGER: str(trigger)},
        port=free_port(),
    )
    with server:
        server.start()
        async with client(server.address) as till:
            card = await issue(till)
            trigger.touch()
            calls = [
                asyncio.ensure_future(till.gift_cards.RedeemGiftCard(redeem(card)))
                for _ in range(5)
            ]
            if engine == "sqlite_url":
                await asyncio.to_thread(server.wait)
                await asyncio.to_thread(server.start)
            answers = await asyncio.gather(*calls)
            assert not trigger.exists(), "no commit failed"
            assert len({answer.transaction.name for answer in answers}) == 5
            if plant == "commit_fails_after":
                assert any(answer.replayed for answer in answers)
            assert await balance(till, card) == INITIAL - 5
        assert server.stop() == 0
    check_books(database_url)


async def test_overload_is_waited_for(make_server: MakeServer) -> None:
    """More than the queue takes: all get through in the end, none twice."""
    server = make_server(
        "slow_commit",
        environment={
            "GIFTCARD_QUEUE_LIMIT": "20",
            "GIFTCARD_QUEUE_RESERVE": "20",
            "GIFTCARD_BATCH_LIMIT": "10",
        },
    )
    server.start()
    async with client(server.address) as till:
        card = await issue(till)
        # It would wait longer than its patience, so it does not come back at all.
        one_try = RetryPolicy(
            patience_seconds=60, try_seconds=60, first_wait_seconds=1e9, longest_wait_seconds=1e9
        )
        async with client(server.address, one_try) as hasty:
            gave_up = await asyncio.gather(
                *(hasty.gift_cards.RedeemGiftCard(redeem(card)) for _ in range(100)),
                return_exceptions=True,
            )
        shed = [error for error in gave_up if isinstance(error, reasons.Overloaded)]
        assert shed, "hardly an overload"
        assert all(error.retry_after_seconds for error in shed)
        doubts = [error for error in gave_up if isinstance(error, OutcomeUnknown)]
        for error in doubts:
            await till.resolve_unknown(error, by="reversal")
        left = await balance(till, card)
        answers = await asyncio.gather(
            *(till.gift_cards.RedeemGiftCard(redeem(card)) for _ in range(200))
        )
        assert not any(answer.replayed for answer in answers)
        assert await balance(till, card) == left - 200
    assert server.stop() == 0
    check_books(server.database_url)
