"""The tables, for SQLite and PostgreSQL alike.

Every row of the ledger and every key of it contains `cell`, last: a sharding engine can
distribute on it, and a plain one is not slowed by it.  No rule rests on a trigger, a sequence or
a generated column.  The CHECKs and unique keys are the last wall behind the domain's rules.
Instants are microseconds since the epoch; amounts are minor units; ids are UUIDv7 in hexadecimal.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite's STRICT tables know INTEGER, TEXT and BLOB only, and refuse what does not fit.
INT64: Final = BigInteger().with_variant(Integer, "sqlite")
SMALL: Final = SmallInteger().with_variant(Integer, "sqlite")
# Byte order, whatever locale the database was made with: ids are compared millions of times.
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
BYTES: Final = LargeBinary()

#: Far below 2**63: sums of many such amounts still fit.
AMOUNT_LIMIT: Final = 10**15

#: Written out, so that a planner sees that the index of open holds covers what is asked for.
HOLD_IS_OPEN: Final = "state = 1"


def _table(name: str, *items: Any, clustered: bool = True) -> Table:
    """`clustered` keeps the rows in the primary key on SQLite: one tree less to write."""
    return Table(name, metadata, *items, sqlite_strict=True, sqlite_with_rowid=not clustered)


def _required(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _text(name: str) -> Column[Any]:
    """Text that is empty when there is nothing to say, so that nobody tells NULL from ''."""
    return Column(name, TEXT, nullable=False, server_default=text("''"))


history = _table(
    "history",
    _required("id", TEXT),
    _required("create_time", INT64),
    PrimaryKeyConstraint("id"),
)

merchant = _table(
    "merchant",
    _required("id", TEXT),
    _required("home_cell", INT64),
    _required("cells", INT64),
    _text("display_name"),
    _required("time_zone", TEXT),
    _required("state", SMALL),
    _required("create_time", INT64),
    _required("update_time", INT64),
    PrimaryKeyConstraint("id"),
)

legal_entity = _table(
    "legal_entity",
    _required("merchant_id", TEXT),
    _required("code", TEXT),
    _required("cell", INT64),
    _text("display_name"),
    PrimaryKeyConstraint("merchant_id", "code", "cell"),
)

location = _table(
    "location",
    _required("id", TEXT),
    _required("merchant_id", TEXT),
    _required("code", TEXT),
    _required("cell", INT64),
    _text("display_name"),
    _text("country_code"),
    _required("time_zone", TEXT),
    _text("entity_code"),
    _required("create_time", INT64),
    _required("update_time", INT64),
    PrimaryKeyConstraint("merchant_id", "code", "cell"),
)

api_client = _table(
    "api_client",
    _required("id", TEXT),
    _required("merchant_id", TEXT),
    _required("cell", INT64),
    _text("display_name"),
    _required("scopes", TEXT),
    _text("location_code"),
    _required("state", SMALL),
    _required("create_time", INT64),
    _required("update_time", INT64),
    PrimaryKeyConstraint("merchant_id", "id", "cell"),
)

credential = _table(
    "credential",
    _required("id", TEXT),
    _required("client_id", TEXT),
    _required("merchant_id", TEXT),
    _required("cell", INT64),
    _required("kind", SMALL),
    _text("login"),
    Column("token_hash", BYTES),
    Column("password_hash", TEXT),
    Column("expire_time", INT64),
    Column("revoke_time", INT64),
    _required("create_time", INT64),
    PrimaryKeyConstraint("id", "cell"),
    Index("uq_credential_token_hash", "token_hash", unique=True),
    Index("ix_credential_client", "merchant_id", "client_id", "id"),
    Index(
        "uq_credential_login",
        "login",
        unique=True,
        sqlite_where=text("login <> '' AND revoke_time IS NULL"),
        postgresql_where=text("login <> '' AND revoke_time IS NULL"),
    ),
)

program = _table(
    "program",
    _required("id", TEXT),
    _required("merchant_id", TEXT),
    _required("code", TEXT),
    _required("cell", INT64),
    _required("version", INT64),
    _required("create_time", INT64),
    PrimaryKeyConstraint("merchant_id", "code", "cell"),
)

program_version = _table(
    "program_version",
    _required("program_id", TEXT),
    _required("version", INT64),
    _required("cell", INT64),
    _required("body", TEXT),
    _required("create_time", INT64),
    PrimaryKeyConstraint("program_id", "version", "cell"),
)

card = _table(
    "card",
    _required("id", TEXT),
    _required("cell", INT64),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("program_id", TEXT),
    _required("program_version", INT64),
    _required("program_code", TEXT),
    _required("unit", TEXT),
    _required("state", SMALL),
    _text("code_last_four"),
    _required("time_zone", TEXT),
    _required("initial_amount", INT64),
    Column("max_balance", INT64),
    Column("valid_from", TEXT),
    Column("valid_until", TEXT),
    Column("valid_from_time", INT64),
    Column("expire_time", INT64),
    _required("reload_allowed", SMALL),
    _required("return_allowed", SMALL),
    _required("partial_redeem_allowed", SMALL),
    Column("pin_hash", TEXT),
    # Wrong PINs by API client: {"till": [failures, locked until in microseconds]}.
    _required("pin_tries", TEXT),
    _text("batch"),
    _text("customer"),
    _text("external_reference"),
    Column("issued_location_id", TEXT),
    Column("issue_time", INT64),
    _required("labels", TEXT),
    _required("sequence", INT64),
    _required("head", TEXT),
    _required("create_time", INT64),
    _required("update_time", INT64),
    # What comes later and would be a migration of the largest table then.
    Column("purchaser", TEXT),
    Column("owner_jurisdiction", TEXT),
    Column("origin_system", TEXT),
    Column("last_owner_activity_time", INT64),
    PrimaryKeyConstraint("id", "cell"),
    CheckConstraint("state BETWEEN 1 AND 5", "state"),
    CheckConstraint("book BETWEEN 1 AND 9", "book"),
    CheckConstraint("sequence >= 0", "sequence"),
    CheckConstraint(f"initial_amount BETWEEN 0 AND {AMOUNT_LIMIT}", "initial_amount"),
    # A customer's points are a card in the unit POINTS, found by the customer and nowhere else.
    CheckConstraint("unit <> 'POINTS' OR customer <> ''", "customer"),
    Index(
        "ix_card_merchant", "merchant_id", "book", "id",
        sqlite_where=text("unit <> 'POINTS'"), postgresql_where=text("unit <> 'POINTS'"),
    ),
    Index("ix_card_last_four", "merchant_id", "book", "code_last_four"),
    Index(
        "ix_card_customer", "merchant_id", "book", "customer",
        sqlite_where=text("customer <> ''"), postgresql_where=text("customer <> ''"),
    ),
    Index(
        "uq_card_wallet", "merchant_id", "book", "customer", "cell", unique=True,
        sqlite_where=text("unit = 'POINTS'"), postgresql_where=text("unit = 'POINTS'"),
    ),
    Index(
        "ix_card_batch", "merchant_id", "book", "batch",
        sqlite_where=text("batch <> ''"), postgresql_where=text("batch <> ''"),
    ),
    # What is taken over from another system is taken over once.
    Index(
        "uq_card_external_reference", "merchant_id", "book", "origin_system",
        "external_reference", "cell", unique=True,
        sqlite_where=text("origin_system IS NOT NULL"),
        postgresql_where=text("origin_system IS NOT NULL"),
    ),
    clustered=False,
)  # fmt: skip

code = _table(
    "code",
    _required("code_hash", BYTES),
    _required("cell", INT64),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    Column("card_id", TEXT),
    _required("kind", SMALL),
    _required("state", SMALL),
    _text("last_four"),
    _required("ciphertext", BYTES),
    _required("key_version", INT64),
    # How what was typed became what is hashed: codes taken over from elsewhere may need another.
    _required("normalization", SMALL),
    _required("create_time", INT64),
    # A reservation is named for its transaction; its codes stay its own, whoever uses them.
    Column("reservation_id", TEXT),
    Column("line", SMALL),
    Column("expire_time", INT64),
    PrimaryKeyConstraint("code_hash", "cell"),
    ForeignKeyConstraint(["card_id", "cell"], ["card.id", "card.cell"]),
    CheckConstraint("state BETWEEN 1 AND 3", "state"),
    CheckConstraint("(state = 1) = (card_id IS NOT NULL)", "card"),
    CheckConstraint("(reservation_id IS NULL) = (line IS NULL)", "reservation"),
    CheckConstraint("card_id IS NOT NULL OR reservation_id IS NOT NULL", "owner"),
    Index("ix_code_card", "card_id"),
    Index(
        "uq_code_reservation", "reservation_id", "line", "cell", unique=True,
        sqlite_where=text("reservation_id IS NOT NULL"),
        postgresql_where=text("reservation_id IS NOT NULL"),
    ),
)  # fmt: skip

account = _table(
    "account",
    _required("id", TEXT),
    _required("card_id", TEXT),
    _required("cell", INT64),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("unit", TEXT),
    _required("origin", SMALL),
    Column("expire_time", INT64),
    _text("entity_code"),
    _required("program_id", TEXT),
    _required("program_version", INT64),
    _required("balance", INT64),
    _required("held", INT64),
    _required("create_time", INT64),
    PrimaryKeyConstraint("card_id", "id", "cell"),
    ForeignKeyConstraint(["card_id", "cell"], ["card.id", "card.cell"]),
    CheckConstraint(f"balance BETWEEN 0 AND {AMOUNT_LIMIT}", "balance"),
    CheckConstraint("held >= 0 AND held <= balance", "held"),
)

hold = _table(
    "hold",
    _required("id", TEXT),
    _required("card_id", TEXT),
    _required("cell", INT64),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("client_id", TEXT),
    _required("transaction_id", TEXT),
    _required("state", SMALL),
    _required("requested", INT64),
    _required("authorized", INT64),
    _required("captured", INT64),
    _required("exclusive", SMALL),
    _text("sale_reference"),
    _required("expire_time", INT64),
    _required("create_time", INT64),
    Column("end_time", INT64),
    PrimaryKeyConstraint("id", "cell"),
    ForeignKeyConstraint(["card_id", "cell"], ["card.id", "card.cell"]),
    CheckConstraint("state BETWEEN 1 AND 4", "state"),
    CheckConstraint("authorized > 0 AND captured >= 0 AND captured <= authorized", "amounts"),
    CheckConstraint("(state = 1) = (end_time IS NULL)", "end_time"),
    Index("ix_hold_card", "card_id", "id"),
    Index(
        "ix_hold_open",
        "card_id",
        sqlite_where=text(HOLD_IS_OPEN),
        postgresql_where=text(HOLD_IS_OPEN),
    ),
    Index("ix_hold_merchant", "merchant_id", "book", "id"),
)

hold_line = _table(
    "hold_line",
    _required("hold_id", TEXT),
    _required("account_id", TEXT),
    _required("cell", INT64),
    _required("line", SMALL),
    _required("authorized", INT64),
    _required("remaining", INT64),
    PrimaryKeyConstraint("hold_id", "account_id", "cell"),
    ForeignKeyConstraint(["hold_id", "cell"], ["hold.id", "hold.cell"]),
    CheckConstraint("authorized > 0 AND remaining BETWEEN 0 AND authorized", "amounts"),
)

ledger_transaction = _table(
    "ledger_transaction",
    _required("id", TEXT),
    _required("cell", INT64),
    _required("kind", SMALL),
    _required("state", SMALL),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("client_id", TEXT),
    _required("actor_kind", TEXT),
    _required("request_id", TEXT),
    _required("request_key", BYTES),
    _required("fingerprint", BYTES),
    _required("command", TEXT),
    _required("result", TEXT),
    _required("decided_time", INT64),
    _required("effective_time", INT64),
    _required("received_time", INT64),
    Column("client_time", INT64),
    _required("business_date", TEXT),
    _text("unit"),
    Column("requested", INT64),
    Column("approved", INT64),
    _text("location_id"),
    _text("entity_code"),
    _text("terminal"),
    _text("operator"),
    _text("receipt"),
    _text("reason"),
    _text("dialect"),
    Column("card_id", TEXT),
    Column("hold_id", TEXT),
    Column("target_id", TEXT),
    _text("refusal_reason"),
    _text("refusal_metadata"),
    _required("commit_id", TEXT),
    _required("ordinal", INT64),
    _required("replays", INT64),
    Column("approval_id", TEXT),
    Column("job_id", TEXT),
    PrimaryKeyConstraint("id", "cell"),
    UniqueConstraint("request_key", "cell"),
    CheckConstraint("length(request_id) BETWEEN 1 AND 128", "request_id"),
    CheckConstraint("state BETWEEN 1 AND 3", "state"),
    CheckConstraint("(state = 1) = (refusal_reason = '')", "refusal"),
    Index(
        "ix_ledger_transaction_receipt", "merchant_id", "book", "receipt", "location_id",
        sqlite_where=text("receipt <> ''"), postgresql_where=text("receipt <> ''"),
    ),
    Index(
        "ix_ledger_transaction_target", "target_id",
        sqlite_where=text("target_id IS NOT NULL"),
        postgresql_where=text("target_id IS NOT NULL"),
    ),
    Index("ix_ledger_transaction_merchant", "merchant_id", "book", "id"),
    # Refusals stand in no entry; what is approved does not pay for this index.
    Index(
        "ix_ledger_transaction_refused", "card_id", "id",
        sqlite_where=text("state = 2"), postgresql_where=text("state = 2"),
    ),
    clustered=False,
)  # fmt: skip

entry = _table(
    "entry",
    _required("card_id", TEXT),
    _required("sequence", INT64),
    _required("cell", INT64),
    _required("transaction_id", TEXT),
    _required("balance_after", INT64),
    _required("held_after", INT64),
    _required("card_state", SMALL),
    _required("previous", TEXT),
    _required("hash", TEXT),
    # UNIQUE even where locks work: the wall that holds when a lock is lost.
    PrimaryKeyConstraint("card_id", "sequence", "cell"),
    CheckConstraint("sequence > 0", "sequence"),
    CheckConstraint("held_after >= 0 AND held_after <= balance_after", "balance"),
    ForeignKeyConstraint(["card_id", "cell"], ["card.id", "card.cell"]),
)

posting = _table(
    "posting",
    _required("transaction_id", TEXT),
    _required("line", SMALL),
    _required("cell", INT64),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("debit", TEXT),
    _required("credit", TEXT),
    _required("amount", INT64),
    _required("unit", TEXT),
    _required("movement", SMALL),
    _required("card_id", TEXT),
    Column("account_id", TEXT),
    Column("origin", SMALL),
    Column("balance_after", INT64),
    _required("program_id", TEXT),
    _text("location_id"),
    _text("entity_code"),
    _required("business_date", TEXT),
    Column("reverses_transaction", TEXT),
    Column("reverses_line", SMALL),
    Column("consideration_paid", INT64),
    PrimaryKeyConstraint("transaction_id", "line", "cell"),
    CheckConstraint(f"amount > 0 AND amount <= {AMOUNT_LIMIT}", "amount"),
    CheckConstraint("debit <> credit", "sides"),
    CheckConstraint("balance_after IS NULL OR balance_after >= 0", "balance_after"),
)

feed_head = _table(
    "feed_head",
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("cell", INT64),
    _required("head", INT64),
    _required("hash", TEXT),
    _required("commit_time", INT64),
    PrimaryKeyConstraint("merchant_id", "book", "cell"),
)

ledger_commit = _table(
    "ledger_commit",
    _required("id", TEXT),
    _required("merchant_id", TEXT),
    _required("book", SMALL),
    _required("cell", INT64),
    _required("first_sequence", INT64),
    _required("count", INT64),
    # A feed reads a commit's transactions as a range of the merchant's index on ids.
    _required("first_transaction_id", TEXT),
    _required("last_transaction_id", TEXT),
    _required("commit_time", INT64),
    _required("previous", TEXT),
    _required("hash", TEXT),
    # Gapless and in commit order: what every feed, report and auditor reads along.
    PrimaryKeyConstraint("merchant_id", "book", "first_sequence", "cell"),
    UniqueConstraint("id", "cell"),
    CheckConstraint("count > 0 AND first_sequence > 0", "count"),
)
