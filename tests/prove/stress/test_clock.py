"""Clocks that jump: nothing that was over begins again, and nothing is told in another order."""

import itertools
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import Client, connected
from tests.grpc_server import GrpcServer
from tests.ledger_subject import LedgerSubject
from tests.model.lives import live
from tests.model.machine import LedgerMachine
from tests.operations import Subject
from tests.prove.proof import Proof, engine_of

_LIBRARIES: Final = "*/faketime/libfaketimeMT.so.1"


@pytest.mark.slow
def test_lives_under_any_clock(proof: Proof, database_url: str) -> None:
    """The state machine of tests/model, whose clock also leaps for months, either way."""
    subject = LedgerSubject(database_url)
    leaps: list[int] = []

    class Machine(LedgerMachine):
        def __init__(self, subject: Subject) -> None:
            super().__init__(subject)
            self.latest = self.clock.now

        @rule(seconds=st.integers(-400 * 86_400, 400 * 86_400))
        def clock_leaps(self, seconds: int) -> None:
            leaps.append(seconds)
            self.latest = max(self.latest, self.now)
            self.clock.advance(seconds)

        def teardown(self) -> None:
            # The next life begins after all that the ledger has seen.
            self.clock.now = max(self.latest, self.now)

    try:
        tally = live(subject, proof.cases(push=100, release=3000), machine=Machine, seed=proof.seed)
    finally:
        subject.close()
    back = sum(leap < 0 for leap in leaps)
    proof.report(
        f"Lives under any clock, {engine_of(database_url)}",
        lives=tally.lives, steps=tally.steps, leaps=len(leaps), back=back,
    )  # fmt: skip
    assert back, "the clock never stepped back"


@pytest.mark.slow
async def test_the_server_under_a_clock_that_jumps(
    proof: Proof, tmp_path: Path, sqlite_url: str
) -> None:
    """The real program; libfaketime moves what the operating system tells it."""
    library = _libfaketime()
    clock = tmp_path / "clock"
    _set(clock, 0)
    environment = {
        "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    with GrpcServer(sqlite_url, tmp_path, environment=environment) as server:
        server.start()
        async with connected(server.address) as client:
            jumps, decided = await _live_through_jumps(proof, client, clock)
        assert server.stop() == 0
    check_books(sqlite_url)
    disorder = sum(later <= earlier for earlier, later in itertools.pairwise(decided))
    proof.report(
        "The server under libfaketime", jumps=jumps, decisions=len(decided), out_of_order=disorder
    )
    assert disorder == 0


async def _live_through_jumps(proof: Proof, client: Client, clock: Path) -> tuple[int, list[int]]:
    """Returns how often the clock jumped, and when each decision was made by the ledger's time."""
    dice = proof.random("clock")
    jumps = proof.cases(push=40, release=1000)
    (card,) = await client.issue()
    held = await client.answer("AuthorizeGiftCard", c.authorize(card, 500, seconds=3600))
    _set(clock, 7200)
    # The hold is over; a clock that steps back does not bring it to life again.
    await client.answer("RedeemGiftCard", c.redeem(card, 1))
    _set(clock, -86_400)
    late = await client.call("CaptureHold", c.capture(held.hold.name, final=True))
    assert late.reason == "HOLD_EXPIRED", late
    assert (await client.card(card)).held.minor_units == 0
    decided: list[int] = []
    for _ in range(jumps):
        _set(clock, dice.choice((-3 * 86_400, -3600, -1, 0, 1, 60, 3600, 86_400)))
        request = c.redeem(card, 1)
        answer = await client.answer("RedeemGiftCard", request)
        decided.append(answer.transaction.decide_time.ToNanoseconds())
        again = await client.answer("RedeemGiftCard", request)
        assert again.replayed
        assert again.transaction.decide_time == answer.transaction.decide_time
    assert (await client.card(card)).balance.minor_units == c.INITIAL - jumps - 1
    newest_first = [each.request_id for each in await client.transactions(card)]
    assert len(set(newest_first)) == len(newest_first)
    return jumps, decided


def _libfaketime() -> str:
    found = sorted(Path("/usr/lib").glob(_LIBRARIES))
    if not found:
        pytest.skip("libfaketime is not installed (Debian: apt-get install libfaketime)")
    return str(found[0])


def _set(clock: Path, seconds: int) -> None:
    """Moves the clock of a server that runs under libfaketime."""
    new = clock.with_suffix(".new")
    new.write_text(f"{seconds:+d}\n")
    new.replace(clock)
