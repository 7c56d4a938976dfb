"""The real ledger, in this process, on a real database, with a clock that tests control."""

from collections.abc import Sequence
from itertools import count

import orjson

from server.domain.commands import Administer, Caller, Envelope, RowChange
from server.domain.errors import DomainError
from server.domain.ids import shard_bits_of
from server.domain.model import Card, HoldState
from server.ledger import Answer, BatchProcessor, Ledger
from server.ledger.engine import Batch
from server.ledger.engine import Outcome as LedgerOutcome
from server.secrets import new_id
from server.storage import loading, schema
from server.storage.database import Database
from server.storage.migrate import upgrade
from server.storage.statements import select_in
from tests.in_process import Translator, figures_of, pin_matches, program
from tests.operations import DAY, CardFigures, CardKey, Clock, Outcome, Request
from tests.programs import PROGRAMS

CELL = 7
START = 20_513 * DAY + DAY // 2  # 2026-03-01T12:00Z

_merchants = count(1)


class LedgerSubject:
    """A `Subject`: merchants one after the other on one database."""

    def __init__(self, database_url: str) -> None:
        self.clock = Clock(START)
        self._url = database_url
        self._open()
        upgrade(self.database)
        self.begin()

    def _open(self) -> None:
        self.database = Database(self._url)
        self.processor = BatchProcessor(
            clock=self.clock,
            new_id=lambda now, like: new_id(now, shard_bits_of(like) if like else None),
            pin_matches=pin_matches,
        )
        self.ledger = Ledger(self.database, self.processor)
        self._reader = self.database.connect_reader()

    def close(self) -> None:
        self._reader.close()
        self.ledger.close()
        self.database.close()

    def begin(self) -> None:
        # Time only goes on: the ledger's own never steps back. Noon, so that every merchant has
        # the same hours before its first midnight.
        self.clock.now = (self.clock.now // DAY + 1) * DAY + DAY // 2
        self.merchant_id = f"merchant-{next(_merchants)}"
        self.translator = Translator(self.merchant_id, lambda: new_id(self.clock.now))
        self._sums: dict[str, int] = {}
        self._unread: list[str] = []
        self._seed()

    def _seed(self) -> None:
        """The merchant, its clients and its programs, written the way administration writes."""
        now = self.clock.now
        born = {"create_time": now, "update_time": now}
        merchant = {"id": self.merchant_id, "home_cell": CELL, "cells": 1, "time_zone": "UTC"}
        changes = [RowChange("merchant", {**merchant, "state": 1, **born})]
        for name in ("till", "web", "office"):
            client = {"id": f"{self.merchant_id}-{name}", "merchant_id": self.merchant_id}
            rest = {"cell": CELL, "scopes": "SELL REDEEM", "state": 1}
            changes.append(RowChange("api_client", {**client, **rest, **born}))
        for code in PROGRAMS:
            facts = program(self.merchant_id, code)
            row = {"id": facts.id, "merchant_id": self.merchant_id, "code": code, "version": 1}
            changes.append(RowChange("program", {**row, "cell": CELL, "create_time": now}))
            body = orjson.dumps(facts).decode()
            version = {"program_id": facts.id, "version": 1, "cell": CELL, "body": body}
            changes.append(RowChange("program_version", {**version, "create_time": now}))
        caller = Caller(self.merchant_id, "office", CELL)
        command = Administer("merchant", "create", self.merchant_id)
        envelope = Envelope(caller, "seed", command, received_time=now, changes=tuple(changes))
        outcome = self.ledger.execute(envelope)
        assert isinstance(outcome, Answer), outcome
        # No two decisions share an instant, and this one took the first.
        self.clock.now += 1

    def perform(self, request: Request) -> Outcome:
        envelope = self.translator.envelope(request, self.clock.now)
        return self._outcome(request, self.ledger.execute(envelope))

    def perform_together(self, requests: Sequence[Request]) -> list[Outcome]:
        """One batch, decided in this order and committed once."""
        envelopes = [self.translator.envelope(each, self.clock.now) for each in requests]
        results = self.ledger.execute_all(envelopes)
        return [self._outcome(*pair) for pair in zip(requests, results, strict=True)]

    def perform_and_die(self, request: Request) -> None:
        batch = Batch([self.translator.envelope(request, self.clock.now)], [None])
        self.ledger.prepare(batch)
        assert batch.error is None, batch.error
        # Leaving without a commit is what a kill leaves behind.
        self.crash()

    def crash(self) -> None:
        self.close()
        self._open()

    def _outcome(self, request: Request, result: LedgerOutcome) -> Outcome:
        if isinstance(result, DomainError):
            return self.translator.outcome(request, None, result, replayed=False)
        assert isinstance(result, Answer), f"{request} was not carried out: {result}"
        outcome = self.translator.outcome(request, result.record, None, result.replayed)
        if result.record is not None and not result.replayed:
            self._unread.append(result.record.id)
        return outcome

    def inspect(self, now: int) -> dict[CardKey, CardFigures]:
        handles = self.translator.handles
        if self._unread:
            names = ("debit", "credit", "amount")
            table, key = schema.posting, "transaction_id"
            self._add_up(select_in(self._reader, table, names, key, self._unread, [CELL]))
            self._unread = []
        cards = loading.load_cards(self._reader, sorted(handles), [CELL], lock=False)
        self._reader.rollback()
        assert cards.keys() == handles.keys(), "a card is missing"
        assert self._sums.get("in_transit", 0) == 0, "value is lost between cards"
        for card in cards.values():
            self._check_books(card)
        return {handles[card.id]: figures_of(card, now) for card in cards.values()}

    def _add_up(self, postings: Sequence[Sequence[int | str]]) -> None:
        for debit, credit, amount in postings:
            assert isinstance(amount, int)
            self._sums[str(debit)] = self._sums.get(str(debit), 0) - amount
            self._sums[str(credit)] = self._sums.get(str(credit), 0) + amount

    def _check_books(self, card: Card) -> None:
        for account in card.accounts:
            sum_of_postings = self._sums.get(account.id, 0)
            assert account.balance == sum_of_postings, f"{account} is not the sum of its postings"
            held = sum(
                line.remaining
                for hold in card.holds
                if hold.state is HoldState.OPEN
                for line in hold.lines
                if line.account_id == account.id
            )
            assert account.held == held, f"{account} is not held by its holds"
