"""The search index: kept in step with tickets and comments, in the transaction that changes them, and asked.

Only what is in this file and in models/search.py knows how SQLite searches.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, delete, func, insert, literal, select, update

from tickets.db import Bulk, Row, Statement, Transaction
from tickets.domain.words import Phrase, words
from tickets.models import Base, Comment, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

_document = SearchDocument.__table__.c
_VALUES = {c.name: bindparam(c.name) for c in _document}
_COLUMNS = [INDEX.c.rowid, INDEX.c.subject, INDEX.c.body, INDEX.c.seen_by]
_of_ticket = _document.place.between(bindparam("first"), bindparam("last"))
_of_comment = _document.comment_id == bindparam("comment_id")

_ADD = Statement(insert(SearchDocument).values(_VALUES))
_ADD_WORDS = Statement(
    insert(INDEX).values(
        {"rowid": bindparam("place"), **{name: bindparam(name) for name in ("subject", "body", "seen_by")}}
    )
)
_LAST = Statement(
    select(func.max(_document.place).label("place"))
    .where(_of_ticket)
)
_SEEN_BY = Statement(select(_document.seen_by).where(_document.place == bindparam("place")))


def _forget(where: ColumnElement[bool]) -> tuple[Statement, Statement]:
    """Make what takes documents out: FTS5 is told what it knew of them (its command ``delete``)."""
    known = select(literal("delete"), _document.place, _document.subject, _document.body, _document.seen_by)
    return (
        Statement(insert(INDEX).from_select([INDEX.c.search_index, *_COLUMNS], known.where(where))),
        Statement(delete(SearchDocument).where(where)),
    )
