"""Lists that can be searched: the filter ``search`` leaves what GET /search finds, in the list's own order."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, bindparam, func, select, type_coerce

from tickets.db import Row, Statement, Transaction
from tickets.domain.listing import Filter, Listing, Position, Slice, slice_of
from tickets.domain.search import among, as_json, expression, matches, newest, read, ticket_id
from tickets.models.search import INDEX, PLACES

_FEW = 2_000
"""Documents that are looked up and sorted; where more match, the list is walked until a page is full."""
_LAST = 2**63 - 1
_SMALLEST, _LARGEST = 256, 16_384
"""Rows of a list that are looked at together, at first and at most."""

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
        filters: Mapping[str, Filter],
        sorts: Mapping[str, ColumnElement[Any]],
    ) -> None:
        more = {
            # Few are read and sorted instead of walking the organization: `selective`.
            "id": Filter(id_column, "found", selective=True, by=among),
            "search": Filter(id_column, "found", by=_found),
        }
        super().__init__(query, id_column, filters={**filters, **more}, sorts=sorts)
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
        offset: int = 0,
    ) -> Slice:
        """Read one page; see `Listing.page`."""
        where = _with_expression(where)
        if not where.get("search"):
            return super().page(tx, where=where, sort=sort, limit=limit, position=position, offset=offset)
        rest = {name: values for name, values in where.items() if name != "search"}
        matching = _Matching(tx, where["search"][0])
        if matching.few is not None:
            few = {**rest, "id": [as_json(matching.few)]}
            return super().page(tx, where=few, sort=sort, limit=limit, position=position, offset=offset)
        found = self._walk(tx, matching, rest, sort, offset + limit + 1, position)
        ids = [row.id for row in found[offset : offset + limit]]
        rows = {row.id: row for row in tx.all(self._rows, ids=as_json(ids))}
        return slice_of(
            [rows[each] for each in ids],
            sort.removeprefix("-"),
            position,
            more=len(found) > offset + limit,
            at_start=position is None and not offset,
        )

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
    ) -> list[Row]:
        """Read the keys of the list, more and more of them at a time, until enough are of tickets that match."""
        backwards = position is not None and position.backwards
        found: list[Row] = []
        size = _SMALLEST
        while len(found) < wanted:
            keys = self._keys.page(tx, where=where, sort=sort, limit=size, position=position)
            rows = keys.rows[::-1] if backwards else keys.rows
            found += matching.of(rows)
            position = keys.prev if backwards else keys.next
            if position is None:
                break
            size = min(2 * size, _LARGEST)
        return found[:wanted]


class _Matching:
    """The tickets that match: the newest, and from there on as far as they were asked for.

    Attributes:
        few: all of them, where they are few.
    """

    def __init__(self, tx: Transaction, match: str) -> None:
        self._tx = tx
        self._match = match
        places = newest(tx, match, _FEW + 1)
        self._ids = {place // PLACES for place in places}
        self.few = sorted(self._ids) if len(places) <= _FEW else None
        self._first, self._last = places[-1] // PLACES if places else 0, _LAST

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Leave the rows of tickets that match."""
        if not rows:
            return []
        ids = [row.id for row in rows]
        first, last = min(ids), max(ids)
        if last < self._first:  # far away: what lies between is not needed
            self._ids = self._read(first, last)
            self._first, self._last = first, last
        if first < self._first:
            self._ids |= self._read(first, self._first - 1)
            self._first = first
        if last > self._last:
            self._ids |= self._read(self._last + 1, last)
            self._last = last
        return [row for row in rows if row.id in self._ids]

    def _read(self, first: int, last: int) -> set[int]:
        bounds = {"first": first * PLACES, "last": (last + 1) * PLACES - 1}
        return set(self._tx.one(_MATCHING, match=self._match, **bounds).ids)


def _found(match: Any) -> Select[Any]:
    return select(ticket_id).where(matches(match))


def _with_expression(where: Where) -> Where:
    """Replace the text that is searched for by what FTS5 shall match; without any word nothing does."""
    if not where.get("search") or any(len(values) == 0 for values in where.values()):
        return where
    phrases = read(where["search"][0], "search")
    return {**where, "search": [expression(where, phrases)] if phrases else []}
