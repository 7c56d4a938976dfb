"""The real server on a free port over a real database, for the tests of the set-up's services."""

import asyncio
import base64
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from giftcard import v1
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from server.app import Server, open_database
from server.domain.administration import home_cell
from server.secrets import create_development_keys, load_keys, token_hash
from server.settings import Settings
from server.storage.database import Database
from server.storage.directory import Principal

#: Token -> merchant and scopes.  "own" and "other" are two merchants like any.
OPERATORS = {
    "platform": ("operations", ("READ", "PLATFORM")),
    "own": ("own", ("READ", "SELL", "REDEEM", "CONFIGURE", "ADMINISTER")),
    "other": ("other", ("READ", "SELL", "REDEEM", "CONFIGURE", "ADMINISTER")),
    "reader": ("own", ("READ",)),
    "administrator": ("own", ("ADMINISTER",)),
    "nothing": ("own", ("REFUND",)),
}

#: Everything that a call to one of the services may write.
TABLES = (
    "merchant", "location", "program", "program_version", "api_client", "credential",
    "ledger_transaction", "ledger_commit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """How a call ended; `message` is None unless it was answered."""

    code: str
    message: Any = None
    reason: str = ""
    field: str = ""
    replayed: bool = False


class Stage:
    """A client of one server."""

    def __init__(self, database: Database, port: int) -> None:
        self.database = database
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        stubs: tuple[Any, ...] = (
            v1.AdminServiceStub, v1.LocationServiceStub, v1.ProgramServiceStub
        )  # fmt: skip
        self._stubs = [stub(self.channel) for stub in stubs]

    def call(self, method: str, request: Message, token: str = "own") -> Said:
        return self.wait(self.begin(method, request, token))

    def begin(self, method: str, request: Message, token: str = "own") -> Any:
        """`token` is a bearer token or, with a colon, login and password."""
        value = f"Bearer {token}"
        if ":" in token:
            value = f"Basic {base64.b64encode(token.encode()).decode()}"
        (callable_,) = [getattr(stub, method) for stub in self._stubs if hasattr(stub, method)]
        return callable_.future(request, metadata=(("authorization", value),), timeout=20)

    def wait(self, future: Any) -> Said:
        try:
            message = future.result()
        except grpc.RpcError as error:
            return _failure(error)
        trailing = dict(future.trailing_metadata() or ())
        return Said("OK", message, replayed=trailing.get("giftcard-replayed") == "true")

    def answer(self, method: str, request: Message, token: str = "own") -> Any:
        said = self.call(method, request, token)
        assert said.code == "OK", said
        return said.message

    def rows(self) -> dict[str, int]:
        with self.database.connect_reader() as connection:
            return {
                table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
                for table in TABLES
            }

    def contents(self) -> str:
        """Every value of every one of the tables, as text."""
        with self.database.connect_reader() as connection:
            return "\n".join(
                repr([bytes(v) if isinstance(v, memoryview) else v for v in row])
                for table in TABLES
                for row in connection.exec_driver_sql(f"SELECT * FROM {table}")
            )


def _failure(error: Any) -> Said:
    status = rpc_status.from_call(error)
    if status is None:
        return Said(error.code().name)
    reason = field = ""
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
            assert info.domain == "giftcard.v1"
        elif detail.Unpack(bad):
            field = bad.field_violations[0].field
    return Said(error.code().name, None, reason, field)


def dollars(amount: int) -> v1.Money:
    return v1.Money(minor_units=amount * 100, currency_code="USD")


ENGINES = ("sqlite", "postgresql")


def unique(prefix: str = "x") -> str:
    return f"{prefix}{uuid.uuid4().hex[:12]}"


@contextmanager
def open_stage(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage on the engine that the fixture's parameter names."""
    directory = factory.mktemp("stage")
    if request.param == "sqlite":
        with running(f"sqlite:///{directory / 'giftcard.db'}", directory) as stage:
            yield stage
        return
    postgres = request.getfixturevalue("postgres")
    name = unique("stage_")
    with running(postgres.create_database(name), directory) as stage:
        yield stage
    postgres.drop_database(name)


@contextmanager
def running(database_url: str, directory: Path) -> Iterator[Stage]:
    """A server in a thread of its own, with merchants "own" and "other".

    Each has a location (own-shop), a program (GC) and an API client (till: READ, SELL).
    """
    key_file = directory / "keys.json"
    create_development_keys(key_file)
    settings = Settings(
        database_url=database_url, grpc_address="127.0.0.1:0", access_log=False,
        remember_seconds=0, drain_seconds=1,
    )  # fmt: skip
    operators = {
        token_hash(token): Principal(
            merchant, token, home_cell(merchant), "UTC", frozenset(scopes), "", None
        )
        for token, (merchant, scopes) in OPERATORS.items()
    }
    database = open_database(settings)
    started: list[Any] = []
    ready = threading.Event()

    async def serve() -> None:
        server = Server(
            settings, database, load_keys(key_file, None, production=False), operators=operators
        )
        started.extend((asyncio.get_running_loop(), server, await server.start()))
        ready.set()
        await server.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="stage")
    thread.start()
    assert ready.wait(30)
    loop, server, port = started
    stage = Stage(database, port)
    try:
        _furnish(stage)
        yield stage
    finally:
        stage.channel.close()
        loop.call_soon_threadsafe(server.request_stop)
        thread.join(30)


def _furnish(stage: Stage) -> None:
    for merchant in ("own", "other"):
        stage.answer(
            "CreateMerchant",
            v1.CreateMerchantRequest(
                merchant_id=merchant,
                merchant=v1.Merchant(display_name=merchant.title(), time_zone="UTC"),
                request_id=unique(),
            ),
            "platform",
        )
        stage.answer(
            "CreateLocation",
            v1.CreateLocationRequest(
                location_id=f"{merchant}-shop",
                location=v1.Location(country_code="AT", time_zone="Europe/Vienna"),
                request_id=unique(),
            ),
            merchant,
        )
        stage.answer(
            "CreateProgram",
            v1.CreateProgramRequest(
                program_id="GC",
                program=v1.Program(currency_code="USD", min_amount=dollars(1)),
                request_id=unique(),
            ),
            merchant,
        )
        stage.answer(
            "CreateApiClient",
            v1.CreateApiClientRequest(
                parent=f"merchants/{merchant}",
                api_client_id="till",
                api_client=v1.ApiClient(scopes=[v1.ApiClient.READ, v1.ApiClient.SELL]),
                request_id=unique(),
            ),
            "platform",
        )
