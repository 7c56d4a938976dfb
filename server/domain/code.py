"""Gift card codes: their shape, spelling and check symbols. Pure text rules.

A code is what a person types or a till scans. Two kinds exist. *Generated* codes follow a
program's `CodeFormat`. *Given* codes come from a merchant's own stock or a legacy till
(``99-53235753896117470``, ``12399``) and may be anything that survives `normalize`. Randomness
comes in as an argument. This module must not know about storage, hashing or cards.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

CODE_LENGTH_MAX: Final = 40
"""Longest code after normalization, in characters."""

PREFIX_LENGTH_MAX: Final = 16
_POSSIBILITIES_MIN: Final = 2**40
_DRAWS_MAX: Final = 1000

_PREFIX: Final = re.compile(r"(?:[0-9A-Z]+-?)*")

_DIGITS: Final = "0123456789"
_UPPER_CASE: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Crockford's check symbol is the value modulo 37; five symbols beyond the alphabet complete it.
_CROCKFORD_CHECK: Final = _CROCKFORD + "*~$=U"
_CROCKFORD_MISREADINGS: Final = str.maketrans("OIL", "011")
_CROCKFORD_VALUES: Final = {symbol: value for value, symbol in enumerate(_CROCKFORD)} | {
    "O": 0,
    "I": 1,
    "L": 1,
}

# First digits of the card brands, as ISO/IEC 7812 issuer ranges in public brand documents.
_PAYMENT_PREFIXES: Final = (
    *("4", "34", "37", "6011", "65", "35", "30", "36", "38"),
    *(str(number) for number in range(51, 56)),
    *(str(number) for number in range(2221, 2721)),
)
_PAYMENT_PREFIX_LENGTH_MAX: Final = 4
_PAYMENT_LENGTHS: Final = range(13, 20)


class CodeFormatError(ValueError):
    """A text that can be no code, or a format that cannot be used. Never contains the code."""


@unique
class CodeAlphabet(Enum):
    """The symbols of a format's random part. The value is the alphabet itself."""

    CROCKFORD = _CROCKFORD
    DIGITS = _DIGITS
    ALPHANUMERIC = _DIGITS + _UPPER_CASE


@unique
class CodeCheck(Enum):
    """The check symbol at the end of a code: it catches typing errors, not thieves."""

    NONE = "none"
    LUHN = "luhn"
    CROCKFORD = "crockford"


@dataclass(frozen=True, slots=True)
class CodeFormat:
    """How a program's codes look: prefix, then random symbols, then perhaps a check symbol.

    Attributes:
        prefix: 0 to 16 characters, public: 0-9 and A-Z, with single hyphens after some of them
            where a person should see them (``WEB-``). No rule but the spelling knows hyphens.
        alphabet: the symbols of the random part.
        length: number of random symbols, without prefix and check symbol.
        check: LUHN needs the DIGITS alphabet and covers all digits, those of the prefix too.
            CROCKFORD needs the DIGITS or CROCKFORD alphabet and covers prefix and random part.

    The default, 15 Crockford symbols and a check symbol, has 75 bits of entropy: fewer than
    one lucky guess in ten years at millions of guesses an hour on a hundred million cards.

    Raises:
        CodeFormatError: the parts do not fit together.
    """

    prefix: str = ""
    alphabet: CodeAlphabet = CodeAlphabet.CROCKFORD
    length: int = 15
    check: CodeCheck = CodeCheck.CROCKFORD

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise CodeFormatError(
                "Code prefix must consist of 0-9 and A-Z, with single hyphens between or after."
            )
        if len(self.prefix) > PREFIX_LENGTH_MAX:
            raise CodeFormatError(f"Code prefix is longer than {PREFIX_LENGTH_MAX} characters.")
        if self.length < 1 or self.total_length > CODE_LENGTH_MAX:
            raise CodeFormatError(f"Code must have 1 to {CODE_LENGTH_MAX} characters in all.")
        if self.check is CodeCheck.LUHN and self.alphabet is not CodeAlphabet.DIGITS:
            raise CodeFormatError("A Luhn check digit needs the alphabet DIGITS.")
        if self.check is CodeCheck.CROCKFORD:
            if self.alphabet is CodeAlphabet.ALPHANUMERIC:
                raise CodeFormatError(
                    "A Crockford check symbol needs the alphabet CROCKFORD or DIGITS."
                )
            if "U" in self.prefix:
                raise CodeFormatError("A Crockford check symbol cannot cover a prefix with U.")

    @property
    def start(self) -> str:
        """The prefix as it stands in a normalized code: without its hyphens."""
        return self.prefix.replace("-", "")

    @property
    def total_length(self) -> int:
        """Number of characters of a whole normalized code, prefix and check symbol included."""
        return len(self.start) + self.length + (self.check is not CodeCheck.NONE)


DEFAULT_CODE_FORMAT: Final = CodeFormat()


def normalize(text: str) -> str:
    """Returns the one spelling under which a code is looked up.

    Upper case, without spaces and dashes; leading zeros stay. ``O`` and ``I`` stay too, since
    given codes may contain them (`corrected` serves people who misread a generated code).
    Anything but printable ASCII is refused rather than folded: full-width digits, a Cyrillic
    letter or a dotless i must not reach a card by looking like it.

    Raises:
        CodeFormatError: other characters, or not 1 to 40 characters remain.
    """
    # isascii first: outside ASCII, upper() can change length and turn a long s into an S.
    if not text.isascii() or not text.isprintable():
        raise CodeFormatError("Code contains a character that is not printable ASCII.")
    code = text.upper().replace(" ", "").replace("-", "")
    if not 1 <= len(code) <= CODE_LENGTH_MAX:
        raise CodeFormatError(f"Code must have 1 to {CODE_LENGTH_MAX} letters or digits.")
    return code


def display(code: str) -> str:
    """Groups a normalized code for reading aloud: ``7K3M-9QXA-...``; short codes stay whole.

    A last group of one symbol joins the one before it. `normalize` undoes the grouping. A given
    code is better shown as its merchant spelled it.
    """
    if len(code) <= 8:
        return code
    groups = [code[start : start + 4] for start in range(0, len(code), 4)]
    if len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return "-".join(groups)


def last_four(code: str) -> str:
    """Returns the end of a normalized code that may be shown: 4 symbols, at most half of it."""
    shown = min(4, len(code) // 2)
    return code[len(code) - shown :]


def luhn_check_digit(digits: str) -> str:
    """Returns the digit that completes ASCII digits (ISO/IEC 7812-1 annex B, "Luhn")."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        if position % 2 == 0:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return str(-total % 10)


def luhn_ok(digits: str) -> bool:
    """Tells whether the last of at least two ASCII digits is the Luhn digit of the others."""
    if len(digits) < 2 or not (digits.isascii() and digits.isdecimal()):
        return False
    return luhn_check_digit(digits[:-1]) == digits[-1]


def crockford_check_symbol(text: str) -> str:
    """Returns Crockford's check symbol (value modulo 37) of base-32 text.

    ``O``, ``I`` and ``L`` count as 0, 1 and 1, as in his decoding table.

    Raises:
        CodeFormatError: a symbol outside the alphabet.
    """
    remainder = 0
    for symbol in text:
        if symbol not in _CROCKFORD_VALUES:
            raise CodeFormatError("Text contains a symbol that is not Crockford base 32.")
        remainder = (remainder * 32 + _CROCKFORD_VALUES[symbol]) % 37
    return _CROCKFORD_CHECK[remainder]


def _check_symbol(text: str, check: CodeCheck) -> str:
    match check:
        case CodeCheck.NONE:
            return ""
        case CodeCheck.LUHN:
            return luhn_check_digit("".join(symbol for symbol in text if symbol in _DIGITS))
        case CodeCheck.CROCKFORD:
            return crockford_check_symbol(text)


def has_shape(code: str, code_format: CodeFormat) -> bool:
    """Tells whether a normalized code has the prefix, length and symbols of a format."""
    start = code_format.start
    body = code[len(start) : len(start) + code_format.length]
    return (
        len(code) == code_format.total_length
        and code.startswith(start)
        and set(body) <= set(code_format.alphabet.value)
    )


def check_symbol_ok(code: str, code_format: CodeFormat) -> bool:
    """Tells whether a normalized code has the format's shape and its right check symbol.

    Of use to refuse a typing error before any look-up, but only where a merchant uses no given
    codes: those may have any shape.
    """
    if not has_shape(code, code_format):
        return False
    covered = code[: len(code_format.start) + code_format.length]
    return code[len(covered) :] == _check_symbol(covered, code_format.check)


def corrected(code: str, code_format: CodeFormat) -> str | None:
    """Returns the generated code that a misread one must be: O as 0, I and L as 1.

    For a second look-up after `code` itself was not found, so that a given code with these
    letters always wins. None unless the format has the CROCKFORD alphabet, something changed,
    and the result has the format's shape and check symbol.
    """
    if code_format.alphabet is not CodeAlphabet.CROCKFORD:
        return None
    start = len(code_format.start)
    candidate = code[:start] + code[start:].translate(_CROCKFORD_MISREADINGS)
    if candidate == code or not check_symbol_ok(candidate, code_format):
        return None
    return candidate


def looks_like_payment_card(code: str) -> bool:
    """Tells whether a code could be taken for a card of a payment brand.

    13 to 19 digits, a brand's first digits, and a valid Luhn digit: terminals route such a
    number to the brand, and scanners for leaked card data raise an alarm over it.
    """
    return (
        len(code) in _PAYMENT_LENGTHS
        and code.isascii()
        and code.isdecimal()
        and code.startswith(_PAYMENT_PREFIXES)
        and luhn_ok(code)
    )


def _always_payment_prefix(prefix: str) -> bool:
    """Tells whether every continuation of these digits starts with a payment brand's range."""
    if prefix.startswith(_PAYMENT_PREFIXES):
        return True
    return len(prefix) < _PAYMENT_PREFIX_LENGTH_MAX and all(
        _always_payment_prefix(prefix + digit) for digit in _DIGITS
    )


def require_generatable(code_format: CodeFormat) -> None:
    """Checks that safe codes can be generated in a format; for use when a program is configured.

    Raises:
        CodeFormatError: fewer than 2**40 possible codes (a bot would find live cards by
            guessing), or every code would pass for a payment card.
    """
    if len(code_format.alphabet.value) ** code_format.length < _POSSIBILITIES_MIN:
        raise CodeFormatError(
            "Code format has fewer than 40 bits of entropy: use at least 8 letters or 13 digits."
        )
    if (
        code_format.check is CodeCheck.LUHN
        and code_format.total_length in _PAYMENT_LENGTHS
        and set(code_format.start) <= set(_DIGITS)
        and _always_payment_prefix(code_format.start)
    ):
        raise CodeFormatError("Every code of this format would look like a payment card.")


def generate(code_format: CodeFormat, random_below: Callable[[int], int]) -> str:
    """Returns a new code in the spelling to show: normalized, but for hyphens in the prefix.

    Draws again when the code would look like a payment card, or when its check symbol would be
    one of ``*~$=U``: not typed easily, and absent from common bar codes. This costs a fifth of
    a bit.

    Args:
        code_format: the format.
        random_below: returns a uniform integer in 0..n-1 from a cryptographic source, such as
            `secrets.randbelow`.

    Raises:
        CodeFormatError: see `require_generatable`.
    """
    require_generatable(code_format)
    alphabet = code_format.alphabet.value
    for _ in range(_DRAWS_MAX):
        number = random_below(len(alphabet) ** code_format.length)
        symbols = []
        for _ in range(code_format.length):
            number, index = divmod(number, len(alphabet))
            symbols.append(alphabet[index])
        body = "".join(symbols)
        covered = code_format.start + body
        check_symbol = _check_symbol(covered, code_format.check)
        if check_symbol in _CROCKFORD and not looks_like_payment_card(covered + check_symbol):
            return code_format.prefix + body + check_symbol
    raise CodeFormatError("The random source yields no usable code.")
