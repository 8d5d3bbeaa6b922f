"""Every list of tickets shows what its filters say, in order, whichever way the rows are found."""

import random
from typing import Any

import pytest

from tickets import clock
from tickets.db import Connection, Transaction
from tickets.domain import entities, listing, organizations, records, tags, users
from tickets.domain.events import SYSTEM
from tickets.domain.listings import CLOSED_TICKETS, OPEN_TICKETS, TAGGED_TICKETS, TICKETS, tickets
from tickets.models import Contact, Team, Ticket
from tickets.models.tickets import PRIORITIES, STATUSES, TYPES

COUNT = 120
TAGS = ("printer", "vip", "7", "Vip", "naïve")
PAST, FUTURE = 1_000, 10**15
TIMES = (100, 200, 200, 300)  # few, so that many tickets share one


class Crowd:
    """An organization with tickets of all kinds."""

    def __init__(self, tx: Transaction, seed: int) -> None:
        self.tx = tx
        self.dice = random.Random(seed)
        self.id = organizations.create(tx, name=f"Crowd {seed}").id
        people = {"organization_id": self.id, "external_id": None, "attributes": {}, "user_id": None}
        self.contacts = [records.add(tx, Contact, email=f"c{n}@example.com", name="C", **people).id for n in range(3)]
        self.teams = [records.add(tx, Team, organization_id=self.id, name=f"T{n}", description="").id for n in range(2)]
        self.agents = [
            users.create(tx, SYSTEM, self.id, email=f"a{n}@crowd-{seed}.example", name="A", role="agent").id
            for n in range(2)
        ]
        self.rows = [self.add(number) for number in range(1, COUNT + 1)]

    def add(self, number: int) -> Any:
        dice = self.dice
        created = dice.choice(TIMES)
        status = dice.choice(STATUSES)
        made = entities.add(
            self.tx,
            SYSTEM,
            Ticket,
            organization_id=self.id,
            number=number,
            subject="S",
            description="D",
            status=status,
            priority=dice.choice(PRIORITIES),
            type=dice.choice(TYPES),
            source="import",
            contact_id=dice.choice(self.contacts),
            assignee_id=dice.choice([None, *self.agents]),
            team_id=dice.choice([None, *self.teams]),
            created_by_id=None,
            tags=dice.sample(TAGS, dice.randrange(4)),
            custom_fields={},
            merged_into_id=None,
            first_responded_at=None,
            resolved_at=created if status in {"resolved", "closed"} else None,
            closed_at=dice.choice(TIMES) if status == "closed" else None,
        )
        breached = dice.random() < 0.3
        changes = {
            "is_breached": breached,
            "breaches_at": None if breached else dice.choice([None, PAST, FUTURE]),
            "created_at": created,
            "updated_at": created + dice.choice(TIMES),
        }
        connection = self.tx._connection
        connection.execute(
            "UPDATE tickets SET created_at = :created_at, updated_at = :updated_at, is_breached = :is_breached,"
            " breaches_at = :breaches_at WHERE id = :id",
            {**changes, "id": made.id},
        )
        connection.execute(
            "UPDATE ticket_tags SET created_at = :created_at, updated_at = :updated_at WHERE ticket_id = :id",
            {**changes, "id": made.id},
        )
        return made._replace(**changes)

    def ask(self) -> dict[str, list[Any]]:
        """Make up filters, one to four of them, with one value or several."""
        dice = self.dice
        values: dict[str, Any] = {
            "status": STATUSES,
            "priority": PRIORITIES,
            "type": TYPES,
            "assignee_id": [None, *self.agents],
            "contact_id": self.contacts,
            "own_contact_id": self.contacts,
            "team_id": self.teams,
            "tag": [*TAGS, "none"],
            "created_from": TIMES,
            "created_to": TIMES,
            "updated_since": [200, 300, 400, 500, 700],
            "breached": [True],
            "unbreached": [True],
        }
        asked: dict[str, list[Any]] = {"organization_id": [self.id]}
        for name in dice.sample(list(values), dice.randrange(5)):
            several = (
                1
                if name.startswith(("created", "updated", "own")) or name.endswith("breached")
                else dice.choice((1, 1, 2, 3))
            )
            asked[name] = dice.choices(values[name], k=several)
        return asked


def matches(row: Any, asked: dict[str, list[Any]]) -> bool:
    """Filter as the contract says."""
    for name, values in asked.items():
        if name == "created_from":
            fits = row.created_at >= values[0]
        elif name == "created_to":
            fits = row.created_at < values[0]
        elif name == "updated_since":
            fits = row.updated_at >= values[0]
        elif name in {"breached", "unbreached"}:
            late = row.is_breached or (row.breaches_at is not None and row.breaches_at < clock.now())
            fits = late == (name == "breached")
        elif name == "tag":
            fits = bool(set(values) & set(row.tags))
        else:
            fits = getattr(row, name.removeprefix("own_")) in values
        if not fits:
            return False
    return True


def walk(tx: Transaction, one: listing.Listing, asked: dict[str, list[Any]], sort: str, limit: int) -> list[Any]:
    """Walk a list to its end, and back."""
    page = one.page(tx, where=asked, sort=sort, limit=limit)
    shown, last = list(page.rows), page
    while page.next is not None:
        page = last = one.page(tx, where=asked, sort=sort, limit=limit, position=page.next)
        shown += page.rows
        assert len(shown) <= COUNT
    back: list[Any] = []
    while last.prev is not None:
        last = one.page(tx, where=asked, sort=sort, limit=limit, position=last.prev)
        back = [*last.rows, *back]
    assert [row.id for row in back] == [row.id for row in shown][: len(back)]
    return shown


@pytest.mark.parametrize("few", [0, 10, 4_000])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_listed_is_what_the_filters_say(connection: Connection, monkeypatch, seed, few):
    monkeypatch.setattr(listing, "FEW", few)
    for one in (TICKETS, TAGGED_TICKETS):
        one._probe.cache_clear()
    crowd = Crowd(connection.begin(write=True), seed)
    for _ in range(80):
        asked = crowd.ask()
        sort = crowd.dice.choice(["created_at", "-created_at", "updated_at", "-updated_at"])
        key = sort.removeprefix("-")
        expected = sorted(
            (row for row in crowd.rows if matches(row, asked)),
            key=lambda row: (getattr(row, key), row.id),
            reverse=sort.startswith("-"),
        )
        one = tickets(asked)
        ids = [row.id for row in walk(crowd.tx, one, asked, sort, crowd.dice.choice((1, 7, 50)))]
        assert ids == [row.id for row in expected], (asked, sort)
        assert one.count(crowd.tx, asked) == len(expected), asked
        offset = crowd.dice.randrange(COUNT)
        found = one.page(crowd.tx, where=asked, sort=sort, limit=5, offset=offset)
        assert [row.id for row in found.rows] == ids[offset : offset + 5]


def test_what_waits_and_what_is_closed(connection: Connection):
    crowd = Crowd(connection.begin(write=True), 9)
    for asked in ({}, {"own_contact_id": [crowd.contacts[0]]}):
        asked["organization_id"] = [crowd.id]
        rows = [row for row in crowd.rows if matches(row, asked)]
        waiting = sorted((r for r in rows if r.resolved_at is None), key=lambda row: (row.created_at, row.id))
        closed = sorted((r for r in rows if r.closed_at is not None), key=lambda row: (row.closed_at, row.id))
        assert [r.id for r in walk(crowd.tx, OPEN_TICKETS, asked, "created_at", 7)] == [r.id for r in waiting]
        assert [r.id for r in walk(crowd.tx, CLOSED_TICKETS, asked, "-closed_at", 7)] == [r.id for r in closed[::-1]]


class TestTagsInStep:
    """Whatever becomes of a ticket, its tags are found by what they are, in the order of its times."""

    @staticmethod
    def spread(tx: Transaction) -> list[tuple[Any, ...]]:
        return tx._connection.execute(
            "SELECT ticket_id, tag, organization_id, created_at, updated_at FROM ticket_tags"
        ).fetchall()

    @staticmethod
    def expected(tx: Transaction) -> list[tuple[Any, ...]]:
        return tx._connection.execute(
            "SELECT DISTINCT tickets.id, value, organization_id, created_at, updated_at FROM tickets, json_each(tags)"
        ).fetchall()

    def test_any_row_that_is_made_changed_and_deleted(self, connection: Connection):
        crowd = Crowd(connection.begin(write=True), 4)
        tx, dice = crowd.tx, crowd.dice
        assert sorted(self.spread(tx)) == sorted(self.expected(tx))
        for number in range(200):
            row = records.find(tx, Ticket, dice.choice(crowd.rows).id, crowd.id)
            act = number % 4
            if row is None:
                continue
            if act == 0:
                entities.change(tx, SYSTEM, Ticket, row, {"tags": dice.sample(TAGS, dice.randrange(4))})
            elif act == 1:
                entities.change(tx, SYSTEM, Ticket, row, {"subject": f"S{number}"})
            elif act == 2:
                entities.change(tx, SYSTEM, Ticket, row, {"tags": [*row.tags, f"t{number}"], "status": "open"})
            else:
                entities.remove(tx, SYSTEM, Ticket, row)
            assert sorted(self.spread(tx)) == sorted(self.expected(tx))
        for row in crowd.rows:
            left = records.find(tx, Ticket, row.id, crowd.id)
            if left is not None:
                entities.remove(tx, SYSTEM, Ticket, left)
        assert self.spread(tx) == []

    def test_a_tag_that_stands_there_twice_is_found_once(self, connection: Connection):
        crowd = Crowd(connection.begin(write=True), 5)
        tx, row = crowd.tx, crowd.rows[0]
        entities.change(tx, SYSTEM, Ticket, records.find(tx, Ticket, row.id, crowd.id), {"tags": ["a", "b", "a"]})
        assert sorted(self.spread(tx)) == sorted(self.expected(tx))

    def test_what_is_stored_in_bulk(self, connection: Connection):
        crowd = Crowd(connection.begin(write=True), 6)
        before = sorted(self.spread(crowd.tx))
        crowd.tx._connection.execute("DELETE FROM ticket_tags")
        tags.spread_numbered(crowd.tx, crowd.id, 1, COUNT)
        assert sorted(self.spread(crowd.tx)) == before
