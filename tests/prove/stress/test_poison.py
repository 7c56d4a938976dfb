"""Requests that run into a defect: the next one is served, and nothing of the inside is shown."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from giftcard import v1
from sqlalchemy import event

from server.storage import statements
from server.storage.database import driver_cursor
from tests.faults.checks import check_books
from tests.prove.proof import Proof, engine_of
from tests.rpc.edge_stage import Heard, Stage, running, unique, usd

SECRET: Final = "a secret of the inside"
_STATEMENTS_MAX: Final = 60
_TIMEOUT_SECONDS: Final = 20.0
#: Kinds of requests: they read and write every table of the ledger.
ASK: Final[dict[str, Callable[[str, str], Any]]] = {
    "issue": lambda card, _: v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(5), request_id=unique()
    ),
    "redeem": lambda card, _: v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(name=card), amount=usd(1), request_id=unique()
    ),
    "authorize": lambda card, _: v1.AuthorizeGiftCardRequest(
        gift_card=v1.GiftCardReference(name=card), amount=usd(1), request_id=unique()
    ),
    "reverse": lambda card, done: v1.ReverseTransactionRequest(
        original_request_id=done, request_id=unique()
    ),
    "reserve": lambda card, _: v1.ReserveCodesRequest(
        program="programs/GC", count=2, agency="agency", request_id=unique()
    ),
    "customer": lambda card, _: v1.CreateCustomerRequest(
        customer_id=unique("c"), customer=v1.Customer(), request_id=unique()
    ),
    "look up": lambda card, done: v1.LookupTransactionRequest(request_id=done),
    "read a card": lambda card, _: v1.GetGiftCardRequest(name=card),
    "list": lambda card, _: v1.ListTransactionsRequest(gift_card=card),
}  # fmt: skip


@pytest.mark.slow
def test_a_defect_at_every_call_of_the_storage(
    proof: Proof, tmp_path: Path, database_url: str
) -> None:
    """The first, second, third … statement of a request breaks, until none is left to break."""
    planted = 0
    answers: dict[str, int] = {}
    with running(database_url, tmp_path, remember_seconds=3600) as stage:
        card = stage.issue(100_000).name
        for name, ask in ASK.items():
            for number in range(1, _STATEMENTS_MAX):
                request = ask(card, _spent(stage, card))
                with _breaking(stage, number) as broke:
                    heard = stage.call(request, timeout=_TIMEOUT_SECONDS)
                if not broke:
                    assert heard.code == "OK", (name, number, heard)
                    break
                planted += 1
                answers[heard.code] = answers.get(heard.code, 0) + 1
                _check(name, number, heard)
                again = stage.call(request, timeout=_TIMEOUT_SECONDS)
                assert again.code == "OK", (name, number, again)
            else:
                pytest.fail(f"{name} has more than {_STATEMENTS_MAX} statements")
    proof.report(
        f"A defect at every statement, {engine_of(database_url)}",
        kinds=len(ASK), planted=planted, **answers,
    )  # fmt: skip
    assert planted > len(ASK) * 2
    check_books(database_url)


def _check(name: str, number: int, heard: Heard) -> None:
    """A mistake of ours is INTERNAL, or an outcome that is not known: never a business answer."""
    assert (heard.code, heard.reason) in (
        ("INTERNAL", "INTERNAL"), ("UNAVAILABLE", "OUTCOME_UNKNOWN"), ("OK", ""),
    ), (name, number, heard)  # fmt: skip
    assert SECRET.encode() not in heard.raw
    assert SECRET not in heard.text


def _spent(stage: Stage, card: str) -> str:
    """The id of a request that was approved."""
    request_id = unique()
    stage.answer(
        v1.RedeemGiftCardRequest(
            gift_card=v1.GiftCardReference(name=card), amount=usd(1), request_id=request_id
        )
    )
    return request_id


@contextmanager
def _breaking(stage: Stage, number: int) -> Iterator[list[str]]:
    """Lets the given statement from now on fail, whichever of the engines runs it.

    What is yielded is empty as long as it was not reached.
    """
    engines = (stage.thread.database.writer, stage.thread.database.reader)
    lock, broke, count = threading.Lock(), list[str](), 0

    def one_more(*_: object) -> None:
        nonlocal count
        with lock:
            count += 1
            if count == number:
                broke.append("this one")
                raise RuntimeError(SECRET)

    def own_cursor(connection: Any) -> Any:
        one_more()
        return driver_cursor(connection)

    for engine in engines:
        event.listen(engine, "before_cursor_execute", one_more)
    try:
        with patch.object(statements, "driver_cursor", own_cursor):
            yield broke
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", one_more)


@pytest.mark.parametrize("place", ["card", "decide", "read"])
def test_a_handler_that_is_cancelled_from_within(
    proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """gRPC would leave such a caller waiting until its deadline."""
    ask = {"card": "read a card", "decide": "redeem", "read": "list"}[place]

    async def cancelled(*_: object) -> Any:
        raise asyncio.CancelledError

    with running(f"sqlite:///{tmp_path / 'giftcard.db'}", tmp_path) as stage:
        card = stage.issue(100).name
        request = ASK[ask](card, "")
        with monkeypatch.context() as patching:
            patching.setattr(stage.thread.server._bridge, place, cancelled)
            began = time.monotonic()
            heard = stage.call(request, timeout=_TIMEOUT_SECONDS)
            assert time.monotonic() - began < _TIMEOUT_SECONDS / 2, "it waited for the deadline"
        assert (heard.code, heard.reason) == ("INTERNAL", "INTERNAL")
        afterwards = stage.call(request).code
    proof.report(f"Cancelled from within, {ask}", heard=heard.code, next_one=afterwards)
    assert afterwards == "OK"
