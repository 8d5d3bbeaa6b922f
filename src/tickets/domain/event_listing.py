"""The list of events, as far back as the log is complete.

A time in it is found by number: an index of times would cost each change.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import bindparam, func, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import event_texts, events
from tickets.domain.listing import Listing
from tickets.domain.slices import MOST_TEXT, Position, Slice
from tickets.models import Event

_of_organization = Event.organization_id == bindparam("of")
_LAST = Statement(select(func.coalesce(func.max(Event.seq), 0).label("seq")).where(_of_organization))
_REACHED = Statement(
    select(Event.reached_at).where(_of_organization, Event.seq >= bindparam("seq")).order_by(Event.seq).limit(1)
)
_LAST_LATE = Statement(
    select(Event.seq)
    .where(
        _of_organization,
        Event.seq >= bindparam("seq"),
        Event.created_at < Event.reached_at,
        Event.created_at < bindparam("moment"),
    )
    .order_by(Event.seq.desc())
    .limit(1)
)


class EventListing(Listing):
    """The list of events, whose filters `created_from` and `created_to` come with bounds of `seq`."""

    def page(
        self,
        tx: Transaction,
        *,
        where: Mapping[str, Sequence[Any]],
        sort: str,
        limit: int,
        position: Position | None = None,
        offset: int | None = None,
    ) -> Slice:
        """Read one page; see `Listing.page`."""
        where = _bounded(tx, where)
        page = super().page(tx, where=where, sort=sort, limit=limit, position=position, offset=offset)
        if all(event.texts is None for event in page.rows):
            return page
        page = page.cut(_number_within(page.rows, MOST_TEXT, position), sort, position)
        return page._replace(rows=event_texts.put_back(tx, page.rows))


def _number_within(rows: Sequence[Row], most: int, position: Position | None) -> int:
    """Return how many events to keep: up to and including the one with which they exceed `most` characters."""
    lengths = event_texts.lengths(rows)
    if position is not None and position.backwards:
        lengths.reverse()
    return 1 + bisect_right(list(accumulate(lengths)), most)


def _bounded(tx: Transaction, where: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    """Add bounds of `seq` to the filters: where the log is complete, and what the filters say of the time."""
    bounds, [of] = {}, where["organization_id"]
    since = events.complete_since(tx, of)
    if "created_from" in where:
        since = max(since, _reaching(tx, of, where["created_from"][0]) - 1)
    if since > where.get("since", [0])[0]:
        bounds["since"] = [since]
    if "created_to" in where:
        [moment] = where["created_to"]
        end = _reaching(tx, of, moment)
        late = tx.first(_LAST_LATE, of=of, seq=end, moment=moment)
        bounds["until"] = [end if late is None else late.seq + 1]
    return {**where, **bounds}


def _reaching(tx: Transaction, organization_id: int, moment: int) -> int:
    """Return the number of the first event at a moment, in milliseconds since the epoch, or later."""
    last: int = tx.one(_LAST, of=organization_id).seq
    return 1 + bisect_left(
        range(1, last + 1), moment, key=lambda seq: tx.one(_REACHED, of=organization_id, seq=seq).reached_at
    )
