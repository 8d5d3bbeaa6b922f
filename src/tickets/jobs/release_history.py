"""release_history: stops keeping the events of a deleted ticket for its history, a batch per transaction."""

from tickets.domain import events, records
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed


def _run(job: Claimed, context: Context) -> None:
    after: int | None = job.payload["after"]
    while after is not None:
        with context.database.write() as tx:
            after = events.release_history(tx, job.payload["ticket_id"], after, records.AT_ONCE)


KIND = Kind(events.RELEASE, _run)
