"""erase_organizations: the rows of organizations that are deleted go, a bite a transaction.

Nothing is noted between two bites, so a worker that dies loses nothing: whoever comes next looks what is left.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Select, Table, bindparam, delete, select, tuple_

from tickets.db import Statement, Transaction
from tickets.domain import index_updates, indexing, organizations
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed
from tickets.models import Base, Comment, Organization, PendingDocument, Ticket

AT_ONCE = 500
"""Rows a transaction: requests that write go between two of them."""

_NEXT = Statement(
    select(Organization.id).where(Organization.deleted_at.is_not(None)).order_by(Organization.deleted_at).limit(1)
)
_LAST = Statement(delete(Organization).where(Organization.id == bindparam("of")))


def _few(table: Table, key: list[Column[Any]]) -> Select[Any]:
    return select(*key).where(table.c.organization_id == bindparam("of")).limit(AT_ONCE)


def _bites() -> Iterator[Statement]:
    """Make what deletes a few rows of each table: first of those that refer to others, so that no cascade is left.

    What belongs to an organization only through a user, a session or a team goes with a few of these: with
    those that the next statements delete, since both select them alike.
    """
    for table in reversed(Base.metadata.sorted_tables):
        if table is PendingDocument.__table__:
            continue  # their words are in the index until it has followed, or has failed to
        key = list(table.primary_key.columns)
        if "organization_id" in table.primary_key.columns:
            # Apart from the rest of the key, or SQLite reads all rows of the organization for each bite.
            key.remove(table.c.organization_id)
            few = tuple_(*key).in_(_few(table, key))
            yield Statement(delete(table).where(table.c.organization_id == bindparam("of"), few))
        elif "organization_id" in table.c:
            yield Statement(delete(table).where(tuple_(*key).in_(_few(table, key))))
        else:
            for to in sorted(table.foreign_keys, key=lambda to: to.parent.name):
                if to.ondelete == "CASCADE" and "organization_id" in to.column.table.c:
                    rows = select(*key).where(to.parent.in_(_few(to.column.table, [to.column]))).limit(AT_ONCE)
                    yield Statement(delete(table).where(tuple_(*key).in_(rows)))


_BITES = tuple(_bites())
_tables = Base.metadata.tables
_FORGET = {
    table: indexing.forgetting(model, _few(table, [table.c.id]))
    for model, table in ((Ticket, _tables["tickets"]), (Comment, _tables["comments"]))
}
"""What takes the words of the rows out of the search index that the statement of their table deletes."""


def _delete(tx: Transaction, statement: Statement, organization_id: int) -> int:
    forget = _FORGET.get(statement.clause.table)  # type: ignore[attr-defined]  # each deletes from a table
    if forget is not None:
        forget(tx, of=organization_id)
    return tx.run(statement, of=organization_id)


def bite(tx: Transaction) -> bool:
    """Delete some rows of a deleted organization, or its own when there is nothing else; False when there is none."""
    organization = tx.first(_NEXT)
    if organization is None:
        return False
    if not any(_delete(tx, statement, organization.id) for statement in _BITES):
        index_updates.delete_failed(tx, organization.id)
        tx.run(_LAST, of=organization.id)
    return True


def _run(_: Claimed, context: Context) -> None:
    more = True
    while more:
        with context.database.write() as tx:
            more = bite(tx)


KIND = Kind(organizations.ERASE, _run, most_at_once=1)
