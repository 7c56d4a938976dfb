"""What is measured: the product on SQLite and on PostgreSQL, and the echo server.

Each is a process of its own over a fresh database.  This module starts them and knows no figures.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import grpc

from tests.bench.cloning import clone_cards
from tests.bench.load import METHODS, ROOT, BenchError
from tests.bench.machine import cpu_seconds
from tests.bench.python_loadgen import card_code, lookup, redemption
from tests.bench.seeding import seed_cards
from tests.compat.stage import ShimServer
from tests.grpc_server import TOKEN, GrpcServer, keys_in
from tests.postgres import PostgresServer, start_postgres
from tests.processes import Watchdog, kill_family

Cpu = Callable[[], float]

_CALL_TIMEOUT_SECONDS: Final = 30
#: Cards that the ledger issues; what is beyond is cloned from them.
_BY_LEDGER_MAX: Final = 100_000
_READ_BYTES: Final = 1 << 24
_ECHO_READY: Final = "echo ready: "
_NO_MORE: Final[Mapping[str, Cpu]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load, and whose processor time to count, by name."""

    address: str
    cards: int
    cpu: dict[str, Cpu]
    process_id: int
    #: From the start of the process to its ready line; 0 where it was not measured.
    start_seconds: float = 0.0
    #: What its SQLite file takes; 0 for the others.
    file_bytes: int = 0


class Stage(ExitStack):
    """Everything that runs during a benchmark; leaving it ends every process."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        super().__init__()
        self._directory = directory
        self._say = say
        self._postgresql_url: str | None = None

    def sqlite(self, name: str, cards: int, module: tuple[str, ...] = ("server",)) -> Target:
        """The product on SQLite: synchronous=FULL, access log written to a file."""
        return self._sqlite(self._directory / name, cards, module)

    def kept_sqlite(self, parent: Path, cards: int) -> Target:
        """The same over a database that stays: seeding millions of cards takes minutes.

        It is read once, so that the system has it in memory as far as that reaches, as on a
        machine that has served these cards for a while; a file of yesterday would be measured cold.
        """
        target = self._sqlite(parent / f"cards-{cards}", cards, ("server",))
        self._say(f"Reading {target.file_bytes / 2**30:.1f} GiB once")
        with (parent / f"cards-{cards}" / "giftcard.sqlite3").open("rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass
        return target

    def _sqlite(self, folder: Path, cards: int, module: tuple[str, ...]) -> Target:
        folder.mkdir(parents=True, exist_ok=True)
        file, complete = folder / "giftcard.sqlite3", folder / "complete"
        if not complete.exists():
            self._say(f"Seeding SQLite with {cards:,} cards")
            file.unlink(missing_ok=True)
            by_ledger = min(cards, _BY_LEDGER_MAX)
            seed_cards(f"sqlite:///{file}", keys_in(folder), by_ledger, self._say)
            if by_ledger < cards:
                clone_cards(file, keys_in(folder), by_ledger, cards, self._say)
            complete.touch()
        target = self._serve(GrpcServer(f"sqlite:///{file}", folder, module=module), cards)
        return replace(target, file_bytes=file.stat().st_size)

    def postgres(self) -> PostgresServer:
        """A PostgreSQL that waits for the disk at every commit."""
        self._say("Starting PostgreSQL")
        postgres = start_postgres(self._directory / "pg", durable=True)
        self.callback(postgres.stop, immediate=True)
        return postgres

    def postgresql(
        self,
        postgres: PostgresServer,
        cards: int,
        workers: int,
        module: tuple[str, ...] = ("server",),
    ) -> Target:
        """The product on PostgreSQL, with one worker or several behind one port.

        Calls after the first start another service over the same database.
        """
        folder = self._directory / "postgresql"
        if self._postgresql_url is None:
            folder.mkdir()
            self._postgresql_url = postgres.create_database("giftcard")
            self._say(f"Seeding PostgreSQL with {cards:,} cards")
            seed_cards(self._postgresql_url, keys_in(folder), cards, self._say)
            with postgres.connect("giftcard") as connection:
                connection.execute("VACUUM ANALYZE")
        url = self._postgresql_url
        if workers > 1:
            module = ("server.cli", "serve")
        setting = {"GIFTCARD_WORKERS": str(workers)}
        database = {"database": lambda: cpu_seconds(postgres.process_id)}
        return self._serve(
            GrpcServer(url, folder, module=module, environment=setting), cards, database
        )

    def _serve(self, server: GrpcServer, cards: int, more: Mapping[str, Cpu] = _NO_MORE) -> Target:
        self.enter_context(server)
        address, process_id = server.start(), server.process_id
        return Target(
            address, cards, {"server": lambda: cpu_seconds(process_id), **more}, process_id,
            server.start_seconds,
        )  # fmt: skip

    def shim(self, service: Target) -> Target:
        """The shim before a service; whatever the two use is the server's share."""
        self._say("Starting the shim")
        folder = self._directory / "shim"
        folder.mkdir()
        shim = self.enter_context(ShimServer(service.address, folder))
        address, process_id = shim.start(), shim.process_id
        cpu = {"server": lambda: cpu_seconds(process_id) + service.cpu["server"]()}
        return Target(address, service.cards, cpu, process_id)

    def echo(self, like: Target, workers: int = 1) -> Target:
        """The echo server, whose answers are as long as those that `like` really gives."""
        self._say("Starting the echo server" + (f", {workers} workers" if workers > 1 else ""))
        code = card_code(0)
        answers = {
            "RedeemGiftCard": _answer(like.address, "redeem", redemption(code)).hex(),
            "LookupGiftCard": _answer(like.address, "lookup", lookup(code)).hex(),
        }
        address, process_ids = "127.0.0.1:0", []
        for _ in range(workers):
            address, process_id = self._echo_process(address, answers)
            process_ids.append(process_id)
        cpu = {"server": lambda: sum(map(cpu_seconds, process_ids))}
        return Target(address, like.cards, cpu, process_ids[0])

    def _echo_process(self, address: str, answers: dict[str, str]) -> tuple[str, int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.echo_server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'generated'}"},
            start_new_session=True,
        )  # fmt: skip
        watchdog = Watchdog(process.pid, "KILL")
        self.callback(_end, process, watchdog)
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps([address, answers]), file=process.stdin, flush=True)
        line = process.stdout.readline().strip()
        if not line.startswith(_ECHO_READY):
            raise BenchError("The echo server did not start.")
        return line.removeprefix(_ECHO_READY), process.pid


def _end(process: subprocess.Popen[str], watchdog: Watchdog) -> None:
    kill_family(process.pid)
    process.communicate()
    watchdog.stand_down()


def _answer(address: str, kind: str, request: bytes) -> bytes:
    """One real answer, serialized."""
    with grpc.insecure_channel(address) as channel:
        method: Any = channel.unary_unary(METHODS[kind])
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        answer: bytes = method(request, metadata=metadata, timeout=_CALL_TIMEOUT_SECONDS)
        return answer
