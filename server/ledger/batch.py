"""One database transaction for many commands: load, decide in order, write, then the feed.

`BatchProcessor.run` does everything up to COMMIT, which belongs to the engine.  What it returns
must not reach a caller before that COMMIT has answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from server.domain import calendar
from server.domain.commands import CheckPin, Envelope, LookupRequest
from server.domain.decide import decide
from server.domain.decision import Decision, apply
from server.domain.errors import DomainError, Refused, Rejected
from server.domain.model import Card, Kind, TransactionState
from server.domain.record import (
    EntryRow,
    EntryView,
    PostingRow,
    Record,
    Result,
    entry_hash,
    view_card,
    view_hold,
)
from server.domain.rules import RefusedWithEffect
from server.domain.world import World
from server.ledger.intake import Request, request_key, request_of
from server.ledger.world_loader import WorldLoader
from server.storage import loading, writing
from server.storage.database import Connection
from server.storage.writing import Changes


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored decision.  `record` is None only where a look-up found nothing.

    `locks_pin` says that it was a wrong PIN too many.
    """

    record: Record | None
    replayed: bool
    locks_pin: bool = False


Decided = Answer | DomainError


class BatchProcessor:
    """Decides batches.  Not thread-safe: it belongs to the writer's one thread."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        new_id: Callable[[int, str | None], str],
        pin_matches: Callable[[str, str, str], bool],
    ) -> None:
        self._clock = clock
        self._new_id = new_id
        self._loader = WorldLoader(new_id=new_id, pin_matches=pin_matches)
        self._last_time = 0

    def run(
        self, connection: Connection, envelopes: Sequence[Envelope]
    ) -> tuple[list[Decided], bool]:
        """Returns an outcome for each envelope, and whether there is anything to commit."""
        requests = [request_of(envelope) for envelope in envelopes]
        world = self._loader.load(connection, requests)
        if not self._last_time:
            self._last_time = loading.last_commit_time(connection)
        for card in world.cards.values():
            self._last_time = max(self._last_time, card.update_time)
        for record in world.records_by_id.values():
            self._last_time = max(self._last_time, record.decided_time)
        changes = Changes()
        outcomes = [self._answer(world, changes, request) for request in requests]
        rejected = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)]
        if rejected:
            found = self._look_again(connection, world, [requests[n] for n in rejected])
            for n in rejected:
                if requests[n].key in found:
                    outcomes[n] = _replay(found[requests[n].key], requests[n], changes)
        self._write(connection, changes)
        return outcomes, not changes.is_empty()

    def _now(self) -> int:
        """Ledger time: later than every decision it builds on, whatever the clock does.

        A clock that steps back, also across a restart or between processes, revives nothing.
        """
        self._last_time = max(self._last_time + 1, self._clock())
        return self._last_time

    def _answer(self, world: World, changes: Changes, request: Request) -> Decided:
        existing = world.records.get(request.key)
        envelope = request.envelope
        if existing is not None:
            return _replay(existing, request, changes)
        if isinstance(envelope.command, LookupRequest):
            if not envelope.command.seal:
                return Answer(None, replayed=False)
            record = self._record(request, self._now(), Decision())
            record.state = TransactionState.SEALED
            record.refusal_reason = "REQUEST_SEALED"
            self._keep(world, changes, record)
            return Answer(record, replayed=False)
        now = self._now()
        try:
            decision = decide(world, envelope, now)
        except Refused as refusal:
            effect, locks_pin = Decision(), False
            if isinstance(refusal, RefusedWithEffect):
                effect, locks_pin = refusal.effect, refusal.locks_pin
            record = self._approve(world, changes, request, effect, now, refusal)
            return Answer(record, replayed=False, locks_pin=locks_pin)
        except Rejected as rejection:
            return rejection
        if isinstance(envelope.command, CheckPin) and not decision.card_changes:
            # The right PIN and nothing to forgive: it had to wait its turn behind the guesses
            # before it, but there is nothing to remember.
            return Answer(None, replayed=False)
        record = self._approve(world, changes, request, decision, now)
        if decision.tombstone is not None:
            self._bury(world, changes, request, decision.tombstone, now)
        return Answer(record, replayed=False)

    def _look_again(
        self, connection: Connection, world: World, rejected: Sequence[Request]
    ) -> dict[bytes, Record]:
        """Finds those of the rejected that another process has carried out meanwhile.

        A rejection writes nothing, so the unique key of requests does not stand in its way: what
        the first sending did (the code is taken, the card has changed) would be held against its
        own retry.
        """
        keys = {request.key for request in rejected} - world.records.keys()
        cells = sorted({request.envelope.caller.cell for request in rejected})
        records = loading.load_records(connection, "request_key", list(keys), cells)
        return {record.request_key: record for record in records}

    def _bury(
        self, world: World, changes: Changes, request: Request, request_id: str, now: int
    ) -> None:
        """Seals a request id that was reversed before it arrived: the late original is refused."""
        key = request_key(request.envelope.caller, request_id)
        record = self._record(request, now, Decision())
        record.kind, record.state = Kind.SEAL, TransactionState.SEALED
        record.request_id, record.request_key = request_id, key
        record.refusal_reason = "REVERSED_BEFORE_ARRIVAL"
        record.target_id = None
        self._keep(world, changes, record)

    def _approve(
        self,
        world: World,
        changes: Changes,
        request: Request,
        decision: Decision,
        now: int,
        refusal: Refused | None = None,
    ) -> Record:
        """Carries a decision out in memory and turns it into the rows that tell of it."""
        apply(decision, world, now)
        record = self._record(request, now, decision)
        if refusal is not None:
            record.state = TransactionState.REFUSED
            record.refusal_reason = refusal.reason
            record.refusal_metadata = refusal.metadata
            record.card_id = record.card_id or _named_card(world, request.envelope)
        record.postings = [
            PostingRow(
                number, posting.debit, posting.credit, posting.amount, posting.movement,
                posting.card_id, posting.account.id if posting.account else None,
                int(posting.account.origin) if posting.account else None,
                posting.balance_after, posting.reverses_transaction, posting.reverses_line,
            )
            for number, posting in enumerate(decision.postings, start=1)
        ]  # fmt: skip
        self._keep(world, changes, record, decision, now)
        if refusal is None:
            changes.rows += request.envelope.changes
        return record

    def _record(self, request: Request, now: int, decision: Decision) -> Record:
        envelope = request.envelope
        caller, context, location = envelope.caller, envelope.context, envelope.location
        hold = decision.hold
        return Record(
            id=self._new_id(now, None),
            cell=caller.cell,
            kind=envelope.command.kind,
            state=TransactionState.APPROVED,
            merchant_id=caller.merchant_id,
            book=caller.book,
            client_id=caller.client_id,
            actor_kind=caller.actor_kind,
            request_id=envelope.request_id,
            request_key=request.key,
            fingerprint=request.fingerprint,
            command=request.canonical,
            result_json="",
            result=Result(extras=decision.extras),
            decided_time=now,
            effective_time=now,
            received_time=envelope.received_time,
            client_time=envelope.client_time,
            business_date=calendar.local_date(now, location.time_zone).isoformat(),
            unit=decision.unit,
            requested=decision.requested,
            approved=decision.approved,
            location_id=location.id,
            entity=location.entity,
            terminal=context.terminal,
            operator=context.operator,
            receipt=context.receipt,
            reason=context.reason,
            dialect=envelope.dialect,
            card_id=decision.cards[0].id if decision.cards else None,
            hold_id=hold.id if hold is not None else None,
            target_id=decision.target_id,
        )

    def _keep(
        self,
        world: World,
        changes: Changes,
        record: Record,
        decision: Decision | None = None,
        now: int = 0,
    ) -> None:
        """Freezes the answer, extends the chains, and remembers what must be written."""
        if decision is not None:
            for card in decision.cards:
                _extend(card, record, decision)
            record.result.cards = [view_card(card, now) for card in decision.cards]
            if decision.hold is not None:
                record.result.hold = view_hold(decision.hold, record.unit, now)
            _remember(changes, record, decision)
        record.result_json = orjson.dumps(record.result).decode()
        digest = record.digest()
        for entry in record.entries:
            entry.hash = entry_hash(entry.previous, entry, digest)
            world.cards[entry.card_id].head = entry.hash
        changes.records.append(record)
        changes.digests[record.id] = digest
        world.add_record(record)

    def _write(self, connection: Connection, changes: Changes) -> None:
        if changes.is_empty():
            return
        feeds: dict[tuple[str, int, int], tuple[str, list[Record]]] = {}
        commits: dict[str, tuple[str, int]] = {}
        for record in changes.records:
            key = (record.merchant_id, int(record.book), record.cell)
            if key not in feeds:
                feeds[key] = (self._new_id(record.decided_time, None), [])
            commit_id, records = feeds[key]
            commits[record.id] = (commit_id, len(records))
            records.append(record)
        writing.write(connection, changes, commits)
        for key in sorted(feeds):
            commit_id, records = feeds[key]
            decided = [(record.id, changes.digests[record.id]) for record in records]
            writing.advance_feed(connection, key, commit_id, decided, self._last_time)


def _named_card(world: World, envelope: Envelope) -> str | None:
    """The card a refused command was about, so that support finds the refusal by the card."""
    for ref in envelope.command.cards():
        return ref.id or world.card_id_of_code(ref.code_hash)
    for customer in envelope.command.customers():
        return world.wallet_id(envelope.caller, customer)
    return None


def _replay(existing: Record, request: Request, changes: Changes) -> Decided:
    """The first answer again; a request id that was used for something else is refused."""
    looking = isinstance(request.envelope.command, LookupRequest)
    sealed = existing.state is TransactionState.SEALED
    if not (looking or sealed) and existing.fingerprint != request.fingerprint:
        return Rejected("REQUEST_ID_REUSED", transaction=existing.id)
    if existing.id not in changes.digests:
        changes.replayed.append(existing)
    if sealed and not looking:
        return Rejected(existing.refusal_reason, transaction=existing.id)
    return Answer(existing, replayed=True)


def _extend(card: Card, record: Record, decision: Decision) -> None:
    amount = 0
    for posting in decision.postings:
        if posting.card_id == card.id:
            amount += posting.signed_amount()
    card.sequence += 1
    balance, held = card.ledger_balance(), card.ledger_held()
    record.entries.append(
        EntryRow(card.id, card.cell, card.sequence, balance, held, int(card.state), card.head, "")
    )
    record.result.entries.append(EntryView(card.id, card.sequence, amount, balance, held))


def _remember(changes: Changes, record: Record, decision: Decision) -> None:
    for card in decision.cards:
        changes.touched[card.id] = card
    for card, _ in decision.card_changes:
        changes.changed.add(card.id)
    for posting in decision.postings:
        if posting.account is not None:
            changes.accounts[posting.account.id] = posting.account
    for _, account in decision.new_accounts:
        changes.accounts[account.id] = account
    changes.codes += [(card, material) for card, material in decision.new_cards if material]
    for code, material in decision.new_codes:
        code.reservation_id = record.id
        changes.new_codes.append((code, material, record))
    for taken in decision.code_changes:
        changes.old_codes[taken.code.code_hash] = (taken.code, record.cell)
    for card, hold in decision.new_holds:
        changes.holds[hold.id] = (hold, record.id)
        record.new_holds.append(hold)
        _held_accounts(changes, card, {line.account_id for line in hold.lines})
    for change in decision.hold_changes:
        card = changes.touched[change.hold.card_id]
        changes.holds.setdefault(change.hold.id, (change.hold, record.id))
        _held_accounts(changes, card, set(change.released))


def _held_accounts(changes: Changes, card: Card, account_ids: set[str]) -> None:
    for account in card.accounts:
        if account.id in account_ids:
            changes.accounts[account.id] = account
