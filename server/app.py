"""The composition root: the one module that sees all others and puts them together."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import Tracer

from server.certificate import Studio
from server.domain.ids import shard_bits_of
from server.ledger import BatchProcessor, Ledger
from server.ledger.reader import Reader
from server.readiness import Readiness
from server.rpc import (
    admin_service,
    customer_service,
    gift_card_service,
    location_service,
    program_service,
)
from server.rpc.access_log import AccessLog
from server.rpc.bridge import Bridge
from server.rpc.budget import LookupBudget
from server.rpc.calls import Edge, Rpc, UnknownMethods
from server.rpc.identity import Directory
from server.secrets import (
    PasswordVerifier,
    SecretKeys,
    create_development_keys,
    load_keys,
    new_id,
)
from server.settings import Settings, key_source
from server.storage import migrate, probe
from server.storage.checkpoint import Checkpointer
from server.storage.database import Database
from server.storage.directory import Principal
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import BatchSpans
from server.tls import ServerCertificate

logger = logging.getLogger("giftcard")

#: The exit status when only a fresh start can tell what was committed.
FATAL_STATUS = 70

#: gRPC's own limit is so many times ours: what is too large for us still gets an ErrorInfo.
_TRANSPORT_TIMES = 16
#: Calls that may wait until the loop comes to them.  gRPC drops at random from 1,000 on, and says
#: CANCELLED without a reason; ours are shed by the queue, which says that nothing was done.
_PENDING_MAX = 50_000
_WATCH_SECONDS = 0.5
#: An event loop that did not come by for so long stands still.
_LOOP_SECONDS_MAX = 10.0


def clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def make_id(now: int, like: str | None) -> str:
    """A new id, with the shard hint of the card that it belongs to."""
    return new_id(now, None if like is None else shard_bits_of(like))


def keys_of(settings: Settings) -> SecretKeys:
    """Loads the keys; in development makes them first, readable by their owner only."""
    path, text = key_source(settings)
    if path is not None and not settings.production and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        create_development_keys(path)
        logger.info("development keys created", extra={"path": str(path)})
    return load_keys(path, text, production=settings.production)


def make_processor(keys: SecretKeys, now: Callable[[], int] = clock) -> BatchProcessor:
    def pin_matches(card_id: str, pin: str, stored: str) -> bool:
        return keys.pin_matches(card_id, pin, bytes.fromhex(stored))

    return BatchProcessor(clock=now, new_id=make_id, pin_matches=pin_matches)


def open_database(settings: Settings) -> Database:
    """Opens the database and brings its schema up to date."""
    if settings.database_url.startswith("sqlite:///"):
        Path(settings.database_url.removeprefix("sqlite:///")).parent.mkdir(
            parents=True, exist_ok=True
        )
    database = Database(settings.database_url, production=settings.production)
    migrate.upgrade(database)
    return database


class _Service(Protocol):
    def rpcs(self) -> list[Rpc]: ...


class Server:
    """Everything that runs in one process.  `start`, then `wait`, then `stop`.

    `operators` are credentials that live in this process's memory only: the command line uses
    one to talk to the server that it has just started for itself.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keys: SecretKeys,
        *,
        now: Callable[[], int] = clock,
        operators: dict[bytes, Principal] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.port = 0
        self._certificate = ServerCertificate(settings) if settings.tls else None
        if self._certificate is not None:
            self.metrics.gauge(
                "giftcard_certificate_expiry_timestamp_seconds",
                "When the certificate that is served ends.",
                self._certificate.expire_timestamp,
            )
        self._database = database
        self._stopping = asyncio.Event()
        self._fatal = False
        self._loop = asyncio.get_running_loop()
        ledger = Ledger(
            database,
            make_processor(keys, now),
            on_fatal=self._on_fatal_elsewhere,
            queue_limit=settings.queue_limit,
            queue_reserve=settings.queue_reserve,
            batch_limit=settings.batch_limit,
        )
        self._bridge = Bridge(
            ledger,
            Reader(database),
            Reader(database),
            on_loop=database.is_sqlite,
            metrics=self.metrics,
            spans=BatchSpans(tracer) if tracer is not None else None,
        )
        self._readiness = Readiness(
            database,
            now=now,
            stuck=lambda: self._bridge.batch_seconds() > settings.commit_timeout_seconds,
            disk_free_min_bytes=settings.disk_free_min_mebibytes << 20,
            metrics=self.metrics,
        )
        self._beat_time = time.monotonic()
        for name, size in probe.file_sizes(database).items():
            self.metrics.gauge(f"giftcard_sqlite_{name}_bytes", f"SQLite's {name} file.", size)
        self._checkpointer = Checkpointer(database) if database.is_sqlite else None
        self._directory = directory = Directory(
            self._bridge,
            clock=now,
            passwords=PasswordVerifier(),
            remember_seconds=settings.remember_seconds,
            operators=operators or {},
        )
        self._access_log = AccessLog(sys.stderr.buffer if settings.access_log else None)
        self._edge = Edge(
            directory,
            self._access_log,
            clock=now,
            request_bytes_max=settings.request_bytes_max,
            budget=LookupBudget(settings),
            metrics=self.metrics,
            tracer=tracer,
        )
        self._studio = Studio()
        self._services: dict[str, _Service] = {
            gift_card_service.SERVICE: gift_card_service.GiftCardService(
                self._bridge,
                directory,
                keys,
                clock=now,
                reserve_codes_max=settings.reserve_codes_max,
                studio=self._studio,
            ),
            customer_service.SERVICE: customer_service.CustomerService(
                self._bridge, directory, keys, clock=now
            ),
            program_service.SERVICE: program_service.ProgramService(
                self._bridge, directory, keys, clock=now
            ),
            location_service.SERVICE: location_service.LocationService(
                self._bridge, directory, keys, clock=now
            ),
            admin_service.SERVICE: admin_service.AdminService(
                self._bridge, directory, keys, clock=now
            ),
        }
        self._health = health.aio.HealthServicer()
        self._grpc = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", _TRANSPORT_TIMES * settings.request_bytes_max),
                ("grpc.so_reuseport", int(settings.workers > 1)),
                ("grpc.max_metadata_size", 16 * 1024),
                ("grpc.server.max_pending_requests", _PENDING_MAX),
                ("grpc.server.max_pending_requests_hard_limit", _PENDING_MAX),
                ("grpc.keepalive_permit_without_calls", 1),
                # The shim asks every two seconds whether a connection is alive that owes an answer.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
            )
        )

    async def start(self) -> int:
        """Starts serving; returns the port."""
        for name, service in self._services.items():
            self._grpc.add_generic_rpc_handlers((self._edge.service(name, service.rpcs()),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if not self.settings.production:
            names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._grpc)
        self._grpc.add_generic_rpc_handlers((UnknownMethods(self._access_log, self.metrics),))
        address = self.settings.grpc_address
        if self._certificate is None:
            self.port = self._grpc.add_insecure_port(address)
        else:
            self.port = self._grpc.add_secure_port(address, self._certificate.credentials())
        await self._grpc.start()
        await asyncio.to_thread(self._readiness.start)
        await self._tell_health(ready=not self._readiness.problems())
        self._watch = asyncio.create_task(self._watch_all())
        if self._checkpointer is not None:
            self._checkpointer.start()
        return self.port

    def request_stop(self) -> None:
        self._readiness.drain()
        self._stopping.set()

    async def wait(self) -> int:
        """Returns the exit status once somebody asked to stop; by then nobody is sent here."""
        await self._stopping.wait()
        await self._health.enter_graceful_shutdown()
        return FATAL_STATUS if self._fatal else 0

    async def stop(self) -> bool:
        """Drains: no new calls, those in flight finish, then the threads and the database.

        False when a COMMIT does not return: the process must end at once, with FATAL_STATUS.
        """
        self._readiness.drain()
        await self._health.enter_graceful_shutdown()
        await self._grpc.stop(self.settings.drain_seconds)
        self._watch.cancel()
        self._studio.close()
        await asyncio.to_thread(self._readiness.stop)
        finished = await self._bridge.close(self.settings.commit_timeout_seconds)
        if finished and self._checkpointer is not None:
            await asyncio.to_thread(self._checkpointer.close)
        self._access_log.flush()
        if finished:
            self._database.close()
        return finished

    async def not_alive(self) -> list[str]:
        """From any thread: what /livez has to say when the event loop stands still."""
        still = time.monotonic() - self._beat_time > _LOOP_SECONDS_MAX
        return ["the event loop stands still"] if still else []

    async def not_ready(self) -> list[str]:
        """From any thread: what /readyz has to say."""
        return self._readiness.problems()

    async def _tell_health(self, *, ready: bool) -> None:
        known = health_pb2.HealthCheckResponse
        for name in ("", *self._services):
            await self._health.set(name, known.SERVING if ready else known.NOT_SERVING)

    def _on_fatal_elsewhere(self) -> None:
        self._loop.call_soon_threadsafe(self._on_fatal)

    def _on_fatal(self) -> None:
        """The outcome of a commit is unknown on SQLite: only a fresh start can tell."""
        logger.critical("stopping: the outcome of a commit is unknown; start again to recover")
        self._fatal = True
        self._stopping.set()

    async def _watch_all(self) -> None:
        """What has to be looked at every moment; it is the pulse that /livez feels."""
        ready = not self._readiness.problems()
        while True:
            slept = time.monotonic()
            await asyncio.sleep(_WATCH_SECONDS)
            self._beat_time = time.monotonic()
            self.metrics.loop_lag(max(0.0, self._beat_time - slept - _WATCH_SECONDS))
            if ready is not self._readiness.look():
                ready = not ready
                await self._tell_health(ready=ready)
            late = self._bridge.give_up_on(self.settings.commit_timeout_seconds)
            if late:
                logger.error("callers were told that the outcome is unknown", extra={"count": late})
