"""The audit log gets shorter: what is older than the operator wants to keep goes."""

from sqlalchemy import bindparam, delete, func, select

from tickets.db import Statement, Transaction
from tickets.models import AuditEntry

AT_ONCE = 500
"""Rows a transaction: requests that write go between two of them."""

_COUNT = Statement(select(func.count().label("count")).where(AuditEntry.created_at < bindparam("before")))
_COUNT_ALL = Statement(select(func.count().label("count")).select_from(AuditEntry))
_PURGE = Statement(
    delete(AuditEntry).where(
        AuditEntry.id.in_(
            select(AuditEntry.id)
            .where(AuditEntry.created_at < bindparam("before"))
            .order_by(AuditEntry.created_at, AuditEntry.id)
            .limit(AT_ONCE)
        )
    )
)


def count(tx: Transaction, before: int | None = None) -> int:
    """Count the entries, or those from before a time."""
    found = tx.one(_COUNT_ALL) if before is None else tx.one(_COUNT, before=before)
    return int(found.count)


def purge(tx: Transaction, before: int) -> int:
    """Delete the oldest entries from before a time, up to `AT_ONCE`, and tell how many."""
    return tx.run(_PURGE, before=before)
