"""Two tickets become one: what was said moves, and the ticket it was said on closes."""

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import entities, lifecycle
from tickets.domain.access import Principal
from tickets.errors import AlreadyMerged, Conflict, InputError
from tickets.models import Comment, Ticket

_COMMENTS = Statement(
    select(*Comment.__table__.c)
    .where(Comment.ticket_id == bindparam("of"))
    .order_by(Comment.created_at, Comment.id)
    .limit(entities.AT_ONCE)
)


def merge(tx: Transaction, caller: Principal, ticket: Row, into: Row) -> Row:
    """Merge a ticket into another.

    Raises:
        AlreadyMerged: one of them was merged before.
        InUse: it has too many comments for one transaction.
        Conflict: they are the same.
    """
    if ticket.id == into.id:
        detail = "A ticket cannot be merged into itself; name another."
        raise Conflict(detail, errors=[InputError("/into", detail)])
    for one, place in ((ticket, ()), (into, ("/into",))):
        if one.merged_into_id is not None:
            detail = f"The ticket {one.id} was merged into the ticket {one.merged_into_id}; use that one."
            raise AlreadyMerged(detail, errors=[InputError(pointer, detail) for pointer in place])
    lifecycle.few_said(tx, ticket, "close it and point to the other")
    while comments := tx.all(_COMMENTS, of=ticket.id):
        for comment in comments:
            entities.change(tx, caller.actor, Comment, comment, {"ticket_id": into.id})
    closing = {} if ticket.status == "closed" else lifecycle.moved(ticket, "closed")
    changes = {**closing, "merged_into_id": into.id}
    return entities.change(tx, caller.actor, Ticket, ticket, changes, verb="merged")
