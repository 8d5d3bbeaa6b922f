"""erase_organizations: what belongs to deleted organizations goes, in bites, and nothing else does."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, LargeBinary, String, insert
from workbench import Bench, until

from tickets.db import Transaction
from tickets.domain import access, indexing, organizations
from tickets.jobs import erase_organizations
from tickets.jobs.erase_organizations import _BITES, _LAST, _NEXT, AT_ONCE, KIND
from tickets.jobs.kind import Context
from tickets.models import Base, Organization, PendingDocument, SearchDocument

COUNT = 2 * AT_ONCE + 3
OF_NONE = ("organizations", "periodic_jobs", "mailboxes")  # an address is counted whoever has it
OF_ONE = [table for table in Base.metadata.sorted_tables if table.name not in OF_NONE]
SEARCHED = (SearchDocument.__table__, PendingDocument.__table__)
SINGLE = {"ticket_tallies"}
"""An organization has at most 20 of these, and one here, where words are always the same."""
WORDS = {
    "role": "user",
    "status": "open",
    "priority": "low",
    "type": "task",
    "source": "api",
    "visibility": "public",
    "author_type": "user",
    "purpose": "verify_email",
}
# All of these hang on the first there is: a cascade would take them all at once.
CROWDED = {"comments.ticket_id", "refresh_tokens.session_id", "team_members.team_id"}
_numbers = itertools.count(0, 10 * COUNT)


def founded(bench: Bench, *, rows: int) -> int:
    """Make an organization with so many rows in each table; a row refers to those with its own number."""
    first = next(_numbers)
    with bench.database.write() as tx:
        made = organizations.create(tx, name="Acme", slug=f"acme-{first}")
        tx._connection.execute("DELETE FROM counters WHERE organization_id = ?", [made.id])
    with bench.database.engine.connect() as connection:
        for table in OF_ONE:
            if table in SEARCHED:
                continue
            numbers = range(first + 1, first + 1 + there(table.name, rows))
            values = [{c.name: value(c, made.id, number, first + 1) for c in table.columns} for number in numbers]
            connection.execute(insert(table), values)
        connection.commit()
    with bench.database.write() as tx:
        indexing.index(tx, first + 1, first + rows)
    return made.id


def there(table: str, rows: int) -> int:
    if table == "search_documents":
        return 2 * rows  # of tickets and of comments
    return 0 if table == "search_pending" else 1 if table in SINGLE else rows


def all_of(rows: int) -> dict[str, int]:
    """Say what `counted` counts of an organization with so many rows in each table."""
    return {table.name: there(table.name, rows) for table in OF_ONE}


def value(column: Column[Any], organization_id: int, number: int, first: int) -> Any:
    if column.name == "organization_id":
        return organization_id
    if f"{column.table.name}.{column.name}" in CROWDED:
        return first
    if isinstance(column.type, String):
        return WORDS.get(column.name, f"{column.name} {number}")
    made = {JSON: {}, Boolean: True, LargeBinary: number.to_bytes(32, "big")}
    return next((made[kind] for kind in made if isinstance(column.type, kind)), number)


def remove(bench: Bench, organization_id: int) -> None:
    with bench.database.write() as tx:
        organizations.remove(tx, access.organization(tx, organization_id))


def counted(bench: Bench) -> dict[str, int]:
    """Count the rows of each table, but the job itself."""
    with bench.database.read() as tx:
        return counted_in(tx)


def counted_in(tx: Transaction) -> dict[str, int]:
    driver = tx._connection
    assert driver.execute("PRAGMA foreign_key_check").fetchall() == []
    others = {"jobs": f"WHERE kind != '{KIND.name}'"}
    return {
        table.name: driver.execute(f"SELECT count(*) FROM {table.name} {others.get(table.name, '')}").fetchone()[0]
        for table in OF_ONE
    }


class Watched:
    """A database that notes how many rows each of its transactions changed, cascades too, and may fail in the end."""

    def __init__(self, bench: Bench, *, most: int | None = None) -> None:
        self.changed: list[int] = []
        self._database = bench.database
        self._most = most

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._database.write() as tx:
            before = tx._connection.total_changes
            yield tx
            self.changed.append(tx._connection.total_changes - before)
            if len(self.changed) == self._most:
                raise KeyboardInterrupt


def erase(bench: Bench, **options: Any) -> list[int]:
    watched = Watched(bench, **options)
    context = Context(bench.settings, watched)  # type: ignore[arg-type]
    try:
        KIND.run(None, context)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        assert len(watched.changed) == options["most"]
    return watched.changed


class TestErase:
    def test_all_of_it_goes_in_bites_and_all_of_others_stays(self, bench: Bench):
        founded(bench, rows=3)
        gone = founded(bench, rows=COUNT)
        remove(bench, gone)
        changed = erase(bench)
        # With a ticket or comment goes what search knows of it.
        assert sorted(changed, reverse=True)[2 * (COUNT // AT_ONCE)] == AT_ONCE
        assert max(changed) == 2 * AT_ONCE
        assert sum(changed) == sum(all_of(COUNT).values()) + 1
        assert counted(bench) == all_of(3)
        with bench.database.read() as tx:
            assert tx.first(_NEXT) is None

    def test_one_that_died_in_the_middle_is_gone_on_with(self, bench: Bench):
        stays, gone = (founded(bench, rows=COUNT) for _ in range(2))
        remove(bench, gone)
        bites = 0
        while len(changed := erase(bench, most=7)) == 7:
            bites += 6  # the last was undone
            with bench.database.read() as tx:
                assert access.organization(tx, stays).id == stays
        assert bites > 7
        assert changed[-1] == 0
        assert counted(bench) == all_of(COUNT)

    def test_what_comes_between_two_bites_goes_too(self, bench: Bench):
        gone = founded(bench, rows=1)
        remove(bench, gone)
        with bench.database.write() as tx:
            while counted_in(tx)["teams"]:
                erase_organizations.bite(tx)
            # As a command does that fills in data: it looked at the organization before.
            tx._connection.execute(
                "INSERT INTO teams (organization_id, name, description, created_at, updated_at)"
                " VALUES (?, 'Late', '', 0, 0)",
                [gone],
            )
        assert max(erase(bench)) == 1
        assert set(counted(bench).values()) == {0}

    def test_one_job_erases_all_there_are(self, bench: Bench):
        for _ in range(3):
            remove(bench, founded(bench, rows=2))
        bench.worker(KIND)
        until(lambda: bench.jobs() == [])
        assert set(counted(bench).values()) == {0}

    def test_without_any_it_changes_nothing(self, bench: Bench):
        founded(bench, rows=2)
        assert erase(bench) == [0]


class TestBites:
    def test_every_table_with_something_of_an_organization_has_one(self):
        reached = {Organization.__table__}
        while more := {t for t in OF_ONE if {key.column.table for key in t.foreign_keys} & reached} - reached:
            reached |= more
        gone = {statement.clause.table for statement in _BITES} | {Organization.__table__}
        assert gone == reached
        assert reached | {*SEARCHED} == {Organization.__table__, *OF_ONE}

    @pytest.mark.parametrize("statement", [*_BITES, _NEXT, _LAST], ids=lambda it: str(it.clause).split("\n")[0][:60])
    def test_none_reads_a_table_as_a_whole(self, bench: Bench, statement: Any):
        with bench.database.read() as tx:
            sql = statement.compiled(bench.database.engine.dialect).sql
            plan = [row[3] for row in tx._connection.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int))]
        assert not [step for step in plan if step.startswith("SCAN")], plan

    def test_none_reads_all_rows_of_the_organization_to_find_a_few(self, bench: Bench):
        """The rows that go are looked up by their key."""
        by_key = ("USING INTEGER PRIMARY KEY (rowid=?)", "=? AND ", "(digest=?)", "one_time_secrets USING PRIMARY KEY")
        by_key += ("creator_tallies USING PRIMARY KEY (user_id=?)",)
        by_key += ("ticket_tags USING PRIMARY KEY (ticket_id=?)",)  # a ticket has 50 tags at most
        for statement in _BITES:
            with bench.database.read() as tx:
                sql = statement.compiled(bench.database.engine.dialect).sql
                first = tx._connection.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int)).fetchone()[3]
            assert any(words in first for words in by_key), first
