"""Multiplies a seeded card by SQL, for the figure of growth: ten million in minutes.

The clones have rows of the same size in the same tables, keys spread as real ones are, and codes
that can be redeemed.  Hashes and JSON are copied, so `giftcard verify` would rightly refuse them:
they are there to be looked up among, not to be believed.  Rows are written in the order of their
keys, which is what makes it fast.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pysqlite3

from server.domain.model import Book
from server.secrets import load_keys
from tests.bench.python_loadgen import card_code
from tests.grpc_server import MERCHANT_ID

#: What differs from the first card, in SQL over the number n; all else is copied.  An id is a
#: UUIDv7 in its order; a request key starts with its share of all keys.
_ID: Final = "substr(:{column}, 1, 12) || '70008' || printf('%015x', n)"
_SPREAD: Final = "unhex(printf('%08x', n * :step) || hex(randomblob(28)))"
_IDS: Final = {
    "card": ("id",),
    "account": ("id", "card_id"),
    "ledger_transaction": ("id", "card_id"),
    "posting": ("transaction_id", "card_id", "account_id", "credit"),
    "entry": ("card_id", "transaction_id"),
    "code": ("card_id",),
}
_OTHERS: Final = {
    "ledger_transaction": {"request_id": "'clone/' || n", "request_key": _SPREAD},
    "code": {"code_hash": "code_hash(n)"},
}
_BULK_PRAGMAS: Final = (
    "foreign_keys=0", "journal_mode=off", "synchronous=0", "cache_size=-1048576",
    "locking_mode=exclusive",
)  # fmt: skip


def clone_cards(
    file: Path, key_file: Path, first: int, count: int, say: Callable[[str], None]
) -> None:
    """Adds the cards first, …, count - 1 to a database in which nobody else has any business.

    An interruption leaves a file that is worth nothing: the caller starts afresh.
    """
    keys = load_keys(key_file, None, production=False)

    def code_hash(number: int) -> bytes:
        return keys.code_hash(MERCHANT_ID, Book.LIVE, card_code(number))

    connection = pysqlite3.connect(str(file), isolation_level=None)
    try:
        connection.create_function("code_hash", 1, code_hash, deterministic=True)
        for pragma in _BULK_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        (card_id,) = connection.execute(
            "SELECT card_id FROM code WHERE code_hash = ?", [code_hash(0)]
        ).fetchone()
        numbers = {"first": first, "count": count, "step": 2**32 // count}
        for table in _IDS:
            say(f"  cloning {table}")
            statement, template = _statement(connection, table, card_id)
            connection.execute(statement, {**numbers, **template})
    finally:
        connection.execute("PRAGMA journal_mode=wal")
        connection.close()


def _statement(connection: Any, table: str, card_id: str) -> tuple[str, dict[str, Any]]:
    """What fills a table, and the row that is copied as its parameters.

    Parameters, because SQLite first gathers in memory what is read from the table it writes to.
    """
    whose = "id" if table == "card" else "card_id"
    found = connection.execute(f"SELECT * FROM {table} WHERE {whose} = ? LIMIT 1", [card_id])
    row = dict(zip((column[0] for column in found.description), found.fetchone(), strict=True))
    own = {column: _ID.format(column=column) for column in _IDS[table]} | _OTHERS.get(table, {})
    values = ", ".join(own.get(column, f":{column}") for column in row)
    order = "ORDER BY 1" if table == "code" else ""  # its key is random
    statement = f"""
        WITH RECURSIVE numbers(n) AS (
          SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count
        )
        INSERT INTO {table} ({", ".join(row)}) SELECT {values} FROM numbers {order}"""
    return statement, row
