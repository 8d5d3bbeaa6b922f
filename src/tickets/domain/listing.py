"""Lists by keyset: page 20,000 costs what page 1 costs, and writers neither repeat nor hide a row.

Which index serves a page depends on what is asked. The planner has no statistics to know it from, so it is decided
here (decisions/0015).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, distinct, func, select, tuple_, union, union_all

from tickets.db import Statement, Transaction
from tickets.domain.filters import (
    COMPARED,
    Either,
    Filter,
    Shape,
    Tally,
    Values,
    condition,
    once,
    shape_of,
    values_of,
    without_index,
)
from tickets.domain.slices import MOST_TEXT, Position, Slice, slice_of

FEW = 2_000
"""Rows up to which it takes milliseconds to read all that match and to sort them."""


class Way(NamedTuple):
    """How the rows of a page are found.

    Attributes:
        lead: the filter whose index looks them up; None to walk all rows of the tenant in the asked order.
        gather: read all that the leading filter matches, then sort: its index has another order.
    """

    lead: str | None = None
    gather: bool = False


class _Place(NamedTuple):
    """What part of a walk is meant; `tied` when it has one sort key."""

    conditions: tuple[ColumnElement[bool], ...] = ()
    tied: bool = False


class Listing:
    """A table that can be listed.

    Args:
        query: selects the columns, with any join it needs.
        id_column: the unique column that settles equal sort keys.
        filters: by name; of two that could lead, the first does.
        sorts: by name, without the sign.
        tally: knows how many rows there are; without it they are counted.
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
        self._query = query
        self._id = id_column
        self._filters = filters
        self._sorts = sorts
        self._tally = tally
        self._statement = lru_cache(maxsize=64)(self._build)
        self._count = lru_cache(maxsize=64)(self._build_count)
        self._probe = lru_cache(maxsize=64)(self._build_probe)

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
        """Read one page; it ends early where its rows are long, unless rows are counted.

        Args:
            tx: where to read.
            where: the values of each filter that applies; an empty sequence matches nothing.
            sort: a key of `sorts`, with a leading ``-`` for descending.
            limit: most rows on the page.
            position: where it begins; the start of the list when None.
            offset: rows to leave out first, where rows are counted.
        """
        if is_empty(where):
            return Slice([], None, None)
        backwards = position is not None and position.backwards
        where, begin = self._begin(once(where), sort, position)
        shape, values, key = shape_of(where), {"now": tx.moment, **values_of(where)}, sort.removeprefix("-")
        *gatherings, way = self.ways(shape, key)
        for gathering in gatherings:
            if tx.one(self._probe(shape, gathering), **values).count <= FEW:
                way = gathering
                break
        statement = self._statement(
            shape, sort, way, positioned=begin is not None, backwards=backwards, leaping=bool(offset)
        )
        bound = {"limit": limit + 1, **values}
        if begin is not None:
            bound |= {"key": begin.key, "id": begin.id}
        if offset:
            bound["offset"] = offset
        rows, beyond = (
            tx.within(statement, MOST_TEXT, **bound) if offset is None else (tx.all(statement, **bound), None)
        )
        more = beyond is not None or len(rows) > limit
        at_start, descending = position is None and not offset, sort.startswith("-")
        return slice_of(rows[:limit], key, position, more=more, at_start=at_start, descending=descending)

    def _begin(
        self, where: Mapping[str, Sequence[Any]], sort: str, position: Position | None
    ) -> tuple[Mapping[str, Sequence[Any]], Position | None]:
        """Leave out whichever of a position and a range says less about where the page begins.

        Of two bounds on one side SQLite enters the index at the first, and reads on to the second.
        """
        if position is None:
            return where, None
        key, descending = sort.removeprefix("-"), sort.startswith("-") != position.backwards
        for name in where:
            spec = self._filters[name]
            if spec.kind in (("before",) if descending else ("from", "after")) and key in (spec.sorts or ()):
                [bound] = where[name]
                if not COMPARED[spec.kind](position.key, bound):
                    return where, None
                where = {other: values for other, values in where.items() if other != name}
        return where, position

    def count(self, tx: Transaction, where: Mapping[str, Sequence[Any]]) -> int:
        """Count the rows on all pages."""
        if is_empty(where):
            return 0
        where = once(where)
        found: int = tx.one(self._count(shape_of(where)), now=tx.moment, **values_of(where)).count
        return found

    def ways(self, shape: Shape, key: str) -> list[Way]:
        """List how pages may be found: the last way always, those before it where what they gather is little.

        Args:
            shape: the filters.
            key: what the rows are sorted by.
        """
        given = {name: (count, null) for name, count, null in shape}
        indexed = {
            name: key in spec.sorts for name, spec in self._filters.items() if name in given and spec.sorts is not None
        }
        for name, is_in_order in indexed.items():
            if self._filters[name].selective:
                return [Way(name, gather=not is_in_order)]
        gatherings = [
            Way(name, gather=True)
            for name, is_in_order in indexed.items()
            if not is_in_order and not all(given[name])  # no index has both some values and what has none
        ]
        return [*gatherings, Way(next((name for name, is_in_order in indexed.items() if is_in_order), None))]

    def _build_probe(self, shape: Shape, way: Way) -> Statement:
        """Make what counts the rows that a filter matches, as long as they are few."""
        # Where the filter implies the organization its index does not have that.
        implied = any(name == way.lead and self._filters[name].alone and not null for name, _, null in shape)
        own = tuple(each for each in shape if each[0] in (way.lead, "" if implied else "organization_id"))
        few = self._filtered(own, way).with_only_columns(self._id).limit(FEW + 1).subquery("few")
        return Statement(select(func.count().label("count")).select_from(few))

    def _build_count(self, shape: Shape) -> Statement:
        tally = self._tally
        if tally is not None and all(name in tally.filters for name, _, _ in shape):
            query = tally.query
            for name, count, null in shape:
                spec = tally.filters[name]
                query = query.where(condition(spec, spec.column, name, Values(range(count), unset=null)))
            return Statement(query)
        selective = next((name for name, _, _ in shape if self._filters[name].selective), None)
        query, *rest = [self._filtered(shape, Way(selective)), *self._few(shape)]
        if rest:
            found = union_all(*(one.with_only_columns(self._id) for one in (query, *rest))).subquery()
            return Statement(select(func.count().label("count")).select_from(found))
        repeats = any(self._filters[name].repeats and count > 1 for name, count, _ in shape)
        rows = func.count(distinct(self._id)) if repeats else func.count()
        return Statement(query.with_only_columns(rows.label("count"), maintain_column_froms=True))

    def _build(
        self, shape: Shape, sort: str, way: Way, *, positioned: bool, backwards: bool, leaping: bool
    ) -> Statement:
        key = sort.removeprefix("-")
        order = _Order((self._sorts[key], self._id), descending=sort.startswith("-") != backwards)
        aside = order._replace(columns=tuple(map(without_index, order.columns)))
        arms = [
            (mine, self._filtered(shape, way, key, values, tied=place.tied).where(*place.conditions))
            for mine in (aside if way.gather else order,)
            for values in self._apart(shape, way)
            for place in (mine.after(at_once=way.gather) if positioned else [_Place()])
        ]
        after = aside.after(at_once=True)[0].conditions if positioned else ()
        arms += [(aside, few.where(*after)) for few in self._few(shape)]
        if len(arms) == 1 and not way.gather:
            return Statement(_cut(order.applied(arms[0][1]), leaping=leaping), raw_json=True)
        # Arms, each a walk along an index, meet in the asked order. Only the rows of the page are fetched as a whole.
        keys = [
            arm.with_only_columns(
                *(c.label(name) for c, name in zip(mine.columns, ("key", "id"), strict=True)),
                maintain_column_froms=True,
            )
            for mine, arm in arms
        ]
        repeats = any(self._filters[name].repeats and count > 1 for name, count, _ in shape)
        alone: Any = keys[0].distinct() if repeats else keys[0]
        merged: Any = alone if len(keys) == 1 else union(*keys) if repeats else union_all(*keys)
        met = arms[0][0] if len(keys) == 1 else order._replace(columns=tuple(merged.selected_columns))
        page = _cut(met.applied(merged), leaping=leaping).subquery("page")
        shown = list(self._query.selected_columns)
        table: Any = shown[0].table
        rows = select(*shown).join_from(page, table, table.c.id == page.c.id)
        return Statement(order._replace(columns=tuple(page.c)).applied(rows), raw_json=True)

    def _few(self, shape: Shape) -> list[Select[Any]]:
        """Make the query for the few rows that fit the second condition of a filter, if it has one."""
        found = []
        for _, spec in ((name, self._filters[name]) for name, _, _ in shape):
            if isinstance(spec, Either) and spec.few is not None:
                rest = tuple(each for each in shape if self._filters[each[0]] is not spec)
                found.append(self._filtered(rest, Way(gather=True), "few").where(spec.few))
        return found

    def _apart(self, shape: Shape, way: Way) -> list[Values | None]:
        """Take the values of the leading filter apart: an index has the rows of each in order, not those of several."""
        for name, count, null in shape:
            if name == way.lead and not way.gather and count + null > 1:
                return [*(Values([n]) for n in range(count)), *([Values([], unset=True)] if null else [])]
        return [None]

    def _filtered(
        self, shape: Shape, way: Way, key: str = "", leading: Values | None = None, *, tied: bool = False
    ) -> Select[Any]:
        """Apply the filters, each with an index only where that is the one to use.

        Args:
            shape: the filters.
            way: names the one that leads.
            key: what is sorted by; an index that has the rows in its order may help the leading one.
            leading: the values of the leading filter that are meant; all of them when None.
            tied: whether only rows with one sort key are meant.
        """
        query = self._query
        wanted = {name: Values(range(count), unset=null) for name, count, null in shape}
        if way.lead is not None and leading is not None:
            wanted[way.lead] = leading
        implied = way.lead is not None and self._filters[way.lead].alone and not wanted[way.lead].unset
        for name, values in wanted.items():
            spec = self._filters[name]
            if name == "organization_id":
                misleads = implied
            elif spec.sorts is None or not key:
                misleads = False
            elif spec.kind in COMPARED and tied:
                misleads = True
            else:
                misleads = name != way.lead and (way.gather or values.number > 1 or key not in spec.sorts)
            column = without_index(spec.column) if misleads else spec.column
            if isinstance(spec, Either):
                query = query.where(spec.many(column))
                continue
            query = query.where(condition(spec, column, name, values))
        return query


class _Order(NamedTuple):
    """An order by a column, and by the id where that is equal."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool

    def applied(self, query: Any) -> Any:
        return query.order_by(*(column.desc() if self.descending else column.asc() for column in self.columns))

    def after(self, *, at_once: bool) -> list[_Place]:
        """Say what follows a row: in two parts, so that an index leads to each however many rows have its key.

        Args:
            at_once: say it in one, for rows that are all read anyway.
        """
        (column, row_id), (key, here) = self.columns, self._here()
        if at_once:
            there, place = tuple_(column, row_id), tuple_(key, here)
            return [_Place((there < place if self.descending else there > place,))]
        if self.descending:
            return [_Place((column == key, row_id < here), tied=True), _Place((column < key,))]
        return [_Place((column == key, row_id > here), tied=True), _Place((column > key,))]

    def _here(self) -> tuple[ColumnElement[Any], ...]:
        return tuple(bindparam(name, type_=c.type) for name, c in zip(("key", "id"), self.columns, strict=True))


def _cut(query: Any, *, leaping: bool) -> Any:
    """Leave the rows of one page."""
    query = query.limit(bindparam("limit"))
    return query.offset(bindparam("offset")) if leaping else query


def is_empty(where: Mapping[str, Sequence[Any]]) -> bool:
    """Tell whether a filter matches nothing, and so nothing is listed."""
    return any(len(values) == 0 for values in where.values())
