"""System E, a mini help desk: one test for each row of what it can do."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from api.checks import ids, made, problem
from factories import PASSWORD, Tenant
from service import ThreadService
from tickets.settings import Settings


class TestSignUp:
    def test_an_address_is_verified_by_a_code_before_its_registration_counts(self, tenant, admin, anonymous, mailbox):
        rules = {"allow_self_registration": True, "require_verified_email": True}
        assert admin.patch("/organization", json={"settings": rules}).status_code == 200
        address, slug = f"new@signup-{tenant.number}.example", admin.get("/organization").json()["slug"]
        body = {"email": address, "password": PASSWORD, "name": "New", "organization_slug": slug}
        assert anonymous.post("/auth/register", json=body).json() == {"email": address, "verification_required": True}
        sign_in = {"email": address, "password": PASSWORD}
        problem(anonymous.post("/auth/login", json=sign_in), 403, "email_not_verified")
        code = mailbox.code(address)
        assert anonymous.post("/auth/email-otp/verify", json={"email": address, "code": code}).status_code == 200
        token = anonymous.post("/auth/login", json=sign_in).json()["access_token"]
        me = anonymous.get("/auth/me", headers={"authorization": f"Bearer {token}"}).json()
        assert (me["email"], me["role"]) == (address, "user")

    def test_a_password_is_reset_by_mail(self, tenant, anonymous, mailbox):
        user = tenant.with_password("user")
        anonymous.post("/auth/password-reset", json={"email": user.email})
        body = {"token": mailbox.token(user.email), "password": "a new and longer one"}
        assert anonymous.post("/auth/password-reset/confirm", json=body).status_code in (200, 204)
        sign_in = {"email": user.email, "password": "a new and longer one"}
        assert anonymous.post("/auth/login", json=sign_in).status_code == 200


class TestLists:
    def test_filters_by_status_priority_and_assignee(self, tenant, admin):
        agent = tenant.user("agent").id
        wanted = tenant.ticket(priority="urgent", assignee_id=agent)["id"]
        tenant.ticket(priority="urgent")
        tenant.ticket(assignee_id=agent)
        asked = {"status": "open", "priority": "urgent", "assigned_to": agent}
        assert ids(admin.get("/tickets", params=asked)) == [wanted]

    def test_the_breach_flag_with_policies_behind_it(self, tenant, admin):
        policy = tenant.sla_policy(conditions={"types": ["incident"]})
        ticket = tenant.ticket(type="incident")
        assert (ticket["is_breached"], ticket["sla"]["policy_id"]) == (False, policy["id"])
        assert ids(admin.get("/tickets", params={"is_breached": False})) == [ticket["id"]]
        assert ids(admin.get("/tickets", params={"is_breached": True})) == []
        due = datetime.fromisoformat(ticket["sla"]["first_response_due_at"])
        with time_machine.travel(due + timedelta(milliseconds=1), tick=False):
            assert admin.get(f"/tickets/{ticket['id']}").json()["is_breached"] is True
            [found] = admin.get("/tickets", params={"is_breached": True}).json()["data"]
            assert (found["id"], found["is_breached"]) == (ticket["id"], True)
            assert ids(admin.get("/tickets", params={"is_breached": False})) == []

    def test_search_over_subject_description_and_comments(self, tenant, admin):
        wanted = [
            tenant.ticket(subject="The toaster burns")["id"],
            tenant.ticket(description="Our toaster is cold.")["id"],
            tenant.ticket()["id"],
        ]
        tenant.comment({"id": wanted[2]}, body="It is about the toaster.")
        tenant.ticket()
        assert ids(admin.get("/tickets", params={"search": "toaster", "sort": "created_at"})) == wanted

    def test_limit_and_offset(self, tenant, admin):
        made_ids = [tenant.ticket()["id"] for _ in range(5)]
        page = admin.get("/tickets", params={"sort": "created_at", "limit": 2, "offset": 2}).json()
        assert ([ticket["id"] for ticket in page["data"]], page["total"]) == (made_ids[2:4], 5)


class TestRoles:
    def test_a_user_sees_and_comments_on_their_own_only(self, tenant, user):
        own = made(user.post("/tickets", json={"subject": "Mine", "description": ""}))
        foreign = tenant.ticket()
        assert ids(user.get("/tickets")) == [own["id"]]
        problem(user.get(f"/tickets/{foreign['id']}"), 404, "not_found")
        assert user.post(f"/tickets/{own['id']}/comments", json={"body": "Hello?"}).status_code == 201
        problem(user.post(f"/tickets/{foreign['id']}/comments", json={"body": "Hello?"}), 404, "not_found")

    def test_an_agent_takes_tickets_and_moves_them_but_assigns_nobody_else(self, tenant, agent):
        ticket, colleague = tenant.ticket(), tenant.user("agent")
        change = {"assignee_id": tenant.users["agent"].id, "status": "in_progress", "priority": "high"}
        assert change.items() <= agent.patch(f"/tickets/{ticket['id']}", json=change).json().items()
        answer = agent.patch(f"/tickets/{ticket['id']}", json={"assignee_id": colleague.id})
        problem(answer, 403, "forbidden", "/assignee_id")

    def test_an_admin_assigns_to_anyone_and_deletes_tickets_and_comments(self, tenant, admin, agent):
        ticket, colleague = tenant.ticket(), tenant.user("agent")
        comment = tenant.comment(ticket)
        assert admin.patch(f"/tickets/{ticket['id']}", json={"assignee_id": colleague.id}).status_code == 200
        problem(agent.delete(f"/comments/{comment['id']}"), 403, "forbidden")
        problem(agent.delete(f"/tickets/{ticket['id']}"), 403, "forbidden")
        assert admin.delete(f"/comments/{comment['id']}").status_code == 204
        assert admin.delete(f"/tickets/{ticket['id']}").status_code == 204

    def test_who_only_raises_tickets_changes_none(self, user):
        own = made(user.post("/tickets", json={"subject": "Mine", "description": ""}))
        problem(user.patch(f"/tickets/{own['id']}", json={"status": "closed"}), 403, "forbidden")


def test_the_history_of_a_ticket_tells_who_changed_what(tenant, admin):
    ticket = tenant.ticket()
    admin.patch(f"/tickets/{ticket['id']}", json={"status": "pending", "priority": "high"})
    entries = admin.get(f"/tickets/{ticket['id']}/history").json()["data"]
    told = {entry["field"]: (entry["old"], entry["new"]) for entry in entries}
    assert told["status"] == ("open", "pending")
    assert told["priority"] == ("medium", "high")
    assert {entry["actor"]["id"] for entry in entries} == {tenant.users["admin"].id}


def test_the_history_is_included_where_it_is_asked_for(tenant, admin):
    ticket = tenant.ticket()
    admin.patch(f"/tickets/{ticket['id']}", json={"status": "pending"})
    [shown] = admin.get("/tickets", params={"expand": "history"}).json()["data"]
    assert [entry["new"] for entry in shown["history"] if entry["field"] == "status"] == ["pending"]


def test_the_same_idempotency_key_makes_one_ticket(admin):
    body = {"subject": "Printer", "description": ""}
    answers = [admin.post("/tickets", json=body, headers={"idempotency-key": "once"}) for _ in range(3)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true"]


def test_sixty_requests_a_minute_for_a_user_who_signed_in(tmp_path: Path):
    service = ThreadService(tmp_path, rate_limit_session=Settings(var_dir=tmp_path).rate_limit_session)
    tenant = Tenant(service.database, service.origin)
    try:
        client = tenant.signed_in()
        answers = [client.get("/organization") for _ in range(125)]  # a minute may end among them
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert answers.index(refused) >= 60
        assert refused.headers["x-ratelimit-limit"] == "60"
        problem(refused, 429, "rate_limited")
    finally:
        tenant.close()
        service.stop()


@pytest.mark.parametrize("how", ["version", "if-match"])
def test_a_stale_version_changes_nothing(tenant, admin, how):
    ticket = tenant.ticket()
    address = f"/tickets/{ticket['id']}"
    admin.patch(address, json={"priority": "high", "version": 1})
    if how == "version":
        problem(admin.patch(address, json={"priority": "low", "version": 1}), 409, "version_conflict", "/version")
    else:
        answer = admin.patch(address, json={"priority": "low"}, headers={"if-match": '"1"'})
        problem(answer, 412, "precondition_failed", "/If-Match", where="header")
    assert admin.get(address).json()["priority"] == "high"


def test_meta_health_and_a_file_under_well_known(anonymous, service):
    assert anonymous.get("/_meta").json()["version"]
    assert anonymous.get(f"{service.origin}/health").json()["status"] == "ok"
    service.settings.well_known_dir.mkdir(exist_ok=True)
    (service.settings.well_known_dir / "help-desk.json").write_text('{"desk": "mini"}')
    assert anonymous.get(f"{service.origin}/.well-known/help-desk.json").json() == {"desk": "mini"}
