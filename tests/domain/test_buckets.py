"""Buckets of time: they begin when hours, days, weeks and months do, also where clocks change."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.clock import HOUR, parse_rfc3339, rfc3339
from tickets.domain import buckets
from tickets.domain.buckets import MOST, edges
from tickets.errors import InvalidRequest

# Half-hour offsets and changes, clocks that skip midnight, a day that was left out, both halves of the globe.
ZONES = [
    *("UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Sao_Paulo", "Pacific/Apia", "Asia/Beirut", "Africa/Casablanca"),
]
MOMENTS = st.integers(0, 2_145_000_000_000)
"""1970 to 2037."""


def local(moment: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment // 1000, zone)


def begin_of(day: date, interval: str) -> date:
    """Say in which bucket a day is, by the day that begins it."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("interval", ["day", "week", "month"])
@given(start=MOMENTS, data=st.data())
def test_a_bucket_holds_the_moments_of_its_day_week_or_month_and_no_others(
    zone: str, interval: str, start: int, data: st.DataObject
):
    where = ZoneInfo(zone)
    end = start + data.draw(st.integers(1, 390 * 24 * HOUR))
    found = edges(start, end, interval, where)
    assert (found[0], found[-1]) == (start, end)
    for begin, stop in pairwise(found):
        assert begin < stop
        days = {begin_of(local(moment, where).date(), interval) for moment in (begin, (begin + stop) // 2, stop - 1)}
        assert len(days) == 1
        if stop != end:
            assert begin_of(local(stop, where).date(), interval) not in days


@pytest.mark.parametrize("zone", ZONES)
@given(start=MOMENTS, data=st.data())
def test_an_hour_begins_when_clocks_show_a_whole_one(zone: str, start: int, data: st.DataObject):
    where = ZoneInfo(zone)
    end = start + data.draw(st.integers(1, 300 * HOUR))
    found = edges(start, end, "hour", where)
    for begin, stop in pairwise(found[:-1]):
        seen = local(stop, where)
        assert (seen.minute, seen.second, stop % 1000) == (0, 0, 0)
        if begin != start:
            # Half an hour more is what the clocks of Lord Howe Island are changed by.
            assert stop - begin == HOUR or zone == "Australia/Lord_Howe"
            assert stop - begin in (HOUR, HOUR * 3 // 2)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Vienna", "2026-03-29", 23),
        ("Europe/Vienna", "2026-03-30", 24),
        ("Europe/Vienna", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("UTC", "2026-03-29", 24),
        ("America/Sao_Paulo", "2018-11-04", 23),  # it has no midnight: clocks were put forward then
    ],
)
def test_a_day_has_23_or_25_hours_when_clocks_change(zone: str, day: str, hours: float):
    where = ZoneInfo(zone)
    noon = int(datetime.fromisoformat(day).replace(hour=12, tzinfo=where).astimezone(UTC).timestamp()) * 1000
    days, each_hour = (edges(noon - 36 * HOUR, noon + 36 * HOUR, interval, where) for interval in ("day", "hour"))
    [length] = [stop - begin for begin, stop in pairwise(days) if begin < noon < stop]
    assert length == hours * HOUR
    assert len([begin for begin in each_hour if local(begin, where).date().isoformat() == day]) == int(hours)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("day", ["2026-01-30T23:00:00.000Z", "2026-01-31T23:00:00.000Z", "2026-02-01T23:00:00.000Z"]),
        ("week", ["2026-02-01T23:00:00.000Z"]),
        ("month", ["2026-01-31T23:00:00.000Z"]),
    ],
)
def test_weeks_begin_on_mondays_and_months_on_the_first(interval: str, expected: list[str]):
    start, end = parse_rfc3339("2026-01-30T12:00:00Z"), parse_rfc3339("2026-02-02T12:00:00Z")
    assert [rfc3339(moment) for moment in edges(start, end, interval, ZoneInfo("Europe/Vienna"))[1:-1]] == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
@given(moment=MOMENTS)
def test_a_bucket_begins_where_the_one_before_it_ends(zone: str, interval: str, moment: int):
    where = ZoneInfo(zone)
    found = buckets.begin(moment, interval, where)
    assert found <= moment
    assert edges(found, moment + 1, interval, where) == [found, moment + 1]
    # A moment before is in another bucket, which ends here.
    assert edges(found - 1, found + 1, interval, where) == [found - 1, found, found + 1]


def test_there_are_so_many_and_no_more():
    assert len(edges(0, MOST * HOUR, "hour", ZoneInfo("UTC"))) == MOST + 1
    with pytest.raises(InvalidRequest, match="more than 400 buckets"):
        edges(0, MOST * HOUR + 1, "hour", ZoneInfo("UTC"))
