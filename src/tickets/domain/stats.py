"""Statistics: the state of all tickets from their tallies, and what became of them over time from the tickets."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, func, null, select

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import buckets
from tickets.errors import InputError, InvalidRequest
from tickets.models import CreatorTally, Ticket, TicketTally, User
from tickets.models.tickets import PRIORITIES, STATUSES, TYPES, WAITING

MOST_ENTRIES = 20_000
"""Most entries of an answer: some 8 MB."""

_ticket = Ticket.__table__.c
_TALLIES = Statement(
    select(TicketTally.status, TicketTally.priority, TicketTally.total).where(
        TicketTally.organization_id == bindparam("of")
    )
)
_most = select(func.max(CreatorTally.total)).where(CreatorTally.organization_id == bindparam("of")).scalar_subquery()
_TOP = Statement(
    select(User.id, User.name, User.email, CreatorTally.total)
    .join(User, User.id == CreatorTally.user_id)
    .where(CreatorTally.organization_id == bindparam("of"), CreatorTally.total == _most)
    .order_by(CreatorTally.user_id)
    .limit(1)
)
_LAST_CLOSED = Statement(
    select(_ticket.closed_at)
    .where(_ticket.organization_id == bindparam("of"), _ticket.closed_at.is_not(None))
    .order_by(_ticket.closed_at.desc())
    .limit(1)
)


class Summary(NamedTuple):
    """The state of an organization's tickets.

    Attributes:
        total: how many there are.
        waiting: how many of them wait for work.
        top: who created the most, with their `id`, `name`, `email` and `total`; of several the lowest id.
        last_closed_at: when the last one was closed.
        by_status: how many there are of each.
        by_priority: the same.
    """

    total: int
    waiting: int
    top: Row | None
    last_closed_at: int | None
    by_status: dict[str, int]
    by_priority: dict[str, int]


def summary(tx: Transaction, organization_id: int) -> Summary:
    """Tell the state of an organization's tickets: a few look-ups, however many there are."""
    by_status, by_priority = dict.fromkeys(STATUSES, 0), dict.fromkeys(PRIORITIES, 0)
    for row in tx.all(_TALLIES, of=organization_id):
        by_status[row.status] += row.total
        by_priority[row.priority] += row.total
    top, last = (tx.first(statement, of=organization_id) for statement in (_TOP, _LAST_CLOSED))
    return Summary(
        sum(by_status.values()),
        sum(by_status[status] for status in WAITING),
        top if top is not None and top.total else None,
        None if last is None else last.closed_at,
        by_status,
        by_priority,
    )


class Spread(NamedTuple):
    """How long something took: how often it happened, and two percentiles by the nearest rank, in milliseconds."""

    times: int = 0
    median: int | None = None
    p90: int | None = None


NOTHING = Spread()


class Attainment(NamedTuple):
    """How many targets were met and missed.

    What is neither is open still; or it is a first response to what was resolved in time without one.
    """

    met: int = 0
    missed: int = 0


UNDECIDED = Attainment()


@dataclass(slots=True)
class Entry:
    """What became of the tickets of a group in a bucket.

    Attributes:
        start: of the bucket.
        end: of the bucket.
        group: the value that the group has in common; ``none`` for none, ``all`` where nothing is told apart.
        created: how many were created in it.
        resolved: how many were resolved in it.
        closed: how many were closed in it.
        first_response: how long those created in it waited for an answer.
        resolution: how long those resolved in it took from their creation.
        response_targets: what became of the targets of those created in it for the first response.
        resolution_targets: the same, for the resolution.
    """

    start: int
    end: int
    group: str
    created: int = 0
    resolved: int = 0
    closed: int = 0
    first_response: Spread = NOTHING
    resolution: Spread = NOTHING
    response_targets: Attainment = UNDECIDED
    resolution_targets: Attainment = UNDECIDED


_DECODE = msgspec.json.Decoder(list[int]).decode
_ORDER: dict[Any, int] = {word: place for words in (STATUSES, PRIORITIES, TYPES) for place, word in enumerate(words)}
_GROUPS: dict[str, ColumnElement[Any]] = {
    "status": _ticket.status,
    "priority": _ticket.priority,
    "type": _ticket.type,
    "team": _ticket.team_id,
    "assignee": _ticket.assignee_id,
}


def over_time(tx: Transaction, organization: Row, *, start: int, end: int, interval: str, group_by: str) -> list[Entry]:
    """Tell what became of tickets in each bucket of time.

    Each bucket is read by itself, from the index of the time in question: memory is for the largest of them.

    Args:
        tx: where to read.
        organization: whose tickets, and whose time zone.
        start: where the first bucket begins.
        end: where the last one ends.
        interval: ``hour``, ``day``, ``week`` or ``month``.
        group_by: ``none``, or what to tell tickets apart by.

    Returns:
        In the order of time and groups; with groups, only those with something to tell.

    Raises:
        InvalidRequest: there would be too many buckets or entries, or nothing lies between `start` and `end`.
    """
    edges = buckets.edges(start, end, interval, ZoneInfo(organization.settings["timezone"]))
    entries: list[Entry] = []
    for begin, stop in pairwise(edges):
        entries.extend(_bucket(tx, organization.id, begin, stop, group_by))
        if len(entries) > MOST_ENTRIES:
            detail = f"makes more than {MOST_ENTRIES:,} entries; choose a longer interval, or a shorter time"
            raise InvalidRequest(f"group_by {detail}.", errors=[InputError("/group_by", detail, "query")])
    return entries


def _bucket(tx: Transaction, organization_id: int, start: int, end: int, group_by: str) -> list[Entry]:
    found: dict[Any, Entry] = {}
    now = clock.now()

    def each(statement: Statement) -> Iterator[tuple[Row, Entry]]:
        for row in tx.all(statement, of=organization_id, start=start, end=end, now=now):
            group = "all" if group_by == "none" else "none" if row.part is None else str(row.part)
            yield row, found.setdefault(row.part, Entry(start, end, group))

    for row, entry in each(_created(group_by)):
        entry.created, entry.first_response = row.total, _spread(row.lengths)
        entry.response_targets = Attainment(row.answered_in_time, row.answered_late)
        entry.resolution_targets = Attainment(row.resolved_in_time, row.resolved_late)
    for row, entry in each(_resolved(group_by)):
        entry.resolved, entry.resolution = row.total, _spread(row.lengths)
    for row, entry in each(_closed(group_by)):
        entry.closed = row.total
    return [found[part] for part in sorted(found, key=_place)]


def _place(part: Any) -> tuple[bool, int]:
    """Order words as the contract lists them, ids by number, and what has none last."""
    return (True, 0) if part is None else (False, _ORDER.get(part, part))


@cache
def _created(group_by: str) -> Statement:
    waited = _ticket.first_responded_at - _ticket.created_at
    answered = func.coalesce(_ticket.first_responded_at, _ticket.resolved_at)
    # As `sla.marks` decides of one ticket: a clock that stands still shows what it showed then.
    answered_or_now = func.coalesce(answered, bindparam("now"))
    resolved_or_now = func.coalesce(_ticket.resolved_at, _ticket.sla_paused_at, bindparam("now"))
    return _within(
        _ticket.created_at,
        group_by,
        _lengths(waited, _ticket.first_responded_at.is_not(None)),
        # Nobody answered what was resolved without a word: its clock stopped, but nothing was met.
        _how_many(_ticket.first_responded_at <= _ticket.first_response_due_at).label("answered_in_time"),
        _how_many(answered_or_now > _ticket.first_response_due_at).label("answered_late"),
        _how_many(_ticket.resolved_at <= _ticket.resolution_due_at).label("resolved_in_time"),
        _how_many(resolved_or_now > _ticket.resolution_due_at).label("resolved_late"),
    )


@cache
def _resolved(group_by: str) -> Statement:
    took = _ticket.resolved_at - _ticket.created_at
    return _within(_ticket.resolved_at, group_by, _lengths(took, _ticket.resolved_at.is_not(None)))


@cache
def _closed(group_by: str) -> Statement:
    return _within(_ticket.closed_at, group_by)


def _within(moment: ColumnElement[Any], group_by: str, *figures: ColumnElement[Any]) -> Statement:
    """Read the tickets to which something happened in a bucket, each group in one row."""
    part = _GROUPS.get(group_by)
    query: Select[Any] = select((null() if part is None else part).label("part"), func.count().label("total"), *figures)
    query = query.where(
        _ticket.organization_id == bindparam("of"), moment >= bindparam("start"), moment < bindparam("end")
    )
    return Statement(query if part is None else query.group_by(part))


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition)


def _lengths(length: ColumnElement[Any], known: ColumnElement[bool]) -> ColumnElement[Any]:
    """Collect lengths as JSON: a row each would cost the event loop the interpreter's lock again and again."""
    return func.json_group_array(length).filter(known).label("lengths")


def _spread(lengths: str) -> Spread:
    ordered = sorted(_DECODE(lengths))
    return Spread(len(ordered), _percentile(ordered, 50), _percentile(ordered, 90)) if ordered else NOTHING


def _percentile(ordered: list[int], percent: int) -> int:
    """Take the smallest value that at least so many percent of all do not exceed: the nearest rank."""
    rank = -(-len(ordered) * percent // 100)
    return max(0, ordered[rank - 1])  # not below zero, where a clock was put back
