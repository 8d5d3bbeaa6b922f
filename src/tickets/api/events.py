"""The event log."""

from tickets import wire
from tickets.domain import events
from tickets.domain.listings import EVENTS, where
from tickets.http.context import current
from tickets.shapes.events import event as show


def list_events(
    *,
    sort: str,
    limit: int,
    cursor: str | None = None,
    since: int | None = None,
    type: list[str] | None = None,  # noqa: A002 - the contract's name
    entity: list[str] | None = None,
    entity_id: list[int] | None = None,
    ticket_id: list[int] | None = None,
    created_from: int | None = None,
    created_to: int | None = None,
) -> wire.EventList:
    """List what became of everything in the organization."""
    call = current()
    filters = where(
        organization_id=call.caller.organization_id,
        since=since,
        type=events.types(type, entity),
        entity_id=entity_id,
        ticket_id=ticket_id,
        created_from=created_from,
        created_to=created_to,
    )
    page: wire.EventList = call.page(EVENTS, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    page["complete_since"] = events.complete_since(call.tx, call.caller.organization_id)
    return page
