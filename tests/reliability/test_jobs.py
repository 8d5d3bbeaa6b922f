"""SIGKILL while the service and workers send mail.

A few rounds here; TICKETS_TEST_KILLS=30 TICKETS_TEST_JOBS=600 is the whole proof, in some minutes.
"""

import email
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from outcomes import assert_sound, rows

from mailserver import MailServer
from service import free_port, wait_for
from tickets import migrations
from tickets.db import Database
from tickets.domain import mail
from tickets.settings import Settings

KILLS = int(os.environ.get("TICKETS_TEST_KILLS", "3"))
JOBS = int(os.environ.get("TICKETS_TEST_JOBS", "100"))


class Crew:
    """A service and two workers on one queue, which die together."""

    def __init__(self, var_dir: Path, smtp_port: int) -> None:
        self.settings = Settings(var_dir=var_dir)
        self.database = Database(self.settings)
        migrations.upgrade(self.database)
        self._port = free_port()
        self._pids: list[int] = []
        self.log = var_dir / "crew.log"
        with self.log.open("ab") as log:
            self._parent = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("crew.py")), str(self._port)],
                env={
                    **os.environ,
                    "TICKETS_VAR_DIR": str(var_dir),
                    "TICKETS_LOG_LEVEL": "warning",
                    "TICKETS_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
                    "TICKETS_WORKER_LEASE": "1",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        for member in ("serve", "worker", "worker"):
            self._parent.stdin.write(f"{member}\n")
            self._parent.stdin.flush()
            self._pids.append(int(self._parent.stdout.readline()))
        wait_for(f"http://127.0.0.1:{self._port}")

    def kill(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        self._pids.clear()

    def stop(self) -> None:
        self.kill()
        with self._parent as parent:
            assert parent.stdin is not None
            parent.stdin.close()
            parent.wait(10)
        self.database.close()


@pytest.fixture
def server() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.stop()


@pytest.fixture
def crew(tmp_path: Path, server: MailServer) -> Iterator[Crew]:
    made = Crew(tmp_path, server.port)
    yield made
    made.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_sigkills_of_service_and_workers_lose_no_mail_and_a_repeated_one_keeps_its_message_id(
    crew: Crew, server: MailServer
):
    began = time.monotonic()
    dice = random.Random(11)
    expected: set[str] = set()
    for number in range(KILLS):
        crew.start()
        before = len(server.mood.received)
        addresses = [f"u{number}-{n}@acme.example" for n in range(JOBS)]
        with crew.database.write() as tx:
            for address in addresses:
                mail.enqueue(tx, crew.settings, "verify_email", to=address, name="U", code="1", minutes=1)
        expected.update(addresses)
        share = dice.uniform(0.1, 0.7) * JOBS
        wait_until(lambda enough=before + share: len(server.mood.received) >= enough)
        crew.kill()
        left = rows(crew.database.path, "SELECT count(*) FROM jobs WHERE kind = 'send_email'")[0][0]
        assert left > 0
        crew.start()
        wait_until(lambda: rows(crew.database.path, "SELECT count(*) FROM jobs WHERE dead_at IS NULL") == [(0,)])
        crew.kill()
    ids = defaultdict(set)
    for to, content in server.mood.received:
        ids[to].add(email.message_from_bytes(content)["Message-ID"])
    assert ids.keys() == expected
    assert {len(found) for found in ids.values()} == {1}
    assert len(set.union(*ids.values())) == len(expected)
    assert rows(crew.database.path, "SELECT count(*) FROM jobs") == [(0,)]
    assert_sound(crew.database.path)
    assert "Traceback" not in crew.log.read_text()
    repeated = len(server.mood.received) - len(expected)
    print(f"{KILLS} kills, {len(expected)} mails, {repeated} repeated, {time.monotonic() - began:.0f} s")  # noqa: T201 - shown with -rP
