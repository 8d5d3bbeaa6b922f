"""A queue on a database of its own, and what tests do to it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tickets import clock, migrations
from tickets.db import Database
from tickets.domain import first_start, jobs
from tickets.jobs import queue
from tickets.jobs.kind import Context, Kind
from tickets.jobs.worker import Worker
from tickets.settings import Settings


class Bench:
    """A queue, with what tests do to it.

    Attributes:
        ran: what the jobs of the kind ``note`` were told, in their order.
    """

    def __init__(self, var_dir: Path, **settings: Any) -> None:
        self.settings = Settings(var_dir=var_dir, **settings)
        self.database = Database(self.settings)
        migrations.upgrade(self.database)
        first_start.prepare(self.settings, self.database)
        self.context = Context(self.settings, self.database)
        self.ran: list[Any] = []
        self.workers: list[Worker] = []

    def enqueue(self, kind: str = "note", **payload: Any) -> int:
        with self.database.write() as tx:
            return jobs.enqueue(tx, kind, payload)

    def claim(self, most: int = 1, lease: int = 30_000) -> list[queue.Claimed]:

        with self.database.write() as tx:
            return queue.claim(tx, queue.due(tx)[:most], until=clock.now() + lease)

    def write(self, action: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with self.database.write() as tx:
            return action(tx, *arguments, **named)

    def jobs(self, *, dead: bool = False) -> list[Any]:
        with self.database.read() as tx:
            return queue.listed(tx, dead=dead, most=100_000)

    def counts(self) -> dict[str, int]:
        with self.database.read() as tx:
            return queue.counts(tx)

    def worker(self, *kinds: Kind, threads: int = 4, **options: Any) -> Worker:
        """Start a worker that knows these kinds, or one that notes what its jobs are told."""
        known = {kind.name: kind for kind in kinds or (self.note(),)}
        made = Worker(self.settings, self.database, threads=threads, kinds=known, **{"periodic": (), **options})
        self.workers.append(made)
        made.start()
        return made

    def note(self) -> Kind:
        return Kind("note", lambda job, _: self.ran.append(dict(job.payload)))

    def close(self) -> None:
        for worker in self.workers:
            worker.stop(5)
        self.database.close()


def until(condition: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.01)
    return found
