"""Service levels against an oracle that counts second by second, and knows nothing of due times."""

import itertools
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tickets import clock
from tickets.db import Connection, Transaction
from tickets.domain import access, comments, contacts, entities, lifecycle, organizations, records, sla, users
from tickets.domain import sla_policies as policies
from tickets.domain import sla_sweep as sweep
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.domain.listings import tickets, where
from tickets.models import SlaPolicy, Team, Ticket
from tickets.models.tickets import PRIORITIES, STATUSES, TYPES
from tickets.shapes.tickets import ticket as show
from tickets.shapes.tickets import told_ticket

SECOND = clock.SECOND
START = clock.parse_rfc3339("2026-01-02T03:04:05.678Z")
# Shortly before the clocks of Vienna, New York and Lord Howe are put forward or back, by an hour or half of one.
STARTS = [
    START,
    *(
        clock.parse_rfc3339(text)
        for text in (
            "2026-03-29T01:30:00.001+01:00",
            "2026-10-25T02:45:00.999+02:00",
            "2026-03-08T01:59:59.999-05:00",
            "2026-11-01T01:10:00.000-04:00",
            "2026-04-05T01:40:00.500+11:00",
            "2026-10-04T01:59:00.000+10:30",
        )
    ),
]
WORKING, DONE = ("open", "in_progress"), ("resolved", "closed")
_numbers = itertools.count(1)


class Hands:
    """The clock of the service, put where a test wants it."""

    def __init__(self, moment: int) -> None:
        self.moment = moment

    def now(self) -> int:
        return self.moment


@dataclass
class Count:
    """One of the two clocks of a ticket, as one would keep it with a stop watch and a tally."""

    minutes: int
    seconds: int = 0
    stopped_at: int | None = None
    told: set[str] = field(default_factory=set)

    @property
    def missed(self) -> bool:
        return self.seconds > self.minutes * 60

    @property
    def close(self) -> bool:
        return self.seconds > self.minutes * 48

    def due_at(self, moment: int) -> int:
        """Say when the target's seconds are over, or would have been had the clock not stopped."""
        return (self.stopped_at or moment) + (self.minutes * 60 - self.seconds) * SECOND

    def tell(self) -> list[str]:
        news = [
            what
            for what, is_so in (
                ("sla_warning", self.close and self.stopped_at is None),
                ("sla_breached", self.missed),
            )
            if is_so and what not in self.told
        ]
        self.told |= set(news)
        return news

    def promise(self, minutes: int) -> None:
        """Take another target; what is not so any more can be told again."""
        self.minutes = minutes
        self.told &= {what for what, is_so in (("sla_warning", self.close), ("sla_breached", self.missed)) if is_so}


@dataclass
class Oracle:
    """What is known of a ticket by whoever watches it."""

    fields: dict[str, Any]
    response: Count
    resolution: Count
    policy_id: int | None
    answered: bool = False
    told: Counter[tuple[str, str]] = field(default_factory=Counter)

    def second(self) -> None:
        """Count one second: the whole rule."""
        if not self.answered and self.fields["status"] not in DONE:
            self.response.seconds += 1
        if self.fields["status"] in WORKING:
            self.resolution.seconds += 1

    def move(self, status: str, moment: int) -> None:
        before, self.fields["status"] = self.fields["status"], status
        if not self.answered and (before in DONE) != (status in DONE):
            self.response.stopped_at = moment if status in DONE else None
        kinds = [("working" if s in WORKING else "done" if s in DONE else s) for s in (before, status)]
        if kinds[0] != kinds[1]:
            self.resolution.stopped_at = None if status in WORKING else moment

    def answer(self, moment: int) -> None:
        if not self.answered:
            self.answered, self.response.stopped_at = True, moment

    def promise(self, targets: sla.Targets) -> None:
        self.policy_id = targets.policy_id
        self.response.promise(targets.first_response)
        self.resolution.promise(targets.resolution)

    def sweep(self) -> None:
        for name, count in (("first_response", self.response), ("resolution", self.resolution)):
            self.told.update((what, name) for what in count.tell())

    @property
    def is_breached(self) -> bool:
        return self.response.missed or self.resolution.missed


class World:
    """An organization with its tickets, beside what the oracle knows of them."""

    def __init__(self, tx: Transaction, hands: Hands) -> None:
        self.tx, self.hands = tx, hands
        number = next(_numbers)
        self.organization_id = organizations.create(tx, name=f"World {number}").id
        self.agent = self._principal("agent", number)
        self.customer = self._principal("user", number)
        self.contact_id = contacts.of_caller(tx, self.customer).id
        self.teams = [
            entities.add(tx, SYSTEM, Team, organization_id=self.organization_id, name=f"T{n}", description="").id
            for n in range(2)
        ]
        self.promised: list[dict[str, Any]] = []
        self.watched: dict[int, Oracle] = {}

    def _principal(self, role: str, number: int) -> Principal:
        email = f"{role}@world-{number}.example"
        user = users.create(self.tx, SYSTEM, self.organization_id, role=role, name=role.title(), email=email)
        return Principal(user.id, self.organization_id, role, user.name, frozenset("*"))

    def targets(self, fields: dict[str, Any]) -> sla.Targets:
        """Look the targets up, as somebody would who has the policies on paper."""
        for policy in sorted(self.promised, key=lambda policy: (policy["position"], policy["id"])):
            if policy["types"] and fields["type"] not in policy["types"]:
                continue
            if policy["team_ids"] and fields["team_id"] not in policy["team_ids"]:
                continue
            return sla.Targets(policy["id"], *policy["minutes"][fields["priority"]])
        usual = {"urgent": (15, 240), "high": (60, 480), "medium": (240, 1440), "low": (480, 4320)}
        return sla.Targets(None, *usual[fields["priority"]])

    def policy(self, position: int, types: list[str], team: int | None, minutes: list[tuple[int, int]]) -> None:
        """Make a policy, or change the one that has the position."""
        fields = {
            "position": position,
            "conditions": {"types": types, "team_ids": [] if team is None else [self.teams[team]]},
            "targets": {
                priority: {"first_response_minutes": response, "resolution_minutes": resolution}
                for priority, (response, resolution) in zip(PRIORITIES, minutes, strict=True)
            },
        }
        there = next((policy for policy in self.promised if policy["position"] == position), None)
        if there is None:
            made = policies.create(self.tx, self.organization_id, {"name": f"P{position}", **fields})
            there = {"id": made.id}
            self.promised.append(there)
        else:
            found = records.find(self.tx, SlaPolicy, there["id"], self.organization_id)
            policies.change(self.tx, found, fields)
        there |= {"position": position, **fields["conditions"]}
        there["minutes"] = dict(zip(PRIORITIES, minutes, strict=True))

    def forget(self, number: int) -> None:
        """Delete a policy."""
        if self.promised:
            gone = self.promised.pop(number % len(self.promised))
            found = records.find(self.tx, SlaPolicy, gone["id"], self.organization_id)
            records.remove(self.tx, SlaPolicy, found)

    def raise_ticket(self, **values: Any) -> int:
        given = {"subject": "S", "description": "D", "contact_id": self.contact_id, "tags": ["all"], **values}
        made = lifecycle.create(self.tx, self.agent, given)
        fields = {"status": "open", "priority": made.priority, "type": made.type, "team_id": made.team_id}
        targets = self.targets(fields)
        counts = (Count(targets.first_response), Count(targets.resolution))
        self.watched[made.id] = Oracle(fields, *counts, targets.policy_id)
        return made.id

    def row(self, ticket_id: int) -> Any:
        return access.ticket(self.tx, self.agent, ticket_id)

    def change(self, ticket_id: int, **changes: Any) -> None:
        oracle = self.watched[ticket_id]
        status = changes.get("status", oracle.fields["status"])
        if status != oracle.fields["status"] and status not in lifecycle.TRANSITIONS[oracle.fields["status"]]:
            return
        chosen = {name: changes[name] for name in ("priority", "type", "team_id") if name in changes}
        differs = any(oracle.fields[name] != value for name, value in chosen.items())
        lifecycle.change(self.tx, self.agent, self.row(ticket_id), changes)
        oracle.fields |= chosen
        if status != oracle.fields["status"]:
            oracle.move(status, self.hands.moment)
        if differs:
            oracle.promise(self.targets(oracle.fields))

    def say(self, ticket_id: int, who: str) -> None:
        oracle, caller = self.watched[ticket_id], self.customer if who == "customer" else self.agent
        visibility = "internal" if who == "note" else "public"
        comments.create(self.tx, caller, self.row(ticket_id), body="B", visibility=visibility)
        if who == "agent":
            oracle.answer(self.hands.moment)
        elif who == "customer" and oracle.fields["status"] in ("pending", "resolved"):
            oracle.move("open", self.hands.moment)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            for oracle in self.watched.values():
                oracle.second()
        self.hands.moment += seconds * SECOND

    def sweep(self) -> None:
        sweep.bite(self.tx)
        for oracle in self.watched.values():
            oracle.sweep()

    def found(self, sort: str, **asked: bool) -> list[int]:
        """List tickets page by page, and once more by the tag that all of them have."""
        filters = where(organization_id=self.organization_id, **asked)
        ids = self._walk(filters, sort)
        assert self._walk({**filters, "tag": ["all"]}, sort) == ids
        return ids

    def _walk(self, filters: dict[str, Any], sort: str) -> list[int]:
        listing = tickets(filters)
        page = listing.page(self.tx, where=filters, sort=sort, limit=2)
        rows = page.rows
        while page.next is not None:
            page = listing.page(self.tx, where=filters, sort=sort, limit=2, position=page.next)
            rows += page.rows
            assert len(rows) <= len(self.watched)
        ids = [row.id for row in rows]
        assert listing.count(self.tx, filters) == len(ids) == len(set(ids))
        key = sort.removeprefix("-")
        order = [(getattr(row, key), row.id) for row in rows]
        assert order == sorted(order, reverse=sort.startswith("-"))
        return ids

    def check(self, sort: str) -> None:
        """Compare all that can be seen."""
        moment = self.hands.moment
        for ticket_id, oracle in self.watched.items():
            row = self.row(ticket_id)
            shown = show(row)
            assert shown["is_breached"] is oracle.is_breached
            assert shown["sla"] == {
                "policy_id": oracle.policy_id,
                "first_response_minutes": oracle.response.minutes,
                "first_response_due_at": clock.rfc3339(oracle.response.due_at(moment)),
                "resolution_minutes": oracle.resolution.minutes,
                "resolution_due_at": clock.rfc3339(oracle.resolution.due_at(moment)),
                "paused_at": oracle.resolution.stopped_at and clock.rfc3339(oracle.resolution.stopped_at),
            }
            late = row.resolved_at is not None and row.resolved_at > row.resolution_due_at
            assert late == (oracle.fields["status"] in DONE and oracle.resolution.missed)
        breached = {ticket_id for ticket_id, oracle in self.watched.items() if oracle.is_breached}
        assert set(self.found(sort, breached=True)) == breached
        assert set(self.found(sort, unbreached=True)) == self.watched.keys() - breached

    def check_log(self) -> None:
        """Compare what was told, and that the log has every ticket as it is."""
        for ticket_id, oracle in self.watched.items():
            told = self.tx._connection.execute(
                "SELECT type, target, data, changes, is_history FROM events WHERE ticket_id = ? ORDER BY seq",
                [ticket_id],
            ).fetchall()
            sla_events = [event for event in told if event[1] is not None]
            counted = Counter((event[0].removeprefix("ticket."), event[1]) for event in sla_events)
            assert counted == oracle.told
            row = self.row(ticket_id)
            latest = next(json.loads(event[2]) for event in reversed(told) if event[0].startswith("ticket."))
            assert latest == told_ticket(row)
            changes = [json.loads(event[3]) for event in told if event[3] is not None]
            flips = [change["is_breached"]["new"] for change in changes if "is_breached" in change]
            assert flips == [place % 2 == 0 for place in range(len(flips))]
            assert (flips or [False])[-1] is row.is_breached
            assert all(bool(event[4]) == (event[3] is not None) for event in sla_events)


@pytest.fixture(autouse=True)
def in_vienna() -> Iterator[None]:
    """A machine with a local time that jumps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TZ", "Europe/Vienna")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands(START)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", made.now)
        yield made


@pytest.fixture
def world(tx: Transaction, hands: Hands) -> World:
    return World(tx, hands)


which = st.integers(0, 3)
minutes = st.tuples(st.integers(1, 6), st.integers(1, 12))
policy = st.tuples(
    st.just("policy"),
    st.integers(1, 3),
    st.lists(st.sampled_from(TYPES), max_size=2, unique=True),
    st.sampled_from([None, 0, 1]),
    st.lists(minutes, min_size=4, max_size=4),
)
step = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 59, 60, 61, 240, 300, 3_600, 14_400])),
    st.tuples(st.just("wait"), st.integers(1, 400)),
    st.tuples(st.just("status"), which, st.sampled_from(STATUSES)),
    st.tuples(st.just("status"), which, st.sampled_from(STATUSES)),
    st.tuples(st.just("priority"), which, st.sampled_from(PRIORITIES)),
    st.tuples(st.just("type"), which, st.sampled_from(TYPES)),
    st.tuples(st.just("team_id"), which, st.sampled_from([None, 0, 1])),
    st.tuples(st.just("say"), which, st.sampled_from(["agent", "customer", "note"])),
    st.tuples(st.just("raise"), st.sampled_from(PRIORITIES), st.sampled_from(TYPES)),
    st.tuples(st.just("sweep")),
    policy,
    st.tuples(st.just("forget"), which),
)


def perform(world: World, action: str, *arguments: Any) -> None:
    """Take one step of a history."""
    if action in ("wait", "sweep", "policy", "forget"):
        getattr(world, action)(*arguments)
    elif action == "raise":
        if len(world.watched) < 4:
            world.raise_ticket(priority=arguments[0], type=arguments[1])
    else:
        number, value = arguments
        ticket_id = list(world.watched)[number % len(world.watched)]
        if action == "say":
            world.say(ticket_id, value)
        else:
            value = world.teams[value] if action == "team_id" and value is not None else value
            world.change(ticket_id, **{action: value})


@settings(
    max_examples=1_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    start=st.sampled_from(STARTS),
    first=policy,
    steps=st.lists(step, min_size=5, max_size=25),
    sort=st.sampled_from(["created_at", "-created_at", "updated_at", "-updated_at"]),
)
def test_a_random_history_is_as_one_who_counts_the_seconds_says(connection: Connection, start, first, steps, sort):
    hands = Hands(start)
    tx = connection.begin(write=True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", hands.now)
            world = World(tx, hands)
            perform(world, *first)
            for _ in range(2):
                world.raise_ticket(priority="urgent")
            for action in steps:
                perform(world, *action)
                world.check(sort)
            world.sweep()
            world.check(sort)
            world.check_log()
    finally:
        connection.rollback()


class TestDueTimes:
    @pytest.mark.parametrize(
        ("priority", "response", "resolution"),
        [("urgent", 15, 4 * 60), ("high", 60, 8 * 60), ("medium", 4 * 60, 24 * 60), ("low", 8 * 60, 72 * 60)],
    )
    def test_without_a_policy_they_are_the_usual_ones(self, world, priority, response, resolution):
        row = world.row(world.raise_ticket(priority=priority))
        assert row.first_response_due_at == START + response * clock.MINUTE
        assert row.resolution_due_at == START + resolution * clock.MINUTE
        assert row.sla_policy_id is None

    @pytest.mark.parametrize("late", [0, 1], ids=["the very millisecond", "one more"])
    def test_what_is_done_at_the_due_time_is_in_time_and_a_millisecond_later_it_is_not(self, world, hands, late):
        waiting, answered = world.raise_ticket(), world.raise_ticket()
        hands.moment = world.row(waiting).first_response_due_at + late
        world.say(answered, "agent")
        assert [show(world.row(each))["is_breached"] for each in (waiting, answered)] == [late == 1] * 2
        expected = {waiting, answered} if late else set()
        assert set(world.found("created_at", breached=True)) == expected
        assert set(world.found("created_at", unbreached=True)) == {waiting, answered} - expected
        hands.moment += clock.HOUR
        assert show(world.row(answered))["is_breached"] is (late == 1)

    def test_another_priority_counts_from_the_creation_and_takes_a_breach_back(self, world):
        ticket = world.raise_ticket(priority="urgent")
        world.wait(16 * 60)
        world.sweep()
        assert world.row(ticket).is_breached
        world.change(ticket, priority="high")
        row = world.row(ticket)
        assert (row.first_response_due_at, show(row)["is_breached"]) == (START + 60 * clock.MINUTE, False)
        world.wait(45 * 60)
        world.sweep()
        world.check("created_at")
        world.check_log()
        assert world.watched[ticket].told["sla_breached", "first_response"] == 2

    def test_what_was_resolved_in_time_and_opened_much_later_has_the_rest_of_its_time(self, world):
        ticket = world.raise_ticket(priority="urgent")
        world.wait(10 * 60)
        world.change(ticket, status="resolved")
        world.wait(30 * 24 * 60 * 60)
        assert not show(world.row(ticket))["is_breached"]
        world.say(ticket, "customer")
        world.wait(5 * 60)
        assert not show(world.row(ticket))["is_breached"]
        world.wait(1)
        assert show(world.row(ticket))["is_breached"]

    def test_who_is_answered_after_the_resolution_has_not_waited_in_between(self, world):
        ticket = world.raise_ticket(priority="urgent")
        world.wait(10 * 60)
        world.change(ticket, status="resolved")
        world.wait(60 * 60)
        world.say(ticket, "agent")
        row = world.row(ticket)
        assert row.first_response_due_at == row.first_responded_at + 5 * clock.MINUTE
        world.check("created_at")
        assert not show(row)["is_breached"]

    def test_a_deleted_team_chooses_the_policy_anew(self, world):
        world.policy(1, [], 0, [(1, 2)] * 4)
        ticket = world.raise_ticket(team_id=world.teams[0])
        assert world.row(ticket).first_response_minutes == 1
        team = records.find(world.tx, Team, world.teams[0], world.organization_id)
        entities.remove(world.tx, SYSTEM, Team, team)
        assert world.row(ticket).first_response_minutes == 240


class TestSweep:
    def test_a_bite_tells_of_so_many_tickets_and_the_next_of_the_others(self, world):
        for _ in range(sweep.AT_ONCE + 1):
            world.raise_ticket(priority="urgent")
        world.wait(16 * 60)
        assert [sweep.bite(world.tx) for _ in range(3)] == [sweep.AT_ONCE, 1, 0]

    def test_a_breach_changes_the_ticket_and_a_warning_does_not(self, world):
        ticket = world.raise_ticket(priority="urgent")
        world.wait(12 * 60 + 1)
        before = world.row(ticket)
        world.sweep()
        warned = world.row(ticket)
        assert (warned.version, warned.updated_at) == (before.version, before.updated_at)
        world.wait(3 * 60)
        world.sweep()
        breached = world.row(ticket)
        assert (breached.version, breached.updated_at) == (2, world.hands.moment)

    def test_it_tells_nothing_of_an_organization_that_is_deleted(self, world):
        world.raise_ticket(priority="urgent")
        world.wait(16 * 60)
        organizations.remove(world.tx, access.organization(world.tx, world.organization_id))
        before = world.tx._connection.execute("SELECT count(*) FROM events").fetchone()
        assert [sweep.bite(world.tx) for _ in range(2)] == [1, 0]
        assert world.tx._connection.execute("SELECT count(*) FROM events").fetchone() == before

    def test_an_index_has_what_is_to_be_told(self, tx: Transaction):
        sql = sweep._DUE.compiled(tx._dialect).sql
        plan = [row[3] for row in tx._connection.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int))]
        assert plan == [
            "SEARCH tickets USING INDEX ix_tickets_sla_next_at (sla_next_at<?)",
            "SEARCH organizations USING INTEGER PRIMARY KEY (rowid=?)",
        ]


class TestStored:
    """What seed-data and a migration store at once is what a life would have led to."""

    @pytest.mark.parametrize("status", STATUSES)
    def test_it_is_what_following_the_changes_gives(self, world, status):
        for answer, move in itertools.product((None, 10, 5_000), (30, 900, 3_000, 20_000)):
            if answer is not None and answer > move:
                continue
            world.hands.moment = START
            ticket = world.raise_ticket(priority="urgent")
            if answer is not None:
                world.wait(answer)
                world.sweep()
                world.say(ticket, "agent")
            world.wait(move - (answer or 0))
            world.sweep()
            if status != "open":
                world.change(ticket, status=status)
            world.sweep()
            row = world.row(ticket)
            level = sla.stored(
                sla.DEFAULT["urgent"],
                created_at=row.created_at,
                first_responded_at=row.first_responded_at,
                resolved_at=row.resolved_at,
                paused_at=row.sla_paused_at,
                moment=world.hands.moment,
            )
            assert {name: getattr(row, name) for name in sla.COLUMNS} == level


def test_the_ticket_table_has_all_columns_of_a_level():
    assert set(sla.COLUMNS) <= {column.name for column in Ticket.__table__.c}
