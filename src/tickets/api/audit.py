"""The audit log, for admins and the operator."""

from tickets import wire
from tickets.domain.listings import AUDIT_LOG, AUDIT_LOG_OF_ALL, where
from tickets.http.context import current
from tickets.shapes.audit import audit_entry as show


def list_audit_log(
    *,
    sort: str,
    limit: int,
    cursor: str | None = None,
    user_id: list[int] | None = None,
    api_key_id: list[int] | None = None,
    method: list[str] | None = None,
    operation: list[str] | None = None,
    status: list[int] | None = None,
    ip: list[str] | None = None,
    created_from: int | None = None,
    created_to: int | None = None,
) -> wire.AuditLog:
    """List the requests of the organization; to the operator, all."""
    call = current()
    is_operator = call.caller.role == "platform"
    filters = where(
        organization_id=None if is_operator else call.caller.organization_id,
        user_id=user_id,
        api_key_id=api_key_id,
        method=method,
        operation=operation,
        status=status,
        ip=ip,
        created_from=created_from,
        created_to=created_to,
    )
    listing = AUDIT_LOG_OF_ALL if is_operator else AUDIT_LOG
    page: wire.AuditLog = call.page(listing, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page
