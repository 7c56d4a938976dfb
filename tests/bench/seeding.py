"""Fills a database with cards, decided by an in-process ledger like any other.

Knows nothing of servers or loads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from server import app
from server.domain import administration
from server.domain import commands as c
from server.domain.model import Book
from server.ledger import Answer, Ledger
from server.secrets import SecretKeys, load_keys
from server.settings import Settings
from tests.bench.load import BenchError
from tests.bench.python_loadgen import card_code
from tests.grpc_server import MERCHANT_ID, PROGRAM, seed

_BATCH: Final = 1000
_SAID_EVERY: Final = 100_000
#: Enough for every redemption of every run, on one card too.
_MINOR_UNITS: Final = 10**11


def seed_cards(database_url: str, key_file: Path, count: int, say: Callable[[str], None]) -> None:
    """Sets the merchant up and issues `count` cards, whose codes `card_code` tells."""
    seed(database_url, key_file)
    keys = load_keys(key_file, None, production=False)
    database = app.open_database(Settings(database_url=database_url, key_file=str(key_file)))
    ledger = Ledger(database, app.make_processor(keys))
    caller = c.Caller(MERCHANT_ID, "seed", administration.home_cell(MERCHANT_ID))
    try:
        for start in range(0, count, _BATCH):
            end = min(start + _BATCH, count)
            outcomes = ledger.execute_all([_issue(caller, keys, n) for n in range(start, end)])
            if not all(isinstance(outcome, Answer) for outcome in outcomes):
                raise BenchError("A card could not be issued.")
            if end // _SAID_EVERY > start // _SAID_EVERY:
                say(f"  {end:,} of {count:,} cards")
    finally:
        ledger.close()
        database.close()


def _issue(caller: c.Caller, keys: SecretKeys, number: int) -> c.Envelope:
    code = card_code(number)
    card_id = app.make_id(app.clock(), None)
    code_hash = keys.code_hash(MERCHANT_ID, Book.LIVE, code)
    material = c.CodeMaterial(
        card_id, code_hash, keys.encrypt_code(code, code_hash), code[-4:],
        keys.current_version,
    )  # fmt: skip
    program = PROGRAM.removeprefix("programs/")
    amount = c.Amount(_MINOR_UNITS, "USD")
    command = c.IssueGiftCard(program, code_hash.hex(), c.Policy(), amount)
    return c.Envelope(
        caller, f"seed/{number}", command, received_time=app.clock(), material=material
    )
