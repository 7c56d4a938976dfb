"""What a caller asks for.  One frozen class per operation; its fields are its whole meaning.

The fields of a command and of its context, and nothing else, make the fingerprint by which a
replay is told from a reused request id.  So no secret, no clock and nothing random stands in a
command: a code appears as its keyed hash, so does a PIN that is to be set (`new_pin`), and what
the edge makes up (a generated code, the id of a new card) or what only proves who asks (the PIN
typed at the till) travels beside it in the `Envelope`.
"""

from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

from server.domain.code import CodeFormat
from server.domain.errors import DomainError
from server.domain.model import Book, Disposition, Kind, Origin, SpendOrder


@dataclass(frozen=True, slots=True)
class Amount:
    """Minor units of `unit`; the unit is checked against the card's, never converted."""

    minor_units: int
    unit: str


@dataclass(frozen=True, slots=True)
class CardRef:
    """Exactly one is set: the card's id, or the keyed hash of its code (hexadecimal).

    The hash is always made with the oldest key there is, so that a request means the same after
    the key was rotated; `Envelope.aliases` has the hashes under the other keys.
    """

    id: str = ""
    code_hash: str = ""


@dataclass(frozen=True, slots=True)
class TransactionRef:
    """Exactly one is set: the transaction's id, or the request id that the same client used."""

    id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """Where and by whom at the till.  `location_id` is the merchant's own name for the place."""

    location_id: str = ""
    terminal: str = ""
    operator: str = ""
    receipt: str = ""
    reason: str = ""


NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a caller may set on one card; None leaves it to the program."""

    max_balance: Amount | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    reload_allowed: bool | None = None
    return_allowed: bool | None = None
    partial_redeem_allowed: bool | None = None
    batch: str = ""
    customer: str = ""
    external_reference: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands; `kind` names the transaction that it becomes."""

    kind: ClassVar[Kind]

    def cards(self) -> tuple[CardRef, ...]:
        """The cards it names.  Cards reached through a hold or transaction are found by those."""
        return ()

    def customers(self) -> tuple[str, ...]:
        """The customers who must be known, by the merchant's own numbers."""
        return ()


@dataclass(frozen=True, slots=True)
class NewCard(Command):
    """`code_hash` is empty where the server makes the code, then in `code_format` if given.

    `points` of the policy's customer pay for the card; 0 where money does.
    """

    program: str
    code_hash: str
    policy: Policy
    _: KW_ONLY
    code_format: CodeFormat | None = None
    require_reserved_code: bool = False
    require_customer: bool = False
    points: int = 0
    new_pin: str = ""

    def customers(self) -> tuple[str, ...]:
        return (self.policy.customer,) if self.require_customer or self.points else ()


@dataclass(frozen=True, slots=True)
class CreateGiftCard(NewCard):
    kind = Kind.CREATE


@dataclass(frozen=True, slots=True)
class IssueGiftCard(NewCard):
    kind = Kind.ISSUE
    amount: Amount
    origin: Origin = Origin.PAID
    tranche_valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class _OneCard(Command):
    card: CardRef

    def cards(self) -> tuple[CardRef, ...]:
        return (self.card,)


@dataclass(frozen=True, slots=True)
class ActivateGiftCard(_OneCard):
    kind = Kind.ACTIVATE
    amount: Amount
    valid_from: str | None = None
    valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class LoadGiftCard(_OneCard):
    kind = Kind.LOAD
    amount: Amount
    origin: Origin = Origin.PAID
    tranche_valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class RedeemGiftCard(_OneCard):
    kind = Kind.REDEEM
    amount: Amount
    allow_partial: bool = False


@dataclass(frozen=True, slots=True)
class RedeemGiftCards(Command):
    kind = Kind.REDEEM_MANY
    card_refs: tuple[CardRef, ...]
    amount: Amount
    allow_partial: bool = False
    order: SpendOrder = SpendOrder.AS_GIVEN

    def cards(self) -> tuple[CardRef, ...]:
        return self.card_refs


@dataclass(frozen=True, slots=True)
class RefundGiftCard(Command):
    kind = Kind.REFUND
    target: TransactionRef
    amount: Amount


@dataclass(frozen=True, slots=True)
class AuthorizeGiftCard(_OneCard):
    """`amount` None holds the whole available balance."""

    kind = Kind.AUTHORIZE
    amount: Amount | None
    allow_partial: bool = False
    exclusive: bool = False
    expire_after_seconds: int | None = None
    sale_reference: str = ""


@dataclass(frozen=True, slots=True)
class CaptureHold(Command):
    """`amount` None captures all that remains; `final` returns the rest to the card."""

    kind = Kind.CAPTURE
    hold_id: str
    amount: Amount | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class VoidHold(Command):
    kind = Kind.VOID
    hold_id: str


@dataclass(frozen=True, slots=True)
class ReverseTransaction(Command):
    kind = Kind.REVERSE
    target: TransactionRef


@dataclass(frozen=True, slots=True)
class LockGiftCard(_OneCard):
    kind = Kind.LOCK


@dataclass(frozen=True, slots=True)
class UnlockGiftCard(_OneCard):
    kind = Kind.UNLOCK


@dataclass(frozen=True, slots=True)
class CloseGiftCard(_OneCard):
    kind = Kind.CLOSE
    disposition: Disposition = Disposition.REQUIRE_ZERO
    target: CardRef | None = None

    def cards(self) -> tuple[CardRef, ...]:
        return (self.card,) if self.target is None else (self.card, self.target)


@dataclass(frozen=True, slots=True)
class TransferBalance(Command):
    """`amount` None moves the whole available balance."""

    kind = Kind.TRANSFER
    source: CardRef
    target: CardRef
    amount: Amount | None = None
    close_source: bool = False

    def cards(self) -> tuple[CardRef, ...]:
        return (self.source, self.target)


@dataclass(frozen=True, slots=True)
class AdjustGiftCard(_OneCard):
    """A signed correction: positive adds value, negative takes it."""

    kind = Kind.ADJUST
    amount: Amount


@dataclass(frozen=True, slots=True)
class UpdateGiftCard(_OneCard):
    """`fields` says which of `policy` (and `pin`) apply; money and state are not among them."""

    kind = Kind.UPDATE
    fields: tuple[str, ...]
    policy: Policy
    etag: str = ""
    new_pin: str = ""


@dataclass(frozen=True, slots=True)
class CheckPin(_OneCard):
    """Checks a PIN where the answer must be counted: wrong ones close the card's PIN."""

    kind = Kind.CHECK_PIN


@dataclass(frozen=True, slots=True)
class ReserveCodes(Command):
    """`count` as asked: how many are made is for the edge, which has a limit.

    `program` may be empty where there is a `code_format`.
    """

    kind = Kind.RESERVE_CODES
    program: str
    count: int
    agency: str
    label: str = ""
    expire_after_seconds: int | None = None
    code_format: CodeFormat | None = None


@dataclass(frozen=True, slots=True)
class ReleaseCodes(Command):
    """Exactly one is set: the reservation's id, or the keyed hashes of codes, as in `CardRef`."""

    kind = Kind.RELEASE_CODES
    reservation_id: str = ""
    code_hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateCustomer(Command):
    kind = Kind.ADMIN
    new_customer: str
    external_reference: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _OneCustomer(Command):
    customer: str

    def customers(self) -> tuple[str, ...]:
        return (self.customer,)


@dataclass(frozen=True, slots=True)
class UpdateCustomer(_OneCustomer):
    """`fields` says which of the rest apply."""

    kind = Kind.ADMIN
    fields: tuple[str, ...]
    external_reference: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    etag: str = ""


@dataclass(frozen=True, slots=True)
class EarnPoints(_OneCustomer):
    kind = Kind.EARN_POINTS
    points: int
    valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class AdjustPoints(_OneCustomer):
    """A signed correction: positive adds points, negative takes them."""

    kind = Kind.ADJUST
    points: int


@dataclass(frozen=True, slots=True)
class AuthorizePoints(_OneCustomer):
    """`points` None holds all that are available."""

    kind = Kind.AUTHORIZE
    points: int | None
    allow_partial: bool = False
    expire_after_seconds: int | None = None
    sale_reference: str = ""


@dataclass(frozen=True, slots=True)
class LookupRequest(Command):
    """What became of the envelope's request id?  `seal` makes "never seen" final."""

    kind = Kind.SEAL
    seal: bool


@dataclass(frozen=True, slots=True)
class Administer(Command):
    """A change to the merchant's own set-up (program, location, client, credential).

    `resource` names what kind of thing, `action` what is done, `body` what is asked for, without
    secrets.  What the server makes of it travels beside it in the envelope: the rows in
    `changes`, what the answer shows in `facts`, and why it cannot be done in `objection`.
    """

    kind = Kind.ADMIN
    resource: str
    action: str
    name: str
    body: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class RowChange:
    """A row of the merchant's set-up to insert, or to change where `keys` match."""

    table: str
    values: dict[str, object]
    keys: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the credential says; never from a field of the request."""

    merchant_id: str
    client_id: str
    cell: int
    book: Book = Book.LIVE
    time_zone: str = "UTC"
    actor_kind: str = "client"
    manages: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """A store as the ledger needs it: the name it has in postings, its clock, who owes there."""

    id: str = ""
    time_zone: str = "UTC"
    entity: str = ""
    country_code: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class CodeMaterial:
    """What the edge made for a new card: identity and secrets, the latter only encrypted.

    A reserved code has no card yet.
    """

    card_id: str
    code_hash: bytes
    ciphertext: bytes
    last_four: str
    key_version: int
    pin_hash: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """A command on its way to the ledger with what is not part of its meaning.

    `pins` are the PINs typed at the till, by the card they were typed for: never stored.
    `changes`, `facts` and `objection` belong to `Administer`.
    """

    caller: Caller
    request_id: str
    command: Command
    context: Context = NO_CONTEXT
    location: Location = Location()
    received_time: int = 0
    client_time: int | None = None
    dialect: str = ""
    material: CodeMaterial | None = None
    reserved: tuple[CodeMaterial, ...] = ()
    pins: dict[CardRef, str] = field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    changes: tuple[RowChange, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)
    objection: DomainError | None = None
