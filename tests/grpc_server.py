"""The real server as a process of its own, for fault suites, benchmarks and client tests.

    with GrpcServer(database_url, directory) as server:
        server.start()
        channel = grpc.insecure_channel(server.address)
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        ...
        assert server.stop() == 0

An empty database gets a merchant, a program and an API client first, decided by an in-process
ledger like any other; with GIFTCARD_DEMO=1 the server itself loads the demo merchant instead.  No
process started here outlives the one that started it.  This module knows nothing of what callers
ask the server.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from server import app
from server.__main__ import READY
from server.domain import access, administration
from server.domain import commands as c
from server.domain.model import Program
from server.ledger import Answer, Ledger
from server.secrets import (
    SecretKeys,
    create_development_keys,
    hash_password,
    load_keys,
    token_hash,
)
from server.settings import Settings
from server.storage.database import Database
from tests.processes import Watchdog, kill_family, said_until

__all__ = ["LOGIN", "PASSWORD", "PROGRAM", "TOKEN", "GrpcServer", "add_merchant", "keys_in", "seed"]

MERCHANT_ID: Final = "shop"
CLIENT_ID: Final = "till"
PROGRAM: Final = "programs/GC"
LOCATION: Final = "1001"
#: Of the API client that `seed` makes: all scopes, both kinds of credential.
TOKEN: Final = "gct_of-a-test-server-that-nobody-else-can-reach"
LOGIN: Final = "till-login"
PASSWORD: Final = "till-password"

_SCOPES: Final = (
    "READ", "SELL", "REDEEM", "REFUND", "MANAGE", "ADJUST", "CONFIGURE", "ADMINISTER",
)  # fmt: skip
_ROOT: Final = Path(__file__).parent.parent
_START_TIMEOUT_SECONDS: Final = 60.0
_STOP_TIMEOUT_SECONDS: Final = 60.0
_LOG_TAIL_CHARACTERS: Final = 4000
_NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})


def keys_in(directory: Path) -> Path:
    """The key file in `directory`, made when it is not there yet."""
    path = directory / "keys.json"
    if not path.exists():
        create_development_keys(path)
    return path


class GrpcServer:
    """A server process over one database.  Start, stop and kill it as often as needed.

    `module` is what python -m runs, with its arguments; `environment` holds further settings
    (GIFTCARD_…).  Each start takes a free port unless `port` names one.  What it says on standard
    error is kept in `directory`, whose key file servers over one database share.
    """

    def __init__(
        self,
        database_url: str,
        directory: Path,
        *,
        module: Sequence[str] = ("server",),
        environment: Mapping[str, str] = _NOTHING_MORE,
        port: int = 0,
        log_name: str = "server.log",
    ) -> None:
        self.database_url = database_url
        self.log_path = directory / log_name
        self.address = ""
        #: From the start of the process to its ready line, of the last start.
        self.start_seconds = 0.0
        self._module = tuple(module)
        self._directory = directory
        self._port = port
        self._more = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._seeded = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    @property
    def process_id(self) -> int:
        """Raises RuntimeError when the server is down."""
        return self._running().pid

    @property
    def engine(self) -> str:
        """sqlite or postgresql."""
        return "sqlite" if self.database_url.startswith("sqlite") else "postgresql"

    @property
    def log(self) -> str:
        """Standard error of every start so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> str:
        """Starts the server, seeding an empty database first; returns the address it serves.

        Raises:
            RuntimeError: it did not say that it is ready; the text ends with the end of its log.
        """
        if self._process is not None:
            raise RuntimeError("This server runs already.")
        if not self._seeded and self._more.get("GIFTCARD_DEMO") != "1":
            seed(self.database_url, keys_in(self._directory))
            self._seeded = True
        started = time.monotonic()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._module],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=_ROOT,
                env=self._environment(),
                # Ctrl-C is for the test run, which then ends the server in its own order.
                start_new_session=True,
            )
        self._watchdog = Watchdog(self._process.pid, "KILL")
        try:
            self.address = self._ready_address()
            self.start_seconds = time.monotonic() - started
        except BaseException:
            self.kill()
            raise
        return self.address

    def terminate(self) -> None:
        """Sends SIGTERM and does not wait: see `wait`."""
        self._running().send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """SIGTERM; waits for the drain and returns the exit status."""
        self.terminate()
        return self.wait()

    def wait(self, timeout_seconds: float = _STOP_TIMEOUT_SECONDS) -> int:
        """Waits until the server has ended by itself; returns its exit status.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        status = self._running().wait(timeout=timeout_seconds)
        self._forget()
        return status

    def kill(self) -> None:
        """SIGKILL to the server and all below it; returns once they are gone."""
        process = self._running()
        kill_family(process.pid)
        process.wait()
        self._forget()

    def _environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("GIFTCARD_")}
        return {
            **own,
            "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_ROOT / "generated"))),
            "GIFTCARD_DATABASE_URL": self.database_url,
            "GIFTCARD_GRPC_ADDRESS": f"127.0.0.1:{self._port}",
            "GIFTCARD_HTTP_ADDRESS": "",
            "GIFTCARD_ADMIN_ADDRESS": "",
            # Tests name what is not there more often than any client may.
            "GIFTCARD_LOOKUP_MISSES_PER_CLIENT_MAX": "1000000000",
            "GIFTCARD_LOOKUP_MISSES_MAX": "1000000000",
            "GIFTCARD_KEY_FILE": str(keys_in(self._directory)),
            **self._more,
        }

    def _ready_address(self) -> str:
        line = said_until(self._running(), b"\n", _START_TIMEOUT_SECONDS)
        if not (line.startswith(READY) and line.endswith("\n")):
            tail = self.log[-_LOG_TAIL_CHARACTERS:]
            raise RuntimeError(f"The server is not ready. It said:\n{line}{tail}")
        return line.removeprefix(READY).strip()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("This server is down.")
        return self._process

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            process.stdout.close()
        if self._watchdog is not None:
            self._watchdog.stand_down()
            self._watchdog = None


def seed(database_url: str, key_file: Path) -> None:
    """Migrates the database and, when it has no merchant yet, adds what the constants name."""
    settings = Settings(database_url=database_url, key_file=str(key_file))
    keys = load_keys(key_file, None, production=False)
    with contextlib.closing(app.open_database(settings)) as database:
        with database.connect_reader() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM merchant").scalar_one()
        if not count:
            _Seeding(database, keys, MERCHANT_ID, TOKEN).run()


def add_merchant(database_url: str, key_file: Path, merchant_id: str, token: str) -> None:
    """Another merchant with the same program and location, whose API client has this token."""
    settings = Settings(database_url=database_url, key_file=str(key_file))
    keys = load_keys(key_file, None, production=False)
    with contextlib.closing(app.open_database(settings)) as database:
        _Seeding(database, keys, merchant_id, token, login=f"{merchant_id}-login").run()


class _Seeding:
    def __init__(
        self, database: Database, keys: SecretKeys, merchant_id: str, token: str, login: str = LOGIN
    ) -> None:
        self._ledger = Ledger(database, app.make_processor(keys))
        self._token, self._login = token, login
        self._owner = administration.Owner(merchant_id, administration.home_cell(merchant_id))
        self._now = app.clock()

    def run(self) -> None:
        now = self._now
        merchant_id = self._owner.merchant_id
        merchant = administration.Merchant(merchant_id, "Shop", "UTC", now, now)
        name = f"merchants/{merchant_id}"
        self._decide("merchant", name, administration.create_merchant(merchant, None))
        plan = Program("", 1, merchant_id, "GC", "Gift card", "USD")
        terms = {"id": app.make_id(now, None), "create_time": now, "update_time": now}
        program = administration.with_terms(plan, terms)
        effect = administration.create_program(self._owner, program, None)
        self._decide("program", PROGRAM, effect)
        site = administration.Site(
            app.make_id(now, None), LOCATION, "Store", "US", "UTC", "", now, now
        )
        effect = administration.create_location(self._owner, site, None)
        self._decide("location", f"locations/{LOCATION}", effect)
        client = access.Client(
            CLIENT_ID, merchant_id, "Till", _SCOPES, "", administration.ENABLED, now, now
        )
        held = frozenset(_SCOPES)
        effect = access.create_client(self._owner, client, None, held)
        self._decide("apiClient", f"{name}/apiClients/{CLIENT_ID}", effect)
        for login, secret in (
            ("", access.StoredSecret(token_hash=token_hash(self._token))),
            (self._login, access.StoredSecret(password_hash=hash_password(PASSWORD))),
        ):
            self._give_credential(client, login, secret)
        self._ledger.close()

    def _give_credential(
        self, client: access.Client, login: str, secret: access.StoredSecret
    ) -> None:
        kind = access.PASSWORD if login else access.TOKEN
        credential = access.Credential(
            app.make_id(self._now, None), client.merchant_id, CLIENT_ID, kind, login, None, None,
            self._now,
        )  # fmt: skip
        effect = access.create_credential(
            self._owner, client, credential, (), frozenset(_SCOPES), login_taken=False,
            now=self._now,
        )  # fmt: skip
        effect = access.with_secret(effect, secret)
        self._decide("credential", f"credentials/{credential.id}", effect)

    def _decide(self, resource: str, name: str, effect: administration.Effect) -> None:
        outcome = self._ledger.execute(
            c.Envelope(
                c.Caller(self._owner.merchant_id, "seed", self._owner.cell),
                f"seed/{name}",
                c.Administer(resource, "create", name),
                received_time=self._now,
                changes=effect.changes,
                facts=effect.facts,
            )
        )
        assert isinstance(outcome, Answer), f"{name} was not created: {outcome!r}"
