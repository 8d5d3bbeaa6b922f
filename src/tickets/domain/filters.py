"""What lists are filtered by, and how an index can serve it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, lt
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, UnaryExpression, bindparam, or_
from sqlalchemy.sql.operators import custom_op

Kind = Literal["in", "from", "before", "after", "found"]
COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {"from": ge, "before": lt, "after": gt}
"""How a range is compared with the value that bounds it."""


@dataclass(frozen=True)
class Filter:
    """One filter of a list.

    Attributes:
        column: what is compared.
        kind: ``in`` (one of the values; None means unset), ``from`` (at or after), ``before``, ``after``,
            ``found`` (among what another query finds).
        sorts: in whose order an index keeps the rows of one value; None where no index looks them up.
        selective: whether its index is the one to use, whatever else is asked.
        alone: whether that index does not begin with the organization, since the value implies it.
        repeats: whether a row can have several of the values, and then comes once for each.
        inside: selects what belongs to a row, of which something has to match, instead of the row itself.
        by: selects what the column is among, by the bound value; for the kind ``found``.
    """

    column: ColumnElement[Any]
    kind: Kind = "in"
    sorts: tuple[str, ...] | None = None
    selective: bool = False
    alone: bool = False
    repeats: bool = False
    inside: Select[Any] | None = None
    by: Callable[[Any], Select[Any]] | None = None


@dataclass(frozen=True)
class Either:
    """A filter that takes no value: rows fit one of two conditions, and none fits both. Either may speak of `NOW`.

    No index could have the rows of both in order, so each is a query of its own, and they are merged.

    Attributes:
        column: what the index of the first begins with, after the organization.
        many: makes the first condition, of that column.
        sorts: in whose order an index has what fits it; None where no index looks that up.
        few: so little fits the second that it is read by an index of its own, whatever else is asked, and sorted.
    """

    column: ColumnElement[Any]
    many: Callable[[ColumnElement[Any]], ColumnElement[bool]]
    sorts: tuple[str, ...] | None
    few: ColumnElement[bool] | None = None
    selective = alone = repeats = False
    kind = "in"


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


class Values(NamedTuple):
    """The values of a filter that are meant, by their numbers, and whether unset is among them."""

    places: Sequence[int]
    unset: bool = False

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.places) + self.unset


def without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Write a column as ``+column``: the same value, for which no index is used."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def condition(spec: Filter, column: ColumnElement[Any], name: str, meant: Values) -> ColumnElement[bool]:
    """Make the condition of a filter.

    Args:
        spec: the filter.
        column: its column, perhaps without its index.
        name: of the filter, with which the names of its values begin.
        meant: which of its values.
    """
    values = [bindparam(f"{name}_{place}", type_=spec.column.type) for place in meant.places]
    if spec.by is not None:
        return column.in_(spec.by(values[0]))
    if spec.kind in COMPARED:
        compared: ColumnElement[bool] = COMPARED[spec.kind](column, values[0])
        return compared
    if meant.unset and not values:
        return column.is_(None)
    among = column == values[0] if len(values) == 1 else column.in_(values)
    if spec.inside is not None:
        return spec.inside.where(among).exists()
    return or_(among, column.is_(None)) if meant.unset else among
