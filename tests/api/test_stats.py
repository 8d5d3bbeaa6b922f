"""Statistics: how many tickets there are, and how they went over time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from api.checks import problem
from factories import Client, Tenant

START = datetime(2031, 3, 29, 22, 30, tzinfo=UTC)
"""In Vienna 23:30, half an hour before the Sunday on which the clocks are put forward."""


def _at(minutes: float) -> time_machine.travel:
    return time_machine.travel(START + timedelta(minutes=minutes), tick=False)


def _time(minutes: float) -> str:
    return (START + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stats(client: Client) -> dict[str, Any]:
    answer = client.get("/stats")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def over_time(client: Client, start: float, end: float, **asked: str) -> list[dict[str, Any]]:
    answer = client.get("/stats/tickets", params={"from": _time(start), "to": _time(end), **asked})
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


class TestGetStats:
    def test_an_organization_without_tickets_has_zeros(self, agent: Client):
        assert stats(agent) == {
            "total_tickets": 0,
            "total_unprocessed_tickets": 0,
            "top_user": None,
            "most_recent_processed_at": None,
            "by_status": {"open": 0, "in_progress": 0, "pending": 0, "resolved": 0, "closed": 0},
            "by_priority": {"low": 0, "medium": 0, "high": 0, "urgent": 0},
        }

    def test_it_tells_the_state_of_the_tickets(self, tenant: Tenant, admin: Client, agent: Client, other: Tenant):
        other.ticket(priority="urgent")
        for place, status in enumerate(("open", "in_progress", "pending", "resolved", "closed", "closed")):
            with _at(place):
                ticket = tenant.ticket(priority="high" if place else "low")
                admin.patch(f"/tickets/{ticket['id']}", json={"status": status})
        agent.post("/tickets", json={"subject": "S", "description": ""})
        me = tenant.users["admin"]
        found = stats(agent)
        assert found == {
            "total_tickets": 7,
            "total_unprocessed_tickets": 4,
            "top_user": {"id": me.id, "name": me.name, "email": me.email, "tickets_count": 6},
            "most_recent_processed_at": _time(5),
            "by_status": {"open": 2, "in_progress": 1, "pending": 1, "resolved": 1, "closed": 2},
            "by_priority": {"low": 1, "medium": 1, "high": 5, "urgent": 0},
        }
        waiting = admin.get("/tickets/open", params={"page": 1}).json()
        assert waiting["total"] == len(waiting["data"]) == found["total_unprocessed_tickets"]

    def test_a_reopened_ticket_waits_again(self, tenant: Tenant, admin: Client):
        path = f"/tickets/{tenant.ticket()['id']}"
        for status in ("closed", "open"):
            assert admin.patch(path, json={"status": status}).status_code == 200
        found = stats(admin)
        assert (found["total_unprocessed_tickets"], found["most_recent_processed_at"]) == (1, None)

    def test_of_several_the_first_account_is_on_top_and_nobody_who_is_gone(
        self, tenant: Tenant, admin: Client, agent: Client
    ):
        for client in (agent, admin):
            client.post("/tickets", json={"subject": "S", "description": ""})
        first = min(tenant.users.values(), key=lambda user: user.id)
        assert stats(admin)["top_user"]["id"] == first.id
        agent.post("/tickets", json={"subject": "S", "description": ""})
        assert stats(admin)["top_user"]["id"] == tenant.users["agent"].id
        assert admin.delete(f"/users/{tenant.users['agent'].id}").status_code == 204
        assert stats(admin)["top_user"] == {
            **{name: getattr(tenant.users["admin"], name) for name in ("id", "name", "email")},
            "tickets_count": 1,
        }
        assert stats(admin)["total_tickets"] == 3

    def test_deleted_and_merged_tickets_count_as_what_they_are(self, tenant: Tenant, admin: Client):
        one, two, three = (tenant.ticket()["id"] for _ in range(3))
        assert admin.post(f"/tickets/{one}/merge", json={"into": two}).status_code == 200
        assert admin.delete(f"/tickets/{three}").status_code == 204
        found = stats(admin)
        assert (found["total_tickets"], found["by_status"]["closed"], found["by_status"]["open"]) == (2, 1, 1)
        assert found["top_user"]["tickets_count"] == 2

    def test_a_user_may_not(self, user: Client):
        problem(user.get("/stats"), 403, "forbidden")

    def test_nobody_may_not(self, anonymous: Client):
        problem(anonymous.get("/stats"), 401, "unauthorized")


class TestTotals:
    """`total` of a list is looked up where it can be, and counted where it has to be: the same number."""

    @pytest.mark.parametrize(
        "filters",
        [
            {},
            {"status": "open"},
            {"status": ["open", "closed", "open"]},
            {"priority": ["low", "urgent"]},
            {"status": ["open", "pending"], "priority": "low"},
            {"type": "task"},
            {"status": "open", "type": "task"},
            {"status": "open", "assigned_to": "me"},
        ],
    )
    def test_it_is_that_of_the_rows(self, tenant: Tenant, admin: Client, filters: dict[str, Any]):
        for place, priority in enumerate(("low", "low", "medium", "urgent", "low")):
            ticket = tenant.ticket(priority=priority, type="task" if place % 2 else "question")
            if place:
                body = {"status": ("closed", "pending")[place % 2], "assignee_id": tenant.users["admin"].id}
                admin.patch(f"/tickets/{ticket['id']}", json=body)
        found = admin.get("/tickets", params={**filters, "page": 1}).json()
        assert found["total"] == len(found["data"])

    @pytest.mark.parametrize("path", ["/tickets/open", "/tickets/closed"])
    def test_also_of_what_waits_and_what_is_closed_and_of_ones_own(
        self, tenant: Tenant, admin: Client, user: Client, path: str
    ):
        for _ in range(2):
            user.post("/tickets", json={"subject": "S", "description": ""})
        for status in ("resolved", "closed", "closed", "pending"):
            admin.patch(f"/tickets/{tenant.ticket()['id']}", json={"status": status})
        for client, totals in ((admin, {"/tickets/open": 3, "/tickets/closed": 2}), (user, {"/tickets/open": 2})):
            found = client.get(path, params={"offset": 0}).json()
            assert found["total"] == len(found["data"]) == totals.get(path, 0)


class TestGetTicketStats:
    @pytest.fixture(autouse=True)
    def _in_vienna(self, admin: Client):
        assert admin.patch("/organization", json={"settings": {"timezone": "Europe/Vienna"}}).status_code == 200

    def test_days_are_those_of_the_organization_and_one_has_23_hours(self, tenant: Tenant, admin: Client):
        for minutes in (0, 29, 30, 31, 30 + 23 * 60 - 1, 30 + 23 * 60):
            with _at(minutes):
                tenant.ticket()
        data = over_time(admin, 0, 2 * 24 * 60)
        assert [(entry["from"], entry["to"]) for entry in data] == [
            (_time(0), _time(30)),
            (_time(30), _time(30 + 23 * 60)),
            (_time(30 + 23 * 60), _time(30 + 47 * 60)),
            (_time(30 + 47 * 60), _time(48 * 60)),
        ]
        assert [entry["created"] for entry in data] == [2, 3, 1, 0]
        assert {entry["group"] for entry in data} == {"all"}

    def test_each_thing_counts_when_it_happened_and_says_how_long_it_took(self, tenant: Tenant, admin: Client):
        with _at(0):
            tickets = [tenant.ticket(contact_id=tenant.contact()["id"]) for _ in range(4)]
        with _at(30):
            admin.patch(f"/tickets/{tickets[1]['id']}", json={"status": "closed"})
        for place, ticket in enumerate(tickets[:3]):
            with _at(40 + place * 20 + 0.005):
                tenant.comment(ticket)
        for place, ticket in enumerate(tickets[2:]):
            with _at(90 + place * 60):
                admin.patch(f"/tickets/{ticket['id']}", json={"status": "resolved"})
        with _at(200):
            admin.patch(f"/tickets/{tickets[2]['id']}", json={"status": "closed"})
        first, second, third = over_time(admin, 0, 150, interval="hour")
        assert (first["created"], first["resolved"], first["closed"]) == (4, 0, 0)
        assert first["first_response_seconds"] == {"count": 3, "median": 3600.3, "p90": 4800.3}
        assert first["resolution_seconds"] == {"count": 0, "median": None, "p90": None}
        assert (second["created"], second["resolved"], second["closed"]) == (0, 1, 1)
        assert second["resolution_seconds"] == {"count": 1, "median": 1800.0, "p90": 1800.0}
        assert second["first_response_seconds"]["count"] == 0
        assert (third["resolved"], third["closed"]) == (1, 0)

    def test_targets_are_met_missed_or_open_still(self, tenant: Tenant, admin: Client):
        """A ticket of medium priority is to be answered within 4 hours and resolved within a day of work."""
        with _at(0):
            in_time, late, _, waiting = (tenant.ticket(contact_id=tenant.contact()["id"]) for _ in range(4))
            admin.patch(f"/tickets/{waiting['id']}", json={"status": "pending"})
        for hours, ticket in ((4, in_time), (4.1, late)):
            with _at(hours * 60):
                tenant.comment(ticket)
        for hours, ticket in ((24, late), (24.1, in_time)):
            with _at(hours * 60):
                admin.patch(f"/tickets/{ticket['id']}", json={"status": "resolved"})
        seen = []
        for hours in (3, 5, 25):
            with _at(hours * 60):
                [entry] = over_time(admin, 0, 30)
            seen.append(entry["sla"])
        assert [each["first_response"] for each in seen[1:]] == [{"met": 1, "missed": 3, "rate": 0.25}] * 2
        # Seen from before, the third is not due; what others have done by then is told all the same.
        assert seen[0]["first_response"] == {"met": 1, "missed": 1, "rate": 0.5}
        assert [each["resolution"] for each in seen] == [
            {"met": 1, "missed": 1, "rate": 0.5},
            {"met": 1, "missed": 1, "rate": 0.5},
            {"met": 1, "missed": 2, "rate": 1 / 3},
        ]

    def test_what_was_closed_without_an_answer_met_nothing_and_missed_only_what_was_late(
        self, tenant: Tenant, admin: Client
    ):
        with _at(0):
            early, late = (tenant.ticket(contact_id=tenant.contact()["id"]) for _ in range(2))
        for hours, ticket in ((1, early), (4.1, late)):
            with _at(hours * 60):
                admin.patch(f"/tickets/{ticket['id']}", json={"status": "closed"})
        [entry] = over_time(admin, 0, 30)
        assert entry["sla"]["first_response"] == {"met": 0, "missed": 1, "rate": 0.0}
        assert entry["sla"]["resolution"] == {"met": 2, "missed": 0, "rate": 1.0}

    def test_an_answer_says_what_was_asked(self, admin: Client):
        asked = {"from": "2031-01-01T01:00:00+01:00", "to": "2031-03-01T00:00:00Z"}
        answer = admin.get("/stats/tickets", params={**asked, "interval": "month", "group_by": "status"}).json()
        assert answer == {
            "from": "2031-01-01T00:00:00.000Z",
            "to": "2031-03-01T00:00:00.000Z",
            "interval": "month",
            "timezone": "Europe/Vienna",
            "group_by": "status",
            "data": [],
        }

    def test_unless_something_else_is_said_it_tells_of_the_last_30_days(self, tenant: Tenant, admin: Client):
        with _at(0):
            tenant.ticket()
        with _at(10):
            answer = admin.get("/stats/tickets").json()
        assert (answer["from"], answer["to"]) == ("2031-02-26T23:00:00.000Z", _time(10))
        assert (answer["interval"], answer["group_by"]) == ("day", "none")
        assert len(answer["data"]) == 31
        assert sum(entry["created"] for entry in answer["data"]) == 1

    @pytest.mark.parametrize(
        ("interval", "begin", "buckets"),
        [
            ("hour", "2031-03-28T22:00:00.000Z", 25),
            ("day", "2031-02-26T23:00:00.000Z", 31),
            ("week", "2030-09-22T22:00:00.000Z", 27),
            ("month", "2030-02-28T23:00:00.000Z", 13),
        ],
    )
    def test_how_far_back_depends_on_the_interval_and_the_first_bucket_is_whole(
        self, admin: Client, interval: str, begin: str, buckets: int
    ):
        answer = admin.get("/stats/tickets", params={"interval": interval, "to": _time(10)}).json()
        assert (answer["from"], answer["to"]) == (begin, _time(10))
        assert len(answer["data"]) == buckets

    @pytest.mark.parametrize("group_by", ["status", "priority", "type", "team", "assignee"])
    def test_groups_are_told_apart(self, tenant: Tenant, admin: Client, group_by: str):
        team, me = tenant.team()["id"], tenant.users["admin"].id
        with _at(5):
            tenant.ticket(priority="urgent", type="task")
            for _ in range(2):
                ticket = tenant.ticket(priority="low", type="question", team_id=team, assignee_id=me)
                admin.patch(f"/tickets/{ticket['id']}", json={"status": "closed"})
        data = over_time(admin, 0, 120, interval="hour", group_by=group_by)
        groups = {
            "status": [("open", 1), ("closed", 2)],
            "priority": [("low", 2), ("urgent", 1)],
            "type": [("question", 2), ("task", 1)],
            "team": [(str(team), 2), ("none", 1)],
            "assignee": [(str(me), 2), ("none", 1)],
        }[group_by]
        assert [(entry["group"], entry["created"]) for entry in data] == groups
        assert [entry["closed"] for entry in data] == [2 if created == 2 else 0 for _, created in groups]

    def test_nothing_of_another_tenant_is_told(self, admin: Client, other: Tenant):
        with _at(5):
            other.ticket()
        assert [entry["created"] for entry in over_time(admin, 0, 30)] == [0]

    @pytest.mark.parametrize(
        ("asked", "pointer"),
        [
            ({"from": _time(5), "to": _time(5)}, "/from"),
            ({"from": _time(5), "to": _time(0)}, "/from"),
            ({"from": "2999-01-01T00:00:00Z"}, "/from"),
            ({"to": "0001-01-01T00:00:00Z"}, "/from"),
            ({"from": _time(0), "to": _time(401 * 60), "interval": "hour"}, "/interval"),
            ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z", "interval": "month"}, "/interval"),
            ({"from": "yesterday"}, "/from"),
            ({"interval": "year"}, "/interval"),
            ({"group_by": "subject"}, "/group_by"),
        ],
    )
    def test_what_cannot_be_told_is_a_400(self, admin: Client, asked: dict[str, str], pointer: str):
        problem(admin.get("/stats/tickets", params=asked), 400, "invalid_request", pointer, where="query")

    def test_400_buckets_can_be_told(self, admin: Client):
        assert len(over_time(admin, 30, 30 + 400 * 60, interval="hour")) == 400

    @pytest.mark.parametrize(
        ("start", "end"),
        [("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"), ("9999-12-30T00:00:00Z", "9999-12-31T23:59:59.999Z")],
    )
    def test_the_ends_of_the_calendar_are_no_fault(self, admin: Client, start: str, end: str):
        assert admin.get("/stats/tickets", params={"to": "0001-01-01T00:00:00.001Z"}).status_code == 200
        for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
            assert admin.patch("/organization", json={"settings": {"timezone": zone}}).status_code == 200
            for interval in ("hour", "day", "week", "month"):
                asked = {"from": start, "to": end, "interval": interval}
                data = admin.get("/stats/tickets", params=asked).json()["data"]
                assert [data[0]["from"], data[-1]["to"]] == [
                    start.replace("Z", ".000Z"),
                    end if "." in end else end.replace("Z", ".000Z"),
                ]

    def test_too_many_entries_are_a_400(self, tenant: Tenant, admin: Client, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tickets.domain.stats.MOST_ENTRIES", 1)
        with _at(5):
            tenant.ticket(priority="low")
            tenant.ticket(priority="high")
        asked = {"from": _time(0), "to": _time(30), "group_by": "priority"}
        problem(admin.get("/stats/tickets", params=asked), 400, "invalid_request", "/group_by", where="query")

    def test_a_user_may_not(self, user: Client):
        problem(user.get("/stats/tickets"), 403, "forbidden")

    def test_nobody_may_not(self, anonymous: Client):
        problem(anonymous.get("/stats/tickets"), 401, "unauthorized")
