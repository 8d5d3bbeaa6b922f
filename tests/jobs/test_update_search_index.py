"""update_search_index: long texts get into the index and out of it after the commit, and nobody finds what is stale."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from sqlalchemy import bindparam, select
from workbench import Bench, until

from tickets.db import Database, Row, Statement, Transaction
from tickets.domain import comments, contacts, entities, index_updates, lifecycle, merging, organizations, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.domain.search import SEARCH
from tickets.http.transaction import Writer
from tickets.jobs import erase_organizations, queue, update_search_index
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed
from tickets.jobs.schedule import Periodic
from tickets.jobs.update_search_index import KIND
from tickets.models import Comment, Ticket

LONG = "\N{CJK UNIFIED IDEOGRAPH-6771}\N{CJK UNIFIED IDEOGRAPH-4EAC}" * 24_990
"""Near the longest text there is, of the kind that is most work."""
JOB = Claimed(1, KIND.name, {}, None, 1, 0, "")
_TICKET = Statement(select(*Ticket.__table__.c).where(Ticket.id == bindparam("id")))
_COMMENT = Statement(select(*Comment.__table__.c).where(Comment.id == bindparam("id")))


class Firm(NamedTuple):
    """An organization with somebody who works there, and what they do in a transaction of their own."""

    bench: Bench
    caller: Principal
    contact_id: int

    @classmethod
    def founded(cls, bench: Bench, name: str) -> "Firm":
        with bench.database.write() as tx:
            made = organizations.create(tx, name=name)
            user = users.create(tx, SYSTEM, made.id, email=f"a@{made.slug}.example", name="A", role="admin")
            contact = contacts.create(tx, SYSTEM, made.id, email=f"c@{made.slug}.example", name="C")
        return cls(bench, Principal(user.id, made.id, "admin", "A", frozenset({"*"})), contact.id)

    def do(self, work: Callable[[Transaction], Any]) -> Any:
        """Write as a request does."""
        with self.bench.database.write() as tx:
            tx.on_loop = True
            return work(tx)

    def raising(self, subject: str, description: str = "x") -> Callable[[Transaction], Row]:
        fields = {"subject": subject, "description": description, "contact_id": self.contact_id}
        return lambda tx: lifecycle.create(tx, self.caller, fields)

    def ticket(self, subject: str, description: str = "x") -> Row:
        return self.do(self.raising(subject, description))

    def say(self, ticket: Row, body: str, visibility: str = "public") -> Row:
        return self.do(
            lambda tx: comments.create(tx, self.caller, tx.one(_TICKET, id=ticket.id), body=body, visibility=visibility)
        )

    def change(self, ticket: Row, **changes: Any) -> None:
        self.do(lambda tx: lifecycle.change(tx, self.caller, tx.one(_TICKET, id=ticket.id), changes))

    def edit(self, comment: Row, **changes: Any) -> None:
        self.do(lambda tx: comments.change(tx, self.caller, tx.one(_COMMENT, id=comment.id), changes))

    def merge(self, ticket: Row, into: Row) -> None:
        self.do(lambda tx: merging.merge(tx, self.caller, tx.one(_TICKET, id=ticket.id), tx.one(_TICKET, id=into.id)))

    def remove(self, model: Any, row: Row) -> None:
        find = _TICKET if model is Ticket else _COMMENT
        self.do(lambda tx: entities.remove(tx, SYSTEM, model, tx.one(find, id=row.id)))

    def found(self, q: str, *, own_contact_id: int | None = None) -> list[int]:
        """Return the tickets that are found, each for as many of its texts as show why."""
        where = {"organization_id": [self.caller.organization_id], "q": [q]}
        if own_contact_id is not None:
            where["own_contact_id"] = [own_contact_id]
        with self.bench.database.read() as tx:
            page = SEARCH.page(tx, where=where, sort="", limit=200)
        assert all(row.found for row in page.rows)
        return [row.id for row in page.rows for _ in row.found]


class Watched:
    """A database that notes about how many entries of the index each of its transactions wrote."""

    def __init__(self, database: Database) -> None:
        self.steps: list[int] = []
        self._database = database

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._database.write() as tx:
            before = self.pending(tx)
            yield tx
            self.steps.append(before - self.pending(tx))

    def pending(self, tx: Transaction) -> int:
        [[entries]] = tx._connection.execute("SELECT coalesce(sum(entries), 0) FROM search_pending").fetchall()
        return int(entries)


def work(bench: Bench) -> list[int]:
    """Run the job to its end; returns about how many entries each of its transactions wrote."""
    watched = Watched(bench.database)
    KIND.run(JOB, Context(bench.settings, watched))  # type: ignore[arg-type]
    assert pending(bench) == []
    return watched.steps


def pending(bench: Bench) -> list[tuple[int, int | None]]:
    """Read which documents are pending: of which ticket, and of which comment if it is one."""
    with bench.database.read() as tx:
        sql = "SELECT place >> 16, comment_id FROM search_pending WHERE error IS NULL ORDER BY place"
        return tx._connection.execute(sql).fetchall()


def waiting(bench: Bench) -> list[str]:
    return [job.kind for job in bench.jobs()]


@pytest.fixture
def firm(bench: Bench) -> Firm:
    """An organization."""
    return Firm.founded(bench, "One")


@pytest.fixture
def other(bench: Bench) -> Firm:
    """Another."""
    return Firm.founded(bench, "Two")


class TestLater:
    def test_a_short_text_is_found_at_once_and_leaves_nothing_to_do(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer", "on fire " * 4_000)
        assert firm.found("printer") == [ticket.id]
        assert (pending(bench), waiting(bench)) == ([], [])

    def test_a_long_one_is_found_once_the_job_ran(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer", LONG)
        firm.say(ticket, LONG)
        firm.ticket("other", LONG[:12_000])
        assert firm.found("printer") == []
        work(bench)
        assert firm.found("printer") == [ticket.id]
        assert len(firm.found("\N{CJK UNIFIED IDEOGRAPH-6771}\N{CJK UNIFIED IDEOGRAPH-4EAC}")) == 3

    def test_one_job_is_enqueued_with_the_change_however_many_leave_it_something(self, bench: Bench, firm: Firm):
        for number in range(3):
            firm.ticket(f"printer {number}", LONG)
        assert waiting(bench) == [index_updates.UPDATE]
        assert len(pending(bench)) == 3
        bench.worker(KIND)
        until(lambda: bench.jobs() == [])
        assert pending(bench) == []
        assert len(firm.found("printer")) == 3

    def test_a_change_that_is_undone_leaves_nothing(self, bench: Bench, firm: Firm):
        def raise_a_ticket_and_fail(tx):
            with tx.savepoint():
                firm.raising("printer", LONG)(tx)
                raise ZeroDivisionError

        with bench.database.write() as tx:
            tx.on_loop = True
            with pytest.raises(ZeroDivisionError):
                raise_a_ticket_and_fail(tx)
        assert (pending(bench), waiting(bench)) == ([], [])

    def test_no_transaction_of_the_job_writes_more_than_others_wait_for(self, bench: Bench, firm: Firm):
        ticket, into = firm.ticket("printer"), firm.ticket("other")
        for number in range(8):
            firm.say(ticket, f"toner {number} {LONG[:-9]}")
        for number in range(40):
            firm.say(ticket, f"ink {number} " + "of a colour " * 2_000)
        work(bench)
        firm.merge(ticket, into)
        steps = work(bench)
        assert max(steps) <= index_updates.IN_THREAD
        assert len(steps) >= 2 * 8 + 1
        assert firm.found("toner") == firm.found("ink") == 3 * [into.id]

    def test_a_commit_of_many_requests_indexes_no_more_than_the_event_loop_can_spare(self, bench: Bench, firm: Firm):
        with bench.database.write() as tx:
            tx.on_loop = True
            for number in range(30):
                firm.raising(f"printer {number}", LONG[: 400 * number + 1])(tx)
        with bench.database.read() as tx:
            [[done]] = tx._connection.execute("SELECT sum(entries) FROM search_documents").fetchall()
        assert index_updates.ON_LOOP / 2 < done <= index_updates.ON_LOOP
        assert len(pending(bench)) > 10
        work(bench)
        with bench.database.read() as tx:
            assert tx._connection.execute("SELECT count(*) FROM search_documents").fetchone() == (30,)

    def test_each_organization_has_its_turn(self, bench: Bench, firm: Firm, other: Firm):
        for number in range(5):
            firm.ticket(f"printer {number}", LONG + "\N{CJK UNIFIED IDEOGRAPH-6771}" * 9)
        ticket = other.ticket("printer", LONG)
        turn = 0
        while not other.found("printer"):
            with bench.database.write() as tx:
                turn = index_updates.catch_up(tx, turn)
        assert other.found("printer") == [ticket.id]
        assert len(firm.found("printer")) <= 1


class TestBacklog:
    """However much is left to do, other jobs and other writers get their turns."""

    def watching(self, runs: list[int]) -> Kind:
        """Make the job type anew; it notes how many of its jobs run whenever one begins."""
        running, lock = [0], threading.Lock()

        def run(job: Claimed, context: Context) -> None:
            with lock:
                running[0] += 1
                runs.append(running[0])
            try:
                KIND.run(job, context)
            finally:
                with lock:
                    running[0] -= 1

        return replace(KIND, run=run)

    def test_the_sweep_and_mail_run_while_it_goes_on_for_longer_than_many_slots(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ):
        end, runs, mails = threading.Event(), list[int](), list[int]()
        monkeypatch.setattr(index_updates, "catch_up", lambda *_: None if end.is_set() else 1)
        kinds = (self.watching(runs), bench.note(), Kind("mail", lambda *_: mails.append(1), waits_outside=True))
        slots = [Periodic(kind.name, every=100) for kind in kinds]
        bench.worker(*kinds, threads=4, periodic=slots)
        try:
            until(lambda: len(bench.ran) > 12 and len(mails) > 12)
        finally:
            end.set()
        assert set(runs) == {1}

    @pytest.mark.parametrize("workers", [1, 2])
    def test_it_goes_on_after_its_bound_one_at_a_time_and_finishes_all(
        self, bench: Bench, firm: Firm, other: Firm, monkeypatch: pytest.MonkeyPatch, workers: int
    ):
        monkeypatch.setattr(index_updates, "ON_LOOP", 0)
        monkeypatch.setattr(index_updates, "IN_THREAD", 1)
        monkeypatch.setattr(update_search_index, "MOST_TRANSACTIONS", 2)
        for number in range(9):
            firm.ticket(f"printer {number}")
        made = other.ticket("printer")
        assert waiting(bench) == [KIND.name]
        for _ in range(5):
            bench.enqueue(KIND.name)
        runs: list[int] = []
        for _ in range(workers):
            bench.worker(self.watching(runs), threads=4, poll=0.01)
        until(lambda: bench.jobs() == [])
        assert pending(bench) == []
        assert (len(firm.found("printer")), other.found("printer")) == (9, [made.id])
        assert set(runs) == {1}
        assert len(runs) >= 5
        assert bench.jobs(dead=True) == []

    def test_the_next_run_goes_on_with_the_next_organization(
        self, bench: Bench, firm: Firm, other: Firm, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(index_updates, "ON_LOOP", 0)
        monkeypatch.setattr(index_updates, "IN_THREAD", 1)
        monkeypatch.setattr(update_search_index, "MOST_TRANSACTIONS", 1)
        for number in range(3):
            firm.ticket(f"printer {number}")
        made = other.ticket("printer")
        [first] = bench.claim()
        bench.enqueue(KIND.name)  # as happens when nothing was left for a moment
        KIND.run(first, bench.context)
        bench.write(queue.finish, first)
        assert waiting(bench) == [KIND.name]
        [second] = bench.claim()
        assert (len(firm.found("printer")), other.found("printer")) == (1, [])
        KIND.run(second, bench.context)
        assert (len(firm.found("printer")), other.found("printer")) == (1, [made.id])


class TestStale:
    """What changes is not found before the index has followed, and what it has become is found then."""

    @pytest.fixture(autouse=True)
    def _nothing_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index_updates, "ON_LOOP", 0)

    def test_a_ticket_that_is_deleted(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer")
        firm.say(ticket, "toner")
        work(bench)
        firm.remove(Ticket, ticket)
        assert firm.found("printer") == firm.found("toner") == []
        work(bench)
        assert firm.found("printer") == firm.found("toner") == []
        self.assert_empty(bench)

    def test_one_that_is_deleted_before_the_index_ever_had_it(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer")
        firm.say(ticket, "toner")
        firm.remove(Ticket, ticket)
        assert firm.found("printer") == []
        work(bench)
        self.assert_empty(bench)

    def test_a_ticket_that_is_merged_and_then_deleted(self, bench: Bench, firm: Firm):
        ticket, into = firm.ticket("printer"), firm.ticket("other")
        firm.say(ticket, "toner")
        work(bench)
        firm.merge(ticket, into)
        assert firm.found("toner") == []
        work(bench)
        assert firm.found("toner") == [into.id]
        firm.merge(into, back := firm.ticket("back"))
        firm.remove(Ticket, into)
        firm.remove(Ticket, ticket)
        work(bench)
        assert firm.found("toner") == [back.id]
        firm.remove(Ticket, back)
        work(bench)
        self.assert_empty(bench)

    def test_a_comment_that_becomes_internal(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer")
        said = firm.say(ticket, "toner")
        work(bench)
        assert firm.found("toner", own_contact_id=firm.contact_id) == [ticket.id]
        firm.edit(said, visibility="internal")
        assert firm.found("toner", own_contact_id=firm.contact_id) == []
        work(bench)
        assert firm.found("toner", own_contact_id=firm.contact_id) == []
        assert firm.found("toner") == [ticket.id]
        firm.edit(said, visibility="public")
        work(bench)
        assert firm.found("toner", own_contact_id=firm.contact_id) == [ticket.id]

    def test_a_ticket_that_gets_another_contact_and_another(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer")
        firm.say(ticket, "toner")
        work(bench)
        with bench.database.write() as tx:
            made = [
                contacts.create(tx, SYSTEM, firm.caller.organization_id, email=f"{n}@one.example", name="C").id
                for n in range(2)
            ]
        for contact_id in made:
            firm.change(ticket, contact_id=contact_id)
            for each in (firm.contact_id, *made):
                assert firm.found("toner", own_contact_id=each) == []
        firm.change(ticket, subject="plotter")
        work(bench)
        for each in (firm.contact_id, made[0]):
            assert firm.found("toner", own_contact_id=each) == firm.found("plotter", own_contact_id=each) == []
        assert firm.found("toner", own_contact_id=made[1]) == firm.found("plotter") == [ticket.id]
        assert firm.found("printer") == []

    def test_several_changes_of_one_place(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer")
        said = firm.say(ticket, "toner")
        firm.edit(said, body="ink")
        work(bench)
        assert (firm.found("toner"), firm.found("ink")) == ([], [ticket.id])
        for word in ("paper", "jam", "tray"):
            firm.edit(said, body=word)
            firm.change(ticket, subject=f"{word} in the tray")
        assert firm.found("ink") == firm.found("tray") == []
        work(bench)
        assert (firm.found("jam"), firm.found("tray")) == ([], 2 * [ticket.id])
        firm.remove(Comment, said)
        firm.say(ticket, "toner")
        work(bench)
        assert firm.found("toner") == firm.found("tray") == [ticket.id]

    def test_an_organization_that_is_erased(self, bench: Bench, firm: Firm, other: Firm):
        stays = other.ticket("printer")
        ticket = firm.ticket("printer")
        firm.say(ticket, "toner")
        work(bench)
        firm.say(ticket, "never in the index")
        firm.change(ticket, subject="plotter")
        bench.write(lambda tx: organizations.remove(tx, organizations.by_slug(tx, "one")))
        erase_organizations.KIND.run(None, bench.context)  # type: ignore[arg-type]
        assert firm.found("printer") == firm.found("plotter") == []
        work(bench)
        assert firm.found("printer") == firm.found("toner") == []
        assert other.found("printer") == [stays.id]
        with bench.database.read() as tx:
            assert tx._connection.execute("SELECT place >> 16 FROM search_documents").fetchall() == [(stays.id,)]

    def assert_empty(self, bench: Bench) -> None:
        with bench.database.write() as tx:
            tx._connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab('main', 'search_index', 'row')")
            left = {term for (term,) in tx._connection.execute("SELECT term FROM temp.terms")}
            assert not left & {"1xprinter", "1xtoner", "1xother", "1xback"}


class TestOneThatFails:
    """It stays out of the index and of every result, and concerns nobody else."""

    POISON = (
        "CREATE TRIGGER poison BEFORE INSERT ON search_documents WHEN new.body LIKE '%xpoison%'"
        " BEGIN SELECT RAISE(ABORT, 'poison'); END"
    )

    def together(self, bench: Bench, *works: Callable[[Transaction], Any]) -> list[Any]:
        """Let works share a commit."""

        async def run() -> list[Any]:
            writer = Writer(bench.database)
            try:
                return await asyncio.gather(*(writer.run(work) for work in works))
            finally:
                await writer.close()

        return asyncio.run(run())

    def failures(self, bench: Bench) -> list[tuple[int, str]]:
        with bench.database.read() as tx:
            sql = "SELECT place >> 16, error FROM search_pending WHERE error IS NOT NULL ORDER BY place"
            return tx._connection.execute(sql).fetchall()

    def execute(self, bench: Bench, sql: str) -> None:
        with bench.database.write() as tx:
            tx._connection.execute(sql)

    def test_the_writes_of_all_others_in_its_commit_are_stored_and_found(
        self, bench: Bench, firm: Firm, other: Firm, capsys: pytest.CaptureFixture[str]
    ):
        self.execute(bench, self.POISON)
        works = [each.raising(f"printer {n}") for n in range(6) for each in (firm, other)]
        made = self.together(bench, *works[:5], firm.raising("printer", "poison"), *works[5:])
        failed = made.pop(5)
        assert self.failures(bench) == [(failed.id, "SQLITE_CONSTRAINT_TRIGGER")]
        assert sorted(firm.found("printer") + other.found("printer")) == [row.id for row in made]
        assert firm.found("poison") == []
        assert waiting(bench) == []
        work(bench)  # tries it no more
        logged = "".join(capsys.readouterr())
        assert logged.count("not indexed") == 1
        assert "SQLITE_CONSTRAINT_TRIGGER" in logged
        assert "poison" not in logged
        # It changes: that is worth another try.
        firm.change(failed, description="better")
        assert self.failures(bench) == []
        assert firm.found("better") == [failed.id]

    def test_what_was_found_before_is_not_found_with_what_it_was(self, bench: Bench, firm: Firm):
        ticket = firm.ticket("printer")
        self.execute(bench, self.POISON)
        firm.change(ticket, description="poison")
        assert firm.found("printer") == []
        firm.remove(Ticket, ticket)
        assert (firm.found("printer"), self.failures(bench)) == ([], [])

    def test_an_index_that_is_damaged_costs_nobody_their_writes(self, bench: Bench, firm: Firm, other: Firm):
        firm.ticket("printer")
        self.execute(bench, "UPDATE search_index_data SET block = x'ffffffffffff' WHERE id = 10")
        made = self.together(bench, *(each.raising("plotter") for each in (firm, other) for _ in range(4)))
        assert [ticket_id for ticket_id, _ in self.failures(bench)] == [row.id for row in made]
        with bench.database.read() as tx:
            assert [tx.one(_TICKET, id=row.id).subject for row in made] == ["plotter"] * 8

    def test_the_job_goes_on_with_the_others(self, bench: Bench, firm: Firm):
        self.execute(bench, self.POISON)
        tickets = [firm.ticket(f"printer {n}", f"{'poison' if n == 1 else ''} {LONG[:-9]} more") for n in range(3)]
        KIND.run(JOB, bench.context)
        assert sorted(firm.found("printer")) == [tickets[0].id, tickets[2].id]
        assert [ticket_id for ticket_id, _ in self.failures(bench)] == [tickets[1].id]


class TestWordsOfWhatIsGone:
    """They do not stay, even where the index refuses to take them out."""

    def damage(self, bench: Bench) -> None:
        """Empty the index without its documents, so that it takes no words out."""
        with bench.database.write() as tx:
            tx._connection.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")

    def left(self, bench: Bench) -> list[tuple[int, str]]:
        with bench.database.read() as tx:
            sql = "SELECT place, 'pending' FROM search_pending UNION ALL SELECT place, body FROM search_documents"
            return tx._connection.execute(sql).fetchall()

    def erase(self, bench: Bench) -> None:
        bench.write(lambda tx: organizations.remove(tx, organizations.by_slug(tx, "one")))
        erase_organizations.KIND.run(None, bench.context)  # type: ignore[arg-type]
        work(bench)

    def test_those_of_an_organization_go_with_it(self, bench: Bench, firm: Firm, capsys: pytest.CaptureFixture[str]):
        firm.say(firm.ticket("printer", "secret"), "secret toner")
        self.damage(bench)
        self.erase(bench)
        assert self.left(bench) == []
        logged = "".join(capsys.readouterr())
        assert "`tickets reindex --anew`" in logged
        assert "SQLITE_CORRUPT_VTAB" in logged
        assert "secret" not in logged

    def test_those_that_failed_before_go_with_it(self, bench: Bench, firm: Firm):
        with bench.database.write() as tx:
            tx._connection.execute(TestOneThatFails.POISON)
        firm.ticket("printer", "poison")
        assert len(self.left(bench)) == 1
        self.erase(bench)
        assert self.left(bench) == []

    def test_those_of_a_ticket_and_of_a_comment_go_too(self, bench: Bench, firm: Firm):
        ticket, stays = firm.ticket("printer", "secret"), firm.ticket("other")
        said = firm.say(stays, "secret toner")
        self.damage(bench)
        firm.remove(Comment, said)
        firm.remove(Ticket, ticket)
        assert [place >> 16 for place, _ in self.left(bench)] == [stays.id]
