"""Whether the tests of the money modules notice when one of these is changed."""

import pytest

from tests.prove.mutants import TESTS, mutants_of, survivors
from tests.prove.proof import Proof
from tests.prove.stress.seeded_bugs import BUGS, Bug

#: Share of mutants that tests must kill.
_SCORE_MIN = 0.9
#: Of a sample of 60.  By chance 7 samples in 100 of a score of 0.90 are below, of 0.95 1 in 1,000.
_SCORE_OF_SAMPLE_MIN = 0.85


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.cost)
def test_a_bug_can_still_be_seeded(bug: Bug) -> None:
    """Who changes the line a bug is seeded in moves the bug along."""
    assert bug.source()


@pytest.mark.slow
def test_every_seeded_bug_is_found(proof: Proof) -> None:
    left = survivors(BUGS)
    proof.report("Seeded bugs in the money modules", bugs=len(BUGS), found=len(BUGS) - len(left))
    assert len(BUGS) >= 20
    assert [f"{bug.path}: {bug.cost}" for bug in left] == []


@pytest.mark.slow
def test_mutants_of_the_money_modules(proof: Proof) -> None:
    """A sample at push size, all of them at release; `python -m tests.prove.mutants` shows them."""
    mutants = [mutant for path in TESTS for mutant in mutants_of(path)]
    tried = mutants
    if proof.size == "push":
        tried = proof.random("mutants").sample(mutants, 60)
    left = survivors(tried)
    score = 1 - len(left) / len(tried)
    proof.report(
        "Mutants of the money modules", all=len(mutants), tried=len(tried),
        killed=len(tried) - len(left), score=round(score, 3),
    )  # fmt: skip
    for mutant in left:
        print(f"{mutant.path}:{mutant.line} {mutant.operator}\n{mutant.difference()}")
    assert score >= (_SCORE_OF_SAMPLE_MIN if proof.size == "push" else _SCORE_MIN)
