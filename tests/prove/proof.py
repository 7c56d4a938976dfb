"""What a suite of `make prove` is given, and what it reports: its size, its seed, its figures.

A suite is an ordinary test marked `slow` that asks for the fixture `proof`:

    @pytest.mark.slow
    def test_kill_at_every_system_call(proof: Proof, ...) -> None:
        points = proof.cases(push=150, release=5000)
        ...
        proof.report("Crash points, SQLite", points=points, lost=len(lost))
        assert not lost

Figures are reported before they are asserted, so that a red line shows what was seen.  A figure was
counted: what a test asserts on the way to be right each time is said by its being green.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Literal

Size = Literal["push", "release"]
Figure = int | float | str | bool

#: The user property under which a test's lines travel in pytest's reports.
PROPERTY = "proof"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what a suite measured.  `outcome` is pytest's word for the test.

    `test` is the node id; of a test that reported nothing it has no parameters, and `cases` says
    how many there were.  `times` says how much more of it a release runs than a push.
    """

    suite: str
    figures: dict[str, Figure]
    test: str = ""
    seed: int = 0
    size: Size = "push"
    cases: int = 1
    times: float = 1.0
    seconds: float = 0.0
    outcome: str = ""
    why: str = ""

    @property
    def module(self) -> str:
        return self.test.partition("::")[0]

    @property
    def function(self) -> str:
        """The node id without its parameters, as guarantees name tests."""
        return self.test.partition("[")[0]

    @property
    def replay(self) -> str:
        """The command that runs this again with the same choices."""
        name = self.function.rpartition("::")[2]
        return f'make prove ARGS="--size {self.size} --seed {self.seed} -k {name}"'

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "replay": self.replay}


@dataclass(slots=True)
class Proof:
    """The size and seed of this run, for one test.

    A failure is replayed with `make prove ARGS="--seed SEED -k NAME"`.
    """

    size: Size
    seed: int
    times: float = 1.0
    lines: list[Line] = field(default_factory=list)

    def cases(self, *, push: int, release: int) -> int:
        """How many cases to run at the size that was asked for."""
        # Of steps between cases, fewer are more.
        self.times = max(release / push, push / release)
        return push if self.size == "push" else release

    def random(self, purpose: str) -> random.Random:
        """A generator that depends on the seed and the purpose only, not on the order of tests."""
        return random.Random(f"{self.seed}/{purpose}")

    def report(self, suite: str, **figures: Figure) -> None:
        """Adds a line to the table of `make prove`."""
        self.lines.append(Line(suite, figures, seed=self.seed, size=self.size, times=self.times))


def engine_of(database_url: str) -> str:
    """How lines name an engine: sqlite or postgresql."""
    return database_url.partition(":")[0].partition("+")[0]
