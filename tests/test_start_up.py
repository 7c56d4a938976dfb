"""What the server refuses to start with, one line a case, by the steps of `giftcard serve`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from compat_http.settings import SettingsError as ShimSettingsError
from compat_http.settings import from_environment as shim_settings
from compat_http.tls import upstream_credentials
from server.__main__ import CANNOT_START, prepare
from server.secrets import create_development_keys, create_key_file
from server.settings import from_environment
from server.shim import Shim
from server.tls import ServerCertificate
from tests.certificates import Authority

PRODUCTION: Final = {"GIFTCARD_PROFILE": "production"}
DEMO: Final = {"GIFTCARD_DEMO": "1"}
OPEN: Final = {"GIFTCARD_GRPC_ADDRESS": "0.0.0.0:0"}
KEYS: Final = {"GIFTCARD_KEY_FILE": "{here}/keys.json"}
TLS: Final = {
    "GIFTCARD_TLS_CERTIFICATE_FILE": "{here}/server.pem",
    "GIFTCARD_TLS_KEY_FILE": "{here}/server-key.pem",
    "GIFTCARD_HTTP_UPSTREAM_CA_FILE": "{here}/ca.pem",
}
SAFE: Final = {**PRODUCTION, **KEYS, **OPEN, **TLS}
FAR: Final = {"GIFTCARD_DATABASE_URL": "postgresql://giftcard@db.example/giftcard"}

Spoil = Callable[[Path], object]


def nothing(_: Path) -> None:
    pass


REFUSED: Final[list[tuple[str, Mapping[str, str], Spoil, str]]] = [
    ("no keys", PRODUCTION, nothing, "No keys: set GIFTCARD_KEY_FILE"),
    ("development keys", SAFE, lambda d: _develop(d / "keys.json"), "holds development keys"),
    ("keys for all to read", SAFE, lambda d: (d / "keys.json").chmod(0o644), "mode 0600 or 0400"),
    ("keys for a group", SAFE, lambda d: (d / "keys.json").chmod(0o640), "mode 0600 or 0400"),
    ("keys for all, development", KEYS, lambda d: (d / "keys.json").chmod(0o644), "mode 0600"),
    ("demo in production", {**SAFE, **DEMO, "GIFTCARD_GRPC_ADDRESS": "127.0.0.1:0"}, nothing,
     "no place in the production profile"),
    ("demo for all", {**DEMO, **OPEN, **TLS}, nothing, "must be a loopback address"),
    ("plaintext for all", OPEN, nothing, "so it needs TLS"),
    ("half of TLS", {"GIFTCARD_TLS_KEY_FILE": "k"}, nothing, "must be set together"),
    ("a TLS key for all to read", SAFE, lambda d: (d / "server-key.pem").chmod(0o604),
     "GIFTCARD_TLS_KEY_FILE can be read by others"),
    ("a TLS key its group may write", SAFE, lambda d: (d / "server-key.pem").chmod(0o660),
     "GIFTCARD_TLS_KEY_FILE can be read by others or written"),
    ("an expired certificate", SAFE, lambda d: Authority().issue(days=-1).write(d, "server"),
     "and not now"),
    ("another certificate's key", SAFE,
     lambda d: Authority().issue().write(d, "x").key_file.replace(d / "server-key.pem"),
     "is not the key of the certificate"),
    ("a shim that trusts nobody", {**SAFE, "GIFTCARD_HTTP_UPSTREAM_CA_FILE": ""}, nothing,
     "needs GIFTCARD_HTTP_UPSTREAM_CA_FILE"),
    ("a shim without its certificate", {**SAFE, "GIFTCARD_TLS_CLIENT_CA_FILE": "{here}/ca.pem"},
     nothing, "needs GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE"),
    ("a shim key for all to read",
     {**SAFE, "GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE": "{here}/server.pem",
      "GIFTCARD_HTTP_UPSTREAM_KEY_FILE": "{here}/shim-key.pem"},
     lambda d: _copy(d / "server-key.pem", d / "shim-key.pem", 0o644),
     "GIFTCARD_HTTP_UPSTREAM_KEY_FILE can be read by others"),
    ("a shim for all without TLS", {"GIFTCARD_HTTP_ADDRESS": "0.0.0.0:0"}, nothing,
     "this port has no TLS of its own"),
    ("a far database in plaintext", {**SAFE, **FAR}, nothing, "?sslmode=verify-full"),
    ("a far database, not verified",
     {**SAFE, "GIFTCARD_DATABASE_URL": FAR["GIFTCARD_DATABASE_URL"] + "?sslmode=require"}, nothing,
     "?sslmode=verify-full"),
    ("one of several databases far",
     {**SAFE, "GIFTCARD_DATABASE_URL": "postgresql:///giftcard?host=127.0.0.1,db.example"}, nothing,
     "?sslmode=verify-full"),
    ("a database in memory", {"GIFTCARD_DATABASE_URL": "sqlite://"}, nothing, "keeps nothing"),
    ("revocation that takes long", {"GIFTCARD_REMEMBER_SECONDS": "60"}, nothing, "at most 5"),
    ("a setting that does not exist", {"GIFTCARD_ALOW_PLAINTEXT": "1"}, nothing, "not a setting"),
]  # fmt: skip


def _develop(path: Path) -> None:
    path.unlink()
    create_development_keys(path)


def _copy(source: Path, target: Path, mode: int) -> None:
    target.write_bytes(source.read_bytes())
    target.chmod(mode)


def start(directory: Path, chosen: Mapping[str, str]) -> None:
    """All that is checked before the ports are open, for the service and the shim beside it."""
    environment = {
        "GIFTCARD_DATABASE_URL": f"sqlite:///{directory}/giftcard.db",
        **{name: text.format(here=directory) for name, text in chosen.items()},
    }
    settings = from_environment(environment)
    shim_environment = {name: text for name, text in environment.items() if text}
    Shim(shim_environment, settings)
    if settings.tls:
        ServerCertificate(settings)
    upstream_credentials(shim_settings(shim_environment))
    _, database = prepare(settings)
    database.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all that a safe start needs."""
    monkeypatch.chdir(tmp_path)
    authority = Authority()
    authority.write(tmp_path)
    authority.issue().write(tmp_path, "server")
    create_key_file(tmp_path / "keys.json")
    return tmp_path


@pytest.mark.parametrize(
    ("chosen", "spoil", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_it_does_not_start(here: Path, chosen: Mapping[str, str], spoil: Spoil, words: str) -> None:
    spoil(here)
    with pytest.raises((*CANNOT_START, ShimSettingsError)) as caught:
        start(here, chosen)
    assert words in str(caught.value)


ACCEPTED: Final[dict[str, Mapping[str, str]]] = {
    "development": {},
    "demo": DEMO,
    "production": SAFE,
    "production behind a proxy": {**PRODUCTION, **KEYS, **OPEN, "GIFTCARD_ALLOW_PLAINTEXT": "1"},
    "production with mTLS": {
        **SAFE, "GIFTCARD_TLS_CLIENT_CA_FILE": "{here}/ca.pem",
        "GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE": "{here}/server.pem",
        "GIFTCARD_HTTP_UPSTREAM_KEY_FILE": "{here}/server-key.pem",
    },
}  # fmt: skip


@pytest.mark.parametrize("chosen", ACCEPTED.values(), ids=list(ACCEPTED))
def test_it_starts(here: Path, chosen: Mapping[str, str]) -> None:
    """Or the refusals would prove nothing."""
    start(here, chosen)


@pytest.mark.parametrize("url", [
    "postgresql://giftcard@127.0.0.1/giftcard", "postgresql://giftcard@[::1]:5432/giftcard",
    "postgresql://localhost/giftcard", "postgresql:///giftcard?host=/run/postgresql",
    "postgresql://giftcard@db.example/giftcard?sslmode=verify-full&sslrootcert=ca.pem",
])  # fmt: skip
def test_ways_to_a_database_that_nobody_can_read(url: str) -> None:
    assert from_environment({**PRODUCTION, "GIFTCARD_DATABASE_URL": url}).production
