"""A server, a shim before it, and a voice: the state machine's subject that speaks a dialect.

What the dialect tells is taken from its own answer; what it does not tell (the rest of an outcome
that the model predicts) is looked up over gRPC under the id that the request must have got.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from giftcard import v1

from tests import operations as o
from tests.compat.machine.voice import Line, Told, Voice
from tests.compat.stage import Said, ShimServer
from tests.operations import CardFigures, CardKey, Request
from tests.ports import free_port
from tests.rpc.translator import UNKNOWN_ID, figures, micros
from tests.rpc_subject import MANAGING, RpcSubject

Key = tuple[str, str, str]

#: A store in which the dialects that name one work.
STORE: Final = "S1"
#: What a repeat of something undone is told; RETURN looks at the card first.
UNDONE: Final = {"REVERSED_BEFORE_ARRIVAL", "CARD_USED", "AMOUNT_NOT_BALANCE"}
_LOOKED: Final = v1.LookupTransactionResponse


def overlaid(card: CardFigures, told: Mapping[str, int]) -> CardFigures:
    """A card's figures with those in their place that a dialect told."""
    parts: dict[str, Any] = dict(told)
    return replace(card, **parts)


def key_of(request: Request) -> Key:
    return request.book, request.client, request.id


@dataclass(frozen=True, slots=True)
class _First:
    """How a request was said the first time, and what was heard."""

    request: Request
    line: Line
    outcome: o.Outcome


class DialectSubject(RpcSubject):
    """A `Subject`.  `spoken` counts what went through the dialect, by operation."""

    def __init__(self, database_url: str, directory: Path, voice: Voice) -> None:
        self.voice = voice
        self.spoken: Counter[str] = Counter()
        address = f"127.0.0.1:{free_port()}"
        super().__init__(database_url, directory, grpc_address=address)
        self.shim = ShimServer(address, directory, environment=voice.environment)
        self.shim.start()

    def close(self) -> None:
        self.shim.kill()
        super().close()

    def begin(self) -> None:
        super().begin()
        #: The service's ids of requests; "" for one that is known there by its own id.
        self._ids: dict[Key, str] = {}
        self._first: dict[Key, _First] = {}
        self._touched: CardKey | None = None
        place = v1.Location(country_code="US", time_zone="UTC")
        self.client.answer(
            v1.CreateLocationRequest(location_id=STORE, location=place), self.token("office")
        )
        self.voice.begin(self)
        self.clock.now += 1000

    # Asking

    def perform(self, request: Request) -> o.Outcome:
        line = self._line(request)
        if line is None:
            return self._by_grpc(request)
        before = self._ledger_time()
        self._latest = max(self._latest, self.clock.now)
        said = line.send(self.shim.address, self.token(request.client, request.operation))
        self.spoken[type(request.operation).__name__] += 1
        looked = self._look_up(request, line)
        if looked.state == _LOOKED.NOT_SEEN and self._ledger_time() == before:
            self.tick()  # refused before the ledger's clock could move, as the model says it does
        outcome = self._outcome_of(request, said, looked)
        if outcome.transaction_id is not None and key_of(request) not in self._first:
            self._first[key_of(request)] = _First(request, line, outcome)
        return outcome

    def _line(self, request: Request) -> Line | None:
        key = key_of(request)
        first = self._first.get(key)
        if first is not None and first.request == request:
            name = first.outcome.transaction_id or ""
            transaction = self.answer(v1.GetTransactionRequest(name=name), request.book)
            return first.line if self.voice.repeats(self, request, transaction) else None
        known = self._ids.get(key)
        if known == "" or (first is not None and not first.line.request_id):
            return None
        line = self.voice.say(self, request)
        if line is None or (known is not None and known != line.request_id):
            return None
        if line.request_id and known is None and line.request_id in self._ids.values():
            return None  # to the dialect it is an earlier request
        if line.request_id:
            self._ids[key] = line.request_id
        return line

    def _by_grpc(self, request: Request) -> o.Outcome:
        outcome = super().perform(request)
        first = self._first.get(key_of(request))
        if outcome.replayed and first is not None:
            assert outcome.transaction_id == first.outcome.transaction_id
            return replace(outcome, stored=first.outcome.stored)
        return outcome

    def _call(self, request: Request, send: Callable[..., Any]) -> Any:
        message: Any = self.translator.message(request)
        op: Any = request.operation
        if isinstance(op, o.Lookup):
            message.request_id = self.id_of_late(request, request.id)
        else:
            message.request_id = self._ids.setdefault(key_of(request), "") or request.id
        if getattr(message, "original_request_id", ""):
            message.original_request_id = self.id_of_late(request, op.of)
        first = self._first.get(key_of(request))
        if first is not None and first.request == request:
            self.voice.adds(request, first.line, message)
        return super()._call(request, send)

    def id_of_late(self, request: Request, of: str) -> str:
        """The service's id of an earlier request, or of a redemption that is still to come."""
        key = (request.book, request.client, of)
        if key not in self._ids:
            self._ids[key] = self.voice.late(of, request.client, request.book)
        return self._ids[key] or of

    def code_of_request(self, request: Request, of: str) -> str:
        """The code of the card that an earlier request was about; any where that is unknown."""
        first = self._first.get((request.book, request.client, of))
        op: Any = first.request.operation if first is not None else None
        return self.translator.code(request, op.card) if hasattr(op, "card") else "card-0"

    def perform_together(self, requests: Sequence[Request]) -> list[o.Outcome]:
        for request in requests:
            self._ids.setdefault(key_of(request), "")
        return super().perform_together(requests)

    # Hearing

    def _look_up(self, request: Request, line: Line) -> v1.LookupTransactionResponse:
        request_id = line.request_id or self._ids.get(key_of(request), "")
        if not request_id:
            request_id = self._ids[key_of(request)] = self._newest_id(request)
        message = v1.LookupTransactionRequest(request_id=request_id)
        token = self.token(request.client)
        looked: v1.LookupTransactionResponse = self.client.answer(
            message, token, book=request.book.lower()
        )
        return looked

    def _newest_id(self, request: Request) -> str:
        """The id of what was decided last, if no other request is known to have it."""
        newest = self.answer(v1.ListTransactionsRequest(page_size=1), request.book)
        found: str = newest.transactions[0].request_id
        own = {each or key[2] for key, each in self._ids.items()}
        return request.id if found in own else found

    def _outcome_of(self, request: Request, said: Said, looked: Any) -> o.Outcome:
        reasons = self.voice.reasons(said)
        if looked.state in (_LOOKED.NOT_SEEN, _LOOKED.SEALED):
            assert reasons, f"{request} was answered {said}, and nothing was decided"
            return o.Outcome(reason=self.voice.undecided(reasons))
        if "REQUEST_ID_REUSED" in reasons:
            return o.Outcome(reason="REQUEST_ID_REUSED")
        transaction: v1.Transaction = looked.transaction
        self.translator.transactions[request.id] = transaction.name
        first = self._first.get(key_of(request))
        undone = transaction.reversal_transaction and not isinstance(request.operation, o.Reverse)
        if undone and first is not None:
            # The till is told, where the ledger repeats its first answer.
            assert reasons & UNDONE, f"{request} was undone, and answered {said}"
            return replace(first.outcome, replayed=True, cards={})
        outcome = o.Outcome(replayed=first is not None, transaction_id=transaction.name)
        if looked.state == _LOOKED.REFUSED:
            assert transaction.refusal_reason in reasons, f"{transaction.refusal_reason}: {said}"
            stored = f"{transaction.refusal_reason} {said.status}"
            return replace(outcome, reason=transaction.refusal_reason, stored=stored)
        assert not reasons, f"{request} was approved, and answered {said}"
        told = self.voice.hear(request, said)
        outcome = replace(outcome, stored=str(told.stored))
        assert told.transaction in (None, transaction.name), said
        return self._approval(request, outcome, told, looked)

    def _approval(self, request: Request, outcome: o.Outcome, told: Told, looked: Any) -> o.Outcome:
        transaction: v1.Transaction = looked.transaction
        op: Any = request.operation
        if isinstance(op, (o.Create, o.Issue)):
            self._know(request, op.card, looked.gift_cards[0].name, told.code)
        approved = None
        if transaction.HasField("approved_amount"):
            approved = transaction.approved_amount.minor_units
        assert told.approved in (None, approved), f"{told}, not {approved}"
        hold_state = self._state_of_hold(request, outcome, transaction)
        reversal = None
        if isinstance(op, o.Reverse):
            (reversal,) = (
                each
                for each in told.reversal
                if (each == "TOMBSTONED") == (not transaction.target_transaction)
            )
        return replace(
            outcome,
            approved=approved,
            hold_state=hold_state,
            hold_id=transaction.hold or None,
            reversal=reversal,
            shortfall=told.shortfall,
            codes=self._reserved(request, told.codes) if isinstance(op, o.Reserve) else None,
            cards={} if outcome.replayed else self._cards(request, told, looked),
        )

    def _know(self, request: Request, handle: str, name: str, code: str | None) -> None:
        key = (handle, request.book)
        self.translator.names[key], self.translator.handles[name] = name, key
        if code is not None:
            assert self.translator.codes.setdefault(key, code) == code, "another code"
            self.translator.names[code, request.book] = name

    def _reserved(self, request: Request, codes: tuple[str, ...]) -> int:
        op: Any = request.operation
        for handle, code in zip(op.cards, codes, strict=True):
            self.translator.codes[handle, request.book] = code
        return len(codes)

    def _state_of_hold(
        self, request: Request, outcome: o.Outcome, transaction: v1.Transaction
    ) -> str | None:
        if not transaction.hold:
            return None
        if isinstance(request.operation, (o.Authorize, o.HoldPoints)):
            self.translator.holds[request.id] = transaction.hold
        if not outcome.replayed:
            decided = micros(transaction.decide_time)
            hold = self._read(v1.GetHoldRequest(name=transaction.hold), request.book, decided)
            self._hold_states[request] = v1.Hold.State.Name(hold.state)
        return self._hold_states[request]

    def _cards(self, request: Request, told: Told, looked: Any) -> dict[str, CardFigures]:
        """As they were decided, with what the dialect told in the place of what gRPC tells."""
        decided = micros(looked.transaction.decide_time)
        shown = {}
        for each in looked.gift_cards:
            card = self._read(v1.GetGiftCardRequest(name=each.name), request.book, decided)
            key = self.translator.handles[each.name]
            shown[key[0]] = overlaid(figures(card), told.figures)
            self._touched = key
        return shown

    # Reading

    def answer(self, message: Any, book: str = "LIVE") -> Any:
        """What the service says over gRPC to whoever may read and write."""
        return self.client.answer(message, self.token("office"), book=book.lower())

    def card(self, request: Request, handle: str) -> v1.GiftCard | None:
        """A card as it is, over gRPC."""
        name = self.translator.names.get((handle, request.book))
        return None if name is None else self.answer(v1.GetGiftCardRequest(name=name), request.book)

    def hold(self, request: Request, opened_by: str) -> v1.Hold | None:
        name = self.translator.holds.get(opened_by, f"holds/{UNKNOWN_ID}")
        heard = self.client.call(
            v1.GetHoldRequest(name=name), self.token("office"), book=request.book.lower()
        )
        found: v1.Hold | None = heard.message
        return found

    def token(self, client: str, operation: o.Operation | None = None) -> str:
        return self._token(client, mighty=isinstance(operation, MANAGING))

    def inspect(self, now: int) -> dict[CardKey, CardFigures]:
        shown = super().inspect(now)
        if self._touched is not None:
            clock, self.clock.now = self.clock.now, now
            try:
                read = self.voice.read(self, self._touched)
            finally:
                self.clock.now = clock
            if read is not None:
                same = overlaid(shown[self._touched], read)
                assert same == shown[self._touched], f"{self._touched} is shown as {read}"
        return shown

    def _ledger_time(self) -> int:
        ledger = self.thread.server._bridge._ledger
        last: int = ledger._processor._last_time
        return last
