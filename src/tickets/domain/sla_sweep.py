"""The sweep: what has passed on the clocks of tickets is told, once."""

from sqlalchemy import bindparam, select, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import entities, events, sla
from tickets.models import Organization, Ticket

AT_ONCE = 50
"""Tickets a transaction: requests that write go between two of them."""

_ticket = Ticket.__table__.c
_DUE = Statement(
    select(*_ticket, Organization.deleted_at)
    .join(Organization, Organization.id == _ticket.organization_id)
    .where(_ticket.sla_next_at < bindparam("now"))
    .order_by(_ticket.sla_next_at)
    .limit(AT_ONCE)
)
_NOTE = Statement(
    update(Ticket)
    .where(_ticket.id == bindparam("of"))
    .values({_ticket[name]: bindparam(f"new_{name}") for name in ("sla_told", "sla_next_at")})
)


def bite(tx: Transaction) -> int:
    """Tell of some tickets what has passed and was not told yet; returns of how many, up to `AT_ONCE`."""
    moment = clock.now()
    due = tx.all(_DUE, now=moment)
    for ticket in due:
        if ticket.deleted_at is None:
            _tell(tx, ticket, moment)
        else:  # its organization's rows are on their way out, and its counters may be gone
            _note(tx, ticket, ticket.sla_told, None)
    return len(due)


def _tell(tx: Transaction, ticket: Row, moment: int) -> None:
    """Write the events of a ticket: the first breach changes it, of all else they only tell."""
    told = ticket.sla_told
    for mark in sla.untold(ticket, moment):
        told |= mark.bit
        if mark.what == sla.BREACHED and not ticket.is_breached:
            changes = {"is_breached": True, "breaches_at": None}
            ticket = entities.change(tx, events.SYSTEM, Ticket, ticket, changes, verb=mark.what, target=mark.target)
        else:
            events.told(tx, Ticket, ticket, verb=mark.what, target=mark.target)
    _note(tx, ticket, told, sla.next_at(ticket, told, moment))


def _note(tx: Transaction, ticket: Row, told: int, next_at: int | None) -> None:
    """Note what was told: nothing that the API shows, so no new version."""
    tx.run(_NOTE, of=ticket.id, new_sla_told=told, new_sla_next_at=next_at)
