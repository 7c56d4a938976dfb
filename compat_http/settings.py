"""Every setting of the shim, read once from the environment and from nowhere else.

Names carry their units.  What the vendors' documents leave open is a setting of its dialect, so
that a captured trace can correct it.
"""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from compat_http import amounts


class SettingsError(Exception):
    """A setting cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retail7Settings:
    """GIFTCARD_RETAIL7_<NAME>.  RETAIL7 publishes no path, answer or error: all of this is ours."""

    path: str = "/retail7/giftcards"
    """Where the messages are posted to."""

    budget_milliseconds: int = 8000
    """How long a till waits: an answer is given within this time."""

    program: str = "GC"
    """Program of cards that are created or issued without a cardTypeCode."""

    card_types: Mapping[str, Any] = field(default_factory=dict)
    """JSON: {"01": {"program": "GC", "texts": {"REDEEM": "Thank you", "SELL": "…"}}}.

    What is not listed is taken for a program's own id.  The texts are for the customer.
    """

    member_names: Mapping[str, Any] = field(default_factory=dict)
    """JSON: {"responseCode": "resultCode"} renames members of the answers."""

    repair_commas: bool = False
    """Put in a comma that is missing between two members, as in the vendor's printed example."""

    past_valid_until: str = "refuse"
    """A validUntil that is over when the card is sold: refuse, or replace by the program's rule.

    With GIFTCARD_DEMO it is replace: the vendor's example was printed in 2021.
    """

    close_disposition: str = "REQUIRE_ZERO"
    """What CLOSE does with a balance: REQUIRE_ZERO refuses, BREAKAGE keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpSettings:
    """GIFTCARD_CP_<NAME>, for CP Extender."""

    budget_milliseconds: int = 8000
    """How long a shop waits: an answer is given within this time."""

    gift_card_codes: Mapping[str, Any] = field(default_factory=dict)
    """JSON: {"GIFT": "GC"} says which program a GiftCardCode is.  Others are a program's own id."""

    reserved_id_prefix: str = "99-"
    """Start of the ids that ReserveIds gives."""

    reserved_id_digits: int = 17
    """How many random digits follow it."""

    assigned_id_prefix: str = "WEB-"
    """Start of the id of a card that is created without one."""

    assigned_id_digits: int = 16
    """How many random digits follow it."""

    single_reservation_seconds: int = 3600
    """How long an id of RequestType single is reserved."""

    store_id: str = "99"
    """StrId in Connection/Status, as are the next four."""

    drawer_id: str = "99"
    """DrwId."""

    user_id: str = "Z"
    """UsrId."""

    gift_card_product_type: str = "giftvoucher"
    """MgGcProductType."""

    gift_card_item: str = "GIFTCARD"
    """CpGcItemNo."""

    version: str = "1.0.0.0"
    """What Connection/GetVersion answers."""

    login_password_member: str = "Password"  # noqa: S105 - the name of a member
    """The member of SSO/Login that brings the assigned token.  The vendor prints none."""

    login_token_member: str = "Token"  # noqa: S105 - the name of a member
    """The member of its answer that has the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResicoSettings:
    """GIFTCARD_RESICO_<NAME>."""

    budget_milliseconds: int = 8000
    """How long a caller waits: an answer is given within this time."""

    consumers: Mapping[str, Any] = field(default_factory=dict)
    """JSON: {"the consumer key": "merchants/demo/apiClients/resico"}.

    A card is used for payment only with the consumer key of the client that the token belongs to.
    """

    program: str = "GC"
    """Program of the cards that are sold."""

    currency: str = "USD"
    """ISO 4217 code of every amount that is sent; one with two decimals."""

    card_number_length_min: int = 1
    """Shortest card number.  One of another length is answered like an unknown one."""

    card_number_length_max: int = 40
    """Longest card number."""

    reservation_seconds: int = 900
    """After this time a reservation that was neither used nor cancelled ends by itself."""

    member_names: Mapping[str, Any] = field(default_factory=dict)
    """JSON: {"idgiftCardNo": "giftCardNo"} renames members of the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IwarehouseSettings:
    """GIFTCARD_IWAREHOUSE_<NAME>."""

    budget_milliseconds: int = 8000
    """How long a caller waits: an answer is given within this time."""

    program: str = "GC"
    """Program of the cards that are created.  It has the prefix and form of their codes."""

    currency: str = "USD"
    """ISO 4217 code of every amount, sent or answered."""

    time_zone: str = "UTC"
    """IANA zone in which `expiresdays`, `expiresmonths` and `expiresyears` count from today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is GIFTCARD_<NAME>; those of a dialect have its name in front."""

    http_address: str = "127.0.0.1:8080"
    """host:port to listen on; port 0 takes a free one."""

    grpc_address: str = "127.0.0.1:50051"
    """host:port of the canonical service."""

    http_admin_address: str = "127.0.0.1:9465"
    """host:port of /livez, /readyz and /metrics, which ask for no credential; empty: none."""

    profile: str = "development"
    """development or production."""

    demo: bool = False
    """The published credentials are known to the service; loopback addresses only."""

    allow_plaintext: bool = False
    """Serve without TLS on an address that is not loopback (behind a proxy that has TLS)."""

    http_body_bytes_max: int = 65536
    """Largest request body."""

    http_receive_seconds: int = 10
    """How long a request may take to arrive; then its connection ends."""

    http_connections: int = 1
    """Connections to the service.  Give each of its workers a few."""

    http_upstream_ca_file: str = ""
    """PEM: the authorities of the service's certificate.  Set: the service is called by TLS."""

    http_upstream_certificate_file: str = ""
    """PEM: the certificate that the shim shows to a service that wants one (mTLS)."""

    http_upstream_key_file: str = ""
    """PEM: its private key, without a password."""

    http_upstream_name: str = ""
    """The name in the service's certificate, where it is not the host of its address."""

    http_attempt_milliseconds: int = 3000
    """How long one attempt may take before the next is made, within a dialect's budget."""

    http_grace_seconds: int = 10
    """So long a client that chose the request id may take a queued reversal back by a retry."""

    http_drain_seconds: int = 15
    """How long calls in flight may take after SIGTERM."""

    exchange_database_url: str = "sqlite:///var/exchange.db"
    """The log of exchanges and the queue of reversals: a SQLite file."""

    exchange_key_file: str = ""
    """Key for queued credentials: required in production, else made, by default beside the file."""

    exchange_keep_days: int = 90
    """How long the log keeps an exchange."""

    retail7: Retail7Settings = field(default_factory=Retail7Settings)
    cp: CpSettings = field(default_factory=CpSettings)
    resico: ResicoSettings = field(default_factory=ResicoSettings)
    iwarehouse: IwarehouseSettings = field(default_factory=IwarehouseSettings)

    @property
    def production(self) -> bool:
        return self.profile == "production"


#: Shared with the service, or with the command line; every other setting has one of `PREFIXES`.
_SHARED: Final = ("grpc_address", "profile", "demo", "allow_plaintext")
_DIALECTS: Final = tuple(item.name for item in fields(Settings) if is_dataclass(item.type))
PREFIXES: Final = tuple(
    f"GIFTCARD_{name.upper()}_" for name in ("http", "exchange", *_DIALECTS)
)  # fmt: skip

#: In the demo the vendors' examples, which are years old, work as printed.
_DEMO_DEFAULTS: Final = {
    "GIFTCARD_RETAIL7_PAST_VALID_UNTIL": "replace",
    "GIFTCARD_RESICO_CONSUMERS": '{"demo-consumer": "merchants/demo/apiClients/resico"}',
    "GIFTCARD_IWAREHOUSE_TIME_ZONE": "America/New_York",
}

_CHOICES: Final = {
    "profile": ("development", "production"),
    "past_valid_until": ("refuse", "replace"),
    "close_disposition": ("REQUIRE_ZERO", "BREAKAGE"),
}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError for a value that does not fit, or a name that does not exist."""
    if _parse("GIFTCARD_DEMO", environment.get("GIFTCARD_DEMO", ""), bool):
        environment = {**_DEMO_DEFAULTS, **environment}
    known: set[str] = set()
    settings: Settings = _build(Settings, "GIFTCARD_", environment, known)
    for name in environment:
        if name.startswith(PREFIXES) and name not in known:
            raise SettingsError(f"{name} is not a setting. Check its spelling.")
    _check(settings)
    return settings


def _build(kind: Any, prefix: str, environment: Mapping[str, str], known: set[str]) -> Any:
    values: dict[str, Any] = {}
    for item in fields(kind):
        name = prefix + item.name.upper()
        if is_dataclass(item.type):
            values[item.name] = _build(item.type, name + "_", environment, known)
            continue
        known.add(name)
        if name in environment:
            values[item.name] = value = _parse(name, environment[name], item.type)
            choices = _CHOICES.get(item.name)
            if choices and value not in choices:
                raise SettingsError(f"{name} must be {' or '.join(choices)}.")
    return kind(**values)


def _parse(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() in ("1", "true", "yes"):
            return True
        if text.lower() in ("0", "false", "no", ""):
            return False
        raise SettingsError(f"{name} must be 1 or 0.")
    if kind is int:
        if not (text.isascii() and text.isdigit() and int(text) >= 1):
            raise SettingsError(f"{name} must be a whole number of at least 1.")
        return int(text)
    if kind is str:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SettingsError(f"{name} must be a JSON object.")
    return value


def _check(settings: Settings) -> None:
    local = is_loopback("GIFTCARD_HTTP_ADDRESS", settings.http_address)
    if settings.demo and not local:
        raise SettingsError(
            "GIFTCARD_DEMO loads well-known credentials, so GIFTCARD_HTTP_ADDRESS must be a"
            " loopback address."
        )
    if not local and not settings.allow_plaintext:
        raise SettingsError(
            "GIFTCARD_HTTP_ADDRESS is not loopback, and this port has no TLS of its own. Put a"
            " proxy with TLS in front and set GIFTCARD_ALLOW_PLAINTEXT=1 to say so."
        )
    _check_upstream(settings)
    _check_admin_address(settings)
    _check_retail7(settings.retail7)
    _check_resico(settings.resico)
    _check_iwarehouse(settings.iwarehouse)


def _check_upstream(settings: Settings) -> None:
    certificate, key = settings.http_upstream_certificate_file, settings.http_upstream_key_file
    if bool(certificate) != bool(key):
        raise SettingsError(
            "GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE and GIFTCARD_HTTP_UPSTREAM_KEY_FILE must be"
            " set together."
        )
    if (certificate or settings.http_upstream_name) and not settings.http_upstream_ca_file:
        raise SettingsError(
            "GIFTCARD_HTTP_UPSTREAM_CA_FILE must be set with the other GIFTCARD_HTTP_UPSTREAM_"
            " settings."
        )
    local = is_loopback("GIFTCARD_GRPC_ADDRESS", settings.grpc_address)
    if not (local or settings.http_upstream_ca_file or settings.allow_plaintext):
        raise SettingsError(
            "The service at GIFTCARD_GRPC_ADDRESS is not on this machine, so it is called by TLS:"
            " set GIFTCARD_HTTP_UPSTREAM_CA_FILE, or GIFTCARD_ALLOW_PLAINTEXT=1 where the way to it"
            " is private."
        )


def _check_admin_address(settings: Settings) -> None:
    """It is not for everybody, so it never shares a port with what is."""
    own = settings.http_admin_address
    if not own:
        return
    is_loopback("GIFTCARD_HTTP_ADMIN_ADDRESS", own)
    port = own.rpartition(":")[2]
    if port != "0" and port == settings.http_address.rpartition(":")[2]:
        raise SettingsError(
            "GIFTCARD_HTTP_ADMIN_ADDRESS must have another port than GIFTCARD_HTTP_ADDRESS."
        )


def _check_retail7(retail7: Retail7Settings) -> None:
    if not retail7.path.startswith("/"):
        raise SettingsError("GIFTCARD_RETAIL7_PATH must start with a slash.")
    for listed in retail7.card_types.values():
        texts = listed.get("texts", {}) if isinstance(listed, dict) else None
        if not (
            isinstance(texts, dict)
            and all(isinstance(text, str) for text in (listed.get("program"), *texts.values()))
        ):
            raise SettingsError(
                "GIFTCARD_RETAIL7_CARD_TYPES must give each type code a program, and texts if any:"
                ' {"01": {"program": "GC", "texts": {"SELL": "…"}}}'
            )
    _check_names("GIFTCARD_RETAIL7_MEMBER_NAMES", retail7.member_names)


def _check_names(setting: str, names: Mapping[str, Any]) -> None:
    if not all(isinstance(name, str) for name in names.values()):
        raise SettingsError(f"{setting} must give each member another name.")


def _check_resico(resico: ResicoSettings) -> None:
    _check_names("GIFTCARD_RESICO_MEMBER_NAMES", resico.member_names)
    if not (amounts.is_currency(resico.currency) and amounts.decimals_of(resico.currency) == 2):
        raise SettingsError(
            "GIFTCARD_RESICO_CURRENCY must be an ISO 4217 code with two decimals, such as USD."
        )
    if not all(isinstance(client, str) and client for client in resico.consumers.values()):
        raise SettingsError(
            "GIFTCARD_RESICO_CONSUMERS must name a client for each consumer key, such as"
            " merchants/demo/apiClients/resico."
        )
    if resico.card_number_length_min > resico.card_number_length_max:
        raise SettingsError(
            "GIFTCARD_RESICO_CARD_NUMBER_LENGTH_MIN must not be more than"
            " GIFTCARD_RESICO_CARD_NUMBER_LENGTH_MAX."
        )


def _check_iwarehouse(iwarehouse: IwarehouseSettings) -> None:
    if not amounts.is_currency(iwarehouse.currency):
        raise SettingsError("GIFTCARD_IWAREHOUSE_CURRENCY must be an ISO 4217 code such as USD.")
    try:
        ZoneInfo(iwarehouse.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            "GIFTCARD_IWAREHOUSE_TIME_ZONE must be an IANA zone such as Europe/Berlin."
        ) from error


def is_loopback(name: str, address: str) -> bool:
    """Raises SettingsError where it is no host:port."""
    if address.startswith("unix:"):
        return True
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit():
        raise SettingsError(f"{name} must be host:port.")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
