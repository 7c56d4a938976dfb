"""Every setting, read once from the environment and from nowhere else.

Names carry their units.  `from_environment` is the only reader of the environment; everything
else is given what it needs.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DEFAULT_DATABASE_URL = "sqlite:///var/giftcard.db"
DEFAULT_KEY_FILE = "var/development-keys.json"
REMEMBER_SECONDS_MAX = 5
PORT_MAX = 65535

_PORT = re.compile(r"[0-9]{1,5}")


class SettingsError(Exception):
    """A setting cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process needs to know before it starts.  Each field is GIFTCARD_<NAME>."""

    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    """SQLAlchemy URL: sqlite:///FILE or postgresql://…"""

    grpc_address: str = "127.0.0.1:50051"
    """host:port of the canonical service; port 0 takes a free one."""

    http_address: str = "127.0.0.1:8080"
    """host:port of the shim for legacy APIs that `giftcard serve` runs beside; empty: none."""

    admin_address: str = "127.0.0.1:9464"
    """host:port, or unix:PATH, of /livez, /readyz and /metrics, which ask for no credential;
    empty: none."""

    profile: str = "development"
    """development, or production: no reflection, no development keys, a durable database."""

    demo: bool = False
    """Load the demo merchant into an empty database.  Loopback addresses only."""

    workers: int = 1
    """Worker processes that share the port; PostgreSQL only."""

    key_file: str = ""
    """JSON file with pepper and encryption key, readable by its owner only."""

    keys: str = field(default="", repr=False)
    """The same JSON itself, where a file cannot be had."""

    queue_limit: int = 2000
    """Commands of a merchant that may wait for the writer before others are told to come back;
    where several merchants' wait, each may have as many as are left of twice that."""

    queue_reserve: int = 500
    """Places kept beside those for reversals and look-ups."""

    batch_limit: int = 128
    """Commands that share one COMMIT at most."""

    reserve_codes_max: int = 500
    """Codes that one ReserveCodes makes at most, up to 5000."""
    request_bytes_max: int = 65536
    """Largest request message."""

    commit_timeout_seconds: int = 10
    """After this a caller is told that the outcome is unknown."""

    drain_delay_seconds: int = 0
    """How long calls are still taken after SIGTERM, while the health check already says no: a
    balancer needs some of its intervals to look elsewhere."""

    drain_seconds: int = 30
    """How long calls in flight may take after that."""

    disk_free_min_mebibytes: int = 256
    """Less than that beside a SQLite file, and /readyz sends callers elsewhere."""

    remember_seconds: int = 2
    """How long a credential, location or program is remembered, 5 at most: revocation takes this
    long."""

    lookup_misses_per_client_max: int = 100
    """Wrong codes and PINs that one API client may try at a stretch.  These budgets are each
    process's own."""

    lookup_misses_per_client_per_minute: int = 30
    """How fast it gets them back.  Give each store a client of its own."""

    lookup_misses_max: int = 3000
    """Wrong codes and PINs that all clients together may try at a stretch."""

    lookup_misses_per_minute: int = 600
    """How fast these come back."""

    lookup_misses_base_per_hour: int = 20
    """What each client may still miss within an hour while all together have none left."""

    access_log: bool = True
    """One JSON line for each call on standard error."""

    tls_certificate_file: str = ""
    """PEM: the gRPC port's certificate and those between it and its root.  Set: TLS.  It is read
    again for each new connection."""

    tls_key_file: str = ""
    """PEM: its private key, without a password; others must not be able to read it."""

    tls_client_ca_file: str = ""
    """PEM: the authorities of client certificates.  Set: mTLS, without one nobody is let in."""

    allow_plaintext: bool = False
    """Serve without TLS on an address that is not loopback (behind a proxy that has TLS)."""

    @property
    def production(self) -> bool:
        return self.profile == "production"

    @property
    def tls(self) -> bool:
        """Whether the gRPC port speaks TLS."""
        return bool(self.tls_certificate_file)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError for a value that does not fit, or a name that does not exist."""
    known = {f"GIFTCARD_{field.name.upper()}": field for field in fields(Settings)}
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if name not in known:
            if name.startswith(_OF_THE_SHIM) or name in _OF_THE_CLIENT:
                continue
            if name.startswith("GIFTCARD_"):
                raise SettingsError(f"{name} is not a setting. Check its spelling.")
            continue
        values[known[name].name] = _parse(name, text, known[name].type)
    settings = Settings(**values)
    _check(settings)
    return settings


#: One transaction writes them all while others wait.
_RESERVE_CODES_LIMIT = 5000

_MAY_BE_ZERO = frozenset({"GIFTCARD_DRAIN_DELAY_SECONDS"})

#: Read by the command line as a client, not by the server.
_OF_THE_CLIENT = frozenset({
    "GIFTCARD_TOKEN", "GIFTCARD_SERVER", "GIFTCARD_CA_FILE", "GIFTCARD_CLIENT_CERTIFICATE_FILE",
    "GIFTCARD_CLIENT_KEY_FILE",
})  # fmt: skip

#: What the shim reads, and checks, by itself.
_OF_THE_SHIM = (
    "GIFTCARD_HTTP_", "GIFTCARD_EXCHANGE_", "GIFTCARD_RETAIL7_", "GIFTCARD_CP_", "GIFTCARD_RESICO_",
    "GIFTCARD_IWAREHOUSE_",
)  # fmt: skip


def _parse(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() in ("1", "true", "yes"):
            return True
        if text.lower() in ("0", "false", "no", ""):
            return False
        raise SettingsError(f"{name} must be 1 or 0.")
    if kind is int:
        try:
            value = int(text)
        except ValueError:
            raise SettingsError(f"{name} must be a whole number.") from None
        least = 0 if name in _MAY_BE_ZERO else 1
        if value < least:
            raise SettingsError(f"{name} must be at least {least}.")
        return value
    return text


def _check(settings: Settings) -> None:
    if settings.profile not in ("development", "production"):
        raise SettingsError("GIFTCARD_PROFILE must be development or production.")
    if settings.workers > 1 and settings.database_url.startswith("sqlite"):
        raise SettingsError("GIFTCARD_WORKERS above 1 needs PostgreSQL: SQLite has one process.")
    if settings.reserve_codes_max > _RESERVE_CODES_LIMIT:
        raise SettingsError(f"GIFTCARD_RESERVE_CODES_MAX must be at most {_RESERVE_CODES_LIMIT}.")
    for name, address in (
        ("GIFTCARD_GRPC_ADDRESS", settings.grpc_address),
        ("GIFTCARD_HTTP_ADDRESS", settings.http_address),
    ):
        local = not address or is_loopback(name, address)
        if settings.demo and not local:
            raise SettingsError(
                f"GIFTCARD_DEMO loads well-known credentials, so {name} must be a loopback address."
            )
    _check_admin_address(settings)
    _check_tls(settings)
    if settings.remember_seconds > REMEMBER_SECONDS_MAX:
        raise SettingsError(
            f"GIFTCARD_REMEMBER_SECONDS must be at most {REMEMBER_SECONDS_MAX}: the contract"
            " promises that a revoked credential ends within that time."
        )
    _check_way_to_database(settings)
    if settings.demo and settings.production:
        raise SettingsError("GIFTCARD_DEMO has no place in the production profile.")


def _check_way_to_database(settings: Settings) -> None:
    """In production what goes to a database on another machine is not for the network to read."""
    url = urlsplit(settings.database_url)
    if not settings.production or not url.scheme.startswith("postgresql"):
        return
    asked = parse_qs(url.query)
    hosts = (url.hostname or (asked.get("host") or [""])[0]).split(",")
    local = all(host in ("", "localhost") or host.startswith("/") or _is_loopback(host)
                for host in hosts)  # fmt: skip
    if not (local or asked.get("sslmode") == ["verify-full"] or settings.allow_plaintext):
        raise SettingsError(
            "GIFTCARD_DATABASE_URL names a database on another machine: in production it needs"
            " ?sslmode=verify-full (and sslrootcert=FILE), or GIFTCARD_ALLOW_PLAINTEXT=1 where the"
            " way to it is private."
        )


def _check_tls(settings: Settings) -> None:
    if bool(settings.tls_certificate_file) != bool(settings.tls_key_file):
        raise SettingsError(
            "GIFTCARD_TLS_CERTIFICATE_FILE and GIFTCARD_TLS_KEY_FILE must be set together."
        )
    if settings.tls_client_ca_file and not settings.tls:
        raise SettingsError("GIFTCARD_TLS_CLIENT_CA_FILE needs GIFTCARD_TLS_CERTIFICATE_FILE.")
    grpc_local = is_loopback("GIFTCARD_GRPC_ADDRESS", settings.grpc_address)
    if not (grpc_local or settings.tls or settings.allow_plaintext):
        raise SettingsError(
            "GIFTCARD_GRPC_ADDRESS is not loopback, so it needs TLS: set"
            " GIFTCARD_TLS_CERTIFICATE_FILE and GIFTCARD_TLS_KEY_FILE, or put a proxy with TLS in"
            " front and set GIFTCARD_ALLOW_PLAINTEXT=1 to say so."
        )


def _check_admin_address(settings: Settings) -> None:
    """It is not for everybody, so it never shares a port with what is."""
    own = settings.admin_address
    if not own:
        return
    is_loopback("GIFTCARD_ADMIN_ADDRESS", own)
    for name, address in (
        ("GIFTCARD_GRPC_ADDRESS", settings.grpc_address),
        ("GIFTCARD_HTTP_ADDRESS", settings.http_address),
    ):
        port = own.rpartition(":")[2]
        if port != "0" and port == address.rpartition(":")[2]:
            raise SettingsError(f"GIFTCARD_ADMIN_ADDRESS must have another port than {name}.")


def is_loopback(name: str, address: str) -> bool:
    host, separator, port = address.rpartition(":")
    if address.startswith("unix:"):
        return True
    if not separator or _PORT.fullmatch(port) is None or int(port) > PORT_MAX:
        raise SettingsError(f"{name} must be host:port, with a port up to {PORT_MAX}.")
    return host == "localhost" or _is_loopback(host.strip("[]"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def key_source(settings: Settings) -> tuple[Path | None, str | None]:
    """Where the keys come from; in development a file of its own when nothing is said."""
    if not (settings.keys or settings.key_file or settings.production):
        return Path(DEFAULT_KEY_FILE), None
    return Path(settings.key_file) if settings.key_file else None, settings.keys or None
