"""One page of a list, and where the pages beside it begin."""

from typing import Any, NamedTuple

from tickets.db import Row

MOST_TEXT = 1_000_000
"""Characters of long texts after which a page ends early: each megabyte of an answer holds others up for 7 ms."""

_LAST = 2**63 - 1


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

    def cut(self, number: int, sort: str, position: Position | None) -> "Slice":
        """Leave so many rows, but one at least, of those that are next to where the page begins.

        Args:
            number: how many.
            sort: what the rows are sorted by.
            position: where the page begins.
        """
        number, key = max(1, number), sort.removeprefix("-")
        if number >= len(self.rows):
            return self
        if position is not None and position.backwards:
            rows = self.rows[-number:]
            return Slice(rows, self.next, Position(True, getattr(rows[0], key), rows[0].id))
        rows = self.rows[:number]
        return Slice(rows, Position(False, getattr(rows[-1], key), rows[-1].id), self.prev)


def end_of(sort: str) -> Position:
    """Return the position behind the last row of a list, from which pages lead backwards; its keys are numbers."""
    return Position(True, -_LAST if sort.startswith("-") else _LAST, 0)


def slice_of(
    rows: list[Row],
    key: str,
    position: Position | None,
    *,
    more: bool,
    at_start: bool | None = None,
    descending: bool = False,
) -> Slice:
    """Put a page's rows in the asked order and say where its neighbours begin.

    Args:
        rows: of the page, in the order they were read.
        key: the attribute they are sorted by.
        position: where the page begins.
        more: whether there are rows beyond those read.
        at_start: whether nothing lies before the page; without it, a page without a position is at the start.
        descending: whether the list goes down.
    """
    backwards = position is not None and position.backwards
    if not rows and position is not None:
        # What lay there is gone; the way back begins with the row that the position names.
        back = Position(not backwards, position.key, position.id + (1 if backwards == descending else -1))
        return Slice([], back, None) if backwards else Slice([], None, back)
    if not rows:
        return Slice([], None, None)
    if backwards:
        rows.reverse()
    first = Position(True, getattr(rows[0], key), rows[0].id)
    last = Position(False, getattr(rows[-1], key), rows[-1].id)
    if backwards:
        return Slice(rows, last, first if more else None)
    is_first = position is None if at_start is None else at_start
    return Slice(rows, last if more else None, None if is_first else first)
