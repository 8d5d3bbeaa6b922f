"""Contacts as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def contact(row: Row) -> wire.Contact:
    """Show a contact."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "email": row.email,
        "name": row.name,
        "external_id": row.external_id,
        "attributes": row.attributes,
        "user_id": row.user_id,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
