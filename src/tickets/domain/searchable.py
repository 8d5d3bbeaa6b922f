"""Lists that can be searched: the filter ``search`` leaves what GET /search finds, in the list's own order."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, bindparam, func, select, type_coerce

from tickets.db import Row, Statement, Transaction
from tickets.domain.listing import Filter, Listing, Position, Slice, slice_of
from tickets.domain.search import among, as_json, expression, is_within, matches, ticket_id
from tickets.domain.words import asked
from tickets.models.search import INDEX, PLACES

_FEW = 2_000
"""Documents that are looked up and sorted; where more match, the list is walked until a page is full."""
_FIRST, _LARGEST = 256, 16_384
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
        # Who reads and sorts what matches shall not walk the organization besides: `selective`.
        found = Filter(id_column, "found", selective=True, by=_found)
        super().__init__(query, id_column, filters={**filters, "search": found}, sorts=sorts)
        self._rows = Statement(query.where(id_column.in_(among("ids"))), raw_json=True)
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
        match = where.get("search", ())
        if not match or is_within(tx, match[0], _FEW):
            return super().page(tx, where=where, sort=sort, limit=limit, position=position, offset=offset)
        rest = {name: values for name, values in where.items() if name != "search"}
        found = self._walk(tx, match[0], rest, sort, offset + limit + 1, position)
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
        self, tx: Transaction, match: str, where: Where, sort: str, wanted: int, position: Position | None
    ) -> list[Row]:
        """Read the keys of the list, more and more of them at a time, until enough are of tickets that match."""
        backwards = position is not None and position.backwards
        matching = _Matching(tx, match)
        found: list[Row] = []
        size = _FIRST
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
    """The tickets that match, as far as they were asked for: between two ids that move apart."""

    def __init__(self, tx: Transaction, match: str) -> None:
        self._tx = tx
        self._match = match
        self._first, self._last = 0, -1
        self._ids: set[int] = set()

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Leave the rows of tickets that match."""
        if not rows:
            return []
        ids = [row.id for row in rows]
        first, last = min(ids), max(ids)
        if first > self._last or last < self._first:
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
    phrases = asked(where["search"][0])
    return {**where, "search": [expression(where, phrases)] if phrases else []}
