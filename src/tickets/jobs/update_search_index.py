"""update_search_index: updates the search index for deferred documents, a batch of one organization per transaction.

No progress is stored besides the index itself, so a worker that dies loses nothing: the next run finds what is left.
"""

from tickets.domain import index_updates
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed


def _run(_: Claimed, context: Context) -> None:
    organization_id: int | None = 0
    while organization_id is not None:
        with context.database.write() as tx:
            organization_id = index_updates.catch_up(tx, organization_id)


KIND = Kind(index_updates.UPDATE, _run, attempts=3)
