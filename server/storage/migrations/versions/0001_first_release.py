"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# A revision never changes, whatever becomes of the schema: it imports nothing of it.
INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary()


def upgrade() -> None:
    op.create_table(
        "api_client",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("display_name", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("location_code", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.Column("update_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "id", "cell", name=op.f("pk_api_client")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "card",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("program_id", TEXT, nullable=False),
        sa.Column("program_version", INT64, nullable=False),
        sa.Column("program_code", TEXT, nullable=False),
        sa.Column("unit", TEXT, nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sa.Column("code_last_four", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("time_zone", TEXT, nullable=False),
        sa.Column("initial_amount", INT64, nullable=False),
        sa.Column("max_balance", INT64, nullable=True),
        sa.Column("valid_from", TEXT, nullable=True),
        sa.Column("valid_until", TEXT, nullable=True),
        sa.Column("valid_from_time", INT64, nullable=True),
        sa.Column("expire_time", INT64, nullable=True),
        sa.Column("reload_allowed", SMALL, nullable=False),
        sa.Column("return_allowed", SMALL, nullable=False),
        sa.Column("partial_redeem_allowed", SMALL, nullable=False),
        sa.Column("pin_hash", TEXT, nullable=True),
        sa.Column("pin_tries", TEXT, nullable=False),
        sa.Column("batch", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("customer", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("external_reference", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("issued_location_id", TEXT, nullable=True),
        sa.Column("issue_time", INT64, nullable=True),
        sa.Column("labels", TEXT, nullable=False),
        sa.Column("sequence", INT64, nullable=False),
        sa.Column("head", TEXT, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.Column("update_time", INT64, nullable=False),
        sa.Column("purchaser", TEXT, nullable=True),
        sa.Column("owner_jurisdiction", TEXT, nullable=True),
        sa.Column("origin_system", TEXT, nullable=True),
        sa.Column("last_owner_activity_time", INT64, nullable=True),
        sa.CheckConstraint("book BETWEEN 1 AND 9", name=op.f("ck_card_book")),
        sa.CheckConstraint("unit <> 'POINTS' OR customer <> ''", name=op.f("ck_card_customer")),
        sa.CheckConstraint(
            "initial_amount BETWEEN 0 AND 1000000000000000", name=op.f("ck_card_initial_amount")
        ),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_card_sequence")),
        sa.CheckConstraint("state BETWEEN 1 AND 5", name=op.f("ck_card_state")),
        sa.PrimaryKeyConstraint("id", "cell", name=op.f("pk_card")),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index(
        "ix_card_batch",
        "card",
        ["merchant_id", "book", "batch"],
        unique=False,
        sqlite_where=sa.text("batch <> ''"),
        postgresql_where=sa.text("batch <> ''"),
    )
    op.create_index(
        "ix_card_customer",
        "card",
        ["merchant_id", "book", "customer"],
        unique=False,
        sqlite_where=sa.text("customer <> ''"),
        postgresql_where=sa.text("customer <> ''"),
    )
    op.create_index(
        "ix_card_last_four", "card", ["merchant_id", "book", "code_last_four"], unique=False
    )
    op.create_index(
        "uq_card_external_reference",
        "card",
        ["merchant_id", "book", "origin_system", "external_reference", "cell"],
        unique=True,
        sqlite_where=sa.text("origin_system IS NOT NULL"),
        postgresql_where=sa.text("origin_system IS NOT NULL"),
    )
    op.create_index(
        "ix_card_merchant",
        "card",
        ["merchant_id", "book", "id"],
        unique=False,
        sqlite_where=sa.text("unit <> 'POINTS'"),
        postgresql_where=sa.text("unit <> 'POINTS'"),
    )
    op.create_index(
        "uq_card_wallet",
        "card",
        ["merchant_id", "book", "customer", "cell"],
        unique=True,
        sqlite_where=sa.text("unit = 'POINTS'"),
        postgresql_where=sa.text("unit = 'POINTS'"),
    )
    op.create_table(
        "credential",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("client_id", TEXT, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("login", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("token_hash", BYTES, nullable=True),
        sa.Column("password_hash", TEXT, nullable=True),
        sa.Column("expire_time", INT64, nullable=True),
        sa.Column("revoke_time", INT64, nullable=True),
        sa.Column("create_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", "cell", name=op.f("pk_credential")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_credential_client", "credential", ["merchant_id", "client_id", "id"], unique=False
    )
    op.create_index(
        "uq_credential_login",
        "credential",
        ["login"],
        unique=True,
        sqlite_where=sa.text("login <> '' AND revoke_time IS NULL"),
        postgresql_where=sa.text("login <> '' AND revoke_time IS NULL"),
    )
    op.create_index("uq_credential_token_hash", "credential", ["token_hash"], unique=True)
    op.create_table(
        "feed_head",
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("head", INT64, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("commit_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "book", "cell", name=op.f("pk_feed_head")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "history",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_commit",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("first_sequence", INT64, nullable=False),
        sa.Column("count", INT64, nullable=False),
        sa.Column("first_transaction_id", TEXT, nullable=False),
        sa.Column("last_transaction_id", TEXT, nullable=False),
        sa.Column("commit_time", INT64, nullable=False),
        sa.Column("previous", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.CheckConstraint("count > 0 AND first_sequence > 0", name=op.f("ck_ledger_commit_count")),
        sa.PrimaryKeyConstraint(
            "merchant_id", "book", "first_sequence", "cell", name=op.f("pk_ledger_commit")
        ),
        sa.UniqueConstraint("id", "cell", name=op.f("uq_ledger_commit_id_cell")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_transaction",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("client_id", TEXT, nullable=False),
        sa.Column("actor_kind", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("request_key", BYTES, nullable=False),
        sa.Column("fingerprint", BYTES, nullable=False),
        sa.Column("command", TEXT, nullable=False),
        sa.Column("result", TEXT, nullable=False),
        sa.Column("decided_time", INT64, nullable=False),
        sa.Column("effective_time", INT64, nullable=False),
        sa.Column("received_time", INT64, nullable=False),
        sa.Column("client_time", INT64, nullable=True),
        sa.Column("business_date", TEXT, nullable=False),
        sa.Column("unit", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("requested", INT64, nullable=True),
        sa.Column("approved", INT64, nullable=True),
        sa.Column("location_id", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("entity_code", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("terminal", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("operator", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("receipt", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("reason", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("dialect", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("card_id", TEXT, nullable=True),
        sa.Column("hold_id", TEXT, nullable=True),
        sa.Column("target_id", TEXT, nullable=True),
        sa.Column("refusal_reason", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("refusal_metadata", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("commit_id", TEXT, nullable=False),
        sa.Column("ordinal", INT64, nullable=False),
        sa.Column("replays", INT64, nullable=False),
        sa.Column("approval_id", TEXT, nullable=True),
        sa.Column("job_id", TEXT, nullable=True),
        sa.CheckConstraint(
            "(state = 1) = (refusal_reason = '')", name=op.f("ck_ledger_transaction_refusal")
        ),
        sa.CheckConstraint(
            "length(request_id) BETWEEN 1 AND 128", name=op.f("ck_ledger_transaction_request_id")
        ),
        sa.CheckConstraint("state BETWEEN 1 AND 3", name=op.f("ck_ledger_transaction_state")),
        sa.PrimaryKeyConstraint("id", "cell", name=op.f("pk_ledger_transaction")),
        sa.UniqueConstraint(
            "request_key", "cell", name=op.f("uq_ledger_transaction_request_key_cell")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index(
        "ix_ledger_transaction_merchant",
        "ledger_transaction",
        ["merchant_id", "book", "id"],
        unique=False,
    )
    op.create_index(
        "ix_ledger_transaction_receipt",
        "ledger_transaction",
        ["merchant_id", "book", "receipt", "location_id"],
        unique=False,
        sqlite_where=sa.text("receipt <> ''"),
        postgresql_where=sa.text("receipt <> ''"),
    )
    op.create_index(
        "ix_ledger_transaction_refused",
        "ledger_transaction",
        ["card_id", "id"],
        unique=False,
        sqlite_where=sa.text("state = 2"),
        postgresql_where=sa.text("state = 2"),
    )
    op.create_index(
        "ix_ledger_transaction_target",
        "ledger_transaction",
        ["target_id"],
        unique=False,
        sqlite_where=sa.text("target_id IS NOT NULL"),
        postgresql_where=sa.text("target_id IS NOT NULL"),
    )
    op.create_table(
        "legal_entity",
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("display_name", TEXT, server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "code", "cell", name=op.f("pk_legal_entity")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "location",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("display_name", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("country_code", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("time_zone", TEXT, nullable=False),
        sa.Column("entity_code", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.Column("update_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "code", "cell", name=op.f("pk_location")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "merchant",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("home_cell", INT64, nullable=False),
        sa.Column("cells", INT64, nullable=False),
        sa.Column("display_name", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("time_zone", TEXT, nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.Column("update_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchant")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "posting",
        sa.Column("transaction_id", TEXT, nullable=False),
        sa.Column("line", SMALL, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("debit", TEXT, nullable=False),
        sa.Column("credit", TEXT, nullable=False),
        sa.Column("amount", INT64, nullable=False),
        sa.Column("unit", TEXT, nullable=False),
        sa.Column("movement", SMALL, nullable=False),
        sa.Column("card_id", TEXT, nullable=False),
        sa.Column("account_id", TEXT, nullable=True),
        sa.Column("origin", SMALL, nullable=True),
        sa.Column("balance_after", INT64, nullable=True),
        sa.Column("program_id", TEXT, nullable=False),
        sa.Column("location_id", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("entity_code", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("business_date", TEXT, nullable=False),
        sa.Column("reverses_transaction", TEXT, nullable=True),
        sa.Column("reverses_line", SMALL, nullable=True),
        sa.Column("consideration_paid", INT64, nullable=True),
        sa.CheckConstraint(
            "amount > 0 AND amount <= 1000000000000000", name=op.f("ck_posting_amount")
        ),
        sa.CheckConstraint(
            "balance_after IS NULL OR balance_after >= 0", name=op.f("ck_posting_balance_after")
        ),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_posting_sides")),
        sa.PrimaryKeyConstraint("transaction_id", "line", "cell", name=op.f("pk_posting")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "program",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("version", INT64, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "code", "cell", name=op.f("pk_program")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "program_version",
        sa.Column("program_id", TEXT, nullable=False),
        sa.Column("version", INT64, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.PrimaryKeyConstraint("program_id", "version", "cell", name=op.f("pk_program_version")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "account",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("card_id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("unit", TEXT, nullable=False),
        sa.Column("origin", SMALL, nullable=False),
        sa.Column("expire_time", INT64, nullable=True),
        sa.Column("entity_code", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("program_id", TEXT, nullable=False),
        sa.Column("program_version", INT64, nullable=False),
        sa.Column("balance", INT64, nullable=False),
        sa.Column("held", INT64, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.CheckConstraint(
            "balance BETWEEN 0 AND 1000000000000000", name=op.f("ck_account_balance")
        ),
        sa.CheckConstraint("held >= 0 AND held <= balance", name=op.f("ck_account_held")),
        sa.ForeignKeyConstraint(
            ["card_id", "cell"], ["card.id", "card.cell"], name=op.f("fk_account_card")
        ),
        sa.PrimaryKeyConstraint("card_id", "id", "cell", name=op.f("pk_account")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "code",
        sa.Column("code_hash", BYTES, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("card_id", TEXT, nullable=True),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sa.Column("last_four", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("ciphertext", BYTES, nullable=False),
        sa.Column("key_version", INT64, nullable=False),
        sa.Column("normalization", SMALL, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.Column("reservation_id", TEXT, nullable=True),
        sa.Column("line", SMALL, nullable=True),
        sa.Column("expire_time", INT64, nullable=True),
        sa.CheckConstraint("state BETWEEN 1 AND 3", name=op.f("ck_code_state")),
        sa.CheckConstraint("(state = 1) = (card_id IS NOT NULL)", name=op.f("ck_code_card")),
        sa.CheckConstraint(
            "(reservation_id IS NULL) = (line IS NULL)", name=op.f("ck_code_reservation")
        ),
        sa.CheckConstraint(
            "card_id IS NOT NULL OR reservation_id IS NOT NULL", name=op.f("ck_code_owner")
        ),
        sa.ForeignKeyConstraint(
            ["card_id", "cell"], ["card.id", "card.cell"], name=op.f("fk_code_card")
        ),
        sa.PrimaryKeyConstraint("code_hash", "cell", name=op.f("pk_code")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_code_card", "code", ["card_id"], unique=False)
    op.create_index(
        "uq_code_reservation",
        "code",
        ["reservation_id", "line", "cell"],
        unique=True,
        sqlite_where=sa.text("reservation_id IS NOT NULL"),
        postgresql_where=sa.text("reservation_id IS NOT NULL"),
    )
    op.create_table(
        "entry",
        sa.Column("card_id", TEXT, nullable=False),
        sa.Column("sequence", INT64, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("transaction_id", TEXT, nullable=False),
        sa.Column("balance_after", INT64, nullable=False),
        sa.Column("held_after", INT64, nullable=False),
        sa.Column("card_state", SMALL, nullable=False),
        sa.Column("previous", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.CheckConstraint(
            "held_after >= 0 AND held_after <= balance_after", name=op.f("ck_entry_balance")
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_entry_sequence")),
        sa.ForeignKeyConstraint(
            ["card_id", "cell"], ["card.id", "card.cell"], name=op.f("fk_entry_card")
        ),
        sa.PrimaryKeyConstraint("card_id", "sequence", "cell", name=op.f("pk_entry")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hold",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("card_id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("merchant_id", TEXT, nullable=False),
        sa.Column("book", SMALL, nullable=False),
        sa.Column("client_id", TEXT, nullable=False),
        sa.Column("transaction_id", TEXT, nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sa.Column("requested", INT64, nullable=False),
        sa.Column("authorized", INT64, nullable=False),
        sa.Column("captured", INT64, nullable=False),
        sa.Column("exclusive", SMALL, nullable=False),
        sa.Column("sale_reference", TEXT, server_default=sa.text("''"), nullable=False),
        sa.Column("expire_time", INT64, nullable=False),
        sa.Column("create_time", INT64, nullable=False),
        sa.Column("end_time", INT64, nullable=True),
        sa.CheckConstraint("(state = 1) = (end_time IS NULL)", name=op.f("ck_hold_end_time")),
        sa.CheckConstraint(
            "authorized > 0 AND captured >= 0 AND captured <= authorized",
            name=op.f("ck_hold_amounts"),
        ),
        sa.CheckConstraint("state BETWEEN 1 AND 4", name=op.f("ck_hold_state")),
        sa.ForeignKeyConstraint(
            ["card_id", "cell"], ["card.id", "card.cell"], name=op.f("fk_hold_card")
        ),
        sa.PrimaryKeyConstraint("id", "cell", name=op.f("pk_hold")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_hold_card", "hold", ["card_id", "id"], unique=False)
    op.create_index("ix_hold_merchant", "hold", ["merchant_id", "book", "id"], unique=False)
    op.create_index(
        "ix_hold_open",
        "hold",
        ["card_id"],
        unique=False,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_table(
        "hold_line",
        sa.Column("hold_id", TEXT, nullable=False),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("cell", INT64, nullable=False),
        sa.Column("line", SMALL, nullable=False),
        sa.Column("authorized", INT64, nullable=False),
        sa.Column("remaining", INT64, nullable=False),
        sa.CheckConstraint(
            "authorized > 0 AND remaining BETWEEN 0 AND authorized",
            name=op.f("ck_hold_line_amounts"),
        ),
        sa.ForeignKeyConstraint(
            ["hold_id", "cell"], ["hold.id", "hold.cell"], name=op.f("fk_hold_line_hold")
        ),
        sa.PrimaryKeyConstraint("hold_id", "account_id", "cell", name=op.f("pk_hold_line")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("hold_line")
    op.drop_index(
        "ix_hold_open",
        table_name="hold",
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.drop_index("ix_hold_merchant", table_name="hold")
    op.drop_index("ix_hold_card", table_name="hold")
    op.drop_table("hold")
    op.drop_table("entry")
    op.drop_index(
        "uq_code_reservation",
        table_name="code",
        sqlite_where=sa.text("reservation_id IS NOT NULL"),
        postgresql_where=sa.text("reservation_id IS NOT NULL"),
    )
    op.drop_index("ix_code_card", table_name="code")
    op.drop_table("code")
    op.drop_table("account")
    op.drop_table("program_version")
    op.drop_table("program")
    op.drop_table("posting")
    op.drop_table("merchant")
    op.drop_table("location")
    op.drop_table("legal_entity")
    op.drop_index(
        "ix_ledger_transaction_target",
        table_name="ledger_transaction",
        sqlite_where=sa.text("target_id IS NOT NULL"),
        postgresql_where=sa.text("target_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_ledger_transaction_refused",
        table_name="ledger_transaction",
        sqlite_where=sa.text("state = 2"),
        postgresql_where=sa.text("state = 2"),
    )
    op.drop_index(
        "ix_ledger_transaction_receipt",
        table_name="ledger_transaction",
        sqlite_where=sa.text("receipt <> ''"),
        postgresql_where=sa.text("receipt <> ''"),
    )
    op.drop_index("ix_ledger_transaction_merchant", table_name="ledger_transaction")
    op.drop_table("ledger_transaction")
    op.drop_table("ledger_commit")
    op.drop_table("history")
    op.drop_table("feed_head")
    op.drop_index("uq_credential_token_hash", table_name="credential")
    op.drop_index(
        "uq_credential_login",
        table_name="credential",
        sqlite_where=sa.text("login <> '' AND revoke_time IS NULL"),
        postgresql_where=sa.text("login <> '' AND revoke_time IS NULL"),
    )
    op.drop_index("ix_credential_client", table_name="credential")
    op.drop_table("credential")
    op.drop_index(
        "uq_card_external_reference",
        table_name="card",
        sqlite_where=sa.text("origin_system IS NOT NULL"),
        postgresql_where=sa.text("origin_system IS NOT NULL"),
    )
    op.drop_index(
        "uq_card_wallet",
        table_name="card",
        sqlite_where=sa.text("unit = 'POINTS'"),
        postgresql_where=sa.text("unit = 'POINTS'"),
    )
    op.drop_index(
        "ix_card_merchant",
        table_name="card",
        sqlite_where=sa.text("unit <> 'POINTS'"),
        postgresql_where=sa.text("unit <> 'POINTS'"),
    )
    op.drop_index("ix_card_last_four", table_name="card")
    op.drop_index(
        "ix_card_customer",
        table_name="card",
        sqlite_where=sa.text("customer <> ''"),
        postgresql_where=sa.text("customer <> ''"),
    )
    op.drop_index(
        "ix_card_batch",
        table_name="card",
        sqlite_where=sa.text("batch <> ''"),
        postgresql_where=sa.text("batch <> ''"),
    )
    op.drop_table("card")
    op.drop_table("api_client")
