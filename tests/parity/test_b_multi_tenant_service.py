"""System B, a multi-tenant service: one test for each row of what it can do."""

from pathlib import Path

import httpx
import pytest

from api.checks import NOBODY, ids, made, problem
from factories import PASSWORD
from service import ThreadService
from tickets.settings import Settings


def test_tenants_are_isolated(other, admin):
    foreign = other.ticket()
    unknown, hidden = (admin.get(f"/tickets/{number}") for number in (NOBODY, foreign["id"]))
    problem(unknown, 404, "not_found")
    problem(hidden, 404, "not_found")
    assert foreign["id"] not in ids(admin.get("/tickets"))


def test_register_login_and_me_with_a_token_of_24_hours(tenant, anonymous):
    address = f"founder@new-{tenant.number}.example"
    body = {"email": address, "password": PASSWORD, "name": "Ada", "organization_name": f"New {tenant.number}"}
    assert anonymous.post("/auth/register", json=body).status_code == 201
    tokens = anonymous.post("/auth/login", json={"email": address, "password": PASSWORD}).json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 86_400)
    me = anonymous.get("/auth/me", headers={"authorization": f"Bearer {tokens['access_token']}"}).json()
    assert (me["email"], me["role"], me["organization"]["name"]) == (address, "admin", f"New {tenant.number}")


def test_passwords_are_stored_as_hashes_of_argon2id(service, tenant):
    user = tenant.with_password("admin")
    with service.database.engine.connect() as connection:
        stored = connection.exec_driver_sql(f"SELECT hash FROM passwords WHERE user_id = {user.id}").scalar_one()
    assert stored.startswith("$argon2id$")


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("agent", 403), ("user", 403)])
def test_roles_are_admin_agent_and_user(tenant, role, status):
    assert tenant.client(role).get("/api-keys").status_code == status


def test_tickets_are_replaced_with_put_and_filtered(tenant, admin):
    ticket = tenant.ticket(tags=["vip"], priority="urgent")
    whole = {"subject": "New", "description": "", "status": "open", "priority": "low", "type": "task"}
    replaced = admin.put(f"/tickets/{ticket['id']}", json={**whole, "contact_id": ticket["contact_id"]})
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["priority"], replaced.json()["tags"]) == ("low", [])
    assert ids(admin.get("/tickets", params={"priority": "low", "type": "task"})) == [ticket["id"]]


def test_comments_are_listed_and_created_under_their_ticket_and_addressed_flat(tenant, admin):
    ticket = tenant.ticket()
    comment = made(admin.post(f"/tickets/{ticket['id']}/comments", json={"body": "On it."}))
    assert ids(admin.get(f"/tickets/{ticket['id']}/comments")) == [comment["id"]]
    assert admin.get(f"/comments/{comment['id']}").json() == comment


def test_mail_leaves_from_a_job_that_is_durable(anonymous, tenant, mailbox):
    user = tenant.with_password("user")
    assert anonymous.post("/auth/password-reset", json={"email": user.email}).status_code in (200, 202, 204)
    assert mailbox.token(user.email)


def test_the_documentation_is_interactive_at_api_docs(anonymous, service):
    found = anonymous.get(f"{service.origin}/api-docs", follow_redirects=True)
    assert found.status_code == 200
    assert "SwaggerUIBundle" in found.text or "swagger-ui" in found.text


def test_signing_in_is_limited_to_100_in_15_minutes(tmp_path: Path):
    service = ThreadService(tmp_path, rate_limit_auth=Settings(var_dir=tmp_path).rate_limit_auth)
    try:
        # The quarter of an hour may end among them.
        answers = [httpx.post(f"{service.origin}/api/v1/auth/refresh", json={}) for _ in range(205)]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert answers.index(refused) >= 100
        assert refused.headers["x-ratelimit-limit"] == "100"
        assert int(refused.headers["retry-after"]) <= 900
    finally:
        service.stop()


def test_security_headers_are_on_every_answer(anonymous, service):
    for path in ("/", "/docs", "/health", "/api/v1/tickets", "/nothing"):
        headers = anonymous.get(f"{service.origin}{path}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert {"content-security-policy", "referrer-policy", "x-frame-options"} <= set(headers), path


def test_other_origins_are_let_in_by_a_setting(tmp_path: Path):
    service = ThreadService(tmp_path, cors_origins=("https://app.acme.example",))
    try:
        asked = {"access-control-request-method": "GET"}
        for origin, allowed in (("https://app.acme.example", True), ("https://evil.example", False)):
            answer = httpx.options(f"{service.origin}/api/v1/tickets", headers={**asked, "origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
    finally:
        service.stop()


def test_health_tells_that_it_is_up(anonymous, service):
    assert anonymous.get(f"{service.origin}/health").status_code == 200
    assert anonymous.get(f"{service.origin}/health/ready").status_code == 200


class TestWishes:
    def test_pagination_on_every_list(self, service, anonymous):
        document = anonymous.get(f"{service.origin}/openapi.json").json()
        lists = [
            (path, get["parameters"])
            for path, item in document["paths"].items()
            if (get := item.get("get")) and get["operationId"].startswith("list")
        ]
        assert len(lists) > 10
        for path, parameters in lists:
            assert {p.get("$ref", "").rpartition("/")[2] or p["name"] for p in parameters} & {"Cursor", "cursor"}, path

    def test_users_and_tenants_are_managed(self, tenant, admin):
        assert admin.patch("/organization", json={"name": "Renamed"}).json()["name"] == "Renamed"
        user = tenant.user("agent")
        assert admin.patch(f"/users/{user.id}", json={"is_active": False}).json()["is_active"] is False

    def test_an_audit_log(self, tenant, admin):
        tenant.ticket()
        entries = admin.get("/audit-log", params={"operation": "createTicket"}).json()["data"]
        assert [(entry["method"], entry["status"]) for entry in entries] == [("POST", 201)]

    def test_dashboard_analytics(self, tenant, admin):
        assert admin.patch(f"/tickets/{tenant.ticket()['id']}", json={"status": "closed"}).status_code == 200
        tenant.ticket(priority="high")
        entries = admin.get("/stats/tickets", params={"group_by": "priority"}).json()["data"]
        assert [(entry["group"], entry["created"], entry["closed"]) for entry in entries] == [
            ("medium", 1, 1),
            ("high", 1, 0),
        ]

    def test_bulk_update_and_delete(self, tenant, admin):
        one, two = tenant.ticket(), tenant.ticket()
        operations = [
            {"op": "update", "id": one["id"], "version": 1, "patch": {"status": "resolved"}},
            {"op": "delete", "id": two["id"], "version": 1},
        ]
        results = admin.post("/tickets/bulk", json={"operations": operations}).json()["results"]
        assert [result["status"] for result in results] == [200, 204]
