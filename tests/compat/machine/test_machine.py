"""The state machine through each dialect: what has no words there goes over gRPC in between.

So each life is as varied as the core's, and the dialect meets cards in every state.
"""

from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests import operations as o
from tests.compat.machine.cp import CpVoice
from tests.compat.machine.iwarehouse import IwarehouseVoice
from tests.compat.machine.resico import ResicoVoice
from tests.compat.machine.retail7 import Retail7Voice
from tests.compat.machine.subject import DialectSubject
from tests.compat.machine.voice import Voice
from tests.model.lives import Tally, live
from tests.model.machine import AMOUNT, CLIENT, PICK, LedgerMachine
from tests.prove.proof import Proof

#: Fewer than the core's: here each request costs several.
LIVES: Final = 12


class Till(LedgerMachine):
    """Takes cards back, cancels, and repeats what it cancelled, as RETAIL7 can."""

    @rule(pick=PICK, amount=st.integers(1, 20))
    def repeat_what_was_cancelled(self, pick: int, amount: int) -> None:
        sale = self.request(o.Redeem(self.card(pick), amount), "till")
        self.send(sale)
        self.ask(o.Reverse(sale.id))
        self.send(sale)

    @rule(cancel=st.booleans(), client=CLIENT)
    def take_back(self, cancel: bool, client: str) -> None:
        card = self.new_card(False, 0)
        self.ask(o.Issue(card, 25, "CASH"), client)
        returned = self.request(o.Close(card, "CASH_OUT"), client)
        self.send(returned)
        if cancel:
            self.ask(o.Reverse(returned.id), client)
        self.send(returned)


class Shop(LedgerMachine):
    """Authorizes as CP Extender does: what there is, for as long as the program says."""

    @rule(pick=PICK, amount=AMOUNT, client=CLIENT)
    def authorize_what_there_is(self, pick: int, amount: int | str, client: str) -> None:
        self.authorize(pick, amount, True, False, None, client, "USD", "none", True)

    @rule(pick=PICK, points=AMOUNT, client=CLIENT)
    def authorize_points(self, pick: int, points: int | str, client: str) -> None:
        self.hold_points(pick, points, True, client, None)

    @rule(pick=PICK, client=CLIENT)
    def confirm(self, pick: int, client: str) -> None:
        self.capture(pick, None, True, "USD", client)


class Kiosk(LedgerMachine):
    """Reserves as Resico does: all of it, from everybody else."""

    @rule(pick=PICK, client=CLIENT)
    def reserve_card(self, pick: int, client: str) -> None:
        self.authorize(pick, None, False, True, 3600, client, "USD", "none", True)

    @rule(client=CLIENT)
    def reserve_and_cancel(self, client: str) -> None:
        card = self.new_card(False, 0)
        self.ask(o.Issue(card, 25), client)
        reserved = self.request(o.Authorize(card, None, False, True, 3600), client)
        self.send(reserved)
        self.ask(o.Void(reserved.id), client)
        self.ask(o.Redeem(card, 25), client)


#: Every voice, with the operations that it must have spoken at least once.
VOICES: Final[dict[str, tuple[type[Voice], type[LedgerMachine], set[str]]]] = {
    "retail7": (
        Retail7Voice,
        Till,
        {"Create", "Issue", "Activate", "Load", "Redeem", "Lock", "Unlock", "Close", "Update",
         "Reverse"},
    ),
    "cp": (
        CpVoice,
        Shop,
        {"Reserve", "Issue", "Authorize", "HoldPoints", "Earn", "Capture", "Void"},
    ),
    "resico": (ResicoVoice, Kiosk, {"Issue", "Redeem", "Authorize", "Void"}),
    "iwarehouse": (IwarehouseVoice, LedgerMachine, {"Issue"}),
}  # fmt: skip


@pytest.mark.parametrize("name", VOICES)
def test_every_answer_is_the_models(name: str, sqlite_url: str, tmp_path: Path) -> None:
    _run(name, sqlite_url, tmp_path, LIVES)


def test_every_answer_is_the_models_on_postgresql(postgresql_url: str, tmp_path: Path) -> None:
    _run("retail7", postgresql_url, tmp_path, LIVES)


@pytest.mark.slow
@pytest.mark.parametrize("name", VOICES)
def test_every_answer_is_the_models_at_length(
    proof: Proof, name: str, sqlite_url: str, tmp_path: Path
) -> None:
    lives = proof.cases(push=12, release=2000)
    tally, spoken = _run(name, sqlite_url, tmp_path, lives, seed=proof.seed)
    proof.report(
        f"Lives through {name}",
        lives=tally.lives, steps=tally.steps, requests=tally.requests,
        of_them_in_its_words=spoken.total(),
    )  # fmt: skip


def _run(
    name: str, database_url: str, directory: Path, lives: int, *, seed: int | None = None
) -> tuple[Tally, Counter[str]]:
    """What was done, and what of it the dialect has words for, by operation."""
    make, machine, operations = VOICES[name]
    subject = DialectSubject(database_url, directory, make())
    try:
        tally = live(subject, lives, machine=machine, seed=seed)
    finally:
        subject.close()
    if seed is None:
        assert subject.spoken.keys() >= operations, "too few lives"
    return tally, subject.spoken
