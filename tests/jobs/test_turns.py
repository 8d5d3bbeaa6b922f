"""Which job runs next: nobody's many jobs delay others', and a mail server that hangs delays only mail."""

import threading
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from workbench import Bench, until

from mailserver import MailServer
from tickets import clock
from tickets.domain import jobs, mail, organizations
from tickets.jobs import queue, send_email, transport
from tickets.jobs.kind import Kind
from tickets.jobs.schedule import Periodic
from tickets.jobs.turns import Turns

KINDS = {
    "mail": Kind("mail", lambda *_: None, waits_outside=True),
    "sweep": Kind("sweep", lambda *_: None),
    "index": Kind("index", lambda *_: None),
    "single": Kind("single", lambda *_: None, most_at_once=1),
}


def waiting(*jobs: tuple[str, int | None]) -> list[Any]:
    """Make jobs of a kind and a tenant that are due, one after another."""
    return [
        SimpleNamespace(id=number, kind=kind, organization_id=tenant, run_at=number)
        for number, (kind, tenant) in enumerate(jobs)
    ]


def order(threads: int, rows: list[Any], *, most: int = 100) -> list[tuple[str, int | None]]:
    """Run them all, one thread after another; each ends before the next is chosen."""
    turns, found = Turns(threads, KINDS), []
    while rows and len(found) < most:
        [row] = turns.choose(rows, 1, [])
        rows.remove(row)
        found.append((row.kind, row.organization_id))
    return found


class TestTurns:
    def test_tenants_take_turns(self):
        rows = waiting(*[("index", 1)] * 4, ("index", 2), ("index", 3), ("index", 2))
        assert [tenant for _, tenant in order(2, rows)] == [1, 2, 3, 1, 2, 1, 1]

    def test_who_has_nothing_running_comes_before_who_has(self):
        rows = waiting(("index", 1), ("index", 1), ("index", 2))
        running = waiting(("index", 1))
        assert [row.organization_id for row in Turns(4, KINDS).choose(rows, 2, running)] == [2, 1]

    def test_mail_leaves_a_thread_to_others(self):
        turns = Turns(4, KINDS)
        rows = waiting(*[("mail", tenant) for tenant in range(1, 9)], ("sweep", None))
        chosen = turns.choose(rows, 4, [])
        assert sorted(row.kind for row in chosen) == ["mail", "mail", "mail", "sweep"]
        left = [row for row in rows if row not in chosen]
        assert turns.choose(left, 1, [row for row in chosen if row.kind == "mail"]) == []

    def test_one_thread_alone_takes_mail_every_second_time(self):
        rows = waiting(*[("mail", tenant) for tenant in range(1, 5)], ("sweep", None), ("index", 9), ("index", 9))
        kinds = [kind for kind, _ in order(1, rows)]
        assert kinds[0] == "mail"
        assert not any(pair == ("mail", "mail") for pair in pairwise(kinds))
        assert kinds.count("mail") == 4

    def test_jobs_of_nobody_take_turns_by_their_kind(self):
        rows = waiting(*[("index", None)] * 5, ("sweep", None))
        assert order(2, rows, most=2) == [("index", None), ("sweep", None)]

    def test_a_type_that_runs_once_at_a_time_leaves_the_threads_to_others(self):
        turns = Turns(4, KINDS)
        rows = waiting(*[("single", None)] * 5, ("sweep", None), ("single", 1), ("index", 1))
        chosen = turns.choose(rows, 4, [])
        assert sorted(row.kind for row in chosen) == ["index", "single", "sweep"]
        left = [row for row in rows if row not in chosen]
        assert turns.choose(left, 3, [row for row in chosen if row.kind == "single"]) == []
        assert turns.choose(left, 3, [], ["single"]) == []
        assert len(turns.choose(left, 3, [])) == 1


class TestFlood:
    def test_ten_thousand_jobs_of_one_tenant_do_not_delay_anothers(self, bench: Bench):
        greedy, modest = (bench.write(organizations.create, name=name).id for name in ("Greedy", "Modest"))
        with bench.database.write() as tx:
            for number in range(10_000):
                jobs.enqueue(tx, "note", {"of": "greedy", "n": number}, organization_id=greedy)
            jobs.enqueue(tx, "note", {"of": "modest"}, organization_id=modest)
        end = threading.Event()
        begun: list[str] = []

        def run(job: queue.Claimed, _: object) -> None:
            begun.append(job.payload["of"])
            assert end.wait(30)

        bench.worker(Kind("note", run), threads=2)
        try:
            until(lambda: len(begun) == 2)
            assert sorted(begun) == ["greedy", "modest"]
        finally:
            with bench.database.write() as tx:
                tx._connection.execute("DELETE FROM jobs WHERE lease IS NULL")
            end.set()

    def test_jobs_that_may_not_run_yet_do_not_keep_the_worker_busy(self, bench: Bench, monkeypatch: pytest.MonkeyPatch):
        looked: list[int] = []
        first_run_at = queue.first_run_at
        monkeypatch.setattr(queue, "first_run_at", lambda tx: looked.append(1) or first_run_at(tx))
        begun, end = threading.Event(), threading.Event()
        outside = Kind("note", lambda *_: (begun.set(), end.wait(30)), waits_outside=True)
        for _ in range(5):
            bench.enqueue()
        bench.worker(outside, threads=2, poll=3_600.0)
        assert begun.wait(10)
        threading.Event().wait(0.5)
        assert len(looked) < 10
        end.set()
        until(lambda: bench.jobs() == [])


class TestMailServerThatHangs:
    @pytest.fixture
    def server(self) -> Iterator[MailServer]:
        made = MailServer()
        made.mood.hangs = "MAIL"
        yield made
        made.stop()

    def enqueue(self, bench: Bench, server: MailServer, count: int) -> None:
        object.__setattr__(bench.settings, "smtp_url", f"smtp://127.0.0.1:{server.port}")
        with bench.database.write() as tx:
            for number in range(count):
                to = f"u{number}@acme.example"
                mail.enqueue(tx, bench.settings, "verify_email", to=to, name="U", code="1", minutes=1)

    def test_a_periodic_job_runs_while_mail_has_all_threads_that_it_may_have(self, bench: Bench, server: MailServer):
        self.enqueue(bench, server, 10)
        slots = (Periodic("note", every=clock.SECOND),)
        bench.worker(send_email.KIND, bench.note(), threads=4, periodic=slots)
        until(lambda: server.mood.asked == 3)
        seen = len(bench.ran)
        until(lambda: len(bench.ran) >= seen + 2)
        assert server.mood.asked == 3
        server.mood.released.set()

    def test_with_one_thread_it_runs_after_one_mail_at_most(
        self, bench: Bench, server: MailServer, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(transport, "TIMEOUT", 0.2)
        self.enqueue(bench, server, 10)
        for number in range(3):
            bench.enqueue(n=number)
        asked: list[int] = []
        note = Kind("note", lambda *_: asked.append(server.mood.asked))
        bench.worker(send_email.KIND, note, threads=1)
        until(lambda: len(asked) == 3)
        assert asked[0] <= 1
        assert asked[2] <= 3
        server.mood.released.set()
