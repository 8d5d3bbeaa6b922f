"""Users as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row
from tickets.shapes import moment


def user(row: Row) -> wire.User:
    """Show an account."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "email": row.email,
        "email_verified_at": moment(row.email_verified_at),
        "name": row.name,
        "role": row.role,
        "is_active": row.is_active,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
