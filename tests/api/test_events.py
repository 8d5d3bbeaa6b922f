"""The event log."""

import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import bindparam, delete

from api.checks import NOBODY, made, problem, walk
from factories import PASSWORD, Client, Tenant
from tickets import clock
from tickets.db import Statement
from tickets.domain import events
from tickets.models import Event

Entity = dict[str, Any]


_FORGET = Statement(delete(Event).where(Event.organization_id == bindparam("of"), Event.seq <= bindparam("until")))


def log(client: Client, **asked: Any) -> list[Entity]:
    """Read the whole log, as far as it was asked for."""
    return list(walk(client, "/events", **asked))


def last(client: Client) -> int:
    """Return the number of the last event so far."""
    found = client.get("/events", params={"sort": "-seq", "limit": 1}).json()["data"]
    return found[0]["seq"] if found else 0


LIVES: dict[str, tuple[Callable[[Tenant], Entity], Entity]] = {
    "tickets": (
        lambda tenant: {"subject": "S", "description": "D", "contact_id": tenant.contact()["id"]},
        {"type": "task"},
    ),
    "comments": (
        lambda tenant: {"ticket_id": tenant.ticket()["id"], "body": "B", "visibility": "internal"},
        {"body": "C"},
    ),
    "contacts": (lambda tenant: {"email": f"c@{tenant.number}.example", "name": "C"}, {"attributes": {"vip": True}}),
    "users": (lambda tenant: {"email": f"u@{tenant.number}.example", "name": "U", "role": "agent"}, {"role": "user"}),
    "teams": (lambda _: {"name": "T"}, {"description": "First line."}),
}


class TestListEvents:
    @pytest.mark.parametrize("path", LIVES)
    def test_each_step_of_a_life_is_one_event_with_what_the_api_showed(self, tenant, admin, path):
        body, change = LIVES[path]
        values = body(tenant)
        before = last(admin)
        entity = path.removesuffix("s")
        first = made(admin.post(f"/{path}", json=values))
        second = admin.patch(f"/{path}/{first['id']}", json=change).json()
        assert admin.patch(f"/{path}/{first['id']}", json=change).json() == second  # changes nothing: no event
        assert admin.delete(f"/{path}/{first['id']}").status_code == 204
        told = log(admin, since=before)
        assert [event["type"] for event in told] == [f"{entity}.{verb}" for verb in ("created", "updated", "deleted")]
        assert [event["data"] for event in told] == [first, second, second]
        assert [event["seq"] for event in told] == [before + 1, before + 2, before + 3]
        [(field, value)] = change.items()
        assert told[1]["changes"] == {field: {"old": first[field], "new": value}}
        assert [event["created_at"] for event in told[:2]] == [first["created_at"], second["updated_at"]]
        who = tenant.users["admin"]
        assert {tuple(event["actor"].values()) for event in told} == {("user", who.id, who.name)}

    def test_it_counts_from_one_without_gaps_and_shows_nothing_of_another_tenant(self, tenant, admin, other):
        for _ in range(3):
            tenant.ticket()
            other.ticket()
        for client in (admin, other.client()):
            told = log(client, limit=2)
            assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
        assert {event["data"]["organization_id"] for event in log(admin)} == {tenant.id}

    def test_what_was_refused_leaves_no_event_and_no_gap(self, tenant, admin):
        before = last(admin)
        ticket = {"subject": "S", "description": "D"}
        problem(admin.post("/tickets", json={**ticket, "team_id": NOBODY}), 404, "not_found", "/team_id")
        taken = tenant.team()["name"]
        problem(admin.post("/teams", json={"name": taken}), 409, "already_exists", "/name")
        key = {"idempotency-key": "once"}
        assert (
            admin.post("/tickets", json=ticket, headers=key).json()
            == admin.post("/tickets", json=ticket, headers=key).json()
        )
        assert [event["type"] for event in log(admin, since=before)] == [
            "team.created",
            "contact.created",
            "ticket.created",
        ]
        assert last(admin) == before + 3

    def test_the_update_of_a_ticket_tells_of_its_status(self, tenant, admin):
        path = f"/tickets/{tenant.ticket()['id']}"
        before = last(admin)
        admin.patch(path, json={"priority": "high"})
        admin.patch(path, json={"status": "pending"})
        admin.patch("/users/" + str(tenant.user("agent").id), json={"name": "New"})
        one, two, three = (e for e in log(admin, since=before) if e["type"].endswith("updated"))
        assert (one["status_changed"], "previous_status" in one) == (False, False)
        assert (two["status_changed"], two["previous_status"]) == (True, "open")
        assert "status_changed" not in three

    def test_what_a_comment_does_to_its_ticket_follows_it(self, tenant, admin, agent):
        ticket = tenant.ticket(contact_id=tenant.contact()["id"])
        before = last(admin)
        agent.post(f"/tickets/{ticket['id']}/comments", json={"body": "On it."})
        said, answered = log(admin, since=before, ticket_id=ticket["id"])
        assert (said["type"], answered["type"]) == ("comment.created", "ticket.updated")
        assert answered["changes"].keys() == {"first_responded_at"}
        assert answered["actor"]["id"] == tenant.users["agent"].id

    def test_what_named_something_deleted_changes_with_it(self, tenant, admin):
        agent, team = tenant.user("agent"), tenant.team()
        with Client(tenant.origin, tenant.key(agent)) as client:
            raised = made(client.post("/tickets", json={"subject": "S", "description": "D"}))
            said = made(
                client.post("/comments", json={"ticket_id": raised["id"], "body": "B", "visibility": "internal"})
            )
        given = tenant.ticket(assignee_id=agent.id, team_id=team["id"])
        before = last(admin)
        assert admin.delete(f"/users/{agent.id}").status_code == 204
        assert admin.delete(f"/teams/{team['id']}").status_code == 204
        told = log(admin, since=before)
        assert [(event["type"], event["data"]["id"], sorted(event.get("changes", ()))) for event in told] == [
            ("comment.updated", said["id"], ["author_id"]),
            ("contact.updated", raised["contact_id"], ["user_id"]),
            ("ticket.updated", raised["id"], ["created_by_id"]),
            ("ticket.updated", given["id"], ["assignee_id"]),
            ("user.deleted", agent.id, []),
            ("ticket.updated", given["id"], ["team_id"]),
            ("team.deleted", team["id"], []),
        ]
        assert told[3]["changes"]["assignee_id"] == {"old": agent.id, "new": None}
        for event in told:
            if event["type"] == "ticket.updated":
                assert admin.get(f"/tickets/{event['data']['id']}").json()["version"] >= event["data"]["version"]

    def test_what_the_service_does_by_itself_the_system_did(self, tenant, admin, anonymous):
        admin.patch("/organization", json={"settings": {"allow_self_registration": True}})
        before = last(admin)
        body = {"email": f"joe@{tenant.number}.example", "password": PASSWORD, "name": "Joe"}
        anonymous.post("/auth/register", json={**body, "organization_slug": tenant.organization.slug})
        [event] = log(admin, since=before)
        assert (event["type"], event["data"]["email"]) == ("user.created", body["email"])
        assert event["actor"] == {"type": "system", "id": None, "name": "The service"}

    def test_it_filters_with_or_inside_a_filter_and_and_between_them(self, tenant, admin):
        one, two = tenant.ticket(), tenant.ticket()
        comment = tenant.comment(one, visibility="internal")
        team = tenant.team()
        admin.patch(f"/tickets/{two['id']}", json={"priority": "high"})
        admin.delete(f"/tickets/{one['id']}")

        def types(**asked: Any) -> list[str]:
            return [event["type"] for event in log(admin, **asked)]

        made_, changed, gone = "ticket.created", "ticket.updated", "ticket.deleted"
        assert types(type=["ticket.created", "team.created"]) == [made_, made_, "team.created"]
        assert types(entity=["team", "comment"]) == ["comment.created", "team.created"]
        assert types(entity="ticket", type=["ticket.updated", "team.created"]) == [changed]
        assert types(entity="contact", type="ticket.updated") == []
        assert types(ticket_id=one["id"]) == [made_, "comment.created", gone]
        assert types(ticket_id=[one["id"], two["id"]]) == [made_, made_, "comment.created", changed, gone]
        assert types(entity_id=team["id"], entity="team") == ["team.created"]
        assert types(entity_id=[comment["id"]], entity="comment") == ["comment.created"]
        assert types(ticket_id=NOBODY) == []

    def test_it_filters_by_time(self, tenant, admin):
        start = datetime(2031, 1, 1, tzinfo=UTC)
        teams = []
        for hours in range(3):
            with time_machine.travel(start + timedelta(hours=hours), tick=False):
                teams.append(tenant.team()["id"])

        def found(**asked: str) -> list[int]:
            return [event["data"]["id"] for event in log(admin, entity="team", **asked)]

        assert found(created_from="2031-01-01T01:00:00Z") == teams[1:]
        assert found(created_to="2031-01-01T01:00:00Z") == teams[:1]
        assert found(created_from="2031-01-01T01:00:00Z", created_to="2031-01-01T01:00:00.001Z") == teams[1:2]

    @pytest.mark.parametrize("hours", [(2, 0, 1, 3), (0, 9, 1, 2), (3, 2, 1, 0), (1, 1, 0, 1), (0, 1, 2, 3)])
    def test_it_filters_by_time_also_where_the_clock_was_set_back(self, tenant, admin, hours):
        for hour in hours:
            with time_machine.travel(datetime(2031, 1, 1, hour, tzinfo=UTC), tick=False):
                tenant.team()
        assert [event["created_at"][12] for event in log(admin, entity="team")] == [*map(str, hours)]
        for start, end in itertools.combinations(range(11), 2):
            for sort, expected in (("seq", hours), ("-seq", hours[::-1])):
                asked = {
                    name: f"2031-01-01T{at:02}:00:00Z" for name, at in (("created_from", start), ("created_to", end))
                }
                found = [event["created_at"][12] for event in log(admin, entity="team", sort=sort, limit=2, **asked)]
                assert found == [str(hour) for hour in expected if start <= hour < end]

    def test_a_walk_by_time_goes_on_while_others_write_and_old_events_go(self, tenant, admin):
        for _ in range(6):
            tenant.team()
        asked = {"entity": "team", "created_from": "2001-01-01T00:00:00Z", "created_to": "2099-01-01T00:00:00Z"}
        first = admin.get("/events", params={**asked, "limit": 2}).json()
        tenant.team()
        with tenant.database.write() as tx:  # as the purge does it, to this log alone
            tx.run(_FORGET, of=tenant.organization.id, until=first["data"][0]["seq"])
        rest = admin.get("/events", params={**asked, "limit": 200, "cursor": first["next_cursor"]})
        assert rest.status_code == 200
        assert len(rest.json()["data"]) == 5

    def test_it_tells_from_where_on_it_is_complete(self, tenant, admin):
        assert admin.get("/events").json()["complete_since"] == 0
        with time_machine.travel(datetime(2001, 1, 1, tzinfo=UTC), tick=False):
            ticket = tenant.ticket()
            team = tenant.team()
            before = last(admin)
            admin.patch(f"/tickets/{ticket['id']}", json={"status": "pending"})
            admin.patch(f"/teams/{team['id']}", json={"name": "Old"})
        history = admin.get(f"/tickets/{ticket['id']}/history").json()
        purged = last(admin)
        admin.patch(f"/tickets/{ticket['id']}", json={"status": "open"})
        with tenant.database.write() as tx:
            events.purge(tx, before=clock.parse_rfc3339("2001-01-02T00:00:00Z"))
        # Who was at `before` has not seen all, and sees none of the rest: not those either that history needs.
        for asked in ({"since": before}, {"ticket_id": ticket["id"]}, {"sort": "-seq"}, {"type": "ticket.updated"}):
            found = admin.get("/events", params=asked).json()
            assert ([event["seq"] for event in found["data"]], found["complete_since"]) == ([purged + 1], purged)
        tenant.team()
        assert admin.get("/events", params={"since": purged}).json()["complete_since"] == purged
        entries = admin.get(f"/tickets/{ticket['id']}/history").json()["data"]
        assert [(entry["old"], entry["new"]) for entry in entries] == [("open", "pending"), ("pending", "open")]
        assert entries[:1] == history["data"]

    @pytest.mark.parametrize("sort", ["seq", "-seq"])
    def test_a_time_can_be_given_with_all_other_filters(self, tenant, admin, sort):
        start = datetime(2031, 1, 1, tzinfo=UTC)
        for hours in range(6):
            with time_machine.travel(start + timedelta(hours=hours), tick=False):
                tenant.team()
        teams = log(admin, entity="team")
        asked = {"created_from": "2031-01-01T01:00:00Z", "created_to": "2031-01-01T05:00:00Z", "sort": sort}
        expected = teams[1:5] if sort == "seq" else teams[4:0:-1]
        assert log(admin, **asked) == expected
        assert log(admin, **asked, since=teams[2]["seq"]) == [e for e in expected if e["seq"] > teams[2]["seq"]]
        assert log(admin, **asked, entity_id=[team["data"]["id"] for team in teams[2:]]) == [
            event for event in expected if event in teams[2:]
        ]
        before_all = {"created_from": "2001-01-01T00:00:00Z", "created_to": "2001-01-01T00:00:00Z"}
        assert log(admin, **before_all) == []
        assert log(admin, created_from="2099-01-01T00:00:00Z") == []

    def test_it_reads_both_ways_and_back(self, tenant, admin):
        for _ in range(5):
            tenant.team()
        forwards = [event["seq"] for event in log(admin, limit=2)]
        assert forwards == [event["seq"] for event in log(admin, limit=2, sort="-seq")][::-1]
        second = admin.get(
            "/events", params={"limit": 2, "cursor": admin.get("/events", params={"limit": 2}).json()["next_cursor"]}
        ).json()
        first = admin.get("/events", params={"limit": 2, "cursor": second["prev_cursor"]}).json()
        assert [event["seq"] for event in first["data"]] == [1, 2]

    def test_staff_alone_may_read_it(self, tenant, agent, user):
        assert agent.get("/events").status_code == 200
        problem(user.get("/events"), 403, "forbidden")
        with tenant.client("admin", scopes=["tickets:read"]) as narrow:
            problem(narrow.get("/events"), 403, "insufficient_scope")

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("type=ticket.exploded", "/type/0"),
            ("entity=organization", "/entity/0"),
            ("since=-1", "/since"),
            ("since=9223372036854775807", "/since"),
            ("sort=created_at", "/sort"),
        ],
    )
    def test_what_is_no_filter_is_a_400(self, admin, query, pointer):
        problem(admin.get(f"/events?{query}"), 400, "invalid_request", pointer, where="query")


def live(tenant: Tenant, admin: Client, dice: random.Random) -> None:
    """Let tickets be raised, changed, discussed and deleted at random."""
    team, colleague = tenant.team(), tenant.user("agent")
    tickets = [tenant.ticket() for _ in range(4)]
    for _ in range(60):
        ticket = dice.choice(tickets)
        path = f"/tickets/{ticket['id']}"
        act = dice.randrange(8)
        if act == 0:
            tickets.append(tenant.ticket(priority=dice.choice(["low", "high"])))
        elif act == 1 and len(tickets) > 2:
            tickets.remove(ticket)
            assert admin.delete(path).status_code == 204
        elif act == 2:
            tenant.comment(ticket, visibility=dice.choice(["public", "internal"]))
        elif act == 3:
            given = {"assignee_id": dice.choice([None, colleague.id]), "team_id": dice.choice([None, team["id"]])}
            admin.patch(path, json=given)
        else:
            status = dice.choice(["open", "pending", "resolved", "closed"])
            admin.patch(path, json={"status": status, "tags": [str(act)]})
    admin.delete(f"/teams/{team['id']}")


def fold(events: list[Entity]) -> dict[int, Entity]:
    """Make the state of all tickets from the log, and check that each step explains the next."""
    state: dict[int, Entity] = {}
    for event in events:
        ticket = event["data"]
        if event["type"] == "ticket.deleted":
            assert state.pop(ticket["id"]) == ticket
            continue
        if event["type"] != "ticket.created" and "changes" not in event:
            assert state[ticket["id"]] == ticket  # what is told of a due time changes nothing by itself
            continue
        if event["type"] != "ticket.created":
            before = state[ticket["id"]]
            assert all(before[name] == change["old"] for name, change in event["changes"].items())
            changed = {name: change["new"] for name, change in event["changes"].items()}
            moved = {"version": before["version"] + 1, "updated_at": ticket["updated_at"], "sla": ticket["sla"]}
            assert {**before, **changed, **moved} == ticket
        else:
            assert ticket["version"] == 1
        state[ticket["id"]] = ticket
    return state


@pytest.mark.parametrize("seed", range(3))
def test_folding_the_log_gives_every_ticket_as_it_is_and_the_history_explains_each_field(tenant, admin, seed):
    live(tenant, admin, random.Random(seed))
    state = fold(log(admin, entity="ticket"))
    assert state == {ticket["id"]: ticket for ticket in walk(admin, "/tickets")}
    for ticket in state.values():
        fields: Entity = {}
        for entry in walk(admin, f"/tickets/{ticket['id']}/history", limit=3):
            assert fields.get(entry["field"], entry["old"]) == entry["old"]
            fields[entry["field"]] = entry["new"]
        assert fields.items() <= ticket.items()
