"""Decides whether a concurrent history could have come from one card that does one thing at a time.

A history is linearizable when each operation can be given one instant between its call and its
answer, such that the operations in the order of those instants are what the card's rules allow
(M. Herlihy and J. Wing, "Linearizability", 1990).  The search is theirs of J. Wing and C. Gong
(1993): take any operation that was called before every answer still to come, try it, go on, and
step back where that leads nowhere.  G. Lowe's addition (2017) keeps it fast: what was done and
where that led is remembered, and never tried twice.

An operation whose outcome nobody knows may have its effect at any time after its call, or never.
Cards do not share state, so each card's history is judged by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Generic, TypeVar

State = TypeVar("State")
Argument = TypeVar("Argument")

_STATES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Operation(Generic[Argument]):
    """What a client asked between two instants of one clock, and what it was told.

    `answered` is infinite, and `answer` None, where it never learned what became of it.
    """

    called: float
    answered: float
    asked: Argument
    answer: object = None

    @property
    def known(self) -> bool:
        return self.answered < inf


#: The states to which an operation may lead: none where its answer is impossible.
Step = Callable[[State, Operation[Argument]], Iterable[State]]


class UndecidedError(Exception):
    """The history is too long and too concurrent to be decided here."""


def is_linearizable(
    history: Sequence[Operation[Argument]],
    initial: State,
    step: "Step[State, Argument]",
    *,
    states_max: int = _STATES_MAX,
) -> bool:
    """Whether one card that starts in `initial` could have answered so.  States are hashable.

    Raises:
        UndecidedError: after `states_max` combinations.
    """
    operations = sorted(history, key=lambda operation: operation.called)
    everything = range(len(operations))
    known = sum(1 << n for n in everything if operations[n].known)
    seen: set[tuple[int, State]] = set()
    untried = [(0, initial)]
    while untried:
        done, state = untried.pop()
        if done & known == known:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if len(seen) > states_max:
            raise UndecidedError(f"{len(operations)} operations, {states_max} combinations")
        waiting = [n for n in everything if not done >> n & 1]
        first_answer = min(operations[n].answered for n in waiting)
        # Whatever was called after that answer comes later; what nobody knows of is tried last.
        possible = [n for n in waiting if operations[n].called <= first_answer]
        for n in sorted(possible, key=lambda n: operations[n].known):
            untried += ((done | 1 << n, after) for after in step(state, operations[n]))
    return False
