"""The worker: what it does with a job, how soon, and what does not bring it down."""

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing

import pytest
import structlog
from workbench import Bench, until

from tickets import clock
from tickets.domain import jobs
from tickets.errors import ServiceUnavailable
from tickets.http.transaction import Writer
from tickets.jobs import queue
from tickets.jobs.kind import Context, JobFailed, Kind
from tickets.jobs.schedule import Periodic

LONG = 60.0
"""Seconds between two looks of a worker that is to be woken."""


def failing(error: BaseException, **options) -> Kind:
    def run(*_) -> None:
        raise error

    return Kind("note", run, **{"delay": lambda _: 0, **options})


class TestRunning:
    def test_what_is_done_is_gone(self, bench: Bench):
        for n in range(20):
            bench.enqueue(n=n)
        bench.worker(threads=3)
        until(lambda: bench.jobs() == [])
        assert sorted(told["n"] for told in bench.ran) == list(range(20))

    def test_what_fails_is_tried_again_and_at_last_dead(self, bench: Bench):
        bench.enqueue()
        with structlog.testing.capture_logs() as lines:
            bench.worker(failing(JobFailed("No  answer\nyet."), attempts=3))
            (job,) = until(lambda: bench.jobs(dead=True))
        assert (job.attempts, job.last_error) == (3, "No answer yet.")
        assert [(line["event"], line["attempt"]) for line in lines] == [
            ("job failed", 1),
            ("job failed", 2),
            ("job is dead", 3),
        ]

    def test_what_fails_for_good_is_dead_at_once(self, bench: Bench):
        bench.enqueue()
        bench.worker(failing(JobFailed("Never.", permanent=True)))
        (job,) = until(lambda: bench.jobs(dead=True))
        assert (job.attempts, job.last_error) == (1, "Never.")

    @pytest.mark.parametrize("error", [ValueError("canary-123"), SystemExit("canary-123"), MemoryError()])
    def test_an_error_nobody_expected_is_told_without_its_text(self, bench: Bench, error: BaseException):
        bench.enqueue(code="canary-123")
        with structlog.testing.capture_logs() as lines:
            bench.worker(failing(error, attempts=2), threads=1)
            (job,) = until(lambda: bench.jobs(dead=True))
        assert job.last_error == type(error).__name__
        assert any("test_worker.py" in place for place in lines[0]["trace"])
        assert "canary" not in repr(lines) + repr(job)

    def test_after_a_failure_the_next_job_runs(self, bench: Bench):
        bench.enqueue("bad")
        bench.enqueue(n=1)
        bad = Kind("bad", failing(SystemExit()).run)
        bench.worker(bad, bench.note(), threads=1)
        until(lambda: bench.ran)

    def test_a_kind_it_does_not_know_waits_for_a_worker_that_does(self, bench: Bench):
        bench.enqueue("novelty")
        bench.worker()
        until(lambda: bench.jobs()[0].last_error)
        (job,) = bench.jobs()
        assert job.last_error == "This version does not know the kind novelty; a newer one may."
        assert job.run_at <= clock.now() + 5_000

    def test_a_job_that_kills_its_workers_is_dead_after_all_its_attempts(self, bench: Bench):
        bench.enqueue()
        for _ in range(2):
            bench.claim(lease=0)
        bench.worker(Kind("note", bench.note().run, attempts=2))
        (job,) = until(lambda: bench.jobs(dead=True))
        assert job.last_error == "Its worker died each time it ran."
        assert bench.ran == []

    def test_a_job_may_enqueue_another_which_runs_at_once(self, bench: Bench):
        def run(_, context) -> None:
            with context.database.write() as tx:
                jobs.enqueue(tx, "note", {"n": 2})

        bench.enqueue("first")
        bench.worker(Kind("first", run), bench.note(), poll=LONG)
        until(lambda: bench.ran)


class TestLease:
    def test_a_long_job_is_kept_alive(self, bench: Bench):
        object.__setattr__(bench.settings, "worker_lease", 1)
        began, end = threading.Semaphore(0), threading.Event()
        kind = Kind("note", lambda *_: (began.release(), end.wait(20)))
        bench.enqueue()
        for _ in range(2):
            bench.worker(kind)
        assert began.acquire(timeout=5)
        first = bench.jobs()[0].run_at
        until(lambda: bench.jobs()[0].run_at > first + 2_000)
        assert not began.acquire(blocking=False)
        end.set()
        until(lambda: bench.jobs() == [])

    def test_one_that_is_lost_while_it_runs_is_told_of_once_and_its_lease_asked_for_no_more(
        self, bench: Bench, monkeypatch
    ):
        object.__setattr__(bench.settings, "worker_lease", 1)
        asked: list[bool] = []
        extend = queue.extend
        monkeypatch.setattr(queue, "extend", lambda *job, until: asked.append(extend(*job, until=until)) or asked[-1])
        began, end = threading.Event(), threading.Event()
        bench.enqueue()
        with structlog.testing.capture_logs() as lines:
            bench.worker(Kind("note", lambda *_: (began.set(), end.wait(20))), poll=0.05)
            assert began.wait(5)
            with bench.database.write() as tx:
                tx._connection.execute("DELETE FROM jobs")
            until(lambda: any("lost while it runs" in line["event"] for line in lines))
            threading.Event().wait(1)  # three more beats
            end.set()
            until(lambda: any("ended too late" in line["event"] for line in lines))
        assert [line["event"].split(":")[0] for line in lines] == ["job is lost while it runs", "job ended too late"]
        assert asked.count(False) == 1

    def test_a_job_whose_worker_died_is_taken_when_the_lease_ends(self, bench: Bench):
        bench.enqueue(n=1)
        bench.claim(lease=300)
        bench.worker(poll=LONG)
        until(lambda: bench.ran)

    def test_who_comes_back_after_losing_it_spoils_nothing(self, bench: Bench):
        begun, end = threading.Event(), threading.Event()
        bench.enqueue()
        with structlog.testing.capture_logs() as lines:
            worker = bench.worker(Kind("note", lambda *_: (begun.set(), end.wait(20))), poll=LONG)
            assert begun.wait(5)
            with bench.database.write() as tx:
                tx._connection.execute("UPDATE jobs SET run_at = 0")
            (taken,) = bench.claim()
            end.set()
            until(lambda: worker.ended["done"])
        assert lines[0]["event"].startswith("job ended too late")
        assert bench.write(queue.finish, taken)

    def test_two_workers_never_run_one_job_at_once(self, bench: Bench):
        running, most, runs, lock = Counter(), Counter(), Counter(), threading.Lock()

        def run(job, _) -> None:
            number = job.payload["n"]
            with lock:
                running[number] += 1
                most[number] = max(most[number], running[number])
                runs[number] += 1
            threading.Event().wait(0.002)
            with lock:
                running[number] -= 1
            if runs[number] < 3:
                raise JobFailed("once more")

        for n in range(40):
            bench.enqueue(n=n)
        for _ in range(3):
            bench.worker(Kind("note", run, delay=lambda _: 0))
        until(lambda: bench.jobs() == [])
        assert set(runs.values()) == {3}
        assert set(most.values()) == {1}


class TestWaking:
    def test_a_commit_of_this_process_wakes_it_at_once(self, bench: Bench):
        worker = bench.worker(poll=LONG)

        async def write(*, long: bool) -> None:
            writer = Writer(bench.database, {jobs.TOPIC: worker.wake})
            await writer.run(lambda tx: jobs.enqueue(tx, "note", {"at": clock.now(), "long": long}), long=long)
            await writer.close()

        for number, long in enumerate((False, True), start=1):
            asyncio.run(write(long=long))
            until(lambda number=number: len(bench.ran) == number)

    def test_a_commit_without_a_job_does_not(self, bench: Bench):
        told = []

        async def write() -> None:
            writer = Writer(bench.database, {jobs.TOPIC: lambda: told.append(1)})
            await writer.run(lambda tx: tx.topics.add("else"))
            with pytest.raises(ZeroDivisionError):
                await writer.run(lambda _: 1 / 0)
            await writer.close()

        asyncio.run(write())
        assert told == []

    def test_what_another_process_enqueued_is_seen_at_the_next_poll(self, bench: Bench):
        bench.worker()
        for n in range(3):
            began = time.monotonic()
            bench.enqueue(n=n)
            until(lambda n=n: len(bench.ran) > n)
            assert time.monotonic() - began < 10

    def test_what_is_due_later_runs_when_it_is(self, bench: Bench):
        with bench.database.write() as tx:
            jobs.enqueue(tx, "note", {}, run_at=clock.now() + 300)
        began = time.monotonic()
        bench.worker(poll=LONG)
        until(lambda: bench.ran)
        assert time.monotonic() - began > 0.25

    def test_an_idle_worker_writes_nothing(self, bench: Bench):
        bench.worker(poll=0.01, periodic=[Periodic("note", clock.DAY)])
        until(lambda: bench.ran and bench.jobs() == [])
        with closing(sqlite3.connect(bench.database.path)) as connection:
            (before,) = connection.execute("PRAGMA data_version").fetchone()
            threading.Event().wait(0.3)
            assert connection.execute("PRAGMA data_version").fetchone() == (before,)


class TestEnd:
    def test_what_runs_is_finished_and_the_rest_left(self, bench: Bench):
        begun, end = threading.Event(), threading.Event()
        kind = Kind("note", lambda *_: (begun.set(), end.wait(20)))
        for _ in range(3):
            bench.enqueue()
        worker = bench.worker(kind, threads=1)
        assert begun.wait(5)
        stopping = threading.Thread(target=worker.stop, args=(10,))
        stopping.start()
        end.set()
        stopping.join(5)
        assert not stopping.is_alive()
        assert bench.counts() == {"waiting": 2, "running": 0, "dead": 0}

    def test_what_takes_too_long_is_given_back(self, bench: Bench):
        begun, end = threading.Event(), threading.Event()
        bench.enqueue()
        worker = bench.worker(Kind("note", lambda *_: (begun.set(), end.wait(20))))
        assert begun.wait(5)
        began = time.monotonic()
        worker.stop(0.2)
        assert time.monotonic() - began < 10
        (job,) = bench.jobs()
        assert (job.lease, job.attempts) == (None, 0)
        assert job.run_at <= clock.now() + 5_000
        end.set()

    def test_a_job_that_has_not_used_the_database_when_it_is_given_back_never_does(self, bench: Bench):
        begun, end, ended = threading.Event(), threading.Event(), threading.Event()
        refused: list[ServiceUnavailable] = []

        def run(_: object, context: Context) -> None:
            begun.set()
            assert end.wait(20)
            for use in (context.database.write, context.database.read):
                try:
                    with use() as tx:
                        tx._connection.execute("SELECT 1")
                except ServiceUnavailable as error:
                    refused.append(error)
            ended.set()

        bench.enqueue()
        worker = bench.worker(Kind("note", run))
        assert begun.wait(5)
        worker.stop(0)
        end.set()
        assert ended.wait(5)
        assert [error.detail for error in refused] == ["The process is ending."] * 2
        (job,) = bench.jobs()  # others use it still
        assert job.lease is None

    def test_one_that_was_never_started_ends_too(self, bench: Bench):
        bench.worker().stop(1)
        bench.workers.clear()


class TestTrouble:
    def test_a_database_that_fails_is_told_once_and_waited_for(self, bench: Bench):
        with structlog.testing.capture_logs() as lines:
            bench.worker(poll=0.02)
            until(lambda: not bench.workers[0]._failing)
            with bench.database.write() as tx:
                tx._connection.execute("ALTER TABLE jobs RENAME TO gone")
            until(lambda: lines)
            threading.Event().wait(0.2)
            with bench.database.write() as tx:
                tx._connection.execute("ALTER TABLE gone RENAME TO jobs")
            bench.enqueue(n=1)
            until(lambda: bench.ran)
        assert [line["event"] for line in lines] == ["worker waits for the database"]

    def test_an_outcome_is_kept_until_it_can_be_written(self, bench: Bench):
        begun, end = threading.Event(), threading.Event()
        bench.enqueue()
        bench.worker(Kind("note", lambda *_: (begun.set(), end.wait(20))), poll=0.02)
        assert begun.wait(5)
        with bench.database.write() as tx:
            tx._connection.execute("ALTER TABLE jobs RENAME TO gone")
        end.set()
        until(lambda: bench.workers[0]._failing)
        with bench.database.write() as tx:
            tx._connection.execute("ALTER TABLE gone RENAME TO jobs")
        until(lambda: bench.jobs() == [])
        assert bench.workers[0].ended == {"done": 1}
