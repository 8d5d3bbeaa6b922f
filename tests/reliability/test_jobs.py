"""SIGKILL while the service and workers send mail.

A few rounds here; TICKETS_TEST_KILLS=30 TICKETS_TEST_JOBS=600 is the whole proof, in some minutes.
"""

import email
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forking import Forked
from outcomes import assert_sound, rows

from mailserver import MailServer
from tickets.domain import mail

KILLS = int(os.environ.get("TICKETS_TEST_KILLS", "3"))
JOBS = int(os.environ.get("TICKETS_TEST_JOBS", "100"))


@pytest.fixture
def server() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.stop()


@pytest.fixture
def crew(tmp_path: Path, server: MailServer) -> Iterator[Forked]:
    """A service and two workers on one queue."""
    smtp = f"smtp://127.0.0.1:{server.port}"
    made = Forked(tmp_path, "serve", "worker", "worker", TICKETS_SMTP_URL=smtp, TICKETS_WORKER_LEASE="1")
    yield made
    made.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_sigkills_of_service_and_workers_lose_no_mail_and_a_repeated_one_keeps_its_message_id(
    crew: Forked, server: MailServer
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
