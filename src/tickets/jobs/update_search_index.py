"""update_search_index: the index follows what is pending, a little a transaction, each organization in its turn.

Nothing is noted between two transactions, so a worker that dies loses nothing: whoever comes next looks what is left.
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
