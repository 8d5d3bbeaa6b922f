"""Tickets as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row
from tickets.shapes import moment


def ticket(row: Row) -> wire.Ticket:
    """Show a ticket."""
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
        "version": row.version,
        "first_responded_at": moment(row.first_responded_at),
        "resolved_at": moment(row.resolved_at),
        "closed_at": moment(row.closed_at),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
