"""The only clock of the service. Times are whole milliseconds since 1970-01-01T00:00:00Z."""

import re
import time
from datetime import date, datetime, timedelta
from functools import lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII)
FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
"""Years 1 to 9999 in UTC: what can be written again."""


def now() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=4096)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days)).isoformat()


_EPOCH = date(1970, 1, 1)
# A list shows some 200 times: put together from what is written already, one takes a tenth of what formatting takes.
_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60))
_SECONDS = tuple(f"{second:02d}." for second in range(60))
_MILLIS = tuple(f"{millis:03d}Z" for millis in range(1000))


def rfc3339(millis: int) -> str:
    """Write a time as the API shows it: RFC 3339, UTC, milliseconds and ``Z``.

    >>> rfc3339(1767323045678)
    '2026-01-02T03:04:05.678Z'
    """
    days, rest = divmod(millis, DAY)
    minute, rest = divmod(rest, MINUTE)
    second, rest = divmod(rest, SECOND)
    return _date(days) + _MINUTES[minute] + _SECONDS[second] + _MILLIS[rest]


def parse_rfc3339(text: str) -> int:
    """Read an RFC 3339 date-time with any offset; finer than milliseconds is cut off.

    Args:
        text: for example ``2026-01-02T03:04:05+01:00``.

    Returns:
        Milliseconds since the epoch.

    Raises:
        ValueError: the text is no RFC 3339 date-time, names a day or second that does not exist, or one that
            lies outside the years 1 to 9999 in UTC.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time")
    whole, fraction, offset = match.groups()
    moment = datetime.fromisoformat(whole.upper() + ("+00:00" if offset in "Zz" else offset))
    millis = int(((fraction or "") + "000")[:3])
    found = int(moment.timestamp()) * 1000 + millis
    if not FIRST <= found <= LAST:
        raise ValueError("not within the years 1 to 9999 in UTC")
    return found


def is_rfc3339(text: str) -> bool:
    """Tell whether `parse_rfc3339` would take the text (the contract's ``date-time`` format)."""
    try:
        parse_rfc3339(text)
    except (ValueError, OverflowError):
        return False
    return True
