"""purge_expired: what nobody will ask for any more is deleted, every hour."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import bindparam, delete, select

from tickets import clock
from tickets.db import Statement, Transaction
from tickets.domain import audit, events
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed
from tickets.models import IdempotencyRecord as Record
from tickets.models import Job, Mailbox, OneTimeSecret, Session

AT_ONCE = 500
"""Rows a transaction: requests that write go between two of them."""
DEAD_KEPT_FOR = 30 * clock.DAY

_PURGE = (
    (
        Statement(
            delete(Record).where(
                Record.scope.in_(
                    select(Record.scope)
                    .where(Record.expires_at <= bindparam("before"))
                    .order_by(Record.expires_at)
                    .limit(AT_ONCE)
                ),
                Record.expires_at <= bindparam("before"),
            )
        ),
        0,
    ),
    (
        Statement(
            delete(Job).where(
                Job.id.in_(
                    select(Job.id)
                    .where(Job.dead_at.is_not(None), Job.dead_at <= bindparam("before"))
                    .order_by(Job.dead_at)
                    .limit(AT_ONCE)
                )
            )
        ),
        DEAD_KEPT_FOR,
    ),
    (
        Statement(
            delete(Session).where(
                Session.id.in_(
                    select(Session.id)
                    .where(Session.expires_at <= bindparam("before"))
                    .order_by(Session.expires_at)
                    .limit(AT_ONCE)
                )
            )
        ),
        0,
    ),
    (
        Statement(
            delete(OneTimeSecret).where(
                OneTimeSecret.digest.in_(
                    select(OneTimeSecret.digest)
                    .where(OneTimeSecret.expires_at <= bindparam("before"))
                    .order_by(OneTimeSecret.expires_at)
                    .limit(AT_ONCE)
                )
            )
        ),
        0,
    ),
    (
        Statement(
            delete(Mailbox).where(
                Mailbox.email.in_(
                    select(Mailbox.email)
                    .where(Mailbox.expires_at <= bindparam("before"))
                    .order_by(Mailbox.expires_at)
                    .limit(AT_ONCE)
                ),
                Mailbox.expires_at <= bindparam("before"),
            )
        ),
        0,
    ),
)
"""What deletes a few of a table's rows, and how long they are kept after the moment in them."""


def _run(_: Claimed, context: Context) -> None:
    for statement, kept_for in _PURGE:
        _in_bites(context, partial(_delete, statement, kept_for), AT_ONCE)
    oldest = clock.now() - context.settings.audit_keep_days * clock.DAY
    _in_bites(context, partial(audit.purge, before=oldest), audit.AT_ONCE)
    oldest = clock.now() - context.settings.events_keep_days * clock.DAY
    _in_bites(context, partial(events.purge, before=oldest), events.AT_ONCE)


def _delete(statement: Statement, kept_for: int, tx: Transaction) -> int:
    return tx.run(statement, before=clock.now() - kept_for)


def _in_bites(context: Context, purge: Callable[[Transaction], int], most: int) -> None:
    deleted = most
    while deleted >= most:  # more, when an address has several rows
        with context.database.write() as tx:
            deleted = purge(tx)


KIND = Kind("purge_expired", _run, attempts=3)
