"""What is said on a ticket, and what saying it does to the ticket."""

from sqlalchemy import bindparam, select

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import lifecycle, records
from tickets.domain.access import Principal
from tickets.errors import Forbidden, InputError
from tickets.models import Comment, Contact, Ticket

_OWNER = Statement(select(Contact.user_id).where(Contact.id == bindparam("id")))


def create(tx: Transaction, caller: Principal, ticket: Row, *, body: str, visibility: str = "public") -> Row:
    """Add a comment; whoever's account is tied to the ticket's contact speaks as that contact.

    A contact's public comment reopens a ticket that waited for them; the first public answer of somebody
    else is the first response.

    Raises:
        Forbidden: a user tried to write an internal note.
    """
    _may_be(caller, visibility)
    by_contact = tx.one(_OWNER, id=ticket.contact_id).user_id == caller.user_id
    comment = records.add(
        tx,
        Comment,
        organization_id=ticket.organization_id,
        ticket_id=ticket.id,
        author_type="contact" if by_contact else "user",
        user_id=caller.user_id,
        contact_id=ticket.contact_id if by_contact else None,
        body=body,
        visibility=visibility,
    )
    if visibility == "public":
        if by_contact and ticket.status in ("pending", "resolved"):
            records.change(tx, Ticket, ticket, lifecycle.moved(ticket, "open"))
        elif not by_contact and ticket.first_responded_at is None:
            records.change(tx, Ticket, ticket, {"first_responded_at": clock.now()})
    return comment


def change(tx: Transaction, caller: Principal, comment: Row, changes: dict[str, str]) -> Row:
    """Edit a comment.

    Raises:
        Forbidden: a user tried to make it an internal note.
    """
    _may_be(caller, changes.get("visibility", "public"))
    return records.change(tx, Comment, comment, changes)


def _may_be(caller: Principal, visibility: str) -> None:
    if visibility == "internal" and not caller.is_staff:
        detail = "Only agents and admins can write internal notes; use public."
        raise Forbidden(detail, errors=[InputError("/visibility", detail)])
