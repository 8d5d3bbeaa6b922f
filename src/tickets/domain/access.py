"""Who asks, and which rows are theirs: one helper a resource, so a tenant rule has one place.

What belongs to another organization, or is hidden from the caller's role, does not exist for them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import records
from tickets.domain.events import Actor
from tickets.errors import EmailNotVerified, Forbidden, InputError, InsufficientScope, NotFound, UserInactive
from tickets.models import ApiKey, Base, Comment, Contact, Organization, SlaPolicy, Team, Ticket, User


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        user_id: the account.
        organization_id: its tenant.
        role: admin, agent, user or platform.
        name: of the account.
        scopes: what its key may do, for example ``tickets:read``, or ``*``; a session may do all.
        api_key_id: the key it came with, or None.
        session_id: the session it came with, or None.
        counts_as: the key that its requests count for: the successor, while it replaces the one it came with.
        rate_limit: the key's own limit, for example ``1000/second``.
        expires_at: when its key ends, or None.
        is_verified: whether the account's address is known to be theirs.
    """

    user_id: int
    organization_id: int
    role: str
    name: str
    scopes: frozenset[str]
    api_key_id: int | None = None
    session_id: int | None = None
    rate_limit: str | None = None
    expires_at: int | None = None
    counts_as: int | None = None
    is_verified: bool = False

    @property
    def is_staff(self) -> bool:
        """Tell whether the caller works on tickets rather than raising them."""
        return self.role != "user"

    @property
    def actor(self) -> Actor:
        """Who it is that does what they ask for."""
        return Actor("user", self.user_id, self.name)


class Rights:
    """The scopes of each role; checks that nobody gives an account more rights than they have themselves.

    Args:
        of_role: the scopes of everything that a role may call, by role.
    """

    def __init__(self, of_role: Mapping[str, frozenset[str]]) -> None:
        self._of_role = of_role

    def exceed(self, role: str, other: str) -> bool:
        """Tell whether the scopes of `role` are no proper subset of those of `other`; equal scopes count as more."""
        return not self._of_role[role] < self._of_role[other]

    def expect(self, caller: Principal, role: str, fields: Iterable[str]) -> None:
        """Check that a caller has all that an account of a role may do, before they give somebody such an account.

        Args:
            caller: who gives it.
            role: of the account that somebody gets.
            fields: of the body, by which they give it; without any nothing is given.

        Raises:
            InsufficientScope: the caller's key lacks some of it.
        """
        fields = list(fields)
        lacking = _lacking(caller, self._of_role[role])
        if fields and lacking:
            detail = (
                f"This gives somebody all that the role {role} may do, and nobody gives what they have not: "
                f"your key lacks {', '.join(lacking)}. Use a key that has them, or sign in."
            )
            raise InsufficientScope(detail, errors=[InputError(f"/{field}", detail) for field in fields])


def _lacking(caller: Principal, scopes: frozenset[str]) -> list[str]:
    return [] if "*" in caller.scopes else sorted(scopes - caller.scopes)


THE_TICKET = frozenset({"tickets:read", "comments:read"})
"""What reads a ticket with its history and its comments: a contact gets all that with the ticket."""
ITS_COMMENTS = frozenset({"comments:read"})
"""What reads the comments of a ticket: its contact gets those that are merged into it."""


def expect_to_read(caller: Principal, scopes: frozenset[str], field: str) -> None:
    """Check that a caller may read what is on a ticket, before they let another contact read it.

    Args:
        caller: who lets them.
        scopes: that reading it needs.
        field: of the body, by which they do.

    Raises:
        InsufficientScope: the caller's key lacks some of them.
    """
    lacking = _lacking(caller, scopes)
    if lacking:
        detail = (
            "This lets another contact read what is on the ticket, and nobody gives what they have not: "
            f"your key lacks {', '.join(lacking)}. Use a key that has them, or sign in."
        )
        raise InsufficientScope(detail, errors=[InputError(f"/{field}", detail)])


VERIFY_FIRST = "Verify your own address first, with the code that POST /auth/email-otp sends you."

_CONTACT_OF_USER = Statement(
    select(*Contact.__table__.c).where(
        Contact.organization_id == bindparam("organization_id"), Contact.user_id == bindparam("user_id")
    )
)


def _fetch(tx: Transaction, caller: Principal, model: type[Base], noun: str, record_id: int) -> Row:
    found = records.find(tx, model, record_id, caller.organization_id)
    if found is None:
        raise missing(noun, record_id)
    return found


def missing(noun: str, record_id: int) -> NotFound:
    """Make the answer for a record that does not exist for the caller."""
    return NotFound(f"There is no {noun} with the id {record_id}.")


def organization(tx: Transaction, organization_id: int) -> Row:
    """Fetch an organization that is not deleted, whoever asks: an operator, somebody who signs in, or a member."""
    found = records.find(tx, Organization, organization_id)
    if found is None or found.deleted_at is not None:
        raise missing("organization", organization_id)
    return found


def verified(tx: Transaction, caller: Principal) -> Row:
    """Return the caller's account, if its address is verified.

    Whoever signed up a moment ago may have done so with somebody else's address. They get no contact, nor its tickets;
    what else they may not do is ``x-verified-email`` in the contract.

    Raises:
        EmailNotVerified: it is not.
    """
    account = user(tx, caller, caller.user_id)
    if account.email_verified_at is None:
        raise EmailNotVerified(VERIFY_FIRST)
    return account


def user(tx: Transaction, caller: Principal, user_id: int) -> Row:
    """Fetch an account of the caller's organization."""
    return _fetch(tx, caller, User, "user", user_id)


def managed_user(tx: Transaction, caller: Principal, user_id: int) -> Row:
    """Fetch an account that an admin may change.

    Raises:
        Forbidden: the account has the role platform.
    """
    found = user(tx, caller, user_id)
    if found.role == "platform":
        raise Forbidden("The account is the operator's (role platform); it cannot be changed over the API.")
    return found


def team(tx: Transaction, caller: Principal, team_id: int) -> Row:
    """Fetch a team of the caller's organization."""
    return _fetch(tx, caller, Team, "team", team_id)


def sla_policy(tx: Transaction, caller: Principal, sla_policy_id: int) -> Row:
    """Fetch a service level policy of the caller's organization."""
    return _fetch(tx, caller, SlaPolicy, "SLA policy", sla_policy_id)


def contact(tx: Transaction, caller: Principal, contact_id: int) -> Row:
    """Fetch a contact of the caller's organization."""
    return _fetch(tx, caller, Contact, "contact", contact_id)


def own_contact(tx: Transaction, caller: Principal) -> Row | None:
    """Fetch the contact that the caller's account is tied to, if there is one yet."""
    return contact_of(tx, caller.organization_id, caller.user_id)


def contact_of(tx: Transaction, organization_id: int, user_id: int) -> Row | None:
    """Fetch the contact that an account is tied to, if there is one yet."""
    return tx.first(_CONTACT_OF_USER, organization_id=organization_id, user_id=user_id)


def ticket(tx: Transaction, caller: Principal, ticket_id: int) -> Row:
    """Fetch a ticket: staff see those of the organization, a user only their own."""
    found = _fetch(tx, caller, Ticket, "ticket", ticket_id)
    if not caller.is_staff:
        own = own_contact(tx, caller)
        if own is None or found.contact_id != own.id:
            raise missing("ticket", ticket_id)
    return found


def scope(tx: Transaction, caller: Principal) -> dict[str, Any]:
    """Return the filters that leave what the caller may see of tickets, or of what belongs to tickets."""
    filters: dict[str, Any] = {"organization_id": caller.organization_id}
    if not caller.is_staff:
        own = own_contact(tx, caller)
        filters["own_contact_id"] = [] if own is None else [own.id]
    return filters


def assignees(caller: Principal, assigned_to: list[str] | None) -> list[int | None] | None:
    """Read the filter ``assigned_to``: ids, ``me`` and ``none``; an id beyond 64 bits matches nothing."""
    if assigned_to is None:
        return None
    named: dict[str, int | None] = {"me": caller.user_id, "none": None}
    found = [named[word] if word in named else int(word) for word in assigned_to]
    return [value for value in found if value is None or value < 2**63]


def comment(tx: Transaction, caller: Principal, comment_id: int) -> Row:
    """Fetch a comment on a ticket the caller may see; a user never sees internal ones."""
    found = _fetch(tx, caller, Comment, "comment", comment_id)
    if not caller.is_staff:
        own = own_contact(tx, caller)
        parent = records.find(tx, Ticket, found.ticket_id, caller.organization_id)
        if found.visibility == "internal" or own is None or parent is None or parent.contact_id != own.id:
            raise missing("comment", comment_id)
    return found


def own_comment(tx: Transaction, caller: Principal, comment_id: int) -> Row:
    """Fetch a comment the caller may edit: an admin any, others what they wrote themselves."""
    found = comment(tx, caller, comment_id)
    if caller.role != "admin" and found.user_id != caller.user_id:
        raise Forbidden("Only its author or an admin can edit a comment.")
    return found


def api_key(tx: Transaction, caller: Principal, api_key_id: int) -> Row:
    """Fetch a key of the caller's organization that was not revoked."""
    found = _fetch(tx, caller, ApiKey, "API key", api_key_id)
    if found.revoked_at is not None:
        raise missing("API key", api_key_id)
    return found


def key_owner(tx: Transaction, caller: Principal, user_id: int | None) -> Row:
    """Fetch the account a new key is for: the caller's own unless another is named.

    Raises:
        Forbidden: the account has the role platform, whose keys the command line makes.
        NotFound: there is no such account; the problem points at the field.
        UserInactive: the account is deactivated.
    """
    owner = referenced(tx, caller, {"user_id": caller.user_id if user_id is None else user_id})["user_id"]
    if owner.role == "platform":
        raise Forbidden("The account is the operator's (role platform); `flask tickets create-api-key` makes its keys.")
    return active(owner, "user_id")


def active(user: Row, field: str) -> Row:
    """Return an account that something is to be given to.

    Raises:
        UserInactive: it is deactivated; the problem points at the field that named it.
    """
    if not user.is_active:
        detail = f"The user {user.id} is deactivated; activate the account first, or choose another."
        raise UserInactive(detail, errors=[InputError(f"/{field}", detail)])
    return user


def referenced(tx: Transaction, caller: Principal, fields: Mapping[str, Any]) -> dict[str, Row]:
    """Fetch what the ids in a body name, such as ``contact_id``.

    Args:
        tx: where to read.
        caller: who sent it.
        fields: the body; names that refer to nothing and ids that are null are left alone.

    Returns:
        The records by the names of their fields.

    Raises:
        NotFound: nothing the caller may see has such an id; the problem points at each one.
    """
    found: dict[str, Row] = {}
    faults = []
    for field, value in fields.items():
        fetch = _REFERENCES.get(field)
        if fetch is None or value is None:
            continue
        try:
            found[field] = fetch(tx, caller, value)
        except NotFound as error:
            faults.append(InputError(f"/{field}", error.detail))
    if faults:
        raise NotFound(" ".join(fault.detail for fault in faults), errors=faults)
    return found


_REFERENCES: dict[str, Callable[[Transaction, Principal, int], Row]] = {
    "contact_id": contact,
    "assignee_id": user,
    "user_id": user,
    "team_id": team,
    "ticket_id": ticket,
    "into": ticket,
}
