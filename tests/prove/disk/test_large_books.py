"""A hundred thousand transactions: verified, backed up, migrated down and up, and brought back."""

import time
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import inspect, select

from server import backup
from server.settings import Settings
from server.storage import migrate, schema
from server.storage.database import Connection, Database
from server.verify import Report, verify
from tests.prove.disk.story import Shop, found_shop, story
from tests.prove.proof import Proof, engine_of

_WIDTH: Final = 128
_BATCHES: Final = 11


def fill(url: str, transactions: int, seed: int) -> None:
    """Days at the till, until there are so many transactions."""
    with closing(Database(url)) as database:
        found_shop(database)
        shop = Shop(database)
        done = 0
        while done < transactions:
            for batch in story(seed, _BATCHES, _WIDTH):
                told = shop.carry_out(batch)
                assert not any(each.failure for each in told)
                done += len(told)
            seed += 1
        shop.close()


def _verify(url: str) -> tuple[Report, float]:
    with closing(Database(url)) as database:
        start = time.perf_counter()
        report = verify(database)
        seconds = time.perf_counter() - start
    assert report.ok, "\n".join(str(problem) for problem in report.problems)
    return report, seconds


def _history(connection: Connection) -> str:
    found: str = connection.execute(select(schema.history.c.id)).scalar_one()
    return found


def _silent(what: str, done: int, steps: int) -> None:
    pass


def check_large_books(proof: Proof, url: str, folder: Path, transactions: int) -> None:
    engine = engine_of(url)
    start = time.perf_counter()
    fill(url, transactions, proof.seed)
    filled = time.perf_counter() - start
    report, verified = _verify(url)
    settings = Settings(database_url=url)
    start = time.perf_counter()
    made = backup.create(settings, folder / "backup", _silent, check=False)
    backed_up = time.perf_counter() - start
    with closing(Database(url)) as database:
        with database.connect_reader() as connection:
            first = _history(connection)
        start = time.perf_counter()
        migrate.downgrade(database)
        with database.connect_reader() as connection:
            assert inspect(connection).get_table_names() == []
        migrate.upgrade(database)
        migrated = time.perf_counter() - start
        # Rows are gone by going down: nobody may take what is new for what was.
        with database.connect_reader() as connection:
            assert _history(connection) != first
        assert verify(database).counts["transactions"] == 0
    start = time.perf_counter()
    backup.restore(settings, folder / "backup", _silent, keys=None, force=True, check=False)
    restored = time.perf_counter() - start
    again, _ = _verify(url)
    assert (again.counts, again.totals) == (report.counts, report.totals)
    with closing(Database(url)) as database, database.connect_reader() as connection:
        assert _history(connection) == made.history
    count = report.counts["transactions"]
    proof.report(
        f"Large books, {engine}",
        transactions=count, fill_seconds=round(filled, 1), verify_seconds=round(verified, 1),
        verified_per_second=round(count / verified), backup_seconds=round(backed_up, 1),
        down_and_up_seconds=round(migrated, 1), restore_seconds=round(restored, 1),
    )  # fmt: skip


@pytest.mark.slow
def test_a_hundred_thousand_transactions(proof: Proof, database_url: str, tmp_path: Path) -> None:
    check_large_books(proof, database_url, tmp_path, proof.cases(push=100_000, release=1_000_000))


def test_two_thousand_transactions(proof: Proof, database_url: str, tmp_path: Path) -> None:
    check_large_books(proof, database_url, tmp_path, 2_000)
