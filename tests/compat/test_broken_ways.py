"""The way between shim and service is slow, reset or half-open: every doubt of a till is ended.

All that changes something in any dialect is asked at once while the way is broken.  Then each
client does what its vendor's does: it asks again, takes back what it asked for, or walks away.
What it was told last is true, and what it was never told of was undone.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from compat_http.store import reading
from tests.compat import speak
from tests.compat.books import Books, books_of
from tests.compat.mutations import MUTATIONS, Mutation, number, ok, sold
from tests.compat.stage import Said, ShimServer
from tests.fault_proxy import FAULTS, FaultProxy
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

#: Shorter than in production, so that a fault outlasts every patience.
HASTY: Final = {
    "GIFTCARD_HTTP_ATTEMPT_MILLISECONDS": "500",
    "GIFTCARD_HTTP_GRACE_SECONDS": "2",
    **{
        f"GIFTCARD_{dialect}_BUDGET_MILLISECONDS": "1500"
        for dialect in ("RETAIL7", "CP", "RESICO", "IWAREHOUSE")
    },
}
_PATIENCE_SECONDS: Final = 60.0

Ending = Literal["send again", "walk away", "take back"]
#: (the shim's address, the card, the number of the request that is meant).
TakeBack = Callable[[str, str, int], Said]


def _retail7_cancel(operation: str) -> TakeBack:
    def cancel(address: str, card: str, number: int) -> Said:
        return speak.retail7(
            address, "CANCEL", card, f"C{number}", originalRequestIDExternal=f"M{number}",
            originalOperationType=operation,
        )  # fmt: skip

    return cancel


def _resico_cancel(address: str, card: str, number: int) -> Said:
    return speak.resico(address, "POST", f"/cancelreserve/{card}")


#: How a client takes back what it was not answered, where its vendor has a word for that.
TAKE_BACK: Final[dict[str, TakeBack]] = {
    "retail7 SELL, issued by client": _retail7_cancel("SELL"),
    "retail7 SELL": _retail7_cancel("SELL"),
    "retail7 LOAD": _retail7_cancel("LOAD"),
    "retail7 REDEEM": _retail7_cancel("REDEEM"),
    "resico reserve": _resico_cancel,
}


#: What undoes is not undone: where nobody knows whether it was, it is, in the end.
_UNDOES: Final = frozenset({"retail7 CANCEL"})


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request does: to its card, and to the customer's points and the count of cards."""

    state: tuple[Any, ...]
    points_and_cards: tuple[int, ...]


@dataclass(slots=True)
class Asked:
    """One request while the way is broken, and what its client believes."""

    name: str
    number: int
    mutation: Mutation
    before: tuple[Any, ...]
    ending: Ending
    told: Said | None = None
    done: bool = False


class Day:
    """Clients of all dialects before one shim, whose way to the service breaks."""

    def __init__(self, books: Books, sound: ShimServer, hasty: ShimServer, store: str) -> None:
        self.told: Counter[str] = Counter()
        self.longest_seconds = 0.0
        self._books = books
        self._sound = sound.address
        self._hasty = hasty.address
        self._store = store
        self._pool = ThreadPoolExecutor(len(MUTATIONS))
        self._effects = {name: self._effect(name) for name in MUTATIONS}

    def _effect(self, name: str) -> Effect:
        """Of one that nothing happens to."""
        mutation = MUTATIONS[name](self._sound, number())
        self._books.mark()
        before = self._books.state("")
        ok(mutation.send(self._sound))
        return Effect(self._state(mutation), _less(self._books.state(""), before))

    def _state(self, mutation: Mutation) -> tuple[Any, ...]:
        return self._books.state(mutation.card) if mutation.card else ()

    def live_through(self, fault: Callable[[], None], heal: Callable[[], None], turn: int) -> None:
        """Everybody asks once while the fault lasts; then each comes to an end in its own way."""
        everybody = list(self._pool.map(self._prepare, MUTATIONS, range(turn, turn + 99)))
        self._books.mark()
        before = self._books.state("")
        fault()
        for asked, (said, seconds) in zip(
            everybody, self._pool.map(self._ask, everybody), strict=True
        ):
            asked.told, asked.done = said, _is_done(said)
            self.told[_word(said)] += 1
            self.longest_seconds = max(self.longest_seconds, seconds)
        heal()
        list(self._pool.map(self._end, everybody))
        self._wait_for_reversals()
        for asked in everybody:
            self._check(asked)
        expected = [sum(figures) for figures in zip(
            *(self._effects[each.name].points_and_cards for each in everybody if each.done),
            strict=True,
        )] or [0, 0, 0]  # fmt: skip
        assert list(_less(self._books.state(""), before)) == expected

    def _prepare(self, name: str, turn: int) -> Asked:
        own = number()
        mutation = MUTATIONS[name](self._sound, own)
        endings: list[Ending] = ["send again", "walk away"]
        if name in TAKE_BACK:
            endings.append("take back")
        return Asked(name, own, mutation, self._state(mutation), endings[turn % len(endings)])

    def _ask(self, asked: Asked) -> tuple[Said, float]:
        started = time.monotonic()
        said = asked.mutation.send(self._hasty)
        return said, time.monotonic() - started

    def _end(self, asked: Asked) -> None:
        if asked.ending == "send again":
            said = _insist(lambda: asked.mutation.send(self._hasty))
            self.told[f"again_{_word(said)}"] += 1
            asked.told, asked.done = said, _is_done(said)
        elif asked.ending == "take back":
            take_back = TAKE_BACK[asked.name]
            said = _insist(lambda: take_back(self._hasty, asked.mutation.card, asked.number))
            # 404 and 422: there is nothing, or no longer.
            assert said.status in (200, 204, 404, 422), said
            self.told["taken_back"] += 1
            asked.done = False

    def _wait_for_reversals(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (waiting := reading.waiting(self._store)[0]) != 0:
            assert time.monotonic() < deadline, f"{waiting} reversals are never settled"
            time.sleep(0.1)

    def _check(self, asked: Asked) -> None:
        if not asked.mutation.card:
            return  # the sum over all of them tells
        state = self._state(asked.mutation)
        effect = self._effects[asked.name].state
        if asked.name in _UNDOES:
            # Undone by the till and by the shim it has two reversals, of which one did something.
            state, effect = state[:4], effect[:4]
        if asked.done:
            assert state == effect, asked
            return
        undone = _balance(state) == _balance(asked.before) and _held(state) <= _held(asked.before)
        assert undone or (asked.name in _UNDOES and state == effect), (asked, state)


def _less(now: tuple[int, ...], then: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one - other for one, other in zip(now, then, strict=True))


def _is_done(said: Said) -> bool:
    return said.status in (200, 204)


def _word(said: Said) -> str:
    words = {503: "not_done", 504: "unknown"}
    return "done" if _is_done(said) else words.get(said.status, "refused")


def _balance(state: tuple[Any, ...]) -> int:
    """A card that is not there has none."""
    return state[1] if state else 0


def _held(state: tuple[Any, ...]) -> int:
    """What a reversal of a capture returns is not held again."""
    return state[2] if state else 0


def _insist(ask: Callable[[], Said]) -> Said:
    """Asks until there is a definite answer."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (said := ask()).status in (503, 504):
        assert time.monotonic() < deadline, said.body
        time.sleep(0.1)
    return said


@pytest.fixture(scope="module")
def behind(worn_server: GrpcServer) -> Iterator[FaultProxy]:
    """Between the shim and the service."""
    with FaultProxy(worn_server.address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def day(
    worn_server: GrpcServer,
    worn_shim: ShimServer,
    behind: FaultProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Day]:
    directory: Path = tmp_path_factory.mktemp("hasty-shim")
    store = f"sqlite:///{directory / 'exchange.db'}"
    environment = {**HASTY, "GIFTCARD_EXCHANGE_DATABASE_URL": store}
    with (
        ShimServer(behind.address, directory, environment=environment) as hasty,
        books_of(worn_server.address) as books,
    ):
        hasty.start()
        yield Day(books, worn_shim, hasty, store)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_every_doubt_is_ended(proof: Proof, day: Day, behind: FaultProxy, name: str) -> None:
    day.told.clear()
    day.longest_seconds = 0.0
    dice = proof.random(f"ways/{name}")
    rounds = proof.cases(push=1, release=30)
    for turn in range(rounds):
        day.live_through(
            lambda: FAULTS[name](behind, dice), behind.heal, dice.randrange(6) + turn
        )  # fmt: skip
    proof.report(
        f"Way to the service: {name}", requests=rounds * len(MUTATIONS),
        **dict(sorted(day.told.items())), longest_ms=round(day.longest_seconds * 1000),
    )  # fmt: skip


@pytest.mark.slow
def test_a_connection_that_went_silent_costs_no_till_its_answer(
    proof: Proof,
    worn_server: GrpcServer,
    worn_shim: ShimServer,
    tmp_path: Path,
) -> None:
    """With the settings of production: it is given up, and the question is asked on a new one."""
    directory = tmp_path / "patient"
    directory.mkdir()
    rounds = proof.cases(push=1, release=20)
    with (
        FaultProxy(worn_server.address) as proxy,
        ShimServer(proxy.address, directory) as patient,
        ThreadPoolExecutor(len(MUTATIONS)) as pool,
    ):
        patient.start()
        for _ in range(rounds):
            made = [MUTATIONS[name](worn_shim.address, number()) for name in MUTATIONS]
            sold(patient.address, number())
            proxy.strand(also_next=1)
            for said in pool.map(lambda mutation: mutation.send(patient.address), made):
                assert _is_done(said), said
    proof.report(
        "Way to the service half-open, seen in time", requests=rounds * len(MUTATIONS),
    )  # fmt: skip
