"""Units of value: how many decimals each has, and exact text for amounts.

Amounts are integers of minor units everywhere; this module is the one place where they meet
decimal text. No floating point number appears here, and nothing is ever rounded. It must not
know about cards, requests or any wire format.
"""

import re
from functools import cache, lru_cache
from typing import Final

from iso4217 import Currency

POINTS: Final = "POINTS"
"""Our own unit for loyalty points: whole points, no decimals."""

AMOUNT_MAX_MINOR_UNITS: Final = 10**12
"""Largest amount of one operation and of one card, in minor units (inclusive).

Far below 2**63, so that the sum of millions of such amounts still fits in 64 bits.
"""

# Four decimals is the most that any ISO 4217 unit has (CLF). The class is spelled 0-9 because
# \d also matches Arabic-Indic and full-width digits.
_AMOUNT_TEXT: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,4}))?", re.ASCII)


class UnknownCurrencyError(ValueError):
    """The code is no ISO 4217 currency with a minor unit, nor ``POINTS``."""

    def __init__(self) -> None:
        # The text does not repeat the input: it may come straight from a stranger's request.
        super().__init__("Currency code is not an ISO 4217 currency with a minor unit.")


class AmountError(ValueError):
    """The text is no exact amount of the currency, or the amount exceeds the cap."""


@cache
def _exponents() -> dict[str, int]:
    # Gold, test codes and the like have no minor unit (ISO 4217 "N.A."): not usable as money.
    table = {
        currency.code: currency.exponent for currency in Currency if currency.exponent is not None
    }
    table[POINTS] = 0
    return table


_EXPONENTS: Final = _exponents()


def exponent(currency_code: str) -> int:
    """Returns the number of decimals of a unit of value (ISO 4217 minor unit exponent).

    Args:
        currency_code: three upper-case letters, or ``POINTS``. Lower case is unknown.

    Raises:
        UnknownCurrencyError: no such unit, or one without a minor unit (XAU, XXX).
    """
    try:
        return _EXPONENTS[currency_code]
    except KeyError:
        raise UnknownCurrencyError from None


@lru_cache(maxsize=4096)
def format_amount(minor_units: int, currency_code: str) -> str:
    """Renders an amount with all decimals of its unit: ``25.00``, ``-0.05``, ``500`` (JPY).

    Raises:
        UnknownCurrencyError: see `exponent`.
    """
    decimals = exponent(currency_code)
    sign = "-" if minor_units < 0 else ""
    digits = str(abs(minor_units)).rjust(decimals + 1, "0")
    return sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)


def parse_amount(text: str, currency_code: str) -> int:
    """Reads an unsigned decimal amount exactly, in minor units.

    Accepts 1 to 13 ASCII digits, then optionally a point and at most as many decimals as the
    unit has: ``1.1`` US dollars are 110 cents; ``1.100`` is refused even though the last digit
    is zero, for a sender who writes a decimal that does not exist has misread the unit.

    Returns:
        0 up to `AMOUNT_MAX_MINOR_UNITS`.

    Raises:
        AmountError: not such text (sign, exponent, NaN, space, foreign digits), too many
            decimals, or above the cap.
        UnknownCurrencyError: see `exponent`.
    """
    decimals = exponent(currency_code)
    match = _AMOUNT_TEXT.fullmatch(text)
    if match is None:
        raise AmountError("Amount is not a plain decimal number.")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise AmountError(f"Amount has more than {decimals} decimals, the most its currency has.")
    minor_units = int(whole + fraction.ljust(decimals, "0"))
    if minor_units > AMOUNT_MAX_MINOR_UNITS:
        raise AmountError("Amount is above the largest amount allowed.")
    return minor_units
