import io
import struct
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import calendar
from server.domain.calendar import (
    DATE_MAX,
    DATE_MIN,
    CalendarError,
    add_days,
    add_months,
    end_of_validity,
    local_date,
    start_of_validity,
    validate_date,
    validate_time_zone,
)
from tests.prove.proof import Proof

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = sorted(available_timezones() - {"localtime", "Factory", "posixrules"})
HOUR = 3_600_000_000


def instant(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def date_by_definition(at: int, zone: ZoneInfo) -> date:
    """The slow truth that the fast functions are compared with."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(zone).date()


@pytest.mark.parametrize(
    ("day", "time_zone", "start", "end"),
    [
        ("2025-06-30", "UTC", "2025-06-30T00:00Z", "2025-07-01T00:00Z"),
        ("2025-06-30", "America/New_York", "2025-06-30T04:00Z", "2025-07-01T04:00Z"),
        ("2025-06-30", "Asia/Kathmandu", "2025-06-29T18:15Z", "2025-06-30T18:15Z"),
        ("2025-03-09", "America/New_York", "2025-03-09T05:00Z", "2025-03-10T04:00Z"),  # 23 hours
        ("2025-11-02", "America/New_York", "2025-11-02T04:00Z", "2025-11-03T05:00Z"),  # 25 hours
        # Midnight skipped: 00:00 became 01:00.
        ("2024-09-07", "America/Santiago", "2024-09-07T04:00Z", "2024-09-08T04:00Z"),
        ("2024-09-08", "America/Santiago", "2024-09-08T04:00Z", "2024-09-09T03:00Z"),
        ("2024-04-26", "Africa/Cairo", "2024-04-25T22:00Z", "2024-04-26T21:00Z"),
        # Midnight reached, then 24:00 became 23:00: the day has its last hour twice.
        ("2024-04-06", "America/Santiago", "2024-04-06T03:00Z", "2024-04-07T04:00Z"),
        # 01:00 became 00:00: the next day has midnight twice and begins at the first.
        ("2024-11-02", "America/Havana", "2024-11-02T04:00Z", "2024-11-03T04:00Z"),
        ("2024-11-03", "America/Havana", "2024-11-03T04:00Z", "2024-11-04T05:00Z"),
        # 00:01 became 23:01 the day before: that day goes on, so the two days overlap.
        ("2010-11-06", "America/St_Johns", "2010-11-06T02:30Z", "2010-11-07T03:30Z"),
        ("2010-11-07", "America/St_Johns", "2010-11-07T02:30Z", "2010-11-08T03:30Z"),
        # Days that never were: Samoa 2011-12-30, Kwajalein 1993-08-21.
        ("2011-12-29", "Pacific/Apia", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-30T10:00Z"),
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
        ("1993-08-21", "Pacific/Kwajalein", "1993-08-21T12:00Z", "1993-08-21T12:00Z"),
        # An offset with seconds: -00:44:30 became UTC at local midnight, skipping it.
        ("1972-01-06", "Africa/Monrovia", "1972-01-06T00:44:30Z", "1972-01-07T00:44:30Z"),
        ("1970-01-01", "Pacific/Kiritimati", "1970-01-01T10:40Z", "1970-01-02T10:40Z"),
        ("1970-01-01", "Asia/Tokyo", "1969-12-31T15:00Z", "1970-01-01T15:00Z"),
        ("9999-12-30", "Etc/GMT+12", "9999-12-30T12:00Z", "9999-12-31T12:00Z"),
        ("9999-12-30", "Etc/GMT-14", "9999-12-29T10:00Z", "9999-12-30T10:00Z"),
        ("2024-02-29", "UTC", "2024-02-29T00:00Z", "2024-03-01T00:00Z"),
    ],
)
def test_validity(day: str, time_zone: str, start: str, end: str) -> None:
    assert start_of_validity(date.fromisoformat(day), time_zone) == instant(start)
    assert end_of_validity(date.fromisoformat(day), time_zone) == instant(end)


def zone_with_one_change(at: str, before: timedelta, after: timedelta) -> ZoneInfo:
    """Builds a zone whose clocks change once (RFC 8536, version 1 data)."""
    header = struct.pack(">4s16x6l", b"TZif", 0, 0, 0, 1, 2, 4)
    times = struct.pack(">lB", instant(at) // 10**6, 1)
    types = b"".join(
        struct.pack(">lBB", offset // timedelta(seconds=1), 0, 0) for offset in (before, after)
    )
    return ZoneInfo.from_file(io.BytesIO(header + times + types + b"GAP\0"))


def test_a_gap_across_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    # 23:30 became 00:30: no zone has done that since 1970, any may tomorrow.
    zone = zone_with_one_change("2025-03-01T23:30Z", timedelta(0), timedelta(hours=1))
    monkeypatch.setattr(calendar, "_zone", lambda _: zone)
    change = instant("2025-03-01T23:30Z")
    assert date_by_definition(change - 1, zone) == date(2025, 3, 1)
    assert date_by_definition(change, zone) == date(2025, 3, 2)
    assert end_of_validity(date(2025, 3, 1), "Test/Gap") == change
    assert start_of_validity(date(2025, 3, 2), "Test/Gap") == change


def check_boundaries(day: date, time_zone: str) -> None:
    zone = ZoneInfo(time_zone)
    start, end = start_of_validity(day, time_zone), end_of_validity(day, time_zone)
    # The last microsecond is not after the day; from `end` on the day never comes back.
    assert date_by_definition(end - 1, zone) <= day
    # The first is not before the day; before `start` the day was never there.
    assert date_by_definition(start, zone) >= day
    for minutes in (0, 29, 61, 121):
        assert date_by_definition(end + minutes * 60_000_000, zone) > day
        assert date_by_definition(start - 1 - minutes * 60_000_000, zone) < day
    # The fast way agrees at the edges, where it matters.
    for at in (start - 1, start, end - 1, end):
        assert local_date(at, time_zone) == date_by_definition(at, zone)


def days_to_try() -> list[date]:
    """Month ends, and around the days on which zones like to change their clocks."""
    days = [date(1970, 1, 1), date(1993, 8, 20), date(2011, 12, 29), date(9999, 12, 30)]
    for year in (2011, 2024, 2035):
        for month in range(1, 13):
            days += [date(year, month, 1), add_days(date(year, month, 1), -1)]
        for month in (3, 4, 9, 10, 11):
            seventh = date(year, month, 7)
            first_sunday = add_days(seventh, -(seventh.isoweekday() % 7))
            days += [first_sunday, add_days(first_sunday, -1)]
    return days


@pytest.mark.parametrize("time_zone", ZONES)
def test_boundaries_in_every_zone(time_zone: str) -> None:
    for day in days_to_try():
        check_boundaries(day, time_zone)


@pytest.mark.slow
def test_boundaries_of_every_day_in_every_zone(proof: Proof) -> None:
    days = plain = 0
    last_year = 2019 + proof.cases(push=8, release=16)
    for time_zone in ZONES:
        zone = ZoneInfo(time_zone)
        day = date(2020, 1, 1)
        start = start_of_validity(day, time_zone)
        while day.year <= last_year:
            days += 1
            following = day + timedelta(days=1)
            end, next_start = (
                end_of_validity(day, time_zone),
                start_of_validity(following, time_zone),
            )
            if end - start == 24 * HOUR and end == next_start:
                plain += 1
                assert local_date(end - 1, time_zone) == date_by_definition(end - 1, zone) == day
                assert local_date(end, time_zone) == date_by_definition(end, zone) == following
            else:
                for near in (day - timedelta(days=1), day, following):
                    check_boundaries(near, time_zone)
            day, start = following, next_start
    proof.report(
        f"Boundaries of every day, 2020 to {last_year}",
        zones=len(ZONES), days=days, of_other_than_24_hours=days - plain,
    )  # fmt: skip
    assert days > plain, "no zone changed its clocks"


def offset_changes(zone: ZoneInfo) -> list[int]:
    """Finds the changes of a zone's offset from 2015 to 2035, by steps and then by halving."""

    def offset_at(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, zone).utcoffset()

    changes = []
    step = 5 * 86_400
    first, last = instant("2015-01-01T00:00Z") // 10**6, instant("2036-01-01T00:00Z") // 10**6
    offset = offset_at(first)
    for second in range(first, last, step):
        later_offset = offset_at(second + step)
        if later_offset != offset:
            before, after = second, second + step
            while after - before > 1:
                middle = (before + after) // 2
                if offset_at(middle) == offset:
                    before = middle
                else:
                    after = middle
            changes.append(after)
        offset = later_offset
    return changes


@pytest.mark.parametrize("time_zone", ZONES)
def test_local_date_is_exact_around_every_offset_change(time_zone: str) -> None:
    zone = ZoneInfo(time_zone)
    for change in offset_changes(zone):
        for minutes in (-61, -15, -1, 0, 1, 14, 15, 59):
            at = (change + minutes * 60) * 1_000_000
            assert local_date(at - 1, time_zone) == date_by_definition(at - 1, zone), at
            assert local_date(at, time_zone) == date_by_definition(at, zone), at


def test_offsets_do_not_only_change_at_quarters_of_an_hour() -> None:
    # Why `local_date` checks each quarter of an hour before it trusts its cache.
    assert any(change % 900 for change in offset_changes(ZoneInfo("Antarctica/Casey")))


@pytest.mark.parametrize(
    ("time_zone", "around"),
    [
        ("America/St_Johns", "2010-11-07T02:31Z"),  # 00:01 back to 23:01
        ("America/St_Johns", "2011-03-13T03:31Z"),
        ("America/Goose_Bay", "1988-10-30T02:01Z"),  # two hours back at 00:01
        ("America/Goose_Bay", "1988-04-03T04:01Z"),
        ("Antarctica/Casey", "2022-10-01T16:01Z"),
        ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
        ("Asia/Gaza", "2011-03-31T22:01Z"),
        ("Pacific/Kiritimati", "1979-10-01T10:40Z"),
        ("Pacific/Apia", "2011-12-30T10:00Z"),
        ("Pacific/Guam", "1976-08-21T15:01Z"),
    ],
)
def test_local_date_around_odd_changes(time_zone: str, around: str) -> None:
    zone, centre = ZoneInfo(time_zone), instant(around)
    for second in range(-7500, 7500, 60):
        for at in (centre + second * 1_000_000 - 1, centre + second * 1_000_000):
            assert local_date(at, time_zone) == date_by_definition(at, zone), at


@given(st.integers(-(10**14), instant("9999-12-30T00:00Z")), st.sampled_from(ZONES))
def test_local_date_by_definition(at: int, time_zone: str) -> None:
    assert local_date(at, time_zone) == date_by_definition(at, ZoneInfo(time_zone))


@given(st.dates(DATE_MIN, DATE_MAX), st.sampled_from(ZONES))
def test_validity_by_definition(day: date, time_zone: str) -> None:
    zone = ZoneInfo(time_zone)
    start, end = start_of_validity(day, time_zone), end_of_validity(day, time_zone)
    assert date_by_definition(start - 1, zone) < day <= date_by_definition(start, zone)
    assert date_by_definition(end - 1, zone) <= day < date_by_definition(end, zone)
    assert 0 <= end - start <= 26 * HOUR


@pytest.mark.parametrize(
    ("day", "months", "result"),
    [
        ("2025-01-31", 1, "2025-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2024-02-29", -12, "2023-02-28"),
        ("2025-03-31", 1, "2025-04-30"),
        ("2025-03-31", -1, "2025-02-28"),
        ("2025-12-31", 1, "2026-01-31"),
        ("2025-11-30", 3, "2026-02-28"),
        ("2025-06-15", 0, "2025-06-15"),
        ("2025-06-15", 60, "2030-06-15"),
        ("2025-01-15", -1, "2024-12-15"),
        ("1970-01-01", 0, "1970-01-01"),
        ("9999-11-30", 1, "9999-12-30"),
        ("2000-01-31", 1, "2000-02-29"),
        ("2100-01-31", 1, "2100-02-28"),
    ],
)
def test_add_months(day: str, months: int, result: str) -> None:
    assert add_months(date.fromisoformat(day), months) == date.fromisoformat(result)


@pytest.mark.parametrize(
    ("day", "days", "result"),
    [
        ("2025-02-28", 1, "2025-03-01"),
        ("2024-02-28", 1, "2024-02-29"),
        ("2025-12-31", 365, "2026-12-31"),
        ("2025-01-01", -1, "2024-12-31"),
        ("9999-12-29", 1, "9999-12-30"),
    ],
)
def test_add_days(day: str, days: int, result: str) -> None:
    assert add_days(date.fromisoformat(day), days) == date.fromisoformat(result)


@pytest.mark.parametrize(
    ("day", "months", "days"),
    [
        ("9999-11-30", 13, 400),
        ("9999-12-30", 1, 1),
        ("1970-01-01", -1, -1),
        ("2025-01-01", 10**9, 10**9),
        ("2025-01-01", -(10**9), -(10**9)),
        ("2025-01-01", 10**30, 10**30),
        ("1969-12-31", 1, 1),
        ("9999-12-31", -1, -1),
    ],
)
def test_sums_out_of_range(day: str, months: int, days: int) -> None:
    with pytest.raises(CalendarError):
        add_months(date.fromisoformat(day), months)
    with pytest.raises(CalendarError):
        add_days(date.fromisoformat(day), days)


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(9999, 12, 31), date.min, EPOCH])
def test_date_refused(day: date) -> None:
    with pytest.raises(CalendarError):
        validate_date(day)
    with pytest.raises(CalendarError):
        end_of_validity(day, "UTC")
    with pytest.raises(CalendarError):
        start_of_validity(day, "UTC")


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Vienna", "America/Argentina/Ushuaia", "Etc/GMT+12"]
)
def test_time_zone(name: str) -> None:
    assert validate_time_zone(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "utc", "Europe/Atlantis", "europe/vienna", "+01:00", "UTC+1", "Europe/Vienna "),
        *("localtime", "Factory", "posixrules", "../etc/passwd", "/etc/localtime", "Europe"),
        *("posix/UTC", "right/UTC", "UTC\x00", "zone.tab"),
    ],
)
def test_time_zone_refused(name: str) -> None:
    with pytest.raises(CalendarError):
        validate_time_zone(name)
    with pytest.raises(CalendarError):
        local_date(0, name)
    with pytest.raises(CalendarError):
        end_of_validity(date(2025, 1, 1), name)


@pytest.mark.parametrize("at", [10**18, -(10**18), 2**63 - 1, 10**40])
def test_instant_refused(at: int) -> None:
    with pytest.raises(CalendarError):
        local_date(at, "UTC")
