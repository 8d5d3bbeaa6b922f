"""update_search_index: updates the search index for deferred documents, a batch of one organization per transaction.

No progress is stored besides the index itself, so a worker that dies loses nothing: the next run finds what is left.
"""

from tickets.domain import index_updates, jobs
from tickets.jobs import queue
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed

MOST_TRANSACTIONS = 20
"""Transactions of a run, some 0.1 s each. A run that leaves anything enqueues the next: other jobs get a turn."""


def _run(job: Claimed, context: Context) -> None:
    after: int = job.payload.get("after", 0)
    for number in range(1, MOST_TRANSACTIONS + 1):
        with context.database.write() as tx:
            served = index_updates.catch_up(tx, after)
            if served is None:
                return
            after = served
            if number == MOST_TRANSACTIONS:
                queue.drop_waiting(tx, KIND.name)  # enqueued meanwhile, for documents that the next run finds too
                jobs.enqueue(tx, KIND.name, {"after": after})


KIND = Kind(index_updates.UPDATE, _run, attempts=3, most_at_once=1)
