"""The history of a ticket, field by field: read from the event log, so that the two cannot disagree."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain.slices import MOST_TEXT, Position, Slice, slice_of
from tickets.models import Event

PLACES = 64
"""Entries are numbered within their event; no entity has more fields than that."""

COLUMNS = tuple(column for column in Event.__table__.c if column.name != Event.data.key)
"""What is read of an event: not the ticket, which it holds as a whole."""

_of_ticket = (Event.ticket_id == bindparam("ticket_id"), Event.is_history.is_(True))
_FORWARDS = Statement(
    select(*COLUMNS).where(*_of_ticket, Event.seq >= bindparam("seq")).order_by(Event.seq).limit(bindparam("limit"))
)
_BACKWARDS = Statement(
    select(*COLUMNS)
    .where(*_of_ticket, Event.seq <= bindparam("seq"))
    .order_by(Event.seq.desc())
    .limit(bindparam("limit"))
)
_LAST = 2**63 - 1


class Entry(NamedTuple):
    """What became of a field: when, by whom, and from what to what."""

    id: int
    seq: int
    field: str
    old: Any
    new: Any
    actor_type: str
    actor_id: int | None
    actor_name: str
    created_at: int


class History:
    """Lists entries by keyset, as `Listing` lists rows: an event is one or more of them."""

    def page(
        self,
        tx: Transaction,
        *,
        where: Mapping[str, Sequence[Any]],
        sort: str,
        limit: int,
        position: Position | None = None,
    ) -> Slice:
        """Read one page of the history of a ticket; see `Listing.page`."""
        backwards = position is not None and position.backwards
        descending = sort.startswith("-") != backwards
        seq = position.key if position is not None else _LAST if descending else 0
        # One more than there can be events on the page, and the one that the position is in the midst of.
        statement, bound = _BACKWARDS if descending else _FORWARDS, {"ticket_id": where["ticket_id"][0]}
        events, beyond = tx.within(statement, MOST_TEXT, **bound, seq=seq, limit=limit + 2)
        entries = _entries_beyond(position, events, descending=descending)
        if not entries and beyond is not None:
            # The event of the position is long, and all of it was on the page before: begin with the next event.
            events, beyond = tx.within(statement, MOST_TEXT, **bound, seq=beyond.seq, limit=limit + 1)
            entries = _entries_beyond(position, events, descending=descending)
        more = beyond is not None or len(entries) > limit
        return slice_of(entries[:limit], "seq", position, more=more, descending=sort.startswith("-"))


HISTORY = History()


def _entries_beyond(position: Position | None, events: Sequence[Row], *, descending: bool) -> list[Entry]:
    """Take events apart, and leave out the entries up to a position."""
    entries = [entry for event in events for entry in entries_of(event, descending=descending)]
    if position is None:
        return entries
    return [entry for entry in entries if (entry.id < position.id if descending else entry.id > position.id)]


def entries_of(event: Row, *, descending: bool = False) -> list[Entry]:
    """Take an event apart, in the order of its fields or against it."""
    made = [
        Entry(
            event.id * PLACES + place,
            event.seq,
            field,
            change["old"],
            change["new"],
            event.actor_type,
            event.actor_id,
            event.actor_name,
            event.created_at,
        )
        for place, (field, change) in enumerate(event.changes.items())
    ]
    return made[::-1] if descending else made
