"""The yardstick for the ledger: pgbench on the same PostgreSQL, one redemption by hand per commit.

The statements in yardstick/ do the least that a safe redemption can: look the request up, lock
the card, change its balance, write the history and the answer.
"""

import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.bench.load import BenchError, Sample
from tests.postgres import PostgresServer, PostgresUnavailableError

CLIENTS: Final = 32
_THREADS: Final = 2
_DATABASE: Final = "yardstick"
_SCRIPTS: Final = Path(__file__).parent / "yardstick"
_PATIENCE_SECONDS: Final = 60


class PgBench:
    """pgbench over a database of its own."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._program = _program(postgres)
        postgres.create_database(_DATABASE)
        with postgres.connect(_DATABASE) as connection:
            connection.execute((_SCRIPTS / "init.sql").read_bytes())
            connection.execute("VACUUM ANALYZE")

    def run(
        self,
        script: str,
        seconds: float,
        warm_up_seconds: float,
        database_cpu: Callable[[], float],
    ) -> Sample:
        """Runs redeem.sql or hot_card.sql.  pgbench counts whole seconds and tells no percentiles.

        Raises:
            BenchError: it failed.
        """
        self._pgbench(script, warm_up_seconds)
        database, own = database_cpu(), _children_cpu()
        printed, whole = self._pgbench(script, seconds)
        rate = re.search(r"tps = ([\d.]+) \(without", printed)
        mean = re.search(r"latency average = ([\d.]+) ms", printed)
        if rate is None or mean is None:
            raise BenchError(f"pgbench did not tell its rate:\n{printed}")
        return Sample(
            per_second=float(rate.group(1)),
            seconds=whole,
            cpu_seconds={
                "database": database_cpu() - database,
                "generator": _children_cpu() - own,
            },
        )

    def _pgbench(self, script: str, seconds: float) -> tuple[str, int]:
        whole = max(round(seconds), 1)
        done = subprocess.run(
            [
                self._program, "-n", "-M", "prepared", "-f", str(_SCRIPTS / script),
                "-c", str(CLIENTS), "-j", str(_THREADS), "-T", str(whole), _DATABASE,
            ],
            check=False, capture_output=True, text=True, timeout=whole + _PATIENCE_SECONDS,
            env=self._postgres.environment,
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"pgbench failed: {done.stderr.strip()}")
        return done.stdout, whole


def _children_cpu() -> float:
    """What children of this process have used that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _program(postgres: PostgresServer) -> str:
    try:
        return str(postgres.programs.path("pgbench"))
    except PostgresUnavailableError:
        found = shutil.which("pgbench")
        if found is None:
            raise BenchError(
                "pgbench is not installed, and nothing else is the yardstick."
            ) from None
        return found
