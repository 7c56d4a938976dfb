"""A day at the till as a fixed list of batches, and a shop that lives through it.

The story does not depend on what was answered, so it can be told again from its beginning after a
crash: what was decided is answered as a replay, the rest is done now, and the end must be the one
that a day without a crash has.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from sqlalchemy import insert

from server import app
from server.domain.errors import DomainError
from server.ledger import Answer, BatchProcessor, Ledger, Outcome
from server.secrets import new_id
from server.storage import loading, schema
from server.storage.database import Database
from server.storage.migrate import upgrade
from tests.in_process import Translator, figures_of, pin_matches, program
from tests.operations import (
    Authorize,
    Capture,
    CardFigures,
    Issue,
    Load,
    Operation,
    Redeem,
    Request,
    Reverse,
    Void,
)

CELL: Final = 7
MERCHANT_ID: Final = "merchant"
_CARDS: Final = 6
_VALUE: Final = 10_000

Story = list[list[Request]]


def story(seed: int, batches: int, width: int) -> Story:
    """The batches of one day: cards are sold, then spent, held, captured, loaded and undone."""
    dice = random.Random(seed)
    cards = [f"card-{seed}-{number}" for number in range(_CARDS)]
    told: Story = [[Request(Issue(card, _VALUE), f"{seed}/issue/{card}") for card in cards]]
    holds: list[str] = []
    spent: list[str] = []
    for number in range(1, batches):
        batch: list[Request] = []
        for place in range(width):
            request_id = f"{seed}/{number}/{place}"
            batch.append(Request(_operation(dice, cards, holds, spent), request_id))
        # Known only once the batch is over: nothing refers to its own batch.
        for request in batch:
            if isinstance(request.operation, Authorize):
                holds.append(request.id)
            elif isinstance(request.operation, Redeem):
                spent.append(request.id)
        told.append(batch)
    return told


def _operation(
    dice: random.Random, cards: list[str], holds: list[str], spent: list[str]
) -> Operation:
    card, amount = dice.choice(cards), dice.randint(1, 300)
    choice = dice.random()
    if choice < 0.2 and holds:
        hold = holds.pop(dice.randrange(len(holds)))
        return Void(hold) if dice.random() < 0.3 else Capture(hold, final=True)
    if choice < 0.3 and spent:
        return Reverse(spent.pop(dice.randrange(len(spent))))
    if choice < 0.5:
        return Authorize(card, amount)
    if choice < 0.6:
        return Load(card, amount)
    # One in ten asks for more than any card has: a refusal is a decision too.
    return Redeem(card, 10**9 if choice > 0.9 else amount)


def found_shop(database: Database) -> None:
    """The tables and the one program that the story sells."""
    upgrade(database)
    facts = program(MERCHANT_ID, "GC")
    common = {"version": 1, "create_time": app.clock(), "cell": CELL}
    row = {"id": facts.id, "merchant_id": MERCHANT_ID, "code": "GC"}
    body = {"program_id": facts.id, "body": orjson.dumps(facts).decode()}
    with database.writer.begin() as connection:
        connection.execute(insert(schema.program).values(row | common))
        connection.execute(insert(schema.program_version).values(body | common))


@dataclass(frozen=True, slots=True)
class Told:
    """What the caller of one request was told.

    `transaction_id` and `stored` are of the decision; `failure` is what is no decision.
    """

    request_id: str
    transaction_id: str = ""
    stored: str = ""
    replayed: bool = False
    failure: str = ""


class Shop:
    """The product's own ledger over one database; `fatal` once it says that it must not go on."""

    def __init__(self, database: Database) -> None:
        self.fatal = False
        self._database = database
        processor = BatchProcessor(clock=app.clock, new_id=app.make_id, pin_matches=pin_matches)
        self._ledger = Ledger(database, processor, on_fatal=self._on_fatal)
        self._translator = Translator(MERCHANT_ID, lambda: new_id(app.clock()))

    def _on_fatal(self) -> None:
        self.fatal = True

    def close(self) -> None:
        self._ledger.close()

    def carry_out(self, batch: Sequence[Request]) -> list[Told]:
        """One batch in one commit."""
        envelopes = [self._translator.envelope(each, app.clock()) for each in batch]
        outcomes = self._ledger.execute_all(envelopes)
        return [self._told(*pair) for pair in zip(batch, outcomes, strict=True)]

    def _told(self, request: Request, outcome: Outcome) -> Told:
        if isinstance(outcome, Answer) and outcome.record is not None:
            record = outcome.record
            self._translator.outcome(request, record, None, outcome.replayed)
            return Told(request.id, record.id, record.result_json, outcome.replayed)
        assert not isinstance(outcome, (Answer, DomainError)), f"{request}: {outcome}"
        return Told(request.id, failure=outcome.reason)

    def cards(self) -> dict[str, CardFigures]:
        """Every card that was sold, by its handle."""
        handles = self._translator.handles
        with self._database.connect_reader() as connection:
            found = loading.load_cards(connection, sorted(handles), [CELL], lock=False)
        now = app.clock()
        return {handles[card_id][0]: figures_of(card, now) for card_id, card in found.items()}
