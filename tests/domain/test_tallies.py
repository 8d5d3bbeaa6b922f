"""Tallies say what counting says, whatever becomes of tickets and people."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tickets.db import Connection, Database, Row, Transaction
from tickets.domain import bulk, comments, entities, lifecycle, merging, organizations, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.errors import Problem
from tickets.models import Ticket

STATUSES = ("open", "in_progress", "pending", "resolved", "closed")
PRIORITIES = ("low", "medium", "high", "urgent")


class World:
    """Two organizations with people, in a transaction that is undone."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.people: list[Principal] = []
        for name in ("one", "other"):
            organization = organizations.create(tx, name=name)
            for role in ("admin", "agent", "user"):
                user = users.create(
                    tx, SYSTEM, organization.id, email=f"{role}@{name}.example", name=role.title(), role=role
                )
                self.people.append(Principal(user.id, organization.id, role, user.name, frozenset({"*"})))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.tx._connection.execute(sql).fetchall()

    def ticket(self, number: int) -> tuple[Principal, Row] | None:
        """Choose a ticket, with an admin who may do anything to it."""
        found = self.rows("SELECT id, organization_id FROM tickets ORDER BY id")
        if not found:
            return None
        ticket_id, organization_id = found[number % len(found)]
        admin = next(p for p in self.people if (p.organization_id, p.role) == (organization_id, "admin"))
        return admin, self.again(ticket_id)

    def again(self, ticket_id: int) -> Row:
        return self.tx.one(comments._TICKET, id=ticket_id)


def create(world: World, one: int, other: int) -> None:
    fields = {"subject": "S", "description": ""}
    caller = world.people[one % len(world.people)]
    if caller.role != "user":
        fields["priority"] = PRIORITIES[other % 4]
    lifecycle.create(world.tx, caller, fields)


def change(world: World, one: int, other: int) -> None:
    if chosen := world.ticket(one):
        patch = {"status": STATUSES[other % 5], "priority": PRIORITIES[other // 5 % 4]}
        lifecycle.change(world.tx, *chosen, patch)


def merge(world: World, one: int, other: int) -> None:
    if (chosen := world.ticket(one)) and (into := world.ticket(other)):
        merging.merge(world.tx, *chosen, into[1])


def delete(world: World, one: int, _: int) -> None:
    if chosen := world.ticket(one):
        entities.remove(world.tx, SYSTEM, Ticket, chosen[1])


def say(world: World, one: int, other: int) -> None:
    """Comment as somebody: the contact of a ticket that waits for them reopens it."""
    if chosen := world.ticket(one):
        around = world.people[other % 6 :] + world.people
        speaker = next(p for p in around if p.organization_id == chosen[1].organization_id)
        comments.create(world.tx, speaker, chosen[1], body="B")


def many(world: World, one: int, other: int) -> None:
    """Change and delete in one call, of which some fails."""
    if chosen := world.ticket(one):
        admin, ticket = chosen
        named: Any = {"id": ticket.id, "version": ticket.version}
        patch = {"status": STATUSES[other % 5], "priority": PRIORITIES[other % 4]}
        operations: Any = [
            {"op": "update", **named, "patch": patch},
            {"op": "update", **named, "patch": {"priority": "low"}},
            {"op": "delete", **named, "version": ticket.version + other % 3},
        ]
        with world.tx.savepoint():
            bulk.run(world.tx, admin, operations, atomic=other % 2 == 0)


def dismiss(world: World, one: int, _: int) -> None:
    """Delete an account; its tickets stay, without their creator."""
    going = [p for p in world.people if p.role != "admin"]
    if going:
        gone = going[one % len(going)]
        world.people.remove(gone)
        users.remove(world.tx, SYSTEM, world.tx.one(users._BY_ID, id=gone.user_id))


Act = Callable[[World, int, int], None]
ACTS: list[Act] = [create, create, create, change, change, merge, delete, say, many, dismiss]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 60), st.integers(0, 60)), min_size=5, max_size=60))
def test_whatever_happens_they_say_what_counting_says(database: Database, acts: list[tuple[Act, int, int]]):
    connection = Connection(database)
    try:
        world = World(connection.begin(write=True))
        for act, one, other in acts:
            try:
                with world.tx.savepoint():
                    act(world, one, other)
            except Problem:
                continue  # what is refused changes nothing
        kinds = world.rows("SELECT organization_id, status, priority, count(*) FROM tickets GROUP BY 1, 2, 3")
        tallied = world.rows("SELECT organization_id, status, priority, total FROM ticket_tallies WHERE total != 0")
        assert sorted(tallied) == kinds
        creators = world.rows(
            "SELECT created_by_id, organization_id, count(*) FROM tickets WHERE created_by_id IS NOT NULL GROUP BY 1, 2"
        )
        tallied = world.rows("SELECT user_id, organization_id, total FROM creator_tallies WHERE total != 0")
        assert sorted(tallied) == creators
    finally:
        connection.rollback()
        connection.close()
