"""The shim's settings: read once, refused with a sentence that says what to do."""

import pytest

from compat_http.settings import Settings, SettingsError, from_environment

REFUSED: list[tuple[dict[str, str], str]] = [
    ({"GIFTCARD_HTTP_ADRESS": "127.0.0.1:80"}, "GIFTCARD_HTTP_ADRESS is not a setting"),
    ({"GIFTCARD_RETAIL7_PATHS": "/"}, "GIFTCARD_RETAIL7_PATHS is not a setting"),
    ({"GIFTCARD_EXCHANGE_FILE": "x"}, "GIFTCARD_EXCHANGE_FILE is not a setting"),
    ({"GIFTCARD_HTTP_ADDRESS": "localhost"}, "GIFTCARD_HTTP_ADDRESS must be host:port"),
    ({"GIFTCARD_HTTP_ADMIN_ADDRESS": "localhost"}, "GIFTCARD_HTTP_ADMIN_ADDRESS must be host:port"),
    ({"GIFTCARD_HTTP_ADMIN_ADDRESS": "[::1]:8080"}, "another port than GIFTCARD_HTTP_ADDRESS"),
    ({"GIFTCARD_HTTP_ADDRESS": "0.0.0.0:80"}, "is not loopback, and this port has no TLS"),
    ({"GIFTCARD_HTTP_ADDRESS": "0.0.0.0:80", "GIFTCARD_DEMO": "1"}, "must be a loopback address"),
    ({"GIFTCARD_GRPC_ADDRESS": "service:50051"}, "is not on this machine, so it is called by TLS"),
    ({"GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE": "c"}, "must be set together"),
    ({"GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE": "c", "GIFTCARD_HTTP_UPSTREAM_KEY_FILE": "k"},
     "GIFTCARD_HTTP_UPSTREAM_CA_FILE must be set"),
    ({"GIFTCARD_HTTP_UPSTREAM_NAME": "service"}, "GIFTCARD_HTTP_UPSTREAM_CA_FILE must be set"),
    ({"GIFTCARD_PROFILE": "test"}, "GIFTCARD_PROFILE must be development or production"),
    ({"GIFTCARD_RETAIL7_BUDGET_MILLISECONDS": "0"}, "must be a whole number of at least 1"),
    ({"GIFTCARD_RETAIL7_BUDGET_MILLISECONDS": "8s"}, "must be a whole number of at least 1"),
    ({"GIFTCARD_RETAIL7_REPAIR_COMMAS": "maybe"}, "must be 1 or 0"),
    ({"GIFTCARD_RETAIL7_PATH": "giftcards"}, "must start with a slash"),
    ({"GIFTCARD_RETAIL7_CLOSE_DISPOSITION": "CASH_OUT"}, "must be REQUIRE_ZERO or BREAKAGE"),
    ({"GIFTCARD_RETAIL7_PAST_VALID_UNTIL": "no"}, "must be refuse or replace"),
    ({"GIFTCARD_RETAIL7_MEMBER_NAMES": "[]"}, "must be a JSON object"),
    ({"GIFTCARD_RETAIL7_MEMBER_NAMES": '{"a": 1}'}, "must give each member another name"),
    ({"GIFTCARD_RETAIL7_CARD_TYPES": '{"01": "GC"}'}, "must give each type code a program"),
    ({"GIFTCARD_RETAIL7_CARD_TYPES": '{"01": {"texts": {}}}'}, "must give each type code"),
    ({"GIFTCARD_RETAIL7_CARD_TYPES": '{"01": {"program": "GC", "texts": {"SELL": 1}}}'},
     "must give each type code"),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment(environment)
    assert words in str(caught.value)


def test_read() -> None:
    settings = from_environment({
        "PATH": "/bin",
        "GIFTCARD_DATABASE_URL": "the service's own",
        "GIFTCARD_GRPC_ADDRESS": "service:50051",
        "GIFTCARD_HTTP_ADDRESS": "0.0.0.0:80",
        "GIFTCARD_ALLOW_PLAINTEXT": "1",
        "GIFTCARD_RETAIL7_BUDGET_MILLISECONDS": "5000",
        "GIFTCARD_RETAIL7_REPAIR_COMMAS": "yes",
        "GIFTCARD_RETAIL7_CARD_TYPES": '{"01": {"program": "GC", "texts": {"SELL": "Hello"}}}',
    })  # fmt: skip
    assert (settings.grpc_address, settings.http_address) == ("service:50051", "0.0.0.0:80")
    assert settings.retail7.budget_milliseconds == 5000
    assert settings.retail7.repair_commas
    assert settings.retail7.card_types["01"]["texts"] == {"SELL": "Hello"}


def test_the_demo_takes_examples_of_years_ago() -> None:
    assert Settings().retail7.past_valid_until == "refuse"
    demo = from_environment({"GIFTCARD_DEMO": "1"})
    assert demo.retail7.past_valid_until == "replace"
    chosen = {"GIFTCARD_DEMO": "1", "GIFTCARD_RETAIL7_PAST_VALID_UNTIL": "refuse"}
    assert from_environment(chosen).retail7.past_valid_until == "refuse"
