"""The vendor's ids as names of the contract; what can be no name is not found."""

import re
from collections.abc import Mapping
from typing import Any, Final

from giftcard import v1

from compat_http.dialects.cp_extender.answers import refusal

_CODE_LENGTH_MAX: Final = 40
_CHOSEN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,62}")


def card_reference(code: str) -> v1.GiftCardReference:
    """Raises Refusal: no card can have such a code."""
    symbols = code.replace("-", "").replace(" ", "")
    if not (code.isascii() and code.isprintable() and 0 < len(symbols) <= _CODE_LENGTH_MAX):
        raise refusal("GIFT_CARD_NOT_FOUND")
    return v1.GiftCardReference(code=code)


def customer_name(number: str) -> str:
    """The resource name of a customer.

    Raises:
        Refusal: no customer can have such a number.
    """
    if not _CHOSEN_ID.fullmatch(number):
        raise refusal("CUSTOMER_NOT_FOUND")
    return "customers/" + number


def program_name(code: str, gift_card_codes: Mapping[str, Any]) -> str:
    """The resource name of the program that a GiftCardCode stands for.

    Raises:
        Refusal: no program can have such an id.
    """
    program = gift_card_codes.get(code, code)
    if not (isinstance(program, str) and _CHOSEN_ID.fullmatch(program)):
        raise refusal("PROGRAM_NOT_FOUND")
    return "programs/" + program
