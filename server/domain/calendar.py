"""Dates and instants: when a day begins and ends somewhere, and what day it is there.

An instant is a whole number of microseconds since 1970-01-01T00:00Z (UTC, no leap seconds),
here and everywhere in the product. A validity is half-open: valid while ``start <= now < end``.
This module never reads the clock and must not know about cards.
"""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

MICROSECONDS_PER_SECOND: Final = 1_000_000
DATE_MIN: Final = date(1970, 1, 1)
DATE_MAX: Final = date(9999, 12, 30)
"""Last date allowed: the end of this day, anywhere, is still a date that Python can express."""

_MICROSECOND: Final = timedelta(microseconds=1)
_ONE_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BUCKET_SECONDS: Final = 900
_BUCKET_MICROSECONDS: Final = _BUCKET_SECONDS * MICROSECONDS_PER_SECOND

# Entries of the zone database that mean "whatever this machine is set to" or "not set up".
_MACHINE_DEPENDENT_ZONES: Final = frozenset({"localtime", "Factory", "posixrules"})


class CalendarError(ValueError):
    """A date out of range, an instant out of range, or an unknown time zone."""


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - _MACHINE_DEPENDENT_ZONES


def validate_time_zone(name: str) -> str:
    """Returns the name if it is an IANA time zone ("Europe/Vienna"), spelled exactly.

    Raises:
        CalendarError: unknown name, or one that depends on the machine ("localtime").
    """
    if name not in _zone_names():
        raise CalendarError("Time zone is not a name of the IANA time zone database.")
    return name


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(validate_time_zone(name))


def validate_date(day: date) -> date:
    """Returns the date if it lies in 1970-01-01..9999-12-30.

    Raises:
        CalendarError: it does not.
    """
    # A datetime is a date to Python, and would slip its time of day into comparisons.
    if isinstance(day, datetime) or not DATE_MIN <= day <= DATE_MAX:
        raise CalendarError("Date is outside 1970-01-01..9999-12-30.")
    return day


def add_days(day: date, days: int) -> date:
    """Returns the date so many days later (or earlier, when negative).

    Raises:
        CalendarError: the date or the result is out of range.
    """
    try:
        return validate_date(validate_date(day) + timedelta(days=days))
    except OverflowError:
        raise CalendarError("Date is outside 1970-01-01..9999-12-30.") from None


def add_months(day: date, months: int) -> date:
    """Returns the same day so many months later, or the month's last day if it is shorter.

    31 January + 1 month is 28 or 29 February; 29 February + 12 months is 28 February.

    Raises:
        CalendarError: the date or the result is out of range.
    """
    validate_date(day)
    year, month_index = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not DATE_MIN.year <= year <= DATE_MAX.year:
        raise CalendarError("Date is outside 1970-01-01..9999-12-30.")
    month = month_index + 1
    last_day_of_month = calendar.monthrange(year, month)[1]
    return validate_date(date(year, month, min(day.day, last_day_of_month)))


def _moment(instant: int, zone: ZoneInfo) -> datetime:
    try:
        return datetime.fromtimestamp(instant // MICROSECONDS_PER_SECOND, zone)
    except (OverflowError, ValueError, OSError):
        raise CalendarError("Instant is outside the years 1..9999.") from None


@lru_cache(maxsize=4096)
def _date_of_steady_bucket(bucket: int, time_zone: str) -> date | None:
    """Returns the date of a quarter of an hour, or None if it has more than one or shifts."""
    zone = _zone(time_zone)
    first = _moment(bucket * _BUCKET_MICROSECONDS, zone)
    last = _moment((bucket + 1) * _BUCKET_MICROSECONDS - 1, zone)
    if first.utcoffset() != last.utcoffset() or first.date() != last.date():
        return None
    return first.date()


def local_date(instant: int, time_zone: str) -> date:
    """Returns the calendar date in the zone at an instant.

    Exact for every instant. Quarters of an hour during which neither the offset nor the date
    changes are answered from a cache; the rest are computed. (Offsets do not only change at
    multiples of 15 minutes: Antarctica/Casey 2018 to 2022, St. John's until 2011.)

    Raises:
        CalendarError: unknown zone, or an instant outside the years 1..9999.
    """
    cached_date = _date_of_steady_bucket(instant // _BUCKET_MICROSECONDS, time_zone)
    if cached_date is not None:
        return cached_date
    return _moment(instant, _zone(time_zone)).date()


def _midnight_readings(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """Returns the instants of 00:00 on the date under its two readings (PEP 495 fold 0, 1).

    Equal on a plain day; first < second where clocks go back over midnight; first > second
    where midnight is skipped.
    """
    midnight = datetime.combine(day, time.min, zone)
    first = (midnight.replace(fold=0) - _EPOCH) // _MICROSECOND
    second = (midnight.replace(fold=1) - _EPOCH) // _MICROSECOND
    return first, second


def _end_of_gap(before: int, after: int, day: date, zone: ZoneInfo) -> int:
    """Returns the first instant in before..after whose local date is `day` or later.

    Between the two readings of a skipped midnight the date changes once, so bisection is exact.
    """
    while after - before > 1:
        middle = (before + after) // 2
        if _moment(middle, zone).date() >= day:
            after = middle
        else:
            before = middle
    return after


@lru_cache(maxsize=4096)
def start_of_validity(day: date, time_zone: str) -> int:
    """Returns the first instant of the day in the zone, in microseconds since the epoch.

    Where midnight is skipped, that is the instant clocks jump; where it comes twice, the first.
    A day that the zone skipped altogether begins with the day after it.

    Raises:
        CalendarError: date out of range, or unknown zone.
    """
    zone = _zone(time_zone)
    first, second = _midnight_readings(validate_date(day), zone)
    if first > second:
        return _end_of_gap(second, first, day, zone)
    return first


@lru_cache(maxsize=4096)
def end_of_validity(day: date, time_zone: str) -> int:
    """Returns the first instant after the last instant of the day in the zone, in microseconds.

    A card valid until that day is valid while ``now < end_of_validity(day, zone)``. Where
    clocks go back over midnight the day ends for good at the second midnight, so a holder
    never loses the repeated hour. A day that the zone skipped ends as it would have begun.

    Raises:
        CalendarError: date out of range, or unknown zone.
    """
    zone = _zone(time_zone)
    next_day = validate_date(day) + _ONE_DAY
    first, second = _midnight_readings(next_day, zone)
    if first > second:
        return _end_of_gap(second, first, next_day, zone)
    # A clock that falls back from 01:00 to 00:00 repeats midnight without returning to the day.
    if _moment(second - 1, zone).date() <= day:
        return second
    return first
