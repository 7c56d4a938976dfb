"""Answers cut on both legs, for everything that changes something in any dialect.

Whatever is cut, the client's repeat is answered as if nothing had been, and the books show that it
was done once.
"""

import contextlib
import http.client
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compat.books import Books, books_of
from tests.compat.mutations import MUTATIONS, Mutation, number, ok
from tests.compat.offsets import every, spread, until_whole
from tests.compat.stage import ShimServer
from tests.fault_proxy import FaultProxy
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof

#: At length, one of each dialect and two of the one that has the most words: between two of one
#: dialect it is the same code that sends the bytes.
AT_LENGTH: Final = ("retail7 LOAD", "cp Create, for a sale", "cp Confirm", "resico use",
                    "iwarehouse create")  # fmt: skip
IN_PASSING: Final = 197


@pytest.fixture(scope="module")
def books(worn_server: GrpcServer) -> Iterator[Books]:
    with books_of(worn_server.address) as books:
        yield books


@pytest.fixture(scope="module")
def before(worn_shim: ShimServer) -> Iterator[FaultProxy]:
    """Between the client and the shim."""
    with FaultProxy(worn_shim.address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def behind(worn_server: GrpcServer) -> Iterator[FaultProxy]:
    """Between the shim and the service."""
    with FaultProxy(worn_server.address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cut_shim(behind: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShimServer]:
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


def cut_to_client(
    shim: ShimServer, before: FaultProxy, books: Books, name: str, offsets: Iterable[int]
) -> int:
    """Returns at how many offsets an answer was cut."""
    done = Done(books, name, shim.address)
    count = before.cuts
    for offset in until_whole(before, offsets):
        mutation = done.next()
        cuts = before.cuts
        before.cut_after(offset)
        # http.client takes headers that end in the middle for whole; what it then has for a body
        # is no JSON, or nothing.
        with contextlib.suppress(OSError, http.client.HTTPException):
            said = mutation.send(before.address)
            assert before.cuts > cuts or said.status in (200, 204), said
        before.heal()
        ok(mutation.send(shim.address))
        done.check_once(mutation, offset)
    return before.cuts - count


def cut_to_shim(
    shim: ShimServer,
    cut_shim: ShimServer,
    behind: FaultProxy,
    books: Books,
    name: str,
    offsets: Iterable[int],
) -> int:
    """One call may ask the service several times; each of its answers is cut somewhere."""
    done = Done(books, name, shim.address)
    count = behind.cuts
    for offset in until_whole(behind, offsets):
        mutation = done.next()
        behind.cut_after(offset)
        said = mutation.send(cut_shim.address)
        behind.heal()
        if said.status in (503, 504):
            said = mutation.send(cut_shim.address)  # the connection itself was cut at its start
        ok(said)
        done.check_once(mutation, offset)
    return behind.cuts - count


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_answer_to_the_client(
    worn_shim: ShimServer, before: FaultProxy, books: Books, name: str
) -> None:
    cut_to_client(worn_shim, before, books, name, every(IN_PASSING))


@pytest.mark.parametrize("name", MUTATIONS)
def test_an_answer_of_the_service(
    worn_shim: ShimServer, cut_shim: ShimServer, behind: FaultProxy, books: Books, name: str
) -> None:
    cut_to_shim(worn_shim, cut_shim, behind, books, name, every(IN_PASSING))


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_LENGTH)
def test_the_answer_to_the_client_at_length(
    proof: Proof, worn_shim: ShimServer, before: FaultProxy, books: Books, name: str
) -> None:
    cuts = cut_to_client(worn_shim, before, books, name, spread(proof, push=11))
    proof.report(f"Answer to the client cut, {name}", offsets=cuts)


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_LENGTH)
def test_an_answer_of_the_service_at_length(
    proof: Proof,
    worn_shim: ShimServer,
    cut_shim: ShimServer,
    behind: FaultProxy,
    books: Books,
    name: str,
) -> None:
    cuts = cut_to_shim(worn_shim, cut_shim, behind, books, name, spread(proof, push=37))
    proof.report(f"Answer of the service cut, {name}", offsets=cuts)
