"""Answers cut on both legs, for everything that changes something in any dialect.

Whatever is cut, the client's repeat is answered as if nothing had been, and the books show that it
was done once.
"""

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compat.books import Books, books_of
from tests.compat.cut_proxy import CutProxy
from tests.compat.mutations import MUTATIONS, Mutation, number, ok
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer

#: In passing a spread of offsets for all; at length every offset for one of each dialect, since
#: between two of one dialect it is the same code that sends the bytes.
EVERY: Final = ("retail7 LOAD", "cp Create, for a sale", "cp Confirm", "resico use",
                "iwarehouse create")  # fmt: skip
CASES: Final = [
    *(pytest.param(name, 197, id=name) for name in MUTATIONS),
    *(pytest.param(name, 1, id=f"{name}, everywhere", marks=pytest.mark.slow) for name in EVERY),
]
#: No answers are so long that they are still cut there.
OFFSET_MAX: Final = 20_000


@pytest.fixture(scope="module")
def books(worn_server: GrpcServer) -> Iterator[Books]:
    with books_of(worn_server.address) as books:
        yield books


@pytest.fixture(scope="module")
def before(worn_shim: ShimServer) -> Iterator[CutProxy]:
    """Between the client and the shim."""
    with CutProxy(worn_shim.address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def behind(worn_server: GrpcServer) -> Iterator[CutProxy]:
    """Between the shim and the service."""
    with CutProxy(worn_server.address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cut_shim(behind: CutProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShimServer]:
    """A shim whose way to the service is cut now and then."""
    directory: Path = tmp_path_factory.mktemp("cut-shim")
    with ShimServer(behind.address, directory) as shim:
        shim.start()
        yield shim


class Done:
    """What a mutation does to the books when nothing is cut."""

    def __init__(self, books: Books, name: str, address: str) -> None:
        self._books = books
        self._name = name
        self._address = address
        mutation = self.next()
        ok(mutation.send(address))
        self._expected = self._change(mutation)

    def next(self) -> Mutation:
        mutation = MUTATIONS[self._name](self._address, number())
        self._books.mark()
        self._before = self._books.state("") if not mutation.card else ()
        return mutation

    def check_once(self, mutation: Mutation, offset: int) -> None:
        assert self._change(mutation) == self._expected, f"cut after {offset} bytes"

    def _change(self, mutation: Mutation) -> tuple[Any, ...]:
        state = self._books.state(mutation.card)
        if mutation.card:
            return state
        return tuple(now - then for now, then in zip(state, self._before, strict=True))


def offsets(proxy: CutProxy, step: int) -> Iterator[int]:
    """Cuts at each offset, until what is answered is too short to be cut."""
    for offset in range(0, OFFSET_MAX, step):
        cuts = proxy.cuts
        yield offset
        proxy.heal()
        if proxy.cuts == cuts:
            assert offset, "nothing was cut"
            return
    raise AssertionError("the answers do not end")


@pytest.mark.parametrize(("name", "step"), CASES)
def test_the_answer_to_the_client(
    worn_shim: ShimServer, before: CutProxy, books: Books, name: str, step: int
) -> None:
    done = Done(books, name, worn_shim.address)
    for offset in offsets(before, step):
        mutation = done.next()
        cuts = before.cuts
        before.cut_after(offset)
        # http.client takes headers that end in the middle for whole; what it then has for a body
        # is no JSON, or nothing.
        with contextlib.suppress(OSError, http.client.HTTPException):
            said = mutation.send(before.address)
            assert before.cuts > cuts or said.status in (200, 204), said
        before.heal()
        ok(mutation.send(worn_shim.address))
        done.check_once(mutation, offset)


@pytest.mark.parametrize(("name", "step"), CASES)
def test_an_answer_of_the_service(
    worn_shim: ShimServer,
    cut_shim: ShimServer,
    behind: CutProxy,
    books: Books,
    name: str,
    step: int,
) -> None:
    """One call may ask the service several times; each of its answers is cut somewhere."""
    done = Done(books, name, worn_shim.address)
    for offset in offsets(behind, step):
        mutation = done.next()
        behind.cut_after(offset)
        said = mutation.send(cut_shim.address)
        behind.heal()
        if said.status in (503, 504):
            said = mutation.send(cut_shim.address)  # the connection itself was cut at its start
        ok(said)
        done.check_once(mutation, offset)
