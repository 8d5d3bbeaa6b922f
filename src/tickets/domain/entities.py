"""Entities are stored, changed and removed here, with the event that tells of it, the tallies and the search index."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, or_, select

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import events, indexing, records, sla, sla_policies, tags, tallies
from tickets.domain.events import Actor
from tickets.errors import InUse
from tickets.models import Base, Contact, Team, Ticket, User

AT_ONCE = 500
"""Most rows that are held at a time."""
MOST_NAMERS = 2_000
"""Most rows that change with the removal of what they name, or move with a merge: others wait a second to write."""
MOST_CHARACTERS = 8_000_000
"""Of texts and JSON in these rows: each is written anew, and once more into its event, at 20 ms a megabyte."""
_INSTEAD = {
    Contact: "leave it, and change its name and e-mail if these have to go",
    Team: "give the tickets another team first",
    User: "deactivate the user instead",
}
"""What to do where more of them name it; who made a ticket or wrote a comment is never changed."""

Model = type[Base]


def add(tx: Transaction, by: Actor, model: Model, *, moment: int | None = None, **values: Any) -> Row:
    """Store a new entity, with a value for every column but id, times and version; see `records.add`."""
    moment = clock.now() if moment is None else moment
    if model is Ticket:
        targets = sla_policies.chosen(sla_policies.of(tx, values["organization_id"]), values)
        values |= sla.started(targets, moment)
    row = records.add(tx, model, moment=moment, **values)
    if model is Ticket:
        tallies.follow(tx, None, row)
        tags.spread(tx, row)
    events.created(tx, by, model, row)
    indexing.created(tx, model, row)
    return row


def change(
    tx: Transaction,
    by: Actor,
    model: Model,
    entity: Row,
    changes: Mapping[str, Any],
    *,
    verb: str = "updated",
    target: str | None = None,
    moment: int | None = None,
) -> Row:
    """Store what differs, raise the version by one; nothing that differs is no change and no event.

    Args:
        tx: where to write.
        by: who changes it.
        model: what it is.
        entity: as it is.
        changes: some of its columns anew.
        verb: what the event calls it.
        target: which of its targets that is about, if any.
        moment: of `records.moment`, when the caller has asked for it already.

    Raises:
        VersionConflict: somebody else changed the entity since it was read.
    """
    moment = records.moment(entity) if moment is None else moment
    if model is Ticket:
        changes = {**changes, **_service_level(tx, entity, changes, moment)}
    changed = records.change(tx, model, entity, changes, moment=moment)
    if changed is not entity:
        if model is Ticket:
            tallies.follow(tx, entity, changed)
            tags.follow(tx, entity, changed)
        events.updated(tx, by, model, entity, changed, verb=verb, target=target)
        indexing.updated(tx, model, entity, changed)
    return changed


def remove(tx: Transaction, by: Actor, model: Model, entity: Row) -> None:
    """Delete an entity with what belongs to it, of which no event tells; what names it names nothing then.

    Raises:
        InUse: too much names it for one transaction.
    """
    _expect_few(tx, model, entity)
    for named in _namers(model):
        while rows := tx.all(named.find, gone=entity.id):
            for row in rows:
                change(tx, by, named.model, row, {c: None for c in named.columns if getattr(row, c) == entity.id})
    if model is Ticket:
        tallies.follow(tx, entity, None)
    events.deleted(tx, by, model, entity)
    indexing.removed(tx, model, entity)
    records.remove(tx, model, entity)


def _expect_few(tx: Transaction, model: Model, entity: Row) -> None:
    """Check that what names an entity is no more than one request can change while all others wait to write.

    Raises:
        InUse: it is more.
    """
    rows = characters = 0
    for named in _namers(model):
        size = tx.one(named.size, gone=entity.id, most=MOST_NAMERS + 1)
        rows, characters = rows + size.rows, characters + size.characters
    nouns = " or ".join(named.model.__tablename__ for named in _namers(model))
    for size, most, too_much in (
        (rows, MOST_NAMERS, f"More than {MOST_NAMERS:,} {nouns} name it"),
        (characters, MOST_CHARACTERS, f"The {nouns} that name it have more than {MOST_CHARACTERS:,} characters"),
    ):
        if size > most:
            raise InUse(f"{too_much}, more than one request can change; {_INSTEAD[model]}.")


def _service_level(tx: Transaction, ticket: Row, changes: Mapping[str, Any], moment: int) -> dict[str, Any]:
    """Return what changes of the service level with a ticket, whoever changes it and by whichever way."""
    different = {name: value for name, value in changes.items() if records.differs(getattr(ticket, name), value)}
    targets = None
    if sla.chooses(different):
        targets = sla_policies.chosen(sla_policies.of(tx, ticket.organization_id), {**ticket._asdict(), **different})
    return sla.followed(ticket, different, targets, moment)


class _Namer(NamedTuple):
    """What can name an entity without belonging to it (foreign keys with SET NULL).

    The database would empty the reference too, but what showed it shows something else then: a new version.
    """

    model: Model
    columns: tuple[str, ...]
    find: Statement
    size: Statement


@cache
def _namers(model: Model) -> tuple[_Namer, ...]:
    found = []
    for mapper in Base.registry.mappers:
        table = mapper.local_table
        columns = sorted(
            key.parent.name
            for key in table.foreign_keys
            if key.column.table is model.__table__ and key.ondelete == "SET NULL"
        )
        if columns:
            names = or_(*(table.c[column] == bindparam("gone") for column in columns))
            find = Statement(select(*table.c).where(names).order_by(table.c.id).limit(AT_ONCE))
            found.append(_Namer(mapper.class_, tuple(columns), find, records.size_of(table, names)))
    return tuple(sorted(found, key=lambda namer: namer.model.__name__))
