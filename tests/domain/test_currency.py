import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.currency import (
    AMOUNT_MAX_MINOR_UNITS,
    AmountError,
    UnknownCurrencyError,
    exponent,
    format_amount,
    parse_amount,
)

CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD", "CLF", "POINTS"])


@pytest.mark.parametrize(
    ("currency_code", "decimals"),
    [
        ("USD", 2),
        ("EUR", 2),
        ("HUF", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("KWD", 3),
        ("BHD", 3),
        ("CLF", 4),
        ("UYW", 4),
        ("POINTS", 0),
    ],
)
def test_exponent(currency_code: str, decimals: int) -> None:
    assert exponent(currency_code) == decimals


@pytest.mark.parametrize(
    "currency_code",
    [
        "XAU",
        "XXX",
        "XTS",
        "XDR",
        "usd",
        "Usd",
        "US",
        "USDX",
        "",
        " USD",
        "points",
        "POINT",
        "\uff35SD",
    ],
)
def test_unit_without_exponent(currency_code: str) -> None:
    with pytest.raises(UnknownCurrencyError) as caught:
        exponent(currency_code)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("minor_units", "currency_code", "text"),
    [
        (2500, "USD", "25.00"),
        (-5, "USD", "-0.05"),
        (-1, "USD", "-0.01"),
        (0, "USD", "0.00"),
        (5, "USD", "0.05"),
        (99, "USD", "0.99"),
        (100, "USD", "1.00"),
        (-12345, "USD", "-123.45"),
        (500, "JPY", "500"),
        (0, "JPY", "0"),
        (-1, "JPY", "-1"),
        (1, "KWD", "0.001"),
        (1234, "KWD", "1.234"),
        (1, "CLF", "0.0001"),
        (10000, "POINTS", "10000"),
        (9007199254740993, "USD", "90071992547409.93"),
        (2**63 - 1, "USD", "92233720368547758.07"),
        (-(2**63), "KWD", "-9223372036854775.808"),
    ],
)
def test_format(minor_units: int, currency_code: str, text: str) -> None:
    assert format_amount(minor_units, currency_code) == text


@pytest.mark.parametrize(
    ("text", "currency_code", "minor_units"),
    [
        ("57.23", "USD", 5723),
        ("1.1", "USD", 110),
        ("25", "USD", 2500),
        ("0", "USD", 0),
        ("0.00", "USD", 0),
        ("000025.00", "USD", 2500),
        ("500", "JPY", 500),
        ("0.005", "KWD", 5),
        ("1.2345", "CLF", 12345),
        ("10000", "POINTS", 10000),
        ("10000000000.00", "USD", AMOUNT_MAX_MINOR_UNITS),
        ("1000000000000", "JPY", AMOUNT_MAX_MINOR_UNITS),
        ("9999999999.99", "USD", AMOUNT_MAX_MINOR_UNITS - 1),
    ],
)
def test_parse(text: str, currency_code: str, minor_units: int) -> None:
    assert parse_amount(text, currency_code) == minor_units


@pytest.mark.parametrize(
    ("text", "currency_code"),
    [
        ("0.005", "USD"),  # too many decimals: refused, not rounded
        ("1.100", "USD"),
        ("1.0", "JPY"),
        ("0.5", "POINTS"),
        ("1.00000", "CLF"),
        ("10000000000.01", "USD"),  # above the cap
        ("1000000000001", "JPY"),
        ("9007199254740993", "USD"),  # 16 digits
        ("12345678901234", "JPY"),  # 14 digits
        ("", "USD"),
        (".5", "USD"),
        ("5.", "USD"),
        ("-5.00", "USD"),
        ("+5.00", "USD"),
        ("-0", "USD"),
        ("1e3", "USD"),
        ("1E3", "USD"),
        ("NaN", "USD"),
        ("Infinity", "USD"),
        ("inf", "USD"),
        ("0x10", "USD"),
        ("1_000", "USD"),
        ("1,000.00", "USD"),
        ("5,00", "USD"),
        ("$5.00", "USD"),
        (" 5.00", "USD"),
        ("5.00 ", "USD"),
        ("5.00\n", "USD"),
        ("5.00\x00", "USD"),
        ("5.0.0", "USD"),
        ("\u0661\u0662\u0663", "USD"),  # Arabic-Indic digits: int() would read 123
        ("\uff15.\uff10\uff10", "USD"),  # full-width digits: Decimal() would read 5.00
        ("5\u066b00", "USD"),
        ("\u00b2", "USD"),
    ],
)
def test_parse_refuses(text: str, currency_code: str) -> None:
    with pytest.raises(AmountError):
        parse_amount(text, currency_code)


def test_parse_refuses_unknown_currency() -> None:
    with pytest.raises(UnknownCurrencyError):
        parse_amount("1", "XAU")


@given(st.integers(0, AMOUNT_MAX_MINOR_UNITS), CURRENCIES)
def test_round_trip(minor_units: int, currency_code: str) -> None:
    assert parse_amount(format_amount(minor_units, currency_code), currency_code) == minor_units


@given(st.integers(1, 2**63 - 1), CURRENCIES)
def test_negative_is_the_positive_with_a_sign(minor_units: int, currency_code: str) -> None:
    positive = format_amount(minor_units, currency_code)
    assert format_amount(-minor_units, currency_code) == "-" + positive


@given(st.text(max_size=20), CURRENCIES)
def test_any_text_is_read_exactly_or_refused(text: str, currency_code: str) -> None:
    try:
        minor_units = parse_amount(text, currency_code)
    except AmountError:
        return
    assert text.isascii()
    whole, _, fraction = text.partition(".")
    decimals = exponent(currency_code)
    assert minor_units * 10 ** len(fraction) == int(whole + fraction) * 10**decimals
