"""release_history: the events of a deleted ticket are let go a few at a time, however many there are."""

from typing import Any

import pytest
from workbench import Bench, until

from tickets.domain import comments, contacts, entities, events, lifecycle, organizations, records, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.jobs.release_history import KIND
from tickets.models import Ticket


@pytest.fixture
def caller(bench: Bench) -> Principal:
    """An admin."""
    with bench.database.write() as tx:
        made = organizations.create(tx, name="Acme")
        user = users.create(tx, SYSTEM, made.id, email="a@acme.example", name="A", role="admin")
        contacts.create(tx, SYSTEM, made.id, email="c@acme.example", name="C", user_id=user.id)
    return Principal(user.id, made.id, "admin", "A", frozenset({"*"}))


def ticket(bench: Bench, caller: Principal, *, changes: int) -> Any:
    """Raise a ticket and change it so many times."""
    with bench.database.write() as tx:
        lifecycle.create(tx, caller, {"subject": "S", "description": "D"})
        [[number]] = tx._connection.execute("SELECT max(id) FROM tickets")
        row = tx.one(comments._TICKET, id=number)
        for n in range(changes):
            row = lifecycle.change(tx, caller, row, {"priority": ("low", "high")[n % 2]})
    return row


def kept(bench: Bench, ticket_id: int) -> int:
    with bench.database.read() as tx:
        sql = "SELECT count(*) FROM events WHERE ticket_id = ? AND is_history"
        [[count]] = tx._connection.execute(sql, [ticket_id])
    return int(count)


def test_a_short_history_goes_with_the_ticket(bench: Bench, caller: Principal):
    row = ticket(bench, caller, changes=10)
    assert kept(bench, row.id) == 10
    bench.write(entities.remove, SYSTEM, Ticket, row)
    assert kept(bench, row.id) == 0
    assert bench.jobs() == []


def test_of_a_long_one_few_rows_change_with_the_ticket_and_the_job_lets_go_of_the_rest(
    bench: Bench, caller: Principal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "AT_ONCE", 50)
    stays, row = (ticket(bench, caller, changes=n) for n in (3, 230))
    with bench.database.write() as tx:
        before = tx._connection.total_changes
        entities.remove(tx, SYSTEM, Ticket, row)
        assert tx._connection.total_changes - before < events._AT_ONCE + 10
    assert [job.kind for job in bench.jobs()] == [events.RELEASE]
    assert kept(bench, row.id) > 200
    bench.worker(KIND)
    until(lambda: bench.jobs() == [])
    assert (kept(bench, row.id), kept(bench, stays.id)) == (0, 3)
