"""Two tickets become one: what was said moves, and the ticket it was said on closes."""

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import access, entities, lifecycle, records
from tickets.domain.access import Principal
from tickets.errors import AlreadyMerged, Conflict, InputError, InUse, TicketFull
from tickets.models import Comment, Ticket
from tickets.models.tickets import WAITING

_COMMENTS = Statement(
    select(*Comment.__table__.c)
    .where(Comment.ticket_id == bindparam("of"))
    .order_by(Comment.created_at, Comment.id)
    .limit(entities.AT_ONCE)
)
_SIZE = records.size_of(Comment.__table__, Comment.__table__.c.ticket_id == bindparam("of"))


def merge(tx: Transaction, caller: Principal, ticket: Row, into: Row) -> Row:
    """Merge a ticket into another.

    Raises:
        AlreadyMerged: one of them was merged before, into a ticket that is still there.
        InsufficientScope: the other has another contact, and the caller's key may not read the comments.
        InUse: its comments are too many or too long for one transaction.
        TicketFull: the other cannot hold them.
        Conflict: they are the same, or one that waits for work would be hidden behind one that is done.
    """
    _expect_two(tx, ticket, into)
    if into.contact_id != ticket.contact_id:
        access.expect_to_read(caller, access.ITS_COMMENTS, "into")
    if ticket.status in WAITING and into.status not in WAITING:
        detail = f"The ticket {into.id} is {into.status}, but this one waits for work: open that one again first."
        raise Conflict(detail, errors=[InputError("/into", detail)])
    _expect_few(tx, ticket, into)
    moment = records.moment(ticket, into)
    while comments := tx.all(_COMMENTS, of=ticket.id):
        for comment in comments:
            entities.change(tx, caller.actor, Comment, comment, {"ticket_id": into.id}, moment=moment)
    entities.change(tx, caller.actor, Ticket, into, _answered(ticket, into), moment=moment)
    closing = {} if ticket.status == "closed" else lifecycle.moved(ticket, "closed", moment)
    changes = {**closing, "merged_into_id": into.id}
    return entities.change(tx, caller.actor, Ticket, ticket, changes, verb="merged", moment=moment)


def _expect_two(tx: Transaction, ticket: Row, into: Row) -> None:
    """Check that these are two tickets, and that neither goes on elsewhere."""
    if ticket.id == into.id:
        detail = "A ticket cannot be merged into itself; name another."
        raise Conflict(detail, errors=[InputError("/into", detail)])
    for one, place in ((ticket, ()), (into, ("/into",))):
        if lifecycle.goes_on_in(tx, one) is not None:
            detail = f"The ticket {one.id} was merged into the ticket {one.merged_into_id}; use that one."
            raise AlreadyMerged(detail, errors=[InputError(pointer, detail) for pointer in place])


def _expect_few(tx: Transaction, ticket: Row, into: Row) -> None:
    """Check that the comments are few enough for those who wait meanwhile, and for the other ticket."""
    instead = "close it and point to the other"
    lifecycle.few_said(tx, ticket, entities.MOST_NAMERS, instead)
    size = tx.one(_SIZE, of=ticket.id, most=entities.MOST_NAMERS)
    if size.characters > entities.MOST_CHARACTERS:
        raise InUse(f"The comments of the ticket have more than {entities.MOST_CHARACTERS:,} characters; {instead}.")
    if lifecycle.has_more(tx, into, lifecycle.MOST_COMMENTS - size.rows):
        detail = f"The ticket {into.id} cannot hold {size.rows:,} comments more: it would have more than "
        detail += f"{lifecycle.MOST_COMMENTS:,}. Close this one and point to the other instead."
        raise TicketFull(detail, errors=[InputError("/into", detail)])


def _answered(ticket: Row, into: Row) -> dict[str, int]:
    """Return what the first public answer, which moves with the comments, changes of the other ticket.

    One from before the other was raised counts from then on: nobody is answered before they ask.
    """
    if ticket.first_responded_at is None:
        return {}
    moved = max(ticket.first_responded_at, into.created_at)
    return {"first_responded_at": moved if into.first_responded_at is None else min(moved, into.first_responded_at)}
