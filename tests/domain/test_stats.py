"""What became of tickets over time is what counting each ticket by hand gives."""

from itertools import pairwise
from statistics import median_low
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import time_machine
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickets.clock import DAY, HOUR, parse_rfc3339
from tickets.db import Connection, Database
from tickets.domain import buckets, contacts, entities, organizations, sla, stats, users
from tickets.domain.events import SYSTEM
from tickets.models import Team

BEGIN = parse_rfc3339("2026-03-20T00:00:00Z")
NOW = BEGIN + 10 * DAY
SPAN = 20 * DAY
"""With the night in which the clocks of Vienna are put forward."""
STATUSES = ("open", "in_progress", "pending", "resolved", "closed")
PRIORITIES = ("low", "medium", "high", "urgent")
TYPES = ("question", "incident", "problem", "task")
GROUPS = {"status": "status", "priority": "priority", "type": "type", "team": "team_id", "assignee": "assignee_id"}


class Made(NamedTuple):
    """A ticket as it was made up."""

    created_at: int
    first_responded_at: int | None
    resolved_at: int | None
    closed_at: int | None
    first_response_due_at: int
    resolution_due_at: int
    sla_paused_at: int | None
    status: str
    priority: str
    type: str
    team_id: int | None
    assignee_id: int | None


@st.composite
def lives(draw: st.DrawFn) -> dict[str, Any]:
    """Make up the life of a ticket; teams and assignees by their place among two, or none."""
    # Whole hours, so that some things happen on the edge of a bucket.
    moment = st.integers(0, SPAN // HOUR).map(lambda hours: BEGIN + hours * HOUR) | st.integers(BEGIN, BEGIN + SPAN)
    created = draw(moment)
    later = (
        st.none() | st.integers(0, 5 * DAY).map(lambda more: created + more) | moment.map(lambda at: max(at, created))
    )
    responded, resolved, closed, paused = (draw(later) for _ in range(4))
    resolved = resolved if closed is None else min(resolved or closed, closed)
    return {
        "created_at": created,
        "first_responded_at": responded,
        "resolved_at": resolved,
        "closed_at": closed,
        "first_response_due_at": draw(later) or responded or created,
        "resolution_due_at": draw(later) or resolved or created,
        "sla_paused_at": paused if resolved is None else resolved,
        "status": draw(st.sampled_from(STATUSES)),
        "priority": draw(st.sampled_from(PRIORITIES)),
        "type": draw(st.sampled_from(TYPES)),
        "team_id": draw(st.sampled_from((None, 0, 1))),
        "assignee_id": draw(st.sampled_from((None, 0, 1))),
    }


UNANSWERED: dict[str, Any] = {
    **dict.fromkeys(("first_responded_at", "team_id", "assignee_id")),
    "created_at": BEGIN,
    "first_response_due_at": BEGIN + 2 * HOUR,
    "resolution_due_at": BEGIN + DAY,
    **dict.fromkeys(("resolved_at", "closed_at", "sla_paused_at"), BEGIN + HOUR),
    "status": "closed",
    "priority": "low",
    "type": "task",
}
"""Closed in time without an answer, which few of those that are made up at random are."""


def recount(tickets: list[Made], edges: list[int], group_by: str) -> list[dict[str, Any]]:
    """Look at each ticket for each bucket and group."""

    def group(ticket: Made) -> Any:
        return "all" if group_by == "none" else getattr(ticket, GROUPS[group_by])

    found = []
    for start, end in pairwise(edges):
        for value in sorted({*map(group, tickets), *(["all"] if group_by == "none" else [])}, key=place):
            mine = [ticket for ticket in tickets if group(ticket) == value]
            created, resolved, closed = (
                [t for t in mine if (at := getattr(t, name)) is not None and start <= at < end]
                for name in ("created_at", "resolved_at", "closed_at")
            )
            if created or resolved or closed or group_by == "none":
                answered = [t for t in created if t.first_responded_at is not None]
                found.append(
                    {
                        "start": start,
                        "end": end,
                        "group": "none" if value is None else str(value),
                        "created": len(created),
                        "resolved": len(resolved),
                        "closed": len(closed),
                        "first_response": spread([t.first_responded_at - t.created_at for t in answered]),
                        "resolution": spread([t.resolved_at - t.created_at for t in resolved]),
                        "response_targets": attained(created, sla.FIRST_RESPONSE),
                        "resolution_targets": attained(created, sla.RESOLUTION),
                    }
                )
    return found


def place(group: Any) -> tuple[bool, int]:
    """Order words as they are listed above, ids by number, and nothing last."""
    words = (*STATUSES, *PRIORITIES, *TYPES, "all")
    return group is None, words.index(group) if isinstance(group, str) else group or 0


def attained(tickets: list[Made], target: str) -> stats.Attainment:
    """Ask of each ticket whether a target is missed, as its own clocks say, and else whether it was reached."""
    met = missed = 0
    for ticket in tickets:
        level = sla.Level(
            *(1, 1, ticket.first_response_due_at, ticket.resolution_due_at),
            *(ticket.first_responded_at, ticket.resolved_at, ticket.sla_paused_at),
        )
        # Who never answered met nothing, though the clock stopped in time with the resolution.
        reached = ticket.resolved_at if target == sla.RESOLUTION else ticket.first_responded_at
        [mark] = [m for m in sla.marks(level, NOW) if (m.target, m.what) == (target, sla.BREACHED)]
        missed += mark.has_passed
        met += reached is not None and not mark.has_passed
    return stats.Attainment(met, missed)


def spread(lengths: list[int]) -> stats.Spread:
    """Take percentiles by their definition: the smallest value that so many do not exceed."""
    if not lengths:
        return stats.Spread()
    nine_in_ten = min(v for v in lengths if sum(other <= v for other in lengths) * 10 >= len(lengths) * 9)
    return stats.Spread(len(lengths), median_low(lengths), nine_in_ten)


STORE = (
    "INSERT INTO tickets (organization_id, number, subject, description, source, contact_id, tags, custom_fields,"
    " updated_at, created_at, first_responded_at, resolved_at, closed_at, first_response_due_at, resolution_due_at,"
    " sla_paused_at, status, priority, type, team_id, assignee_id)"
    " VALUES (?, ?, 'S', '', 'api', ?, '[]', '{}', 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@example(made_up=[UNANSWERED], interval="day", group_by="none", zone="UTC", start=BEGIN, length=DAY)
@settings(max_examples=80, deadline=None)
@given(
    made_up=st.lists(lives(), max_size=40),
    interval=st.sampled_from(["hour", "day", "week", "month"]),
    group_by=st.sampled_from(["none", *GROUPS]),
    zone=st.sampled_from(["UTC", "Europe/Vienna", "Asia/Kolkata"]),
    start=st.integers(BEGIN - DAY, BEGIN + SPAN),
    length=st.integers(1, 16 * DAY),
)
def test_it_is_what_counting_by_hand_gives(
    database: Database,
    made_up: list[dict[str, Any]],
    interval: str,
    group_by: str,
    zone: str,
    start: int,
    length: int,
):
    connection = Connection(database)
    try:
        tx = connection.begin(write=True)
        organization = organizations.create(tx, name="Acme", settings={"timezone": zone})
        contact = contacts.create(tx, SYSTEM, organization.id, email="c@acme.example", name="C")
        of = {"organization_id": organization.id}
        groups = [entities.add(tx, SYSTEM, Team, **of, name=name, description="").id for name in "AB"]
        agents = [
            users.create(tx, SYSTEM, organization.id, email=f"{name}@acme.example", name=name, role="agent").id
            for name in "ab"
        ]
        tickets = []
        for number, values in enumerate(made_up):
            places = ((column, ids, values[column]) for column, ids in (("team_id", groups), ("assignee_id", agents)))
            known = {column: None if place is None else ids[place] for column, ids, place in places}
            tickets.append(Made(**{**values, **known}))
            tx._connection.execute(STORE, (organization.id, number, contact.id, *tickets[-1]))
        with time_machine.travel(NOW / 1000, tick=False):
            told = stats.over_time(
                tx, organization, start=start, end=start + length, interval=interval, group_by=group_by
            )
        edges = buckets.edges(start, start + length, interval, ZoneInfo(zone))
        names = stats.Entry.__slots__
        assert [{name: getattr(entry, name) for name in names} for entry in told] == recount(tickets, edges, group_by)
    finally:
        connection.rollback()
        connection.close()
