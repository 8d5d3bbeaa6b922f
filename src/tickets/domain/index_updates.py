"""The search index follows the documents that are pending: some at the end of a transaction, the others in a job."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, or_, select, true, update

from tickets import clock
from tickets.db import Bulk, Damaged, Row, Statement, Transaction
from tickets.domain import jobs
from tickets.domain.documents import TICKET, among, as_json, entries_of, prefixed, sight, ticket_id_of
from tickets.errors import ServiceUnavailable
from tickets.models import Comment, PendingDocument, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

UPDATE = "update_search_index"
"""The job that does what is left."""
ON_LOOP, IN_THREAD = 12_000, 60_000
"""Entries that the index gains and loses in a transaction, on the event loop and in a thread: 1 to 2.5 us each."""
_MOST_AT_ONCE = 1_000
"""Places that the job looks at together."""

_document, _pending = SearchDocument.__table__.c, PendingDocument.__table__.c
_comment = Comment.__table__.alias("comment")

_is_ticket = _pending.comment_id.is_(None)
_is_there = case((_is_ticket, TICKET.c.id), else_=_comment.c.id).is_not(None)
_has_words = or_(_pending.words_changed, ~_is_there)
# What is behind a long text is read with all of it: no visibility where words do not change, and no contact at all.
_is_public = case((_is_ticket, true()), (_has_words, _comment.c.visibility == "public"), else_=_document.is_public)
_texts = {
    "old_subject": _document.subject,
    "old_body": _document.body,
    "subject": case((_is_ticket, TICKET.c.subject), else_=""),
    "body": case((_is_ticket, TICKET.c.description), else_=_comment.c.body),
}
_CHANGES = Statement(
    select(
        *(_pending.place, _pending.organization_id, _pending.comment_id),
        *(_document.place.is_not(None).label("is_known"), _is_there.label("is_there"), _has_words.label("has_words")),
        *(_document.is_public.label("was_public"), _is_public.label("is_public")),
        _pending.seen_by.label("was_seen_by"),
        *(case((_has_words, text)).label(name) for name, text in _texts.items()),
    )
    .select_from(PendingDocument.__table__)
    .outerjoin(SearchDocument, _document.place == _pending.place)
    .outerjoin(TICKET, TICKET.c.id == ticket_id_of(_pending.place))
    .outerjoin(
        _comment, and_(_comment.c.id == _pending.comment_id, _comment.c.ticket_id == ticket_id_of(_pending.place))
    )
    .where(_pending.place.in_(among("places")), _pending.error.is_(None))
    .order_by(_pending.place)
)
_CONTACTS = Statement(select(Ticket.id, Ticket.contact_id).where(Ticket.id.in_(among("tickets"))))
_LEAVE = Bulk(INDEX, ("search_index", "rowid", "subject", "body", "seen_by"))
_ENTER = Bulk(INDEX, ("rowid", "subject", "body", "seen_by"))
ADD = Bulk(SearchDocument.__table__, ("place", "comment_id", "is_public", "entries", "subject", "body"))
_DELETE = Statement(delete(SearchDocument).where(_document.place.in_(among("places"))))
_SHOW = Statement(
    update(SearchDocument).where(_document.place == bindparam("at")).values(is_public=bindparam("to_contact"))
)
_DONE = Statement(delete(PendingDocument).where(_pending.place.in_(among("places")), _pending.error.is_(None)))
_FAIL = Statement(
    update(PendingDocument).where(_pending.place == bindparam("at")).values(error=bindparam("kind"), deferred_at=None)
)
_GONE = Statement(
    select(_pending.place)
    .select_from(PendingDocument.__table__)
    .outerjoin(TICKET, TICKET.c.id == ticket_id_of(_pending.place))
    .outerjoin(
        _comment, and_(_comment.c.id == _pending.comment_id, _comment.c.ticket_id == ticket_id_of(_pending.place))
    )
    .where(_pending.place.in_(among("places")), ~_is_there)
)
_FORGET = Statement(delete(PendingDocument).where(_pending.place.in_(among("places"))))
_FAILED_OF = Statement(
    select(_pending.place).where(_pending.organization_id == bindparam("of"), _pending.error.is_not(None))
)
_is_deferred = and_(_pending.deferred_at.is_not(None), _pending.error.is_(None))
_DEFER = Statement(
    update(PendingDocument)
    .where(_pending.place.in_(among("places")), _pending.deferred_at.is_(None))
    .values(deferred_at=bindparam("now"))
)
_DEFERRED = Statement(
    select(_pending.place, _pending.organization_id, _pending.entries)
    .where(_is_deferred, _pending.organization_id > bindparam("after"))
    .order_by(_pending.organization_id, _pending.place)
    .limit(bindparam("most"))
)


def settle(tx: Transaction, touched: dict[int, int]) -> None:
    """Update the index for what the transaction changed, and leave to a job what would take too long.

    Args:
        tx: the transaction, which is about to end.
        touched: the places that changed, each with the estimated number of index entries that change.
    """
    places: list[int] = []
    left = ON_LOOP if tx.on_loop else IN_THREAD
    for place in sorted(touched, key=touched.__getitem__):
        left -= touched[place]
        if left < 0:
            break
        places.append(place)
    if places:
        _follow(tx, sorted(places))
    if len(places) < len(touched):
        is_at_work = tx.first(_DEFERRED, after=0, most=1) is not None
        rest = as_json(touched.keys() - places)
        if tx.run(_DEFER, places=rest, now=clock.now()) and not is_at_work:
            jobs.enqueue(tx, UPDATE, {})


def catch_up(tx: Transaction, after: int = 0) -> int | None:
    """Update the index for some deferred documents of one organization; organizations take turns.

    Args:
        tx: where to write; at most `IN_THREAD` entries change, or those of one document that has more.
        after: the id of the organization that was served last.

    Returns:
        The id of the organization that was served; None when nothing is deferred.
    """
    rows = tx.all(_DEFERRED, after=after, most=_MOST_AT_ONCE) or tx.all(_DEFERRED, after=0, most=_MOST_AT_ONCE)
    if not rows:
        return None
    rows = [row for row in rows if row.organization_id == rows[0].organization_id]
    places: list[int] = []
    left = IN_THREAD
    for row in rows:
        if places and row.entries > left:
            break
        places.append(row.place)
        left -= row.entries
    _follow(tx, places)
    organization_id: int = rows[0].organization_id
    return organization_id


def _follow(tx: Transaction, places: list[int]) -> None:
    """Let the index follow at some places; where that fails, they stay pending and concern nothing else.

    Documents of what is gone are deleted all the same: nobody would ever try them again.
    """
    failed = _try(tx, places)
    if not failed:
        return
    import structlog  # noqa: PLC0415 - hardly ever needed, and commands that never log shall not wait for it

    log = structlog.get_logger("tickets")
    gone = _delete_gone(tx, failed)
    if gone:
        log.error(
            "the search index may keep words of what was deleted; `tickets reindex --anew` fills it anew",
            count=len(gone),
            place=gone[0],
            error=failed[gone[0]],
        )
    left = [place for place in failed if place not in set(gone)]
    if left:
        log.error(
            "documents are not indexed, so no search finds them",
            count=len(left),
            place=min(left),
            error=failed[min(left)],
        )


def _delete_gone(tx: Transaction, failed: dict[int, str]) -> list[int]:
    """Delete the documents that the index could not take out and whose ticket or comment is gone; returns their places.

    Their words must not stay, whatever the index still has.
    """
    try:
        with tx.savepoint():
            gone = sorted(row.place for row in tx.all(_GONE, places=as_json(failed)))
            _delete_at(tx, gone)
    except Damaged:
        return []  # the documents themselves cannot be read; the caller reports them as failed
    return gone


def delete_failed(tx: Transaction, organization_id: int) -> None:
    """Delete the documents of an organization at which the index failed, when all its tickets and comments are gone."""
    _delete_at(tx, [row.place for row in tx.all(_FAILED_OF, of=organization_id)])


def _delete_at(tx: Transaction, places: Sequence[int]) -> None:
    """Delete documents and what is pending of them, without a look at the index."""
    if places:
        tx.run(_DELETE, places=as_json(places))
        tx.run(_FORGET, places=as_json(places))


def _try(tx: Transaction, places: list[int]) -> dict[int, str]:
    """Write what is pending at some places, or at those of them at which it succeeds; returns why others failed."""
    try:
        with tx.savepoint():
            _write(tx, places)
    except Exception as error:
        if not tx.is_open or (isinstance(error, ServiceUnavailable) and not isinstance(error, Damaged)):
            raise  # the disk is full, or fails
        if len(places) > 1:
            middle = len(places) // 2
            return _try(tx, places[:middle]) | _try(tx, places[middle:])
        # Its kind alone, since its text may quote what somebody wrote.
        kind = getattr(error.__cause__ or error, "sqlite_errorname", type(error).__name__)
        tx.run(_FAIL, at=places[0], kind=kind)
        return {places[0]: kind}
    return {}


def _write(tx: Transaction, places: list[int]) -> None:
    """Change the index and the documents: in the order of places, for FTS5 writes a piece for each step back."""
    gone, made = list[int](), list[tuple[Any, ...]]()
    tickets = as_json({place // PLACES for place in places})
    contacts = {row.id: row.contact_id for row in tx.all(_CONTACTS, tickets=tickets)}
    for row in tx.all(_CHANGES, places=as_json(places)):
        old, new = (row.old_subject, row.old_body) if row.is_known else None, _words(row)
        seen_by = sight(row.organization_id, contacts[row.place // PLACES]) if row.is_there and row.is_public else ""
        if old == new:
            if old is not None:
                _show(tx, row, seen_by)
            continue
        if old is not None:
            tx.bulk(_LEAVE, [("delete", row.place, *old, row.was_seen_by)])
            gone.append(row.place)
        if new is not None:
            tx.bulk(_ENTER, [(row.place, *new, seen_by)])
            made.append((row.place, row.comment_id, row.is_public, entries_of(row.subject, row.body), *new))
    if gone:
        tx.run(_DELETE, places=as_json(gone))
    tx.bulk(ADD, made)
    tx.run(_DONE, places=as_json(places))


def _words(row: Row) -> tuple[str | None, ...] | None:
    """Return the words to index at a place: None if nothing is there any more, (None, None) if they are unchanged."""
    if not row.is_there:
        return None
    if not row.has_words:
        return (None, None)
    return tuple(prefixed(row.organization_id, text) for text in (row.subject, row.body))


def _show(tx: Transaction, row: Row, seen_by: str) -> None:
    """Change who sees a document whose words stay as they are."""
    if row.was_public != row.is_public:
        tx.run(_SHOW, at=row.place, to_contact=row.is_public)
    if row.was_seen_by != seen_by:
        tx.bulk(_LEAVE, [("delete", row.place, None, None, row.was_seen_by)])
        tx.bulk(_ENTER, [(row.place, None, None, seen_by)])
