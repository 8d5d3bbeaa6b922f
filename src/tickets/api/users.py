"""Users: the accounts of an organization."""

from typing import Any

from tickets import wire
from tickets.domain import access, users
from tickets.domain.expansion import beside
from tickets.domain.listings import TICKETS, USERS, where
from tickets.http.context import current
from tickets.shapes.tickets import ticket as show_ticket
from tickets.shapes.users import user as show


def list_users(
    *,
    sort: str,
    limit: int,
    cursor: str | None = None,
    role: list[str] | None = None,
    is_active: bool | None = None,
    email: str | None = None,
) -> wire.UserList:
    """List the accounts of the organization."""
    call = current()
    email = None if email is None else email.lower()
    filters = where(organization_id=call.caller.organization_id, role=role, is_active=is_active, email=email)
    page: wire.UserList = call.page(USERS, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page


def create_user(*, body: wire.UserCreate) -> wire.User:
    """Make an account."""
    call = current()
    call.services.rights.expect(call.caller, body["role"], ["role"])
    return show(users.create(call.tx, call.caller.actor, call.caller.organization_id, **body))


def get_user(*, user_id: int) -> wire.User:
    """Show an account."""
    call = current()
    return show(access.user(call.tx, call.caller, user_id))


def update_user(*, user_id: int, body: wire.UserUpdate) -> wire.User:
    """Change an account."""
    call = current()
    user = access.managed_user(call.tx, call.caller, user_id)
    changes = call.expect(user, body)
    rights = call.services.rights
    rights.expect(call.caller, changes.get("role", user.role), users.given_by(user, changes, rights))
    return show(users.change(call.tx, call.caller.actor, user, changes))


def delete_user(*, user_id: int) -> None:
    """Delete an account with its keys."""
    call = current()
    user = access.managed_user(call.tx, call.caller, user_id)
    call.expect(user)
    users.remove(call.tx, call.caller.actor, user)


def list_user_tickets(*, user_id: int, expand: list[str] | None = None, **place: Any) -> wire.TicketList:
    """List the tickets that a user raised."""
    call = current()
    if not call.caller.is_staff and user_id != call.caller.user_id:
        raise access.missing("user", user_id)
    user = access.user(call.tx, call.caller, user_id)
    contact = access.contact_of(call.tx, user.organization_id, user.id)
    filters = where(organization_id=user.organization_id, contact_id=[] if contact is None else [contact.id])
    found: wire.TicketList = call.leap(TICKETS, show_ticket, where=filters, beside=beside(call.caller, expand), **place)
    return found
