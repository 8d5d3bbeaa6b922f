"""Comments: who sees and writes what, and what saying something does to the ticket."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from api.checks import NOBODY, ids, made, problem
from factories import Client

START = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.fixture
def mine(user):
    """A ticket that the user raised."""
    return made(user.post("/tickets", json={"subject": "S", "description": ""}))


class TestListComments:
    def test_it_filters_by_tickets_combined_with_or(self, tenant, agent):
        tickets = [tenant.ticket() for _ in range(3)]
        comments = [tenant.comment(ticket)["id"] for ticket in tickets]
        wanted = [tickets[0]["id"], tickets[2]["id"]]
        assert ids(agent.get("/comments", params={"ticket_id": wanted[0]})) == comments[:1]
        assert ids(agent.get("/comments", params={"ticket_id": wanted})) == [comments[2], comments[0]]

    @pytest.mark.parametrize("visibility", ["public", "internal"])
    def test_it_filters_by_visibility(self, tenant, agent, visibility):
        ticket = tenant.ticket()
        comments = {v: tenant.comment(ticket, visibility=v)["id"] for v in ("public", "internal")}
        assert ids(agent.get("/comments", params={"visibility": visibility})) == [comments[visibility]]

    def test_a_user_sees_what_is_public_on_their_own_tickets(self, tenant, user, mine):
        seen = tenant.comment(mine)["id"]
        tenant.comment(mine, visibility="internal")
        elsewhere = tenant.ticket()
        tenant.comment(elsewhere)
        assert ids(user.get("/comments")) == [seen]
        assert ids(user.get("/comments", params={"ticket_id": [elsewhere["id"], mine["id"]]})) == [seen]
        assert ids(user.get("/comments", params={"visibility": "internal"})) == []

    @pytest.mark.parametrize("role", ["agent", "user"])
    @pytest.mark.parametrize("path", ["/comments", "/tickets/{}/comments"])
    def test_times_include_from_and_exclude_to(self, tenant, mine, role, path):
        comments = []
        for minutes in (0, 1, 2):
            with time_machine.travel(START + timedelta(minutes=minutes), tick=False):
                comments.append(tenant.comment(mine)["id"])
        with time_machine.travel(START + timedelta(minutes=5), tick=False):
            assert tenant.client().patch(f"/comments/{comments[0]}", json={"body": "Done."}).status_code == 200
        for params, expected in (
            ({"created_from": "2031-01-01T00:01:00Z"}, comments[1:]),
            ({"created_to": "2031-01-01T01:01:00+01:00"}, comments[:1]),
            ({"created_from": "2031-01-01T00:01:00Z", "created_to": "2031-01-01T00:02:00Z"}, comments[1:2]),
            ({"updated_since": "2031-01-01T00:01:00.001Z"}, [comments[0], comments[2]]),
        ):
            answer = tenant.client(role).get(path.format(mine["id"]), params={**params, "sort": "created_at"})
            assert ids(answer) == expected, params

    @pytest.mark.parametrize("name", ["created_from", "created_to", "updated_since"])
    def test_what_is_no_time_is_a_400(self, admin, name):
        problem(admin.get("/comments", params={name: "now"}), 400, "invalid_request", f"/{name}", where="query")

    def test_a_user_who_never_raised_a_ticket_sees_none(self, tenant, user):
        tenant.comment(tenant.ticket())
        assert ids(user.get("/comments")) == []

    def test_a_user_can_walk_the_pages_of_what_they_see(self, tenant, user, mine):
        for n in range(4):
            tenant.comment(mine, visibility="internal" if n % 2 else "public")
        first = user.get("/comments", params={"limit": 1}).json()
        second = user.get("/comments", params={"limit": 1, "cursor": first["next_cursor"]}).json()
        assert second["next_cursor"] is None
        assert first["data"][0]["id"] > second["data"][0]["id"]


class TestCreateComment:
    def test_staff_speak_as_themselves(self, tenant, agent):
        ticket = tenant.ticket()
        body = made(agent.post("/comments", json={"ticket_id": ticket["id"], "body": "On it."}))
        expected = {"author_type": "user", "author_id": tenant.users["agent"].id, "visibility": "public"}
        assert {
            **expected,
            "ticket_id": ticket["id"],
            "body": "On it.",
            "organization_id": tenant.id,
        }.items() <= body.items()

    def test_a_user_speaks_as_the_contact(self, user, mine):
        body = made(user.post("/comments", json={"ticket_id": mine["id"], "body": "Thanks"}))
        assert (body["author_type"], body["author_id"]) == ("contact", mine["contact_id"])

    def test_a_user_writes_no_internal_note(self, user, mine):
        body = {"ticket_id": mine["id"], "body": "B", "visibility": "internal"}
        problem(user.post("/comments", json=body), 403, "forbidden", "/visibility")

    def test_somebody_elses_ticket_does_not_exist_for_a_user(self, tenant, user):
        for ticket_id in (tenant.ticket()["id"], NOBODY):
            response = user.post("/comments", json={"ticket_id": ticket_id, "body": "B"})
            problem(response, 404, "not_found", "/ticket_id")

    @pytest.mark.parametrize("body", ["", None, 7, "x" * 50_001, "a\0b"])
    def test_what_is_no_text_is_a_400(self, tenant, agent, body):
        response = agent.post("/comments", json={"ticket_id": tenant.ticket()["id"], "body": body})
        assert response.status_code == 400
        assert {error["pointer"] for error in response.json()["errors"]} <= {"/body", ""}


class TestGetComment:
    @pytest.mark.parametrize("hidden", ["internal", "elsewhere"])
    def test_what_is_hidden_from_a_user_does_not_exist_for_them(self, tenant, user, mine, hidden):
        ticket = mine if hidden == "internal" else tenant.ticket()
        comment = tenant.comment(ticket, visibility="internal" if hidden == "internal" else "public")
        for response in (
            user.get(f"/comments/{comment['id']}"),
            user.get(f"/comments/{comment['id']}", headers={"if-none-match": "*"}),
            user.patch(f"/comments/{comment['id']}", json={"body": "New"}),
            user.patch(f"/comments/{comment['id']}", json={"body": "New"}, headers={"if-match": '"9"'}),
        ):
            problem(response, 404, "not_found")

    def test_a_user_reads_what_is_public(self, tenant, user, mine):
        comment = tenant.comment(mine)
        assert user.get(f"/comments/{comment['id']}").json() == comment


class TestUpdateComment:
    def test_authors_change_their_own(self, agent, user, mine):
        for client in (agent, user):
            comment = made(client.post(f"/tickets/{mine['id']}/comments", json={"body": "B"}))
            body = client.patch(f"/comments/{comment['id']}", json={"body": "New"}).json()
            assert (body["body"], body["version"]) == ("New", 2)

    def test_others_may_not(self, tenant, agent, user, mine):
        answer = tenant.comment(mine)
        problem(user.patch(f"/comments/{answer['id']}", json={"body": "New"}), 403, "forbidden")
        problem(agent.patch(f"/comments/{answer['id']}", json={"body": "New"}), 403, "forbidden")
        question = made(user.post(f"/tickets/{mine['id']}/comments", json={"body": "B"}))
        problem(agent.patch(f"/comments/{question['id']}", json={"body": "New"}), 403, "forbidden")

    def test_an_admin_changes_any(self, admin, user, mine):
        comment = made(user.post(f"/tickets/{mine['id']}/comments", json={"body": "B"}))
        assert admin.patch(f"/comments/{comment['id']}", json={"body": "New"}).json()["author_type"] == "contact"

    def test_a_user_makes_no_internal_note_of_it(self, user, mine):
        comment = made(user.post(f"/tickets/{mine['id']}/comments", json={"body": "B"}))
        response = user.patch(f"/comments/{comment['id']}", json={"visibility": "internal"})
        problem(response, 403, "forbidden", "/visibility")

    def test_a_note_that_becomes_public_is_the_first_response(self, admin, agent, mine):
        note = made(agent.post(f"/tickets/{mine['id']}/comments", json={"body": "On it.", "visibility": "internal"}))
        assert admin.get(f"/tickets/{mine['id']}").json()["first_responded_at"] is None
        with time_machine.travel(START, tick=False):
            agent.patch(f"/comments/{note['id']}", json={"visibility": "public"})
        with time_machine.travel(START + timedelta(hours=1), tick=False):
            agent.patch(f"/comments/{note['id']}", json={"visibility": "internal"})
            agent.patch(f"/comments/{note['id']}", json={"visibility": "public"})
        assert admin.get(f"/tickets/{mine['id']}").json()["first_responded_at"] == "2031-01-01T00:00:00.000Z"

    def test_who_raised_the_ticket_speaks_as_the_contact_once_their_note_is_public(self, agent):
        ticket = made(agent.post("/tickets", json={"subject": "S", "description": ""}))
        note = made(agent.post(f"/tickets/{ticket['id']}/comments", json={"body": "Hm", "visibility": "internal"}))
        assert note["author_type"] == "user"
        agent.patch(f"/tickets/{ticket['id']}", json={"status": "pending"})
        public = agent.patch(f"/comments/{note['id']}", json={"visibility": "public"}).json()
        assert (public["author_type"], public["author_id"]) == ("contact", ticket["contact_id"])
        now = agent.get(f"/tickets/{ticket['id']}").json()
        assert (now["status"], now["first_responded_at"]) == ("open", None)

    def test_a_note_whose_author_is_gone_can_be_published(self, tenant, admin, mine):
        author = tenant.user("agent")
        with Client(tenant.origin, tenant.key(author)) as client:
            note = made(client.post(f"/tickets/{mine['id']}/comments", json={"body": "B", "visibility": "internal"}))
        assert admin.delete(f"/users/{author.id}").status_code == 204
        public = admin.patch(f"/comments/{note['id']}", json={"visibility": "public"}).json()
        assert (public["author_type"], public["author_id"]) == ("user", None)

    def test_what_becomes_internal_is_gone_for_the_user(self, tenant, admin, user, mine):
        comment = tenant.comment(mine)
        assert admin.patch(f"/comments/{comment['id']}", json={"visibility": "internal"}).status_code == 200
        problem(user.get(f"/comments/{comment['id']}"), 404, "not_found")
        assert ids(user.get("/comments")) == ids(user.get(f"/tickets/{mine['id']}/comments")) == []


class TestDeleteComment:
    def test_an_admin_deletes_any(self, admin, user, mine):
        comment = made(user.post(f"/tickets/{mine['id']}/comments", json={"body": "B"}))
        assert admin.delete(f"/comments/{comment['id']}").status_code == 204
        problem(user.get(f"/comments/{comment['id']}"), 404, "not_found")

    @pytest.mark.parametrize("role", ["agent", "user"])
    def test_not_even_the_author_deletes(self, tenant, mine, role):
        comment = made(tenant.client(role).post(f"/tickets/{mine['id']}/comments", json={"body": "B"}))
        problem(tenant.client(role).delete(f"/comments/{comment['id']}"), 403, "forbidden")


class TestListTicketComments:
    def test_it_shows_the_conversation_oldest_first(self, tenant, agent):
        ticket = tenant.ticket()
        comments = [tenant.comment(ticket, visibility=v)["id"] for v in ("public", "internal", "public")]
        tenant.comment(tenant.ticket())
        assert ids(agent.get(f"/tickets/{ticket['id']}/comments")) == comments
        assert ids(agent.get(f"/tickets/{ticket['id']}/comments", params={"sort": "-created_at"})) == comments[::-1]
        response = agent.get(f"/tickets/{ticket['id']}/comments", params={"visibility": "internal"})
        assert ids(response) == comments[1:2]

    def test_a_user_never_sees_internal_notes(self, tenant, user, mine):
        seen = tenant.comment(mine)["id"]
        tenant.comment(mine, visibility="internal")
        assert ids(user.get(f"/tickets/{mine['id']}/comments")) == [seen]
        assert ids(user.get(f"/tickets/{mine['id']}/comments", params={"visibility": "internal"})) == []

    def test_somebody_elses_ticket_does_not_exist_for_a_user(self, tenant, user):
        problem(user.get(f"/tickets/{tenant.ticket()['id']}/comments"), 404, "not_found")


class TestCreateTicketComment:
    def test_it_is_the_same_as_the_flat_one(self, tenant, agent):
        ticket = tenant.ticket()
        body = made(agent.post(f"/tickets/{ticket['id']}/comments", json={"body": "B", "visibility": "internal"}))
        assert agent.get(f"/comments/{body['id']}").json() == body

    @pytest.mark.parametrize("status", ["open", "in_progress", "pending", "resolved", "closed"])
    def test_the_contacts_public_comment_reopens_what_waited_for_them(self, agent, user, mine, status):
        if status != "open":
            agent.patch(f"/tickets/{mine['id']}", json={"status": status})
        before = agent.get(f"/tickets/{mine['id']}").json()
        made(user.post(f"/tickets/{mine['id']}/comments", json={"body": "Still broken"}))
        after = agent.get(f"/tickets/{mine['id']}").json()
        if status in ("pending", "resolved"):
            assert (after["status"], after["resolved_at"], after["version"]) == ("open", None, before["version"] + 1)
        else:
            assert after == before

    @pytest.mark.parametrize("visibility", ["public", "internal"])
    def test_the_staffs_comment_reopens_nothing(self, tenant, agent, mine, visibility):
        agent.patch(f"/tickets/{mine['id']}", json={"status": "pending"})
        tenant.comment(mine, visibility=visibility)
        assert agent.get(f"/tickets/{mine['id']}").json()["status"] == "pending"

    def test_the_first_public_answer_of_the_staff_is_the_first_response(self, tenant, agent, user, mine):
        address = f"/tickets/{mine['id']}"
        comments = f"{address}/comments"
        seen = []
        for minutes, (client, body) in enumerate(
            [
                (user, {"body": "Hello?"}),
                (agent, {"body": "Look at this", "visibility": "internal"}),
                (agent, {"body": "We are on it"}),
                (tenant.client("admin"), {"body": "Still on it"}),
            ]
        ):
            with time_machine.travel(START + timedelta(minutes=minutes), tick=False):
                made(client.post(comments, json=body))
            seen.append(agent.get(address).json()["first_responded_at"])
        assert seen == [None, None, "2031-01-01T00:02:00.000Z", "2031-01-01T00:02:00.000Z"]

    def test_staff_who_raised_the_ticket_themselves_do_not_respond_to_it(self, agent):
        ticket = made(agent.post("/tickets", json={"subject": "S", "description": ""}))
        comment = made(agent.post(f"/tickets/{ticket['id']}/comments", json={"body": "More"}))
        assert comment["author_type"] == "contact"
        assert agent.get(f"/tickets/{ticket['id']}").json()["first_responded_at"] is None

    def test_a_ticket_that_does_not_exist_is_a_404(self, tenant, agent, user):
        problem(agent.post(f"/tickets/{NOBODY}/comments", json={"body": "B"}), 404, "not_found")
        problem(user.post(f"/tickets/{tenant.ticket()['id']}/comments", json={"body": "B"}), 404, "not_found")

    def test_the_ticket_is_named_in_the_path_only(self, tenant, agent):
        ticket = tenant.ticket()
        response = agent.post(f"/tickets/{ticket['id']}/comments", json={"body": "B", "ticket_id": ticket["id"]})
        problem(response, 400, "invalid_request", "/ticket_id")
