"""Times: read as RFC 3339 writes them, written as the API shows them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from tickets import clock

NAIVE = datetime.fromisoformat("2026-01-01")  # hypothesis adds no offset to others
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.integers(clock.parse_rfc3339("0001-01-01T00:00:00Z"), clock.parse_rfc3339("9999-12-31T23:59:59.999Z"))


class TestRfc3339:
    @given(moments)
    def test_what_is_written_can_be_read(self, millis):
        text = clock.rfc3339(millis)
        assert len(text) == len("2026-01-02T03:04:05.678Z")
        assert clock.parse_rfc3339(text) == millis

    @given(st.lists(moments, max_size=5))
    def test_text_sorts_as_time_does(self, many):
        assert sorted(map(clock.rfc3339, many)) == [clock.rfc3339(millis) for millis in sorted(many)]

    @given(
        st.datetimes(NAIVE.replace(year=2), NAIVE.replace(year=9998)),
        st.integers(-23 * 60 - 59, 23 * 60 + 59),
    )
    def test_offsets_are_counted(self, local, minutes):
        local = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
        assert clock.parse_rfc3339(local.isoformat()) == (local - EPOCH) // timedelta(milliseconds=1)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02t03:04:05z", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.600Z"),
            ("2026-01-02T03:04:05.6789999999999Z", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T03:04:05+01:30", "2026-01-02T01:34:05.000Z"),
            ("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05.000Z"),
            ("1969-12-31T23:59:59.001Z", "1969-12-31T23:59:59.001Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ],
    )
    def test_what_rfc_3339_allows_is_read(self, text, shown):
        assert clock.is_rfc3339(text)
        assert clock.rfc3339(clock.parse_rfc3339(text)) == shown

    @pytest.mark.parametrize(
        "text",
        [
            *("", "now", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-01-02T03:04Z"),
            *("2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-02T24:00:00Z"),
            *("2026-01-02T03:60:00Z", "2026-01-02T03:04:60Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05+0100"),
            *("2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+01:60", "2026-01-02T03:04:05+01", "20260102T030405Z"),
            *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "-001-01-01T00:00:00Z"),
            *(" 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z\n", "\u0662026-01-02T03:04:05Z", "2026-01-02T03:04:05,5Z"),
        ],
    )
    def test_anything_else_is_refused(self, text):
        assert not clock.is_rfc3339(text)
        with pytest.raises(ValueError, match=r"."):
            clock.parse_rfc3339(text)


def test_now_is_in_milliseconds():
    with time_machine.travel(datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC), tick=False):
        assert clock.now() == 1_767_323_045_678
