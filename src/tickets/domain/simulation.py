"""A desk at work: accounts raise tickets, and the oldest that wait are closed."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from sqlalchemy import bindparam, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import entities, lifecycle, records
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.errors import AlreadyExists, Conflict
from tickets.models import Ticket, User

AT_ONCE = 100
"""Tickets a transaction: some hundredths of a second, after which others have their turn."""
MOST_RAISERS = 100

_RAISERS = Statement(
    select(*User.__table__.c)
    .where(
        User.organization_id == bindparam("of"),
        User.is_active.is_(True),
        User.email_verified_at.is_not(None),
        User.role != "platform",
    )
    .order_by(User.created_at, User.id)
    .limit(MOST_RAISERS)
)
_OLDEST = Statement(
    select(*Ticket.__table__.c)
    .where(Ticket.organization_id == bindparam("of"), Ticket.resolved_at.is_(None))
    .order_by(Ticket.created_at, Ticket.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)  # nothing on SQLite, which has one writer
)


def generate(tx: Transaction, organization: Row, requests: Sequence[Mapping[str, Any]], draw: Random) -> list[Row]:
    """Let accounts of an organization, each for itself, raise tickets as they would over the API.

    Args:
        tx: where to write.
        organization: where.
        requests: what they ask for, as POST /tickets takes it.
        draw: chooses who asks, among the oldest accounts.

    Returns:
        The tickets.

    Raises:
        Conflict: there is nobody who could.
    """
    raisers = tx.all(_RAISERS, of=organization.id)
    return [_raise(tx, raisers, request, draw) for request in requests]


def _raise(tx: Transaction, raisers: list[Row], request: Mapping[str, Any], draw: Random) -> Row:
    while raisers:
        user = draw.choice(raisers)
        # As staff, so that a request may be urgent.
        caller = Principal(user.id, user.organization_id, "admin", user.name, frozenset({"*"}))
        try:
            return lifecycle.create(tx, caller, request, source="simulation")
        except AlreadyExists:  # somebody else's contact has their address: they cannot raise tickets for themselves
            raisers.remove(user)
    raise Conflict("Nobody can raise tickets there: an account is needed that is active and whose address is verified.")


def process(tx: Transaction, organization: Row, most: int) -> list[Row]:
    """Close the tickets that wait for work, the oldest first.

    However many do this at once, each closes others: a transaction that writes sees what those before it closed.

    Args:
        tx: where to write.
        organization: whose tickets.
        most: how many.
    """
    waiting = tx.all(_OLDEST, of=organization.id, most=most)
    return [_closed(tx, ticket) for ticket in waiting]


def _closed(tx: Transaction, ticket: Row) -> Row:
    moment = records.moment(ticket)
    return entities.change(tx, SYSTEM, Ticket, ticket, lifecycle.moved(ticket, "closed", moment), moment=moment)
