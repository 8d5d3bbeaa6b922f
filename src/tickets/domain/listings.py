"""Every list the API offers: its columns, filters and sorts. tests/domain checks that an index serves each."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from tickets.domain.event_listing import EventListing
from tickets.domain.filters import NOW, Either, Filter, Tally, without_index
from tickets.domain.listing import Listing
from tickets.domain.searchable import SearchableListing
from tickets.models import (
    ApiKey,
    AuditEntry,
    Comment,
    Contact,
    Event,
    Organization,
    SlaPolicy,
    Team,
    TeamMember,
    Ticket,
    TicketTag,
    TicketTally,
    User,
)
from tickets.models.tickets import STATUSES, WAITING

_CREATED = ("created_at",)
_BOTH = ("created_at", "updated_at")
_ANY = (*_BOTH, "name")
"""One row at most: it is in every order."""


def _sorts(model: Any, *more: str) -> dict[str, ColumnElement[Any]]:
    return {name: model.__table__.c[name] for name in (*_BOTH, *more)}


def _times(columns: Any) -> dict[str, Filter]:
    return {
        "created_from": Filter(columns.created_at, "from", sorts=_CREATED),
        "created_to": Filter(columns.created_at, "before", sorts=_CREATED),
        "updated_since": Filter(columns.updated_at, "from", sorts=("updated_at",)),
    }


def where(**given: Any) -> Mapping[str, Any]:
    """Collect the filters that were given; a single value becomes a list of one.

    >>> where(status=["open", "closed"], team_id=7, type=None)
    {'status': ['open', 'closed'], 'team_id': [7]}
    """
    return {name: value if isinstance(value, list) else [value] for name, value in given.items() if value is not None}


ORGANIZATIONS = Listing(
    select(*Organization.__table__.c).where(Organization.deleted_at.is_(None)),
    Organization.__table__.c.id,
    filters={"slug": Filter(Organization.__table__.c.slug, sorts=_ANY)},
    sorts=_sorts(Organization, "name"),
)

_user = User.__table__.c
_user_filters = {
    "organization_id": Filter(_user.organization_id),
    "role": Filter(_user.role, sorts=_CREATED),
    "is_active": Filter(_user.is_active),
    "email": Filter(_user.email, sorts=_ANY, selective=True),
}
USERS = Listing(select(*_user), _user.id, filters=_user_filters, sorts=_sorts(User, "name"))
TEAM_MEMBERS = Listing(
    select(*_user).join(TeamMember, TeamMember.user_id == _user.id),
    _user.id,
    filters={"team_id": Filter(TeamMember.__table__.c.team_id, sorts=(), selective=True)},
    sorts=_sorts(User, "name"),
)

_team = Team.__table__.c
TEAMS = Listing(
    select(*_team), _team.id, filters={"organization_id": Filter(_team.organization_id)}, sorts=_sorts(Team, "name")
)

_policy = SlaPolicy.__table__.c
SLA_POLICIES = Listing(
    select(*_policy),
    _policy.id,
    filters={"organization_id": Filter(_policy.organization_id)},
    sorts={"position": _policy.position},
)

_contact = Contact.__table__.c
CONTACTS = Listing(
    select(*_contact),
    _contact.id,
    filters={
        "organization_id": Filter(_contact.organization_id),
        "email": Filter(_contact.email, sorts=_ANY),
        "external_id": Filter(_contact.external_id, sorts=_ANY),
    },
    sorts=_sorts(Contact, "name"),
)

_ticket = Ticket.__table__.c
_tag = TicketTag.__table__.c
# The indexes of contacts, assignees and teams begin with them: they imply the organization.
_ticket_filters = {
    "organization_id": Filter(_ticket.organization_id),
    "own_contact_id": Filter(_ticket.contact_id, sorts=_BOTH, selective=True, alone=True),
}
_more_ticket_filters = {
    "contact_id": Filter(_ticket.contact_id, sorts=_BOTH, selective=True, alone=True),
    "assignee_id": Filter(_ticket.assignee_id, sorts=_BOTH, alone=True),
    "team_id": Filter(_ticket.team_id, sorts=_BOTH, alone=True),
    "status": Filter(_ticket.status, sorts=_BOTH),
    "priority": Filter(_ticket.priority, sorts=_CREATED),
    "type": Filter(_ticket.type, sorts=_CREATED),
}
# What is known to be breached, and what fell due since the last sweep, which empties `breaches_at`.
_fell_due = _ticket.breaches_at < NOW


def _unbreached(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column.is_(False) & or_(_ticket.breaches_at.is_(None), _ticket.breaches_at >= NOW)


_tally = TicketTally.__table__.c
_tallied = select(func.coalesce(func.sum(_tally.total), 0).label("count"))
_tally_filters = {"organization_id": Filter(_tally.organization_id)}
_kinds = {"status": Filter(_tally.status), "priority": Filter(_tally.priority)}
_either = {
    "breached": Either(_ticket.is_breached, lambda column: column.is_(True), _BOTH, few=_fell_due),
    "unbreached": Either(_ticket.is_breached, _unbreached, _BOTH),
}
_tagged = Filter(_tag.tag, inside=select(_tag.ticket_id).where(_tag.ticket_id == _ticket.id).correlate(Ticket))
TICKETS = SearchableListing(
    select(*_ticket),
    _ticket.id,
    filters={**_ticket_filters, **_more_ticket_filters, **_either, **_times(_ticket), "tag": _tagged},
    sorts=_sorts(Ticket),
    tally=Tally(_tallied, _tally_filters | _kinds),
)
# A ticket is resolved at some time before or when it is closed: without that time it waits for work.
_waits = _ticket.resolved_at.is_(None)
_queue_filters = {
    "assignee_id": Filter(_ticket.assignee_id, sorts=_CREATED, alone=True),
    "team_id": Filter(_ticket.team_id, sorts=_CREATED, alone=True),
}
# What waits for somebody, for nobody or for a team: indexes of its own have that alone, in the order of creation.
QUEUES = SearchableListing(
    select(*_ticket).where(_waits),
    _ticket.id,
    filters={
        "organization_id": Filter(_ticket.organization_id),
        **_queue_filters,
        **{
            name: replace(spec, column=without_index(spec.column), sorts=None)
            for name, spec in (_more_ticket_filters | _either | _times(_ticket)).items()
            if name not in {*_queue_filters, "contact_id"}
        },
        "tag": _tagged,
    },
    sorts=_sorts(Ticket),
)
# Tags have a table of their own, with the times of their tickets, in whose order its indexes keep them.
TAGGED_TICKETS = SearchableListing(
    select(*_ticket).join(TicketTag, _tag.ticket_id == _ticket.id),
    _tag.ticket_id,
    filters={
        "organization_id": Filter(_tag.organization_id),
        "tag": Filter(_tag.tag, sorts=_BOTH, selective=True, repeats=True),
        **{name: replace(spec, sorts=(), selective=False) for name, spec in _more_ticket_filters.items()},
        "breached": Either(_ticket.is_breached, lambda column: or_(column.is_(True), _fell_due), ()),
        "unbreached": Either(_ticket.is_breached, _unbreached, ()),
        **_times(_tag),
    },
    sorts=_sorts(TicketTag),
)
OPEN_TICKETS = Listing(
    select(*_ticket).where(_waits),
    _ticket.id,
    filters=_ticket_filters,
    sorts={"created_at": _ticket.created_at},
    tally=Tally(_tallied.where(or_(*(_tally.status == status for status in WAITING))), _tally_filters),
)
CLOSED_TICKETS = Listing(
    select(*_ticket).where(_ticket.closed_at.is_not(None)),
    _ticket.id,
    filters=_ticket_filters,
    sorts={"closed_at": _ticket.closed_at},
    tally=Tally(_tallied.where(_tally.status == "closed"), _tally_filters),
)


def tickets(where: Mapping[str, Any]) -> Listing:
    """Choose the list of tickets whose indexes serve the filters."""
    if where.keys() & {"contact_id", "own_contact_id"}:
        return TICKETS  # they are few, whatever else is asked
    if where.keys() & {"assignee_id", "team_id"} and set(where.get("status", STATUSES)) <= set(WAITING):
        return QUEUES
    return TAGGED_TICKETS if "tag" in where else TICKETS


_comment = Comment.__table__.c
_comment_filters = {
    "organization_id": Filter(_comment.organization_id),
    "ticket_id": Filter(_comment.ticket_id, sorts=_BOTH, selective=True, alone=True),
    "visibility": Filter(_comment.visibility),
    **_times(_comment),
}
COMMENTS = Listing(select(*_comment), _comment.id, filters=_comment_filters, sorts=_sorts(Comment))
COMMENTS_TO_CONTACT = Listing(
    select(*_comment).join(Ticket, Ticket.id == _comment.ticket_id).where(_comment.visibility == "public"),
    _comment.id,
    filters={**_comment_filters, "own_contact_id": Filter(_ticket.contact_id, sorts=(), selective=True, alone=True)},
    sorts=_sorts(Comment),
)

_api_key = ApiKey.__table__.c
API_KEYS = Listing(
    select(*_api_key).where(_api_key.revoked_at.is_(None)),
    _api_key.id,
    filters={
        "organization_id": Filter(_api_key.organization_id),
        "user_id": Filter(_api_key.user_id, sorts=_CREATED, selective=True, alone=True),
    },
    sorts=_sorts(ApiKey),
)

_event = Event.__table__.c
EVENTS = EventListing(
    select(*_event),
    _event.id,
    filters={
        "organization_id": Filter(_event.organization_id),
        "ticket_id": Filter(_event.ticket_id, sorts=("seq",), selective=True, alone=True),
        "entity_id": Filter(_event.entity_id, sorts=("seq",)),
        "type": Filter(_event.type, sorts=("seq",)),
        "since": Filter(_event.seq, "after", sorts=("seq",)),
        "until": Filter(_event.seq, "before", sorts=("seq",)),
        "created_from": Filter(_event.created_at, "from"),
        "created_to": Filter(_event.created_at, "before"),
    },
    sorts={"seq": _event.seq},
)

_entry = AuditEntry.__table__.c
_entry_filters = {
    "user_id": Filter(_entry.user_id),
    "api_key_id": Filter(_entry.api_key_id),
    "method": Filter(_entry.method),
    "operation": Filter(_entry.operation),
    "status": Filter(_entry.status),
    "ip": Filter(_entry.ip),
    "created_from": Filter(_entry.created_at, "from", sorts=_CREATED),
    "created_to": Filter(_entry.created_at, "before", sorts=_CREATED),
}
AUDIT_LOG = Listing(
    select(*_entry),
    _entry.id,
    filters={"organization_id": Filter(_entry.organization_id), **_entry_filters},
    sorts={"created_at": _entry.created_at},
)
AUDIT_LOG_OF_ALL = Listing(select(*_entry), _entry.id, filters=_entry_filters, sorts={"created_at": _entry.created_at})
