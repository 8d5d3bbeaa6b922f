"""The search index, kept in step with tickets and comments.

A change marks the places of the documents it affects as pending, within its own savepoint. At the end of the
transaction the index is updated, as far as other requests can wait for it; a job does the rest in batches. Searches
skip pending places, so nobody finds what they may no longer see, and a long text delays nobody (decisions/0018).

Who may see a document is stored as one word of the index, made of the ticket's contact (see `sight`). When the contact
changes, only this word is replaced, however many comments the ticket has.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, bindparam, case, func, insert, null, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from tickets.db import Bulk, Row, Statement, Transaction
from tickets.domain import index_updates
from tickets.domain.documents import (
    OVERHEAD,
    TICKET,
    among,
    as_json,
    entries_of,
    prefixed,
    seen_by_contact,
    sight,
    ticket_id_of,
)
from tickets.models import Base, Comment, PendingDocument, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

_document, _pending = SearchDocument.__table__.c, PendingDocument.__table__.c
_itself: ColumnElement[int] = bindparam("ticket_id") * PLACES
_MARKED = ("place", "organization_id", "comment_id", "seen_by", "words_changed", "entries")


def _mark_documents(where: ColumnElement[bool], *, of_any: bool = False) -> Statement:
    """Return the statement that marks the documents that meet a condition as pending.

    A document that is pending already keeps its `seen_by`, the visibility token that the index still has.

    Args:
        where: which documents.
        of_any: whether they may belong to any tickets. Otherwise the statement takes the organization and the token as
            parameters, since a row of `tickets` has the contact behind the description, which may be long.
    """
    organization_id: ColumnElement[int] = bindparam("organization_id")
    seen_by = bindparam("seen_by", type_=String)
    documents = select(
        _document.place,
        TICKET.c.organization_id if of_any else organization_id,
        _document.comment_id,
        case((_document.is_public, seen_by_contact if of_any else seen_by), else_=""),
        bindparam("words_changed", type_=_pending.words_changed.type),
        case((bindparam("words_changed"), _document.entries), else_=OVERHEAD) + bindparam("entries"),
    ).where(where)
    if of_any:
        documents = documents.join_from(SearchDocument.__table__, TICKET, TICKET.c.id == ticket_id_of(_document.place))
    marking = upsert(PendingDocument).from_select(_MARKED, documents)
    both = {
        "words_changed": func.max(_pending.words_changed, marking.excluded.words_changed),
        "entries": func.max(_pending.entries, marking.excluded.entries),
        "error": null(),
    }
    marking = marking.on_conflict_do_update(index_elements=["place"], set_=both)
    return Statement(marking.returning(_pending.place, _pending.entries))


_in_ticket = _document.place.between(_itself, _itself + PLACES - 1)
_MARK_NEW = Bulk(PendingDocument.__table__, _MARKED)
_MARK_TICKET = _mark_documents(_document.place == _itself)
_MARK_ALL_OF_TICKET = _mark_documents(_in_ticket)
_MARK_SEEN = _mark_documents(and_(_in_ticket, _document.is_public))
_MARK_COMMENT = _mark_documents(_document.comment_id == bindparam("comment_id"))
_MARK_PLACES = _mark_documents(_document.place.in_(among("places")), of_any=True)
_CONTACT = Statement(select(Ticket.organization_id, Ticket.contact_id).where(Ticket.id == bindparam("ticket_id")))
_MARK_AGAIN, _MARK_COMMENT_AGAIN = (
    Statement(
        update(PendingDocument)
        .where(column == bindparam(column.name))
        .values(words_changed=True, entries=func.max(_pending.entries, bindparam("more")), error=None)
        .returning(_pending.place, _pending.entries)
    )
    for column in (_pending.place, _pending.comment_id)
)


def _last(place: ColumnElement[int]) -> Any:
    return select(func.max(place)).where(place.between(_itself, _itself + PLACES - 1)).scalar_subquery()


_LAST = Statement(
    select(
        func.max(func.coalesce(_last(_document.place), _itself), func.coalesce(_last(_pending.place), _itself)).label(
            "place"
        )
    )
)

_ENTER_ALL = Statement(
    insert(INDEX).from_select(
        [INDEX.c.rowid, INDEX.c.subject, INDEX.c.body, INDEX.c.seen_by],
        select(
            _document.place, _document.subject, _document.body, case((_document.is_public, seen_by_contact), else_="")
        )
        .select_from(SearchDocument.__table__)
        .join(TICKET, TICKET.c.id == ticket_id_of(_document.place))
        .where(_document.place.between(bindparam("first"), bindparam("last")))
        .order_by(_document.place),
    )
)
_TICKETS = Statement(
    select(Ticket.id, Ticket.organization_id, Ticket.subject, Ticket.description)
    .where(Ticket.id.between(bindparam("first"), bindparam("last")))
    .order_by(Ticket.id)
)
_COMMENTS = Statement(
    select(Comment.id, Comment.ticket_id, Comment.body, Comment.visibility)
    .where(Comment.ticket_id.between(bindparam("first"), bindparam("last")))
    .order_by(Comment.ticket_id, Comment.created_at, Comment.id)
)


def created(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take in a ticket or comment that was made; anything else is not searched."""
    if model is Ticket:
        _mark_new(tx, row.id * PLACES, row, None, entries_of(row.subject, row.description))
    elif model is Comment:
        _mark_said(tx, row)


def updated(tx: Transaction, model: type[Base], old: Row, new: Row) -> None:
    """Follow what was changed in a ticket or comment."""
    if model is Ticket:
        if old.contact_id != new.contact_id:
            _mark(tx, _MARK_SEEN, _seen(old), words_changed=False, ticket_id=new.id)
        if (old.subject, old.description) != (new.subject, new.description):
            again(tx, model, new)
    elif model is Comment:
        changed = ("ticket_id", "body", "visibility")
        if any(getattr(old, name) != getattr(new, name) for name in changed):
            _say_anew(tx, old, new)


def removed(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take out a ticket with its comments, or a comment, before it is deleted."""
    if model is Ticket:
        _mark(tx, _MARK_ALL_OF_TICKET, _seen(row), ticket_id=row.id)
    elif model is Comment:
        _mark(tx, _MARK_COMMENT, _seen_in_ticket(tx, row), comment_id=row.id)


def again(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take in a ticket or comment anew, whatever the index has of it."""
    if model is Comment:
        _say_anew(tx, row, row)
        return
    entries = entries_of(row.subject, row.description)
    if not _mark(tx, _MARK_TICKET, _seen(row), entries, ticket_id=row.id) and not _touched(
        tx, tx.all(_MARK_AGAIN, place=row.id * PLACES, more=entries)
    ):
        _mark_new(tx, row.id * PLACES, row, None, entries)


def left_behind(tx: Transaction, places: Sequence[int]) -> None:
    """Take out documents of what is gone, on tickets that are there."""
    _mark(tx, _MARK_PLACES, {}, places=as_json(places))


def forgetting(model: type[Base], ids: Select[Any]) -> Callable[..., None]:
    """Return a function that marks tickets or comments for removal from the index, before a job deletes them in bulk.

    Call it for comments before their tickets are deleted.

    Args:
        model: `Ticket` or `Comment`.
        ids: selects their ids.
    """
    is_one = and_(_document.comment_id.is_(None), TICKET.c.id.in_(ids))
    mark = _mark_documents(is_one if model is Ticket else _document.comment_id.in_(ids), of_any=True)

    def forget(tx: Transaction, **values: Any) -> None:
        _mark(tx, mark, {}, **values)

    return forget


def index(tx: Transaction, first: int, last: int) -> None:
    """Take in all tickets from one id to another, with their comments, of which none was before."""
    tx.bulk(index_updates.ADD, _documents(tx, first, last))
    tx.run(_ENTER_ALL, first=first * PLACES, last=(last + 1) * PLACES - 1)


def _say_anew(tx: Transaction, old: Row, new: Row) -> None:
    """Follow a comment that changes, at its place, or behind the others of the ticket that it moves to."""
    entries = entries_of(new.body)
    there = _mark(
        tx, _MARK_COMMENT, _seen_in_ticket(tx, old), entries if old.body != new.body else 0, comment_id=new.id
    )
    if not _any_of(there, new.ticket_id):
        there = _touched(tx, tx.all(_MARK_COMMENT_AGAIN, comment_id=new.id, more=entries))
    if not _any_of(there, new.ticket_id):
        _mark_said(tx, new)


def _any_of(places: Sequence[int], ticket_id: int) -> bool:
    return any(place // PLACES == ticket_id for place in places)


def _seen(ticket: Row) -> dict[str, Any]:
    """Say whose a ticket is, and which word the index has of who may see it."""
    of = ticket.organization_id
    return {"organization_id": of, "seen_by": sight(of, ticket.contact_id)}


def _seen_in_ticket(tx: Transaction, comment: Row) -> dict[str, Any]:
    return _seen(tx.known(_CONTACT, ticket_id=comment.ticket_id)[0])


def _mark(
    tx: Transaction,
    marking: Statement,
    seen: dict[str, Any],
    entries: int = 0,
    *,
    words_changed: bool = True,
    **values: Any,
) -> list[int]:
    return _touched(tx, tx.all(marking, entries=entries, words_changed=words_changed, **seen, **values))


def _touched(tx: Transaction, rows: Sequence[Row]) -> list[int]:
    """Note the places that `settle` has to process; those whose marking a savepoint undid are not pending by then."""
    tx.late(index_updates.settle).update(rows)
    return [row.place for row in rows]


def _mark_new(tx: Transaction, place: int, row: Row, comment_id: int | None, entries: int) -> None:
    tx.bulk(_MARK_NEW, [(place, row.organization_id, comment_id, "", True, entries)])
    tx.late(index_updates.settle)[place] = entries


def _mark_said(tx: Transaction, comment: Row) -> None:
    """Give a comment the place behind all others of its ticket, if there is room."""
    place = tx.one(_LAST, ticket_id=comment.ticket_id).place + 1
    if place < (comment.ticket_id + 1) * PLACES:
        _mark_new(tx, place, comment, comment.id, entries_of(comment.body))


def _documents(tx: Transaction, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    words_of = cache(prefixed)  # many say the same
    comments = iter(tx.all(_COMMENTS, first=first, last=last))
    comment = next(comments, None)
    for ticket in tx.all(_TICKETS, first=first, last=last):
        of, place = ticket.organization_id, ticket.id * PLACES
        texts = (ticket.subject, ticket.description)
        yield place, None, True, entries_of(*texts), *(words_of(of, text) for text in texts)
        while comment is not None and comment.ticket_id == ticket.id:
            place += 1
            if place < (ticket.id + 1) * PLACES:
                is_public = comment.visibility == "public"
                yield place, comment.id, is_public, entries_of(comment.body), "", words_of(of, comment.body)
            comment = next(comments, None)
