"""One server, two furnished merchants, and clients that say in full what they heard."""

import base64
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from giftcard import v1
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from server.settings import Settings
from tests.operations import DAY, Clock
from tests.rpc.server_thread import ServerThread, keys_in, principal

START = 20_513 * DAY + DAY // 2  # 2026-03-01T12:00Z
SERVICE = "giftcard.v1.GiftCardService"
SCOPES = "READ SELL REDEEM REFUND MANAGE ADJUST CONFIGURE ADMINISTER"
MERCHANTS = ("own", "other")
STUBS: tuple[Any, ...] = (
    v1.GiftCardServiceStub, v1.CustomerServiceStub, v1.ProgramServiceStub,
    v1.LocationServiceStub, v1.AdminServiceStub,
)  # fmt: skip


def unique(prefix: str = "r") -> str:
    return f"{prefix}{uuid.uuid4().hex[:12]}"


def usd(minor_units: int) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code="USD")


@dataclass(frozen=True, slots=True)
class Heard:
    """How a call ended. `message` is None unless it was answered.

    `details` are the names of the error's details, in order; `raw` is the whole error as bytes.
    """

    code: str
    message: Any = None
    replayed: bool = False
    reason: str = ""
    text: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    retry_milliseconds: int | None = None
    details: tuple[str, ...] = ()
    raw: bytes = b""


def heard_error(error: Any) -> Heard:
    status = rpc_status.from_call(error)
    if status is None:
        return Heard(error.code().name, text=error.details() or "")
    reason, metadata, fields, retry = "", {}, [], None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        again = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "giftcard.v1"
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            fields += [violation.field for violation in bad.field_violations]
        elif detail.Unpack(again):
            retry = again.retry_delay.ToMilliseconds()
    names = tuple(detail.type_url.rpartition(".")[2] for detail in status.details)
    raw = status_pb2.Status.SerializeToString(status, deterministic=True)
    return Heard(
        error.code().name, None, False, reason, status.message, metadata, tuple(fields), retry,
        names, raw,
    )  # fmt: skip


def heard_answer(message: Message, call: Any) -> Heard:
    trailing = dict(call.trailing_metadata() or ())
    return Heard("OK", message, trailing.get("giftcard-replayed") == "true")


def authorization(credential: str) -> str:
    """A bearer token or, with a colon, login and password."""
    if ":" in credential:
        return f"Basic {base64.b64encode(credential.encode()).decode()}"
    return f"Bearer {credential}"


class Client:
    """Calls by method name, over one connection."""

    def __init__(self, port: int) -> None:
        # No connection of another client may be shared: a server that was killed would be in it.
        options = (("grpc.use_local_subchannel_pool", 1),)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        self._stubs = [stub(self.channel) for stub in STUBS]

    def close(self) -> None:
        self.channel.close()

    def begin(self, request: Message, token: str | None = "own", **options: Any) -> Any:
        """Sends it; see `call` for what may be said besides."""
        method, metadata, timeout = self._prepared(request, token, **options)
        return method.future(request, metadata=metadata, timeout=timeout)

    def wait(self, future: Any) -> Heard:
        try:
            message = future.result()
        except grpc.RpcError as error:
            return heard_error(error)
        return heard_answer(message, future)

    def call(self, request: Message, token: str | None = "own", **options: Any) -> Heard:
        """Calls the method that takes such a request, and waits.

        Options: `book` and `metadata` to send, `timeout` in seconds.
        """
        method, metadata, timeout = self._prepared(request, token, **options)
        try:
            message, call = method.with_call(request, metadata=metadata, timeout=timeout)
        except grpc.RpcError as error:
            return heard_error(error)
        return heard_answer(message, call)

    def _prepared(
        self,
        request: Message,
        token: str | None,
        *,
        book: str | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float = 20,
    ) -> tuple[Any, tuple[tuple[str, str | bytes], ...], float]:
        sent = list(metadata)
        if token is not None:
            sent.append(("authorization", authorization(token)))
        if book is not None:
            sent.append(("giftcard-book", book))
        name = request.DESCRIPTOR.name.removesuffix("Request")
        (method,) = [getattr(stub, name) for stub in self._stubs if hasattr(stub, name)]
        return method, tuple(sent), timeout

    def answer(self, request: Message, token: str | None = "own", **options: Any) -> Any:
        """The answer; a request id is added where there is none."""
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:  # type: ignore[attr-defined]
            request.request_id = unique()  # type: ignore[attr-defined]
        heard = self.call(request, token, **options)
        assert heard.code == "OK", heard
        return heard.message

    def raw(
        self,
        path: str,
        data: bytes,
        token: str | None = "own",
        metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> Heard:
        """Calls a method by its path with bytes that need not be a message."""
        sent = list(metadata)
        if token is not None:
            sent.append(("authorization", authorization(token)))
        method: Any = self.channel.unary_unary(path)
        return self.wait(method.future(data, metadata=tuple(sent), timeout=20))

    # Short ways to what many tests start with

    def issue(self, minor_units: int, token: str = "own", **parts: Any) -> Any:
        book = parts.pop("book", None)
        program = parts.pop("program", "programs/GC")
        request = v1.IssueGiftCardRequest(program=program, amount=usd(minor_units), **parts)
        return self.answer(request, token, book=book).gift_card


class Stage(Client):
    """A client of a running server that has the merchants "own" and "other".

    Each has the location `shop` (Vienna), and the programs GC, PIN (cards need a PIN), EURO and
    WHOLE (no partial redemption).
    """

    def __init__(self, thread: ServerThread, clock: Clock) -> None:
        super().__init__(thread.port)
        self.thread = thread
        self.clock = clock

    def restart(self, *, kill: bool = False) -> None:
        self.close()
        if kill:
            self.thread.kill()
        else:
            self.thread.stop()
        self.thread.start()
        Client.__init__(self, self.thread.port)

    def rows(self, table: str = "ledger_transaction") -> int:
        with self.thread.database.connect_reader() as connection:
            count: int = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
        return count


@contextmanager
def running(database_url: str, directory: Path, **settings: Any) -> Iterator[Stage]:
    """A stage over an empty database; `settings` go on top of those that suit tests."""
    parts: dict[str, Any] = {
        "database_url": database_url, "grpc_address": "127.0.0.1:0", "access_log": False,
        "remember_seconds": 1, "drain_seconds": 5,
        # Tests name what is not there more often than any client may.
        "lookup_misses_per_client_max": 10**9, "lookup_misses_max": 10**9, **settings,
    }  # fmt: skip
    clock = Clock(START)
    thread = ServerThread(Settings(**parts), keys_in(directory), clock)
    thread.add("platform", principal("operations", "platform", "READ PLATFORM"))
    for merchant in MERCHANTS:
        thread.add(merchant, principal(merchant, "till", SCOPES))
    thread.start()
    stage = Stage(thread, clock)
    try:
        for merchant in MERCHANTS:
            furnish(stage, merchant)
        yield stage
    finally:
        stage.close()
        thread.stop()


def furnish(client: Client, merchant: str) -> None:
    client.answer(
        v1.CreateMerchantRequest(
            merchant_id=merchant, merchant=v1.Merchant(display_name=merchant, time_zone="UTC")
        ),
        "platform",
    )
    place = v1.Location(country_code="AT", time_zone="Europe/Vienna")
    client.answer(v1.CreateLocationRequest(location_id="shop", location=place), merchant)
    programs = {
        "GC": v1.Program(currency_code="USD"),
        "PIN": v1.Program(currency_code="USD", pin_required=True),
        "EURO": v1.Program(currency_code="EUR"),
        "WHOLE": v1.Program(currency_code="USD", partial_redeem_allowed=False),
    }
    for name, facts in programs.items():
        client.answer(v1.CreateProgramRequest(program_id=name, program=facts), merchant)
