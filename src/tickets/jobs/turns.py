"""Which of the jobs that are due run next: tenants take turns, and neither mail nor one job type takes all threads."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tickets.db import Row
from tickets.jobs.kind import Kind
from tickets.jobs.queue import Claimed

_MOST_REMEMBERED = 10_000

_Group = tuple[int | str, bool]


class Turns:
    """Chooses jobs for the threads of one worker.

    Args:
        threads: how many there are.
        kinds: of the jobs.

    Attributes:
        most_at_once: how many jobs of a type run at once, for the types that have such a bound.
    """

    def __init__(self, threads: int, kinds: Mapping[str, Kind]) -> None:
        self._outside = frozenset(kind.name for kind in kinds.values() if kind.waits_outside)
        self.most_at_once = {kind.name: kind.most_at_once for kind in kinds.values() if kind.most_at_once is not None}
        self._threads = threads
        self._most_outside = max(1, threads - 1)
        self._served: dict[_Group, int] = {}
        self._count = 0
        self._was_outside = False

    def choose(
        self, due: Iterable[Row], free: int, running: Sequence[Claimed], elsewhere: Iterable[str] = ()
    ) -> list[Row]:
        """Choose up to `free` jobs.

        The group (see `_group`) with the fewest running jobs goes first; among equals, the one whose last turn is
        longest ago. Jobs that wait for another server take at most all threads but one; where there is only one
        thread, two of them never run one after the other while other jobs are due.

        Args:
            due: jobs that may run, with `id`, `kind`, `organization_id` and `run_at`.
            free: threads without a job.
            running: jobs of the other threads.
            elsewhere: types of the jobs that other workers run, as far as `most_at_once` bounds them.
        """
        waiting: dict[_Group, list[Row]] = {}
        room = Counter(self.most_at_once)
        room.subtract(job.kind for job in running if job.kind in self.most_at_once)
        room.subtract(kind for kind in elsewhere if kind in self.most_at_once)
        each = {row.id: row for row in due}
        for row in sorted(each.values(), key=lambda one: (one.run_at, one.id)):
            if row.kind in self.most_at_once:
                if room[row.kind] <= 0:
                    continue
                room[row.kind] -= 1
            waiting.setdefault(self._group(row), []).append(row)
        busy = Counter(map(self._group, running))
        chosen: list[Row] = []
        while len(chosen) < free:
            groups = self._eligible(waiting, busy)
            if not groups:
                break
            group = min(groups, key=lambda one: (busy[one], self._served.get(one, -1)))
            chosen.append(waiting[group].pop(0))
            if not waiting[group]:
                del waiting[group]
            busy[group] += 1
            self._note(group)
        return chosen

    def _group(self, job: Row | Claimed) -> _Group:
        """Return the group of a job: its organization, or else kind, and whether it waits for another server."""
        return (job.kind if job.organization_id is None else job.organization_id, job.kind in self._outside)

    def _eligible(self, waiting: Mapping[_Group, list[Row]], busy: Counter[_Group]) -> list[_Group]:
        inside = [group for group in waiting if not group[1]]
        if sum(count for group, count in busy.items() if group[1]) >= self._most_outside:
            return inside
        if self._threads == 1 and self._was_outside and inside:
            return inside
        return list(waiting)

    def _note(self, group: _Group) -> None:
        self._count += 1
        self._was_outside = group[1]
        self._served[group] = self._count
        if len(self._served) > _MOST_REMEMBERED:
            self._served.clear()
