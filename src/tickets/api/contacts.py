"""Contacts: the people who raise tickets."""

from typing import Any

from tickets import wire
from tickets.domain import access, contacts
from tickets.domain.expansion import beside
from tickets.domain.listings import CONTACTS, TICKETS, where
from tickets.http.context import current
from tickets.shapes.contacts import contact as show
from tickets.shapes.tickets import ticket as show_ticket


def list_contacts(
    *,
    sort: str,
    limit: int,
    cursor: str | None = None,
    email: str | None = None,
    external_id: str | None = None,
) -> wire.ContactList:
    """List the contacts of the organization."""
    call = current()
    email = None if email is None else email.lower()
    filters = where(organization_id=call.caller.organization_id, email=email, external_id=external_id)
    page: wire.ContactList = call.page(CONTACTS, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page


def create_contact(*, body: wire.ContactCreate) -> wire.Contact:
    """Add a contact."""
    call = current()
    return show(contacts.create(call.tx, call.caller.actor, call.caller.organization_id, **body))


def get_contact(*, contact_id: int) -> wire.Contact:
    """Show a contact."""
    call = current()
    return show(access.contact(call.tx, call.caller, contact_id))


def update_contact(*, contact_id: int, body: wire.ContactUpdate) -> wire.Contact:
    """Change a contact."""
    call = current()
    contact = access.contact(call.tx, call.caller, contact_id)
    changes = call.expect(contact, body)
    call.services.rights.expect(call.caller, "user", contacts.given_by(call.tx, contact, changes))
    return show(contacts.change(call.tx, call.caller.actor, contact, changes))


def delete_contact(*, contact_id: int) -> None:
    """Delete a contact without tickets."""
    call = current()
    contact = access.contact(call.tx, call.caller, contact_id)
    call.expect(contact)
    contacts.remove(call.tx, call.caller.actor, contact)


def list_contact_tickets(*, contact_id: int, expand: list[str] | None = None, **place: Any) -> wire.TicketList:
    """List the tickets that a contact raised."""
    call = current()
    contact = access.contact(call.tx, call.caller, contact_id)
    filters = where(organization_id=contact.organization_id, contact_id=contact.id)
    found: wire.TicketList = call.leap(TICKETS, show_ticket, where=filters, beside=beside(call.caller, expand), **place)
    return found
