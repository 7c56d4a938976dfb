"""A real PostgreSQL for tests, fault suites and benchmarks; pytest is not needed to use it.

    with temporary_directory() as directory:
        server = start_postgres(directory, durable=True)
        url = server.create_database("giftcard")
        ...
        server.stop()

No server started here outlives the process that started it, however that process ends. This module
knows nothing of the product's schema.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from sqlalchemy.engine import URL, make_url

from tests.fault_proxy import FaultProxy
from tests.postgres_programs import PostgresPrograms, PostgresUnavailableError, find_programs
from tests.processes import Watchdog, kill_family

__all__ = [
    "Postgres",
    "PostgresServer",
    "PostgresUnavailableError",
    "open_postgres",
    "server_of",
    "start_postgres",
    "temporary_directory",
    "through",
]

_PORT: Final = 5432  # names the socket's file; nothing listens on TCP
_SOCKET_PATH_BYTES_MAX: Final = 103  # macOS; Linux allows 107
_START_TIMEOUT_SECONDS: Final = 60.0
_STOP_TIMEOUT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_LOG_TAIL_CHARACTERS: Final = 2000
_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})

# A test that only asks what is in the database need not wait for the disk.
_DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """A PostgreSQL server in which tests may make databases of their own."""

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")

    def url_for(self, database: str) -> str:
        """Returns the SQLAlchemy URL of a database, with its password if it has one."""
        return self._url.set(database=database).render_as_string(hide_password=False)

    def connect(self, database: str | None = None) -> psycopg.Connection[TupleRow]:
        """Returns an autocommit connection; without a name, to the server's own database."""
        url = self._url.set(drivername="postgresql", database=database or self._url.database)
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Makes a database, empty or as a copy of `template`, and returns its URL.

        Nobody may be connected to the template meanwhile.
        """
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)
        return self.url_for(name)

    def drop_database(self, name: str) -> None:
        """Removes a database and cuts off whoever is still connected to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with self.connect() as connection:
            connection.execute(statement)


class PostgresServer(Postgres):
    """A server of our own, which may also be stopped, killed and started again."""

    def __init__(
        self, directory: Path, programs: PostgresPrograms, settings: Mapping[str, str]
    ) -> None:
        query = {"host": str(directory), "port": str(_PORT)}
        url = URL.create("postgresql", username="postgres", database="postgres", query=query)
        super().__init__(url)
        self.directory = directory
        self.programs = programs
        self._settings = dict(settings)
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which PostgreSQL's own clients, such as pgbench, find this server."""
        return {"PGHOST": str(self.directory), "PGPORT": str(_PORT), "PGUSER": "postgres"}

    @property
    def process_id(self) -> int:
        """The postmaster's process id. Raises RuntimeError when the server is down."""
        return self._running().pid

    def start(self) -> None:
        """Starts the server and waits, through crash recovery if need be, until it answers.

        Raises:
            RuntimeError: it ended or did not answer; the text ends with the end of its log.
        """
        if self._process is not None:
            raise RuntimeError("This server runs already.")
        command = [str(self.programs.path("postgres")), "-D", str(self._data), "-p", str(_PORT)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=_plain_environment(),
                # Ctrl-C is for the test run, which then stops the server in its own order.
                start_new_session=True,
                **self.programs.identity,
            )
        self._watchdog = Watchdog(self._process.pid, "QUIT")
        atexit.register(self._stop_at_exit)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self, *, immediate: bool = False) -> None:
        """Stops the server: it closes cleanly, or at once and recovers when started again.

        Stopping a server that is down does nothing.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            self._process.wait(timeout=_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            self._forget()

    def kill(self) -> None:
        """Ends the server as a crash of the machine would: SIGKILL to all of its processes."""
        process = self._running()
        kill_family(process.pid)
        process.wait()
        self._forget()

    def restart(self) -> None:
        """Starts the server again over the same data, stopping it first if it runs."""
        self.stop()
        self.start()

    def require_standby(self) -> None:
        """From now on, also after a restart, each COMMIT waits until a standby has it."""
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            waiting = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            deadline = time.monotonic() + _START_TIMEOUT_SECONDS
            while connection.execute(waiting).fetchone() == (0,):
                if time.monotonic() > deadline:
                    raise RuntimeError("No standby replicates.")
                time.sleep(_POLL_SECONDS)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _log(self) -> Path:
        return self.directory / "postgres.log"

    def _initialize(self, *, durable: bool) -> None:
        command = [str(self.programs.path("initdb")), "-D", str(self._data), "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        command += [] if durable else ["--no-sync"]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=_plain_environment(),
            **self.programs.identity,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr.strip()}")

    def _wait_until_it_answers(self) -> None:
        process = self._running()
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if process.poll() is None and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
                    continue
                tail = self._log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
                raise RuntimeError(f"PostgreSQL did not start: {error}\n{tail}") from error
            return

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("This server is down.")
        return self._process

    def _forget(self) -> None:
        self._process = None
        atexit.unregister(self._stop_at_exit)
        if self._watchdog is not None:
            self._watchdog.stand_down()
            self._watchdog = None

    def _stop_at_exit(self) -> None:
        # A forked child inherits the hook, but not the server.
        if os.getpid() == self._owner:
            self.stop(immediate=True)


def start_postgres(
    directory: Path, *, durable: bool, settings: Mapping[str, str] = _NO_SETTINGS
) -> PostgresServer:
    """Starts a server whose data, log and socket lie in `directory`; what is there is kept.

    `durable` waits for the disk as production does; tests that kill and benchmarks need it. The
    directory must be short and, when root runs this, open to other accounts:
    `temporary_directory` is both. `settings` go on top, such as {"max_connections": "200"}.

    Raises:
        PostgresUnavailableError: this machine has no PostgreSQL.
        ValueError: the directory's path is too long for a Unix socket.
        RuntimeError: the server did not start; the text says why.
    """
    directory = directory.absolute()
    if len(os.fsencode(directory / f".s.PGSQL.{_PORT}")) > _SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"{directory} is too long a path for a Unix socket")
    programs = find_programs()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    user, group = programs.identity["user"], programs.identity["group"]
    if user is not None and group is not None:
        os.chown(directory, user, group)
    own = {"listen_addresses": "", "unix_socket_directories": str(directory), "timezone": "UTC"}
    durability = _DURABLE if durable else _FAST
    server = PostgresServer(directory, programs, {**own, **durability, **settings})
    if not (directory / "data" / "PG_VERSION").exists():
        server._initialize(durable=durable)
    server.start()
    return server


def server_of(url: str) -> str:
    """Where the server of a database URL listens: host:port, or the path of its Unix socket."""
    parsed = make_url(url)
    host, port = parsed.host or parsed.query.get("host"), parsed.port or parsed.query.get("port")
    assert isinstance(host, str), "one server, please"
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{port or _PORT}"
    return f"{host}:{port or _PORT}"


def through(proxy: FaultProxy, url: str) -> str:
    """The same database, reached over a proxy."""
    parsed = make_url(url)
    host, _, port = proxy.address.rpartition(":")
    query = {name: value for name, value in parsed.query.items() if name not in ("host", "port")}
    there = parsed.set(host=host, port=int(port), query=query)
    return there.render_as_string(hide_password=False)


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Yields a new directory fit for `start_postgres`, and removes it with all it holds."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def open_postgres(url: str | None = None) -> Iterator[Postgres]:
    """Yields the server of that URL or of TEST_DATABASE_URL, or else a fast one of our own.

    Raises:
        PostgresUnavailableError: neither is to be had.
    """
    url = url or os.environ.get("TEST_DATABASE_URL")
    if url is not None:
        yield Postgres(make_url(url))
        return
    with temporary_directory() as directory:
        server = start_postgres(directory, durable=False)
        try:
            yield server
        finally:
            server.stop(immediate=True)


def _plain_environment() -> dict[str, str]:
    """No PG* variable or locale of the developer's reaches a server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
