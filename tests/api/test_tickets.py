"""Tickets: who may set what, the moves between statuses, filters."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import time_machine

from api.checks import NOBODY, ids, made, problem, walk
from factories import Client, Tenant
from tickets import clock

STATUSES = ("open", "in_progress", "pending", "resolved", "closed")
ALLOWED = {
    "open": {"in_progress", "pending", "resolved", "closed"},
    "in_progress": {"open", "pending", "resolved", "closed"},
    "pending": {"open", "in_progress", "resolved", "closed"},
    "resolved": {"open", "closed"},
    "closed": {"open"},
}
MOVES = [(start, end) for start in STATUSES for end in STATUSES if start != end]
START = datetime(2031, 1, 1, tzinfo=UTC)


def _at(minutes: int) -> time_machine.travel:
    return time_machine.travel(START + timedelta(minutes=minutes), tick=False)


class TestListTickets:
    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("priority", ["low", "medium", "high", "urgent"]),
            ("type", ["question", "incident", "problem", "task"]),
        ],
    )
    def test_a_filter_with_several_values_means_any_of_them(self, tenant, admin, field, values):
        tickets = {value: tenant.ticket(**{field: value})["id"] for value in values}
        for wanted in ([values[0]], values[1:3], values, [values[0], values[0]]):
            assert set(ids(admin.get("/tickets", params={field: wanted}))) == {tickets[value] for value in wanted}

    def test_it_filters_by_status(self, tenant, admin):
        tickets = {}
        for status in STATUSES:
            tickets[status] = tenant.ticket()["id"]
            admin.patch(f"/tickets/{tickets[status]}", json={"status": status})
        for wanted in (["open"], ["resolved", "closed"], list(STATUSES)):
            assert set(ids(admin.get("/tickets", params={"status": wanted}))) == {tickets[s] for s in wanted}

    def test_it_filters_by_assignee_me_and_none(self, tenant, admin):
        me, colleague = tenant.users["admin"].id, tenant.user("agent").id
        mine, theirs, nobodys = (tenant.ticket(assignee_id=who)["id"] for who in (me, colleague, None))
        for wanted, expected in (
            (["me"], {mine}),
            ([str(me)], {mine}),
            (["none"], {nobodys}),
            ([str(colleague)], {theirs}),
            (["me", "none"], {mine, nobodys}),
            (["me", str(colleague), "none"], {mine, theirs, nobodys}),
            ([str(NOBODY)], set()),
            (["9" * 19], set()),
            (["9" * 19, "me"], {mine}),
        ):
            assert set(ids(admin.get("/tickets", params={"assigned_to": wanted}))) == expected, wanted

    @pytest.mark.parametrize("value", ["", "0", "-1", "01", "you", "Me", "1,2", "9" * 20])
    def test_what_is_no_assignee_is_a_400(self, admin, value):
        problem(
            admin.get("/tickets", params={"assigned_to": value}),
            400,
            "invalid_request",
            "/assigned_to/0",
            where="query",
        )

    def test_it_filters_by_contact_and_team(self, tenant, admin):
        contacts = [tenant.contact()["id"] for _ in range(3)]
        teams = [tenant.team()["id"] for _ in range(3)]
        tickets = [
            tenant.ticket(contact_id=contact, team_id=team)["id"] for contact, team in zip(contacts, teams, strict=True)
        ]
        assert ids(admin.get("/tickets", params={"contact_id": contacts[0]})) == tickets[:1]
        assert ids(admin.get("/tickets", params={"contact_id": contacts[1:]})) == [tickets[2], tickets[1]]
        assert ids(admin.get("/tickets", params={"team_id": teams[:2]})) == [tickets[1], tickets[0]]
        assert ids(admin.get("/tickets", params={"team_id": teams[0], "contact_id": contacts[1]})) == []

    def test_it_filters_by_tag(self, tenant, admin, other):
        other.ticket(tags=["vip"])
        both, vip, printer, none = (
            tenant.ticket(tags=tags)["id"] for tags in (["vip", "printer"], ["vip"], ["printer"], [])
        )
        for wanted, expected in (
            (["vip"], [vip, both]),
            (["printer", "vip"], [printer, vip, both]),
            (["vip", "vip"], [vip, both]),
            (["VIP"], []),
            (["vi"], []),
            (["%25", "naïve"], []),
        ):
            assert ids(admin.get("/tickets", params={"tag": wanted})) == expected, wanted
        counted = admin.get("/tickets", params={"tag": ["vip", "printer"], "page": 1}).json()
        assert counted["total"] == 3
        assert none not in [ticket["id"] for ticket in counted["data"]]
        assert ids(admin.get("/tickets", params={"tag": "vip", "priority": "high"})) == []
        assert ids(admin.get("/tickets", params={"tag": "vip", "assigned_to": "none"})) == [vip, both]

    def test_tags_are_found_as_they_are_now(self, tenant, admin):
        path = f"/tickets/{tenant.ticket(tags=['old'])['id']}"

        def tagged() -> dict[str, bool]:
            return {tag: bool(ids(admin.get("/tickets", params={"tag": tag}))) for tag in ("old", "new")}

        assert tagged() == {"old": True, "new": False}
        ticket = admin.patch(path, json={"tags": ["old", "new"]}).json()
        assert tagged() == {"old": True, "new": True}
        whole = {name: ticket[name] for name in ("subject", "description", "status", "priority", "type", "contact_id")}
        assert admin.put(path, json={**whole, "tags": ["new"]}).status_code == 200
        assert tagged() == {"old": False, "new": True}
        assert admin.post(f"{path}/merge", json={"into": tenant.ticket()["id"]}).status_code == 200
        assert tagged() == {"old": False, "new": True}
        assert admin.delete(path).status_code == 204
        assert tagged() == {"old": False, "new": False}

    def test_tagged_tickets_come_in_the_order_that_is_asked_for(self, tenant, admin):
        one, two, three = (tenant.ticket(tags=["vip", f"t{n}"])["id"] for n in range(3))
        assert admin.patch(f"/tickets/{two}", json={"priority": "high"}).status_code == 200
        for sort, expected in (("created_at", [one, two, three]), ("-updated_at", [two, three, one])):
            for tags in ("vip", ["vip", "t0", "t1"]):
                first = admin.get("/tickets", params={"tag": tags, "sort": sort, "limit": 2}).json()
                rest = admin.get(
                    "/tickets", params={"tag": tags, "sort": sort, "limit": 2, "cursor": first["next_cursor"]}
                ).json()
                assert [ticket["id"] for ticket in first["data"] + rest["data"]] == expected

    @pytest.mark.parametrize("value", ["", "two words", "x" * 51])
    def test_what_is_no_tag_is_a_400(self, admin, value):
        problem(admin.get("/tickets", params={"tag": value}), 400, "invalid_request", "/tag/0", where="query")

    def test_a_user_sees_of_a_tag_their_own_only(self, tenant, user):
        tenant.ticket(tags=["vip"])
        mine = made(user.post("/tickets", json={"subject": "S", "description": "", "tags": ["vip"]}))
        assert ids(user.get("/tickets", params={"tag": "vip"})) == [mine["id"]]
        assert ids(user.get("/tickets", params={"tag": ["vip", "x"]})) == [mine["id"]]

    def test_times_include_from_and_exclude_to(self, tenant, admin):
        tickets = []
        for minutes in (0, 1, 2):
            with _at(minutes):
                tickets.append(tenant.ticket()["id"])
        for params, expected in (
            ({"created_from": "2031-01-01T00:01:00Z"}, tickets[1:]),
            ({"created_from": "2031-01-01T00:01:00.001Z"}, tickets[2:]),
            ({"created_to": "2031-01-01T00:01:00Z"}, tickets[:1]),
            ({"created_to": "2031-01-01T01:01:00.001+01:00"}, tickets[:2]),
            ({"created_from": "2031-01-01T00:01:00Z", "created_to": "2031-01-01T00:02:00Z"}, tickets[1:2]),
            ({"created_from": "2031-01-01T00:02:00Z", "created_to": "2031-01-01T00:01:00Z"}, []),
        ):
            assert ids(admin.get("/tickets", params={**params, "sort": "created_at"})) == expected, params

    def test_it_shows_what_changed_since(self, tenant, admin):
        with _at(0):
            one, another = tenant.ticket()["id"], tenant.ticket()["id"]
        with _at(5):
            admin.patch(f"/tickets/{one}", json={"priority": "high"})
        assert ids(admin.get("/tickets", params={"updated_since": "2031-01-01T00:05:00Z"})) == [one]
        assert ids(admin.get("/tickets", params={"sort": "updated_at"})) == [another, one]

    @pytest.mark.parametrize("name", ["created_from", "created_to", "updated_since"])
    @pytest.mark.parametrize(
        "value", ["", "2026-01-02", "2026-02-30T00:00:00Z", "2026-01-02T03:04:05", "now", "2026-01-02T03:04:05 01:00"]
    )
    def test_what_is_no_time_is_a_400(self, admin, name, value):
        problem(admin.get("/tickets", params={name: value}), 400, "invalid_request", f"/{name}", where="query")

    def test_different_filters_are_combined_with_and(self, tenant, admin):
        ticket = tenant.ticket(priority="high", type="incident")["id"]
        tenant.ticket(priority="high")
        tenant.ticket(type="incident")
        params = {"priority": "high", "type": "incident", "status": "open", "assigned_to": "none"}
        assert ids(admin.get("/tickets", params=params)) == [ticket]

    def test_a_user_sees_their_own_only_whatever_they_filter_by(self, tenant, user, other):
        tenant.ticket()
        other.ticket()
        assert ids(user.get("/tickets")) == []
        ticket = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        theirs = tenant.ticket(contact_id=tenant.contact()["id"])
        assert ids(user.get("/tickets")) == [ticket["id"]]
        assert ids(user.get("/tickets", params={"contact_id": theirs["contact_id"]})) == []
        assert ids(user.get("/tickets", params={"contact_id": [theirs["contact_id"], ticket["contact_id"]]})) == [
            ticket["id"]
        ]

    def test_a_user_sees_what_the_staff_raised_for_them(self, tenant, user):
        mine = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        raised = tenant.ticket(contact_id=mine["contact_id"])
        assert ids(user.get("/tickets")) == [raised["id"], mine["id"]]


class TestCreateTicket:
    BODY = {"subject": "Printer", "description": "It is on fire."}  # noqa: RUF012 - no test changes it

    def test_it_starts_open_with_the_usual_values(self, tenant, agent):
        body = made(agent.post("/tickets", json=self.BODY))
        expected = {
            **self.BODY,
            "organization_id": tenant.id,
            "number": 1,
            "status": "open",
            "priority": "medium",
            "type": "question",
            "source": "api",
            "assignee_id": None,
            "team_id": None,
            "created_by_id": tenant.users["agent"].id,
            "tags": [],
            "custom_fields": {},
            "merged_into_id": None,
            "is_breached": False,
            "first_responded_at": None,
            "resolved_at": None,
            "closed_at": None,
            "version": 1,
        }
        assert expected.items() <= body.items()
        assert body.keys() - expected.keys() == {"id", "contact_id", "sla", "created_at", "updated_at"}

    def test_everything_can_be_set(self, tenant, admin):
        fields = {
            "priority": "urgent",
            "type": "incident",
            "contact_id": tenant.contact()["id"],
            "assignee_id": tenant.user("agent").id,
            "team_id": tenant.team()["id"],
            "tags": ["b", "a", "ä"],
            "custom_fields": {"seat": "7A", "floor": 3, "vip": False, "none": None},
        }
        assert fields.items() <= made(admin.post("/tickets", json={**self.BODY, **fields})).items()

    def test_without_a_contact_it_is_raised_for_the_caller_each_time(self, tenant, user, admin):
        one, another = (made(user.post("/tickets", json=self.BODY)) for _ in range(2))
        assert one["contact_id"] == another["contact_id"]
        contact = admin.get(f"/contacts/{one['contact_id']}").json()
        assert contact["user_id"] == tenant.users["user"].id

    def test_a_contact_with_the_callers_address_becomes_theirs(self, tenant, admin):
        email = f"known-{tenant.number}@example.com"
        contact = tenant.contact(email=email)
        account = tenant.user("user", email=email)
        with type(admin)(tenant.origin, tenant.key(account)) as client:
            assert made(client.post("/tickets", json=self.BODY))["contact_id"] == contact["id"]
        assert admin.get(f"/contacts/{contact['id']}").json()["user_id"] == account.id

    def test_a_contact_of_another_account_with_the_callers_address_is_told(self, tenant, admin, user):
        theirs = made(user.post("/tickets", json={"subject": "S", "description": ""}))["contact_id"]
        newcomer = tenant.user("user")
        assert admin.patch(f"/contacts/{theirs}", json={"email": newcomer.email}).status_code == 200
        with Client(tenant.origin, tenant.key(newcomer)) as client:
            refused = client.post("/tickets", json={"subject": "S", "description": ""})
            assert str(theirs) in problem(refused, 409, "already_exists")["detail"]

    def test_every_id_that_names_nothing_is_told_at_once(self, admin):
        body = {"subject": "S", "description": "", "contact_id": NOBODY, "assignee_id": NOBODY, "team_id": NOBODY}
        problem(admin.post("/tickets", json=body), 404, "not_found", "/contact_id", "/assignee_id", "/team_id")

    def test_nobody_assigns_to_who_is_deactivated(self, tenant, admin):
        gone = tenant.user("agent", is_active=False).id
        body = {"subject": "S", "description": "", "assignee_id": gone}
        problem(admin.post("/tickets", json=body), 409, "user_inactive", "/assignee_id")
        ticket = tenant.ticket()
        refused = admin.patch(f"/tickets/{ticket['id']}", json={"assignee_id": gone})
        problem(refused, 409, "user_inactive", "/assignee_id")

    def test_numbers_count_up_within_the_organization(self, tenant, other):
        assert [tenant.ticket()["number"], other.ticket()["number"], tenant.ticket()["number"]] == [1, 1, 2]

    def test_a_refused_ticket_takes_no_number(self, tenant, admin):
        problem(admin.post("/tickets", json={**self.BODY, "team_id": NOBODY}), 404, "not_found", "/team_id")
        assert tenant.ticket()["number"] == 1

    @pytest.mark.parametrize(
        ("field", "value"),
        [("priority", "low"), ("custom_fields", {}), ("contact_id", 1), ("assignee_id", None), ("team_id", NOBODY)],
    )
    def test_a_user_may_set_only_what_is_theirs(self, user, field, value):
        problem(user.post("/tickets", json={**self.BODY, field: value}), 403, "forbidden", f"/{field}")

    def test_a_user_may_set_type_and_tags(self, user):
        fields = {"type": "incident", "tags": ["a"]}
        assert fields.items() <= made(user.post("/tickets", json={**self.BODY, **fields})).items()

    def test_an_agent_assigns_only_themself(self, tenant, agent):
        me, colleague = tenant.users["agent"].id, tenant.user("agent").id
        assert made(agent.post("/tickets", json={**self.BODY, "assignee_id": me}))["assignee_id"] == me
        response = agent.post("/tickets", json={**self.BODY, "assignee_id": colleague})
        problem(response, 403, "forbidden", "/assignee_id")

    @pytest.mark.parametrize("field", ["contact_id", "assignee_id", "team_id"])
    def test_what_does_not_exist_is_a_404_that_points_at_the_field(self, admin, field):
        problem(admin.post("/tickets", json={**self.BODY, field: NOBODY}), 404, "not_found", f"/{field}")

    @pytest.mark.parametrize("missing", ["subject", "description"])
    def test_what_is_required_is_named(self, user, missing):
        body = {name: value for name, value in self.BODY.items() if name != missing}
        problem(user.post("/tickets", json=body), 400, "invalid_request", f"/{missing}")

    @pytest.mark.parametrize("subject", ["", " ", "a\nb", "x" * 256, None, 7])
    def test_a_subject_is_one_line_that_is_not_blank(self, user, subject):
        problem(user.post("/tickets", json={**self.BODY, "subject": subject}), 400, "invalid_request", "/subject")

    @pytest.mark.parametrize("subject", ["x" * 255, "😀" * 255, "a", " a ", "<script>", "'; DROP TABLE tickets; --"])
    def test_any_other_subject_comes_back_as_it_was_sent(self, user, subject):
        assert made(user.post("/tickets", json={**self.BODY, "subject": subject}))["subject"] == subject

    def test_a_description_may_be_empty_or_long_but_has_an_end(self, user):
        for description in ("", "ä" * 50_000, "line\nline\ttab"):
            assert (
                made(user.post("/tickets", json={**self.BODY, "description": description}))["description"]
                == description
            )
        response = user.post("/tickets", json={**self.BODY, "description": "x" * 50_001})
        problem(response, 400, "invalid_request", "/description")

    def test_each_fault_is_told_at_once(self, user):
        body = {"subject": "", "description": "x", "priority": "huge", "tags": ["a", ""]}
        response = user.post("/tickets", json=body)
        problem(response, 400, "invalid_request", "/subject", "/priority", "/tags/1")


class TestGetTicket:
    def test_a_user_reads_their_own_and_no_other(self, tenant, user):
        mine = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        assert user.get(f"/tickets/{mine['id']}").json() == mine
        theirs = tenant.ticket()
        refused = problem(user.get(f"/tickets/{theirs['id']}"), 404, "not_found")
        missing = problem(user.get(f"/tickets/{NOBODY}"), 404, "not_found")
        assert refused["detail"].replace(str(theirs["id"]), "") == missing["detail"].replace(str(NOBODY), "")

    def test_a_ticket_given_to_another_contact_is_gone_for_the_user(self, tenant, admin, user):
        mine = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        admin.patch(f"/tickets/{mine['id']}", json={"contact_id": tenant.contact()["id"]})
        problem(user.get(f"/tickets/{mine['id']}"), 404, "not_found")


class TestUpdateTicket:
    @pytest.mark.parametrize(("start", "end"), MOVES)
    def test_a_ticket_moves_exactly_where_it_may(self, tenant, agent, start, end):
        address = f"/tickets/{tenant.ticket()['id']}"
        if start != "open":
            assert agent.patch(address, json={"status": start}).status_code == 200
        before = agent.get(address).json()
        response = agent.patch(address, json={"status": end, "subject": "Moved"})
        if end in ALLOWED[start]:
            assert response.json()["status"] == end
            assert response.json()["version"] == before["version"] + 1
        else:
            refused = problem(response, 409, "invalid_transition", "/status")
            assert all(status in refused["detail"] for status in ALLOWED[start])
            assert agent.get(address).json() == before

    @pytest.mark.parametrize("status", STATUSES)
    def test_the_status_it_has_is_no_move(self, tenant, agent, status):
        address = f"/tickets/{tenant.ticket()['id']}"
        before = agent.patch(address, json={"status": status}).json()
        assert agent.patch(address, json={"status": status}).json() == before

    def test_times_of_resolution_and_closing_follow_the_status(self, tenant, agent):
        with _at(0):
            address = f"/tickets/{tenant.ticket()['id']}"
        seen = {}
        for minutes, status in enumerate(("resolved", "closed", "open", "closed", "open"), start=1):
            with _at(minutes):
                body = agent.patch(address, json={"status": status}).json()
            seen[minutes] = (body["resolved_at"], body["closed_at"])
        at = [f"2031-01-01T00:0{minutes}:00.000Z" for minutes in range(6)]
        assert seen == {1: (at[1], None), 2: (at[1], at[2]), 3: (None, None), 4: (at[4], at[4]), 5: (None, None)}

    def test_nobody_assigns_to_who_would_not_see_it(self, tenant, admin):
        body = {"assignee_id": tenant.user("user").id}
        problem(
            admin.post("/tickets", json={"subject": "S", "description": "", **body}), 409, "conflict", "/assignee_id"
        )
        problem(admin.patch(f"/tickets/{tenant.ticket()['id']}", json=body), 409, "conflict", "/assignee_id")

    def test_an_agent_takes_a_ticket_and_gives_it_back_but_takes_it_from_nobody_for_nobody(self, tenant, agent):
        me, colleague = tenant.users["agent"].id, tenant.user("agent").id
        path = f"/tickets/{tenant.ticket(assignee_id=colleague)['id']}"
        problem(agent.patch(path, json={"assignee_id": None}), 403, "forbidden", "/assignee_id")
        for who in (me, None):
            assert agent.patch(path, json={"assignee_id": who}).json()["assignee_id"] == who

    def test_null_takes_assignee_and_team_away(self, tenant, admin):
        ticket = tenant.ticket(assignee_id=tenant.user("agent").id, team_id=tenant.team()["id"])
        body = admin.patch(f"/tickets/{ticket['id']}", json={"assignee_id": None, "team_id": None}).json()
        assert (body["assignee_id"], body["team_id"], body["version"]) == (None, None, 2)

    @pytest.mark.parametrize(
        "field", ["subject", "description", "status", "priority", "type", "contact_id", "tags", "custom_fields"]
    )
    def test_null_is_no_value_for_anything_else(self, tenant, admin, field):
        response = admin.patch(f"/tickets/{tenant.ticket()['id']}", json={field: None})
        problem(response, 400, "invalid_request", f"/{field}")

    def test_what_is_not_sent_stays(self, tenant, admin):
        ticket = tenant.ticket(tags=["a"], custom_fields={"b": 1}, priority="high", team_id=tenant.team()["id"])
        body = admin.patch(f"/tickets/{ticket['id']}", json={"subject": "New"}).json()
        assert body == {**ticket, "subject": "New", "version": 2, "updated_at": body["updated_at"]}

    def test_tags_and_fields_are_replaced_as_a_whole(self, tenant, admin):
        ticket = tenant.ticket(tags=["a", "b"], custom_fields={"a": 1, "b": 2})
        body = admin.patch(f"/tickets/{ticket['id']}", json={"tags": ["b"], "custom_fields": {"c": True}}).json()
        assert (body["tags"], body["custom_fields"]) == (["b"], {"c": True})

    def test_a_number_in_a_field_of_ones_own_is_not_a_boolean(self, tenant, admin):
        ticket = tenant.ticket(custom_fields={"a": 1})
        body = admin.patch(f"/tickets/{ticket['id']}", json={"custom_fields": {"a": True}}).json()
        assert body["custom_fields"]["a"] is True

    def test_an_agent_assigns_and_unassigns_only_themself(self, tenant, agent):
        me, colleague = tenant.users["agent"].id, tenant.user("agent").id
        address = f"/tickets/{tenant.ticket()['id']}"
        assert agent.patch(address, json={"assignee_id": me}).json()["assignee_id"] == me
        problem(agent.patch(address, json={"assignee_id": colleague}), 403, "forbidden", "/assignee_id")
        assert agent.patch(address, json={"assignee_id": None}).json()["assignee_id"] is None

    def test_an_agent_may_send_the_assignee_back_as_it_is(self, tenant, agent):
        colleague = tenant.user("agent").id
        ticket = tenant.ticket(assignee_id=colleague)
        body = agent.patch(f"/tickets/{ticket['id']}", json={"assignee_id": colleague, "priority": "high"}).json()
        assert (body["assignee_id"], body["priority"]) == (colleague, "high")

    def test_an_admin_assigns_anyone(self, tenant, admin):
        colleague = tenant.user("agent").id
        body = admin.patch(f"/tickets/{tenant.ticket()['id']}", json={"assignee_id": colleague}).json()
        assert body["assignee_id"] == colleague

    @pytest.mark.parametrize("field", ["contact_id", "assignee_id", "team_id"])
    def test_what_does_not_exist_is_a_404_that_points_at_the_field(self, tenant, admin, field):
        ticket = tenant.ticket()
        response = admin.patch(f"/tickets/{ticket['id']}", json={field: NOBODY, "subject": "New"})
        problem(response, 404, "not_found", f"/{field}")
        assert admin.get(f"/tickets/{ticket['id']}").json() == ticket

    def test_a_user_may_not_even_change_their_own(self, user):
        mine = made(user.post("/tickets", json={"subject": "S", "description": ""}))
        problem(user.patch(f"/tickets/{mine['id']}", json={"subject": "New"}), 403, "forbidden")

    def test_time_never_goes_back(self, tenant, admin):
        with _at(10):
            ticket = tenant.ticket()
        with _at(0):
            body = admin.patch(f"/tickets/{ticket['id']}", json={"priority": "high"}).json()
        assert body["updated_at"] == ticket["updated_at"]


class TestReplaceTicket:
    WHOLE: ClassVar[dict[str, Any]] = {
        "subject": "S",
        "description": "D",
        "status": "pending",
        "priority": "low",
        "type": "task",
    }

    def test_what_is_left_out_is_emptied(self, tenant, admin):
        given = {"assignee_id": tenant.user("agent").id, "team_id": tenant.team()["id"]}
        ticket = tenant.ticket(**given, tags=["a"], custom_fields={"floor": 3})
        body = {**self.WHOLE, "contact_id": ticket["contact_id"]}
        answer = admin.put(f"/tickets/{ticket['id']}", json=body)
        assert answer.status_code == 200
        changed = answer.json()
        assert body.items() <= changed.items()
        assert [changed[name] for name in ("assignee_id", "team_id", "tags", "custom_fields")] == [None, None, [], {}]
        assert (changed["version"], answer.headers["etag"]) == (2, '"2"')
        assert admin.put(f"/tickets/{ticket['id']}", json=body).json() == changed

    def test_of_what_was_read_that_which_cannot_be_set_is_called_read_only(self, tenant, admin):
        ticket = tenant.ticket()
        path = f"/tickets/{ticket['id']}"
        errors = admin.put(path, json={**ticket, "colour": "red"}).json()["errors"]
        told = {error["pointer"].removeprefix("/"): error["detail"] for error in errors}
        assert told.pop("colour") == "is not known here; leave it out"
        assert set(told.values()) == {"is read-only here; leave it out"}
        assert admin.put(path, json={name: ticket[name] for name in ticket.keys() - told}).json() == ticket

    def test_where_the_body_is_no_part_of_the_ticket_nothing_is_called_read_only(self, tenant, admin):
        ticket = tenant.ticket()
        answer = admin.post(f"/tickets/{ticket['id']}/merge", json={"into": ticket["id"], "subject": "S"})
        problem(answer, 400, "invalid_request", "/subject")
        assert "not known" in answer.json()["detail"]

    def test_what_is_required_is_asked_for(self, tenant, admin):
        answer = admin.put(f"/tickets/{tenant.ticket()['id']}", json={"subject": "S"})
        missing = ("/description", "/status", "/priority", "/type", "/contact_id")
        problem(answer, 400, "invalid_request", *missing)

    def test_it_keeps_to_the_moves_and_to_versions_as_patch_does(self, tenant, admin, agent, user):
        ticket = tenant.ticket()
        path, body = f"/tickets/{ticket['id']}", {**self.WHOLE, "contact_id": ticket["contact_id"]}
        admin.patch(path, json={"status": "closed"})
        problem(admin.put(path, json=body), 409, "invalid_transition", "/status")
        problem(admin.put(path, json={**body, "version": 1}), 409, "version_conflict", "/version")
        stale = admin.put(path, json=body, headers={"if-match": '"1"'})
        problem(stale, 412, "precondition_failed", "/If-Match", where="header")
        problem(user.put(path, json=body), 403, "forbidden")
        taken = {**body, "status": "open", "assignee_id": tenant.users["admin"].id}
        problem(agent.put(path, json=taken), 403, "forbidden", "/assignee_id")
        assert agent.put(path, json={**taken, "assignee_id": tenant.users["agent"].id}).status_code == 200


class TestDeleteTicket:
    def test_its_comments_go_with_it(self, tenant, admin):
        ticket = tenant.ticket()
        comment = tenant.comment(ticket)
        assert admin.delete(f"/tickets/{ticket['id']}").status_code == 204
        problem(admin.get(f"/comments/{comment['id']}"), 404, "not_found")
        problem(admin.get(f"/tickets/{ticket['id']}/comments"), 404, "not_found")

    def test_its_number_is_never_used_again(self, tenant, admin):
        admin.delete(f"/tickets/{tenant.ticket()['id']}")
        assert tenant.ticket()["number"] == 2

    @pytest.mark.parametrize("role", ["agent", "user"])
    def test_only_an_admin_deletes(self, tenant, role):
        problem(tenant.client(role).delete(f"/tickets/{tenant.ticket()['id']}"), 403, "forbidden")


class TestListTicketHistory:
    def test_each_field_that_changed_is_one_entry(self, tenant, admin, agent):
        ticket = tenant.ticket()
        agent.patch(f"/tickets/{ticket['id']}", json={"status": "resolved", "tags": ["a"]})
        admin.patch(f"/tickets/{ticket['id']}", json={"custom_fields": {"floor": 3}})
        now = admin.get(f"/tickets/{ticket['id']}").json()
        entries = admin.get(f"/tickets/{ticket['id']}/history").json()["data"]
        assert [(entry["field"], entry["old"], entry["new"]) for entry in entries] == [
            ("status", "open", "resolved"),
            ("tags", [], ["a"]),
            ("resolved_at", None, now["resolved_at"]),
            ("custom_fields", {}, {"floor": 3}),
        ]
        assert [entry["actor"]["id"] for entry in entries] == [tenant.users[r].id for r in ("agent",) * 3 + ("admin",)]
        assert entries[-1]["created_at"] == now["updated_at"]
        assert len({entry["id"] for entry in entries}) == 4

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
    @pytest.mark.parametrize("sort", ["created_at", "-created_at"])
    def test_a_page_may_end_in_the_midst_of_a_change(self, tenant, admin, limit, sort):
        ticket = tenant.ticket()
        path = f"/tickets/{ticket['id']}"
        for number in range(4):
            change = {"subject": f"S{number}", "description": f"D{number}", "tags": [f"t{number}"]}
            assert admin.patch(path, json=change).status_code == 200
        whole = admin.get(f"{path}/history", params={"sort": sort, "limit": 200}).json()["data"]
        assert len(whole) == 12
        assert [entry["id"] for entry in whole] == sorted((e["id"] for e in whole), reverse=sort.startswith("-"))
        assert list(walk(admin, f"{path}/history", limit=limit, sort=sort)) == whole
        pages, cursor = [], None
        page = admin.get(f"{path}/history", params={"limit": limit, "sort": sort}).json()
        while page["next_cursor"]:
            page = admin.get(
                f"{path}/history", params={"limit": limit, "sort": sort, "cursor": page["next_cursor"]}
            ).json()
        pages = page["data"]
        while cursor := page["prev_cursor"]:
            page = admin.get(f"{path}/history", params={"limit": limit, "sort": sort, "cursor": cursor}).json()
            pages = page["data"] + pages
        assert pages == whole

    def test_a_user_reads_that_of_their_own_tickets_only(self, tenant, user, admin):
        own = made(user.post("/tickets", json={"subject": "S", "description": "D"}))
        admin.patch(f"/tickets/{own['id']}", json={"priority": "high"})
        [entry] = user.get(f"/tickets/{own['id']}/history").json()["data"]
        assert entry["field"] == "priority"
        problem(user.get(f"/tickets/{tenant.ticket()['id']}/history"), 404, "not_found")

    def test_a_ticket_that_is_gone_has_none(self, tenant, admin):
        ticket = tenant.ticket()
        admin.delete(f"/tickets/{ticket['id']}")
        problem(admin.get(f"/tickets/{ticket['id']}/history"), 404, "not_found")


class TestListOpenTickets:
    def test_it_shows_what_waits_for_work_the_oldest_first(self, tenant, admin):
        made_ = {}
        for minutes, status in enumerate(STATUSES):
            with _at(minutes):
                ticket = tenant.ticket()
                made_[status] = ticket["id"]
                if status != "open":
                    assert admin.patch(f"/tickets/{ticket['id']}", json={"status": status}).status_code == 200
        assert ids(admin.get("/tickets/open")) == [made_[status] for status in ("open", "in_progress", "pending")]
        assert admin.patch(f"/tickets/{made_['resolved']}", json={"status": "open"}).status_code == 200
        assert made_["resolved"] in ids(admin.get("/tickets/open"))

    def test_a_user_sees_their_own_only(self, tenant, user):
        tenant.ticket()
        own = made(user.post("/tickets", json={"subject": "S", "description": "D"}))
        assert ids(user.get("/tickets/open")) == [own["id"]]
        assert ids(user.get("/tickets/closed")) == []


class TestListClosedTickets:
    def test_it_shows_what_is_closed_the_latest_first(self, tenant, admin):
        tickets = [tenant.ticket() for _ in range(4)]
        for minutes, place in enumerate((2, 0, 1)):
            with _at(minutes):
                admin.patch(f"/tickets/{tickets[place]['id']}", json={"status": "closed"})
        admin.patch(f"/tickets/{tickets[3]['id']}", json={"status": "resolved"})
        assert ids(admin.get("/tickets/closed")) == [tickets[place]["id"] for place in (1, 0, 2)]
        with _at(10):
            admin.patch(f"/tickets/{tickets[0]['id']}", json={"status": "open"})
        assert ids(admin.get("/tickets/closed")) == [tickets[place]["id"] for place in (1, 2)]


class TestMergeTicket:
    def test_its_comments_move_and_it_closes(self, tenant, admin, agent):
        source, target = tenant.ticket(), tenant.ticket()
        path = f"/tickets/{source['id']}/comments"
        said = [made(agent.post(path, json={"body": body}))["id"] for body in "abc"]
        before = max(event["seq"] for event in walk(admin, "/events"))
        answer = agent.post(f"/tickets/{source['id']}/merge", json={"into": target["id"]})
        assert answer.status_code == 200, answer.text
        merged = answer.json()
        assert (merged["status"], merged["merged_into_id"]) == ("closed", target["id"])
        assert merged["closed_at"] is not None
        assert answer.headers["etag"] == f'"{merged["version"]}"'
        assert ids(admin.get(f"/tickets/{target['id']}/comments")) == said
        assert ids(admin.get(f"/tickets/{source['id']}/comments")) == []
        told = list(walk(admin, "/events", since=before))
        assert [event["type"] for event in told] == ["comment.updated"] * 3 + ["ticket.updated", "ticket.merged"]
        assert told[0]["changes"] == {"ticket_id": {"old": source["id"], "new": target["id"]}}
        assert (told[3]["data"]["id"], list(told[3]["changes"])) == (target["id"], ["first_responded_at"])
        assert (told[4]["data"], told[4]["status_changed"], told[4]["previous_status"]) == (merged, True, "open")
        history = admin.get(f"/tickets/{source['id']}/history", params={"sort": "-created_at"}).json()["data"]
        assert {entry["field"] for entry in history[:4]} == {"status", "closed_at", "resolved_at", "merged_into_id"}

    def test_a_closed_ticket_merges_too_and_none_reopens_after_that(self, tenant, admin):
        source, target = tenant.ticket(), tenant.ticket()
        path = f"/tickets/{source['id']}"
        closed = admin.patch(path, json={"status": "closed"}).json()
        merged = admin.post(f"{path}/merge", json={"into": target["id"]}).json()
        assert (merged["merged_into_id"], merged["closed_at"]) == (target["id"], closed["closed_at"])
        told = problem(admin.patch(path, json={"status": "open"}), 409, "invalid_transition", "/status")
        assert str(target["id"]) in told["detail"]

    def test_what_was_merged_is_merged_no_more(self, tenant, admin):
        one, two, three = (f"/tickets/{tenant.ticket()['id']}" for _ in range(3))
        assert admin.post(f"{one}/merge", json={"into": int(two.rpartition("/")[2])}).status_code == 200
        problem(admin.post(f"{one}/merge", json={"into": int(three.rpartition("/")[2])}), 409, "already_merged")
        problem(
            admin.post(f"{three}/merge", json={"into": int(one.rpartition("/")[2])}), 409, "already_merged", "/into"
        )

    def test_it_merges_into_another_that_is_there_and_in_the_version_it_was_seen(self, tenant, admin, user):
        ticket, target = tenant.ticket(), tenant.ticket()
        path = f"/tickets/{ticket['id']}/merge"
        problem(admin.post(path, json={"into": ticket["id"]}), 409, "conflict", "/into")
        problem(admin.post(path, json={"into": NOBODY}), 404, "not_found", "/into")
        problem(admin.post(path, json={"into": target["id"], "version": 7}), 409, "version_conflict", "/version")
        stale = admin.post(path, json={"into": target["id"]}, headers={"if-match": '"7"'})
        problem(stale, 412, "precondition_failed", "/If-Match", where="header")
        problem(user.post(path, json={"into": target["id"]}), 403, "forbidden")

    def test_where_it_went_is_told_also_when_that_is_deleted(self, tenant, admin):
        merged = _merged_into_what_is_gone(tenant, admin)
        assert admin.get(f"/tickets/{merged['id']}").json() == merged

    def test_once_the_other_is_deleted_it_opens_again_and_is_a_ticket_like_any(self, tenant, admin, agent):
        merged = _merged_into_what_is_gone(tenant, admin)
        path, other = f"/tickets/{merged['id']}", tenant.ticket()
        made(agent.post(f"{path}/comments", json={"body": "B"}))
        opened = agent.patch(path, json={"status": "open"}).json()
        assert (opened["status"], opened["merged_into_id"]) == ("open", None)
        merged = agent.post(f"{path}/merge", json={"into": other["id"]}).json()
        assert (merged["status"], merged["merged_into_id"]) == ("closed", other["id"])

    def test_what_was_merged_into_what_is_gone_can_be_merged_again(self, tenant, admin):
        merged, other = _merged_into_what_is_gone(tenant, admin), tenant.ticket()
        again = admin.post(f"/tickets/{merged['id']}/merge", json={"into": other["id"]}).json()
        assert again["merged_into_id"] == other["id"]

    def test_the_first_answer_moves_with_the_comments(self, tenant, admin, agent):
        with _at(0):
            source, target = tenant.ticket(priority="urgent"), tenant.ticket(priority="urgent")
        with _at(5):
            answer = made(agent.post(f"/tickets/{source['id']}/comments", json={"body": "On it."}))
        with _at(10):
            assert agent.post(f"/tickets/{source['id']}/merge", json={"into": target["id"]}).status_code == 200
        with _at(60):
            found = admin.get(f"/tickets/{target['id']}").json()
        assert (found["first_responded_at"], found["is_breached"]) == (answer["created_at"], False)

    @pytest.mark.parametrize(("here", "there", "expected"), [(1, 2, 1), (2, 1, 1), (None, 2, 2), (1, None, 1)])
    def test_of_two_answers_the_first_is_the_first(self, tenant, admin, agent, here, there, expected):
        with _at(0):
            source, target = tenant.ticket(), tenant.ticket()
        for minutes, ticket in ((here, source), (there, target)):
            if minutes is not None:
                with _at(minutes):
                    agent.post(f"/tickets/{ticket['id']}/comments", json={"body": "On it."})
        with _at(10):
            agent.post(f"/tickets/{source['id']}/merge", json={"into": target["id"]})
        found = admin.get(f"/tickets/{target['id']}").json()
        assert found["first_responded_at"] == f"2031-01-01T00:0{expected}:00.000Z"

    def test_an_answer_from_before_the_other_was_raised_counts_as_given_then(self, tenant, admin, agent):
        with _at(0):
            source = tenant.ticket()
            agent.post(f"/tickets/{source['id']}/comments", json={"body": "On it."})
        with _at(5):
            target = tenant.ticket()
            agent.post(f"/tickets/{source['id']}/merge", json={"into": target["id"]})
        found = admin.get(f"/tickets/{target['id']}").json()
        assert found["first_responded_at"] == found["created_at"]

    def test_what_is_said_after_that_is_said_on_the_other(self, tenant, admin, agent, user):
        source = made(user.post("/tickets", json={"subject": "S", "description": "D"}))
        target = tenant.ticket()
        admin.post(f"/tickets/{source['id']}/merge", json={"into": target["id"]})
        for client in (user, agent, admin):
            nested = client.post(f"/tickets/{source['id']}/comments", json={"body": "Hello?"})
            flat = client.post("/comments", json={"ticket_id": source["id"], "body": "Hello?"})
            for answer in (nested, flat):
                told = problem(answer, 409, "already_merged")
                assert f"into the ticket {target['id']};" in told["detail"]
        assert admin.get(f"/tickets/{source['id']}/comments").json()["data"] == []

    @pytest.mark.parametrize("done", ["resolved", "closed"])
    def test_what_waits_for_work_does_not_end_in_what_is_done(self, tenant, admin, done):
        source, target = tenant.ticket(), tenant.ticket()
        path, into = f"/tickets/{source['id']}/merge", {"into": target["id"]}
        admin.patch(f"/tickets/{target['id']}", json={"status": done})
        told = problem(admin.post(path, json=into), 409, "conflict", "/into")
        assert "open that one again first" in told["detail"]
        assert admin.get(f"/tickets/{source['id']}").json() == source
        admin.patch(f"/tickets/{source['id']}", json={"status": "resolved"})
        assert admin.post(path, json=into).status_code == 200


def _merged_into_what_is_gone(tenant: Tenant, admin: Client) -> dict[str, Any]:
    ticket, target = tenant.ticket(), tenant.ticket()
    merged = admin.post(f"/tickets/{ticket['id']}/merge", json={"into": target["id"]})
    assert admin.delete(f"/tickets/{target['id']}").status_code == 204
    return merged.json()


class TestMoments:
    """One change has one moment, and none lies before what was there already."""

    def test_a_clock_that_is_set_back_answers_and_resolves_nothing_before_it_was_raised(self, agent, user):
        with _at(60):
            ticket = made(user.post("/tickets", json={"subject": "S", "description": "D"}))
        path = f"/tickets/{ticket['id']}"
        with _at(0):
            said = made(agent.post(f"{path}/comments", json={"body": "B"}))
            agent.patch(path, json={"status": "resolved"})
            closed = agent.patch(path, json={"status": "closed"}).json()
        times = {name: closed[name] for name in ("first_responded_at", "resolved_at", "closed_at", "updated_at")}
        assert set(times.values()) == {ticket["created_at"]} == {said["created_at"]}

    def test_all_that_one_change_stores_has_one_time(self, tenant, agent):
        tick = itertools.count(clock.parse_rfc3339("2031-01-01T00:00:00Z"))
        ticket, other = tenant.ticket(), tenant.ticket()
        path = f"/tickets/{ticket['id']}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", lambda: next(tick))  # each look at the clock sees another time
            said = made(agent.post(f"{path}/comments", json={"body": "B"}))
            answered = agent.get(path).json()
            note = made(agent.post(f"/tickets/{other['id']}/comments", json={"body": "B", "visibility": "internal"}))
            published = agent.patch(f"/comments/{note['id']}", json={"visibility": "public"}).json()
            pending = agent.patch(path, json={"status": "pending"}).json()
            closed = agent.patch(path, json={"status": "closed"}).json()
            merged = agent.post(f"/tickets/{other['id']}/merge", json={"into": tenant.ticket()["id"]}).json()
        assert answered["first_responded_at"] == answered["updated_at"] == said["created_at"]
        assert published["updated_at"] == merged["first_responded_at"]
        assert pending["sla"]["paused_at"] == pending["updated_at"]
        assert closed["resolved_at"] == closed["closed_at"] == closed["updated_at"]
        assert merged["resolved_at"] == merged["closed_at"] == merged["updated_at"]
        moved = agent.get(f"/comments/{note['id']}").json()
        assert moved["updated_at"] == merged["updated_at"]
