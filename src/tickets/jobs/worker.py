"""A worker: takes jobs from the queue, runs them in threads, and writes how they ended.

One thread does everything with the queue, in one short transaction for all that has come up: outcomes,
heartbeats, periodic jobs, new jobs. When nothing has, it reads one index a second and writes nothing.
"""

import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Container, Iterable, Mapping
from queue import SimpleQueue
from typing import NamedTuple

import structlog

from tickets import clock
from tickets.db import Database, Row, Transaction
from tickets.errors import forget_origin
from tickets.jobs import queue
from tickets.jobs.kind import UNKNOWN, Context, JobFailed, Kind
from tickets.jobs.queue import Claimed
from tickets.jobs.registry import KINDS, PERIODIC
from tickets.jobs.schedule import Periodic, Schedule
from tickets.jobs.turns import Turns
from tickets.settings import Settings

log = structlog.get_logger("tickets")

POLL = 1.0
"""Seconds after which a worker sees what another process enqueued."""
LAST_TURN = 2.0
"""Seconds that the dispatcher gets at the end to give back the jobs that are still running."""
GRACE = 5 * clock.SECOND
"""How long a job that is given back waits: its thread may go on until the process has ended."""


class _Failure(NamedTuple):
    error: str
    delay: int | None  # None: for good


_Outcome = tuple[Claimed, _Failure | None]


class Worker:
    """Runs jobs beside whatever else the process does; none of its failures leaves it.

    Args:
        settings: how jobs shall be run.
        database: where the queue is.
        threads: jobs at once.
        kinds: the kinds it knows.
        periodic: what it enqueues again and again.
        poll: seconds between two looks at the queue when nothing else wakes it.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        threads: int,
        kinds: Mapping[str, Kind] = KINDS,
        periodic: Iterable[Periodic] = PERIODIC,
        poll: float = POLL,
    ) -> None:
        self.ended: Counter[str] = Counter()
        self._database = database
        self._context = Context(settings, database)
        self._size = threads
        self._kinds = kinds
        self._schedule = Schedule(periodic)
        self._poll = poll
        self._lease = settings.worker_lease * clock.SECOND
        self._beat_at = 0
        self._look_far_at = 0.0
        self._turns = Turns(threads, kinds)
        self._held: dict[str, Claimed] = {}  # by lease: one that was lost can come back while it still runs here
        self._gone: set[str] = set()  # of these, the leases that were lost
        self._inbox: SimpleQueue[Claimed | None] = SimpleQueue()
        self._outcomes: deque[_Outcome] = deque()
        self._news = threading.Event()
        self._stopping = False
        self._failing = False
        self._is_given_up = False
        self._threads: list[threading.Thread] = []
        self._dispatcher: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in threads that do not keep the process alive."""
        self._dispatcher = threading.Thread(target=self._dispatch, name="jobs", daemon=True)
        for number in range(self._size):
            self._threads.append(threading.Thread(target=self._serve, name=f"job-{number}", daemon=True))
            self._threads[-1].start()
        self._dispatcher.start()

    def wake(self) -> None:
        """Look at the queue at once; may be called from any thread."""
        self._news.set()

    def stop(self, patience: float) -> None:
        """End: take nothing more, finish what runs, and give back what takes longer.

        Args:
            patience: seconds that running jobs get.
        """
        if self._dispatcher is None:
            return
        self._stopping = True
        self._news.set()
        self._dispatcher.join(patience)
        for _ in range(self._size):
            self._inbox.put(None)
        if self._dispatcher.is_alive():
            self._give_up()
            self._dispatcher.join(LAST_TURN)

    def _give_up(self) -> None:
        """End what jobs do in the database, so that it can be closed, and their jobs be given back."""
        self._is_given_up = True
        self._news.set()
        for thread in self._threads:
            self._database.interrupt(thread)

    def _dispatch(self) -> None:
        while not self._stopping:
            self._pause(self._guarded_turn())
        seconds = self._guarded_turn()
        while self._held and not self._is_given_up:
            self._pause(seconds)
            seconds = self._guarded_turn()
        self._guarded_turn(last=True)

    def _pause(self, seconds: float) -> None:
        self._news.wait(seconds)
        self._news.clear()

    def _guarded_turn(self, *, last: bool = False) -> float:
        """Take a turn; when the database fails, all stays as it is until the next one."""
        try:
            seconds = self._turn(last=last)
        except Exception as error:  # noqa: BLE001 - the service goes on, and so does the worker
            if not self._failing:  # one line, not one a second
                log.warning("worker waits for the database", error=type(error).__name__, trace=_trace(error))
            self._failing = True
            return self._poll
        self._failing = False
        return seconds

    def _turn(self, *, last: bool) -> float:
        """Do what has come up; returns the seconds until something will."""
        moment = clock.now()
        outcomes = list(self._outcomes)
        free = 0 if self._stopping else self._size - len(self._held) + len(outcomes)
        with self._database.read() as tx:
            first = queue.first_run_at(tx) if free else None
            slots = [] if self._stopping else self._schedule.due(tx)
            others = self._look_far(tx, free) if first is not None and first <= moment else []
        beat = bool(self._held) and moment >= self._beat_at
        if outcomes or slots or beat or (last and self._held) or (first is not None and first <= moment):
            with self._database.write() as tx:
                lost = [job for job, failure in outcomes if not self._settle(tx, job, failure)]
                over = {job.lease for job, _ in outcomes}
                gone = self._keep(tx, self._held.keys() - over - self._gone, beat=beat, last=last)
                self._schedule.enqueue(tx, slots)
                chosen = self._choose(tx, others, free, self._running(over)) if free else []
                taken = queue.claim(tx, chosen, until=clock.now() + self._lease)
                first = queue.first_run_at(tx)
            self._note(outcomes, lost, taken)
            self._let_go(gone)
            if beat or len(taken) == len(self._held):
                self._beat_at = moment + self._lease // 3
            if len(taken) < free and first is not None and first <= clock.now():
                first = None  # none of these may run yet: the end of another job wakes us
        times = [self._beat_at] if self._held else []
        if not self._stopping:
            times += [first] if first is not None and len(self._held) < self._size else []
            times += self._schedule.next_at()
        return min([self._poll, *(max(0, at - clock.now()) / clock.SECOND for at in times)])

    def _running(self, over: Container[str]) -> list[Claimed]:
        return [job for lease, job in self._held.items() if lease not in over]

    def _choose(self, tx: Transaction, others: Iterable[Row], free: int, running: list[Claimed]) -> list[Row]:
        """Choose jobs for the free threads; of some types only as many as other workers leave room for."""
        due = [*queue.due(tx), *others]
        bounded = self._turns.most_at_once.keys() & {row.kind for row in due}
        elsewhere = [kind for kind in bounded for lease in queue.leases(tx, kind) if lease not in self._held]
        return self._turns.choose(due, free, running, elsewhere)

    def _look_far(self, tx: Transaction, free: int) -> list[Row]:
        """Look for jobs behind those of a tenant who has many; not at every turn, since that takes long."""
        moment = time.monotonic()
        if moment < self._look_far_at or len(queue.due(tx)) < queue.LOOK:
            return []
        self._look_far_at = moment + self._poll
        return queue.due_of_each(tx, free)

    def _settle(self, tx: Transaction, job: Claimed, failure: _Failure | None) -> bool:
        if failure is None:
            return queue.finish(tx, job)
        if failure.delay is None:
            return queue.bury(tx, job, error=failure.error)
        return queue.postpone(tx, job, delay=failure.delay, error=failure.error)

    def _keep(self, tx: Transaction, running: Iterable[str], *, beat: bool, last: bool) -> list[Claimed]:
        """Keep the leases of what runs, or give it back; returns what another has by now, or nobody any more."""
        gone = []
        for job in map(self._held.__getitem__, running):
            if last:
                queue.give_back(tx, job, delay=GRACE)
            elif beat and not queue.extend(tx, job, until=clock.now() + self._lease):
                gone.append(job)
        return gone

    def _let_go(self, gone: list[Claimed]) -> None:
        """Ask for these leases no more; the thread of each goes on until it ends, and counts as busy."""
        for job in gone:
            self._gone.add(job.lease)
            log.warning(
                "job is lost while it runs: it was deleted, or another worker has it", job=job.id, kind=job.kind
            )

    def _note(self, outcomes: list[_Outcome], lost: list[Claimed], taken: list[Claimed]) -> None:
        """Remember what is committed by now."""
        for job, failure in outcomes:
            self._outcomes.popleft()
            del self._held[job.lease]
            self._gone.discard(job.lease)
            self.ended["done" if failure is None else "failed"] += 1
        for job in lost:
            log.warning("job ended too late: it was deleted, or another worker has it", job=job.id, kind=job.kind)
        for job in taken:
            self._held[job.lease] = job
            self._inbox.put(job)

    def _serve(self) -> None:
        while (job := self._inbox.get()) is not None:
            outcome = (job, self._run(job))
            if not self._is_given_up:  # else it is given back, whatever became of it
                self._outcomes.append(outcome)
            self._news.set()

    def _run(self, job: Claimed) -> _Failure | None:
        kind = self._kinds.get(job.kind, UNKNOWN)
        try:
            if job.attempt > kind.attempts:
                raise JobFailed("Its worker died each time it ran.", permanent=True)  # noqa: TRY301 - it is one
            kind.run(job, self._context)
        except JobFailed as failed:
            error, permanent, trace = str(failed), failed.permanent, None
        except BaseException as unexpected:  # noqa: BLE001 - whatever it is, the thread goes on
            error, permanent, trace = type(unexpected).__name__, False, _trace(unexpected)
            forget_origin(unexpected)
        else:
            return None
        if self._is_given_up:
            return None
        dead = permanent or job.attempt >= kind.attempts
        say = log.error if dead else log.warning
        more = {"trace": trace} if trace else {}
        say(
            "job is dead" if dead else "job failed", job=job.id, kind=job.kind, attempt=job.attempt, error=error, **more
        )
        return _Failure(error, None if dead else kind.delay(job.attempt))


def _trace(error: BaseException) -> list[str]:
    """Say where an error comes from, without its text, which may quote what a payload holds."""
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
