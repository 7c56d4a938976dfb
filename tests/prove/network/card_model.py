"""A card as its callers see it, for the checker of histories: a balance and the holds on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tests.prove.network.linearizability import Operation

Kind = Literal["read", "redeem", "load", "authorize", "capture", "void"]
#: A capture takes a whole hold; it is then over, as it is after a void.
HoldState = Literal["open", "captured", "voided"]
Hold = tuple[str, int, HoldState]


class State(NamedTuple):
    """In minor units; `holds` in the order of their names."""

    balance: int
    holds: tuple[Hold, ...] = ()

    @property
    def held(self) -> int:
        return sum(amount for _, amount, state in self.holds if state == "open")

    def put(
        self, name: str, amount: int, state: HoldState
    ) -> tuple[tuple[str, int, HoldState], ...]:
        others = [hold for hold in self.holds if hold[0] != name]
        return tuple(sorted([*others, (name, amount, state)]))


@dataclass(frozen=True, slots=True)
class Asked:
    """`hold` is the name that the operation makes or ends."""

    kind: Kind
    amount: int = 0
    hold: str = ""


class Figures(NamedTuple):
    """The answer of an operation that was carried out: the card after it."""

    balance: int
    held: int


class Refusal(NamedTuple):
    reason: str


def step(state: State, operation: Operation[Asked]) -> Iterator[State]:
    """What the card's rules allow; what has no known answer may have been carried out."""
    after = _carried_out(state, operation.asked)
    answer = operation.answer
    if isinstance(answer, Refusal):
        if after is None and answer.reason in _refusals(state, operation.asked):
            yield state
    elif after is not None and answer in (None, Figures(after.balance, after.held)):
        yield after


def _carried_out(state: State, asked: Asked) -> State | None:
    """None: it is refused."""
    available = state.balance - state.held
    if asked.kind == "read":
        return state
    if asked.kind == "load":
        return state._replace(balance=state.balance + asked.amount)
    if asked.kind == "redeem":
        if asked.amount > available:
            return None
        return state._replace(balance=state.balance - asked.amount)
    if asked.kind == "authorize":
        if asked.amount > available:
            return None
        return state._replace(holds=state.put(asked.hold, asked.amount, "open"))
    found = _hold(state, asked)
    if found is None or found[1] != "open":
        return None
    if asked.kind == "void":
        return state._replace(holds=state.put(asked.hold, found[0], "voided"))
    holds = state.put(asked.hold, found[0], "captured")
    return State(state.balance - found[0], holds)


def _refusals(state: State, asked: Asked) -> frozenset[str]:
    if asked.kind in ("redeem", "authorize"):
        return frozenset({"INSUFFICIENT_FUNDS", "NO_BALANCE"})
    found = _hold(state, asked)
    if found is None:
        return frozenset()
    return frozenset({{"captured": "HOLD_CAPTURED", "voided": "HOLD_VOIDED"}[found[1]]})


def _hold(state: State, asked: Asked) -> tuple[int, HoldState] | None:
    for name, amount, hold_state in state.holds:
        if name == asked.hold:
            return amount, hold_state
    return None
