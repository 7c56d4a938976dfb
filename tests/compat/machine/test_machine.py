"""The state machine through each dialect: what has no words there goes over gRPC in between.

So each life is as varied as the core's, and the dialect meets cards in every state.
"""

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from server.verify import verify
from tests.compat.machine.retail7 import Retail7Voice
from tests.compat.machine.subject import DialectSubject
from tests.compat.machine.voice import Voice
from tests.model.machine import LedgerMachine
from tests.model.test_ledger_machine import EXAMPLES
from tests.model.test_ledger_machine import SETTINGS as CORE

#: A tenth of the core's lives: here each request costs several.
SETTINGS: Final = settings(
    CORE, max_examples=int(EXAMPLES or 20), phases=[__import__("hypothesis").Phase.generate]
)
#: Every voice, with the operations that it must have spoken at least once.
VOICES: Final[dict[str, tuple[type[Voice], set[str]]]] = {
    "retail7": (
        Retail7Voice,
        {"Create", "Issue", "Activate", "Load", "Redeem", "Lock", "Unlock", "Close", "Update",
         "Reverse"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VOICES)
def test_every_answer_is_the_models(name: str, sqlite_url: str, tmp_path: Path) -> None:
    _run(name, sqlite_url, tmp_path)


def test_every_answer_is_the_models_on_postgresql(postgresql_url: str, tmp_path: Path) -> None:
    _run("retail7", postgresql_url, tmp_path)


def _run(name: str, database_url: str, directory: Path) -> None:
    make, operations = VOICES[name]
    subject = DialectSubject(database_url, directory, make())

    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(subject)

    try:
        run_state_machine_as_test(Machine, settings=SETTINGS)
        report = verify(subject.database)
        assert report.ok, [str(problem) for problem in report.problems]
        print(f"{name}: {dict(sorted(subject.spoken.items()))}")
        if os.environ.get("MODEL_EXAMPLES") is None:
            assert subject.spoken.keys() >= operations, "too few lives"
    finally:
        subject.close()
