"""Messages of the contract as text for people, and text as fields of the contract."""

from datetime import UTC, date, datetime

from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from server.cli.output import UNUSABLE, CommandError
from server.domain.currency import (
    AmountError,
    UnknownCurrencyError,
    format_amount,
    parse_amount,
)


def money(value: v1.Money) -> str:
    if not value.currency_code:
        return ""
    return f"{format_amount(value.minor_units, value.currency_code)} {value.currency_code}"


def signed(value: v1.Money) -> str:
    text = money(value)
    return f"+{text}" if value.minor_units > 0 else text


def to_money(text: str, currency_code: str) -> v1.Money:
    """Reads a decimal amount exactly; more decimals than the currency has are refused."""
    try:
        return v1.Money(minor_units=parse_amount(text, currency_code), currency_code=currency_code)
    except AmountError as error:
        raise CommandError(f"{text}: {error} Write it as 25.00.", UNUSABLE) from None
    except UnknownCurrencyError as error:
        raise CommandError(f"{currency_code}: {error} Write it as USD.", UNUSABLE) from None


def moment(value: Timestamp) -> str:
    """UTC, to the second; empty for no time at all."""
    if not value.seconds:
        return ""
    return datetime.fromtimestamp(value.seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def day(value: date_pb2.Date) -> str:
    return f"{value.year:04d}-{value.month:02d}-{value.day:02d}" if value.year else ""


def to_day(text: str) -> date_pb2.Date | None:
    """An ISO date; None for an empty text."""
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text} is not a date such as 2027-12-31.", UNUSABLE) from None
    return date_pb2.Date(year=found.year, month=found.month, day=found.day)


def to_moment(text: str) -> Timestamp | None:
    """An ISO instant with its offset, or a date, which means its first instant in UTC."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{text} is not a time such as 2027-12-31 or 2027-12-31T18:00:00+01:00.", UNUSABLE
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    value = Timestamp()
    value.FromDatetime(found)
    return value


def plain(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]


def context(location: str = "", receipt: str = "", reason: str = "") -> v1.CallContext:
    return v1.CallContext(
        location=f"locations/{location}" if location else "", receipt=receipt, reason=reason
    )
