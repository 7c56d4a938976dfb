"""The same request again has one effect and the first answer; another one under its key is refused.

One table over all dialects.
"""

from collections.abc import Iterator

import pytest

from tests.compat.books import Books, books_of
from tests.compat.mutations import KEYED_BY_ALL, MUTATIONS, number, ok
from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer


@pytest.fixture(scope="module")
def books(worn_server: GrpcServer) -> Iterator[Books]:
    with books_of(worn_server.address) as books:
        yield books


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_repeat_has_one_effect(worn_shim: ShimServer, books: Books, name: str) -> None:
    mutation = MUTATIONS[name](worn_shim.address, number())
    books.mark()
    before = books.state(mutation.card)
    first = ok(mutation.send(worn_shim.address))
    after = books.state(mutation.card)
    assert after != before, "it changed nothing"
    for _ in range(2):
        again = mutation.send(worn_shim.address)
        assert (again.status, again.body) == (first.status, first.body)
        assert books.state(mutation.card) == after, "a repeat changed something"


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in KEYED_BY_ALL])
def test_another_request_under_its_key_is_refused(
    worn_shim: ShimServer, books: Books, name: str
) -> None:
    mutation = MUTATIONS[name](worn_shim.address, number())
    assert mutation.other is not None
    first = ok(mutation.send(worn_shim.address))
    after = books.state(mutation.card)
    refused = mutation.other(worn_shim.address)
    status, text = mutation.conflict
    assert refused.status == status, refused
    assert text in refused.body.decode()
    assert books.state(mutation.card) == after, "what was refused changed something"
    again = mutation.send(worn_shim.address)
    assert (again.status, again.body) == (first.status, first.body)
