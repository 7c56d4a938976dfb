"""The product against the model, on each engine."""

from collections.abc import Iterator

import pytest

from tests.ledger_subject import LedgerSubject
from tests.model.lives import live
from tests.prove.proof import Proof, engine_of


@pytest.fixture
def subject(database_url: str) -> Iterator[LedgerSubject]:
    subject = LedgerSubject(database_url)
    yield subject
    subject.close()


def test_every_answer_is_the_models(subject: LedgerSubject) -> None:
    tally = live(subject, 200)
    assert tally.steps > 200 * 25, "lives are cut short"


@pytest.mark.slow
def test_every_answer_is_the_models_at_length(
    proof: Proof, subject: LedgerSubject, database_url: str
) -> None:
    lives = proof.cases(push=200, release=75_000)
    tally = live(subject, lives, seed=proof.seed)
    proof.report(
        f"Lives in process, {engine_of(database_url)}",
        lives=tally.lives, steps=tally.steps, requests=tally.requests,
    )  # fmt: skip
