"""The search index, kept in step with tickets and comments in the transaction that changes them.

FTS5 has to be told what it knew of a document before that changes: so each change takes documents out of the index,
changes them, and takes them in again.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, literal, select, update

from tickets.db import Bulk, Row, Statement, Transaction
from tickets.domain.words import words
from tickets.models import Base, Comment, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

_document = SearchDocument.__table__.c
_columns = [_document.place, _document.subject, _document.body, _document.seen_by]
_into = [INDEX.c.rowid, INDEX.c.subject, INDEX.c.body, INDEX.c.seen_by]
_ticket_is = _document.place == bindparam("ticket_id") * PLACES
_of_ticket = _document.place.between(bindparam("ticket_id") * PLACES, bindparam("ticket_id") * PLACES + PLACES - 1)


class _Some(NamedTuple):
    """What is done with some documents: out of the index, into it, or away with them."""

    leave: Statement
    enter: Statement
    delete: Statement


def _some(where: ColumnElement[bool]) -> _Some:
    known = select(literal("delete"), *_columns).where(where)  # FTS5's command
    return _Some(
        Statement(insert(INDEX).from_select([INDEX.c.search_index, *_into], known)),
        Statement(insert(INDEX).from_select(_into, select(*_columns).where(where))),
        Statement(delete(SearchDocument).where(where)),
    )


_ITSELF = _some(_ticket_is)
_ALL = _some(_of_ticket)
_SEEN = _some(and_(_of_ticket, _document.seen_by != ""))
_SAID = _some(_document.comment_id == bindparam("comment_id"))
_PLACED = _some(_document.place.between(bindparam("first"), bindparam("last")))

_ADD = Bulk(SearchDocument.__table__, ("place", "ticket_id", "comment_id", "subject", "body", "seen_by"))
_REWORD = Statement(
    update(SearchDocument).where(_ticket_is).values(subject=bindparam("subject"), body=bindparam("body"))
)
_SHOW = Statement(
    update(SearchDocument).where(_of_ticket, _document.seen_by != "").values(seen_by=bindparam("seen_by"))
)
_PLACE = Statement(select(_document.place, _document.ticket_id).where(_document.comment_id == bindparam("comment_id")))
_TICKET = Statement(
    select(
        _document.seen_by,
        select(func.max(_document.place)).where(_of_ticket).scalar_subquery().label("last"),
    ).where(_ticket_is)
)
_TICKETS = Statement(
    select(Ticket.id, Ticket.organization_id, Ticket.contact_id, Ticket.subject, Ticket.description)
    .where(Ticket.id.between(bindparam("first"), bindparam("last")))
    .order_by(Ticket.id)
)
_COMMENTS = Statement(
    select(Comment.id, Comment.ticket_id, Comment.body, Comment.visibility)
    .where(Comment.ticket_id.between(bindparam("first"), bindparam("last")))
    .order_by(Comment.ticket_id, Comment.id)
)


def prefix(organization_id: int) -> str:
    """Return what is in front of each word of an organization: the index keeps those of another apart from them."""
    return f"{organization_id}x"


def sight(organization_id: int, contact_id: int) -> str:
    """Return the word that is in what a contact may see; no word of a text is like it."""
    return f"{organization_id}c{contact_id}"


def _prefixed(organization_id: int, text: str) -> str:
    before, found = prefix(organization_id), words(text)
    return before + f" {before}".join(found) if found else ""


def created(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take in a ticket or comment that was made; anything else is not searched."""
    if model is Ticket:
        tx.bulk(_ADD, [_of_itself(row)])
        tx.run(_ITSELF.enter, ticket_id=row.id)
    elif model is Comment:
        _say(tx, row)


def updated(tx: Transaction, model: type[Base], old: Row, new: Row) -> None:
    """Follow what was changed in a ticket or comment."""
    if model is Ticket:
        if (old.subject, old.description) != (new.subject, new.description):
            _, _, _, subject, body, _ = _of_itself(new)
            tx.run(_ITSELF.leave, ticket_id=new.id)
            tx.run(_REWORD, ticket_id=new.id, subject=subject, body=body)
            tx.run(_ITSELF.enter, ticket_id=new.id)
        if old.contact_id != new.contact_id:
            tx.run(_SEEN.leave, ticket_id=new.id)
            tx.run(_SHOW, ticket_id=new.id, seen_by=sight(new.organization_id, new.contact_id))
            tx.run(_SEEN.enter, ticket_id=new.id)
    elif model is Comment:
        said = ("ticket_id", "body", "visibility")
        if any(getattr(old, name) != getattr(new, name) for name in said):
            known = tx.first(_PLACE, comment_id=new.id)
            removed(tx, model, old)
            _say(tx, new, known.place if known is not None and known.ticket_id == new.ticket_id else None)


def removed(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take out a ticket with its comments, or a comment, before it is deleted."""
    if model is Ticket:
        tx.run(_ALL.leave, ticket_id=row.id)
        tx.run(_ALL.delete, ticket_id=row.id)
    elif model is Comment:
        tx.run(_SAID.leave, comment_id=row.id)
        tx.run(_SAID.delete, comment_id=row.id)


def removal(where: ColumnElement[bool]) -> tuple[Statement, Statement]:
    """Make what takes some documents out, for a job that deletes many; run the one, then the other."""
    some = _some(where)
    return some.leave, some.delete


def index(tx: Transaction, first: int, last: int) -> None:
    """Take in all tickets from one id to another, with their comments, of which none was before."""
    tx.bulk(_ADD, list(_documents(tx, first, last)))
    tx.run(_PLACED.enter, first=first * PLACES, last=(last + 1) * PLACES - 1)


def _documents(tx: Transaction, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    comments = iter(tx.all(_COMMENTS, first=first, last=last))
    comment = next(comments, None)
    for ticket in tx.all(_TICKETS, first=first, last=last):
        itself = _of_itself(ticket)
        yield itself
        place = itself[0]
        while comment is not None and comment.ticket_id == ticket.id:
            place += 1
            if place < (ticket.id + 1) * PLACES:
                yield _of_comment(comment, place, ticket.organization_id, itself[-1])
            comment = next(comments, None)


def _of_itself(ticket: Row) -> tuple[Any, ...]:
    of = ticket.organization_id
    return (
        *(ticket.id * PLACES, ticket.id, None),
        *(_prefixed(of, ticket.subject), _prefixed(of, ticket.description), sight(of, ticket.contact_id)),
    )


def _of_comment(comment: Row, place: int, organization_id: int, seen_by: str) -> tuple[Any, ...]:
    seen_by = "" if comment.visibility == "internal" else seen_by
    return (place, comment.ticket_id, comment.id, "", _prefixed(organization_id, comment.body), seen_by)


def _say(tx: Transaction, comment: Row, place: int | None = None) -> None:
    """Take in a comment, at a place or behind the others of its ticket, if there is room."""
    ticket = tx.one(_TICKET, ticket_id=comment.ticket_id)
    place = ticket.last + 1 if place is None else place
    if place < (comment.ticket_id + 1) * PLACES:
        tx.bulk(_ADD, [_of_comment(comment, place, comment.organization_id, ticket.seen_by)])
        tx.run(_SAID.enter, comment_id=comment.id)
