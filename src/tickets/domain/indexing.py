"""The search index, kept in step with tickets and comments.

A change marks the places of what it is about as pending, within its own savepoint. At the end of the transaction the
index follows, as far as others can wait for it; a job does the rest, a little at a time. No search finds a place that is
pending: nobody sees what they may see no more, and a text of any length holds up nobody (decisions/0018).

Who may see a document is a word of the index alone, made of the ticket's contact: where that changes, only this word
does, however much was said.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
import structlog
from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from tickets import clock
from tickets.db import Bulk, Damaged, Row, Statement, Transaction
from tickets.domain import jobs
from tickets.domain.words import words
from tickets.errors import ServiceUnavailable
from tickets.models import Base, Comment, PendingDocument, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

log = structlog.get_logger("tickets")

UPDATE = "update_search_index"
"""The job that lets the index follow what is pending."""
ON_LOOP, IN_THREAD = 12_000, 60_000
"""Entries that the index gains or loses at the end of a transaction, on the event loop and in a thread: 1 to 2.5 us each."""
_OVERHEAD = 20
"""Entries that take as long as all else about a document."""
_ASCII = 8
"""Characters of an ASCII text that take as long as one character of another text, whose words are cut one by one."""
_MOST_AT_ONCE = 1_000
"""Pending places that the job looks at together."""

_document, _pending = SearchDocument.__table__.c, PendingDocument.__table__.c
_ticket, _comment = Ticket.__table__.alias("ticket"), Comment.__table__.alias("comment")
_itself = bindparam("ticket_id") * PLACES


def _ticket_id(place: ColumnElement[int]) -> ColumnElement[int]:
    return place.op(">>")(literal_column(str(PLACES.bit_length() - 1)))


def _among(places: str) -> Select[Any]:
    """Select the numbers of a JSON array that is bound by a name."""
    return select(func.json_each(bindparam(places)).table_valued("value").c.value)


_MARKED = ("place", "organization_id", "comment_id", "seen_by", "words_changed", "entries")
_sight = cast(_ticket.c.organization_id, String) + "c" + cast(_ticket.c.contact_id, String)


def _marking(marking: Any) -> Statement:
    """Make what marks places as pending; of one that is pending already, the word that the index has stays noted."""
    both = {
        "words_changed": func.max(_pending.words_changed, marking.excluded.words_changed),
        "entries": func.max(_pending.entries, marking.excluded.entries),
        "error": null(),
    }
    return Statement(marking.on_conflict_do_update(index_elements=["place"], set_=both).returning(_pending.place))


def _mark_documents(where: ColumnElement[bool], sight: ColumnElement[str] = _sight) -> Statement:
    """Make what marks documents that meet a condition, and takes how much of them changes.

    Args:
        where: which documents.
        sight: the word of who may see them, as the index has it, if they are public.
    """
    documents = (
        select(
            _document.place,
            _ticket.c.organization_id,
            _document.comment_id,
            case((_document.is_public, sight), else_=""),
            bindparam("words_changed", type_=_pending.words_changed.type),
            case((bindparam("words_changed"), _document.entries), else_=_OVERHEAD) + bindparam("entries"),
        )
        .select_from(SearchDocument.__table__)
        .join(_ticket, _ticket.c.id == _ticket_id(_document.place))
        .where(where)
    )
    return _marking(upsert(PendingDocument).from_select(_MARKED, documents))


_in_ticket = _document.place.between(_itself, _itself + PLACES - 1)
_MARK_NEW = _marking(upsert(PendingDocument).values({name: bindparam(name) for name in _MARKED}))
_MARK_TICKET = _mark_documents(_document.place == _itself)
_MARK_ALL_OF_TICKET = _mark_documents(_in_ticket)
_MARK_SEEN = _mark_documents(and_(_in_ticket, _document.is_public), bindparam("seen_by", type_=String))
_MARK_COMMENT = _mark_documents(_document.comment_id == bindparam("comment_id"))
_MARK_AGAIN = Statement(
    update(PendingDocument)
    .where(_pending.comment_id == bindparam("of_comment"))
    .values(words_changed=True, entries=func.max(_pending.entries, bindparam("more")), error=None)
    .returning(_pending.place)
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

_WAITING = Statement(
    select(_pending.entries, _pending.place).where(_pending.place.in_(_among("places")), _pending.error.is_(None))
)
_is_there = case((_pending.comment_id.is_(None), _ticket.c.id), else_=_comment.c.id).is_not(None)
_is_public = or_(_pending.comment_id.is_(None), _comment.c.visibility == "public")
_needs_words = or_(_pending.words_changed, ~_is_there)
_CHANGES = Statement(
    select(
        *(_pending.place, _pending.organization_id, _pending.comment_id),
        *(
            _pending.seen_by.label("was_seen_by"),
            case((and_(_is_there, _is_public), _sight), else_="").label("seen_by"),
        ),
        *(_document.place.is_not(None).label("is_known"), _is_there.label("is_there"), _needs_words.label("has_words")),
        *(_document.is_public.label("was_public"), _is_public.label("is_public")),
        *(
            case((_needs_words, column)).label(name)
            for name, column in (
                ("old_subject", _document.subject),
                ("old_body", _document.body),
                ("subject", case((_pending.comment_id.is_(None), _ticket.c.subject), else_="")),
                ("body", case((_pending.comment_id.is_(None), _ticket.c.description), else_=_comment.c.body)),
            )
        ),
    )
    .select_from(PendingDocument.__table__)
    .outerjoin(SearchDocument, _document.place == _pending.place)
    .outerjoin(_ticket, _ticket.c.id == _ticket_id(_pending.place))
    .outerjoin(_comment, and_(_comment.c.id == _pending.comment_id, _comment.c.ticket_id == _ticket_id(_pending.place)))
    .where(_pending.place.in_(_among("places")))
    .order_by(_pending.place)
)
_LEAVE = Bulk(INDEX, ("search_index", "rowid", "subject", "body", "seen_by"))
_ENTER = Bulk(INDEX, ("rowid", "subject", "body", "seen_by"))
_ADD = Bulk(SearchDocument.__table__, ("place", "comment_id", "is_public", "entries", "subject", "body"))
_DELETE = Statement(delete(SearchDocument).where(_document.place.in_(_among("places"))))
_SHOW = Statement(
    update(SearchDocument).where(_document.place == bindparam("at")).values(is_public=bindparam("to_contact"))
)
_DONE = Statement(delete(PendingDocument).where(_pending.place.in_(_among("places"))))
_FAIL = Statement(
    update(PendingDocument).where(_pending.place == bindparam("at")).values(error=bindparam("kind"), deferred_at=None)
)
_is_deferred = and_(_pending.deferred_at.is_not(None), _pending.error.is_(None))
_DEFER = Statement(
    update(PendingDocument)
    .where(_pending.place.in_(_among("places")), _pending.deferred_at.is_(None))
    .values(deferred_at=bindparam("moment"))
)
_DEFERRED = Statement(
    select(_pending.place, _pending.organization_id, _pending.entries)
    .where(_is_deferred, _pending.organization_id > bindparam("after"))
    .order_by(_pending.organization_id, _pending.place)
    .limit(bindparam("most"))
)

_ENTER_ALL = Statement(
    insert(INDEX).from_select(
        [INDEX.c.rowid, INDEX.c.subject, INDEX.c.body, INDEX.c.seen_by],
        select(_document.place, _document.subject, _document.body, case((_document.is_public, _sight), else_=""))
        .select_from(SearchDocument.__table__)
        .join(_ticket, _ticket.c.id == _ticket_id(_document.place))
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


def prefix(organization_id: int) -> str:
    """Return what is in front of each word of an organization: the index keeps those of another apart from them."""
    return f"{organization_id}x"


def sight(organization_id: int, contact_id: int) -> str:
    """Return the word that is in what a contact may see; no word of a text is like it."""
    return f"{organization_id}c{contact_id}"


def _prefixed(organization_id: int, text: str) -> str:
    before, found = prefix(organization_id), words(text)
    return before + f" {before}".join(found) if found else ""


def _entries(*texts: str) -> int:
    """Estimate how many entries a document makes, without its words; the time it takes is in proportion to that."""
    return _OVERHEAD + sum(len(text) // _ASCII if text.isascii() else len(text) for text in texts)


def created(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take in a ticket or comment that was made; anything else is not searched."""
    if model is Ticket:
        _mark_new(tx, row.id * PLACES, row, None, _entries(row.subject, row.description))
    elif model is Comment:
        _mark_said(tx, row)


def updated(tx: Transaction, model: type[Base], old: Row, new: Row) -> None:
    """Follow what was changed in a ticket or comment."""
    if model is Ticket:
        if old.contact_id != new.contact_id:  # first: what is marked later has the new contact
            was = sight(old.organization_id, old.contact_id)
            _mark(tx, _MARK_SEEN, words_changed=False, ticket_id=new.id, seen_by=was)
        if (old.subject, old.description) != (new.subject, new.description):
            entries = _entries(new.subject, new.description)
            if not _mark(tx, _MARK_TICKET, entries, ticket_id=new.id):  # it is pending since it was made
                _mark_new(tx, new.id * PLACES, new, None, entries)
    elif model is Comment:
        words_changed = (old.ticket_id, old.body) != (new.ticket_id, new.body)
        if words_changed or old.visibility != new.visibility:
            more = _entries(new.body) if words_changed else 0
            there = _mark(tx, _MARK_COMMENT, more, words_changed=words_changed, comment_id=new.id)
            if not _any_of(there, new.ticket_id):
                there = [row.place for row in tx.all(_MARK_AGAIN, of_comment=new.id, more=_entries(new.body))]
                _touch(tx, there)
            if not _any_of(there, new.ticket_id):
                _mark_said(tx, new)


def removed(tx: Transaction, model: type[Base], row: Row) -> None:
    """Take out a ticket with its comments, or a comment, before it is deleted."""
    if model is Ticket:
        _mark(tx, _MARK_ALL_OF_TICKET, ticket_id=row.id)
    elif model is Comment:
        _mark(tx, _MARK_COMMENT, comment_id=row.id)


def forgetting(model: type[Base], where: Callable[[ColumnElement[int]], ColumnElement[bool]]) -> Callable[..., None]:
    """Make what takes out tickets or comments before a job deletes many of them at a time.

    Args:
        model: which of the two; comments go first.
        where: makes a condition on their id.
    """
    is_one = and_(_document.comment_id.is_(None), where(_ticket.c.id))
    mark = _mark_documents(is_one if model is Ticket else where(_document.comment_id))

    def forget(tx: Transaction, **values: Any) -> None:
        _mark(tx, mark, **values)

    return forget


def index(tx: Transaction, first: int, last: int) -> None:
    """Take in all tickets from one id to another, with their comments, of which none was before."""
    tx.bulk(_ADD, _documents(tx, first, last))
    tx.run(_ENTER_ALL, first=first * PLACES, last=(last + 1) * PLACES - 1)


def catch_up(tx: Transaction, after: int = 0) -> int | None:
    """Let the index follow some of what is pending of one organization: each has its turn.

    Args:
        tx: where to write; it takes no longer than any transaction in a thread, or as one document.
        after: the organization that had its turn last.

    Returns:
        The organization; None where nothing is pending that did not fail.
    """
    rows = tx.all(_DEFERRED, after=after, most=_MOST_AT_ONCE) or tx.all(_DEFERRED, after=0, most=_MOST_AT_ONCE)
    if not rows:
        return None
    rows = [row for row in rows if row.organization_id == rows[0].organization_id]
    places, left = [], IN_THREAD
    for row in rows:
        if places and row.entries > left:
            break
        places.append(row.place)
        left -= row.entries
    _follow(tx, places)
    organization_id: int = rows[0].organization_id
    return organization_id


def _any_of(places: Sequence[int], ticket_id: int) -> bool:
    return any(place // PLACES == ticket_id for place in places)


def _touch(tx: Transaction, places: Sequence[int]) -> None:
    tx.late(_settle).update(dict.fromkeys(places))


def _mark(
    tx: Transaction, marking: Statement, entries: int = 0, *, words_changed: bool = True, **values: Any
) -> list[int]:
    places = [row.place for row in tx.all(marking, entries=entries, words_changed=words_changed, **values)]
    _touch(tx, places)
    return places


def _mark_new(tx: Transaction, place: int, row: Row, comment_id: int | None, entries: int) -> None:
    _mark(tx, _MARK_NEW, entries, place=place, organization_id=row.organization_id, comment_id=comment_id, seen_by="")


def _mark_said(tx: Transaction, comment: Row) -> None:
    """Give a comment the place behind all others of its ticket, if there is room."""
    place = tx.one(_LAST, ticket_id=comment.ticket_id).place + 1
    if place < (comment.ticket_id + 1) * PLACES:
        _mark_new(tx, place, comment, comment.id, _entries(comment.body))


def _settle(tx: Transaction, touched: dict[int, None]) -> None:
    """Let the index follow what the transaction changed, and leave to a job what would take too long."""
    left, places = ON_LOOP if tx.on_loop else IN_THREAD, []
    waiting = sorted(tx.all(_WAITING, places=_as_json(touched)))
    for row in waiting:
        if row.entries > left:
            break
        places.append(row.place)
        left -= row.entries
    if places:
        _follow(tx, sorted(places))
    if len(places) < len(waiting):
        if tx.first(_DEFERRED, after=0, most=1) is None:  # else the job that has to do that goes on
            jobs.enqueue(tx, UPDATE, {})
        tx.run(_DEFER, places=_as_json(row.place for row in waiting[len(places) :]), moment=clock.now())


def _follow(tx: Transaction, places: list[int]) -> None:
    """Let the index follow at some places; one at which that fails stays pending and concerns nothing else."""
    try:
        with tx.savepoint():
            _write(tx, places)
    except Exception as error:
        if not tx.is_open or (isinstance(error, ServiceUnavailable) and not isinstance(error, Damaged)):
            raise  # the disk is full, or fails
        if len(places) > 1:
            _follow(tx, places[: len(places) // 2])
            _follow(tx, places[len(places) // 2 :])
            return
        kind = type(error.__cause__ or error).__name__
        tx.run(_FAIL, at=places[0], kind=kind)
        log.error("a document is not indexed, and no search finds it", place=places[0], error=kind)


def _write(tx: Transaction, places: list[int]) -> None:
    """Change the index and the documents: in the order of places, for FTS5 writes a piece for each step back."""
    gone, made = list[int](), list[tuple[Any, ...]]()
    for row in tx.all(_CHANGES, places=_as_json(places)):
        old: Any = (row.old_subject, row.old_body) if row.is_known else None
        new: Any = None
        if row.is_there:
            new = (
                (None, None)
                if not row.has_words
                else tuple(_prefixed(row.organization_id, text) for text in (row.subject, row.body))
            )
        has_same_words = old == new
        if has_same_words and old is not None:
            if row.was_public != row.is_public:
                tx.run(_SHOW, at=row.place, to_contact=row.is_public)
            if row.was_seen_by == row.seen_by:
                continue
            old = new = (None, None)  # without words: these stay as they are
        if old is not None:
            tx.bulk(_LEAVE, [("delete", row.place, *old, row.was_seen_by)])
        if new is not None:
            tx.bulk(_ENTER, [(row.place, *new, row.seen_by)])
        if has_same_words:
            continue
        if old is not None:
            gone.append(row.place)
        if new is not None:
            made.append((row.place, row.comment_id, row.is_public, _entries(row.subject, row.body), *new))
    if gone:
        tx.run(_DELETE, places=_as_json(gone))
    tx.bulk(_ADD, made)
    tx.run(_DONE, places=_as_json(places))


def _documents(tx: Transaction, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    prefixed = cache(_prefixed)  # many say the same
    comments = iter(tx.all(_COMMENTS, first=first, last=last))
    comment = next(comments, None)
    for ticket in tx.all(_TICKETS, first=first, last=last):
        of, place = ticket.organization_id, ticket.id * PLACES
        texts = (ticket.subject, ticket.description)
        yield place, None, True, _entries(*texts), *(prefixed(of, text) for text in texts)
        while comment is not None and comment.ticket_id == ticket.id:
            place += 1
            if place < (ticket.id + 1) * PLACES:
                is_public = comment.visibility == "public"
                yield place, comment.id, is_public, _entries(comment.body), "", prefixed(of, comment.body)
            comment = next(comments, None)


def _as_json(numbers: Any) -> str:
    return msgspec.json.encode(list(numbers)).decode()
