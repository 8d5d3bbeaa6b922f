"""Service level policies: making and changing them, and which one a ticket falls under."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, func, select

from tickets.db import Row, Statement, Transaction
from tickets.domain import records, sla
from tickets.domain.access import missing
from tickets.errors import Conflict, InputError, NotFound
from tickets.models import SlaPolicy, Team

MOST = 100
"""Policies of an organization: each new ticket looks at them."""
LAST_POSITION = 1_000_000
EVERYTHING: Mapping[str, Any] = {"types": [], "team_ids": []}

_ALL = Statement(
    select(*SlaPolicy.__table__.c)
    .where(SlaPolicy.organization_id == bindparam("of"))
    .order_by(SlaPolicy.position, SlaPolicy.id)
)
_COUNT = Statement(
    select(func.count().label("count"), func.max(SlaPolicy.position).label("last")).where(
        SlaPolicy.organization_id == bindparam("of")
    )
)
_TEAMS = Statement(
    select(Team.id).where(
        Team.organization_id == bindparam("of"),
        Team.id.in_(select(func.json_each(bindparam("ids")).table_valued("value").c.value)),
    )
)


def create(tx: Transaction, organization_id: int, fields: Mapping[str, Any]) -> Row:
    """Make a policy; without a position it is the last, without conditions it fits every ticket.

    Raises:
        Conflict: the organization has as many as it can.
        NotFound: a condition names a team that does not exist.
    """
    there = tx.one(_COUNT, of=organization_id)
    if there.count >= MOST:
        raise Conflict(f"An organization can have {MOST} policies, and this one has; change or delete one of them.")
    last = min((there.last or 0) + 1, LAST_POSITION)
    values = _whole(tx, organization_id, {"position": last, "conditions": EVERYTHING, **fields})
    return records.add(tx, SlaPolicy, organization_id=organization_id, **values)


def change(tx: Transaction, policy: Row, changes: Mapping[str, Any]) -> Row:
    """Change a policy; tickets keep the targets that it gave them.

    Raises:
        NotFound: a condition names a team that does not exist.
        VersionConflict: somebody else changed the policy since it was read.
    """
    return records.change(tx, SlaPolicy, policy, _whole(tx, policy.organization_id, changes))


def _whole(tx: Transaction, organization_id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Write conditions out, and let them name only teams that are there."""
    if "conditions" not in fields:
        return dict(fields)
    conditions = {**EVERYTHING, **fields["conditions"]}
    there = {row.id for row in tx.all(_TEAMS, of=organization_id, ids=json.dumps(conditions["team_ids"]))}
    faults = [
        InputError(f"/conditions/team_ids/{place}", missing("team", team_id).detail)
        for place, team_id in enumerate(conditions["team_ids"])
        if team_id not in there
    ]
    if faults:
        rest = len(faults) - 1
        more = f" The same is true of {rest} more of `team_ids`; `errors` names each." if rest else ""
        raise NotFound(f"{faults[0].detail}{more}", errors=faults)
    return {**fields, "conditions": conditions}


def of(tx: Transaction, organization_id: int) -> tuple[Row, ...]:
    """Return the policies of an organization in the order in which they are asked; for who writes."""
    return tx.known(_ALL, of=organization_id)


def chosen(policies: Iterable[Row], ticket: Mapping[str, Any]) -> sla.Targets:
    """Return the targets of the first policy that fits a ticket, or those that are built in.

    Args:
        policies: of its organization, in their order.
        ticket: its ``type``, ``team_id`` and ``priority``.
    """
    for policy in policies:
        types, team_ids = policy.conditions["types"], policy.conditions["team_ids"]
        if (not types or ticket["type"] in types) and (not team_ids or ticket["team_id"] in team_ids):
            targets = policy.targets[ticket["priority"]]
            return sla.Targets(policy.id, targets["first_response_minutes"], targets["resolution_minutes"])
    return sla.DEFAULT[ticket["priority"]]
