"""The people who raise tickets."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import access, entities
from tickets.domain.access import Principal
from tickets.domain.events import Actor
from tickets.errors import AlreadyExists, InUse
from tickets.models import Contact, Ticket

_ANY_TICKET = Statement(select(Ticket.id).where(Ticket.contact_id == bindparam("contact_id")).limit(1))
_BY_EMAIL = Statement(
    select(*Contact.__table__.c).where(
        Contact.organization_id == bindparam("organization_id"), Contact.email == bindparam("email")
    )
)


def create(tx: Transaction, by: Actor, organization_id: int, *, email: str, name: str, **more: Any) -> Row:
    """Add a contact; its e-mail is unique in the organization."""
    values = {"external_id": None, "attributes": {}, "user_id": None, **more}
    return entities.add(tx, by, Contact, organization_id=organization_id, email=email.lower(), name=name, **values)


def change(tx: Transaction, by: Actor, contact: Row, changes: Mapping[str, Any]) -> Row:
    """Change a contact."""
    changes = dict(changes)
    if "email" in changes:
        changes["email"] = changes["email"].lower()
    return entities.change(tx, by, Contact, contact, changes)


def given_by(tx: Transaction, contact: Row, changes: Mapping[str, Any]) -> list[str]:
    """Name the fields of a change by which somebody gets a contact's tickets: whoever verifies its new address."""
    moves = changes.get("email", contact.email).lower() != contact.email
    return ["email"] if moves and tx.first(_ANY_TICKET, contact_id=contact.id) is not None else []


def remove(tx: Transaction, by: Actor, contact: Row) -> None:
    """Delete a contact.

    Raises:
        InUse: tickets were raised by the contact.
    """
    if tx.first(_ANY_TICKET, contact_id=contact.id) is not None:
        raise InUse("This contact has tickets; delete those or give them another contact first.")
    entities.remove(tx, by, Contact, contact)


def of_caller(tx: Transaction, caller: Principal) -> Row:
    """Return the caller's own contact; it is made, or tied to the account, when missing.

    Raises:
        AlreadyExists: the contact with the caller's e-mail is tied to another account.
        EmailNotVerified: nobody has verified the caller's e-mail yet.
    """
    own = access.own_contact(tx, caller)
    if own is not None:
        return own
    # Whoever signed up with somebody else's address would see the tickets of the contact that has it, or will have.
    user = access.verified(tx, caller)
    same_email = tx.first(_BY_EMAIL, organization_id=caller.organization_id, email=user.email)
    if same_email is None:
        return create(tx, caller.actor, caller.organization_id, email=user.email, name=user.name, user_id=user.id)
    if same_email.user_id is not None:
        raise AlreadyExists(
            f"The contact {same_email.id} has your e-mail address but belongs to another account. "
            "Ask an agent to correct the contact's address."
        )
    return entities.change(tx, caller.actor, Contact, same_email, {"user_id": user.id})


def claim(tx: Transaction, by: Actor, user: Row) -> None:
    """Tie a contact that nobody has yet to the account with its address, which is verified."""
    found = tx.first(_BY_EMAIL, organization_id=user.organization_id, email=user.email)
    if found is not None and found.user_id is None and access.contact_of(tx, user.organization_id, user.id) is None:
        entities.change(tx, by, Contact, found, {"user_id": user.id})


def follow(tx: Transaction, by: Actor, user: Row, email: str) -> None:
    """Give the contact of an account the account's new e-mail, unless another contact has it already."""
    own = access.contact_of(tx, user.organization_id, user.id)
    if own is None or own.email != user.email:
        return
    if tx.first(_BY_EMAIL, organization_id=user.organization_id, email=email) is None:
        entities.change(tx, by, Contact, own, {"email": email})
