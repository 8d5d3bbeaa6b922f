"""purge_expired: what nobody will ask for any more is deleted, every hour."""

from collections.abc import Callable
from functools import partial

from tickets import clock
from tickets.db import Statement, Transaction
from tickets.domain import audit, event_texts, events, records
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed
from tickets.models import IdempotencyRecord, Job, Mailbox, OneTimeSecret, Session

DEAD_KEPT_FOR = 30 * clock.DAY

_PURGE = tuple(
    (Statement(records.oldest(key, when)), kept_for)
    for key, when, kept_for in (
        (IdempotencyRecord.scope, IdempotencyRecord.expires_at, 0),
        (Job.id, Job.dead_at, DEAD_KEPT_FOR),
        (Session.id, Session.expires_at, 0),
        (OneTimeSecret.digest, OneTimeSecret.expires_at, 0),
        (Mailbox.email, Mailbox.expires_at, 0),
    )
)
"""What deletes a few of a table's rows, and how long they are kept after the moment in them."""


def _run(_: Claimed, context: Context) -> None:
    for statement, kept_for in _PURGE:
        _in_bites(context, partial(_delete, statement, kept_for))
    oldest = clock.now() - context.settings.audit_keep_days * clock.DAY
    _in_bites(context, partial(audit.purge, before=oldest))
    oldest = clock.now() - context.settings.events_keep_days * clock.DAY
    _in_bites(context, partial(events.purge, before=oldest))
    # Only now that no event from before that time needs them.
    _in_bites(context, partial(event_texts.purge, before=oldest))


def _delete(statement: Statement, kept_for: int, tx: Transaction) -> int:
    return tx.run(statement, before=clock.now() - kept_for)


def _in_bites(context: Context, purge: Callable[[Transaction], int]) -> None:
    deleted = records.AT_ONCE
    while deleted >= records.AT_ONCE:
        with context.database.write() as tx:
            deleted = purge(tx)


KIND = Kind("purge_expired", _run, attempts=3)
