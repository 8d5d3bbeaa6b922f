"""The search index, kept in step with tickets and comments in the transaction that changes them.

Documents change with them; the index itself follows once, at the end of the transaction, since FTS5 writes to the disk
at each savepoint otherwise. It has to be told what it knew of a document: that is noted with the first change.

Who may see a document is a word of the index alone, made of the ticket's contact: where that changes, only this word
does, however much was said.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, case, cast, delete, func, insert, null, select, update

from tickets.db import Bulk, Row, Statement, Transaction
from tickets.domain.words import words
from tickets.models import Base, Comment, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

_document = SearchDocument.__table__.c
_ticket_is = _document.place == bindparam("ticket_id") * PLACES
_of_ticket = _document.place.between(bindparam("ticket_id") * PLACES, bindparam("ticket_id") * PLACES + PLACES - 1)


_ticket = Ticket.__table__.alias("ticket")
_sight = cast(_ticket.c.organization_id, String) + "c" + cast(_ticket.c.contact_id, String)
_seen_by = case((_document.is_public, _sight), else_="").label("seen_by")
_known = select(_document.place, _document.subject, _document.body, _seen_by).join(
    _ticket, _ticket.c.id == _document.ticket_id
)
_OF_TICKET = Statement(_known.where(_of_ticket))
_OF_COMMENT = Statement(_known.where(_document.comment_id == bindparam("comment_id")))
_AT_PLACE = Statement(_known.where(_document.place == bindparam("place")))
# Without words: these stay as they are.
_no_words = (null().label("subject"), null().label("body"))
_SEEN = Statement(
    select(_document.place, *_no_words, bindparam("seen_by", type_=String).label("seen_by")).where(
        _of_ticket, _document.is_public
    )
)
_SEEN_AT_PLACE = Statement(
    _known.with_only_columns(_document.place, *_no_words, _seen_by).where(_document.place == bindparam("place"))
)
_DELETE_OF_TICKET = Statement(delete(SearchDocument).where(_of_ticket))
_DELETE_OF_COMMENT = Statement(delete(SearchDocument).where(_document.comment_id == bindparam("comment_id")))

_ADD = Bulk(SearchDocument.__table__, ("place", "ticket_id", "comment_id", "is_public", "subject", "body"))
_ENTER = Bulk(INDEX, ("rowid", "subject", "body", "seen_by"))
_LEAVE = Bulk(INDEX, ("search_index", "rowid", "subject", "body", "seen_by"))
_ENTER_ALL = Statement(
    insert(INDEX).from_select(
        [INDEX.c.rowid, INDEX.c.subject, INDEX.c.body, INDEX.c.seen_by],
        _known.where(_document.place.between(bindparam("first"), bindparam("last"))).order_by(_document.place),
    )
)
_REWORD = Statement(
    update(SearchDocument).where(_ticket_is).values(subject=bindparam("subject"), body=bindparam("body"))
)
_LAST = Statement(select(func.max(_document.place).label("place")).where(_of_ticket))
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
        _add(tx, _of_itself(row))
    elif model is Comment:
        _say(tx, row)


def updated(tx: Transaction, model: type[Base], old: Row, new: Row) -> None:
    """Follow what was changed in a ticket or comment."""
    if model is Ticket:
        if old.contact_id != new.contact_id:  # first: what is noted later has the new contact
            _note(tx, tx.all(_SEEN, ticket_id=new.id, seen_by=sight(old.organization_id, old.contact_id)))
        if (old.subject, old.description) != (new.subject, new.description):
            place, *_, subject, body = _of_itself(new)
            _note(tx, tx.all(_AT_PLACE, place=place))
            tx.run(_REWORD, ticket_id=new.id, subject=subject, body=body)
    elif model is Comment:
        said = ("ticket_id", "body", "visibility")
        if any(getattr(old, name) != getattr(new, name) for name in said):
            known = tx.first(_OF_COMMENT, comment_id=new.id)
            removed(tx, model, old)
            _say(tx, new, known.place if known is not None and new.ticket_id == old.ticket_id else None)


def removed(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take out a ticket with its comments, or a comment, before it is deleted."""
    if model is Ticket:
        _note(tx, tx.all(_OF_TICKET, ticket_id=row.id))
        tx.run(_DELETE_OF_TICKET, ticket_id=row.id)
    elif model is Comment:
        _note(tx, tx.all(_OF_COMMENT, comment_id=row.id))
        tx.run(_DELETE_OF_COMMENT, comment_id=row.id)


def forgetting(where: ColumnElement[bool]) -> Callable[..., None]:
    """Make what takes the documents out that meet a condition, for a job that deletes many rows at a time."""
    find, remove = Statement(_known.where(where)), Statement(delete(SearchDocument).where(where))

    def forget(tx: Transaction, **values: Any) -> None:
        _note(tx, tx.all(find, **values))
        tx.run(remove, **values)

    return forget


def index(tx: Transaction, first: int, last: int) -> None:
    """Take in all tickets from one id to another, with their comments, of which none was before."""
    tx.bulk(_ADD, _documents(tx, first, last))
    tx.run(_ENTER_ALL, first=first * PLACES, last=(last + 1) * PLACES - 1)


def _note(tx: Transaction, documents: Iterable[Row]) -> None:
    """Note what the index knows of documents that change or go; without their words where these do not change."""
    known = tx.late(_follow)
    for document in documents:
        noted = known.setdefault(document.place, document)
        if noted is not None and noted.body is None and document.body is not None:
            known[document.place] = document._replace(seen_by=noted.seen_by)


def _add(tx: Transaction, document: tuple[Any, ...]) -> None:
    tx.bulk(_ADD, [document])
    tx.late(_follow).setdefault(document[0], None)


def _follow(tx: Transaction, known: dict[int, Row | None]) -> None:
    """Let the index follow the documents: each place in their order, for FTS5 writes a piece for each step back."""
    for place in sorted(known):
        old = known[place]
        has_its_words = old is not None and old.body is None
        new = tx.first(_SEEN_AT_PLACE if has_its_words else _AT_PLACE, place=place)
        if old == new:
            continue
        if old is not None:
            tx.bulk(_LEAVE, [("delete", *old)])
        if new is not None:
            tx.bulk(_ENTER, [new])


def _documents(tx: Transaction, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    prefixed = cache(_prefixed)  # many say the same
    comments = iter(tx.all(_COMMENTS, first=first, last=last))
    comment = next(comments, None)
    for ticket in tx.all(_TICKETS, first=first, last=last):
        itself = _of_itself(ticket, prefixed)
        yield itself
        place = itself[0]
        while comment is not None and comment.ticket_id == ticket.id:
            place += 1
            if place < (ticket.id + 1) * PLACES:
                yield _of_comment(comment, place, ticket.organization_id, prefixed)
            comment = next(comments, None)


def _of_itself(ticket: Row, prefixed: Callable[[int, str], str] = _prefixed) -> tuple[Any, ...]:
    of = ticket.organization_id
    return ticket.id * PLACES, ticket.id, None, True, prefixed(of, ticket.subject), prefixed(of, ticket.description)


def _of_comment(
    comment: Row, place: int, organization_id: int, prefixed: Callable[[int, str], str] = _prefixed
) -> tuple[Any, ...]:
    is_public = comment.visibility == "public"
    return place, comment.ticket_id, comment.id, is_public, "", prefixed(organization_id, comment.body)


def _say(tx: Transaction, comment: Row, place: int | None = None) -> None:
    """Take in a comment, at a place or behind the others of its ticket, if there is room."""
    if place is None:
        place = tx.one(_LAST, ticket_id=comment.ticket_id).place + 1
    if place < (comment.ticket_id + 1) * PLACES:
        _add(tx, _of_comment(comment, place, comment.organization_id))
