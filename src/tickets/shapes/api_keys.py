"""API keys as the contract shows them: never the key itself."""

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row
from tickets.shapes import moment


def api_key(row: Row) -> wire.ApiKey:
    """Show a key by its prefix."""
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "user_id": row.user_id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "rate_limit": row.rate_limit,
        "expires_at": moment(row.expires_at),
        "last_used_at": moment(row.last_used_at),
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def created_api_key(row: Row, key: str) -> wire.ApiKeyCreated:
    """Show a new key, this once with the key itself."""
    return {**api_key(row), "key": key}
