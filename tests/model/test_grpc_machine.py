"""The server behind gRPC against the model, on each engine."""

from pathlib import Path

from hypothesis.stateful import run_state_machine_as_test

from server.verify import verify
from tests.model.machine import LedgerMachine
from tests.model.test_ledger_machine import SETTINGS
from tests.rpc_subject import RpcSubject


def test_every_answer_over_grpc_is_the_models(database_url: str, tmp_path: Path) -> None:
    subject = RpcSubject(database_url, tmp_path)

    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(subject)

    try:
        run_state_machine_as_test(Machine, settings=SETTINGS)
        report = verify(subject.database)
        assert report.ok, [str(problem) for problem in report.problems]
    finally:
        subject.close()
