"""Tallies: how many tickets there are, by what statistics and lists ask for. They are kept, never counted anew.

`domain/entities.py` lets them follow each change, `seed-data` adds what it stores past it, and what an organization
leaves behind goes with the organization.
"""

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import bindparam, insert, update

from tickets.db import Row, Statement, Transaction
from tickets.models import CreatorTally, TicketTally

_COUNT = Statement(
    update(TicketTally)
    .where(
        TicketTally.organization_id == bindparam("of"),
        TicketTally.status == bindparam("is"),
        TicketTally.priority == bindparam("has"),
    )
    .values(total=TicketTally.total + bindparam("step"))
)
_BEGIN = Statement(
    insert(TicketTally).values(
        organization_id=bindparam("of"), status=bindparam("is"), priority=bindparam("has"), total=bindparam("step")
    )
)
_COUNT_CREATOR = Statement(
    update(CreatorTally)
    .where(CreatorTally.user_id == bindparam("by"))
    .values(total=CreatorTally.total + bindparam("step"))
)
_BEGIN_CREATOR = Statement(
    insert(CreatorTally).values(user_id=bindparam("by"), organization_id=bindparam("of"), total=bindparam("step"))
)


def follow(tx: Transaction, old: Row | None, new: Row | None) -> None:
    """Keep the tallies when a ticket is stored (no `old`), changed, or removed (no `new`)."""
    if _kind(old) != _kind(new):
        for row, step in ((old, -1), (new, 1)):
            if row is not None:
                _count(tx, row.organization_id, row.status, row.priority, step)
    if _creator(old) != _creator(new):
        for row, step in ((old, -1), (new, 1)):
            if row is not None and row.created_by_id is not None:
                _count_creator(tx, row.organization_id, row.created_by_id, step)


def _kind(row: Row | None) -> tuple[str, str] | None:
    return None if row is None else (row.status, row.priority)


def _creator(row: Row | None) -> int | None:
    return None if row is None else row.created_by_id


def add(tx: Transaction, organization_id: int, tickets: Iterable[tuple[str, str, int | None]]) -> None:
    """Count tickets that were stored many at a time.

    Args:
        tx: the transaction that stores them.
        organization_id: whose they are.
        tickets: the status, the priority and the creator of each.
    """
    kinds: Counter[tuple[str, str]] = Counter()
    creators: Counter[int] = Counter()
    for status, priority, creator in tickets:
        kinds[status, priority] += 1
        if creator is not None:
            creators[creator] += 1
    for (status, priority), step in kinds.items():
        _count(tx, organization_id, status, priority, step)
    for creator, step in creators.items():
        _count_creator(tx, organization_id, creator, step)


def _count(tx: Transaction, organization_id: int, status: str, priority: str, step: int) -> None:
    values = {"of": organization_id, "is": status, "has": priority, "step": step}
    if not tx.run(_COUNT, **values):
        tx.run(_BEGIN, **values)


def _count_creator(tx: Transaction, organization_id: int, user_id: int, step: int) -> None:
    values = {"of": organization_id, "by": user_id, "step": step}
    if not tx.run(_COUNT_CREATOR, **values):
        tx.run(_BEGIN_CREATOR, **values)
