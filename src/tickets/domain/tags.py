"""The tags of tickets where lists find them, in step with what tickets show.

Not triggers: with any trigger on tickets, SQLite copies each page that a statement touches before it changes it, so as
to be able to undo that statement alone, which costs a new ticket several times what its tags do (decisions/0015).
"""

from sqlalchemy import bindparam, delete, func, insert, select, update

from tickets.db import Row, Statement, Transaction
from tickets.models import Ticket, TicketTag

_ADD = Statement(insert(TicketTag).values({c.name: bindparam(c.name) for c in TicketTag.__table__.c}))
_TOUCH = Statement(
    update(TicketTag).where(TicketTag.ticket_id == bindparam("of")).values(updated_at=bindparam("moment"))
)
_CLEAR = Statement(delete(TicketTag).where(TicketTag.ticket_id == bindparam("of")))
_tags = func.json_each(Ticket.tags).table_valued("value", name="tags")
_ADD_NUMBERED = Statement(
    insert(TicketTag).from_select(
        ["ticket_id", "tag", "organization_id", "created_at", "updated_at"],
        select(Ticket.id, _tags.c.value, Ticket.organization_id, Ticket.created_at, Ticket.updated_at)
        .distinct()
        .join_from(Ticket, _tags, Ticket.number > 0)
        .where(Ticket.organization_id == bindparam("of"), Ticket.number.between(bindparam("first"), bindparam("last"))),
    )
)


def spread(tx: Transaction, ticket: Row) -> None:
    """Store the tags of a new ticket."""
    if ticket.tags:
        times = {"created_at": ticket.created_at, "updated_at": ticket.updated_at}
        of = {"ticket_id": ticket.id, "organization_id": ticket.organization_id, **times}
        tx.many(_ADD, [{"tag": tag, **of} for tag in dict.fromkeys(ticket.tags)])


def follow(tx: Transaction, old: Row, new: Row) -> None:
    """Store what became of the tags of a ticket with a change of it."""
    if old.tags != new.tags:
        if old.tags:
            tx.run(_CLEAR, of=new.id)
        spread(tx, new)
    elif new.tags:
        tx.run(_TOUCH, of=new.id, moment=new.updated_at)


def spread_numbered(tx: Transaction, organization_id: int, first: int, last: int) -> None:
    """Store the tags of tickets that were stored in bulk, by their numbers."""
    tx.run(_ADD_NUMBERED, of=organization_id, first=first, last=last)
