"""The tables of the shim's own SQLite file.  Instants are microseconds since the epoch, UTC."""

from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

#: Kept in the file as `user_version`.  A change of a table is a new number and a step to it.
VERSION: Final = 1

metadata: Final = MetaData()


def _required(name: str, kind: type[Any]) -> Column[Any]:
    return Column(name, kind, nullable=False)


reversal: Final = Table(
    "reversal",
    metadata,
    # Whose: keyed hash of the credential.  Two callers may have the same id.
    _required("caller", LargeBinary),
    _required("key", Text),
    _required("authorization", LargeBinary),
    _required("book", Text),
    _required("dialect", Text),
    _required("operation", Text),
    # From the first attempt on it cannot be taken back.
    _required("started", Integer),
    _required("attempts", Integer),
    _required("queued_time", Integer),
    _required("due_time", Integer),
    PrimaryKeyConstraint("caller", "key"),
    CheckConstraint("started IN (0, 1)", name="started_is_boolean"),
    CheckConstraint("length(caller) = 32", name="caller_is_hash"),
    Index("reversal_due", "due_time"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

exchange: Final = Table(
    "exchange",
    metadata,
    Column("id", Integer, primary_key=True),
    _required("time", Integer),
    _required("duration_microseconds", Integer),
    _required("dialect", Text),
    _required("operation", Text),
    _required("method", Text),
    _required("path", Text),
    _required("legacy_request_id", Text),
    _required("request_id", Text),
    _required("code_last_four", Text),
    _required("status", Integer),
    _required("reason", Text),
    _required("transaction_name", Text),
    _required("request", Text),
    _required("answer", Text),
    Index("exchange_time", "time"),
    Index("exchange_code", "code_last_four", "time", sqlite_where=text("code_last_four <> ''")),
    Index("exchange_legacy_id", "legacy_request_id", sqlite_where=text("legacy_request_id <> ''")),
    Index("exchange_request_id", "request_id", sqlite_where=text("request_id <> ''")),
    sqlite_strict=True,
)

#: How many exchanges were not logged, because more came than could be written.
log_gap: Final = Table(
    "log_gap",
    metadata,
    Column("id", Integer, primary_key=True),
    _required("time", Integer),
    _required("dropped", Integer),
    Index("log_gap_time", "time"),
    sqlite_strict=True,
)
