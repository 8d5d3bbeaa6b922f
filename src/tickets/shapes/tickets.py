"""Tickets as the contract shows them."""

from tickets import clock, wire
from tickets.clock import rfc3339
from tickets.db import Row
from tickets.shapes import moment


def ticket(row: Row, now: int | None = None) -> wire.Ticket:
    """Show a ticket as it is at a moment, since a due time can pass at any.

    Args:
        row: the ticket.
        now: not before its last change; by the clock when None.
    """
    resolved_at = moment(row.resolved_at)
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "number": row.number,
        "subject": row.subject,
        "description": row.description,
        "status": row.status,
        "priority": row.priority,
        "type": row.type,
        "source": row.source,
        "contact_id": row.contact_id,
        "assignee_id": row.assignee_id,
        "team_id": row.team_id,
        "created_by_id": row.created_by_id,
        "tags": row.tags,
        "custom_fields": row.custom_fields,
        "merged_into_id": row.merged_into_id,
        "is_breached": is_breached(row, clock.now() if now is None else now),
        "sla": {
            "policy_id": row.sla_policy_id,
            "first_response_minutes": row.first_response_minutes,
            "first_response_due_at": rfc3339(row.first_response_due_at),
            "resolution_minutes": row.resolution_minutes,
            "resolution_due_at": rfc3339(row.resolution_due_at),
            "paused_at": resolved_at if row.sla_paused_at == row.resolved_at else moment(row.sla_paused_at),
        },
        "version": row.version,
        "first_responded_at": moment(row.first_responded_at),
        "resolved_at": resolved_at,
        "closed_at": moment(row.closed_at),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def is_breached(row: Row, now: int) -> bool:
    """Tell whether a target is missed; filters say the same in SQL (`domain/listings.py`)."""
    return row.is_breached or (row.breaches_at is not None and row.breaches_at < now)


def told_ticket(row: Row) -> wire.Ticket:
    """Show a ticket as the event log tells of it: a due time that passes is a change only when the log tells of it."""
    shown = ticket(row)
    shown["is_breached"] = row.is_breached
    return shown
