"""The event log: one row for each change of an entity, numbered without gaps within its organization.

Nobody else writes it. An event is in the transaction of the change it tells of, and its number comes from a
counter that the same transaction holds until its end: numbers are in the order of the commits. Times are too, unless
the clock was set back; `reached_at` tells so.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import JSON, BigInteger, Text, bindparam, case, delete, func, insert, select, text, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import event_texts, jobs, organizations, records
from tickets.models import Base, Comment, Contact, Event, Team, Ticket, User
from tickets.models.events import VERBS
from tickets.shapes.comments import comment as show_comment
from tickets.shapes.contacts import contact as show_contact
from tickets.shapes.teams import team as show_team
from tickets.shapes.tickets import told_ticket as show_ticket
from tickets.shapes.users import user as show_user


class Actor(NamedTuple):
    """Who did it.

    Attributes:
        type: ``user``, or ``system`` for what the service does by itself and for its operator's commands.
        id: of the account; None for the system.
        name: as it was then.
    """

    type: str
    id: int | None
    name: str


SYSTEM = Actor("system", None, "The service")


class _Kind(NamedTuple):
    """An entity of the log: its name in types, what the contract shows of it, and which column names its ticket."""

    name: str
    show: Callable[[Row], Mapping[str, Any]]
    ticket: str | None = None


_KINDS: Mapping[type[Base], _Kind] = {
    Ticket: _Kind("ticket", show_ticket, "id"),
    Comment: _Kind("comment", show_comment, "ticket_id"),
    Contact: _Kind("contact", show_contact),
    User: _Kind("user", show_user),
    Team: _Kind("team", show_team),
}
_PURGED = "events_purged"
_UNTOLD = ("version", "updated_at", "sla")
"""Fields that change with others, and say nothing by themselves."""

_SET_HERE = {"id", "created_at", "reached_at", "has_data"}

_moment = bindparam("created_at", type_=BigInteger())
_reached = (
    select(Event.reached_at)
    .where(Event.organization_id == bindparam("organization_id"))
    .order_by(Event.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_STORE = Statement(
    insert(Event).values(
        {c.name: bindparam(c.name) for c in Event.__table__.c if c.name not in _SET_HERE}
        | {"created_at": _moment, "reached_at": case((_reached > _moment, _reached), else_=_moment)}
        | {name: bindparam(name, type_=Text()) for name in ("data", "texts")}  # they come as JSON
    )
)
RELEASE = "release_history"
"""Job type that runs `release_history` for the rest of a deleted ticket's events, when there are many."""
_AT_ONCE = 20
_OF_TICKET = Statement(
    select(Event.id, Event.seq)
    .where(Event.ticket_id == bindparam("of"), Event.seq > bindparam("after"))
    .order_by(Event.seq)
    .limit(bindparam("most"))
)
_RELEASE = Statement(
    update(Event).where(Event.id == bindparam("event_id"), Event.is_history.is_(True)).values(is_history=False)
)
_OLD = Statement(
    # Written exactly as in the partial index: SQLite does not use it for another form of the same condition.
    select(Event.id, Event.organization_id, Event.seq, Event.is_history)
    .where(Event.created_at < bindparam("before", type_=BigInteger()), text("(has_data OR NOT is_history)"))
    .order_by(Event.created_at)
    .limit(records.AT_ONCE)
)
_is_one = Event.id.in_(select(func.json_each(bindparam("ids")).table_valued("value", name="wanted").c.value))
_DELETE = Statement(delete(Event).where(_is_one))
_DROP_DATA = Statement(update(Event).where(_is_one).values(data=JSON.NULL, texts=None, has_data=False))


def types(asked: list[str] | None, entities: list[str] | None) -> list[str] | None:
    """Return the types of events that were asked for by type and by kind of entity; None for all."""
    if entities is None:
        return asked
    of_entities = [f"{entity}.{verb}" for entity in entities for verb in VERBS[entity]]
    return of_entities if asked is None else [type_ for type_ in asked if type_ in of_entities]


def created(tx: Transaction, by: Actor, model: type[Base], row: Row) -> None:
    """Tell that an entity was made."""
    _append(tx, by, _KINDS[model], "created", row)


def updated(
    tx: Transaction,
    by: Actor,
    model: type[Base],
    old: Row,
    new: Row,
    *,
    verb: str = "updated",
    target: str | None = None,
) -> None:
    """Tell that an entity was changed, field by field, in the words of the contract.

    Args:
        tx: where to write.
        by: who changed it.
        model: what it is.
        old: as it was.
        new: as it is.
        verb: what became of it.
        target: which of its targets that was about, if any.
    """
    kind = _KINDS[model]
    before, after = kind.show(old), kind.show(new)
    changes = {
        field: {"old": before[field], "new": value}
        for field, value in after.items()
        if field not in _UNTOLD and records.differs(before[field], value)
    }
    _append(tx, by, kind, verb, new, shown=after, changes=changes, target=target)


def told(tx: Transaction, model: type[Base], row: Row, *, verb: str, target: str) -> None:
    """Tell of a target of an entity, which is not changed by that."""
    _append(tx, SYSTEM, _KINDS[model], verb, row, target=target, moment=clock.now())


def deleted(tx: Transaction, by: Actor, model: type[Base], row: Row) -> None:
    """Tell that an entity is gone, as it was last; nobody can ask for its history any more."""
    kind = _KINDS[model]
    _append(tx, by, kind, "deleted", row, moment=clock.now())
    if kind.name == "ticket":
        last = release_history(tx, row.id, 0, _AT_ONCE)
        if last is not None:
            jobs.enqueue(tx, RELEASE, {"ticket_id": row.id, "after": last})


def release_history(tx: Transaction, ticket_id: int, after: int, most: int) -> int | None:
    """Stop keeping some events of a deleted ticket for its history, so that `purge` deletes them once they are old.

    Args:
        tx: where to write.
        ticket_id: whose events.
        after: the `seq` after which to begin.
        most: the largest number of events to release.

    Returns:
        The `seq` of the last one; None when there are no more.
    """
    found = tx.all(_OF_TICKET, of=ticket_id, after=after, most=most)
    tx.many(_RELEASE, [{"event_id": row.id} for row in found])
    return int(found[-1].seq) if len(found) == most else None


def _append(
    tx: Transaction,
    by: Actor,
    kind: _Kind,
    verb: str,
    row: Row,
    *,
    shown: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    target: str | None = None,
    moment: int | None = None,
) -> None:
    moment = row.updated_at if moment is None else moment
    # The transaction holds the counter from here on, so that it alone stores texts of the organization.
    seq = organizations.count_up(tx, row.organization_id, "events")
    data, texts = event_texts.take_out(tx, row.organization_id, kind.show(row) if shown is None else shown, moment)
    tx.run(
        _STORE,
        organization_id=row.organization_id,
        seq=seq,
        type=f"{kind.name}.{verb}",
        entity_id=row.id,
        ticket_id=None if kind.ticket is None else getattr(row, kind.ticket),
        actor_type=by.type,
        actor_id=by.id,
        actor_name=by.name,
        data=data,
        changes=changes,
        target=target,
        is_history=bool(changes) and kind.name == "ticket",
        created_at=moment,
        texts=texts,
    )


def purge(tx: Transaction, before: int) -> int:
    """Let the oldest events from before a time go, up to `records.AT_ONCE`, and return how many.

    Those that history needs stay, without their data.
    """
    old = tx.all(_OLD, before=before)
    gone = [event.id for event in old if not event.is_history]
    kept = [event.id for event in old if event.is_history]
    for statement, ids in ((_DELETE, gone), (_DROP_DATA, kept)):
        if ids:
            tx.run(statement, ids=msgspec.json.encode(ids).decode())
    last: dict[int, int] = {}
    for event in old:
        last[event.organization_id] = max(event.seq, last.get(event.organization_id, 0))
    for organization_id, seq in last.items():
        organizations.raise_to(tx, organization_id, _PURGED, seq)
    return len(old)


def complete_since(tx: Transaction, organization_id: int) -> int:
    """Return the number after which the log of an organization has every event."""
    return organizations.counted(tx, organization_id, _PURGED)
