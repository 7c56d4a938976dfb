"""Where answers are cut: at some of their bytes in passing and on a push, at all for a release."""

from collections.abc import Iterable, Iterator
from typing import Final

from tests.fault_proxy import FaultProxy
from tests.prove.proof import Proof

#: No answers are so long that they are still cut there.
OFFSET_MAX: Final = 20_000


def every(step: int) -> Iterable[int]:
    """The offsets of a test in passing."""
    return range(0, OFFSET_MAX, step)


def spread(proof: Proof, *, push: int) -> Iterable[int]:
    """Every byte at release; on a push each `push`-th, beginning where the seed says."""
    step = proof.cases(push=push, release=1)
    return range(proof.random("offsets").randrange(step), OFFSET_MAX, step)


def until_whole(proxy: FaultProxy, offsets: Iterable[int]) -> Iterator[int]:
    """The offsets, until what is answered is too short to be cut there.

    Whoever is given one cuts there once; the proxy is healed afterwards.
    """
    for number, offset in enumerate(offsets):
        cuts = proxy.cuts
        yield offset
        proxy.heal()
        if proxy.cuts == cuts:
            assert number, "nothing was cut"
            return
    raise AssertionError("the answers do not end")
