"""Periodic jobs: once a slot, however many workers."""

import subprocess
import sys
from pathlib import Path

import pytest
import time_machine
from workbench import Bench, until

from tickets import clock
from tickets.jobs import queue, registry
from tickets.jobs.schedule import Periodic, Schedule

HOURLY = Periodic("note", clock.HOUR)
NOON = 1_900_022_400
"""Seconds; the beginning of an hour."""


def opened(bench: Bench, schedule: Schedule) -> int:
    """Let a worker look, and do the jobs that it enqueued; returns how many."""
    looked(bench, schedule)
    jobs = bench.claim(100)
    for job in jobs:
        bench.write(queue.finish, job)
    return len(jobs)


def looked(bench: Bench, schedule: Schedule) -> int:
    """Let a worker look; returns how many jobs it enqueued, which wait."""
    before = len(bench.jobs())
    with bench.database.write() as tx:
        schedule.enqueue(tx, schedule.due(tx))
    return len(bench.jobs()) - before


class TestSlots:
    def test_the_first_worker_that_looks_opens_a_slot_and_no_other(self, bench: Bench):
        crew = [Schedule([HOURLY]) for _ in range(3)]
        with time_machine.travel(NOON + 1, tick=False) as traveller:
            assert [opened(bench, schedule) for schedule in crew] == [1, 0, 0]
            traveller.shift(3_598)
            assert [opened(bench, schedule) for schedule in crew] == [0, 0, 0]
            traveller.shift(1)
            assert [opened(bench, schedule) for schedule in reversed(crew)] == [1, 0, 0]
        assert NOON % 3_600 == 0

    def test_of_two_that_saw_the_same_slot_one_is_too_late(self, bench: Bench):
        first, second = Schedule([HOURLY]), Schedule([HOURLY])
        with time_machine.travel(NOON, tick=False), bench.database.write() as tx:
            seen = first.due(tx), second.due(tx)
            assert seen == ([HOURLY], [HOURLY])
            first.enqueue(tx, seen[0])
            second.enqueue(tx, seen[1])
        assert len(bench.jobs()) == 1

    def test_slots_without_a_worker_are_not_made_up_for(self, bench: Bench):
        with time_machine.travel(NOON, tick=False) as traveller:
            assert opened(bench, Schedule([HOURLY])) == 1
            traveller.shift(86_400)
            assert opened(bench, Schedule([HOURLY])) == 1

    def test_a_clock_that_was_put_back_repeats_nothing(self, bench: Bench):
        with time_machine.travel(NOON, tick=False) as traveller:
            assert opened(bench, Schedule([HOURLY])) == 1
            traveller.shift(-3_600)
            assert opened(bench, Schedule([HOURLY])) == 0

    @pytest.mark.parametrize("same", [True, False], ids=["the same worker", "another"])
    def test_a_clock_that_was_years_ahead_stops_nothing_once_it_is_right(self, bench: Bench, *, same: bool):
        schedule = Schedule([HOURLY])
        with time_machine.travel(NOON + 10 * 365 * 86_400, tick=False) as traveller:
            assert opened(bench, schedule) == 1
            assert opened(bench, schedule) == 0
            traveller.move_to(NOON)
            schedule = schedule if same else Schedule([HOURLY])
            assert opened(bench, schedule) == 1
            assert opened(bench, schedule) == 0
            traveller.shift(3_600)
            assert opened(bench, schedule) == 1

    @pytest.mark.parametrize("same", [True, False], ids=["the same worker", "another"])
    def test_no_slot_is_opened_while_the_job_before_waits_or_runs(self, bench: Bench, *, same: bool):
        first = Schedule([HOURLY])
        schedule = first if same else Schedule([HOURLY])
        with time_machine.travel(NOON, tick=False) as traveller:
            assert looked(bench, first) == 1
            traveller.shift(3_600)
            assert looked(bench, schedule) == 0
            [job] = bench.claim(lease=7_200_000)
            traveller.shift(3_600)
            assert looked(bench, schedule) == 0
            assert schedule.next_at() == [(NOON + 7_201) * 1_000]
            bench.write(queue.finish, job)
            traveller.shift(1)
            assert looked(bench, schedule) == 1
            assert looked(bench, schedule) == 0

    def test_neither_a_dead_letter_nor_a_job_of_another_type_keeps_a_slot_closed(self, bench: Bench):
        schedule = Schedule([HOURLY])
        with time_machine.travel(NOON, tick=False) as traveller:
            assert looked(bench, schedule) == 1
            [job] = bench.claim()
            bench.write(queue.bury, job, error="x")
            bench.enqueue("other")
            traveller.shift(3_600)
            assert looked(bench, schedule) == 1

    def test_a_clock_that_is_put_back_does_not_keep_a_slot_closed(self, bench: Bench):
        schedule = Schedule([HOURLY])
        with time_machine.travel(NOON + 86_400, tick=False) as traveller:
            bench.enqueue()
            assert looked(bench, schedule) == 0
            traveller.shift(-86_400)
            with bench.database.write() as tx:
                tx._connection.execute("DELETE FROM jobs")
            assert looked(bench, schedule) == 1

    def test_it_knows_when_to_look_next(self, bench: Bench):
        schedule = Schedule([HOURLY])
        with time_machine.travel(NOON, tick=False), bench.database.write() as tx:
            schedule.enqueue(tx, schedule.due(tx))
            schedule.due(tx)
            assert schedule.next_at() == [(NOON + 3_600) * 1_000]


def test_three_workers_over_20_slots_run_a_job_20_times(bench: Bench, tmp_path: Path):
    file = tmp_path / "slots"
    program = [sys.executable, str(Path(__file__).with_name("ticking.py")), str(tmp_path), str(file), "400"]
    crew = [subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for process in crew:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in crew:
            assert process.stdin is not None
            process.stdin.write("start\n")
            process.stdin.flush()
        until(lambda: file.exists() and file.read_text().count("\n") >= 20)
    finally:
        for process in crew:
            process.communicate("stop\n", timeout=20)
    assert [process.returncode for process in crew] == [0, 0, 0]
    slots = [int(line) for line in file.read_text().splitlines()]
    assert slots[:20] == list(range(slots[0], slots[0] + 20))
    assert len(slots) == len(set(slots))
    assert bench.jobs() == bench.jobs(dead=True) == []


@pytest.mark.parametrize("entry", registry.PERIODIC, ids=lambda entry: entry.kind)
def test_every_periodic_job_is_a_kind_that_exists(entry: Periodic):
    assert registry.KINDS[entry.kind].name == entry.kind
    assert entry.every >= clock.SECOND
