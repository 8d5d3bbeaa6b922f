"""Organizations as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def organization(row: Row) -> wire.Organization:
    """Show an organization."""
    return {
        "id": row.id,
        "name": row.name,
        "slug": row.slug,
        "settings": row.settings,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
