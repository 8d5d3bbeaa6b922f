"""Lists by keyset: a walk neither repeats nor skips a row that was there throughout, whatever others write."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert

from tickets.db import Connection, Statement, Transaction
from tickets.domain import entities, events, organizations, records
from tickets.domain.listings import EVENTS, TEAMS, TICKETS
from tickets.domain.slices import Position, Slice
from tickets.models import Team

_ADD = Statement(
    insert(Team)
    .values({name: bindparam(name) for name in ("organization_id", "name", "description", "created_at", "updated_at")})
    .returning(*Team.__table__.c)
)

times = st.integers(1, 3)  # few, so that many rows share one
changes = st.lists(st.one_of(times, st.tuples(st.just("delete"), st.integers(0, 30))), max_size=4)


@dataclass
class Teams:
    """The teams of an organization, and what was done to them."""

    tx: Transaction
    organization_id: int
    rows: dict[int, Any] = field(default_factory=dict)
    count: int = 0

    def add(self, moment: int) -> None:
        self.count += 1
        row = self.tx.one(
            _ADD,
            organization_id=self.organization_id,
            name=f"{moment} {self.count}",
            description="",
            created_at=moment,
            updated_at=moment,
        )
        self.rows[row.id] = row

    def remove(self, number: int) -> None:
        if self.rows:
            row = list(self.rows.values())[number % len(self.rows)]
            records.remove(self.tx, Team, row)
            del self.rows[row.id]

    def apply(self, some: list[Any]) -> None:
        for change in some:
            if isinstance(change, int):
                self.add(change)
            else:
                self.remove(change[1])

    def page(self, sort: str, limit: int, position: Position | None = None) -> Slice:
        where = {"organization_id": [self.organization_id]}
        return TEAMS.page(self.tx, where=where, sort=sort, limit=limit, position=position)


def _key(sort: str) -> Any:
    return lambda row: (getattr(row, sort.removeprefix("-")), row.id)


sorts = st.sampled_from(["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.lists(times, max_size=12), between=st.lists(changes, max_size=30), sort=sorts, limit=st.integers(1, 4))
def test_a_walk_shows_what_was_there_throughout_exactly_once(connection: Connection, start, between, sort, limit):
    tx = connection.begin(write=True)
    try:
        teams = Teams(tx, organizations.create(tx, name="Walked").id)
        teams.apply(start)
        throughout = set(teams.rows)
        steps = iter(between)
        seen = []
        page = teams.page(sort, limit)
        while True:
            assert len(page.rows) <= limit
            seen += page.rows
            assert len({row.id for row in seen}) == len(seen)
            if page.next is None:
                break
            teams.apply(next(steps, []))
            throughout &= set(teams.rows)
            page = teams.page(sort, limit, page.next)
        assert throughout <= {row.id for row in seen}
        assert seen == sorted(seen, key=_key(sort), reverse=sort.startswith("-"))
        if page.prev is not None:
            _back(teams, sort, limit, page, steps)
    finally:
        connection.rollback()


def _back(teams: Teams, sort: str, limit: int, page: Slice, steps: Any) -> None:
    """Walk back to the beginning under the same conditions."""
    if page.rows:
        first = page.rows[0]
        before = {
            row.id for row in teams.rows.values() if (_key(sort)(row) < _key(sort)(first)) != sort.startswith("-")
        }
        throughout = before - {first.id}
    else:  # all that lay behind the last cursor went: the way back leads over all that is there
        throughout = set(teams.rows)
    seen: list[Any] = []
    position = page.prev
    while position is not None:
        teams.apply(next(steps, []))
        throughout &= set(teams.rows)
        page = teams.page(sort, limit, position)
        seen = page.rows + seen
        assert len({row.id for row in seen}) == len(seen)
        position = page.prev
    assert throughout <= {row.id for row in seen}
    assert seen == sorted(seen, key=_key(sort), reverse=sort.startswith("-"))


def test_a_thousand_rows_of_one_moment_are_no_trouble(tx: Transaction):
    teams = Teams(tx, organizations.create(tx, name="Crowded").id)
    for _ in range(1_000):
        teams.add(1)
    shown: list[int] = []
    page = teams.page("-created_at", 70)
    while True:
        shown += [row.id for row in page.rows]
        assert len(shown) <= 1_000
        if page.next is None:
            break
        page = teams.page("-created_at", 70, page.next)
    assert shown == sorted(teams.rows, reverse=True)


def test_an_empty_filter_matches_nothing_and_asks_nothing(tx: Transaction):
    found = TICKETS.page(tx, where={"organization_id": [1], "own_contact_id": []}, sort="created_at", limit=1)
    assert found == Slice([], None, None)


def test_statements_are_kept_by_shape_not_by_value(tx: Transaction):
    TEAMS._statement.cache_clear()
    for organization_id in range(10):
        TEAMS.page(tx, where={"organization_id": [organization_id]}, sort="name", limit=organization_id + 1)
    assert TEAMS._statement.cache_info().currsize == 1


def test_few_statements_serve_all_numbers_of_values(tx: Transaction):
    TICKETS._statement.cache_clear()
    TICKETS._count.cache_clear()
    for number in range(1, 21):
        some = {"organization_id": [1], "assignee_id": [*range(number)], "type": ["task", "problem"][: number % 3]}
        for more in ({}, {"assignee_id": [*range(number - 1), None]}):
            TICKETS.page(tx, where={**some, **more}, sort="-created_at", limit=1)
            TICKETS.count(tx, {**some, **more})
    assert TICKETS._statement.cache_info().currsize <= 22
    assert TICKETS._count.cache_info().currsize <= 22


@pytest.fixture
def steps(connection: Connection) -> Callable[[Callable[[], Any]], int]:
    """Count the steps that SQLite takes for something."""
    driver = connection._open()

    def during(ask: Callable[[], Any]) -> int:
        taken = itertools.count()
        driver.set_progress_handler(lambda: next(taken) < 0, 1)
        ask()
        driver.set_progress_handler(None, 1)
        return next(taken)

    return during


def _happened(tx: Transaction, count: int) -> int:
    """Found an organization in which so much happened, and return its id."""
    organization_id: int = organizations.create(tx, name="Busy").id
    for number in range(count):
        entities.add(tx, events.SYSTEM, Team, organization_id=organization_id, name=str(number), description="")
    return organization_id


@pytest.mark.parametrize("sort", ["seq", "-seq"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_page_far_into_a_range_costs_what_the_first_costs(tx: Transaction, steps, sort, backwards):
    where = {"organization_id": [_happened(tx, 600)], "since": [0], "until": [1_000]}

    def page(seq: int) -> int:
        position = Position(backwards, seq, 0)
        return steps(lambda: EVENTS.page(tx, where=where, sort=sort, limit=5, position=position))

    page(300)
    counts = [page(seq) for seq in (100, 300, 500)]
    assert max(counts) < 1.2 * min(counts)


@pytest.mark.parametrize(
    ("sort", "beside", "expected"),
    [
        # Between the bounds, at one, and beyond: a cursor can be used with other filters.
        ("seq", (False, 4), [5, 6]),
        ("seq", (False, 2), [3, 4, 5, 6]),
        ("seq", (False, 1), [3, 4, 5, 6]),
        ("seq", (False, 7), []),
        ("seq", (True, 5), [3, 4]),
        ("seq", (True, 7), [3, 4, 5, 6]),
        ("seq", (True, 9), [3, 4, 5, 6]),
        ("-seq", (False, 5), [4, 3]),
        ("-seq", (False, 7), [6, 5, 4, 3]),
        ("-seq", (False, 9), [6, 5, 4, 3]),
        ("-seq", (True, 4), [6, 5]),
        ("-seq", (True, 1), [6, 5, 4, 3]),
    ],
)
def test_a_range_bounds_every_page(tx: Transaction, sort, beside, expected):
    where = {"organization_id": [_happened(tx, 9)], "since": [2], "until": [7]}
    ids = {
        row.seq: row.id
        for row in EVENTS.page(tx, where={**where, "since": [0], "until": [99]}, sort="seq", limit=9).rows
    }
    position = Position(*beside, ids[beside[1]])
    found = EVENTS.page(tx, where=where, sort=sort, limit=50, position=position)
    assert [row.seq for row in found.rows] == expected
