"""Jobs on the command line: run by a worker, listed, and dead letters brought back."""

import signal
from typing import Any

import click
import structlog

from tickets import clock, logs
from tickets.cli.environment import Command, ready_database
from tickets.cli.failures import Failure, program
from tickets.cli.output import json_option, show, table
from tickets.db import Row
from tickets.jobs import queue
from tickets.jobs.worker import Worker as JobWorker
from tickets.settings import Settings

PATIENCE = 8.0
"""Seconds that running jobs get when the worker is told to end."""


@click.command(cls=Command)
@click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True, help="Jobs at once.")
@json_option
def worker(*, threads: int, as_json: bool) -> None:
    """Run jobs until SIGTERM or Ctrl-C, beside those that the service runs itself."""
    settings = Settings.from_env()
    with ready_database() as database:
        settings.signing_keys()  # read before a job needs them, and never again
        logs.configure(settings)
        ending = {signal.SIGTERM, signal.SIGINT}
        # Waited for, not handled: before the threads start, so that none of them gets a signal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        try:
            crew = JobWorker(settings, database, threads=threads)
            crew.start()
            structlog.get_logger("tickets").info("working", threads=threads)
            signal.sigwait(ending)
            crew.stop(PATIENCE)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    done, failed = crew.ended["done"], crew.ended["failed"]
    show({"done": done, "failed": failed}, f"{done} done, {failed} failed.", as_json=as_json)


@click.group()
def jobs() -> None:
    """List jobs, and run dead letters again."""


@jobs.command("list", cls=Command)
@click.option("--dead", is_flag=True, help="Only dead letters: jobs that failed for good.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most to show.")
@json_option
def list_jobs(*, dead: bool, limit: int, as_json: bool) -> None:
    """List jobs that wait or run, or the dead letters; what they hold is not shown."""
    with ready_database() as database, database.read() as tx:
        rows, counts = queue.listed(tx, dead=dead, most=limit), queue.counts(tx)
    summary = f"{counts['waiting']} waiting, {counts['running']} running, {counts['dead']} dead."
    if as_json:
        show({"data": [_shown(row) for row in rows], "counts": counts}, as_json=True)
        return
    if rows:
        table(
            ("ID", "KIND", "STATE", "ATTEMPTS", "CREATED", "DEAD SINCE" if dead else "NEXT", "LAST ERROR"),
            [_cells(_shown(row)) for row in rows],
            names=2,
        )
    show({}, summary, as_json=False)


def _shown(row: Row) -> dict[str, Any]:
    state = "dead" if row.dead_at is not None else "waiting" if row.lease is None else "running"
    return {
        "id": row.id,
        "kind": row.kind,
        "organization_id": row.organization_id,
        "state": state,
        "attempts": row.attempts,
        "created_at": clock.rfc3339(row.created_at),
        "run_at": None if row.dead_at is not None else clock.rfc3339(row.run_at),
        "dead_at": None if row.dead_at is None else clock.rfc3339(row.dead_at),
        "last_error": row.last_error,
    }


def _cells(shown: dict[str, Any]) -> tuple[str, ...]:
    when = shown["dead_at"] or shown["run_at"]
    return (
        *(str(shown["id"]), shown["kind"], shown["state"], str(shown["attempts"])),
        *(shown["created_at"], when, shown["last_error"] or ""),
    )


@jobs.command(cls=Command)
@click.argument("job_id", metavar="[ID]", type=click.IntRange(1, 2**63 - 1), required=False)
@click.option("--all", "every", is_flag=True, help="All dead letters.")
@json_option
def retry(*, job_id: int | None, every: bool, as_json: bool) -> None:
    """Put a dead letter back into the queue, with all its attempts before it.

    ID is what `jobs list --dead` shows.
    """
    if (job_id is None) != every:
        raise Failure(f"Name one dead letter by its id, or write --all; `{program()} jobs list --dead` shows them.")
    with ready_database() as database, database.write() as tx:
        count = queue.revive(tx, job_id)
    if job_id is not None and not count:
        raise Failure(f"There is no dead letter {job_id}; `{program()} jobs list --dead` shows all.", code="not_found")
    show({"retried": count}, f"{count} put back into the queue.", as_json=as_json)
