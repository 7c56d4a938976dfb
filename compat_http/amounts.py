"""Decimal text to minor units and back, exactly.  Nothing is rounded and nothing is a float."""

import re
from functools import lru_cache
from typing import Final

from iso4217 import Currency

#: The most that the contract takes.
MINOR_UNITS_MAX: Final = 10**12

_DECIMALS: Final = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
# Spelled 0-9, since \d also matches other scripts' digits.  No sign, no exponent.
_AMOUNT: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,4}))?")


class AmountError(ValueError):
    """Not an exact amount of the currency; the text says why in words for a caller."""


def is_currency(code: str) -> bool:
    """Whether it is an ISO 4217 code, in upper case, of money that has a minor unit."""
    return code in _DECIMALS


def decimals_of(currency: str) -> int:
    """Raises KeyError for what is no currency."""
    return _DECIMALS[currency]


def minor_units(text: str, currency: str) -> int:
    """The amount written as `text` in minor units; 0 is an amount here.

    Raises:
        AmountError: no plain decimal, more decimals than the currency has, or too large.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise AmountError("must be a plain decimal number, without sign and exponent")
    whole, fraction = match.group(1), match.group(2) or ""
    decimals = _DECIMALS[currency]
    if len(fraction) > decimals:
        raise AmountError(f"must have at most {decimals} decimals in {currency}")
    units = int(whole + fraction.ljust(decimals, "0"))
    if units > MINOR_UNITS_MAX:
        raise AmountError("is too large")
    return units


@lru_cache(maxsize=4096)
def decimal_text(units: int, currency: str) -> str:
    """With all decimals of the currency: 25.00, -0.05, 500 for JPY."""
    decimals = _DECIMALS[currency]
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)


def shortest_text(units: int, currency: str, *, decimals_min: int) -> str:
    """Without trailing zeros beyond `decimals_min`: 100, 57.5; with 1: 100.0, 57.5."""
    whole, point, fraction = decimal_text(units, currency).partition(".")
    kept = fraction.rstrip("0").ljust(decimals_min, "0")
    return f"{whole}{point or '.'}{kept}" if kept else whole
