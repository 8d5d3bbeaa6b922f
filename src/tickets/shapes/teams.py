"""Teams as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def team(row: Row) -> wire.Team:
    """Show a team."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "name": row.name,
        "description": row.description,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
