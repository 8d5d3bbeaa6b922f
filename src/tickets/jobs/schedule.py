"""Periodic jobs: time is cut into slots, and whoever opens a slot first enqueues its job."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, or_, select, update

from tickets import clock
from tickets.db import Statement, Transaction
from tickets.domain import jobs
from tickets.jobs import queue
from tickets.models import PeriodicJob

LOOK_AGAIN = clock.SECOND
"""Milliseconds after which a slot is looked at again that was not opened, since the job before was not done."""

_SLOT = Statement(select(PeriodicJob.slot).where(PeriodicJob.kind == bindparam("name")))
_OPEN = Statement(
    update(PeriodicJob)
    .where(
        PeriodicJob.kind == bindparam("name"),
        or_(PeriodicJob.slot < bindparam("number"), PeriodicJob.slot > bindparam("next_number")),
    )
    .values(slot=bindparam("number"))
)
_OPEN_FIRST = Statement(insert(PeriodicJob).values(kind=bindparam("name"), slot=bindparam("number")))


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that runs once in each slot.

    Attributes:
        kind: which.
        every: length of a slot in milliseconds; slots are counted from 1970.
    """

    kind: str
    every: int


class Schedule:
    """The slots as one worker knows them; slots in which no worker ran are left out.

    Nor is a slot opened while a job of its type waits or runs: one that takes longer than a slot is not joined by
    another. The slot is opened when it is done, or left out.

    A clock that is put back a little repeats nothing. A slot beyond the next one was opened by a clock that was wrong,
    perhaps by years: it counts for nothing.

    Args:
        entries: what runs again and again.
    """

    def __init__(self, entries: Iterable[Periodic]) -> None:
        self._opened = dict.fromkeys(entries, -1)
        self._looked: dict[Periodic, int] = {}  # when a job of the last slot was seen that is not done

    def next_at(self) -> list[int]:
        """Return when to look at each slot that follows one that is known to be opened."""
        return [
            max((slot + 1) * entry.every, self._looked[entry] + LOOK_AGAIN if entry in self._looked else 0)
            for entry, slot in self._opened.items()
        ]

    def due(self, tx: Transaction) -> list[Periodic]:
        """Return whose present slot is to be opened; asks the database only about a slot that is new here."""
        moment = clock.now()
        found = []
        for entry, opened in self._opened.items():
            present = moment // entry.every
            if present <= opened <= present + 1 or self._is_known_to_wait(entry, moment):
                continue
            row = tx.first(_SLOT, name=entry.kind)
            if row is not None and present <= row.slot <= present + 1:
                self._opened[entry] = row.slot
            elif queue.holds(tx, entry.kind):
                self._looked[entry] = moment
                continue
            else:
                found.append(entry)
            self._looked.pop(entry, None)
        return found

    def _is_known_to_wait(self, entry: Periodic, moment: int) -> bool:
        """Tell whether the job before was seen just now; not what a clock says that is put back since."""
        return 0 <= moment - self._looked.get(entry, -LOOK_AGAIN) < LOOK_AGAIN

    def enqueue(self, tx: Transaction, entries: Iterable[Periodic]) -> None:
        """Open the present slots and enqueue their jobs, except where another worker was faster."""
        for entry, number in self.open(tx, entries):
            jobs.enqueue(tx, entry.kind, {"slot": number})

    def open(self, tx: Transaction, entries: Iterable[Periodic]) -> list[tuple[Periodic, int]]:
        """Open the present slots; returns those that nobody else had opened meanwhile, with their numbers."""
        moment = clock.now()
        found = []
        for entry in entries:
            number = moment // entry.every
            opened = tx.run(_OPEN, name=entry.kind, number=number, next_number=number + 1)
            if not opened and tx.first(_SLOT, name=entry.kind) is None:
                opened = tx.run(_OPEN_FIRST, name=entry.kind, number=number)
            if opened:
                found.append((entry, number))
        return found
