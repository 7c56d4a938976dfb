"""What is sent: type, length, mandatory or not.  One line is one request."""

from typing import Any

import pytest
from giftcard import v1

from compat_http.dialects import resico
from compat_http.settings import ResicoSettings, Settings, SettingsError, from_environment
from compat_http.strict_json import exact_number as n
from tests.compat.drive import drive
from tests.compat.resico.requests import ask

CONFIG = ResicoSettings(consumers={"consumer": "merchants/m/apiClients/me"})
RESICO = resico.build(Settings(resico=CONFIG))
ROUTES = {route.name: number for number, route in enumerate(RESICO.routes)}

_DECIMAL = "amount must be a positive decimal with two digits"
#: What is changed in a request, and the words of the refusal.
AMOUNTS: list[tuple[Any, str]] = [
    (..., "amount is mandatory"), (None, "amount is mandatory"), ("", "amount is mandatory"),
    (n("0"), "amount must be greater than 0"), ("0.00", "amount must be greater than 0"),
    (n("57.235"), _DECIMAL), ("57.235", _DECIMAL), ("57,23", _DECIMAL), (n("-5.00"), _DECIMAL),
    ("+5.00", _DECIMAL), ("5e2", _DECIMAL), (" 5", _DECIMAL), ("5.", _DECIMAL), (".5", _DECIMAL),
    ("\u0665", _DECIMAL), ("1" * 14, _DECIMAL), (True, _DECIMAL), ([n("5")], _DECIMAL),
    ({"amount": n("5")}, _DECIMAL), (n("10000000000.01"), "amount is too large"),
]  # fmt: skip
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *(
        (route, {"amount": value}, words)
        for route in ("sellCard", "useCard")
        for value, words in AMOUNTS
    ),
    *(
        ("sellCard", {"transactionNo": value}, f"transactionNo {words}.")
        for value, words in (
            (..., "is mandatory"), (None, "is mandatory"), ("", "is mandatory"),
            ("123456789", "must have at most 8 characters"), (n("45"), "must be a string"),
            (["1"], "must be a string"), ("a\tb", "must be printable ASCII characters"),
            ("ü", "must be printable ASCII characters"),
        )
    ),
    ("useCard", {"transactionNo": "123456789"}, "transactionNo must have at most 8 characters."),
    *(
        (route, {"locationCode": value}, f"locationCode {words}.")
        for route in ("sellCard", "reserveCard")
        for value, words in (
            (..., "is mandatory"), (None, "is mandatory"), ("", "is mandatory"),
            (n("99"), "must be a string"), ("x" * 64, "must have at most 63 characters"),
        )
    ),
    *(
        (route, {"locationCode": "no such/place"}, "The location code does not exist.")
        for route in ("sellCard", "useCard", "reserveCard")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("route", "members", "words"), REFUSED)
def test_a_member_that_is_wrong(route: str, members: dict[str, Any], words: str) -> None:
    asked, reply = drive(RESICO, ask(route, **members), route=ROUTES[route])
    assert asked == []
    assert reply.status == 422
    assert reply.document["message"].startswith(words)


@pytest.mark.parametrize(
    ("value", "minor_units"),
    [
        (n("57.23"), 5723), ("57.23", 5723), (n("57.2"), 5720), (n("57"), 5700), ("0.01", 1),
        (n("10000000000.00"), 10**12),
    ],
)  # fmt: skip
def test_an_amount_that_is_right(value: Any, minor_units: int) -> None:
    answers: list[Any] = [v1.Program(), "CODE_EXISTS"]
    asked, _ = drive(RESICO, ask("sellCard", amount=value), answers, route=ROUTES["sellCard"])
    assert asked[-1].message.amount == v1.Money(minor_units=minor_units, currency_code="USD")


@pytest.mark.parametrize("key", ["", "x" * 129, "ü", "a\tb"])
def test_a_key_that_is_wrong(key: str) -> None:
    asked, reply = drive(RESICO, ask("sellCard", key=key), route=ROUTES["sellCard"])
    assert (asked, reply.status) == ([], 422)
    assert reply.document["message"] == "Idempotency-Key must be 1 to 128 ASCII characters."


@pytest.mark.parametrize("route", sorted(ROUTES))
@pytest.mark.parametrize("number", ["", "x" * 41, "Ä1", " - ", "a\tb"])
def test_a_number_that_no_card_can_have(route: str, number: str) -> None:
    asked, reply = drive(RESICO, ask(route, card=number), route=ROUTES[route])
    assert (asked, reply.status) == ([], 404)
    assert reply.document["error"] == "GIFT_CARD_NOT_FOUND"


def test_card_numbers_have_a_length() -> None:
    config = ResicoSettings(card_number_length_min=6, card_number_length_max=8)
    strict = resico.build(Settings(resico=config))
    for number, asked in (("12345", 0), ("123456", 1), ("12345678", 1), ("123456789", 0)):
        rpcs, reply = drive(
            strict, ask("getCard", card=number), ["GIFT_CARD_NOT_FOUND"] * asked, route=0
        )
        assert (len(rpcs), reply.status) == (asked, 404)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CURRENCY", "JPY"), ("CURRENCY", "usd"), ("CURRENCY", "KWD"),
        ("CONSUMERS", '{"key": 1}'), ("CONSUMERS", '{"key": ""}'), ("CONSUMERS", "[]"),
        ("CARD_NUMBER_LENGTH_MIN", "41"), ("MEMBER_NAMES", '{"status": 1}'),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"GIFTCARD_RESICO_{name}"):
        from_environment({f"GIFTCARD_RESICO_{name}": value})


def test_the_demos_consumer_key() -> None:
    settings = from_environment({"GIFTCARD_DEMO": "1"})
    assert settings.resico.consumers == {"demo-consumer": "merchants/demo/apiClients/resico"}
    assert from_environment({}).resico.consumers == {}
