"""Statements within a transaction: what is read once, and what is read only so far."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import bindparam, select

from tickets.db import Statement, Transaction
from tickets.domain import entities, lifecycle, organizations, sla_policies, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.models import Contact, Team

PRIORITIES = ("urgent", "high", "medium", "low")
TARGETS = {priority: {"first_response_minutes": 5, "resolution_minutes": 60} for priority in PRIORITIES}


@pytest.fixture
def caller(tx: Transaction) -> Principal:
    """An admin of an organization of their own."""
    of = organizations.create(tx, name="Acme")
    admin = users.create(tx, SYSTEM, of.id, email="a@acme.example", name="A", role="admin")
    return Principal(admin.id, of.id, "admin", "A", frozenset({"*"}))


@pytest.fixture
def looks(tx: Transaction) -> Callable[[Callable[[], Any]], int]:
    """Count how often policies are read."""

    def during(work: Callable[[], Any]) -> int:
        run: list[str] = []
        tx._connection.set_trace_callback(run.append)
        work()
        tx._connection.set_trace_callback(None)
        return sum(sql.startswith("SELECT") and "FROM sla_policies" in sql for sql in run)

    return during


class TestKnown:
    def test_the_policies_are_read_once_however_many_tickets_a_deletion_changes(self, tx, caller, looks):
        team = entities.add(tx, SYSTEM, Team, organization_id=caller.organization_id, name="T", description="")
        fields = {"subject": "S", "description": "", "team_id": team.id}
        assert looks(lambda: [lifecycle.create(tx, caller, fields) for _ in range(5)]) == 1
        assert looks(lambda: entities.remove(tx, SYSTEM, Team, team)) == 0

    def test_they_are_read_again_once_they_change_or_a_change_of_them_is_undone(self, tx, caller):
        def names() -> list[str]:
            return [policy.name for policy in sla_policies.of(tx, caller.organization_id)]

        assert names() == []
        policy = sla_policies.create(tx, caller.organization_id, {"name": "One", "targets": TARGETS})
        assert names() == ["One"]

        def in_vain() -> None:
            with tx.savepoint():
                sla_policies.change(tx, policy, {"name": "Two"})
                assert names() == ["Two"]
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            in_vain()
        assert names() == ["One"]
        sla_policies.change(tx, policy, {"name": "Three"})
        assert names() == ["Three"]

    def test_each_organization_has_its_own(self, tx, caller):
        sla_policies.create(tx, caller.organization_id, {"name": "One", "targets": TARGETS})
        assert len(sla_policies.of(tx, caller.organization_id)) == 1
        assert sla_policies.of(tx, organizations.create(tx, name="Other").id) == ()

    def test_what_is_known_cannot_be_changed(self, tx, caller):
        assert type(sla_policies.of(tx, caller.organization_id)) is tuple


class TestWithin:
    @pytest.fixture
    def contacts(self, tx: Transaction, caller: Principal) -> Statement:
        """A query of contacts: two people by the name of Ann and three by that of Bob, each with 100 characters."""
        for number, name in enumerate(("Ann", "Ann", "Bob", "Bob", "Bob")):
            values = {"email": f"{number}@acme.example", "external_id": None, "user_id": None}
            more = {"name": name, "attributes": {"a": "x" * 92}}
            entities.add(tx, SYSTEM, Contact, organization_id=caller.organization_id, **values, **more)
        of = Contact.organization_id == bindparam("of")
        return Statement(select(Contact.name, Contact.attributes).where(of).order_by(Contact.id))

    @pytest.mark.parametrize(
        ("most", "read", "beyond"),
        [(10_000, 5, None), (0, 1, "Ann"), (99, 1, "Ann"), (100, 2, "Bob"), (499, 5, None)],
    )
    def test_rows_end_behind_the_one_that_is_too_much(self, tx, caller, contacts, most, read, beyond):
        rows, rest = tx.within(contacts, most, of=caller.organization_id)
        assert len(rows) == read
        assert (rest and rest.name) == beyond
