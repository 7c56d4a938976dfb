"""The demo merchant: every example of the legacy APIs works against it as printed.

The data is not copied into tables: each fact is a command that the ledger decides, at the instant
when it is said to have happened.  So the demo has a real history, and `giftcard verify` finds it
in order.  Everything happens in one database transaction: a load that is interrupted leaves
nothing behind.

The credentials are printed in the documentation, so they must never be reachable from outside:
see `refuse_exposure`.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server import app
from server.domain import access, administration
from server.domain import code as codes
from server.domain import commands as c
from server.domain.model import Program, TransactionState
from server.ledger import Answer, BatchProcessor
from server.rpc.sealed_codes import code_material
from server.secrets import SecretKeys, hash_password, token_hash
from server.settings import Settings, SettingsError, is_loopback
from server.storage import directory, queries
from server.storage.database import Connection, Database, commit

MERCHANT_ID: Final = "demo"
TIME_ZONE: Final = "America/New_York"
CURRENCY: Final = "USD"

#: Who set the demo up, in the history: nobody has this client's credential.
OPERATOR: Final = "operator"

_SET_UP: Final = "2019-01-02T09:00"
_ALL_SCOPES: Final = (
    "READ", "SELL", "REDEEM", "REFUND", "MANAGE", "ADJUST", "CONFIGURE", "ADMINISTER",
)  # fmt: skip
_TILL_SCOPES: Final = ("READ", "SELL", "REDEEM", "REFUND", "MANAGE")


class DemoError(Exception):
    """The demo data cannot be loaded here; the message says why."""


@dataclass(frozen=True, slots=True)
class DemoLocation:
    code: str
    display_name: str


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client and its one credential as its authorization header has it, though not encoded:
    `Bearer <token>`, or `Basic <login>:<password>`."""

    id: str
    display_name: str
    scopes: tuple[str, ...]
    credential: str
    location: str = ""

    @property
    def token(self) -> str:
        """Empty for a login."""
        scheme, _, token = self.credential.partition(" ")
        return token if scheme == "Bearer" else ""

    @property
    def login(self) -> tuple[str, str]:
        """Login and password; both empty for a token."""
        scheme, _, pair = self.credential.partition(" ")
        login, _, password = pair.partition(":")
        return (login, password) if scheme == "Basic" else ("", "")


@dataclass(frozen=True, slots=True)
class DemoCard:
    """A card and how it came about.  No amount: created for sale.  `issued` is local time."""

    code: str
    program: str
    minor_units: int | None
    issued: str
    client: str
    location: str
    policy: c.Policy = field(default_factory=c.Policy)


LOCATIONS: Final = (
    DemoLocation("1001", "Store 1001"),
    DemoLocation("SHOP1", "Shop 1"),
    DemoLocation("99", "Kirbys Gourmet Gifts"),
    DemoLocation("Website", "Website"),
)

CLIENTS: Final = (
    DemoClient("service", "gRPC and REST", _ALL_SCOPES, "Bearer demo-service-token"),
    DemoClient("cp", "CP Extender", _TILL_SCOPES, "Bearer demo-cp-token", "Website"),
    DemoClient("resico", "Resico", _TILL_SCOPES, "Bearer demo-resico-token"),
    DemoClient("iwarehouse", "iWAREHOUSE", _TILL_SCOPES, "Basic demo:demo", "Website"),
    DemoClient("retail7", "RETAIL7", _TILL_SCOPES, "Basic demo-pos:demo-pos"),
)

#: In the order in which they came about.  The iWAREHOUSE card keeps the expiry that its API's
#: examples print, 4/03/2022: it is active, it is read as printed, and its time is over.
CARDS: Final = (
    DemoCard(
        "GCQ22X9HE1", "GC", 100_00, "2019-03-04T12:00", "iwarehouse", "Website",
        c.Policy(valid_until="2022-03-04"),
    ),
    DemoCard("WEB-9198262557214413", "GC", 100_00, "2020-02-25T12:00", "cp", "99"),
    DemoCard("12399", "GC", 25_00, "2021-02-20T10:00", "retail7", "1001"),
    DemoCard("1234567", "GC", None, "2021-02-20T10:05", "retail7", "1001"),
    DemoCard(
        "12300", "GC", 10_00, "2021-02-20T10:10", "retail7", "1001",
        c.Policy(reload_allowed=True),
    ),
    DemoCard("DYN0000001", "DYN", 50_00, "2021-02-20T10:15", "resico", "SHOP1"),
)  # fmt: skip


#: The ids that the CP examples reserve and create a card with.
RESERVED: Final = (
    "99-53235753896117470", "99-36031997041479042", "99-81763963807794691", "99-58504335524900568",
    "99-93039730381900456", "99-41923731872470201", "99-53986110152642044", "99-63765562191658989",
    "99-40678072221435293", "99-48349826419356375",
)  # fmt: skip

#: The customer of the CP examples, and the points to begin with.
CUSTOMER: Final = "2059378440"
POINTS: Final = 10_000
_CUSTOMER_SINCE: Final = "2021-02-20T10:20"


def programs() -> tuple[Program, ...]:
    """The demo programs, without ids and times, which are given when they are created."""
    return (
        Program(
            "", 1, MERCHANT_ID, "GC", "Gift card", CURRENCY,
            min_amount=1_00, max_amount=500_00, max_balance=500_00, code_prefix="GC",
            points_per_major_unit=100,
        ),
        Program(
            "", 1, MERCHANT_ID, "GC25", "Gift card, 25 dollars", CURRENCY,
            denominations=(25_00,), value_change_allowed=False, reload_allowed=False,
        ),
        Program("", 1, MERCHANT_ID, "DYN", "Dynamic card", CURRENCY, holds_allowed=False),
    )  # fmt: skip


def load(database: Database, keys: SecretKeys) -> bool:
    """Loads the demo data into an empty database; False when the demo merchant is there already.

    Raises:
        DemoError: the database has other merchants, which the demo must not come near.
    """
    with database.connect_writer() as connection:
        merchants = queries.merchants_page(connection, limit=2)
        if any(merchant.id == MERCHANT_ID for merchant in merchants) or (
            merchants and queries.merchant(connection, MERCHANT_ID) is not None
        ):
            return False
        if merchants:
            raise DemoError(
                "The database has a merchant already, so the demo data is not loaded into it."
                " Name another one: GIFTCARD_DATABASE_URL=sqlite:///var/demo.db"
            )
        _Loader(connection, keys).run()
        commit(connection)
    return True


def refuse_exposure(settings: Settings, database: Database) -> None:
    """Raises SettingsError where the well-known credentials could be used by strangers."""
    local = is_loopback("GIFTCARD_GRPC_ADDRESS", settings.grpc_address)
    if local and not settings.production:
        return
    with database.connect_reader() as connection:
        usable = any(_is_usable(connection, client) for client in CLIENTS)
    if usable:
        raise SettingsError(
            "The database has the demo merchant, whose credentials everybody knows. Serve it on a"
            " loopback address in the development profile only, or revoke its credentials."
        )


def _is_usable(connection: Connection, client: DemoClient) -> bool:
    if client.token:
        return directory.principal_of_token(connection, token_hash(client.token)) is not None
    found = directory.principal_of_login(connection, client.login[0])
    return found is not None and (found.merchant_id, found.client_id) == (MERCHANT_ID, client.id)


def instant(local_time: str) -> int:
    """Microseconds since the epoch of a wall clock time at the demo's locations."""
    moment = datetime.fromisoformat(local_time).replace(tzinfo=ZoneInfo(TIME_ZONE))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class _Loader:
    """Decides the demo's history, one command after the other, on a clock that it sets."""

    def __init__(self, connection: Connection, keys: SecretKeys) -> None:
        self._connection = connection
        self._keys = keys
        self._now = instant(_SET_UP)
        self._processor: BatchProcessor = app.make_processor(keys, now=lambda: self._now)
        self._owner = administration.Owner(MERCHANT_ID, administration.home_cell(MERCHANT_ID))
        self._locations = {
            each.code: c.Location(each.code, TIME_ZONE, country_code="US") for each in LOCATIONS
        }

    def run(self) -> None:
        self._set_up()
        for card in CARDS:
            self._now = instant(card.issued)
            self._make_card(card)
        self._now = instant(_CUSTOMER_SINCE)
        self._make_customer()
        self._reserve_codes()

    def _decide(self, envelope: c.Envelope) -> None:
        (outcome,), _ = self._processor.run(self._connection, [envelope])
        approved = (
            isinstance(outcome, Answer)
            and outcome.record is not None
            and outcome.record.state is TransactionState.APPROVED
        )
        assert approved, f"the demo's {envelope.request_id} was not approved"

    def _caller(self, client_id: str) -> c.Caller:
        return c.Caller(MERCHANT_ID, client_id, self._owner.cell, time_zone=TIME_ZONE)

    def _new_id(self) -> str:
        return app.make_id(self._now, None)

    # Set-up

    def _set_up(self) -> None:
        now = self._now
        merchant = administration.Merchant(MERCHANT_ID, "Demo merchant", TIME_ZONE, now, now)
        effect = administration.create_merchant(merchant, None)
        self._administer("merchant", f"merchants/{MERCHANT_ID}", effect)
        for location in LOCATIONS:
            site = administration.Site(
                self._new_id(), location.code, location.display_name, "US", TIME_ZONE, "", now, now
            )
            effect = administration.create_location(self._owner, site, None)
            self._administer("location", f"locations/{location.code}", effect)
        for plan in programs():
            terms = {"id": self._new_id(), "create_time": now, "update_time": now}
            program = administration.with_terms(plan, terms)
            effect = administration.create_program(self._owner, program, None)
            self._administer("program", f"programs/{plan.code}", effect)
        for client in CLIENTS:
            self._set_up_client(client)

    def _set_up_client(self, plan: DemoClient) -> None:
        now, held = self._now, frozenset(_ALL_SCOPES)
        client = access.Client(
            plan.id, MERCHANT_ID, plan.display_name, plan.scopes, plan.location,
            administration.ENABLED, now, now,
        )  # fmt: skip
        name = f"merchants/{MERCHANT_ID}/apiClients/{plan.id}"
        effect = access.create_client(self._owner, client, None, held)
        self._administer("apiClient", name, effect)
        kind = access.TOKEN if plan.token else access.PASSWORD
        credential = access.Credential(
            self._new_id(), MERCHANT_ID, plan.id, kind, plan.login[0], None, None, now
        )
        effect = access.create_credential(
            self._owner, client, credential, (), held, login_taken=False, now=now
        )
        effect = access.with_secret(effect, _stored(plan))
        self._administer("credential", f"{name}/credentials/{credential.id}", effect)

    def _administer(self, resource: str, name: str, effect: administration.Effect) -> None:
        # A credential's own id is random, and its client has but one.
        known = name.rpartition("/")[0] if resource == "credential" else name
        self._decide(
            c.Envelope(
                self._caller(OPERATOR),
                f"demo/create/{known}",
                c.Administer(resource, "create", name),
                location=c.Location(time_zone=TIME_ZONE),
                received_time=self._now,
                changes=effect.changes,
                facts=effect.facts,
            )
        )

    # Cards

    def _make_card(self, card: DemoCard) -> None:
        caller = self._caller(card.client)
        normalized = codes.normalize(card.code)
        oldest, *others = self._hashes(caller, normalized)
        command: c.Command
        if card.minor_units is None:
            action = "create"
            command = c.CreateGiftCard(card.program, oldest, card.policy)
        else:
            action = "issue"
            amount = c.Amount(card.minor_units, CURRENCY)
            command = c.IssueGiftCard(card.program, oldest, card.policy, amount)
        self._decide(
            c.Envelope(
                caller,
                f"demo/{action}/{card.program}/{CARDS.index(card) + 1}",
                command,
                c.Context(card.location),
                self._locations[card.location],
                self._now,
                material=replace(
                    code_material(self._keys, caller, card.code), card_id=self._new_id()
                ),
                aliases={oldest: tuple(others)} if others else {},
            )
        )

    def _make_customer(self) -> None:
        commands: tuple[c.Command, ...] = (
            c.CreateCustomer(CUSTOMER),
            c.EarnPoints(CUSTOMER, POINTS),
        )
        for action, command in zip(("create", "earn"), commands, strict=True):
            self._decide(self._of_shop(f"{action}/customer", command))

    def _reserve_codes(self) -> None:
        command = c.ReserveCodes("", len(RESERVED), "Website", "Web001")
        caller = self._caller("cp")
        made = tuple(code_material(self._keys, caller, code) for code in RESERVED)
        self._decide(replace(self._of_shop("reserve/codes", command), reserved=made))

    def _of_shop(self, request_id: str, command: c.Command) -> c.Envelope:
        """A command of the CP client, at the location that it is bound to."""
        return c.Envelope(
            self._caller("cp"),
            f"demo/{request_id}",
            command,
            c.Context("Website"),
            self._locations["Website"],
            self._now,
        )

    def _hashes(self, caller: c.Caller, normalized: str) -> list[str]:
        hashes = self._keys.code_hashes_all_versions(caller.merchant_id, caller.book, normalized)
        return [value.hex() for value in hashes]


def _stored(client: DemoClient) -> access.StoredSecret:
    if client.token:
        return access.StoredSecret(token_hash=token_hash(client.token))
    return access.StoredSecret(password_hash=hash_password(client.login[1]))
