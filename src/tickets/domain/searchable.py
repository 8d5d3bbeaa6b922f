"""Lists with the filter ``search``: it keeps the tickets that GET /search finds, in the list's own order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, bindparam, func, select, type_coerce

from tickets.db import Statement, Transaction
from tickets.domain.filters import Either, Filter, Tally, without_index
from tickets.domain.listing import Listing, is_empty
from tickets.domain.search import Match, among, as_json, is_current, matches, newest, read, ticket_id
from tickets.domain.slices import Position, Slice
from tickets.models.search import INDEX, PLACES

_FEW = 1_000
"""Documents whose tickets are looked up and sorted; where more match, the list is walked until a page is full."""
_CHUNKS = (256, 512, 1_024, 4_096)
"""Rows of the list that are looked at together; where these do not fill a page, the database walks on by itself."""
_GAP = 1_000
"""Ids: to read what lies between two tickets takes as long as to ask the index twice."""

_MATCHING = Statement(
    select(type_coerce(func.json_group_array(ticket_id), JSON).label("ids")).where(
        matches(bindparam("match")), is_current, INDEX.c.rowid.between(bindparam("first"), bindparam("last"))
    )
)

Where = Mapping[str, Sequence[Any]]


class SearchableListing(Listing):
    """A list of tickets with a filter ``search`` (a text), which is asked together with ``organization_id``.

    The text goes no further than `_read`: there is no filter of that name. What its tickets are looked up by is called
    ``matching``, or ``id`` where they are few.
    """

    def __init__(
        self,
        query: Select[Any],
        id_column: ColumnElement[int],
        *,
        filters: Mapping[str, Filter | Either],
        sorts: Mapping[str, ColumnElement[Any]],
        tally: Tally | None = None,
    ) -> None:
        more = {
            # Few are read and sorted, whatever else is asked: first, and `selective`. Many are no way to walk.
            "id": Filter(id_column, "found", sorts=(), selective=True, alone=True, by=among),
            "matching": Filter(without_index(id_column), "found", by=_found),
        }
        super().__init__(query, id_column, filters={**more, **filters}, sorts=sorts, tally=tally)
        # Of the tickets themselves, whatever table it is that has them in order.
        keys = [column for column in query.selected_columns if column.name in {"id", *sorts}]
        self._keys = Listing(
            query.with_only_columns(*keys, maintain_column_froms=True), id_column, filters=filters, sorts=sorts
        )

    def page(
        self,
        tx: Transaction,
        *,
        where: Where,
        sort: str,
        limit: int,
        position: Position | None = None,
        offset: int | None = None,
    ) -> Slice:
        """Read one page; see `Listing.page`."""
        if is_empty(where):
            return Slice([], None, None)
        rest, match = _read(where)
        if match is not None:
            matching = _Matching(tx, match)
            ids = (
                matching.newest
                if matching.are_few
                else self._walk(tx, matching, rest, sort, (offset or 0) + limit + 1, position)
            )
            # Known ids are read like any few; where the walk went too far, the database walks on by itself.
            rest = {**rest, **({"matching": [match.expression]} if ids is None else {"id": [as_json(sorted(ids))]})}
        return super().page(tx, where=rest, sort=sort, limit=limit, position=position, offset=offset)

    def count(self, tx: Transaction, where: Where) -> int:
        """Count the rows on all pages."""
        if is_empty(where):
            return 0
        rest, match = _read(where)
        return super().count(tx, rest if match is None else {**rest, "matching": [match.expression]})

    def _walk(
        self,
        tx: Transaction,
        matching: "_Matching",
        rest: Where,
        sort: str,
        wanted: int,
        position: Position | None,
    ) -> set[int] | None:
        """Read keys of the list until enough tickets match, and return their ids; None where that is too far."""
        backwards = position is not None and position.backwards
        found = list[int]()
        for size in _CHUNKS:
            keys = self._keys.page(tx, where=rest, sort=sort, limit=size, position=position)
            rows = keys.rows[::-1] if backwards else keys.rows
            ids = matching.among([row.id for row in rows])
            found += [row.id for row in rows if row.id in ids]
            position = keys.prev if backwards else keys.next
            if len(found) >= wanted or position is None:
                return set(found[:wanted])
        return None


class _Matching:
    """The tickets that match: the newest are known, others are asked for.

    Attributes:
        newest: their ids.
        are_few: whether these are all.
    """

    def __init__(self, tx: Transaction, match: Match) -> None:
        self._tx = tx
        self._match = match
        places = newest(tx, match, _FEW + 1)
        self.newest = {place // PLACES for place in places}
        self.are_few = len(places) <= _FEW
        self._oldest = places[-1] // PLACES if places else 0

    def among(self, ids: Sequence[int]) -> set[int]:
        """Return which of some tickets match, and perhaps others."""
        found = set(self.newest)
        older = sorted(each for each in ids if each < self._oldest)
        # What begins with something is put together for each question anew: ask once.
        gap = max(older, default=0) if self._match.is_open else _GAP
        while older:
            last = next((n for n, (a, b) in enumerate(pairwise(older)) if b - a > gap), len(older) - 1)
            bounds = {"first": older[0] * PLACES, "last": (older[last] + 1) * PLACES - 1}
            found.update(self._tx.one(_MATCHING, match=self._match.expression, **bounds).ids)
            older = older[last + 1 :]
        return found


def _found(match: Any) -> Select[Any]:
    """Select the ids of the tickets with a matching document; documents with a pending update do not count."""
    return select(ticket_id).where(matches(match), is_current)


def _read(where: Where) -> tuple[Where, Match | None]:
    """Take the text out of the filters, and make of it what FTS5 is asked; without any word nothing matches.

    Args:
        where: none of them empty.

    Returns:
        The other filters, and None where no text is searched for.
    """
    if "search" not in where:
        return where, None
    rest = {name: values for name, values in where.items() if name != "search"}
    phrases = read(where["search"][0], "search")
    if not phrases:
        return {**rest, "id": []}, None
    return rest, Match.of(where, phrases)
