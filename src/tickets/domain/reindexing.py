"""The search index is looked over: what it has of each ticket and comment is compared with them, and put right.

It goes on while the service runs: to compare is to read, and what is put right is done in short transactions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    text,
    true,
    update,
)

from tickets import clock
from tickets.db import Damaged, Row, Statement, Transaction
from tickets.domain import indexing
from tickets.domain.documents import among, as_json, prefixed, ticket_id_of
from tickets.domain.filters import without_index
from tickets.domain.slices import MOST_TEXT
from tickets.models import Comment, PendingDocument, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

AT_ONCE = 1_000
"""Tickets or comments that are compared on one snapshot, and documents that are looked for what they are of."""

_document, _pending = SearchDocument.__table__.c, PendingDocument.__table__.c
_ticket, _comment = Ticket.__table__.c, Comment.__table__.c


def _of(organization_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Write the condition that something is of the organization that is asked for, or of any."""
    return or_(bindparam("of").is_(None), without_index(organization_id) == bindparam("of"))


def _some(query: Select[Any], key: ColumnElement[int], *conditions: ColumnElement[bool]) -> Statement:
    return Statement(query.where(key > bindparam("after"), *conditions).order_by(key).limit(AT_ONCE))


_TICKETS = _some(
    select(
        *(_ticket.id, _ticket.id.label("ticket_id"), _ticket.organization_id, _ticket.subject),
        *(_ticket.description.label("body"), true().label("is_public")),
        *(_document.place, _document.is_public.label("was_public")),
        *(_document.subject.label("subject_words"), _document.body.label("body_words")),
        exists().where(_pending.place == _ticket.id * PLACES).label("is_pending"),
    ).select_from(Ticket.__table__.outerjoin(SearchDocument.__table__, _document.place == _ticket.id * PLACES)),
    _ticket.id,
    _of(_ticket.organization_id),
)
_COMMENTS = _some(
    select(
        *(_comment.id, _comment.ticket_id, _comment.organization_id, null().label("subject")),
        *(_comment.body, (_comment.visibility == "public").label("is_public")),
        *(_document.place, _document.is_public.label("was_public")),
        *(_document.subject.label("subject_words"), _document.body.label("body_words")),
        exists().where(_pending.comment_id == _comment.id).label("is_pending"),
    ).select_from(Comment.__table__.outerjoin(SearchDocument.__table__, _document.comment_id == _comment.id)),
    _comment.id,
    _of(_comment.organization_id),
)
_ROWS = {
    model: Statement(select(*model.__table__.c).where(model.__table__.c.id.in_(among("ids"))))
    for model in (Ticket, Comment)
}
_LEFT_BEHIND = _some(
    select(_document.place.label("id"), _ticket.id.label("ticket_id"), _comment.id.label("comment_id")).select_from(
        SearchDocument.__table__.outerjoin(Ticket.__table__, _ticket.id == ticket_id_of(_document.place)).outerjoin(
            Comment.__table__,
            and_(_comment.id == _document.comment_id, _comment.ticket_id == ticket_id_of(_document.place)),
        )
    ),
    _document.place,
    or_(_ticket.id.is_(None), and_(_document.comment_id.is_not(None), _comment.id.is_(None))),
    ~exists().where(_pending.place == _document.place, _pending.error.is_(None)),
)
_SEE_TERMS = Statement(
    text("CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_terms USING fts5vocab('main', 'search_index', 'row')")
)
_READ_TERMS = Statement(text("SELECT sum(cnt) FROM temp.search_terms"))
_COUNT = Statement(
    select(
        *(
            select(func.count()).select_from(table).where(_of(table.c.organization_id)).scalar_subquery().label(name)
            for name, table in (("tickets", Ticket.__table__), ("comments", Comment.__table__))
        )
    )
)
_FAILED = Statement(
    select(func.count().label("failed")).where(_pending.error.is_not(None), _of(_pending.organization_id))
)
_RETRY = Statement(
    update(PendingDocument)
    .where(or_(_pending.error.is_not(None), _pending.deferred_at.is_(None)), _of(_pending.organization_id))
    .values(error=None, deferred_at=bindparam("now"))
)
_EMPTY = (
    Statement(insert(INDEX).values(search_index="delete-all")),
    Statement(delete(SearchDocument)),
    Statement(delete(PendingDocument)),
)


class Compared(NamedTuple):
    """Some tickets or comments, compared with what the index has of them.

    Attributes:
        number: how many.
        differ: ids of those that the index does not have as they are, and that are not pending.
        last: the id of the last one; None where there are no more.
    """

    number: int
    differ: list[int]
    last: int | None


def count(tx: Transaction, organization_id: int | None) -> tuple[int, int]:
    """Count the tickets and the comments of an organization, or of all."""
    row = tx.one(_COUNT, of=organization_id)
    return row.tickets, row.comments


def failed(tx: Transaction, organization_id: int | None) -> int:
    """Count the documents of an organization, or of all, that could not be indexed."""
    return int(tx.one(_FAILED, of=organization_id).failed)


def retry(tx: Transaction, organization_id: int | None) -> None:
    """Let what could not be indexed be tried again."""
    tx.run(_RETRY, of=organization_id, now=clock.now())


def is_sound(tx: Transaction) -> bool:
    """Check that all of the index can be read, and that nothing is left in it of tickets that are gone."""
    tx.run(_SEE_TERMS)
    try:
        tx.first(_READ_TERMS)
    except Damaged:
        return False
    after: int | None = -1
    while after is not None:
        rows = tx.all(_LEFT_BEHIND, after=after)
        if any(row.ticket_id is None for row in rows):
            return False
        after = rows[-1].id if len(rows) == AT_ONCE else None
    return True


def empty(tx: Transaction) -> None:
    """Take everything out of the index, whatever state it is in."""
    for statement in _EMPTY:
        tx.run(statement)


def compare(tx: Transaction, model: type[Ticket | Comment], after: int, organization_id: int | None) -> Compared:
    """Compare some tickets or comments with what the index has of them.

    Args:
        tx: where to read.
        model: which of the two.
        after: the id behind which to begin.
        organization_id: whose; None for everybody's.
    """
    rows, beyond = tx.within(_TICKETS if model is Ticket else _COMMENTS, MOST_TEXT, after=after, of=organization_id)
    differ = {row.id for row in rows if _differs(row)}
    more = beyond is not None or len(rows) == AT_ONCE
    return Compared(len(rows), sorted(differ), rows[-1].id if more else None)


def put_right(tx: Transaction, model: type[Ticket | Comment], ids: Sequence[int]) -> None:
    """Take in tickets or comments anew, as far as they are still there."""
    for row in tx.all(_ROWS[model], ids=as_json(ids)):
        indexing.again(tx, model, row)


def drop_left_behind(tx: Transaction) -> int:
    """Take out some documents of comments that are gone; returns how many."""
    rows = tx.all(_LEFT_BEHIND, after=-1)
    indexing.left_behind(tx, [row.id for row in rows])
    return len(rows)


def _differs(row: Row) -> bool:
    if row.is_pending:
        return False
    if row.place is None or row.place // PLACES != row.ticket_id or bool(row.was_public) != bool(row.is_public):
        return True
    of = row.organization_id
    words = ("" if row.subject is None else prefixed(of, row.subject), prefixed(of, row.body))
    return words != (row.subject_words, row.body_words)
