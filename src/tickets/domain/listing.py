"""Lists by keyset: page 20,000 costs what page 1 costs, and writers neither repeat nor hide a row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    UnaryExpression,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.sql.operators import custom_op

from tickets import clock
from tickets.db import Row, Statement, Transaction

Kind = Literal["in", "from", "before", "after", "found"]
_Shape = tuple[tuple[str, int, bool], ...]
"""Which filters apply: the name of each, how many values it has, and whether unset is among them."""


@dataclass(frozen=True)
class Filter:
    """One filter of a list.

    Attributes:
        column: what is compared.
        kind: ``in`` (one of the values; None means unset), ``from`` (at or after), ``before``, ``after``,
            ``found`` (among what another query finds).
        selective: whether so few rows match that reading and sorting them beats walking the organization's
            rows in the asked order; SQLite cannot know that without statistics.
        by: selects what the column is among, by the bound value; for the kind ``found``.
    """

    column: ColumnElement[Any]
    kind: Kind = "in"
    selective: bool = False
    by: Callable[[Any], Select[Any]] | None = None


@dataclass(frozen=True)
class Either:
    """A filter that takes no value: rows fit one of two conditions, and none fits both.

    No index could have the rows of both in order, so each is a query of its own, and the database merges what they find
    as far as the page goes. Either may speak of `NOW`.

    Attributes:
        many: an index has what fits, in the order of each sort.
        few: so little fits that it is read by an index of its own, whatever else is asked, and sorted.
    """

    many: ColumnElement[bool]
    few: ColumnElement[bool] | None = None


NOW = bindparam("now", type_=BigInteger())
"""The moment of the request."""


class Tally(NamedTuple):
    """Where the number of rows is known, as long as nothing but some of the filters applies.

    Attributes:
        query: selects it as `count`.
        filters: by name, on columns of the query.
    """

    query: Select[Any]
    filters: Mapping[str, Filter]


class Position(NamedTuple):
    """Between which rows a page begins: the sort key and id of the row beside it.

    Attributes:
        backwards: whether the page lies before that row.
        key: the row's value in the sort column.
        id: the row's id.
    """

    backwards: bool
    key: Any
    id: int


class Slice(NamedTuple):
    """The rows of one page in the asked order, and where its neighbours begin."""

    rows: list[Row]
    next: Position | None
    prev: Position | None


class Listing:
    """A table that can be listed.

    Args:
        query: selects the columns, with any join it needs.
        id_column: the unique column that settles equal sort keys.
        filters: by name.
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
        self._statement = lru_cache(maxsize=256)(self._build)
        self._count = lru_cache(maxsize=64)(self._build_count)

    def page(
        self,
        tx: Transaction,
        *,
        where: Mapping[str, Sequence[Any]],
        sort: str,
        limit: int,
        position: Position | None = None,
        offset: int = 0,
    ) -> Slice:
        """Read one page.

        Args:
            tx: where to read.
            where: the values of each filter that applies; an empty sequence matches nothing.
            sort: a key of `sorts`, with a leading ``-`` for descending.
            limit: most rows on the page.
            position: where it begins; the start of the list when None.
            offset: rows to leave out first.
        """
        if _is_empty(where):
            return Slice([], None, None)
        backwards = position is not None and position.backwards
        statement = self._statement(
            _shape(where), sort, positioned=position is not None, backwards=backwards, leaping=offset > 0
        )
        bound: dict[str, Any] = {"now": clock.now(), "limit": limit + 1, **_values(where)}
        if position is not None:
            bound |= {"key": position.key, "id": position.id}
        if offset:
            bound["offset"] = offset
        rows = tx.all(statement, **bound)
        return slice_of(
            rows[:limit],
            sort.removeprefix("-"),
            position,
            more=len(rows) > limit,
            at_start=position is None and not offset,
        )

    def count(self, tx: Transaction, where: Mapping[str, Sequence[Any]]) -> int:
        """Count the rows on all pages."""
        if _is_empty(where):
            return 0
        found: int = tx.one(self._count(_shape(where)), now=clock.now(), **_values(where)).count
        return found

    def _build_count(self, shape: _Shape) -> Statement:
        tally = self._tally
        if tally is not None and all(name in tally.filters for name, _, _ in shape):
            matches = (_condition(tally.filters[name], name, count, null=null) for name, count, null in shape)
            return Statement(tally.query.where(*matches))
        queries = self._filtered(shape)
        if len(queries) == 1:
            return Statement(queries[0].with_only_columns(func.count().label("count")))
        found = union_all(*(query.with_only_columns(self._id) for query in queries)).subquery()
        return Statement(select(func.count().label("count")).select_from(found))

    def _build(self, shape: _Shape, sort: str, *, positioned: bool, backwards: bool, leaping: bool) -> Statement:
        column = self._sorts[sort.removeprefix("-")]
        descending = sort.startswith("-") != backwards
        queries = self._filtered(shape)
        if positioned:
            there = tuple_(bindparam("key", type_=column.type), bindparam("id", type_=self._id.type))
            here = [tuple_(key, self._id) for key in (column, without_index(column))]
            queries = [
                query.where(key < there if descending else key > there)
                for query, key in zip(queries, here, strict=False)
            ]
        found: Select[Any] | CompoundSelect[Any] = queries[0] if len(queries) == 1 else union_all(*queries)
        if leaping:
            found = found.offset(bindparam("offset"))
        keys = (
            (column, self._id)
            if len(queries) == 1
            else [found.selected_columns[str(k.key)] for k in (column, self._id)]
        )
        order = [key.desc() if descending else key.asc() for key in keys]
        return Statement(found.order_by(*order).limit(bindparam("limit")), raw_json=True)

    def _filtered(self, shape: _Shape) -> list[Select[Any]]:
        """Make the query, and beside it that for the few rows which a filter finds in another way."""
        specs = [(self._filters[name], name, count, null) for name, count, null in shape]
        selective = any(isinstance(spec, Filter) and spec.selective for spec, *_ in specs)
        query = self._query
        few = query if any(isinstance(spec, Either) and spec.few is not None for spec, *_ in specs) else None
        for spec, name, count, null in specs:
            if isinstance(spec, Either):
                query = query.where(spec.many)
                few = few.where(spec.few) if few is not None and spec.few is not None else None
                continue
            plain = _condition(spec, name, count, null=null)
            aside = _condition(replace(spec, column=without_index(spec.column)), name, count, null=null)
            query = query.where(aside if selective and name == "organization_id" else plain)
            few = None if few is None else few.where(plain if name == "organization_id" else aside)
        return [query] if few is None else [query, few]


def _is_empty(where: Mapping[str, Sequence[Any]]) -> bool:
    return any(len(values) == 0 for values in where.values())


def _shape(where: Mapping[str, Sequence[Any]]) -> _Shape:
    return tuple((name, sum(value is not None for value in values), None in values) for name, values in where.items())


def _values(where: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        f"{name}_{n}": value
        for name, values in where.items()
        for n, value in enumerate(value for value in values if value is not None)
    }


def slice_of(
    rows: list[Row], key: str, position: Position | None, *, more: bool, at_start: bool | None = None
) -> Slice:
    """Put a page's rows in the asked order and say where its neighbours begin.

    Args:
        rows: of the page, in the order they were read.
        key: the attribute they are sorted by.
        position: where the page begins.
        more: whether there are rows beyond those read.
        at_start: whether nothing lies before the page; without it, a page without a position is at the start.
    """
    if not rows:
        return Slice([], None, None)
    backwards = position is not None and position.backwards
    if backwards:
        rows.reverse()
    first = Position(True, getattr(rows[0], key), rows[0].id)
    last = Position(False, getattr(rows[-1], key), rows[-1].id)
    if backwards:
        return Slice(rows, last, first if more else None)
    is_first = position is None if at_start is None else at_start
    return Slice(rows, last if more else None, None if is_first else first)


def without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Write a column as ``+column``: the same value, for which no index is used."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def _condition(spec: Filter, name: str, count: int, *, null: bool) -> ColumnElement[bool]:
    values = [bindparam(f"{name}_{n}", type_=spec.column.type) for n in range(count)]
    if spec.by is not None:
        return spec.column.in_(spec.by(values[0]))
    if spec.kind == "from":
        return spec.column >= values[0]
    if spec.kind == "before":
        return spec.column < values[0]
    if spec.kind == "after":
        return spec.column > values[0]
    if null and not values:
        return spec.column.is_(None)
    among = spec.column == values[0] if count == 1 else spec.column.in_(values)
    return or_(among, spec.column.is_(None)) if null else among
