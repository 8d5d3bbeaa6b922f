"""The audit log on the command line: old entries are deleted."""

from typing import Any

import click

from tickets import clock
from tickets.cli.environment import Command, duration, ready_database
from tickets.cli.output import json_option, progress, show
from tickets.domain import audit, records
from tickets.settings import MAX_DAYS


class _Age(click.ParamType[int]):
    name = "90d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = duration(value)
        if found is None:
            self.fail(f"{value!r} cannot be used; write 90d, 12h or 30m.", param, ctx)
        if found > MAX_DAYS * clock.DAY:
            self.fail(f"{value!r} is too long ago; use at most {MAX_DAYS}d.", param, ctx)
        return found


@click.command(cls=Command)
@click.option("--older-than", required=True, type=_Age(), help="Age from which entries go, like 90d, 12h or 30m.")
@json_option
def purge_audit(*, older_than: int, as_json: bool) -> None:
    """Delete old entries of the audit log.

    It can run beside the service: requests that write go between two of its transactions.
    """
    before = clock.now() - older_than
    purged = 0
    with ready_database() as database:
        with database.read() as tx:
            due = audit.count(tx, before)
        with progress("Deleting", due) as advance:
            deleted = records.AT_ONCE
            while deleted == records.AT_ONCE:
                with database.write() as tx:
                    deleted = audit.purge(tx, before)
                purged += deleted
                advance(deleted)
        with database.read() as tx:
            kept = audit.count(tx)
    moment = clock.rfc3339(before)
    show(
        {"purged": purged, "kept": kept, "before": moment},
        f"{purged:,} entries from before {moment} are deleted, {kept:,} are kept.",
        as_json=as_json,
    )
