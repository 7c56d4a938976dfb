"""Runs the state machine on a subject, and counts what was really done."""

from dataclasses import dataclass
from typing import Protocol

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import invariant, run_state_machine_as_test

from server.storage.database import Database
from server.verify import verify
from tests.model.machine import LedgerMachine
from tests.operations import Outcome, Request, Subject

_STEPS = 50


class Stored(Subject, Protocol):
    """A subject whose books can be verified."""

    @property
    def database(self) -> Database: ...


@dataclass(slots=True)
class Tally:
    """A step is one rule, after which every card is compared; a rule may send several requests."""

    lives: int = 0
    steps: int = 0
    requests: int = 0


def live(
    subject: Stored,
    lives: int,
    *,
    machine: type[LedgerMachine] = LedgerMachine,
    seed: int | None = None,
) -> Tally:
    """Lives of up to 50 steps; the same ones each time, unless a seed draws others.

    Raises AssertionError with the shortest life found in which the subject and the model differ,
    or when the books are wrong afterwards.
    """
    tally = Tally()

    class Machine(machine):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__(subject)
            tally.lives += 1

        def send(self, request: Request) -> Outcome:
            tally.requests += 1
            outcome: Outcome = super().send(request)
            return outcome

        @invariant()
        def a_step_is_done(self) -> None:
            tally.steps += 1

    if seed is not None:
        seeded(seed)(Machine)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=lives, stateful_step_count=_STEPS, derandomize=seed is None,
            deadline=None, database=None, print_blob=True, report_multiple_bugs=False,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    report = verify(subject.database)
    assert report.ok, [str(problem) for problem in report.problems]
    return tally
