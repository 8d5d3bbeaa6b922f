"""Accounts: an organization always keeps an admin."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import String, bindparam, cast, or_, select, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import contacts, entities, one_time_secrets
from tickets.domain.access import Rights
from tickets.domain.events import Actor
from tickets.errors import LastAdmin
from tickets.models import Organization, Session, User

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
_FIRST = Statement(
    select(*User.__table__.c)
    .where(User.organization_id == bindparam("organization_id"))
    .order_by(User.created_at, User.id)
    .limit(1)
)
_STAFF = Statement(
    select(*User.__table__.c)
    .where(
        User.organization_id == bindparam("organization_id"),
        or_(User.role == "admin", User.role == "agent"),
        User.is_active.is_(True),
        User.id != bindparam("but"),
    )
    .order_by(User.id)
    .limit(bindparam("most"))
)
_PRESENT = (
    select(*User.__table__.c)
    .join(Organization, Organization.id == User.organization_id)
    .where(Organization.deleted_at.is_(None))
)
_BY_EMAIL = Statement(_PRESENT.where(User.email == bindparam("email")))
_BY_ID = Statement(_PRESENT.where(User.id == bindparam("id")))
_LET_GO = Statement(
    update(User)
    .where(
        User.email == bindparam("address"),
        User.organization_id.in_(select(Organization.id).where(Organization.deleted_at.is_not(None))),
    )
    .values(email="deleted " + cast(User.id, String))
)


_SIGN_OUT = Statement(
    update(Session)
    .where(Session.user_id == bindparam("of"), Session.ended_at.is_(None))
    .values(ended_at=bindparam("now"))
)


def sign_out(tx: Transaction, user_id: int) -> None:
    """End all sessions of a user."""
    tx.run(_SIGN_OUT, of=user_id, now=clock.now())


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
    email = email.lower()
    let_go(tx, email)
    user = entities.add(
        tx,
        by,
        User,
        organization_id=organization_id,
        email=email,
        name=name,
        role=role,
        is_active=is_active,
        email_verified_at=clock.now() if vouched else None,
    )
    if vouched:
        contacts.claim(tx, by, user)
    return user


def verify(tx: Transaction, user: Row) -> Row:
    """Note that whoever has the account reads the mail sent to its address, which nobody knew before."""
    by = Actor("user", user.id, user.name)
    contacts.claim(tx, by, user)
    return entities.change(tx, by, User, user, {"email_verified_at": clock.now()})


def by_id(tx: Transaction, user_id: int) -> Row | None:
    """Find an account by its id: for who showed a password or a token that is its own.

    That of a deleted organization is none any more, whatever is stored of it.
    """
    return tx.first(_BY_ID, id=user_id)


def by_email(tx: Transaction, email: str) -> Row | None:
    """Find an account by its e-mail: no answer may show it to who merely named the address."""
    return tx.first(_BY_EMAIL, email=email.lower())


def staff(tx: Transaction, organization_id: int, *, but: int, most: int) -> list[Row]:
    """List active admins and agents of an organization other than one account, up to so many."""
    return list(tx.all(_STAFF, organization_id=organization_id, but=but, most=most))


def first(tx: Transaction, organization_id: int) -> Row:
    """Return the first account of an organization that has one."""
    return tx.one(_FIRST, organization_id=organization_id)


def let_go(tx: Transaction, email: str) -> None:
    """Take an address, in lower case, from an account of a deleted organization, whose rows still go."""
    tx.run(_LET_GO, address=email)


def given_by(user: Row, changes: Mapping[str, Any], rights: Rights) -> list[str]:
    """Name the fields of a change by which somebody gets to use the account, or more of it than before."""
    role = changes.get("role", user.role)
    gives = {
        "role": role != user.role and rights.exceed(role, user.role),
        "email": changes.get("email", user.email).lower() != user.email,
        "is_active": changes.get("is_active", False) and not user.is_active,
    }
    return [field for field, is_given in gives.items() if is_given]


def change(tx: Transaction, by: Actor, user: Row, changes: Mapping[str, Any]) -> Row:
    """Change an account; the contact tied to it follows its e-mail.

    Who gives an account another address vouches for it, as who makes one does: it stays verified, from now on. One
    that somebody signed up with by themselves does not become so by that: it is not known yet whose it is. What was
    sent to the old address opens nothing any more, and sessions end: whoever is behind the new one signs in anew.

    Raises:
        LastAdmin: the organization would be left without an active admin.
    """
    changes = dict(changes)
    if "email" in changes:
        changes["email"] = changes["email"].lower()
        let_go(tx, changes["email"])
        contacts.follow(tx, by, user, changes["email"])
    moved = changes.get("email", user.email) != user.email
    is_deactivated = not changes.get("is_active", True)
    if moved or is_deactivated:
        one_time_secrets.forget(tx, user.id)
        sign_out(tx, user.id)  # for good: activated again, they sign in anew
    if moved and user.email_verified_at is not None:
        changes["email_verified_at"] = clock.now()
    if changes.get("role", "admin") != "admin" or is_deactivated:
        _keep_an_admin(tx, user, "demoted or deactivated")
    changed = entities.change(tx, by, User, user, changes)
    if moved and changed.email_verified_at is not None:
        contacts.claim(tx, by, changed)
    return changed


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
