"""Comments as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def comment(row: Row) -> wire.Comment:
    """Show a comment."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "ticket_id": row.ticket_id,
        "author_type": row.author_type,
        "author_id": row.contact_id if row.author_type == "contact" else row.user_id,
        "body": row.body,
        "visibility": row.visibility,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
