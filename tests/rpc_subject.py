"""The running server behind real gRPC as a subject of the state machine.

One server for all examples, each with a merchant of its own. The machine's clock is the server's.
What no client can do (to die in the middle, to fill a batch in a given order) reaches into the
server; all else goes over the wire.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from giftcard import v1

from server import app
from server.ledger.engine import OUTCOME_UNKNOWN, Batch, Outcome
from server.secrets import PasswordVerifier
from server.settings import Settings
from server.storage.database import Database
from tests import operations as o
from tests.operations import DAY, CardFigures, CardKey, Clock, Request
from tests.programs import PROGRAMS
from tests.rpc.edge_stage import START, Client, Heard
from tests.rpc.server_thread import ServerThread, keys_in, principal
from tests.rpc.translator import (
    UNKNOWN_ID,
    Translator,
    figures,
    handle_of,
    micros,
    points,
    to_program,
)

_SCOPES: Final = "READ SELL REDEEM REFUND ADJUST CONFIGURE"
#: Their methods need a scope that also lets a client undo what others did. So every client has
#: two credentials, and uses the mightier one for these only.
MANAGING: Final = (o.Lock, o.Unlock, o.Close, o.Transfer, o.Update)
_URGENT: Final = (o.Reverse, o.Lookup)
_SECONDS: Final = 20


class RpcSubject:
    """A `Subject`: merchants one after the other on one server."""

    def __init__(
        self, database_url: str, directory: Path, *, grpc_address: str = "127.0.0.1:0"
    ) -> None:
        self.clock = Clock(START)
        self._latest = START
        self._merchants = count(1)
        self._verifier = PasswordVerifier()
        # Each call passes between two threads of this process, which would wait 5 ms for the other.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0002)
        settings = Settings(
            database_url=database_url, grpc_address=grpc_address, access_log=False,
            remember_seconds=3600, lookup_misses_per_client_max=10**9, lookup_misses_max=10**9,
        )  # fmt: skip
        self.thread = ServerThread(settings, keys_in(directory), self.clock)
        self.thread.add("platform", principal("operations", "platform", "READ PLATFORM"))
        self._start()
        # A server that starts again would look for migrations each time.
        self.thread.open_database = lambda settings: Database(settings.database_url)
        self.begin()

    def _start(self) -> None:
        # A new one costs more than all else of a start, and nobody here has a password.
        with patch.object(app, "PasswordVerifier", lambda: self._verifier):
            self.thread.start()
        self.client = Client(self.thread.port)

    @property
    def database(self) -> Database:
        return self.thread.database

    def close(self) -> None:
        self.client.close()
        self.thread.stop()
        sys.setswitchinterval(self._switch_interval)

    def begin(self) -> None:
        # Noon of a day that no ledger time has reached.
        self.clock.now = (max(self._latest, self.clock.now) // DAY + 1) * DAY + DAY // 2
        self._latest = self.clock.now
        self.merchant = f"merchant-{next(self._merchants)}"
        self.translator = Translator()
        self._hold_states: dict[Request, str] = {}
        for name in ("till", "web", "office"):
            manages = " MANAGE" if name == "office" else ""
            self.thread.add(self._token(name), principal(self.merchant, name, _SCOPES + manages))
            mighty = principal(self.merchant, name, _SCOPES + " MANAGE")
            self.thread.add(self._token(name, mighty=True), mighty)
        merchant = v1.Merchant(display_name=self.merchant, time_zone="UTC")
        self.client.answer(
            v1.CreateMerchantRequest(merchant_id=self.merchant, merchant=merchant), "platform"
        )
        requests = [
            v1.CreateProgramRequest(program_id=code, program=to_program(facts), request_id=code)
            for code, facts in PROGRAMS.items()
        ]
        sent = [self.client.begin(request, self._token("office")) for request in requests]
        heard = [self.client.wait(each) for each in sent]
        assert all(each.code == "OK" for each in heard), heard
        # No two decisions share an instant, and these took the first ones.
        self.clock.now += 1000

    def _token(self, client: str, *, mighty: bool = False) -> str:
        return f"{self.merchant}-{client}{'-mighty' if mighty else ''}"

    def _call(self, request: Request, send: Callable[..., Any]) -> Any:
        """Sends it by `Client.call`, or by `Client.begin` to be waited for later."""
        self._latest = max(self._latest, self.clock.now)
        token = self._token(request.client, mighty=isinstance(request.operation, MANAGING))
        return send(self.translator.message(request), token, book=request.book.lower())

    def perform(self, request: Request) -> o.Outcome:
        heard = self._call(request, self.client.call)
        if heard.reason == "PROGRAM_NOT_FOUND":
            # Refused at the edge, before the ledger's clock could tick, as the model says it does.
            self.tick()
        return self._outcome(request, heard)

    def tick(self) -> None:
        """Moves the ledger's clock by a request that decides nothing."""
        nobodys = v1.GiftCardReference(name=f"giftCards/{UNKNOWN_ID}")
        tick = v1.LockGiftCardRequest(gift_card=nobodys, request_id="tick")
        token = self._token("office", mighty=True)
        assert self.client.call(tick, token).reason == "GIFT_CARD_NOT_FOUND"

    def _outcome(self, request: Request, heard: Heard) -> o.Outcome:
        outcome = self.translator.outcome(request, heard)
        if outcome.hold_id is None:
            return outcome
        state = outcome.hold_state
        if outcome.replayed:
            state = self._hold_states[request]
        elif state is None:
            decided = micros(heard.message.transaction.decide_time)
            hold = self._read(v1.GetHoldRequest(name=outcome.hold_id), request.book, decided)
            state = v1.Hold.State.Name(hold.state)
        self._hold_states[request] = state
        return replace(outcome, hold_state=state)

    def _read(self, message: Any, book: str, now: int) -> Any:
        """What is to be seen at an instant."""
        clock, self.clock.now = self.clock.now, now
        try:
            return self.client.answer(message, self._token("office"), book=book.lower())
        finally:
            self.clock.now = clock

    def perform_together(self, requests: Sequence[Request]) -> list[o.Outcome]:
        """Batches as large as this order allows: the queue lets reversals go first."""
        heard: list[Heard] = []
        batch: list[Request] = []
        for request in requests:
            ordinary_waits = any(not isinstance(each.operation, _URGENT) for each in batch)
            if ordinary_waits and isinstance(request.operation, _URGENT):
                heard += self._one_batch(batch)
                batch = []
            batch.append(request)
        heard += self._one_batch(batch)
        return [self._outcome(*pair) for pair in zip(requests, heard, strict=True)]

    def _one_batch(self, requests: Sequence[Request]) -> list[Heard]:
        pace = self.thread.server._bridge._writing
        ledger = self.thread.server._bridge._ledger
        assert not pace.busy

        def hold_back() -> None:
            pace.busy = True

        self.thread.on_loop(hold_back)
        sent: list[Any] = []
        try:
            for request in requests:
                queued = ledger.queued
                sent.append(self._call(request, self.client.begin))
                deadline = time.monotonic() + _SECONDS
                while ledger.queued == queued and not sent[-1].done():
                    assert time.monotonic() < deadline
                    time.sleep(0.0002)
        finally:
            self.thread.on_loop(lambda: pace.done(0, more=True))
        return [self.client.wait(each) for each in sent]

    def perform_and_die(self, request: Request) -> None:
        def never(batch: Batch) -> list[Outcome]:
            return [OUTCOME_UNKNOWN] * len(batch.envelopes)

        self.thread.server._bridge._ledger.complete = never  # type: ignore[method-assign]
        heard = self._call(request, self.client.call)
        assert heard.reason == "OUTCOME_UNKNOWN", heard
        self.crash()

    def crash(self) -> None:
        self.client.close()
        self.thread.kill()
        self._start()

    def inspect(self, now: int) -> dict[CardKey, CardFigures]:
        handles = self.translator.handles
        shown: dict[CardKey, CardFigures] = {}
        customers = self.translator.customers
        for book in sorted({book for _, book in (*handles.values(), *customers)}):
            listed = self._read(v1.ListGiftCardsRequest(page_size=1000), book, now)
            for card in listed.gift_cards:
                assert handles[card.name][1] == book
                shown[handles[card.name]] = figures(card)
            known = self._read(v1.ListCustomersRequest(page_size=1000), book, now)
            for customer in known.customers:
                shown[handle_of(customer), book] = points(customer)
        assert len(shown) == len(handles) + len(customers), "a card or customer is missing"
        return shown
