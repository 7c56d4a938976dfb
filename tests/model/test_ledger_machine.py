"""The product against the model, on each engine. A subject more is one line more."""

import os
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from server.verify import verify
from tests.ledger_subject import LedgerSubject
from tests.model.machine import LedgerMachine

SUBJECTS: Final[dict[str, Callable[[str], LedgerSubject]]] = {
    "ledger": LedgerSubject,
}
#: With MODEL_EXAMPLES set, other lives are drawn each time; without, the same, for a stable run.
EXAMPLES: Final = os.environ.get("MODEL_EXAMPLES")
SETTINGS: Final = settings(
    max_examples=int(EXAMPLES or 200),
    stateful_step_count=50,
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_answer_is_the_models(name: str, database_url: str) -> None:
    subject = SUBJECTS[name](database_url)

    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(subject)

    try:
        run_state_machine_as_test(Machine, settings=SETTINGS)
        report = verify(subject.database)
        assert report.ok, [str(problem) for problem in report.problems]
    finally:
        subject.close()
