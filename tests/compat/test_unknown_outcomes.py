"""The service's answer does not come back in time: the till hears 504, and no money has moved.

A real service, a real shim and a real connection that is cut; the shim is killed and started again.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from compat_http.strict_json import exact_number as n
from tests.compat.stage import Said, ShimServer
from tests.compat.test_cut_answers import ask, balance
from tests.fault_proxy import FaultProxy
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

_WAIT_SECONDS: Final = 60.0
_numbers = itertools.count(1)
UNANSWERED: Final = ((504, "OUTCOME_UNKNOWN"), (503, "UNAVAILABLE"))
#: Little patience, so that the tests need little too.
SETTINGS: Final = {
    "GIFTCARD_RETAIL7_BUDGET_MILLISECONDS": "600",
    "GIFTCARD_HTTP_ATTEMPT_MILLISECONDS": "200",
}


@pytest.fixture
def proxy(demo_server: GrpcServer) -> Iterator[FaultProxy]:
    with FaultProxy(demo_server.address) as proxy:
        yield proxy


@pytest.fixture
def make_shim(proxy: FaultProxy, tmp_path: Path) -> Iterator[Callable[[int], ShimServer]]:
    """Makes the shim; the number is the seconds for which a client's retry wins."""
    made: list[ShimServer] = []

    def make(grace_seconds: int) -> ShimServer:
        environment = {**SETTINGS, "GIFTCARD_HTTP_GRACE_SECONDS": str(grace_seconds)}
        made.append(ShimServer(proxy.address, tmp_path, environment=environment))
        made[-1].start()
        return made[-1]

    yield make
    for shim in made:
        shim.__exit__()


def a_card(shim: ShimServer) -> str:
    """A card worth 25.00."""
    card = f"77UNK{next(_numbers):05d}"
    while True:
        said = ask(shim.address, "SELL", card, f"{card}-0", issuedByClient=True, amount=n("25.00"))
        if said.status == 200:
            return card


def redeem(shim: ShimServer, card: str, **members: Any) -> Said:
    return ask(shim.address, "REDEEM", card, f"{card}-1", **members)


def lost_redemption(cut: ShimServer, proxy: FaultProxy, straight: ShimServer) -> str:
    """Redeems 5.00 from a new card; it is done, but no answer comes back.  Returns the card.

    `straight` is another shim, which is not cut off.
    """
    while True:
        card = a_card(cut)
        proxy.cut_after(0, again=True)
        said = redeem(cut, card)
        assert proxy.cuts, "no answer was cut"
        assert (said.status, said.json["responseCode"]) in UNANSWERED
        if said.status == 504 and balance(straight.address, card) == 20:
            return card
        # A word of the connection itself was cut, before the call had arrived.
        proxy.heal()


def redeem_until_answered(cut: ShimServer, card: str, **members: Any) -> Said:
    """Its connection may not be back yet, or a reversal still be on its way."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        said = redeem(cut, card, **members)
        if (said.status, said.json["responseCode"]) not in UNANSWERED:
            return said
        time.sleep(0.1)
    pytest.fail("no answer comes")


def eventually(shim: ShimServer, card: str, expected: float) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        said = ask(shim.address, "STATUS", card, "look")
        if said.status == 200 and said.json["balance"] == expected:
            return
        time.sleep(0.1)
    pytest.fail(f"the balance does not become {expected}")


def test_what_was_answered_504_is_undone(
    proof: Proof, make_shim: Callable[[int], ShimServer], proxy: FaultProxy, shim: ShimServer
) -> None:
    cut = make_shim(1)
    card = lost_redemption(cut, proxy, shim)
    proxy.heal()
    eventually(shim, card, 25)
    # From now on the id is used up, and the till is told so.
    said = redeem_until_answered(cut, card)
    assert (said.status, said.json["responseCode"]) == (409, "REVERSED_BEFORE_ARRIVAL")
    assert balance(shim.address, card) == 25
    proof.report("Redemption answered 504, retail7", told_unknown=1, undone=1)


def test_the_tills_retry_wins(
    make_shim: Callable[[int], ShimServer], proxy: FaultProxy, shim: ShimServer
) -> None:
    cut = make_shim(3600)
    card = lost_redemption(cut, proxy, shim)
    assert redeem(cut, card).status in (503, 504)
    proxy.heal()
    eventually(shim, card, 20)  # done, and not told
    said = redeem_until_answered(cut, card)
    assert (said.status, said.json["balance"]) == (200, 20)
    assert balance(shim.address, card) == 20


def test_another_request_under_the_id_does_not_win(
    make_shim: Callable[[int], ShimServer], proxy: FaultProxy, shim: ShimServer
) -> None:
    cut = make_shim(1)
    card = lost_redemption(cut, proxy, shim)
    proxy.heal()
    said = redeem_until_answered(cut, card, amount=n("6.00"))
    assert (said.status, said.json["responseCode"]) == (409, "REQUEST_ID_REUSED")
    eventually(shim, card, 25)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_queue_survives_the_shim(
    make_shim: Callable[[int], ShimServer], proxy: FaultProxy, shim: ShimServer, end: str
) -> None:
    cut = make_shim(1)
    card = lost_redemption(cut, proxy, shim)
    getattr(cut, end)()
    proxy.heal()
    cut.start()
    eventually(shim, card, 25)


def test_a_service_that_is_away_is_no_unknown_outcome(
    make_shim: Callable[[int], ShimServer], proxy: FaultProxy, shim: ShimServer
) -> None:
    cut = make_shim(1)
    card = a_card(cut)
    proxy.refuse()
    assert ask(cut.address, "STATUS", card, "look").status == 503
    said = redeem(cut, card)
    assert (said.status, said.json["responseCode"]) == (503, "UNAVAILABLE")
    assert said.headers["retry-after"] == "1"
