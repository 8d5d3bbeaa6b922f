"""What a ticket can hold, and how much of what was said moves or goes with one request."""

import pytest

from api.checks import made, problem
from factories import Client, Tenant


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a ticket hold three comments."""
    monkeypatch.setattr("tickets.domain.lifecycle.MOST_COMMENTS", 3)


@pytest.mark.parametrize("path", ["/comments", "/tickets/{id}/comments"])
def test_a_full_ticket_takes_no_comment_until_one_is_deleted(tenant: Tenant, admin: Client, user: Client, path: str):
    ticket = made(user.post("/tickets", json={"subject": "S", "description": ""}))
    said = [tenant.comment(ticket, visibility=each) for each in ("public", "internal", "internal")]
    body = {"body": "B"} | ({"ticket_id": ticket["id"]} if path == "/comments" else {})
    told = problem(user.post(path.format(id=ticket["id"]), json=body), 409, "ticket_full")
    assert told["detail"] == "The ticket has 3 comments, as many as it can hold; raise another that refers to it."
    assert admin.patch(f"/comments/{said[0]['id']}", json={"body": "Edited"}).status_code == 200
    assert admin.delete(f"/comments/{said[1]['id']}").status_code == 204
    assert user.post(path.format(id=ticket["id"]), json=body).status_code == 201


def test_a_merge_fills_the_other_ticket_but_not_beyond(tenant: Tenant, admin: Client):
    into, one, two = (tenant.ticket() for _ in range(3))
    tenant.comment(into)
    for ticket in (one, two):
        for _ in range(2):
            tenant.comment(ticket)
    assert admin.post(f"/tickets/{one['id']}/merge", json={"into": into["id"]}).status_code == 200
    told = problem(admin.post(f"/tickets/{two['id']}/merge", json={"into": into["id"]}), 409, "ticket_full", "/into")
    assert told["detail"] == (
        f"The ticket {into['id']} cannot hold 2 comments more: it would have more than 3. "
        "Close this one and point to the other instead."
    )
    assert len(admin.get(f"/tickets/{into['id']}/comments").json()["data"]) == 3
    assert len(admin.get(f"/tickets/{two['id']}/comments").json()["data"]) == 2


def test_a_ticket_without_comments_merges_into_a_full_one(tenant: Tenant, admin: Client):
    into, one = tenant.ticket(), tenant.ticket()
    for _ in range(3):
        tenant.comment(into)
    assert admin.post(f"/tickets/{one['id']}/merge", json={"into": into["id"]}).status_code == 200


def test_the_characters_that_a_merge_moves_are_bounded(tenant: Tenant, admin: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tickets.domain.entities.MOST_CHARACTERS", 100)
    into, one = tenant.ticket(), tenant.ticket()
    said = [tenant.comment(one, body=text) for text in ("x" * 60, "\u6f22" * 41)]
    merge = f"/tickets/{one['id']}/merge"
    told = problem(admin.post(merge, json={"into": into["id"]}), 409, "in_use")
    assert told["detail"] == (
        "The comments of the ticket have more than 100 characters; close it and point to the other."
    )
    assert admin.patch(f"/comments/{said[1]['id']}", json={"body": "\u6f22" * 40}).status_code == 200
    assert admin.post(merge, json={"into": into["id"]}).status_code == 200


def test_one_with_more_from_when_there_was_no_limit_is_not_deleted_at_once(
    tenant: Tenant, admin: Client, monkeypatch: pytest.MonkeyPatch
):
    ticket = tenant.ticket()
    said = [tenant.comment(ticket) for _ in range(3)]
    monkeypatch.setattr("tickets.domain.lifecycle.MOST_COMMENTS", 2)
    path = f"/tickets/{ticket['id']}"
    told = problem(admin.delete(path), 409, "in_use")
    assert told["detail"] == "The ticket has more than 2 comments; delete some of them first."
    operation = {"op": "delete", "id": ticket["id"], "version": admin.get(path).json()["version"]}
    [result] = admin.post("/tickets/bulk", json={"operations": [operation]}).json()["results"]
    assert (result["status"], result["problem"]["code"]) == (409, "in_use")
    assert admin.delete(f"/comments/{said[0]['id']}").status_code == 204
    assert admin.delete(path).status_code == 204
