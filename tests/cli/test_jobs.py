"""jobs and worker: what waits is shown, what is dead comes back, and a signal ends a worker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from commands import Desk

from tickets import clock
from tickets.domain import jobs, mail
from tickets.jobs import queue
from tickets.jobs.registry import PERIODIC
from tickets.settings import Settings


@pytest.fixture
def dead(desk: Desk) -> Desk:
    """A desk with two dead letters and a job that waits."""
    with desk.database() as database, database.write() as tx:
        for code in ("canary-1", "canary-2"):
            named = {"to": "ada@acme.example", "name": "Ada", "code": code, "minutes": 10}
            mail.enqueue(tx, Settings(var_dir=desk.var_dir), "verify_email", **named)
        for job in queue.claim(tx, queue.due(tx)[:2], until=clock.now() + 1_000):
            queue.bury(tx, job, error="The mail server refuses the recipient: 550 [red]")
        jobs.enqueue(tx, "note", {"code": "canary-3"}, run_at=clock.now() + clock.HOUR)
    return desk


class TestList:
    def test_it_shows_what_waits(self, dead: Desk):
        shown = dead.ok("jobs", "list")
        assert "note" in shown
        assert "send_email" not in shown
        assert "1 waiting, 0 running, 2 dead." in shown

    def test_dead_letters_are_shown_with_their_error_and_without_their_payload(self, dead: Desk):
        shown = dead.ok("jobs", "list", "--dead")
        assert shown.count("refuses the recipient: 550 [red]") == 2
        assert "canary" not in shown

    def test_as_json(self, dead: Desk):
        shown = dead.json("jobs", "list", "--dead", "--limit", "1")
        assert shown["counts"] == {"waiting": 1, "running": 0, "dead": 2}
        ((letter),) = shown["data"]
        assert letter.keys() == {
            *("id", "kind", "organization_id", "state", "attempts", "created_at", "run_at", "dead_at", "last_error")
        }
        assert (letter["kind"], letter["state"], letter["attempts"], letter["run_at"]) == (
            "send_email",
            "dead",
            1,
            None,
        )
        (waiting,) = dead.json("jobs", "list")["data"]
        assert (waiting["state"], waiting["dead_at"], waiting["last_error"]) == ("waiting", None, None)

    def test_of_nothing_the_counts_are_left(self, desk: Desk):
        assert desk.ok("jobs", "list") == "0 waiting, 0 running, 0 dead.\n"


class TestRetry:
    def test_one(self, dead: Desk):
        assert dead.ok("jobs", "retry", "1") == "1 put back into the queue.\n"
        assert dead.json("jobs", "list")["counts"] == {"waiting": 2, "running": 0, "dead": 1}

    def test_all(self, dead: Desk):
        assert dead.json("jobs", "retry", "--all") == {"retried": 2}
        assert dead.json("jobs", "retry", "--all") == {"retried": 0}

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ((), "--all"),
            (("1", "--all"), "--all"),
            (("3",), "no dead letter 3"),
            (("99",), "no dead letter 99"),
            (("0",), "'[ID]'"),
            (("one",), "'[ID]'"),
        ],
    )
    def test_anything_else_is_one_line(self, dead: Desk, words: tuple[str, ...], told: str):
        assert told in dead.fails("jobs", "retry", *words)

    def test_an_unknown_command_is_one_line(self, desk: Desk):
        assert "No such command 'lst'" in desk.fails("jobs", "lst")


class Working:
    """`tickets worker` as a process."""

    def __init__(self, desk: Desk, *options: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tickets", "worker", *options],
            env={**os.environ, **desk.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.first = json.loads(self.process.stderr.readline())

    def end(self, signum: int) -> tuple[int, str, str]:
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def enqueue(desk: Desk) -> Iterator[Any]:
    """Write a mail into the queue."""
    with desk.database() as database:

        def one() -> None:
            with database.write() as tx:
                settings = Settings(var_dir=desk.var_dir)
                mail.enqueue(tx, settings, "already_registered", to="ada@acme.example", name="Ada")

        yield one


class TestWorker:
    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
    def test_it_runs_jobs_until_a_signal_and_tells_how_many(self, desk: Desk, enqueue, signum: int):
        for _ in range(5):
            enqueue()
        working = Working(desk, "--json", "--threads", "2")
        assert working.first["event"] == "working"
        deadline = time.monotonic() + 10
        while desk.rows("SELECT count(*) FROM jobs") != [(0,)]:
            assert time.monotonic() < deadline
        code, out, err = working.end(signum)
        assert (code, err) == (0, "")
        told = json.loads(out)
        assert told["failed"] == 0
        # Five mails, and each periodic job; the sweep once more where a minute ended meanwhile.
        assert told["done"] - 5 - len(PERIODIC) in (0, 1)
        assert len(list((desk.var_dir / "mail").glob("*.eml"))) == 5

    def test_wrong_arguments_are_one_line(self, desk: Desk):
        assert "--threads" in desk.fails("worker", "--threads", "0")
