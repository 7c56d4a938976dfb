"""Answers that are cut on their way: whatever the till sees, the money moved once or not at all."""

import contextlib
import http.client
import itertools
from collections.abc import Iterator
from typing import Any, Final

import pytest

from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.cut_proxy import CutProxy
from tests.compat.retail7.messages import message
from tests.compat.stage import Said, ShimServer, basic, call

PATH: Final = "/retail7/giftcards"
TILL: Final = basic("demo-pos", "demo-pos")
_numbers = itertools.count(1)


def ask(address: str, operation: str, card: str, request_id: str, **members: Any) -> Said:
    whole = message(operation, cardID=card, requestIDExternal=request_id, **members)
    return call(address, "POST", PATH, write(whole), TILL)


def new_card(address: str) -> str:
    """A card worth 25.00."""
    card = f"77CUT{next(_numbers):05d}"
    said = ask(address, "SELL", card, "sale", issuedByClient=True, amount=n("25.00"), clientID=card)
    assert said.status == 200, said.body
    return card


def balance(address: str, card: str) -> float:
    found: float = ask(address, "STATUS", card, "look").json["balance"]
    return found


# `step` is the distance of the offsets: in passing some of them, at length all.
STEPS = [pytest.param(31), pytest.param(1, marks=pytest.mark.slow)]


#: No answer is so long that it is still cut there.
OFFSET_MAX: Final = 5000
#: Redemptions of 1.00 for each card.
PER_CARD: Final = 20


def offsets(proxy: CutProxy, step: int) -> Iterator[int]:
    """Cuts one answer at each offset, until one is too short to be cut."""
    for offset in range(0, OFFSET_MAX, step):
        cuts = proxy.cuts
        proxy.cut_after(offset)
        yield offset
        proxy.heal()
        if proxy.cuts == cuts:
            assert offset > step, "hardly anything was cut"
            return
    raise AssertionError("the answers do not end")


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_of_the_service_cut_anywhere(
    cut_shim: ShimServer, behind: CutProxy, step: int
) -> None:
    """The shim asks again under the same id, so the till notices nothing."""
    address = cut_shim.address
    cards = [new_card(address) for _ in range(OFFSET_MAX // step // PER_CARD + 1)]
    for number, offset in enumerate(offsets(behind, step)):
        card, left = cards[number // PER_CARD], 25 - number % PER_CARD
        said = ask(address, "REDEEM", card, f"r{offset}", amount=n("1.00"), clientID=card)
        behind.heal()
        assert (said.status, said.json["balance"]) == (200, left - 1), (offset, said.body)
        assert balance(address, card) == left - 1, offset


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_to_the_till_cut_anywhere(shim: ShimServer, step: int) -> None:
    """The till sends the same again and is told what was done the first time."""
    cards = [new_card(shim.address) for _ in range(OFFSET_MAX // step // PER_CARD + 1)]
    with CutProxy(shim.address) as before:
        for number, offset in enumerate(offsets(before, step)):
            card, left = cards[number // PER_CARD], 25 - number % PER_CARD
            arguments: dict[str, Any] = {"amount": n("1.00"), "clientID": card}
            cuts = before.cuts
            # http.client takes headers that end in the middle for whole; what it then has for a
            # body is no JSON.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                assert ask(before.address, "REDEEM", card, f"t{offset}", **arguments).json
                assert before.cuts == cuts, f"a cut answer passed for a whole one at {offset}"
            before.heal()
            said = ask(shim.address, "REDEEM", card, f"t{offset}", **arguments)
            assert (said.status, said.json["balance"]) == (200, left - 1), (offset, said.body)
            assert balance(shim.address, card) == left - 1, offset
