"""System D, tickets and agents with live updates: one test for each row of what it can do."""

import json
import sqlite3
from contextlib import closing

import pytest

from api.checks import ids, made, problem
from factories import Tenant
from service import ProcessService


def test_tickets_are_created_read_changed_listed_and_deleted(admin):
    ticket = made(admin.post("/tickets", json={"subject": "Printer", "description": "It is on fire."}))
    address = f"/tickets/{ticket['id']}"
    assert admin.get(address).json() == ticket
    assert admin.patch(address, json={"subject": "Printer on fire"}).json()["version"] == 2
    assert ids(admin.get("/tickets")) == [ticket["id"]]
    assert admin.delete(address).status_code == 204
    assert admin.get(address).status_code == 404


def test_agents_are_created_listed_and_read_among_the_users(tenant, admin):
    body = {"email": f"bo@tenant-{tenant.number}.example", "name": "Bo", "role": "agent"}
    agent = made(admin.post("/users", json=body))
    assert ids(admin.get("/users", params={"role": "agent"})) == [agent["id"]]
    assert admin.get(f"/users/{agent['id']}").json()["name"] == "Bo"


def test_lists_filter_by_status_priority_and_assignee_and_have_pages(tenant, admin):
    me = tenant.user("agent").id
    wanted = [tenant.ticket(priority="high", assignee_id=me)["id"] for _ in range(5)]
    tenant.ticket(priority="high")
    tenant.ticket(assignee_id=me)
    closed = tenant.ticket(priority="high", assignee_id=me)["id"]
    admin.patch(f"/tickets/{closed}", json={"status": "closed"})
    asked = {"status": "open", "priority": "high", "assigned_to": str(me), "sort": "created_at"}
    pages = [admin.get("/tickets", params={**asked, "page": page, "per_page": 2}).json() for page in (1, 2, 3)]
    assert [ticket["id"] for page in pages for ticket in page["data"]] == wanted
    assert {page["total"] for page in pages} == {5}


def test_events_tell_of_creation_change_of_status_and_deletion(tenant, admin):
    """Live delivery, over streams and webhooks, comes later; this is the log that it reads."""
    ticket = tenant.ticket()
    admin.patch(f"/tickets/{ticket['id']}", json={"priority": "high"})
    admin.patch(f"/tickets/{ticket['id']}", json={"status": "pending"})
    admin.delete(f"/tickets/{ticket['id']}")
    found = admin.get("/events", params={"entity": "ticket", "sort": "seq"}).json()["data"]
    assert [event["type"] for event in found] == [
        "ticket.created",
        "ticket.updated",
        "ticket.updated",
        "ticket.deleted",
    ]
    assert [event.get("status_changed") for event in found[1:3]] == [False, True]
    assert found[2]["previous_status"] == "open"
    assert found[2]["data"]["status"] == "pending"
    assert [event["seq"] for event in found] == list(range(found[0]["seq"], found[0]["seq"] + 4))


def test_bad_input_is_refused_by_the_contract(admin):
    answer = admin.post("/tickets", json={"subject": "", "priority": "enormous"})
    problem(answer, 400, "invalid_request", "/subject", "/priority", "/description")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE tickets SET priority = 'enormous'", "CHECK"),
        ("UPDATE tickets SET subject = ''", "CHECK"),
        ("UPDATE tickets SET subject = NULL", "NOT NULL"),
        ("UPDATE tickets SET number = 1", "UNIQUE"),
        ("UPDATE tickets SET contact_id = 4000000000", "FOREIGN KEY"),
    ],
)
def test_bad_data_is_refused_by_the_database(service, tenant, statement, rule):
    tenant.ticket()
    tenant.ticket()
    with closing(sqlite3.connect(service.database.path, timeout=10)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=rule):
            connection.execute(f"{statement} WHERE organization_id = {tenant.id}")
        connection.rollback()


def test_the_console_is_at_docs(anonymous, service):
    console = anonymous.get(f"{service.origin}/docs")
    assert console.status_code == 200
    assert "swagger-ui" in console.text


def test_the_schema_comes_from_migrations(service):
    with closing(sqlite3.connect(service.database.path)) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_what_it_wished_for_logging_and_a_look_at_its_state(tmp_path):
    service = ProcessService(tmp_path, env={"TICKETS_LOG_LEVEL": "info"})
    tenant = Tenant(service.database, service.origin)
    try:
        answer = tenant.client("admin").get("/tickets")
        assert tenant.client("admin").get(f"{service.origin}/health/ready").status_code == 200
        assert tenant.client("admin").get(f"{service.origin}/_meta").json()["uptime_seconds"] > 0
    finally:
        tenant.close()
        assert service.stop() == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line.get("operation") == "listTickets"]
    assert (line["status"], line["user"]) == (200, tenant.users["admin"].id)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["ms"] >= 0


def test_what_it_wished_for_authentication_limits_and_conditional_reads(tenant, admin, anonymous):
    problem(anonymous.get("/tickets"), 401, "unauthorized")
    ticket = tenant.ticket()
    known = admin.get(f"/tickets/{ticket['id']}")
    assert "x-ratelimit-remaining" in known.headers
    again = admin.get(f"/tickets/{ticket['id']}", headers={"if-none-match": known.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
