"""Reading single fields of a request: each function answers a domain value or raises
InvalidField with the field's path.

Only what can be said of the field alone is checked here; what needs a card is the domain's.
"""

import re
from datetime import date
from typing import Any, Final

from giftcard.v1 import CallContext, Money, Program
from google.protobuf import duration_pb2, timestamp_pb2
from google.type import date_pb2

from server.domain import calendar, currency
from server.domain import code as codes
from server.domain.commands import Amount
from server.domain.errors import InvalidField

REQUEST_ID_LENGTH_MAX: Final = 128
TEXT_LENGTH_MAX: Final = 128
LABELS_MAX: Final = 32
HOLD_SECONDS_MAX: Final = 366 * 24 * 3600

_REQUEST_ID = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_OPAQUE_ID = re.compile(r"[0-9a-f]{32}")
#: Ids that a merchant chooses stand in resource names, so they keep to what a URL can carry.
_CHOSEN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,62}")
_PIN = re.compile(r"[0-9]{4,12}")


def request_id(value: str, field: str = "request_id") -> str:
    """1 to 128 printable ASCII characters, not starting or ending with a space (AIP-155)."""
    if not _REQUEST_ID.fullmatch(value):
        raise InvalidField(field, "Must be 1 to 128 printable ASCII characters. A UUID is best.")
    return value


def amount(value: Money, present: bool, field: str, *, signed: bool = False) -> Amount:
    """A positive amount (or, where `signed`, one that is not zero) of a known currency."""
    if not present:
        raise InvalidField(field, "Is required.")
    units = value.minor_units
    if not -currency.AMOUNT_MAX_MINOR_UNITS <= units <= currency.AMOUNT_MAX_MINOR_UNITS:
        raise InvalidField(
            f"{field}.minor_units", f"Must be at most {currency.AMOUNT_MAX_MINOR_UNITS}."
        )
    if units == 0 or (units < 0 and not signed):
        raise InvalidField(
            f"{field}.minor_units", "Must not be 0." if signed else "Must be greater than 0."
        )
    return Amount(units, currency_code(value.currency_code, f"{field}.currency_code"))


def optional_amount(value: Money, present: bool, field: str) -> Amount | None:
    return amount(value, present, field) if present else None


def points(value: int, field: str, *, signed: bool = False) -> int:
    """A positive number of points (or, where `signed`, one that is not zero)."""
    if not -currency.AMOUNT_MAX_MINOR_UNITS <= value <= currency.AMOUNT_MAX_MINOR_UNITS:
        raise InvalidField(field, f"Must be at most {currency.AMOUNT_MAX_MINOR_UNITS}.")
    if value == 0 or (value < 0 and not signed):
        raise InvalidField(field, "Must not be 0." if signed else "Must be greater than 0.")
    return int(value)


def currency_code(value: str, field: str) -> str:
    try:
        currency.exponent(value)
    except currency.UnknownCurrencyError as error:
        raise InvalidField(field, "Must be an ISO 4217 code such as USD.") from error
    return value


def text(value: str, field: str, *, limit: int = TEXT_LENGTH_MAX, required: bool = False) -> str:
    """Free text: short, without control characters."""
    if len(value) > limit:
        raise InvalidField(field, f"Must have at most {limit} characters.")
    if not _PRINTABLE.fullmatch(value):
        raise InvalidField(field, "Must not contain control characters.")
    if required and not value.strip():
        raise InvalidField(field, "Is required.")
    return value


def labels(value: dict[str, str], field: str) -> dict[str, str]:
    if len(value) > LABELS_MAX:
        raise InvalidField(field, f"Must have at most {LABELS_MAX} entries.")
    for key, entry in value.items():
        text(key, f"{field}.key", limit=63, required=True)
        text(entry, f"{field}[{key}]", limit=255)
    return dict(sorted(value.items()))


def opaque_name(value: str, collection: str, field: str) -> str:
    """The id in a name such as giftCards/…; a name that cannot exist is answered like any
    other malformed field."""
    prefix, _, identifier = value.partition("/")
    if prefix != collection or not _OPAQUE_ID.fullmatch(identifier):
        raise InvalidField(field, f"Must be a name of the form {collection}/{{id}}.")
    return identifier


def chosen_name(value: str, collection: str, field: str) -> str:
    """The merchant's own id in a name such as programs/GC."""
    prefix, _, identifier = value.partition("/")
    if prefix != collection:
        raise InvalidField(field, f"Must be a name of the form {collection}/{{id}}.")
    return chosen_id(identifier, field)


def chosen_id(value: str, field: str) -> str:
    if not _CHOSEN_ID.fullmatch(value):
        raise InvalidField(
            field, "Must be 1 to 63 letters, digits and . _ ~ -, starting with a letter or digit."
        )
    return value


def optional_date(value: date_pb2.Date, present: bool, field: str) -> str | None:
    """An ISO date; a partial or impossible one is refused."""
    if not present:
        return None
    try:
        return calendar.validate_date(date(value.year, value.month, value.day)).isoformat()
    except ValueError as error:
        raise InvalidField(field, "Must be a whole calendar date from 1970 to 9999.") from error


def customer(value: str, field: str) -> str:
    """The merchant's own number in the name of a customer, or empty."""
    return chosen_name(value, "customers", field) if value else ""


def ordered_dates(first: str | None, last: str | None, field: str) -> None:
    if first is not None and last is not None and last < first:
        raise InvalidField(field, "Must not be before valid_from.")


def optional_instant(value: timestamp_pb2.Timestamp, present: bool, field: str) -> int | None:
    """Microseconds since the epoch; finer fractions are cut."""
    if not present:
        return None
    if not 0 <= value.seconds <= 253402300799 or not 0 <= value.nanos <= 999_999_999:
        raise InvalidField(field, "Must be an instant from 1970 to 9999.")
    return value.seconds * 1_000_000 + value.nanos // 1000


def period(
    start: timestamp_pb2.Timestamp | None, end: timestamp_pb2.Timestamp | None
) -> tuple[int | None, int | None]:
    """From `start_time` to before `end_time`, either of which may be absent."""
    first = None if start is None else optional_instant(start, True, "start_time")
    last = None if end is None else optional_instant(end, True, "end_time")
    if first is not None and last is not None and last <= first:
        raise InvalidField("end_time", "Must be after start_time.")
    return first, last


def optional_seconds(
    value: duration_pb2.Duration, present: bool, field: str, limit: int = HOLD_SECONDS_MAX
) -> int | None:
    if not present:
        return None
    if value.nanos or not 1 <= value.seconds <= limit:
        raise InvalidField(field, f"Must be a whole number of seconds from 1 to {limit}.")
    return int(value.seconds)


def pin(value: str, field: str) -> str:
    if not _PIN.fullmatch(value):
        raise InvalidField(field, "Must be 4 to 12 digits.")
    return value


_ALPHABETS: Final = {
    Program.CodeFormat.ALPHABET_UNSPECIFIED: codes.CodeAlphabet.CROCKFORD,
    Program.CodeFormat.CROCKFORD: codes.CodeAlphabet.CROCKFORD,
    Program.CodeFormat.DIGITS: codes.CodeAlphabet.DIGITS,
    Program.CodeFormat.ALPHANUMERIC: codes.CodeAlphabet.ALPHANUMERIC,
}
_CHECKS: Final = {
    Program.NONE: codes.CodeCheck.NONE,
    Program.LUHN: codes.CodeCheck.LUHN,
    Program.CROCKFORD: codes.CodeCheck.CROCKFORD,
}


def code_format(value: Program.CodeFormat, field: str) -> codes.CodeFormat:
    """A format in which codes can be made that nobody guesses."""
    alphabet = _ALPHABETS.get(value.alphabet)
    if alphabet is None:
        raise InvalidField(f"{field}.alphabet", "Is not a known value.")
    plain = alphabet is codes.CodeAlphabet.ALPHANUMERIC
    usual = codes.CodeCheck.NONE if plain else codes.CodeCheck.CROCKFORD
    check = _CHECKS.get(value.check_digit) if value.check_digit else usual
    if check is None:
        raise InvalidField(f"{field}.check_digit", "Is not a known value.")
    length = value.random_length or codes.DEFAULT_CODE_FORMAT.length
    try:
        made = codes.CodeFormat(value.prefix, alphabet, length, check)
        codes.require_generatable(made)
    except codes.CodeFormatError as error:
        raise InvalidField(field, str(error)) from error
    return made


def known_enum(value: int, kind: Any, field: str) -> int:
    """A value of the contract's enum `kind`, the unspecified one included."""
    if value not in kind.values():
        raise InvalidField(field, "Is not a known value.")
    return value


def time_zone(value: str, field: str) -> str:
    try:
        return calendar.validate_time_zone(value)
    except ValueError as error:
        raise InvalidField(field, "Must be an IANA time zone such as Europe/Berlin.") from error


def page_size(value: int) -> int:
    """50 when unset, 1000 at most (https://google.aip.dev/158)."""
    if value < 0:
        raise InvalidField("page_size", "Must not be negative.")
    return min(value, 1000) or 50


def context_texts(value: CallContext) -> tuple[str, str, str, str]:
    return (
        text(value.terminal, "context.terminal"),
        text(value.operator, "context.operator"),
        text(value.receipt, "context.receipt"),
        text(value.reason, "context.reason", limit=255),
    )
