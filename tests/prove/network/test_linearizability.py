"""The checker itself: histories that it must accept, and those that it must refuse."""

import random
from math import inf
from typing import get_args

import pytest

from tests.prove.network.card_model import Asked, Figures, Kind, Refusal, State, step
from tests.prove.network.linearizability import Operation, UndecidedError, is_linearizable

KINDS = get_args(Kind)
FUNDS = Refusal("INSUFFICIENT_FUNDS")
READ = Asked("read")
#: Called, answered, asked, answer: one line is one operation on a card worth 10.
History = list[tuple[float, float, Asked, Figures | Refusal | None]]


def spend(amount: int) -> Asked:
    return Asked("redeem", amount)


def load(amount: int) -> Asked:
    return Asked("load", amount)


def hold(amount: int, name: str = "h") -> Asked:
    return Asked("authorize", amount, name)


def capture(name: str = "h") -> Asked:
    return Asked("capture", hold=name)


def void(name: str = "h") -> Asked:
    return Asked("void", hold=name)


GOOD: dict[str, History] = {
    "nothing": [],
    "one after the other": [
        (0, 1, spend(4), Figures(6, 0)),
        (2, 3, READ, Figures(6, 0)),
        (4, 5, spend(7), FUNDS),
    ],
    "at once, in the other order": [
        (0, 9, spend(4), Figures(3, 0)),
        (1, 8, spend(3), Figures(7, 0)),
    ],
    "a read sees what is not answered yet": [
        (0, 9, spend(4), Figures(6, 0)),
        (1, 2, READ, Figures(6, 0)),
        (3, 4, READ, Figures(6, 0)),
    ],
    "a read does not see yet what is under way": [
        (0, 9, spend(4), Figures(6, 0)),
        (1, 2, READ, Figures(10, 0)),
    ],
    "unknown, and it happened": [
        (0, inf, spend(4), None),
        (5, 6, READ, Figures(6, 0)),
    ],
    "unknown, and it never happened": [
        (0, inf, spend(4), None),
        (5, 6, READ, Figures(10, 0)),
        (7, 8, spend(10), Figures(0, 0)),
    ],
    "unknown, and it happened late": [
        (0, inf, spend(4), None),
        (5, 6, READ, Figures(10, 0)),
        (7, 8, READ, Figures(6, 0)),
    ],
    "unknown, and it was not possible": [
        (0, inf, spend(40), None),
        (5, 6, READ, Figures(10, 0)),
    ],
    "a hold takes part": [
        (0, 1, hold(7), Figures(10, 7)),
        (2, 3, spend(4), FUNDS),
        (4, 5, capture(), Figures(3, 0)),
        (6, 7, void(), Refusal("HOLD_CAPTURED")),
    ],
    "captured and voided at once": [
        (0, 1, hold(7), Figures(10, 7)),
        (2, 9, capture(), Refusal("HOLD_VOIDED")),
        (3, 8, void(), Figures(10, 0)),
    ],
    "the hold's answer was lost": [
        (0, inf, hold(7), None),
        (2, 3, READ, Figures(10, 7)),
        (4, 5, void(), Figures(10, 0)),
    ],
}  # fmt: skip
BAD: dict[str, History] = {
    "more than there is": [(0, 1, spend(11), Figures(-1, 0))],
    "the same money twice": [
        (0, 5, spend(10), Figures(0, 0)),
        (1, 6, spend(10), Figures(0, 0)),
    ],
    "a lost update": [
        (0, 5, spend(4), Figures(6, 0)),
        (1, 6, spend(3), Figures(7, 0)),
        (7, 8, READ, Figures(7, 0)),
    ],
    "a stale read": [
        (0, 1, spend(4), Figures(6, 0)),
        (2, 3, READ, Figures(10, 0)),
    ],
    "reads go back in time": [
        (0, 9, spend(4), Figures(6, 0)),
        (1, 2, READ, Figures(6, 0)),
        (3, 4, READ, Figures(10, 0)),
    ],
    "an effect before its call": [
        (0, 1, READ, Figures(6, 0)),
        (2, 3, spend(4), Figures(6, 0)),
    ],
    "unknown, and it happened twice": [
        (0, inf, spend(4), None),
        (5, 6, READ, Figures(2, 0)),
    ],
    "unknown, and undone again": [
        (0, inf, spend(4), None),
        (5, 6, READ, Figures(6, 0)),
        (7, 8, READ, Figures(10, 0)),
    ],
    "acknowledged and gone": [
        (0, 1, load(5), Figures(15, 0)),
        (2, 3, READ, Figures(10, 0)),
    ],
    "refused without a reason": [(0, 1, spend(4), FUNDS)],
    "refused with another's reason": [
        (0, 1, hold(7), Figures(10, 7)),
        (2, 3, void(), Figures(10, 0)),
        (4, 5, capture(), Refusal("HOLD_CAPTURED")),
    ],
    "a hold ends twice": [
        (0, 1, hold(7), Figures(10, 7)),
        (2, 9, capture(), Figures(3, 0)),
        (3, 8, void(), Figures(3, 0)),
    ],
    "held money is spent": [
        (0, 1, hold(7), Figures(10, 7)),
        (2, 3, spend(4), Figures(6, 7)),
    ],
}  # fmt: skip


def _judge(history: History) -> bool:
    return is_linearizable([Operation(*line) for line in history], State(10), step)


@pytest.mark.parametrize("name", GOOD)
def test_accepted(name: str) -> None:
    assert _judge(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    assert not _judge(BAD[name])


def test_what_one_card_did_is_accepted_however_the_calls_overlap() -> None:
    dice = random.Random(1)
    for _ in range(200):
        assert is_linearizable(_made_up(dice), State(30), step)


def test_one_figure_changed_is_refused() -> None:
    """Of calls one after the other, any other figure than the true one is wrong."""
    dice = random.Random(2)
    for _ in range(100):
        history = _made_up(dice, overlap=0.0)
        told = [n for n, each in enumerate(history) if isinstance(each.answer, Figures)]
        wrong = dice.choice(told)
        true = history[wrong]
        assert isinstance(true.answer, Figures)
        answer = true.answer._replace(balance=true.answer.balance + dice.choice((-1, 1)))
        history[wrong] = Operation(true.called, true.answered, true.asked, answer)
        assert not is_linearizable(history, State(30), step)


def test_too_much_to_decide_is_said() -> None:
    history = [Operation(0, inf, spend(2**n)) for n in range(16)]
    history.append(Operation(1, 2, READ, Figures(-1, 0)))
    with pytest.raises(UndecidedError):
        is_linearizable(history, State(2**20), step, states_max=1000)


def _made_up(dice: random.Random, overlap: float = 3.0) -> list[Operation[Asked]]:
    """What a card that does one thing at a time answers to calls that overlap."""
    history: list[Operation[Asked]] = []
    state = State(30)
    for number in range(30):
        kind = dice.choice(KINDS)
        opened = [name for name, *_ in state.holds]
        if kind in ("capture", "void") and not opened:
            continue
        name = dice.choice(opened) if kind in ("capture", "void") else f"{number:02}"
        asked = Asked(kind, dice.randint(1, 9), name)
        after = next(iter(step(state, Operation(0, inf, asked))), None)
        answer: Figures | Refusal
        if after is not None:
            state, answer = after, Figures(after.balance, after.held)
        else:
            reasons = ("INSUFFICIENT_FUNDS", "HOLD_CAPTURED", "HOLD_VOIDED")
            answer = next(
                Refusal(each)
                for each in reasons
                if list(step(state, Operation(0, 1, asked, Refusal(each))))
            )
        before, later = dice.uniform(0, overlap), dice.uniform(0, overlap)
        lost = overlap and dice.random() < 0.1
        if lost:
            history.append(Operation(number - before, inf, asked))
        else:
            history.append(Operation(number - before, number + later + 0.1, asked, answer))
    return history
