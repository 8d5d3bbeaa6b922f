"""System C, a high-volume ticket simulation: one test for each row of what it can do."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine

from api.checks import ids, made, problem, walk
from cli.commands import Desk
from factories import Client, Tenant
from jobs.workbench import until
from service import ThreadService


@pytest.fixture
def acme(tmp_path: Path) -> Desk:
    """An organization to simulate."""
    desk = Desk(tmp_path)
    desk.ok("migrate")
    desk.ok("create-org", "--name", "Acme", "--email", "ada@acme.example")
    return desk


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[ThreadService]:
    """A service that limits whom it does not know as strictly as it does by itself."""
    service = ThreadService(tmp_path, rate_limit_anonymous="30/minute")
    yield service
    service.stop()


def test_a_bearer_token_can_do_what_its_abilities_say(tenant):
    with tenant.client("admin", scopes=["tickets:read"]) as client:
        bearer = {"authorization": f"Bearer {client.headers.pop('x-api-key')}"}
        assert client.get("/tickets", headers=bearer).status_code == 200
        refused = client.post("/tickets", json={"subject": "S", "description": ""}, headers=bearer)
        problem(refused, 403, "insufficient_scope")


def test_thirty_requests_a_minute_for_each_address(limited):
    with Client(limited.origin) as client, time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False):
        assert [client.get("/tickets").status_code for _ in range(32)] == [401] * 30 + [429] * 2


def test_tickets_are_generated_and_the_oldest_processed(acme):
    assert acme.json("generate", "--count", "5")["generated"] == 5
    done = acme.json("process", "--count", "3")
    assert (done["processed"], done["ticket_ids"]) == (3, [1, 2, 3])
    assert acme.rows("SELECT id FROM tickets WHERE status = 'open' ORDER BY id") == [(4,), (5,)]


def test_processing_is_safe_when_run_at_once(acme):
    acme.ok("generate", "--count", "60")
    command = [sys.executable, "-m", "tickets", "process", "--count", "20", "--json"]
    crew = [subprocess.Popen(command, env={**os.environ, **acme.env}, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(60) for process in crew] == [0, 0, 0]
    assert acme.rows("SELECT count(*), max(version) FROM tickets WHERE status = 'closed'") == [(60, 2)]
    assert acme.rows("SELECT count(*) FROM events WHERE type = 'ticket.updated'") == [(60,)]


def test_a_scheduler_generates_and_processes_as_time_goes_by(acme):
    """One a minute and one every five: tests/cli/test_simulation.py moves the clock."""
    command = [sys.executable, "-m", "tickets", "schedule"]
    with subprocess.Popen(command, env={**os.environ, **acme.env}, stderr=subprocess.PIPE, text=True) as scheduler:
        assert scheduler.stderr is not None
        lines = iter(scheduler.stderr.readline, "")
        assert any("raised" in line for line in lines)
        assert any("closed" in line for line in lines)
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(20) == 0


def test_open_tickets_come_oldest_first_and_closed_ones_latest_first_in_pages(tenant, admin):
    tickets = [tenant.ticket()["id"] for _ in range(6)]
    for ticket in (tickets[4], tickets[1], tickets[3]):
        assert admin.patch(f"/tickets/{ticket}", json={"status": "closed"}).status_code == 200
    first, second = (admin.get("/tickets/open", params={"page": page, "per_page": 2}).json() for page in (1, 2))
    assert [ticket["id"] for page in (first, second) for ticket in page["data"]] == [tickets[n] for n in (0, 2, 5)]
    assert first["total"] == second["total"] == 3
    closed = admin.get("/tickets/closed", params={"page": 1, "per_page": 5_000}).json()
    assert [ticket["id"] for ticket in closed["data"]] == [tickets[n] for n in (3, 1, 4)]


def test_the_tickets_of_one_user(tenant, admin, user):
    tenant.ticket()
    mine = made(user.post("/tickets", json={"subject": "S", "description": ""}))
    assert ids(admin.get(f"/users/{tenant.users['user'].id}/tickets")) == [mine["id"]]


def test_statistics(tenant, admin):
    for status in ("open", "closed", "closed"):
        assert admin.patch(f"/tickets/{tenant.ticket()['id']}", json={"status": status}).status_code == 200
    told, me = admin.get("/stats").json(), tenant.users["admin"]
    last = admin.get("/tickets/closed").json()["data"][0]
    assert (told["total_tickets"], told["total_unprocessed_tickets"]) == (3, 1)
    assert told["top_user"] == {"id": me.id, "name": me.name, "email": me.email, "tickets_count": 3}
    assert told["most_recent_processed_at"] == last["closed_at"]


def test_a_failing_audit_never_breaks_the_api(tmp_path):
    service = ThreadService(tmp_path, audit_flush_seconds=0.01)
    tenant = Tenant(service.database, service.origin)
    admin = tenant.client("admin")
    audit = service.database.path
    try:
        with closing(sqlite3.connect(audit, timeout=10)) as connection:
            connection.execute("ALTER TABLE audit_log RENAME TO gone")
        ticket = made(admin.post("/tickets", json={"subject": "S", "description": ""}))
        assert admin.patch(f"/tickets/{ticket['id']}", json={"status": "closed"}).status_code == 200
        assert ids(admin.get("/tickets")) == [ticket["id"]]
        problem(admin.get("/tickets/4000000000"), 404, "not_found")
        with closing(sqlite3.connect(audit, timeout=10)) as connection:
            connection.execute("ALTER TABLE gone RENAME TO audit_log")
        # What was read meanwhile is noted late; a write whose own row failed is noted with the reads.
        until(lambda: len(list(walk(admin, "/audit-log", operation=["listTickets", "updateTicket"]))) == 2)
    finally:
        tenant.close()
        service.stop()


def test_every_request_is_audited_without_its_secrets(tenant, admin):
    body = {"subject": "S", "description": "", "custom_fields": {"password": "hunter2"}}
    headers = {"user-agent": "simulation/1.0"}
    made(admin.post("/tickets", json=body, headers=headers))
    [entry] = walk(admin, "/audit-log", operation="createTicket")
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/api/v1/tickets", 201)
    assert (entry["user_id"], entry["user_agent"]) == (tenant.users["admin"].id, "simulation/1.0")
    assert entry["api_key_id"] is not None
    assert entry["ip"] == "127.0.0.1"
    assert entry["duration_ms"] >= 0
    assert entry["query"] == ""
    assert '"subject":"S"' in entry["body"]
    assert "hunter2" not in str(entry)
