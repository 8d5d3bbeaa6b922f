"""sla_sweep: each due time is told once, however many workers look for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import time_machine
from workbench import Bench, until

from tickets.db import Database, Transaction
from tickets.domain import access, contacts, lifecycle, organizations, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.domain.sla_sweep import AT_ONCE
from tickets.jobs import sla_sweep
from tickets.jobs.kind import Context

COUNT = 3 * AT_ONCE + 7
TOLD = "SELECT seq, ticket_id, type, target FROM events WHERE organization_id = ? AND target IS NOT NULL ORDER BY seq"


def late_tickets(bench: Bench, *, count: int) -> int:
    """Raise tickets that are overdue in every way by now; returns their organization."""
    with time_machine.travel(timedelta(days=-4), tick=False), bench.database.write() as tx:
        made = organizations.create(tx, name="Acme")
        user = users.create(tx, SYSTEM, made.id, role="admin", email="ada@acme.example", name="Ada")
        caller = Principal(user.id, made.id, "admin", "Ada", frozenset("*"))
        fields = {"subject": "S", "description": "D", "contact_id": contacts.of_caller(tx, caller).id}
        for _ in range(count):
            lifecycle.create(tx, caller, fields)
    return int(made.id)


class Watched:
    """A database that notes after each transaction of how many tickets there is something to tell."""

    def __init__(self, database: Database) -> None:
        self.left: list[int] = []
        self._database = database

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._database.write() as tx:
            yield tx
            found = tx._connection.execute("SELECT count(*) FROM tickets WHERE sla_next_at IS NOT NULL")
            self.left.append(found.fetchone()[0])


def told(bench: Bench, organization_id: int) -> list[tuple[int, int, str, str]]:
    with bench.database.read() as tx:
        return tx._connection.execute(TOLD, [organization_id]).fetchall()


class TestSweep:
    def test_many_workers_tell_of_each_target_once(self, bench: Bench):
        organization_id = late_tickets(bench, count=COUNT)
        for _ in range(8):
            bench.enqueue(sla_sweep.KIND.name)
        for _ in range(3):
            bench.worker(sla_sweep.KIND, threads=3)
        until(lambda: bench.jobs() == [], seconds=60)
        events = told(bench, organization_id)
        assert len(events) == len({event[1:] for event in events}) == 4 * COUNT
        assert [seq for seq, *_ in events] == list(range(events[0][0], events[0][0] + len(events)))

    def test_it_goes_in_bites_between_which_others_write(self, bench: Bench):
        late_tickets(bench, count=COUNT)
        watched = Watched(bench.database)
        sla_sweep.KIND.run(None, Context(bench.settings, watched))  # type: ignore[arg-type]
        assert watched.left == [COUNT - AT_ONCE, COUNT - 2 * AT_ONCE, COUNT - 3 * AT_ONCE, 0]

    def test_nothing_is_left_to_do_the_next_time(self, bench: Bench):
        organization_id = late_tickets(bench, count=3)
        for _ in range(2):
            sla_sweep.KIND.run(None, bench.context)  # type: ignore[arg-type]
        assert len(told(bench, organization_id)) == 12

    def test_an_organization_that_is_on_its_way_out_stops_nobody(self, bench: Bench):
        gone = late_tickets(bench, count=COUNT)
        with bench.database.write() as tx:
            organizations.remove(tx, access.organization(tx, gone))
            tx._connection.execute("DELETE FROM counters WHERE organization_id = ?", [gone])
        sla_sweep.KIND.run(None, bench.context)  # type: ignore[arg-type]
        assert told(bench, gone) == []
