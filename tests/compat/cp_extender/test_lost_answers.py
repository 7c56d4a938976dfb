"""Answers that are lost: whatever the shop sees, the value is held, taken and returned once."""

import contextlib
import http.client
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compat.offsets import every, spread, until_whole
from tests.compat.stage import Said, ShimServer, call
from tests.fault_proxy import FaultProxy
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

SHOP: Final = {"Authorization": "Bearer demo-cp-token"}
TIMEOUT_SECONDS: Final = 60
_sales = itertools.count(1)

IN_PASSING: Final = 61


def post(address: str, target: str, members: str) -> Said:
    return call(address, "POST", target, members.encode(), SHOP)


def new_card(address: str) -> str:
    """A card worth 100.00."""
    members = '{"GiftCardCode":"GC","GiftCardValue":100,"SaleId":"S"}'
    made: str = post(address, "/Giftcard/Create", members).json["GiftCard"]["Id"]
    return made


def authorize(address: str, card: str, sale: str, amount: str = "1.00") -> Said:
    members = f'{{"Type":"giftcard","Ref":"{card}","SaleId":"{sale}","RequestedAmount":{amount}}}'
    return post(address, "/Giftcard/Authorize", members)


def settle(address: str, how: str, card: str, code: str) -> Said:
    return post(address, f"/Authorize/{how}", f'{{"Ref":"{card}","AuthCode":"{code}"}}')


def balances(address: str, card: str) -> tuple[float, float]:
    """The balance, and what is held of it."""
    said = call(address, "GET", f"/Giftcard/{card}/BalanceCheck", None, SHOP)
    found = said.json["GiftCard"]
    return found["Balance"], found["OpenAuthorizations"]


def repeated(
    before: FaultProxy, offset: int, address: str, ask: Callable[..., Said], *arguments: str
) -> Said:
    """What the shop is told when it asks a second time, having lost the first answer."""
    before.cut_after(offset)
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        ask(before.address, *arguments)
    before.heal()
    return ask(address, *arguments)


def cut_to_shim(shim: ShimServer, behind: FaultProxy, offsets: Iterable[int]) -> int:
    """The shim asks again under the same id, so the shop notices nothing."""
    address, count = shim.address, behind.cuts
    for offset in until_whole(behind, offsets):
        card = new_card(address)
        behind.cut_after(offset)
        said = authorize(address, card, "cut", "40.00")
        assert said.status == 200, (offset, said.body)
        behind.cut_after(offset)
        assert settle(address, "Confirm", card, said.json["AuthCode"]).status == 204, offset
        behind.heal()
        assert balances(address, card) == (60.0, 0.0), offset
    return behind.cuts - count


def cut_to_shop(shim: ShimServer, offsets: Iterable[int]) -> int:
    """The shop sends the same again and is told what was done the first time."""
    address = shim.address
    with FaultProxy(address) as before:
        for offset in until_whole(before, offsets):
            card, sale = new_card(address), f"a{next(_sales)}"
            said = repeated(before, offset, address, authorize, card, sale)
            assert said.status == 200, (offset, said.body)
            code = said.json["AuthCode"]
            assert balances(address, card) == (100.0, 1.0), offset
            how, left = ("Confirm", 99.0) if offset % 2 else ("Cancel", 100.0)
            said = repeated(before, offset, address, settle, how, card, code)
            assert said.status == 204, (offset, said.body)
            assert balances(address, card) == (left, 0.0), offset
        return before.cuts


def test_an_answer_of_the_service_cut_anywhere(cut_shim: ShimServer, behind: FaultProxy) -> None:
    cut_to_shim(cut_shim, behind, every(IN_PASSING))


def test_an_answer_to_the_shop_cut_anywhere(shim: ShimServer) -> None:
    cut_to_shop(shim, every(IN_PASSING))


@pytest.mark.slow
def test_answers_cut_at_length(
    proof: Proof, shim: ShimServer, cut_shim: ShimServer, behind: FaultProxy
) -> None:
    served = cut_to_shim(cut_shim, behind, spread(proof, push=13))
    told = cut_to_shop(shim, spread(proof, push=11))
    proof.report("Holds of a shop cut", service=served, shop=told)


def test_the_same_at_once(shim: ShimServer) -> None:
    """A shop that is impatient: however often it asks, the value is held, and taken, once."""
    card = new_card(shim.address)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(authorize, shim.address, card, "at once", "40.00") for _ in range(8)]
        codes = {each.result().json["AuthCode"] for each in asked}
        assert len(codes) == 1
        assert balances(shim.address, card) == (100.0, 40.0)
        code = codes.pop()
        asked = [pool.submit(settle, shim.address, "Confirm", card, code) for _ in range(8)]
        assert {each.result().status for each in asked} == {204}
    assert balances(shim.address, card) == (60.0, 0.0)


def test_one_outcome_of_two_that_are_wished_at_once(shim: ShimServer) -> None:
    card = new_card(shim.address)
    code = authorize(shim.address, card, "both", "40.00").json["AuthCode"]
    hows = ["Confirm", "Cancel"] * 4
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(settle, shim.address, how, card, code) for how in hows]
        told = {(how, each.result().status) for how, each in zip(hows, asked, strict=True)}
    confirmed = {("Confirm", 204), ("Cancel", 400)}
    assert told in (confirmed, {("Confirm", 400), ("Cancel", 204)})
    assert balances(shim.address, card) == ((60.0 if told == confirmed else 100.0), 0.0)


@pytest.fixture(scope="module")
def hasty(
    behind: FaultProxy, demo_server: GrpcServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShimServer]:
    """A shim that soon gives up."""
    directory: Path = tmp_path_factory.mktemp("hasty-shim")
    environment = {"GIFTCARD_CP_BUDGET_MILLISECONDS": "1000"}
    with ShimServer(behind.address, directory, environment=environment) as shim:
        shim.start()
        yield shim


def _lose(behind: FaultProxy, ask: Callable[[], Said]) -> None:
    """Does it so that its outcome stays unknown to the shim.

    The reads before it have to come back, so their answers are let through one after the other.
    """
    for let_through in range(0, 20_000, 100):
        behind.cut_after(let_through, again=True)
        said = ask()
        behind.heal()
        if said.status == 504:
            return
    raise AssertionError("its outcome was always known")


def _confirmed_unanswered(behind: FaultProxy, address: str) -> tuple[str, Any]:
    """A card and an authorization that was confirmed without anybody having been told.

    On a busy machine a question may be lost in place of its answer; then nothing was confirmed,
    and the authorization rightly stands.
    """
    for turn in range(5):
        card = new_card(address)
        code: Any = authorize(address, card, f"given up {turn}", "40.00").json["AuthCode"]
        _lose(behind, partial(settle, address, "Confirm", card, code))
        if balances(address, card) == (60.0, 0.0):
            return card, code
    raise AssertionError("it was never confirmed")


def _insist(ask: Callable[[], Said]) -> Said:
    """Asks until there is an answer: the shim needs a moment to find its way back."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (said := ask()).status in (503, 504):
        assert time.monotonic() < deadline, said.body
    return said


def test_the_shop_asks_again_after_504(behind: FaultProxy, hasty: ShimServer) -> None:
    """Its repeat takes the waiting reversal back."""
    card, address = new_card(hasty.address), hasty.address
    _lose(behind, lambda: authorize(address, card, "lost", "40.00"))
    code = _insist(lambda: authorize(address, card, "lost", "40.00")).json["AuthCode"]
    assert balances(address, card) == (100.0, 40.0)
    _lose(behind, lambda: settle(address, "Confirm", card, code))
    assert _insist(lambda: settle(address, "Confirm", card, code)).status == 204
    assert balances(address, card) == (60.0, 0.0)


@pytest.mark.slow
def test_the_shop_gives_up_after_504(proof: Proof, behind: FaultProxy, hasty: ShimServer) -> None:
    """What was confirmed is undone, and every later question is answered accordingly."""
    address = hasty.address
    card, code = _confirmed_unanswered(behind, address)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while balances(address, card) != (100.0, 0.0):
        assert time.monotonic() < deadline, f"it was never undone: {balances(address, card)}"
        time.sleep(0.2)
    said = settle(address, "Confirm", card, code)
    assert (said.status, said.json["Message"]) == (400, "Authorization has been cancelled")
    assert settle(address, "Cancel", card, code).status == 204
    again = authorize(address, card, "given up", "40.00").json["AuthCode"]
    assert again != code
    assert settle(address, "Confirm", card, again).status == 204
    assert balances(address, card) == (60.0, 0.0)
    proof.report("Confirmation answered 504, cp", told_unknown=1, undone=1)
