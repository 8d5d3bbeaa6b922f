"""Work for later, put into the queue in the transaction of what asks for it: neither is there without the other."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, insert

from tickets import clock
from tickets.db import Statement, Transaction
from tickets.models import Job

TOPIC = "jobs"
"""What a transaction names so that workers in this process are told of its commit."""

_ADD = Statement(
    insert(Job).values(
        organization_id=bindparam("organization_id"),
        kind=bindparam("kind"),
        payload=bindparam("payload"),
        created_at=bindparam("created_at"),
        run_at=bindparam("run_at"),
        attempts=0,
    )
)


def enqueue(
    tx: Transaction,
    kind: str,
    payload: Mapping[str, Any],
    *,
    organization_id: int | None = None,
    run_at: int | None = None,
) -> int:
    """Put a job into the queue; it exists, and can run, once the transaction is committed.

    Args:
        tx: the caller's transaction.
        kind: which work, a name in `tickets.jobs.kinds`.
        payload: what the work needs to know, as JSON. It may run more than once, so an effect that must not
            be repeated needs an id here. Nothing shows a payload, and it goes with the job; what opens an account
            is sealed all the same, as in `tickets.domain.mail`.
        organization_id: the tenant it belongs to and goes with.
        run_at: not before this moment, in milliseconds; at once by default.

    Returns:
        The job's id.
    """
    moment = clock.now()
    tx.topics.add(TOPIC)
    return tx.insert(
        _ADD,
        organization_id=organization_id,
        kind=kind,
        payload=dict(payload),
        created_at=moment,
        run_at=moment if run_at is None else run_at,
    )
