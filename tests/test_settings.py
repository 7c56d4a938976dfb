"""Settings: what the environment may say, and the one sentence for what it may not."""

from pathlib import Path

import pytest

from server.settings import (
    DEFAULT_KEY_FILE,
    Settings,
    SettingsError,
    from_environment,
    is_loopback,
    key_source,
)

REFUSED = [
    ({"GIFTCARD_GRPC_ADRESS": "127.0.0.1:1"}, "GIFTCARD_GRPC_ADRESS is not a setting"),
    ({"GIFTCARD_WORKERS": "two"}, "GIFTCARD_WORKERS must be a whole number"),
    ({"GIFTCARD_WORKERS": "0"}, "GIFTCARD_WORKERS must be at least 1"),
    ({"GIFTCARD_DRAIN_DELAY_SECONDS": "-1"}, "GIFTCARD_DRAIN_DELAY_SECONDS must be at least 0"),
    ({"GIFTCARD_WORKERS": "1.5"}, "GIFTCARD_WORKERS must be a whole number"),
    ({"GIFTCARD_WORKERS": "2"}, "needs PostgreSQL"),
    ({"GIFTCARD_DEMO": "maybe"}, "GIFTCARD_DEMO must be 1 or 0"),
    ({"GIFTCARD_PROFILE": "prod"}, "must be development or production"),
    ({"GIFTCARD_GRPC_ADDRESS": "localhost"}, "must be host:port"),
    ({"GIFTCARD_HTTP_ADDRESS": "127.0.0.1:http"}, "must be host:port"),
    ({"GIFTCARD_GRPC_ADDRESS": "0.0.0.0:50051"}, "is not loopback, so it needs TLS"),
    ({"GIFTCARD_GRPC_ADDRESS": "[::]:50051"}, "is not loopback, so it needs TLS"),
    ({"GIFTCARD_GRPC_ADDRESS": "10.1.2.3:50051"}, "is not loopback, so it needs TLS"),
    ({"GIFTCARD_GRPC_ADDRESS": "gift.example:50051"}, "is not loopback, so it needs TLS"),
    (
        {"GIFTCARD_DEMO": "1", "GIFTCARD_GRPC_ADDRESS": "0.0.0.0:50051",
         "GIFTCARD_ALLOW_PLAINTEXT": "1"},
        "must be a loopback address",
    ),
    (
        {"GIFTCARD_DEMO": "1", "GIFTCARD_HTTP_ADDRESS": "0.0.0.0:8080"},
        "GIFTCARD_HTTP_ADDRESS must be a loopback address",
    ),
    ({"GIFTCARD_DEMO": "1", "GIFTCARD_PROFILE": "production"}, "no place in the production"),
    ({"GIFTCARD_GRPC_ADDRESS": "127.0.0.1:65536"}, "with a port up to 65535"),
    ({"GIFTCARD_GRPC_ADDRESS": "127.0.0.1:٨٠"}, "must be host:port"),
    ({"GIFTCARD_TLS_CERTIFICATE_FILE": "c.pem"}, "must be set together"),
    ({"GIFTCARD_TLS_KEY_FILE": "k.pem"}, "must be set together"),
    ({"GIFTCARD_TLS_CLIENT_CA_FILE": "ca.pem"}, "needs GIFTCARD_TLS_CERTIFICATE_FILE"),
    ({"GIFTCARD_ADMIN_ADDRESS": "localhost"}, "GIFTCARD_ADMIN_ADDRESS must be host:port"),
    ({"GIFTCARD_ADMIN_ADDRESS": "127.0.0.1:50051"}, "another port than GIFTCARD_GRPC_ADDRESS"),
    ({"GIFTCARD_ADMIN_ADDRESS": "[::1]:8080"}, "another port than GIFTCARD_HTTP_ADDRESS"),
    ({"GIFTCARD_REMEMBER_SECONDS": "6"}, "GIFTCARD_REMEMBER_SECONDS must be at most 5"),
]  # fmt: skip

ACCEPTED = [
    ({}, Settings()),
    ({"PATH": "/bin", "OTHER_SETTING": "x"}, Settings()),
    ({"GIFTCARD_TOKEN": "gct_secret", "GIFTCARD_SERVER": "127.0.0.1:1"}, Settings()),
    ({"GIFTCARD_DEMO": "1"}, Settings(demo=True)),
    ({"GIFTCARD_DEMO": "no"}, Settings()),
    ({"GIFTCARD_ACCESS_LOG": "0"}, Settings(access_log=False)),
    ({"GIFTCARD_DRAIN_DELAY_SECONDS": "0"}, Settings()),
    ({"GIFTCARD_QUEUE_LIMIT": "7"}, Settings(queue_limit=7)),
    ({"GIFTCARD_GRPC_ADDRESS": "unix:/run/g"}, Settings(grpc_address="unix:/run/g")),
    ({"GIFTCARD_ADMIN_ADDRESS": ""}, Settings(admin_address="")),
    ({"GIFTCARD_ADMIN_ADDRESS": "unix:/run/a"}, Settings(admin_address="unix:/run/a")),
    ({"GIFTCARD_ADMIN_ADDRESS": "0.0.0.0:1"}, Settings(admin_address="0.0.0.0:1")),
    ({"GIFTCARD_GRPC_ADDRESS": "[::1]:1"}, Settings(grpc_address="[::1]:1")),
    (
        {"GIFTCARD_GRPC_ADDRESS": "0.0.0.0:1", "GIFTCARD_ALLOW_PLAINTEXT": "yes"},
        Settings(grpc_address="0.0.0.0:1", allow_plaintext=True),
    ),
    (
        {
            "GIFTCARD_GRPC_ADDRESS": "0.0.0.0:1",
            "GIFTCARD_TLS_CERTIFICATE_FILE": "c.pem",
            "GIFTCARD_TLS_KEY_FILE": "k.pem",
        },
        Settings(grpc_address="0.0.0.0:1", tls_certificate_file="c.pem", tls_key_file="k.pem"),
    ),
    (
        {"GIFTCARD_DATABASE_URL": "postgresql://h/d", "GIFTCARD_WORKERS": "2"},
        Settings(database_url="postgresql://h/d", workers=2),
    ),
]

LOOPBACK = [
    ("127.0.0.1:1", True),
    ("127.9.9.9:1", True),
    ("[::1]:1", True),
    ("localhost:1", True),
    ("unix:/tmp/socket", True),
    ("0.0.0.0:1", False),
    ("[::]:1", False),
    ("192.168.0.1:1", False),
    ("localhost.example:1", False),
]

KEYS = [
    (Settings(), (Path(DEFAULT_KEY_FILE), None)),
    (Settings(key_file="/k"), (Path("/k"), None)),
    (Settings(keys="{}"), (None, "{}")),
    (Settings(profile="production"), (None, None)),
    (Settings(profile="production", key_file="/k"), (Path("/k"), None)),
    (Settings(key_file="/k", keys="{}"), (Path("/k"), "{}")),  # so that both are refused
]


@pytest.mark.parametrize(("environment", "sentence"), REFUSED)
def test_refused(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment(environment)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("environment", "settings"), ACCEPTED)
def test_accepted(environment: dict[str, str], settings: Settings) -> None:
    assert from_environment(environment) == settings


@pytest.mark.parametrize(("address", "local"), LOOPBACK)
def test_loopback(address: str, local: bool) -> None:
    assert is_loopback("GIFTCARD_GRPC_ADDRESS", address) is local


@pytest.mark.parametrize(("settings", "source"), KEYS)
def test_where_keys_come_from(settings: Settings, source: tuple[Path | None, str | None]) -> None:
    assert key_source(settings) == source


def test_an_error_does_not_repeat_what_was_set() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({"GIFTCARD_WORKERS": "gct_secret"})
    assert "gct_secret" not in str(caught.value)


def test_what_is_secret_does_not_show_when_settings_are_printed() -> None:
    settings = Settings(database_url="postgresql://u:hunter2@h/d", keys="the keys")
    assert "hunter2" not in repr(settings)
    assert "the keys" not in repr(settings)
