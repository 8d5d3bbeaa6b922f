"""The queue: jobs are taken with a lease, kept alive by a heartbeat, and finished only by who holds the lease.

A job whose worker dies is taken by another when the lease has ended, so it may run twice but is never lost
(at least once). It is deleted when it is done; when it fails for good it stays as a dead letter.
`tickets.domain.jobs.enqueue` puts jobs in.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, case, delete, func, select, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.models import Job
from tickets.models.jobs import MAX_ERROR

LOOK = 100
"""Most due jobs that are read at once; `Turns` chooses among them."""
FAR_LOOK = 20_000
"""Due jobs among which other tenants' jobs are searched for when the first `LOOK` are not all: some 20 ms."""

_waiting = Job.dead_at.is_(None)
_mine = (Job.id == bindparam("job_id"), Job.lease == bindparam("token"))
_buried = (Job.id == bindparam("job_id"), Job.dead_at.is_not(None))

_FIRST = Statement(select(Job.run_at).where(_waiting).order_by(Job.run_at, Job.id).limit(1))
_due = (
    select(Job.id, Job.kind, Job.organization_id, Job.run_at)
    .where(_waiting, Job.run_at <= bindparam("now"))
    .order_by(Job.run_at, Job.id)
)
_DUE = Statement(_due.limit(LOOK).with_for_update(skip_locked=True))  # nothing on SQLite, which has one writer
_far = _due.limit(FAR_LOOK).subquery()
_of_one = func.row_number().over(
    partition_by=(_far.c.organization_id, _far.c.kind), order_by=(_far.c.run_at, _far.c.id)
)
_ranked = select(*_far.c, _of_one.label("place")).subquery()
_DUE_OF_EACH = Statement(
    select(_ranked.c.id, _ranked.c.kind, _ranked.c.organization_id, _ranked.c.run_at)
    .where(_ranked.c.place <= bindparam("most"))
    .order_by(_ranked.c.run_at, _ranked.c.id)
    .limit(LOOK)
)
_OF_KIND = Statement(
    select(Job.id).where(_waiting, Job.kind == bindparam("name")).order_by(Job.run_at, Job.id).limit(1)
)
_LEASES = Statement(
    select(Job.lease).where(
        _waiting, Job.run_at > bindparam("now"), Job.lease.is_not(None), Job.kind == bindparam("name")
    )
)
_DROP = Statement(delete(Job).where(_waiting, Job.lease.is_(None), Job.kind == bindparam("name")))
_LEASE = Statement(
    update(Job)
    .where(Job.id == bindparam("job_id"), _waiting, Job.run_at <= bindparam("now"))
    .values(lease=bindparam("token"), run_at=bindparam("until"), attempts=Job.attempts + 1)
    .returning(Job.id, Job.kind, Job.payload, Job.organization_id, Job.attempts, Job.created_at)
)
_EXTEND = Statement(update(Job).where(*_mine).values(run_at=bindparam("until")))
_FINISH = Statement(delete(Job).where(*_mine))
_POSTPONE = Statement(
    update(Job).where(*_mine).values(lease=None, run_at=bindparam("later"), last_error=bindparam("error"))
)
_RETURN = Statement(update(Job).where(*_mine).values(lease=None, run_at=bindparam("later"), attempts=Job.attempts - 1))
_BURY = Statement(update(Job).where(*_mine).values(lease=None, dead_at=bindparam("now"), last_error=bindparam("error")))
_revived: dict[str, Any] = {"dead_at": None, "run_at": bindparam("now"), "attempts": 0}
_REVIVE = Statement(update(Job).where(*_buried).values(_revived))
_REVIVE_ALL = Statement(update(Job).where(Job.dead_at.is_not(None)).values(_revived))
_shown = (
    *(Job.id, Job.kind, Job.organization_id, Job.attempts, Job.created_at, Job.run_at),
    *(Job.lease, Job.last_error, Job.dead_at),
)
_LIVE = Statement(select(*_shown).where(_waiting).order_by(Job.run_at, Job.id).limit(bindparam("most")))
_DEAD = Statement(
    select(*_shown).where(Job.dead_at.is_not(None)).order_by(Job.dead_at, Job.id).limit(bindparam("most"))
)
_COUNTS = Statement(
    select(
        func.count(case((Job.lease.is_(None) & _waiting, 1))).label("waiting"),
        func.count(Job.lease).label("running"),
        func.count(Job.dead_at).label("dead"),
    )
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this process holds.

    Attributes:
        id: its id.
        kind: which work.
        payload: what the work needs to know; never shown, it may hold secrets.
        organization_id: the tenant it belongs to.
        attempt: 1 when it runs for the first time.
        created_at: when it was enqueued.
        lease: the token that must still be on the row when the outcome is written; a new one each time.
    """

    id: int
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    organization_id: int | None
    attempt: int
    created_at: int
    lease: str = field(repr=False)


def first_run_at(tx: Transaction) -> int | None:
    """Return when the next job may be taken; None when there is none. One read of an index."""
    row = tx.first(_FIRST)
    return None if row is None else int(row.run_at)


def due(tx: Transaction) -> list[Row]:
    """Return the first jobs that may be taken, those first that have waited longest; at most `LOOK`."""
    return tx.all(_DUE, now=clock.now())


def due_of_each(tx: Transaction, most: int) -> list[Row]:
    """Return the first jobs of each kind of each tenant, when somebody has so many that `due` shows nobody else's."""
    return tx.all(_DUE_OF_EACH, now=clock.now(), most=most)


def holds(tx: Transaction, kind: str) -> bool:
    """Tell whether a job of a type waits or runs; reads the whole queue when none does, 100,000 jobs in some 50 ms."""
    return tx.first(_OF_KIND, name=kind) is not None


def drop_waiting(tx: Transaction, kind: str) -> int:
    """Delete the jobs of a type that wait, for one that does the work of all; returns how many."""
    return tx.run(_DROP, name=kind)


def leases(tx: Transaction, kind: str) -> list[str]:
    """Return the leases of a job type that have not ended: one for each job of it that some worker runs."""
    return [row.lease for row in tx.all(_LEASES, now=clock.now(), name=kind)]


def claim(tx: Transaction, rows: Iterable[Row], *, until: int) -> list[Claimed]:
    """Take jobs, except those that another worker took meanwhile.

    Args:
        tx: a short transaction.
        rows: which.
        until: when the lease ends unless `extend` moves the end.
    """
    claimed = []
    for row in rows:
        token = secrets.token_hex(16)
        taken = tx.first(_LEASE, job_id=row.id, token=token, until=until, now=clock.now())
        if taken is not None:
            claimed.append(
                Claimed(
                    *(taken.id, taken.kind, taken.payload, taken.organization_id, taken.attempts, taken.created_at),
                    token,
                )
            )
    return claimed


def extend(tx: Transaction, job: Claimed, *, until: int) -> bool:
    """Keep a lease alive; False when it is lost. The same is true of all that follow: who lost it changes nothing."""
    return bool(tx.run(_EXTEND, job_id=job.id, token=job.lease, until=until))


def finish(tx: Transaction, job: Claimed) -> bool:
    """Delete a job that is done, its payload with it."""
    return bool(tx.run(_FINISH, job_id=job.id, token=job.lease))


def postpone(tx: Transaction, job: Claimed, *, delay: int, error: str) -> bool:
    """Let a job that failed run again after `delay` milliseconds."""
    later = clock.now() + delay
    return bool(tx.run(_POSTPONE, job_id=job.id, token=job.lease, later=later, error=error[:MAX_ERROR]))


def give_back(tx: Transaction, job: Claimed, *, delay: int) -> bool:
    """Let another worker take a job that was not finished, through no fault of its own."""
    return bool(tx.run(_RETURN, job_id=job.id, token=job.lease, later=clock.now() + delay))


def bury(tx: Transaction, job: Claimed, *, error: str) -> bool:
    """Make a job that failed for good a dead letter."""
    return bool(tx.run(_BURY, job_id=job.id, token=job.lease, now=clock.now(), error=error[:MAX_ERROR]))


def revive(tx: Transaction, job_id: int | None = None) -> int:
    """Put a dead letter, or all of them, back into the queue; returns how many."""
    if job_id is None:
        return tx.run(_REVIVE_ALL, now=clock.now())
    return tx.run(_REVIVE, job_id=job_id, now=clock.now())


def listed(tx: Transaction, *, dead: bool, most: int) -> list[Row]:
    """Read dead letters, or the other jobs in the order in which they run: everything but the payload."""
    return tx.all(_DEAD if dead else _LIVE, most=most)


def counts(tx: Transaction) -> dict[str, int]:
    """Count the jobs that wait, run, and are dead letters."""
    row = tx.one(_COUNTS)
    return {"waiting": row.waiting, "running": row.running, "dead": row.dead}
