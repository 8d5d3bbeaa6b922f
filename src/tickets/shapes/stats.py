"""Statistics as the contract shows them."""

from typing import Any

from tickets import wire
from tickets.clock import SECOND, rfc3339
from tickets.db import Row
from tickets.shapes import moment


def stats(summary: Any) -> wire.Stats:
    """Show the state of an organization's tickets."""
    return {
        "total_tickets": summary.total,
        "total_unprocessed_tickets": summary.waiting,
        "top_user": None if summary.top is None else _top_user(summary.top),
        "most_recent_processed_at": moment(summary.last_closed_at),
        "by_status": summary.by_status,
        "by_priority": summary.by_priority,
    }


def _top_user(row: Row) -> wire.TopUser:
    return {"id": row.id, "name": row.name, "email": row.email, "tickets_count": row.total}


def entry(entry: Any) -> wire.TicketStatsEntry:
    """Show what became of the tickets of a group in a bucket."""
    return {
        "from": rfc3339(entry.start),
        "to": rfc3339(entry.end),
        "group": entry.group,
        "created": entry.created,
        "resolved": entry.resolved,
        "closed": entry.closed,
        "first_response_seconds": _seconds(entry.first_response),
        "resolution_seconds": _seconds(entry.resolution),
        "sla": {
            "first_response": _attainment(entry.response_targets),
            "resolution": _attainment(entry.resolution_targets),
        },
    }


def _seconds(spread: Any) -> Any:
    return {
        "count": spread.times,
        "median": None if spread.median is None else spread.median / SECOND,
        "p90": None if spread.p90 is None else spread.p90 / SECOND,
    }


def _attainment(targets: Any) -> wire.SlaAttainment:
    decided = targets.met + targets.missed
    return {"met": targets.met, "missed": targets.missed, "rate": targets.met / decided if decided else None}
