"""Accounts: an organization always keeps an admin."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import contacts, entities
from tickets.domain.events import Actor
from tickets.errors import LastAdmin
from tickets.models import User

_OTHER_ADMIN = Statement(
    select(User.id)
    .where(
        User.organization_id == bindparam("organization_id"),
        User.role == "admin",
        User.is_active.is_(True),
        User.id != bindparam("id"),
    )
    .limit(1)
)
_BY_EMAIL = Statement(select(*User.__table__.c).where(User.email == bindparam("email")))


_BY_ID = Statement(select(*User.__table__.c).where(User.id == bindparam("id")))


def create(
    tx: Transaction,
    by: Actor,
    organization_id: int,
    *,
    email: str,
    name: str,
    role: str,
    is_active: bool = True,
    vouched: bool = True,
) -> Row:
    """Make an account; its e-mail is unique in the whole service.

    Args:
        tx: where to write.
        by: who makes it.
        organization_id: of the account.
        email: in any letter case; it is kept in lower case.
        name: shown to others.
        role: admin, agent, user or platform.
        is_active: whether it can be used.
        vouched: whether who makes it knows whose address it is; who signs up has to verify it.
    """
    user = entities.add(
        tx,
        by,
        User,
        organization_id=organization_id,
        email=email.lower(),
        name=name,
        role=role,
        is_active=is_active,
        email_verified_at=clock.now() if vouched else None,
    )
    if vouched:
        contacts.claim(tx, by, user)
    return user


def verify(tx: Transaction, user: Row) -> Row:
    """Note that whoever has the account reads the mail sent to its address."""
    if user.email_verified_at is not None:
        return user
    by = Actor("user", user.id, user.name)
    contacts.claim(tx, by, user)
    return entities.change(tx, by, User, user, {"email_verified_at": clock.now()})


def by_id(tx: Transaction, user_id: int) -> Row | None:
    """Find an account by its id, in any organization."""
    return tx.first(_BY_ID, id=user_id)


def by_email(tx: Transaction, email: str) -> Row | None:
    """Find an account by its e-mail."""
    return tx.first(_BY_EMAIL, email=email.lower())


def change(tx: Transaction, by: Actor, user: Row, changes: Mapping[str, Any]) -> Row:
    """Change an account; the contact tied to it follows its e-mail.

    Raises:
        LastAdmin: the organization would be left without an active admin.
    """
    changes = dict(changes)
    if "email" in changes:
        changes["email"] = changes["email"].lower()
        contacts.follow(tx, by, user, changes["email"])
    if changes.get("role", "admin") != "admin" or not changes.get("is_active", True):
        _keep_an_admin(tx, user, "demoted or deactivated")
    return entities.change(tx, by, User, user, changes)


def remove(tx: Transaction, by: Actor, user: Row) -> None:
    """Delete an account with its keys; tickets and comments stay, without the name.

    Raises:
        LastAdmin: the organization would be left without an active admin.
    """
    _keep_an_admin(tx, user, "deleted")
    entities.remove(tx, by, User, user)


def _keep_an_admin(tx: Transaction, user: Row, fate: str) -> None:
    if user.role != "admin" or not user.is_active:
        return
    if tx.first(_OTHER_ADMIN, organization_id=user.organization_id, id=user.id) is None:
        raise LastAdmin(f"The last admin cannot be {fate}; make somebody else an admin first.")
