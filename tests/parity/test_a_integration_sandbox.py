"""System A, an integration sandbox: one test for each row of what it can do."""

import base64
from pathlib import Path

import httpx
import pytest

from api.checks import ids, made
from cli.commands import Desk
from service import ThreadService


def test_seven_entities_can_be_created_read_changed_listed_and_deleted(tenant, admin):
    """Attachments, the seventh, come with the partner tools."""
    contact, ticket = tenant.contact()["id"], tenant.ticket()["id"]
    entities = {
        "/users": ({"email": f"new@tenant-{tenant.number}.example", "name": "New", "role": "agent"}, {"name": "Newer"}),
        "/teams": ({"name": "Support"}, {"name": "Field service"}),
        "/contacts": ({"email": "grace@example.com", "name": "Grace"}, {"name": "Grace H."}),
        "/tickets": ({"subject": "Printer", "description": "", "contact_id": contact}, {"subject": "Scanner"}),
        "/comments": ({"ticket_id": ticket, "body": "Outgoing"}, {"body": "Out"}),
    }
    for path, (body, change) in entities.items():
        record = made(admin.post(path, json=body))
        address = f"{path}/{record['id']}"
        assert admin.get(address).json() == record
        changed = admin.patch(address, json=change)
        assert changed.status_code == 200
        assert change.items() <= changed.json().items()
        assert record["id"] in ids(admin.get(path))
        assert admin.delete(address).status_code == 204
        assert admin.get(address).status_code == 404
    operator = tenant.client("platform")
    organization = made(operator.post("/organizations", json={"name": "Globex", "slug": f"globex-{tenant.number}"}))
    address = f"/organizations/{organization['id']}"
    assert operator.patch(address, json={"name": "Globex Corp"}).json()["name"] == "Globex Corp"
    assert operator.delete(address).status_code == 204
    assert operator.get(address).status_code == 404


def test_comments_are_outgoing_or_internal(tenant, admin):
    ticket = tenant.ticket()
    for visibility in ("public", "internal"):
        assert tenant.comment(ticket, visibility=visibility)["visibility"] == visibility
        found = admin.get(f"/tickets/{ticket['id']}/comments", params={"visibility": visibility}).json()["data"]
        assert [comment["visibility"] for comment in found] == [visibility]


def test_commands_migrate_found_an_organization_make_a_key_and_seed_data(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.ok("migrate")
    made_org = desk.json("create-org", "--name", "Acme", "--email", "ada@acme.example")
    key = desk.json("create-api-key", "--email", "ada@acme.example")["key"]
    desk.ok("seed-data", "--tickets", "50", "--seed", "7")
    service = ThreadService(tmp_path)
    try:
        answer = httpx.get(f"{service.origin}/api/v1/organization", headers={"x-api-key": key})
        assert answer.json()["slug"] == made_org["organization"]["slug"] == "acme"
        assert desk.rows("SELECT count(*) FROM tickets") == [(50,)]
    finally:
        service.stop()


@pytest.mark.parametrize("header", ["x-api-key: {}", "authorization: Bearer {}"])
def test_a_key_comes_in_its_own_header_or_as_a_bearer_token(admin, anonymous, header):
    name, _, value = header.format(admin.key).partition(": ")
    assert anonymous.get("/organization", headers={name: value}).status_code == 200


def test_five_requests_a_second_for_each_key(tenant):
    with tenant.client("admin", rate_limit="5/second") as client:
        answers = [client.get("/organization") for _ in range(50)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert answers.index(refused) >= 5
    assert refused.headers["x-ratelimit-limit"] == "5"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 0 <= int(refused.headers["x-ratelimit-reset"]) <= 1
    assert int(refused.headers["retry-after"]) == 1
    assert refused.headers["ratelimit-policy"]
    assert refused.headers["ratelimit"]


def test_lists_have_cursors_in_base64_that_are_signed(tenant, admin):
    wanted = [tenant.ticket()["id"] for _ in range(5)]
    first = admin.get("/tickets", params={"sort": "created_at", "limit": 3}).json()
    assert first.keys() == {"data", "next_cursor", "prev_cursor"}
    second = admin.get("/tickets", params={"sort": "created_at", "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [ticket["id"] for ticket in first["data"] + second["data"]] == wanted
    assert second["next_cursor"] is None
    raw = bytearray(base64.urlsafe_b64decode(first["next_cursor"] + "=="))
    raw[-1] ^= 1
    forged = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert admin.get("/tickets", params={"sort": "created_at", "limit": 3, "cursor": forged}).status_code == 400


def test_single_records_are_plain_json_and_patch_changes_what_it_names(tenant, admin):
    ticket = tenant.ticket(tags=["vip"])
    assert admin.get(f"/tickets/{ticket['id']}").json() == ticket
    changed = admin.patch(f"/tickets/{ticket['id']}", json={"priority": "high"}).json()
    untold = ("priority", "version", "updated_at", "sla", "is_breached")
    assert changed["priority"] == "high"
    assert {k: v for k, v in changed.items() if k not in untold} == {k: v for k, v in ticket.items() if k not in untold}


def test_what_is_no_plain_change_is_a_post_to_a_method_of_the_entity(tenant, admin):
    one, other = tenant.ticket(), tenant.ticket()
    merged = admin.post(f"/tickets/{one['id']}/merge", json={"into": other["id"]})
    assert merged.status_code == 200
    assert merged.json()["merged_into_id"] == other["id"]
