"""The server behind gRPC against the model, on each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.lives import live
from tests.prove.proof import Proof, engine_of
from tests.rpc_subject import RpcSubject


@pytest.fixture
def subject(database_url: str, tmp_path: Path) -> Iterator[RpcSubject]:
    subject = RpcSubject(database_url, tmp_path)
    yield subject
    subject.close()


def test_every_answer_over_grpc_is_the_models(subject: RpcSubject) -> None:
    live(subject, 200)


@pytest.mark.slow
def test_every_answer_over_grpc_is_the_models_at_length(
    proof: Proof, subject: RpcSubject, database_url: str
) -> None:
    tally = live(subject, proof.cases(push=60, release=20_000), seed=proof.seed)
    proof.report(
        f"Lives over gRPC, {engine_of(database_url)}",
        lives=tally.lives, steps=tally.steps, requests=tally.requests,
    )  # fmt: skip
