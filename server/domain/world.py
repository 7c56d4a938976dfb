"""The state that a batch decides on: what was loaded, and what earlier decisions made of it.

Look-ups answer with the typed "not found" of the published precedence, and answer another
merchant's and another book's card exactly as an unknown one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from server.domain.commands import Caller, CardRef, CodeMaterial, TransactionRef
from server.domain.currency import POINTS
from server.domain.errors import Rejected
from server.domain.model import Card, Code, Hold, Program
from server.domain.record import Record


def no_pins(card_id: str, pin: str, stored_hash: str) -> bool:
    raise RuntimeError("this world was built without the means to check a PIN")


@dataclass(slots=True)
class World:
    cards: dict[str, Card] = field(default_factory=dict)
    card_by_code: dict[str, str] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    wallets: dict[tuple[str, int, str], str] = field(default_factory=dict)
    hold_card: dict[str, str] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    programs: dict[tuple[str, str], Program] = field(default_factory=dict)
    program_versions: dict[tuple[str, int], Program] = field(default_factory=dict)
    records: dict[bytes, Record] = field(default_factory=dict)
    records_by_id: dict[str, Record] = field(default_factory=dict)
    followers: dict[str, list[Record]] = field(default_factory=dict)
    request_key: Callable[[Caller, str], bytes] = lambda caller, request_id: b""
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pin_matches: Callable[[str, str, str], bool] = no_pins
    new_id: Callable[[int, str | None], str] = lambda now, like: ""

    def card(self, caller: Caller, ref: CardRef) -> Card:
        card = self.cards.get(ref.id or self.card_id_of_code(ref.code_hash) or "")
        if card is None or card.merchant_id != caller.merchant_id or card.book != caller.book:
            raise Rejected("GIFT_CARD_NOT_FOUND")
        if card.unit == POINTS:
            raise Rejected("GIFT_CARD_NOT_FOUND")
        return card

    def wallet_id(self, caller: Caller, customer: str) -> str | None:
        return self.wallets.get((caller.merchant_id, int(caller.book), customer))

    def wallet(self, caller: Caller, customer: str) -> Card:
        """The customer, which is to say its points."""
        card_id = self.wallet_id(caller, customer)
        if card_id is None:
            raise Rejected("CUSTOMER_NOT_FOUND", customer=f"customers/{customer}")
        return self.cards[card_id]

    def card_id_of_code(self, code_hash: str) -> str | None:
        """The card with this code, whichever version of the key its hash was stored under."""
        found = self.card_by_code.get(code_hash)
        if found is None:
            for alias in self.aliases.get(code_hash, ()):
                found = found or self.card_by_code.get(alias)
        return found

    def code(self, code_hash: str) -> Code | None:
        """What is known of a code, whichever version of the key its hash was stored under."""
        for each in (code_hash, *self.aliases.get(code_hash, ())):
            if each in self.codes:
                return self.codes[each]
        return None

    def codes_of(self, reservation_id: str) -> list[Code]:
        """The codes of a reservation, in the order in which they were made."""
        found = [code for code in self.codes.values() if code.reservation_id == reservation_id]
        return sorted(found, key=lambda code: code.line or 0)

    def hold(self, caller: Caller, hold_id: str) -> tuple[Card, Hold]:
        hold = self.holds.get(hold_id)
        card = self.cards.get(hold.card_id) if hold is not None else None
        if (
            hold is None
            or card is None
            or card.merchant_id != caller.merchant_id
            or card.book != caller.book
        ):
            raise Rejected("HOLD_NOT_FOUND")
        return card, hold

    def program(self, caller: Caller, code: str) -> Program:
        program = self.programs.get((caller.merchant_id, code))
        if program is None:
            raise Rejected("PROGRAM_NOT_FOUND")
        return program

    def program_of(self, card: Card) -> Program:
        return self.program_versions[card.program_id, card.program_version]

    def transaction(self, caller: Caller, ref: TransactionRef) -> Record | None:
        """The transaction meant, or None when its request id was never seen."""
        if ref.request_id:
            return self.records.get(self.request_key(caller, ref.request_id))
        record = self.records_by_id.get(ref.id)
        if record is None or record.merchant_id != caller.merchant_id or record.book != caller.book:
            raise Rejected("TRANSACTION_NOT_FOUND")
        return record

    def add_card(self, card: Card, material: CodeMaterial | None) -> None:
        self.cards[card.id] = card
        if card.is_wallet:
            self.wallets[card.merchant_id, int(card.book), card.customer] = card.id
        if material is not None:
            self.card_by_code[material.code_hash.hex()] = card.id

    def add_record(self, record: Record) -> None:
        self.records[record.request_key] = record
        self.records_by_id[record.id] = record
        if record.target_id is not None:
            self.followers.setdefault(record.target_id, []).append(record)
        for hold in record.new_holds:
            self.holds[hold.id] = hold
