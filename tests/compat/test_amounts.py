"""Decimal text to minor units and back."""

import pytest

from compat_http.amounts import AmountError, decimal_text, minor_units, shortest_text

READ: list[tuple[str, str, int]] = [
    ("5.00", "USD", 500),
    ("5", "USD", 500),
    ("5.5", "USD", 550),
    ("0.01", "USD", 1),
    ("0", "USD", 0),
    ("007.10", "USD", 710),
    # Each of these is one cent less where a float is between.
    ("0.29", "USD", 29),
    ("1.15", "USD", 115),
    ("8.29", "USD", 829),
    ("9007199254.99", "USD", 900_719_925_499),
    ("500", "JPY", 500),
    ("1.234", "KWD", 1234),
    ("10000000000.00", "USD", 10**12),
]
NOT_READ: list[tuple[str, str]] = [
    ("5.001", "USD"),
    ("5.000", "USD"),
    ("5.0", "JPY"),
    ("-5", "USD"),
    ("+5", "USD"),
    ("5,00", "USD"),
    ("1e2", "USD"),
    ("", "USD"),
    (".5", "USD"),
    ("5.", "USD"),
    (" 5", "USD"),
    ("5\n", "USD"),
    ("\u0665", "USD"),
    ("\uff15", "USD"),
    ("10000000000.01", "USD"),
    ("99999999999999", "JPY"),
]


@pytest.mark.parametrize(("text", "currency", "units"), READ)
def test_read(text: str, currency: str, units: int) -> None:
    assert minor_units(text, currency) == units


@pytest.mark.parametrize(("text", "currency"), NOT_READ)
def test_not_read(text: str, currency: str) -> None:
    with pytest.raises(AmountError):
        minor_units(text, currency)


@pytest.mark.parametrize(
    ("units", "currency", "fixed", "shortest", "one_decimal"),
    [
        (10000, "USD", "100.00", "100", "100.0"),
        (5750, "USD", "57.50", "57.5", "57.5"),
        (5723, "USD", "57.23", "57.23", "57.23"),
        (5, "USD", "0.05", "0.05", "0.05"),
        (0, "USD", "0.00", "0", "0.0"),
        (-5, "USD", "-0.05", "-0.05", "-0.05"),
        (-1, "USD", "-0.01", "-0.01", "-0.01"),
        (500, "JPY", "500", "500", "500.0"),
        (1234, "KWD", "1.234", "1.234", "1.234"),
    ],
)
def test_written(units: int, currency: str, fixed: str, shortest: str, one_decimal: str) -> None:
    assert decimal_text(units, currency) == fixed
    assert shortest_text(units, currency, decimals_min=0) == shortest
    assert shortest_text(units, currency, decimals_min=1) == one_decimal
