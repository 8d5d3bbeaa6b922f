"""What is said on a ticket, and what saying it does to the ticket."""

from typing import Any

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import entities, lifecycle, records
from tickets.domain.access import Principal
from tickets.domain.events import Actor
from tickets.errors import AlreadyMerged, Forbidden, InputError, TicketFull
from tickets.models import Comment, Contact, Ticket

_OWNER = Statement(select(Contact.user_id).where(Contact.id == bindparam("id")))
_TICKET = Statement(select(*Ticket.__table__.c).where(Ticket.id == bindparam("id")))


def create(tx: Transaction, caller: Principal, ticket: Row, *, body: str, visibility: str = "public") -> Row:
    """Add a comment.

    Raises:
        Forbidden: a user tried to write an internal note.
        AlreadyMerged: the ticket goes on elsewhere.
        TicketFull: it has as many comments as it can hold.
    """
    _may_be(caller, visibility)
    if lifecycle.goes_on_in(tx, ticket) is not None:
        other = ticket.merged_into_id
        raise AlreadyMerged(f"The ticket {ticket.id} was merged into the ticket {other}; comment on that one.")
    if lifecycle.has_more(tx, ticket, lifecycle.MOST_COMMENTS - 1):
        detail = (
            f"The ticket has {lifecycle.MOST_COMMENTS:,} comments, as many as it can hold; raise another that refers"
        )
        raise TicketFull(f"{detail} to it.")
    moment = records.moment(ticket)
    comment = entities.add(
        tx,
        caller.actor,
        Comment,
        moment=moment,
        organization_id=ticket.organization_id,
        ticket_id=ticket.id,
        user_id=caller.user_id,
        body=body,
        visibility=visibility,
        **_voice(tx, ticket, caller.user_id, visibility),
    )
    if visibility == "public":
        _said(tx, caller.actor, ticket, comment, moment)
    return comment


def change(tx: Transaction, caller: Principal, comment: Row, changes: dict[str, str]) -> Row:
    """Edit a comment; a note that becomes public is said then.

    Raises:
        Forbidden: a user tried to make it an internal note.
    """
    visibility = changes.get("visibility", comment.visibility)
    _may_be(caller, changes.get("visibility", "public"))
    if visibility in {comment.visibility, "internal"}:
        return entities.change(tx, caller.actor, Comment, comment, changes)
    ticket = tx.one(_TICKET, id=comment.ticket_id)
    voice = _voice(tx, ticket, comment.user_id, visibility)
    moment = records.moment(comment, ticket)
    published = entities.change(tx, caller.actor, Comment, comment, {**changes, **voice}, moment=moment)
    _said(tx, caller.actor, ticket, published, moment)
    return published


def _voice(tx: Transaction, ticket: Row, user_id: int | None, visibility: str) -> dict[str, Any]:
    """Tell as whom an account speaks: in public, the one tied to the ticket's contact speaks as that contact."""
    own = visibility == "public" and user_id is not None and tx.one(_OWNER, id=ticket.contact_id).user_id == user_id
    return {"author_type": "contact" if own else "user", "contact_id": ticket.contact_id if own else None}


def _said(tx: Transaction, by: Actor, ticket: Row, comment: Row, moment: int) -> None:
    """Let a public comment act: a contact's reopens what waited for them, an agent's first is the first response."""
    if comment.author_type == "contact":
        if ticket.status in ("pending", "resolved"):
            entities.change(tx, by, Ticket, ticket, lifecycle.moved(ticket, "open", moment), moment=moment)
    elif ticket.first_responded_at is None:
        entities.change(tx, by, Ticket, ticket, {"first_responded_at": moment}, moment=moment)


def _may_be(caller: Principal, visibility: str) -> None:
    if visibility == "internal" and not caller.is_staff:
        detail = "Only agents and admins can write internal notes; use public."
        raise Forbidden(detail, errors=[InputError("/visibility", detail)])
