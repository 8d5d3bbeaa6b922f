"""Buckets of time: hours, days, weeks and months as a time zone counts them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tickets import clock
from tickets.errors import InputError, InvalidRequest

MOST = 400
"""Most buckets: a year of days, two weeks of hours."""
_NEVER = 2**63 - 1
_HOUR = timedelta(hours=1)
_BEFORE = {"hour": 3 * clock.HOUR, "day": 3 * clock.DAY, "week": 15 * clock.DAY, "month": 63 * clock.DAY}
"""From so long before a moment on, at least one bucket begins."""


def begin(moment: int, interval: str, zone: ZoneInfo) -> int:
    """Return when the bucket began that a moment is in; where the calendar does, if that is later.

    Args:
        moment: in milliseconds since 1970.
        interval: as `edges` takes it.
        zone: whose clocks count.
    """
    found = max(moment - _BEFORE[interval], clock.FIRST)
    while (following := _next(found, interval, zone)) <= moment:
        found = following
    return found


def edges(start: int, end: int, interval: str, zone: ZoneInfo) -> list[int]:
    """Cut a span of time where hours, days, weeks or months begin.

    Args:
        start: where the first bucket begins, in milliseconds since 1970.
        end: where the last one ends.
        interval: ``hour``, ``day``, ``week`` (they begin on Mondays, ISO 8601) or ``month``.
        zone: whose clocks count; a day in which they change has 23 or 25 hours.

    Returns:
        `start`, the beginnings between, and `end`.

    Raises:
        InvalidRequest: nothing lies between `start` and `end`, or too many buckets.
    """
    if start >= end:
        detail = "must be before to; without to, that is now"
        raise InvalidRequest(f"from {detail}.", errors=[InputError("/from", detail, "query")])
    found = [start]
    while (following := _next(found[-1], interval, zone)) < end:
        if len(found) == MOST:
            detail = f"cuts this time into more than {MOST} buckets; choose a longer one, or a shorter time"
            raise InvalidRequest(f"The interval {detail}.", errors=[InputError("/interval", detail, "query")])
        found.append(following)
    return [*found, end]


def _next(moment: int, interval: str, zone: ZoneInfo) -> int:
    """Return when the bucket ends that a moment is in; never, where the calendar does."""
    try:
        local = datetime.fromtimestamp(moment // clock.SECOND, zone)
        following = _next_hour(local, zone) if interval == "hour" else _next_date(local, interval, zone)
    except (OverflowError, ValueError):  # the years 1 and 9999, in zones whose clocks show another one then
        return _NEVER
    return int(following.timestamp()) * clock.SECOND


def _next_hour(local: datetime, zone: ZoneInfo) -> datetime:
    """Go on by an hour of real time; and by more, where the clocks do not show a whole hour then.

    That is where they are changed by half an hour, as on Lord Howe Island.
    """
    following = (local.astimezone(UTC) - _past(local) + _HOUR).astimezone(zone)
    left = _HOUR - _past(following)
    return following if left == _HOUR else (following.astimezone(UTC) + left).astimezone(zone)


def _past(local: datetime) -> timedelta:
    return timedelta(minutes=local.minute, seconds=local.second)


def _next_date(local: datetime, interval: str, zone: ZoneInfo) -> datetime:
    """Go to the next midnight, of the next Monday or of the next month; where the clocks skip it, to the hour after."""
    day = local.replace(hour=0, minute=0, second=0, tzinfo=None, fold=0)
    while True:
        if interval == "month":
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        else:
            day += timedelta(days=1 if interval == "day" else 7 - day.weekday())
        following = day.replace(tzinfo=zone)
        # Clocks that are put back at midnight show two of them: the first begins the day.
        if following.timestamp() > local.timestamp():
            return following
