"""Nothing relies on an order of rows that it did not ask for: a database may return them in any."""

import random
from typing import Any

import pytest
from sqlalchemy import Select

from tickets.db import Statement, Transaction
from tickets.domain import comments, entities, expansion, lifecycle, organizations, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.models import Team


class AnyOrder(Transaction):
    """A transaction that returns rows in any order, unless a query has asked for one."""

    dice = random.Random(7)

    def all(self, statement: Statement, **values: Any) -> list[Any]:
        rows = super().all(statement, **values)
        if isinstance(statement.clause, Select) and not statement.clause._order_by_clauses:
            self.dice.shuffle(rows)
        return rows

    def within(self, statement: Statement, most: int, /, **values: Any) -> tuple[list[Any], Any]:
        assert statement.clause._order_by_clauses, "it stops in the midst of rows that come in any order"  # type: ignore[attr-defined]  # a Select has it
        return super().within(statement, most, **values)


@pytest.fixture
def any_order(tx: Transaction) -> Transaction:
    tx._connection.execute("PRAGMA reverse_unordered_selects=ON")
    return AnyOrder(tx._connection, tx._dialect)


@pytest.fixture
def admin(any_order: Transaction) -> Principal:
    of = organizations.create(any_order, name="Acme")
    made = users.create(any_order, SYSTEM, of.id, email="ada@acme.example", name="Ada", role="admin")
    return Principal(made.id, of.id, "admin", "Ada", frozenset({"*"}))


@pytest.mark.parametrize("text", [1, 500, 5_000, 1_000_000])
def test_comments_and_history_stand_beside_the_tickets_of_a_page_in_their_order(any_order, admin, text):
    tx = any_order
    tickets = []
    for number in range(12):
        ticket = lifecycle.create(tx, admin, {"subject": f"S{number}", "description": ""})
        for place in range(number % 4):
            comments.create(tx, admin, ticket, body=f"{place} {'x' * 100 * number}", visibility="internal")
            ticket = lifecycle.change(tx, admin, ticket, {"subject": f"{place}", "tags": [f"{place}"]})
        tickets.append(ticket)
    random.Random(3).shuffle(tickets)
    shown: list[dict[str, Any]] = [{} for _ in tickets]
    beside = expansion.beside(admin, ["comments", "history"])
    assert beside is not None
    number = beside.put(tx, tickets, shown, text=text)
    assert 1 <= number <= len(tickets)
    assert (number == len(tickets)) == (text == 1_000_000)
    for ticket, one in zip(tickets[:number], shown, strict=False):
        said = int(ticket.number - 1) % 4
        assert [comment["body"].split()[0] for comment in one["comments"]] == [str(place) for place in range(said)]
        changed = [(entry["field"], entry["new"]) for entry in one["history"]]
        assert changed == [pair for p in range(said) for pair in (("subject", f"{p}"), ("tags", [f"{p}"]))]


def test_what_names_something_deleted_changes_in_the_order_of_its_ids(any_order, admin):
    tx = any_order
    team = entities.add(tx, SYSTEM, Team, organization_id=admin.organization_id, name="T", description="")
    raised = [lifecycle.create(tx, admin, {"subject": "S", "description": "", "team_id": team.id}) for _ in range(5)]
    entities.remove(tx, SYSTEM, Team, team)
    told = tx._connection.execute(
        "SELECT entity_id FROM events WHERE type = 'ticket.updated' AND organization_id = ? ORDER BY seq",
        [admin.organization_id],
    )
    assert [ticket_id for (ticket_id,) in told] == [ticket.id for ticket in raised]
