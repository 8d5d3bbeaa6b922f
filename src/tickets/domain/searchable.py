"""Lists that can be searched: the filter ``search`` leaves what GET /search finds, in the list's own order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, bindparam, func, select, type_coerce

from tickets.db import Row, Statement, Transaction
from tickets.domain.filters import Either, Filter, Tally, without_index
from tickets.domain.listing import Listing, Position, Slice, slice_of
from tickets.domain.search import among, as_json, expression, matches, newest, read, ticket_id
from tickets.models.search import INDEX, PLACES

_FEW = 2_000
"""Documents whose tickets are looked up and sorted; where more match, the list is walked until a page is full."""
_CHUNKS = (256, 1_024, 4_096)
"""Rows of the list that are looked at together; where these do not fill a page, the database walks on by itself."""
_GAP = 1_000
"""Ids: to read what lies between two tickets takes as long as to ask the index twice."""

_MATCHING = Statement(
    select(type_coerce(func.json_group_array(ticket_id), JSON).label("ids")).where(
        matches(bindparam("match")), INDEX.c.rowid.between(bindparam("first"), bindparam("last"))
    )
)

Where = Mapping[str, Sequence[Any]]


class SearchableListing(Listing):
    """A list of tickets with a filter ``search`` (a text), which is asked together with ``organization_id``."""

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
            "search": Filter(without_index(id_column), "found", by=_found),
        }
        super().__init__(query, id_column, filters={**more, **filters}, sorts=sorts, tally=tally)
        self._rows = Statement(query.where(id_column.in_(among(bindparam("ids")))), raw_json=True)
        columns = dict.fromkeys((id_column, *sorts.values()))
        self._keys = Listing(query.with_only_columns(*columns), id_column, filters=filters, sorts=sorts)

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
        where = _with_expression(where)
        if where.get("search"):
            matching = _Matching(tx, where["search"][0])
            if matching.are_few:
                where = {**_without_search(where), "id": [as_json(sorted(matching.newest))]}
            else:
                start = offset or 0
                found = self._walk(tx, matching, where, sort, start + limit + 1, position)
                if found is not None:
                    ids = [row.id for row in found[start : start + limit]]
                    rows = {row.id: row for row in tx.all(self._rows, ids=as_json(ids))}
                    more, at_start = len(found) > start + limit, position is None and not offset
                    key, descending = sort.removeprefix("-"), sort.startswith("-")
                    shown = [rows[each] for each in ids]
                    return slice_of(shown, key, position, more=more, at_start=at_start, descending=descending)
        return super().page(tx, where=where, sort=sort, limit=limit, position=position, offset=offset)

    def count(self, tx: Transaction, where: Where) -> int:
        """Count the rows on all pages."""
        return super().count(tx, _with_expression(where))

    def _walk(
        self,
        tx: Transaction,
        matching: "_Matching",
        where: Where,
        sort: str,
        wanted: int,
        position: Position | None,
    ) -> list[Row] | None:
        """Read keys of the list until enough are of tickets that match; None where that is too far."""
        backwards = position is not None and position.backwards
        rest, found = _without_search(where), list[Row]()
        for size in _CHUNKS:
            keys = self._keys.page(tx, where=rest, sort=sort, limit=size, position=position)
            rows = keys.rows[::-1] if backwards else keys.rows
            ids = matching.among([row.id for row in rows])
            found += [row for row in rows if row.id in ids]
            position = keys.prev if backwards else keys.next
            if len(found) >= wanted or position is None:
                return found[:wanted]
        return None


class _Matching:
    """The tickets that match: the newest are known, others are asked for.

    Attributes:
        newest: their ids.
        are_few: whether these are all.
    """

    def __init__(self, tx: Transaction, match: str) -> None:
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
        gap = max(older, default=0) if "*" in self._match else _GAP
        while older:
            last = next((n for n, (a, b) in enumerate(pairwise(older)) if b - a > gap), len(older) - 1)
            bounds = {"first": older[0] * PLACES, "last": (older[last] + 1) * PLACES - 1}
            found.update(self._tx.one(_MATCHING, match=self._match, **bounds).ids)
            older = older[last + 1 :]
        return found


def _without_search(where: Where) -> Where:
    return {name: values for name, values in where.items() if name != "search"}


def _found(match: Any) -> Select[Any]:
    return select(ticket_id).where(matches(match))


def _with_expression(where: Where) -> Where:
    """Replace the text that is searched for by what FTS5 shall match; without any word nothing does."""
    if not where.get("search") or any(len(values) == 0 for values in where.values()):
        return where
    phrases = read(where["search"][0], "search")
    return {**where, "search": [expression(where, phrases)] if phrases else []}
