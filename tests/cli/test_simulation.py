"""generate, process, schedule: a desk at work, however many of them at once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import time_machine
from commands import Desk as Office

from tickets import clock
from tickets.cli.simulation import Desk
from tickets.db import Database
from tickets.domain import organizations, users
from tickets.domain.events import SYSTEM
from tickets.errors import NotFound

TOGETHER = 10
NOON = 1_900_022_400
"""Seconds; the beginning of an hour."""


@contextmanager
def processes(office: Office, *words: str, count: int = 1) -> Iterator[list["subprocess.Popen[str]"]]:
    """Start a command several times at once."""
    command = [sys.executable, "-m", "tickets", *words, "--json"]
    environment = {**os.environ, **office.env, "TICKETS_LOG_LEVEL": "info"}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def together(office: Office, *words: str) -> list[dict[str, Any]]:
    """Run a command several times at once, and return what each prints."""
    with processes(office, *words, count=TOGETHER) as started:
        told = [process.communicate(timeout=120) for process in started]
        assert [process.returncode for process in started] == [0] * TOGETHER, told
    return [json.loads(printed) for printed, _ in told]


def recounted(office: Office) -> bool:
    """Tell whether the tallies are what counting gives."""
    counted = office.rows("SELECT organization_id, status, priority, count(*) FROM tickets GROUP BY 1, 2, 3")
    return counted == office.rows(
        "SELECT organization_id, status, priority, total FROM ticket_tallies WHERE total != 0 ORDER BY 1, 2, 3"
    )


class TestGenerate:
    def test_tickets_are_raised_as_over_the_api(self, acme: Office):
        acme.ok("create-user", "--org", "acme", "--email", "cleo@acme.example", "--role", "user")
        assert acme.json("generate", "--count", "250") == {"generated": 250, "organization": "acme"}
        assert acme.rows("SELECT count(*), min(number), max(number) FROM tickets") == [(250, 1, 250)]
        assert acme.rows("SELECT DISTINCT source, status FROM tickets") == [("simulation", "open")]
        assert acme.rows(
            "SELECT count(DISTINCT subject) > 50, count(DISTINCT priority), count(DISTINCT type) FROM tickets"
        ) == [(1, 4, 4)]
        assert acme.rows("SELECT count(*) FROM events WHERE type = 'ticket.created'") == [(250,)]
        # Each is the ticket of the account that raised it.
        theirs = "SELECT count(*) FROM tickets t JOIN contacts c ON c.id = t.contact_id AND c.user_id = t.created_by_id"
        assert acme.rows(theirs) == [(250,)]
        assert acme.rows("SELECT count(DISTINCT created_by_id) FROM tickets") == [(2,)]
        assert recounted(acme)

    def test_it_says_which_organization_it_takes(self, acme: Office):
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        assert acme.ok("generate", "--count", "2") == "2 tickets raised in acme.\n"
        assert acme.json("generate", "--count", "3", "--org", "globex")["organization"] == "globex"
        assert acme.rows("SELECT organization_id, count(*) FROM tickets GROUP BY 1") == [(1, 2), (2, 3)]

    def test_who_cannot_raise_tickets_does_not(self, acme: Office):
        others: dict[str, dict[str, Any]] = {
            "idle": {"is_active": False},
            "new": {"vouched": False},
            "operator": {"role": "platform"},
        }
        with acme.database() as database, database.write() as tx:
            for name, more in others.items():
                users.create(tx, SYSTEM, 1, email=f"{name}@acme.example", name=name, **{"role": "user", **more})
        acme.ok("generate", "--count", "30")
        acme.ok("create-user", "--org", "acme", "--email", "eve@acme.example", "--role", "user")
        with acme.database() as database, database.write() as tx:
            # Now Ada's contact has Eve's address, so that Eve cannot have one.
            tx._connection.execute("UPDATE contacts SET email = 'eve@acme.example'")
        acme.ok("generate", "--count", "30")
        assert acme.rows("SELECT created_by_id, count(*) FROM tickets GROUP BY 1") == [(1, 60)]

    def test_where_nobody_can_it_says_so(self, acme: Office):
        with acme.database() as database, database.write() as tx:
            tx._connection.execute("UPDATE users SET is_active = 0")
        assert "an account is needed" in acme.fails("generate", "--count", "1")

    def test_ten_at_once_leave_no_gap(self, acme: Office):
        told = together(acme, "generate", "--count", "40")
        assert [each["generated"] for each in told] == [40] * TOGETHER
        assert [row[0] for row in acme.rows("SELECT number FROM tickets ORDER BY number")] == list(range(1, 401))
        assert [row[0] for row in acme.rows("SELECT seq FROM events ORDER BY seq")] == list(
            range(1, acme.rows("SELECT count(*) FROM events")[0][0] + 1)
        )
        assert recounted(acme)

    @pytest.mark.parametrize("words", [(), ("--count", "0"), ("--count", "-1"), ("--count", "many")])
    def test_wrong_words_are_refused(self, acme: Office, words: tuple[str, ...]):
        for command in ("generate", "process"):
            assert "--count" in acme.fails(command, *words)

    def test_an_organization_that_is_not_there_is_told(self, acme: Office):
        for command in (("generate", "--count", "1"), ("process", "--count", "1"), ("schedule",), ("stats",)):
            assert "'globex'" in acme.fails(*command, "--org", "globex")

    def test_without_any_it_says_how_to_make_one(self, desk: Office):
        for command in (("generate", "--count", "1"), ("process", "--count", "1"), ("schedule",), ("stats",)):
            assert "create-org" in desk.fails(*command)


class TestProcess:
    def test_the_oldest_that_wait_are_closed(self, acme: Office):
        acme.ok("generate", "--count", "6")
        with acme.database() as database, database.write() as tx:
            for change in (
                "created_at = 5 WHERE id = 6",
                "created_at = 4, status = 'pending' WHERE id = 5",
                "created_at = 3, status = 'resolved', resolved_at = 3 WHERE id = 4",
            ):
                tx._connection.execute(f"UPDATE tickets SET {change}")
        assert acme.json("process", "--count", "3") == {
            "processed": 3,
            "ticket_ids": [5, 6, 1],
            "organization": "acme",
        }
        assert acme.rows("SELECT id FROM tickets WHERE status = 'closed' AND closed_at = resolved_at ORDER BY 1") == [
            (1,),
            (5,),
            (6,),
        ]
        told = "SELECT entity_id, actor_type FROM events WHERE type = 'ticket.updated' ORDER BY seq"
        assert acme.rows(told) == [(5, "system"), (6, "system"), (1, "system")]
        assert "2 tickets closed in acme. None is left." in acme.ok("process", "--count", "100")
        assert acme.json("process", "--count", "1")["ticket_ids"] == []

    def test_bites_do_not_show(self, acme: Office, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tickets.domain.simulation.AT_ONCE", 4)
        assert acme.json("generate", "--count", "10")["generated"] == 10
        assert acme.json("process", "--count", "9")["ticket_ids"] == list(range(1, 10))
        assert acme.json("process", "--count", "9")["ticket_ids"] == [10]
        assert recounted(acme)

    def test_ten_at_once_close_a_thousand_different_ones(self, acme: Office):
        acme.ok("generate", "--count", "1010")
        told = together(acme, "process", "--count", "100")
        assert [each["processed"] for each in told] == [100] * TOGETHER
        closed = [ticket for each in told for ticket in each["ticket_ids"]]
        assert sorted(closed) == list(range(1, 1001))
        assert acme.rows("SELECT count(*), max(version) FROM tickets WHERE status = 'closed'") == [(1000, 2)]
        assert acme.rows("SELECT count(*) FROM events WHERE type = 'ticket.updated'") == [(1000,)]
        assert recounted(acme)


class TestSchedule:
    @pytest.fixture
    def database(self, acme: Office) -> Iterator[Database]:
        with acme.database() as database:
            yield database

    def test_a_ticket_is_raised_each_minute_and_one_closed_every_five(self, acme: Office, database: Database):
        desk = Desk(database, 1)
        with time_machine.travel(NOON, tick=False) as traveller:
            for _ in range(11):
                assert desk.turn() == 0  # it has done something, and looks once more
                assert 0 < desk.turn() <= 10
                traveller.shift(60)
        assert (desk.generated, desk.processed) == (11, 3)
        assert acme.rows("SELECT count(*), count(closed_at) FROM tickets") == [(11, 3)]
        assert acme.rows("SELECT (created_at / 1000) % 60 FROM tickets GROUP BY 1") == [(0,)]

    def test_however_many_there_are_one_takes_each_slot(self, acme: Office, database: Database):
        desks = [Desk(database, 1) for _ in range(3)]
        with time_machine.travel(NOON, tick=False) as traveller:
            for minute in range(10):
                for desk in (*desks[minute % 3 :], *desks[: minute % 3]):
                    desk.turn()
                traveller.shift(60)
        assert sum(desk.generated for desk in desks) == 10
        assert [desk.generated for desk in desks] == [4, 3, 3]
        assert sum(desk.processed for desk in desks) == 2
        assert acme.rows("SELECT count(*) FROM tickets") == [(10,)]

    def test_organizations_have_slots_of_their_own(self, acme: Office, database: Database):
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        with time_machine.travel(NOON, tick=False):
            for organization_id in (1, 2):
                Desk(database, organization_id).turn()
        assert acme.rows("SELECT organization_id, count(*) FROM tickets GROUP BY 1") == [(1, 1), (2, 1)]

    def test_it_looks_when_the_next_slot_begins_and_at_the_clock_before(self, database: Database):
        desk = Desk(database, 1)
        with time_machine.travel(NOON + 30, tick=False) as traveller:
            desk.turn()
            assert desk.turn() == 10
            traveller.shift(26)
            assert desk.turn() == 4

    def test_a_slot_whose_work_fails_stays_open(self, acme: Office, database: Database):
        desk = Desk(database, 1)
        with database.write() as tx:
            tx._connection.execute("UPDATE users SET is_active = 0")
        with time_machine.travel(NOON, tick=False):
            with pytest.raises(Exception, match="an account is needed"):
                desk.turn()
            with database.write() as tx:
                tx._connection.execute("UPDATE users SET is_active = 1")
            desk.turn()
        assert acme.rows("SELECT count(*), count(closed_at) FROM tickets") == [(1, 1)]

    def test_it_ends_with_its_organization(self, database: Database):
        desk = Desk(database, 1)
        with database.write() as tx:
            organization = organizations.by_slug(tx, "acme")
            organizations.remove(tx, organization)
        with pytest.raises(NotFound):
            desk.turn()

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_well(self, acme: Office, signum: signal.Signals):
        with processes(acme, "schedule") as [process]:
            assert process.stderr is not None
            seen = ""
            while "raised" not in seen:
                seen += process.stderr.readline()
            process.send_signal(signum)
            printed, _ = process.communicate(timeout=20)
            assert process.returncode == 0
        told = json.loads(printed)
        assert told["organization"] == "acme"
        assert told["generated"] >= 1
        assert acme.rows("SELECT count(*) FROM tickets") == [(told["generated"],)]
        assert clock.now() > 0


class TestStats:
    def test_it_shows_what_the_api_answers(self, acme: Office):
        acme.ok("generate", "--count", "5")
        acme.ok("process", "--count", "2")
        told = acme.json("stats")
        assert (told["total_tickets"], told["total_unprocessed_tickets"]) == (5, 3)
        assert told["by_status"] == {"open": 3, "in_progress": 0, "pending": 0, "resolved": 0, "closed": 2}
        assert sum(told["by_priority"].values()) == 5
        assert told["top_user"] == {"id": 1, "name": "Ada", "email": "ada@acme.example", "tickets_count": 5}
        assert told["most_recent_processed_at"] is not None

    def test_it_says_which_organization_it_takes(self, acme: Office):
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        acme.ok("seed-data", "--tickets", "1200", "--org", "globex")
        shown = acme.ok("stats")
        assert "Organization: acme" in shown
        assert "Last closed: never" in shown
        assert "Most tickets: nobody" in shown
        shown = acme.ok("stats", "--org", "globex")
        assert "Organization: globex" in shown
        assert [line.split() for line in shown.splitlines() if line.startswith("all")] == [["all", "1,200"]]
        assert recounted(acme)
        creators = "SELECT created_by_id, count(*) FROM tickets WHERE created_by_id IS NOT NULL GROUP BY 1"
        assert acme.rows(creators) == acme.rows("SELECT user_id, total FROM creator_tallies ORDER BY 1")
