"""Service levels: when an answer and a resolution are due, and what of that has passed.

Two clocks run on a ticket. That of the first response counts while nobody has answered and the ticket is neither
resolved nor closed; that of the resolution counts while it is open or in progress. A target is missed once its clock
has counted more than the target's minutes. What is stored is when that will be, or would have been: each standstill
puts the due time off when the clock goes on, so that whether a target was met is told without a clock.

All functions here are pure; times and lengths are in milliseconds unless a name says otherwise.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickets import clock

WARNING, BREACHED = "sla_warning", "sla_breached"
"""What is told of a target; also the verbs of the events that do."""
FIRST_RESPONSE, RESOLUTION = "first_response", "resolution"

_CHOOSES = frozenset({"priority", "type", "team_id"})
_MOVES = _CHOOSES | {"status", "first_responded_at", "resolved_at"}
_PHASE = {"open": "working", "in_progress": "working", "pending": "pending", "resolved": "done", "closed": "done"}
_BITS = {
    (WARNING, FIRST_RESPONSE): 1,
    (BREACHED, FIRST_RESPONSE): 2,
    (WARNING, RESOLUTION): 4,
    (BREACHED, RESOLUTION): 8,
}
_BREACHES = 2 | 8
_LEFT_AT_WARNING = clock.MINUTE // 5
"""A warning comes when a fifth of each minute of the target is left: at 80 %."""


class Targets(NamedTuple):
    """What a policy promises for a priority, in minutes.

    Attributes:
        policy_id: whose promise it is; None for the one that is built in.
    """

    policy_id: int | None
    first_response: int
    resolution: int


DEFAULT = {
    "urgent": Targets(None, 15, 4 * 60),
    "high": Targets(None, 60, 8 * 60),
    "medium": Targets(None, 4 * 60, 24 * 60),
    "low": Targets(None, 8 * 60, 72 * 60),
}
"""What is promised by priority where no policy fits."""


class Level(NamedTuple):
    """What decides on the clocks of a ticket; a row of the table has all of it, too."""

    first_response_minutes: int
    resolution_minutes: int
    first_response_due_at: int
    resolution_due_at: int
    first_responded_at: int | None
    resolved_at: int | None
    sla_paused_at: int | None


class Mark(NamedTuple):
    """A point on one of the clocks, of which is told once it has passed.

    Attributes:
        at: when it passes, or would have.
        what: `WARNING` or `BREACHED`.
        target: `FIRST_RESPONSE` or `RESOLUTION`.
        bit: which bit of `sla_told` says that it was told.
        has_passed: whether the clock is beyond it.
        is_to_come: whether it is told as soon as it has passed; nobody is warned of a clock that stands still.
    """

    at: int
    what: str
    target: str
    bit: int
    has_passed: bool
    is_to_come: bool


def chooses(changes: Mapping[str, Any]) -> bool:
    """Tell whether a change is of what decides on the targets."""
    return not _CHOOSES.isdisjoint(changes)


def started(targets: Targets, moment: int) -> dict[str, Any]:
    """Return the columns of a ticket that is created, with both clocks running."""
    return stored(targets, created_at=moment, first_responded_at=None, resolved_at=None, paused_at=None, moment=moment)


def stored(
    targets: Targets,
    *,
    created_at: int,
    first_responded_at: int | None,
    resolved_at: int | None,
    paused_at: int | None,
    moment: int,
) -> dict[str, Any]:
    """Return the columns of a ticket whose clocks stood still at most once, up to now.

    Args:
        targets: what is promised.
        created_at: when its clocks began to run.
        first_responded_at: when it was answered.
        resolved_at: when it was resolved.
        paused_at: since when the clock of the resolution stands still.
        moment: now; nothing is told of what has passed by then.
    """
    level = Level(
        targets.first_response,
        targets.resolution,
        created_at + targets.first_response * clock.MINUTE,
        created_at + targets.resolution * clock.MINUTE,
        first_responded_at,
        resolved_at,
        paused_at,
    )
    found = marks(level, moment)
    told = _passed(found)
    return {
        "sla_policy_id": targets.policy_id,
        "first_response_minutes": level.first_response_minutes,
        "resolution_minutes": level.resolution_minutes,
        "first_response_due_at": level.first_response_due_at,
        "resolution_due_at": level.resolution_due_at,
        "sla_paused_at": paused_at,
        **_outlook(found, told),
    }


def followed(ticket: Any, changes: Mapping[str, Any], targets: Targets | None, moment: int) -> dict[str, Any]:
    """Return what changes of the service level with other columns of a ticket.

    Args:
        ticket: as it is.
        changes: columns that change.
        targets: what is promised from now on; None for what was.
        moment: now.
    """
    if _MOVES.isdisjoint(changes):
        return {}
    response_due, resolution_due, paused_at = _put_off(ticket, changes, moment)
    chosen = targets or Targets(ticket.sla_policy_id, ticket.first_response_minutes, ticket.resolution_minutes)
    level = Level(
        chosen.first_response,
        chosen.resolution,
        # Anew from the creation, with what it was put off since.
        response_due + (chosen.first_response - ticket.first_response_minutes) * clock.MINUTE,
        resolution_due + (chosen.resolution - ticket.resolution_minutes) * clock.MINUTE,
        changes.get("first_responded_at", ticket.first_responded_at),
        changes.get("resolved_at", ticket.resolved_at),
        paused_at,
    )
    found = marks(level, moment)
    # What has not passed any more can be told again when it does.
    told = ticket.sla_told & _passed(found)
    return {
        "sla_policy_id": chosen.policy_id,
        "first_response_minutes": level.first_response_minutes,
        "resolution_minutes": level.resolution_minutes,
        "first_response_due_at": level.first_response_due_at,
        "resolution_due_at": level.resolution_due_at,
        "sla_paused_at": paused_at,
        **_outlook(found, told),
    }


def _put_off(ticket: Any, changes: Mapping[str, Any], moment: int) -> tuple[int, int, int | None]:
    """Return both due times and since when the clock of the resolution stands still, after a change."""
    response_due, resolution_due, paused_at = (
        ticket.first_response_due_at,
        ticket.resolution_due_at,
        ticket.sla_paused_at,
    )
    phase = _PHASE[changes.get("status", ticket.status)]
    responded_at = changes.get("first_responded_at", ticket.first_responded_at)
    goes_on = responded_at is not None or phase != "done"
    if ticket.first_responded_at is None and ticket.resolved_at is not None and goes_on:
        # Nobody waited for the first answer while the ticket was resolved.
        response_due += max(0, (responded_at or moment) - ticket.resolved_at)
    if phase != _PHASE[ticket.status]:
        # The moment that the ticket itself names, so that the two can be compared.
        at = changes.get("resolved_at") or moment
        if paused_at is not None:
            resolution_due += max(0, at - paused_at)
        paused_at = None if phase == "working" else at
    return response_due, resolution_due, paused_at


def marks(level: Level, moment: int) -> list[Mark]:
    """Return what can pass on the clocks of a ticket.

    Args:
        level: of the ticket.
        moment: at which to look; not before the last change of the ticket.
    """
    answered_at = level.resolved_at if level.first_responded_at is None else level.first_responded_at
    found = []
    for target, minutes, due_at, stopped_at, bit in (
        (FIRST_RESPONSE, level.first_response_minutes, level.first_response_due_at, answered_at, 1),
        (RESOLUTION, level.resolution_minutes, level.resolution_due_at, level.sla_paused_at, 4),
    ):
        runs = stopped_at is None
        warns_at, reading = due_at - minutes * _LEFT_AT_WARNING, moment if stopped_at is None else stopped_at
        is_late = due_at < reading
        found.append(Mark(warns_at, WARNING, target, bit, warns_at < reading, runs))
        found.append(Mark(due_at, BREACHED, target, 2 * bit, is_late, runs or is_late))
    return found


def _passed(found: list[Mark]) -> int:
    """Return the bits of what has passed."""
    return sum([mark.bit for mark in found if mark.has_passed])


def _outlook(found: list[Mark], told: int) -> dict[str, Any]:
    """Return what follows from the clocks and from what was told of them.

    Returns:
        ``sla_told``, ``is_breached`` (as told), ``breaches_at`` (when it will be or was breached and that was not told
        yet; None while nothing leads there) and ``sla_next_at`` (when there is something to tell).
    """
    waiting = [mark for mark in found if mark.is_to_come and not told & mark.bit]
    breaches_at = None
    if not told & _BREACHES:
        breaches_at = min([mark.at for mark in waiting if mark.what == BREACHED], default=None)
    return {
        "sla_told": told,
        "is_breached": told & _BREACHES != 0,
        "breaches_at": breaches_at,
        "sla_next_at": min([mark.at for mark in waiting], default=None),
    }


def untold(ticket: Any, moment: int) -> list[Mark]:
    """Return what has passed and was not told yet, in the order in which it did."""
    return sorted(
        mark for mark in marks(ticket, moment) if mark.has_passed and mark.is_to_come and not ticket.sla_told & mark.bit
    )


def next_at(ticket: Any, told: int, moment: int) -> int | None:
    """Return when there is something to tell of a ticket, once so much was told."""
    return min([mark.at for mark in marks(ticket, moment) if mark.is_to_come and not told & mark.bit], default=None)


COLUMNS = tuple(started(DEFAULT["low"], 0))
"""What is stored of the service level of a ticket, in the order in which the functions here return it."""
