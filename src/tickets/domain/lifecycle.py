"""The life of a ticket: creation, who may set what, and the moves between statuses."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import access, contacts, entities, organizations, records
from tickets.domain.access import Principal
from tickets.errors import Conflict, Forbidden, InputError, InUse, InvalidTransition
from tickets.models import Comment, Ticket

TRANSITIONS: dict[str, frozenset[str]] = {
    "open": frozenset({"in_progress", "pending", "resolved", "closed"}),
    "in_progress": frozenset({"open", "pending", "resolved", "closed"}),
    "pending": frozenset({"open", "in_progress", "resolved", "closed"}),
    "resolved": frozenset({"open", "closed"}),
    "closed": frozenset({"open"}),
}
MOST_COMMENTS = 5_000
"""On one ticket: to delete the longest there are takes half a second of CPU time, and all others wait to write."""
_OF_A_USER = frozenset({"subject", "description", "type", "tags"})
EMPTY: Mapping[str, Any] = {"assignee_id": None, "team_id": None, "tags": [], "custom_fields": {}}
_BEYOND = Statement(select(Comment.id).where(Comment.ticket_id == bindparam("of")).limit(1).offset(bindparam("most")))
_COUNT = Statement(
    select(func.count().label("count")).select_from(
        select(Comment.id).where(Comment.ticket_id == bindparam("of")).limit(bindparam("most")).subquery()
    )
)
_CREATED = {**EMPTY, "priority": "medium", "type": "question"}


def create(tx: Transaction, caller: Principal, fields: Mapping[str, Any], *, source: str = "api") -> Row:
    """Raise a ticket; without ``contact_id`` it is the caller's own.

    Raises:
        EmailNotVerified: it is the caller's own, and nobody has verified their address yet.
        Forbidden: a user set what only staff may, or an agent assigned somebody else.
        NotFound: an id in the fields names nothing in the organization.
        UserInactive: the assignee is deactivated.
        Conflict: the assignee only raises tickets.
    """
    _may_set(caller, fields)
    _refer(tx, caller, fields)
    values = {**_CREATED, **fields}
    if "contact_id" not in values:
        values["contact_id"] = contacts.of_caller(tx, caller).id
    return entities.add(
        tx,
        caller.actor,
        Ticket,
        organization_id=caller.organization_id,
        number=organizations.count_up(tx, caller.organization_id, "tickets"),
        status="open",
        source=source,
        created_by_id=caller.user_id,
        merged_into_id=None,
        first_responded_at=None,
        resolved_at=None,
        closed_at=None,
        **values,
    )


def change(tx: Transaction, caller: Principal, ticket: Row, changes: Mapping[str, Any]) -> Row:
    """Change a ticket.

    Raises:
        Forbidden: an agent assigned somebody else.
        InsufficientScope: another contact gets the ticket, and the caller's key may not read what is on it.
        InvalidTransition: the status cannot be reached from the present one.
        NotFound: an id in the changes names nothing in the organization.
        UserInactive: the assignee is deactivated.
        InUse: it has too many comments to show them to another contact.
        Conflict: the assignee only raises tickets.
        VersionConflict: somebody else changed the ticket since it was read.
    """
    changes = {name: value for name, value in changes.items() if records.differs(getattr(ticket, name), value)}
    _may_set(caller, changes, ticket.assignee_id)
    _refer(tx, caller, changes)
    moment = records.moment(ticket)
    if "contact_id" in changes:
        access.expect_to_read(caller, access.THE_TICKET, "contact_id")
        few_said(tx, ticket, entities.MOST_NAMERS, "raise another for the other contact")
    if "status" in changes:
        if goes_on_in(tx, ticket) is not None:
            detail = f"This ticket was merged into the ticket {ticket.merged_into_id}, where it goes on."
            raise InvalidTransition(detail, errors=[InputError("/status", detail)])
        changes |= moved(ticket, changes["status"], moment)
    return entities.change(tx, caller.actor, Ticket, ticket, changes, moment=moment)


def goes_on_in(tx: Transaction, ticket: Row) -> Row | None:
    """Return the ticket that this one was merged into; None where there is none, or none any more."""
    if ticket.merged_into_id is None:
        return None
    return records.find(tx, Ticket, ticket.merged_into_id, ticket.organization_id)


def remove(tx: Transaction, caller: Principal, ticket: Row) -> None:
    """Delete a ticket with its comments.

    Raises:
        InUse: it has too many, from when there was no limit.
    """
    few_said(tx, ticket, MOST_COMMENTS, "delete some of them first")
    entities.remove(tx, caller.actor, Ticket, ticket)


def few_said(tx: Transaction, ticket: Row, most: int, instead: str) -> None:
    """Check that a ticket has at most `most` comments, since changing all of them keeps other writes waiting.

    Args:
        tx: where to read.
        ticket: whose comments.
        most: the largest number allowed.
        instead: what the caller can do instead, for the error text.

    Raises:
        InUse: it has too many.
    """
    if has_more(tx, ticket, most):
        raise InUse(f"The ticket has more than {most:,} comments; {instead}.")


def has_more(tx: Transaction, ticket: Row, comments: int) -> bool:
    """Tell whether more was said on a ticket than so many comments."""
    return tx.first(_BEYOND, of=ticket.id, most=comments) is not None


def comments_of(tx: Transaction, ticket: Row, most: int) -> int:
    """Count the comments of a ticket, up to so many."""
    count: int = tx.one(_COUNT, of=ticket.id, most=most).count
    return count


def moved(ticket: Row, status: str, moment: int) -> dict[str, Any]:
    """Return what changes with the status: itself, and the times of resolution and closing.

    Args:
        ticket: as it is; one that was merged moves no more while the other is there.
        status: what it becomes.
        moment: when.

    Raises:
        InvalidTransition: the status cannot be reached from the present one.
    """
    if status not in TRANSITIONS[ticket.status]:
        allowed = ", ".join(sorted(TRANSITIONS[ticket.status]))
        detail = f"A ticket that is {ticket.status} can become: {allowed}."
        raise InvalidTransition(detail, errors=[InputError("/status", detail)])
    if status == "resolved":
        return {"status": status, "resolved_at": moment}
    if status == "closed":
        return {"status": status, "resolved_at": ticket.resolved_at or moment, "closed_at": moment}
    return {"status": status, "resolved_at": None, "closed_at": None, "merged_into_id": None}


def _may_set(caller: Principal, fields: Mapping[str, Any], assignee_id: int | None = None) -> None:
    if not caller.is_staff:
        beyond = sorted(fields.keys() - _OF_A_USER)
        if beyond:
            detail = "Only agents and admins can set this; leave it out."
            raise Forbidden(detail, errors=[InputError(f"/{name}", detail) for name in beyond])
    if caller.role != "agent" or "assignee_id" not in fields:
        return
    given = fields["assignee_id"]
    if given is None and assignee_id not in (None, caller.user_id):
        detail = "An agent can take a ticket, but not leave it to nobody while it is somebody else's; ask an admin."
        raise Forbidden(detail, errors=[InputError("/assignee_id", detail)])
    if given not in (None, caller.user_id):
        detail = "An agent can assign a ticket to nobody but themself; ask an admin."
        raise Forbidden(detail, errors=[InputError("/assignee_id", detail)])


def _refer(tx: Transaction, caller: Principal, fields: Mapping[str, Any]) -> None:
    """Let ids name only what is there, and the assignee be somebody who can act."""
    found = access.referenced(tx, caller, fields)
    assignee = found.get("assignee_id")
    if assignee is not None and access.active(assignee, "assignee_id").role == "user":
        detail = f"The user {assignee.id} has the role user and would not see the ticket; choose an agent or admin."
        raise Conflict(detail, errors=[InputError("/assignee_id", detail)])
