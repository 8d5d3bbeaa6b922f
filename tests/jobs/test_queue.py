"""The queue: what a lease allows, and what is left after each outcome."""

import contextlib
import dataclasses
import statistics

import pytest
import time_machine
from sqlalchemy.dialects import postgresql
from workbench import Bench

from tickets import clock
from tickets.domain import jobs, organizations
from tickets.jobs import queue
from tickets.jobs.kind import ATTEMPTS, LONGEST_DELAY, backoff

NOW = 1_900_000_000
"""Seconds; a whole number, since fractions of it would be rounded."""


class TestEnqueue:
    def test_a_job_is_there_with_the_commit_and_only_then(self, bench: Bench):
        with contextlib.suppress(ZeroDivisionError), bench.database.write() as tx:
            jobs.enqueue(tx, "note", {"n": 1 / (jobs.enqueue(tx, "note", {}) - 1)})
        assert bench.jobs() == []
        bench.enqueue(n=2)
        assert [job.kind for job in bench.jobs()] == ["note"]

    def test_it_goes_with_its_organization(self, bench: Bench):
        with bench.database.write() as tx:
            made = organizations.create(tx, name="Acme", slug="acme")
            jobs.enqueue(tx, "note", {}, organization_id=made.id)
        with bench.database.write() as tx:
            organizations.records.remove(tx, organizations.Organization, made)
        assert bench.jobs() == []

    def test_the_transaction_says_whom_to_tell(self, bench: Bench):
        with bench.database.write() as tx:
            assert tx.topics == set()
            jobs.enqueue(tx, "note", {})
            assert tx.topics == {jobs.TOPIC}


class TestClaim:
    def test_those_first_that_have_waited_longest_and_none_twice(self, bench: Bench):
        made = [bench.enqueue(n=n) for n in range(5)]
        first, second = bench.claim(3), bench.claim(3)
        assert [job.id for job in first + second] == made
        assert [job.payload["n"] for job in first] == [0, 1, 2]
        assert {job.attempt for job in first} == {1}
        assert bench.claim(3) == []

    def test_not_before_its_time(self, bench: Bench):
        with time_machine.travel(NOW, tick=False) as traveller:
            with bench.database.write() as tx:
                jobs.enqueue(tx, "note", {}, run_at=clock.now() + 60_000)
            assert bench.claim() == []
            traveller.shift(60)
            assert len(bench.claim()) == 1

    def test_when_the_lease_has_ended_another_may_take_it(self, bench: Bench):
        bench.enqueue()
        with time_machine.travel(NOW, tick=False) as traveller:
            (first,) = bench.claim(lease=30_000)
            traveller.shift(29)
            assert bench.claim() == []
            traveller.shift(1)
            (second,) = bench.claim()
        assert (second.id, second.attempt) == (first.id, 2)
        assert second.lease != first.lease

    def test_a_heartbeat_keeps_it(self, bench: Bench):
        bench.enqueue()
        with time_machine.travel(NOW, tick=False) as traveller:
            (job,) = bench.claim(lease=30_000)
            for _ in range(5):
                traveller.shift(20)
                assert bench.write(queue.extend, job, until=clock.now() + 30_000)
                assert bench.claim() == []

    def test_payload_and_lease_are_not_shown(self, bench: Bench):
        bench.enqueue(code="canary-123")
        (job,) = bench.claim()
        assert "canary" not in repr(job)
        assert job.lease not in repr(job)

    def test_an_index_serves_each_look(self, bench: Bench):
        with bench.database.read() as tx:
            dialect = bench.database.engine.dialect
            for statement, index in (
                (queue._FIRST, "ix_jobs_run_at"),
                (queue._DUE, "ix_jobs_run_at"),
                (queue._DEAD, "ix_jobs_dead_at"),
                (queue._LIVE, "ix_jobs_run_at"),
            ):
                compiled = statement.compiled(dialect)
                values = compiled.arguments({"now": 1, "most": 4})
                plan = tx._connection.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", values).fetchall()
                assert index in plan[0][3], plan
                assert "TEMP B-TREE" not in str(plan)


class TestOutcomes:
    def test_done_is_deleted(self, bench: Bench):
        bench.enqueue()
        (job,) = bench.claim()
        assert bench.write(queue.finish, job)
        assert bench.counts() == {"waiting": 0, "running": 0, "dead": 0}

    def test_failed_waits(self, bench: Bench):
        bench.enqueue()
        with time_machine.travel(NOW, tick=False) as traveller:
            (job,) = bench.claim()
            assert bench.write(queue.postpone, job, delay=5_000, error="No answer. " * 100)
            assert bench.counts() == {"waiting": 1, "running": 0, "dead": 0}
            assert bench.claim() == []
            traveller.shift(5)
            (again,) = bench.claim()
        assert again.attempt == 2
        assert bench.jobs()[0].last_error == ("No answer. " * 100)[:500]

    def test_given_back_it_has_lost_no_attempt(self, bench: Bench):
        bench.enqueue()
        (job,) = bench.claim()
        assert bench.write(queue.give_back, job, delay=0)
        (again,) = bench.claim()
        assert again.attempt == 1

    def test_dead_it_stays_and_is_retried_on_request_with_all_its_attempts(self, bench: Bench):
        bench.enqueue(n=1)
        (job,) = bench.claim()
        assert bench.write(queue.bury, job, error="No such address.")
        assert bench.claim() == bench.jobs() == []
        assert [(row.id, row.last_error) for row in bench.jobs(dead=True)] == [(job.id, "No such address.")]
        assert bench.write(queue.revive, job.id) == 1
        assert bench.write(queue.revive, job.id) == 0
        (again,) = bench.claim()
        assert (again.attempt, again.payload) == (1, {"n": 1})

    def test_all_dead_letters_are_retried_together(self, bench: Bench):
        for n in range(3):
            bench.enqueue(n=n)
        for job in bench.claim(2):
            bench.write(queue.bury, job, error="")
        assert bench.write(queue.revive) == 2
        assert bench.counts() == {"waiting": 3, "running": 0, "dead": 0}


class TestFencing:
    """Who lost the lease changes nothing any more."""

    @pytest.mark.parametrize(
        ("outcome", "named"),
        [
            (queue.finish, {}),
            (queue.postpone, {"delay": 0, "error": "late"}),
            (queue.give_back, {"delay": 0}),
            (queue.bury, {"error": "late"}),
            (queue.extend, {"until": 1}),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_an_outcome_that_comes_too_late_does_nothing(self, bench: Bench, outcome, named):
        bench.enqueue()
        (first,) = bench.claim(lease=0)
        (second,) = bench.claim()
        before = bench.jobs()
        assert not bench.write(outcome, first, **named)
        assert bench.jobs() == before
        assert bench.write(queue.finish, second)

    def test_a_forged_lease_does_nothing_either(self, bench: Bench):
        bench.enqueue()
        (job,) = bench.claim()
        assert not bench.write(queue.finish, dataclasses.replace(job, lease="0" * 32))


class TestBackoff:
    @pytest.mark.parametrize(
        ("attempt", "longest"), [(1, 5), (2, 10), (5, 80), (12, 10_240), (13, 14_400), (16, 14_400)]
    )
    def test_each_wait_is_anything_up_to_twice_the_last(self, attempt: int, longest: int):
        waits = [backoff(attempt) for _ in range(2_000)]
        assert min(waits) >= 0
        assert max(waits) <= longest * 1_000
        assert statistics.mean(waits) == pytest.approx(longest * 500, rel=0.1)
        assert statistics.stdev(waits) == pytest.approx(longest * 1_000 / 12**0.5, rel=0.1)

    def test_all_together_outlast_a_night(self):
        most = sum(min(5_000 * 2 ** (attempt - 1), LONGEST_DELAY) for attempt in range(1, ATTEMPTS))
        assert 16 * clock.HOUR < most < 20 * clock.HOUR


def test_a_statement_of_postgresql_skips_what_others_hold():
    assert "FOR UPDATE SKIP LOCKED" in str(queue._DUE.clause.compile(dialect=postgresql.dialect()))
