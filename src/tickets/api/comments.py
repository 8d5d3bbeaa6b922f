"""Comments, flat and under their ticket."""

from typing import Any

from tickets import wire
from tickets.domain import access, comments, entities
from tickets.domain.listings import COMMENTS, COMMENTS_TO_CONTACT, where
from tickets.http.context import current
from tickets.models import Comment
from tickets.shapes.comments import comment as show


def list_comments(
    *,
    sort: str,
    limit: int,
    cursor: str | None = None,
    ticket_id: list[int] | None = None,
    visibility: str | None = None,
    created_from: int | None = None,
    created_to: int | None = None,
    updated_since: int | None = None,
) -> wire.CommentList:
    """List comments of all tickets the caller may see."""
    call = current()
    filters = where(
        **access.scope(call.tx, call.caller),
        ticket_id=ticket_id,
        visibility=visibility,
        created_from=created_from,
        created_to=created_to,
        updated_since=updated_since,
    )
    listing = COMMENTS if call.caller.is_staff else COMMENTS_TO_CONTACT
    page: wire.CommentList = call.page(listing, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page


def create_comment(*, body: wire.CommentCreate) -> wire.Comment:
    """Comment on a ticket."""
    call = current()
    ticket = access.referenced(call.tx, call.caller, {"ticket_id": body["ticket_id"]})["ticket_id"]
    visibility = body.get("visibility", "public")
    return show(comments.create(call.tx, call.caller, ticket, body=body["body"], visibility=visibility))


def get_comment(*, comment_id: int) -> wire.Comment:
    """Show a comment."""
    call = current()
    return show(access.comment(call.tx, call.caller, comment_id))


def update_comment(*, comment_id: int, body: wire.CommentUpdate) -> wire.Comment:
    """Edit a comment."""
    call = current()
    comment = access.own_comment(call.tx, call.caller, comment_id)
    return show(comments.change(call.tx, call.caller, comment, call.expect(comment, body)))


def delete_comment(*, comment_id: int) -> None:
    """Delete a comment."""
    call = current()
    comment = access.comment(call.tx, call.caller, comment_id)
    call.expect(comment)
    entities.remove(call.tx, call.caller.actor, Comment, comment)


def list_ticket_comments(*, ticket_id: int, **asked: Any) -> wire.CommentList:
    """List the comments of a ticket."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    return list_comments(ticket_id=[ticket.id], **asked)


def create_ticket_comment(*, ticket_id: int, body: wire.TicketCommentCreate) -> wire.Comment:
    """Comment on a ticket."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    return show(comments.create(call.tx, call.caller, ticket, **body))
