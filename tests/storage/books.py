"""A small ledger in which everything happened at least once, kept by the real writer."""

from collections.abc import Sequence
from dataclasses import replace

import orjson
from sqlalchemy import insert

from server.domain.commands import Context
from server.domain.errors import DomainError
from server.domain.ids import shard_bits_of, stamp_at
from server.ledger import Answer, BatchProcessor, Ledger
from server.secrets.ids import _Generator
from server.storage import schema
from server.storage.database import Database
from tests.in_process import Translator, pin_matches, program
from tests.operations import (
    DAY,
    Activate,
    Adjust,
    Authorize,
    Capture,
    Clock,
    Close,
    Create,
    Earn,
    HoldPoints,
    Issue,
    Load,
    Lock,
    Lookup,
    NewCustomer,
    Operation,
    Outcome,
    Redeem,
    RedeemMany,
    Refund,
    Release,
    Request,
    Reserve,
    Reverse,
    Transfer,
    Unlock,
    Void,
    update,
)

CELL = 7
_HOUR_SECONDS = 3600

#: Request id -> what is asked.  A number between them advances the clock by so many seconds.
_LIFE: tuple[tuple[str, Operation] | int, ...] = (
    ("issue-a", Issue("A", 10_000)),
    ("issue-b", Issue("B", 5_000, pin="1234")),
    ("create-c", Create("C")),
    ("activate-c", Activate("C", 2_500)),
    ("issue-d", Issue("D", 700, origin="PROMO", tranche_until="2026-12-31")),
    ("load-d", Load("D", 300)),
    ("issue-e", Issue("E", 4_000)),
    ("issue-f", Issue("F", 900)),
    ("redeem-a", Redeem("A", 1_500)),
    ("redeem-a-again", Redeem("A", 250)),
    ("redeem-too-much", Redeem("A", 10**9)),
    ("redeem-wrong-pin", Redeem("B", 100, pin="0000")),
    ("redeem-right-pin", Redeem("B", 100, pin="1234")),
    ("redeem-many", RedeemMany(("C", "D"), 2_900)),
    ("refund", Refund("redeem-a", 400)),
    ("reverse-many", Reverse("redeem-many")),
    ("hold-open", Authorize("A", 1_000)),
    ("hold-part", Authorize("A", 600)),
    ("capture-part", Capture("hold-part", 200)),
    ("hold-all", Authorize("E", 3_000)),
    ("capture-all", Capture("hold-all")),
    ("hold-final", Authorize("E", 500)),
    ("capture-final", Capture("hold-final", 100, final=True)),
    ("hold-void", Authorize("E", 50)),
    ("void", Void("hold-void")),
    ("hold-undone", Authorize("E", 60)),
    ("reverse-hold", Reverse("hold-undone")),
    ("hold-exclusive", Authorize("C", 2_000, exclusive=True)),
    ("redeem-held", Redeem("C", 2_100)),
    ("hold-short", Authorize("E", 70, seconds=60)),
    ("hold-forgotten", Authorize("F", 80, seconds=60)),
    _HOUR_SECONDS,
    ("redeem-late", Redeem("E", 10)),
    ("issue-g", Issue("G", 1_000)),
    ("redeem-g", Redeem("G", 800)),
    ("reverse-spent", Reverse("issue-g")),
    ("reverse-unseen", Reverse("never-sent")),
    ("seal", Lookup(seal=True)),
    ("lock", Lock("B")),
    ("unlock", Unlock("B")),
    ("update", update("B", batch="spring")),
    ("adjust-up", Adjust("B", 33)),
    ("adjust-down", Adjust("B", -12)),
    ("transfer", Transfer("B", "D", 500, pin="1234")),
    ("issue-h", Issue("H", 120)),
    ("close", Close("H", disposition="BREAKAGE")),
    ("reserve", Reserve(("I", "J", "K", "L"))),
    ("issue-i", Issue("I", 70, reserved=True)),
    ("release", Release(cards=("J",))),
    ("issue-j", Issue("J", 80)),
    ("reserve-shortly", Reserve(("M",), 60)),
    ("reverse-codes", Reverse("reserve-shortly")),
    ("customer-x", NewCustomer("X")),
    ("customer-y", NewCustomer("Y")),
    ("earn-x", Earn("X", 500)),
    ("earn-x-shortly", Earn("X", 60, "2026-12-31")),
    ("earn-y", Earn("Y", 30)),
    ("hold-points", HoldPoints("X", 50)),
    ("capture-points", Capture("hold-points", 20, unit="POINTS")),
    ("issue-n", Issue("N", 1_000, "LOYAL", customer="X", points=400)),
    ("issue-o", Issue("O", 50, "LOYAL", customer="Y", points=20)),
    ("reverse-points", Reverse("issue-o")),
)


class Books:
    """One merchant on a migrated database, with a clock that only moves when told to."""

    def __init__(self, database: Database, merchant_id: str = "merchant") -> None:
        self.clock = Clock(20_513 * DAY + DAY // 2)
        self.merchant_id = merchant_id
        self._database = database
        # Its own: the process's runs ahead of this clock once another test has made ids later.
        self._ids = _Generator()
        processor = BatchProcessor(clock=self.clock, new_id=self._new_id, pin_matches=pin_matches)
        self.ledger = Ledger(database, processor)
        self.translator = Translator(merchant_id, lambda: self._new_id(self.clock.now, None))
        self._sell_gift_cards()

    def _new_id(self, now: int, like: str | None) -> str:
        return self._ids.next_id(stamp_at(now), shard_bits_of(like) if like else None)

    def _sell_gift_cards(self) -> None:
        common = {"version": 1, "create_time": self.clock.now}
        for code in ("GC", "LOYAL"):
            facts = program(self.merchant_id, code)
            row = {"id": facts.id, "merchant_id": self.merchant_id, "code": code, "cell": CELL}
            version = {"program_id": facts.id, "cell": CELL, "body": orjson.dumps(facts).decode()}
            with self._database.writer.begin() as connection:
                connection.execute(insert(schema.program).values(row | common))
                connection.execute(insert(schema.program_version).values(version | common))

    def perform(
        self, operation: Operation, request_id: str, book: str = "LIVE", *, receipt: str = ""
    ) -> Outcome:
        """One command in a commit of its own."""
        request = Request(operation, request_id, "office", book)
        return self.perform_together([request], receipt=receipt)[0]

    def perform_together(self, requests: Sequence[Request], *, receipt: str = "") -> list[Outcome]:
        """Commands in one commit, decided in this order."""
        context = Context(self.translator.location.id, receipt=receipt)
        envelopes = [
            replace(self.translator.envelope(each, self.clock.now), context=context)
            for each in requests
        ]
        outcomes: list[Outcome] = []
        results = self.ledger.execute_all(envelopes)
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, DomainError):
                outcomes.append(self.translator.outcome(request, None, result, replayed=False))
                continue
            assert isinstance(result, Answer), f"{request} was not carried out: {result}"
            outcomes.append(self.translator.outcome(request, result.record, None, result.replayed))
        return outcomes

    def card_id(self, card: str, book: str = "LIVE") -> str:
        """The id behind the handle of a card."""
        found = {key: card_id for card_id, key in self.translator.handles.items()}
        return found[card, book]

    def transaction_id(self, request_id: str) -> str:
        return self.translator.transactions[request_id]

    def hold_id(self, request_id: str) -> str:
        return self.translator.holds[request_id]


def keep_books(database: Database, merchant_id: str = "merchant") -> Books:
    """Lives through it all in the live book, one commit each, then in training in one."""
    books = Books(database, merchant_id)
    again: list[Request] = []
    for step in _LIFE:
        if isinstance(step, int):
            books.clock.advance(step)
            continue
        request_id, operation = step
        books.perform(operation, request_id)
        if request_id.startswith(("issue", "load", "redeem")):
            again.append(Request(operation, f"t-{request_id}", "office", "TRAINING"))
    books.perform_together(again)
    return books
