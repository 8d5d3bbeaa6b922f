"""Reading and writing single records: the same four statements for every table."""

from collections import namedtuple
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Delete,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.errors import InputError, VersionConflict
from tickets.models import Base

AT_ONCE = 500
"""Rows a transaction when old ones go: requests that write go between two of them."""

Model = type[Base]


@cache
def _by_id(model: Model) -> Statement:
    table = model.__table__
    query = select(*table.c).where(table.c.id == bindparam("id"))
    if "organization_id" in table.c:
        query = query.where(table.c.organization_id == bindparam("organization_id"))
    return Statement(query)


@cache
def _insert(model: Model) -> tuple[Statement, type[Any]]:
    """Make what stores a whole row, and the row it is then: asking for it back would double the cost."""
    names = [column.name for column in model.__table__.c]
    values: dict[str, Any] = {name: bindparam(name) for name in names if name != "id"}
    return Statement(insert(model).values(values)), namedtuple("Row", names)  # noqa: PYI024 - the fields are the table's


@lru_cache(maxsize=512)
def _update(model: Model, columns: tuple[str, ...]) -> Statement:
    table = model.__table__
    values: dict[Any, Any] = {table.c[name]: bindparam(f"new_{name}") for name in columns}
    query = update(model).where(table.c.id == bindparam("id"), table.c.version == bindparam("version"))
    return Statement(query.values(values).returning(*table.c))


@cache
def _delete(model: Model) -> Statement:
    return Statement(delete(model).where(model.__table__.c.id == bindparam("id")))


def find(tx: Transaction, model: Model, record_id: int, organization_id: int | None = None) -> Row | None:
    """Look one record up within its organization."""
    return tx.first(_by_id(model), id=record_id, organization_id=organization_id)


def expect(record: Row, version: int) -> None:
    """Check that a change is made on the record as it is.

    Raises:
        VersionConflict: ``version`` is not the present one.
    """
    if version != record.version:
        detail = f"The version is {record.version} by now, not {version}; read it again and repeat your change."
        raise VersionConflict(detail, errors=[InputError("/version", detail)])


def add(tx: Transaction, model: Model, *, moment: int | None = None, **values: Any) -> Row:
    """Store a new entity, with a value for every column but those set here: id, times and version.

    Args:
        tx: where to write.
        model: what it is.
        moment: when it is made; now unless the caller has looked at the clock already.
        values: its other columns.
    """
    moment = clock.now() if moment is None else moment
    values |= {"created_at": moment, "updated_at": moment, "version": 1}
    statement, row = _insert(model)
    return row(id=tx.insert(statement, **values), **values)


def moment(*records: Row) -> int:
    """Return the moment of a change: now, or where the clock was set back, when these were changed last.

    Whoever stores times of what they do asks once, and hands it down to all that changes then.
    """
    latest: int = max(clock.now(), *(record.updated_at for record in records))
    return latest


def change(tx: Transaction, model: Model, record: Row, changes: Mapping[str, Any], *, moment: int | None = None) -> Row:
    """Store what differs, raise the version by one; nothing that differs is no change.

    Args:
        tx: where to write.
        model: what it is.
        record: as it is.
        changes: some of its columns anew.
        moment: when it is changed; now unless the caller has looked at the clock already.

    Raises:
        VersionConflict: somebody else changed the record since it was read.
    """
    different = {name: value for name, value in changes.items() if differs(getattr(record, name), value)}
    if not different:
        return record
    different |= {"updated_at": max(moment or clock.now(), record.updated_at), "version": record.version + 1}
    bound = {f"new_{name}": value for name, value in different.items()}
    changed = tx.first(_update(model, tuple(sorted(different))), id=record.id, version=record.version, **bound)
    if changed is None:
        raise VersionConflict("Somebody changed this in the meantime; read it again and repeat your change.")
    return changed


def differs(old: Any, new: Any) -> bool:
    """Tell whether a value is another one; within JSON, 1 is not true, though Python holds them equal."""
    if isinstance(old, dict | list):
        return msgspec.json.encode(old, order="sorted") != msgspec.json.encode(new, order="sorted")
    return bool(old != new)


def oldest(key: Any, when: Any) -> Delete:
    """Make what deletes the oldest rows of a table, up to `AT_ONCE`, from before the time in the parameter ``before``.

    Args:
        key: a column by which rows are found; where several have the same, a few more may go.
        when: the column with their time, which an index has in its order.
    """
    before = bindparam("before", type_=BigInteger())
    few = select(key).where(when < before).order_by(when).limit(AT_ONCE)
    return delete(key.class_).where(key.in_(few), when < before)


def size_of(table: Any, where: ColumnElement[bool]) -> Statement:
    """Make what counts rows that meet a condition, up to `most`, and the characters of their long texts and JSON."""
    texts = [column for column in table.c if isinstance(column.type, JSON | Text)]
    some = select(table.c.id, *texts).where(where).limit(bindparam("most")).subquery()
    lengths = [func.coalesce(func.sum(func.length(some.c[text.name])), 0) for text in texts]
    return Statement(select(func.count().label("rows"), sum(lengths, literal(0)).label("characters")).select_from(some))


def remove(tx: Transaction, model: Model, record: Row) -> None:
    """Delete a record with what belongs to it (cascades are the database's)."""
    tx.run(_delete(model), id=record.id)
