"""The rules alone: `decide` and `apply` on a world in memory, without a database or a thread.

What the ledger does around the rules (keep the first answer of a request id, seal ids) is here in
its shortest form, so that tables about refunds and reversals have transactions to refer to.
"""

from itertools import count

from server.domain import decide as rules
from server.domain.commands import Envelope, Location, LookupRequest
from server.domain.decision import Decision, apply
from server.domain.errors import Refused, Rejected
from server.domain.model import Account, Card, Code, Hold, TransactionState
from server.domain.record import EntryRow, PostingRow, Record, Result, view_card, view_hold
from server.domain.rules import RefusedWithEffect
from server.domain.world import World
from tests.in_process import Translator, figures_of, pin_matches, program
from tests.operations import CardFigures, Clock, Outcome, Request
from tests.programs import PROGRAMS

MERCHANT = "merchant"


def request_key(caller: object, request_id: str) -> bytes:
    return f"{caller}/{request_id}".encode()


def _check_whole(decision: Decision) -> None:
    """What the ledger relies on when it writes a decision."""
    cards = [card.id for card in decision.cards]
    assert len(cards) == len(set(cards)), "a transaction is one link of a card's chain"
    changed = {posting.card_id for posting in decision.postings}
    changed |= {change.hold.card_id for change in decision.hold_changes}
    changed |= {card.id for card, _ in (*decision.card_changes, *decision.new_holds)}
    assert changed <= set(cards), "a change stands in the chain of its card"
    made: list[Card | Code | Account | Hold] = [card for card, _ in decision.new_cards]
    made += [code for code, _ in decision.new_codes]
    made += [account for _, account in decision.new_accounts]
    made += [hold for _, hold in decision.new_holds]
    assert all(each.is_new for each in made), "what is not new is never inserted"


class MemoryLedger:
    """One merchant's cards in memory."""

    def __init__(self, now: int, location: Location | None = None) -> None:
        self.clock = Clock(now)
        self._last_time = 0
        self._ids = count(1)
        self.world = World(
            request_key=request_key, pin_matches=pin_matches, new_id=lambda now, like: self._id()
        )
        for code in PROGRAMS:
            facts = program(MERCHANT, code)
            self.world.programs[MERCHANT, code] = facts
            self.world.program_versions[facts.id, facts.version] = facts
        self.translator = Translator(MERCHANT, self._id, location or Location())

    def perform(self, request: Request) -> Outcome:
        envelope = self.translator.envelope(request, self.clock.now)
        key = request_key(envelope.caller, request.id)
        existing = self.world.records.get(key)
        if existing is not None:
            return self.translator.outcome(request, existing, None, replayed=True)
        assert not isinstance(envelope.command, LookupRequest), "looking up is the ledger's part"
        now = self._last_time = max(self._last_time + 1, self.clock.now)
        try:
            decision = rules.decide(self.world, envelope, now)
        except Rejected as rejection:
            return self.translator.outcome(request, None, rejection, replayed=False)
        except Refused as refusal:
            effect = refusal.effect if isinstance(refusal, RefusedWithEffect) else Decision()
            record = self._keep(envelope, key, effect, now, refusal)
        else:
            record = self._keep(envelope, key, decision, now)
            if decision.tombstone is not None:
                self._bury(envelope, decision.tombstone, now)
        return self.translator.outcome(request, record, None, replayed=False)

    def figures(self, card: str, book: str = "LIVE") -> CardFigures:
        """The card as it is now."""
        ids = {handle: card_id for card_id, handle in self.translator.handles.items()}
        now = max(self._last_time, self.clock.now)
        return figures_of(self.world.cards[ids[card, book]], now)

    def _id(self) -> str:
        # In the order of age, and amid the names of the system accounts.
        return f"f{next(self._ids):031x}"

    def _keep(
        self,
        envelope: Envelope,
        key: bytes,
        decision: Decision,
        now: int,
        refusal: Refused | None = None,
    ) -> Record:
        _check_whole(decision)
        apply(decision, self.world, now)
        record = self._record(envelope, key, decision, now)
        if refusal is not None:
            record.state = TransactionState.REFUSED
            record.refusal_reason = refusal.reason
            record.refusal_metadata = refusal.metadata
        for number, posting in enumerate(decision.postings, start=1):
            assert posting.amount > 0, "a posting moves something"
            assert posting.debit != posting.credit, "a posting moves somewhere"
            named = (posting.reverses_transaction is None, posting.reverses_line is None)
            assert named in ((True, True), (False, False)), "a line is a transaction's"
            account = posting.account
            record.postings.append(
                PostingRow(
                    number,
                    posting.debit,
                    posting.credit,
                    posting.amount,
                    posting.movement,
                    posting.card_id,
                    account.id if account else None,
                    account.origin if account else None,
                    posting.balance_after,
                    posting.reverses_transaction,
                    posting.reverses_line,
                )
            )
        for card in decision.cards:
            record.entries.append(EntryRow(card.id, card.cell, 0, 0, 0, card.state, "", ""))
            record.result.cards.append(view_card(card, now))
        for code, _ in decision.new_codes:
            code.reservation_id = record.id
        record.new_holds = [hold for _, hold in decision.new_holds]
        self.world.add_record(record)
        return record

    def _record(self, envelope: Envelope, key: bytes, decision: Decision, now: int) -> Record:
        caller, hold = envelope.caller, decision.hold
        return Record(
            id=self._id(),
            cell=caller.cell,
            kind=envelope.command.kind,
            state=TransactionState.APPROVED,
            merchant_id=caller.merchant_id,
            book=caller.book,
            client_id=caller.client_id,
            actor_kind=caller.actor_kind,
            request_id=envelope.request_id,
            request_key=key,
            fingerprint=b"",
            command="",
            result_json="",
            result=Result(
                hold=view_hold(hold, decision.unit, now) if hold else None, extras=decision.extras
            ),
            decided_time=now,
            effective_time=now,
            received_time=now,
            client_time=None,
            business_date="",
            unit=decision.unit,
            requested=decision.requested,
            approved=decision.approved,
            hold_id=hold.id if hold else None,
            target_id=decision.target_id,
        )

    def _bury(self, envelope: Envelope, request_id: str, now: int) -> None:
        key = request_key(envelope.caller, request_id)
        record = self._record(envelope, key, Decision(), now)
        record.state = TransactionState.SEALED
        record.refusal_reason = "REVERSED_BEFORE_ARRIVAL"
        self.world.add_record(record)
