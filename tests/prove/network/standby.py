"""A standby of a PostgreSQL of ours, replicating over a connection that may be broken."""

import os
import subprocess
from pathlib import Path

from tests.postgres import PostgresServer, start_postgres

#: A connection that a dead primary left half-open is given up after a minute otherwise.
_SETTINGS = {"wal_receiver_timeout": "2s", "wal_retrieve_retry_interval": "200ms"}


def make_standby(primary: PostgresServer, address: str, directory: Path) -> PostgresServer:
    """Copies the primary at host:port `address` and follows it from there."""
    host, _, port = address.rpartition(":")
    programs = primary.programs
    user, group = programs.identity["user"], programs.identity["group"]
    if user is not None and group is not None:
        os.chown(directory, user, group)
    command = [
        str(programs.path("pg_basebackup")), "-h", host, "-p", port, "-U", "postgres",
        "-D", str(directory / "data"), "-R", "--checkpoint=fast", "--no-sync",
    ]  # fmt: skip
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=directory, **programs.identity
    )
    if done.returncode:
        raise RuntimeError(f"pg_basebackup failed: {done.stderr.strip()}")
    return start_postgres(directory, durable=True, settings=_SETTINGS)
