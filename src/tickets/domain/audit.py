"""The audit log gets shorter: what is older than the operator wants to keep goes."""

from sqlalchemy import bindparam, func, select

from tickets.db import Statement, Transaction
from tickets.domain import records
from tickets.models import AuditEntry

_COUNT = Statement(select(func.count().label("count")).where(AuditEntry.created_at < bindparam("before")))
_COUNT_ALL = Statement(select(func.count().label("count")).select_from(AuditEntry))
_PURGE = Statement(records.oldest(AuditEntry.id, AuditEntry.created_at))


def count(tx: Transaction, before: int | None = None) -> int:
    """Count the entries, or those from before a time."""
    found = tx.one(_COUNT_ALL) if before is None else tx.one(_COUNT, before=before)
    return int(found.count)


def purge(tx: Transaction, before: int) -> int:
    """Delete the oldest entries from before a time, up to `records.AT_ONCE`, and tell how many."""
    return tx.run(_PURGE, before=before)
