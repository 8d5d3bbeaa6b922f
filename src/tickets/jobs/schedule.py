"""Periodic jobs: time is cut into slots, and whoever opens a slot first enqueues its job."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, or_, select, update

from tickets import clock
from tickets.db import Statement, Transaction
from tickets.domain import jobs
from tickets.models import PeriodicJob

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

    A clock that is put back a little repeats nothing. A slot beyond the next one was opened by a clock that was wrong,
    perhaps by years: it counts for nothing.

    Args:
        entries: what runs again and again.
    """

    def __init__(self, entries: Iterable[Periodic]) -> None:
        self._opened = dict.fromkeys(entries, -1)

    def next_at(self) -> list[int]:
        """Return when the slots begin that follow those known to be opened."""
        return [(slot + 1) * entry.every for entry, slot in self._opened.items()]

    def due(self, tx: Transaction) -> list[Periodic]:
        """Return whose present slot nobody has opened; asks the database only about a slot that is new here."""
        moment = clock.now()
        found = []
        for entry, opened in self._opened.items():
            present = moment // entry.every
            if present <= opened <= present + 1:
                continue
            row = tx.first(_SLOT, name=entry.kind)
            if row is not None and present <= row.slot <= present + 1:
                self._opened[entry] = row.slot
            else:
                found.append(entry)
        return found

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
