"""Answers that are cut on their way: whatever the till sees, the money moved once or not at all."""

import contextlib
import http.client
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest

from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.offsets import every, spread, until_whole
from tests.compat.retail7.messages import message
from tests.compat.stage import Said, ShimServer, basic, call
from tests.fault_proxy import FaultProxy
from tests.prove.proof import Proof

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


#: Redemptions of 1.00 for each card.
PER_CARD: Final = 20
IN_PASSING: Final = 31


def cards(address: str) -> Iterator[tuple[str, int]]:
    """A card for the next redemption, and what will be left on it."""
    while True:
        card = new_card(address)
        yield from ((card, 25 - number) for number in range(1, PER_CARD + 1))


def cut_to_shim(shim: ShimServer, behind: FaultProxy, offsets: Iterable[int]) -> int:
    """The shim asks again under the same id, so the till notices nothing."""
    address, wallet, count = shim.address, cards(shim.address), behind.cuts
    for offset in until_whole(behind, offsets):
        card, left = next(wallet)
        behind.cut_after(offset)
        said = ask(address, "REDEEM", card, f"r{offset}", amount=n("1.00"), clientID=card)
        behind.heal()
        assert (said.status, said.json["balance"]) == (200, left), (offset, said.body)
        assert balance(address, card) == left, offset
    return behind.cuts - count


def cut_to_till(shim: ShimServer, offsets: Iterable[int]) -> int:
    """The till sends the same again and is told what was done the first time."""
    wallet = cards(shim.address)
    with FaultProxy(shim.address) as before:
        for offset in until_whole(before, offsets):
            card, left = next(wallet)
            arguments: dict[str, Any] = {"amount": n("1.00"), "clientID": card}
            cuts = before.cuts
            before.cut_after(offset)
            # http.client takes headers that end in the middle for whole; what it then has for a
            # body is no JSON.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                assert ask(before.address, "REDEEM", card, f"t{offset}", **arguments).json
                assert before.cuts == cuts, f"a cut answer passed for a whole one at {offset}"
            before.heal()
            said = ask(shim.address, "REDEEM", card, f"t{offset}", **arguments)
            assert (said.status, said.json["balance"]) == (200, left), (offset, said.body)
            assert balance(shim.address, card) == left, offset
        return before.cuts


def test_an_answer_of_the_service_cut_anywhere(
    proof: Proof, cut_shim: ShimServer, behind: FaultProxy
) -> None:
    cuts = cut_to_shim(cut_shim, behind, every(IN_PASSING))
    proof.report("Answer of the service cut, in passing", offsets=cuts)


def test_an_answer_to_the_till_cut_anywhere(proof: Proof, shim: ShimServer) -> None:
    cuts = cut_to_till(shim, every(IN_PASSING))
    proof.report("Answer to the till cut, in passing", offsets=cuts)


@pytest.mark.slow
def test_answers_cut_at_length(
    proof: Proof, shim: ShimServer, cut_shim: ShimServer, behind: FaultProxy
) -> None:
    served = cut_to_shim(cut_shim, behind, spread(proof, push=5))
    told = cut_to_till(shim, spread(proof, push=5))
    proof.report("Redemptions of a till cut", service=served, till=told)
