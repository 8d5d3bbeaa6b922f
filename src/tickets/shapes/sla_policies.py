"""Service level policies as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def sla_policy(row: Row) -> wire.SlaPolicy:
    """Show a policy."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "name": row.name,
        "position": row.position,
        "conditions": row.conditions,
        "targets": row.targets,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
