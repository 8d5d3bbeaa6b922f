"""The event log."""

from tickets import wire
from tickets.clock import parse_rfc3339
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
    created_from: str | None = None,
    created_to: str | None = None,
) -> wire.EventList:
    """List what became of everything in the organization."""
    call = current()
    filters = where(
        organization_id=call.caller.organization_id,
        since=since,
        type=events.types(type, entity),
        entity_id=entity_id,
        ticket_id=ticket_id,
        created_from=None if created_from is None else parse_rfc3339(created_from),
        created_to=None if created_to is None else parse_rfc3339(created_to),
    )
    page: wire.EventList = call.page(EVENTS, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page
