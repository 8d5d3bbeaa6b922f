"""Entries of the audit log as the contract shows them."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def audit_entry(row: Row) -> wire.AuditEntry:
    """Show an entry."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "user_id": row.user_id,
        "api_key_id": row.api_key_id,
        "session_id": row.session_id,
        "method": row.method,
        "operation": row.operation,
        "path": row.path,
        "query": row.query,
        "status": row.status,
        "ip": row.ip,
        "user_agent": row.user_agent,
        "duration_ms": row.duration_ms,
        "body": row.body,
        "request_id": row.request_id,
        "created_at": rfc3339(row.created_at),
    }
