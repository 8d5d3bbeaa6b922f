"""Tickets."""

from functools import partial
from typing import Any

from tickets import wire
from tickets.domain import access, bulk, lifecycle, merging
from tickets.domain.expansion import MOST_ALONE, beside
from tickets.domain.history import HISTORY
from tickets.domain.listings import CLOSED_TICKETS, OPEN_TICKETS, tickets, where
from tickets.http.context import Call, current
from tickets.shapes.events import history_entry as show_entry
from tickets.shapes.tickets import ticket as show


def list_tickets(
    *,
    sort: str,
    limit: int,
    cursor: str | None = None,
    page: int | None = None,
    per_page: int | None = None,
    offset: int | None = None,
    expand: list[str] | None = None,
    status: list[str] | None = None,
    priority: list[str] | None = None,
    type: list[str] | None = None,  # noqa: A002 - the contract's name
    assigned_to: list[str] | None = None,
    contact_id: list[int] | None = None,
    team_id: list[int] | None = None,
    tag: list[str] | None = None,
    is_breached: bool | None = None,
    created_from: int | None = None,
    created_to: int | None = None,
    updated_since: int | None = None,
    search: str | None = None,
) -> wire.TicketList:
    """List the tickets the caller may see."""
    call = current()
    filters = where(
        **access.scope(call.tx, call.caller),
        status=status,
        priority=priority,
        type=type,
        assignee_id=access.assignees(call.caller, assigned_to),
        contact_id=contact_id,
        team_id=team_id,
        tag=tag,
        breached=is_breached or None,
        unbreached=is_breached is False or None,
        created_from=created_from,
        created_to=created_to,
        updated_since=updated_since,
        search=search,
    )
    found: wire.TicketList = call.leap(
        tickets(filters),
        partial(show, now=call.tx.moment),
        where=filters,
        sort=sort,
        limit=limit,
        cursor=cursor,
        page=page,
        per_page=per_page,
        offset=offset,
        beside=beside(call.caller, expand),
    )
    return found


def list_open_tickets(*, expand: list[str] | None = None, **place: Any) -> wire.TicketList:
    """List what waits for work, the oldest first."""
    call = current()
    filters, more = where(**access.scope(call.tx, call.caller)), beside(call.caller, expand)
    found: wire.TicketList = call.leap(OPEN_TICKETS, show, where=filters, sort="created_at", beside=more, **place)
    return found


def list_closed_tickets(*, expand: list[str] | None = None, **place: Any) -> wire.TicketList:
    """List what is done with, the latest first."""
    call = current()
    filters, more = where(**access.scope(call.tx, call.caller)), beside(call.caller, expand)
    found: wire.TicketList = call.leap(CLOSED_TICKETS, show, where=filters, sort="-closed_at", beside=more, **place)
    return found


def create_ticket(*, body: wire.TicketCreate) -> wire.Ticket:
    """Raise a ticket."""
    call = current()
    return show(lifecycle.create(call.tx, call.caller, body))


def get_ticket(*, ticket_id: int, expand: list[str] | None = None) -> wire.Ticket:
    """Show a ticket."""
    call = current()
    more = beside(call.caller, expand)
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    shown = show(ticket)
    # A due time that passed is shown at once, and only later told in an event with a new version.
    call.is_newer_than_version = shown["is_breached"] != ticket.is_breached
    if more is not None:
        more.put(call.tx, [ticket], [shown], most=MOST_ALONE)
    return shown


def replace_ticket(*, ticket_id: int, body: wire.TicketReplace) -> wire.Ticket:
    """Set all of a ticket anew."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    whole = {**lifecycle.EMPTY, **call.expect(ticket, body)}
    return show(lifecycle.change(call.tx, call.caller, ticket, whole))


def update_ticket(*, ticket_id: int, body: wire.TicketUpdate) -> wire.Ticket:
    """Change a ticket."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    return show(lifecycle.change(call.tx, call.caller, ticket, call.expect(ticket, body)))


def delete_ticket(*, ticket_id: int) -> None:
    """Delete a ticket with its comments."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    call.expect(ticket)
    lifecycle.remove(call.tx, call.caller, ticket)


def update_tickets_in_bulk(*, body: wire.TicketBulk) -> wire.TicketBulkResults:
    """Change or delete many tickets."""
    call = current()
    outcomes = bulk.run(call.tx, call.caller, body["operations"], atomic=body.get("atomic", False))
    return {"results": [_shown(call, outcome) for outcome in outcomes]}


def merge_ticket(*, ticket_id: int, body: wire.TicketMerge) -> wire.Ticket:
    """Merge a ticket into another."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    call.expect(ticket, body)
    into = access.referenced(call.tx, call.caller, {"into": body["into"]})["into"]
    return show(merging.merge(call.tx, call.caller, ticket, into))


def list_ticket_history(*, ticket_id: int, sort: str, limit: int, cursor: str | None = None) -> wire.HistoryList:
    """List what changed on a ticket, field by field."""
    call = current()
    ticket = access.ticket(call.tx, call.caller, ticket_id)
    page: wire.HistoryList = call.page(
        HISTORY, show_entry, where=where(ticket_id=ticket.id), sort=sort, limit=limit, cursor=cursor
    )
    return page


def _shown(call: Call, outcome: bulk.Outcome) -> wire.TicketBulkResult:
    result: wire.TicketBulkResult = {"id": outcome.id, "status": outcome.status}
    if outcome.ticket is not None:
        result["ticket"] = show(outcome.ticket)
    if outcome.problem is not None:
        problem: Any = call.describe(outcome.problem)
        result["problem"] = problem
    return result
