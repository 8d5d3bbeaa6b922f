"""Statistics: how many tickets there are, and how they went over time."""

from typing import Any
from zoneinfo import ZoneInfo

from tickets import clock, wire
from tickets.clock import rfc3339
from tickets.domain import access, buckets, stats
from tickets.http.context import current
from tickets.shapes.stats import entry as show_entry
from tickets.shapes.stats import stats as show

USUAL = {"hour": clock.DAY, "day": 30 * clock.DAY, "week": 182 * clock.DAY, "month": 365 * clock.DAY}
"""How much time is told of when nobody says from when, and what the first bucket had begun before."""


def get_stats() -> wire.Stats:
    """Tell how many tickets there are."""
    call = current()
    return show(stats.summary(call.tx, call.caller.organization_id))


def get_ticket_stats(*, interval: Any, group_by: Any, **span: int) -> wire.TicketStats:
    """Tell what became of tickets over time."""
    call = current()
    organization = access.organization(call.tx, call.caller.organization_id)
    end = span["to"] if "to" in span else clock.now()
    zone = ZoneInfo(organization.settings["timezone"])
    usual = max(end - USUAL[interval], clock.FIRST)
    start = span["from"] if "from" in span else buckets.begin(usual, interval, zone)
    entries = stats.over_time(call.tx, organization, start=start, end=end, interval=interval, group_by=group_by)
    return {
        "from": rfc3339(start),
        "to": rfc3339(end),
        "interval": interval,
        "timezone": organization.settings["timezone"],
        "group_by": group_by,
        "data": [show_entry(entry) for entry in entries],
    }
