"""What a partner sees of due times: on tickets, in filters, in the event log and in the history."""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from api.checks import ids, made, problem, walk
from api.test_events import Entity, fold
from factories import Client, Tenant
from service import ThreadService
from tickets import clock
from tickets.jobs import sla_sweep
from tickets.jobs.kind import Context

START = "2031-03-30T00:30:00.250Z"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that runs no jobs: a test sweeps when it wants to."""
    running = ThreadService(tmp_path_factory.mktemp("sla"), worker_threads=0)
    yield running
    running.stop()


@pytest.fixture
def traveller() -> Iterator[Any]:
    """The clock of the service."""
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def sweep(service: ThreadService) -> Any:
    """What the periodic job does."""
    return lambda: sla_sweep.KIND.run(None, Context(service.settings, service.database))  # type: ignore[arg-type]


def pass_minutes(traveller: Any, minutes: float) -> None:
    traveller.shift(timedelta(minutes=minutes))


def told(client: Client, ticket: Entity) -> list[tuple[str, str]]:
    """Return what the log told of due times."""
    events = walk(client, "/events", ticket_id=ticket["id"], type=["ticket.sla_warning", "ticket.sla_breached"])
    return [(event["type"].removeprefix("ticket.sla_"), event["target"]) for event in events]


class TestTickets:
    @pytest.mark.usefixtures("traveller")
    def test_it_says_what_is_promised(self, tenant, admin):
        ticket = tenant.ticket(priority="high")
        assert ticket["is_breached"] is False
        assert ticket["sla"] == {
            "policy_id": None,
            "first_response_minutes": 60,
            "first_response_due_at": "2031-03-30T01:30:00.250Z",
            "resolution_minutes": 480,
            "resolution_due_at": "2031-03-30T08:30:00.250Z",
            "paused_at": None,
        }
        assert admin.get(f"/tickets/{ticket['id']}").json() == ticket

    def test_waiting_for_the_contact_puts_the_resolution_off(self, traveller, tenant, admin):
        ticket = tenant.ticket(priority="urgent")
        path = f"/tickets/{ticket['id']}"
        pass_minutes(traveller, 10)
        paused = admin.patch(path, json={"status": "pending"}).json()["sla"]
        assert paused == {**ticket["sla"], "paused_at": "2031-03-30T00:40:00.250Z"}
        pass_minutes(traveller, 60)
        resumed = admin.patch(path, json={"status": "in_progress"}).json()["sla"]
        assert resumed == {**ticket["sla"], "resolution_due_at": "2031-03-30T05:30:00.250Z"}

    def test_nobody_sets_it(self, tenant, admin):
        path = f"/tickets/{tenant.ticket()['id']}"
        for field, value in (("is_breached", False), ("sla", {})):
            problem(admin.patch(path, json={field: value}), 400, "invalid_request", f"/{field}")

    def test_a_due_time_that_passes_shows_in_each_read_at_once(self, traveller, tenant, admin, sweep):
        ticket = tenant.ticket(priority="urgent")
        path = f"/tickets/{ticket['id']}"
        pass_minutes(traveller, 15)
        assert admin.get(path).json() == ticket
        assert admin.get(path, headers={"if-none-match": '"1"'}).status_code == 304
        traveller.shift(timedelta(milliseconds=1))
        late = {**ticket, "is_breached": True}
        assert admin.get(path).json() == late
        answer = admin.get(path, headers={"if-none-match": '"1"'})
        assert (answer.status_code, answer.json(), answer.headers["etag"]) == (200, late, '"1"')
        for address in ("/tickets", "/tickets/open", f"/contacts/{ticket['contact_id']}/tickets"):
            assert admin.get(address).json()["data"] == [late]
        assert ids(admin.get("/tickets?is_breached=true")) == [ticket["id"]]
        sweep()
        assert admin.get(path).json()["version"] == 2
        assert admin.get(path, headers={"if-none-match": '"2"'}).status_code == 304

    def test_who_has_seen_it_before_it_was_breached_may_change_it_until_the_log_tells_of_that(
        self, traveller, tenant, admin, sweep
    ):
        path = f"/tickets/{tenant.ticket(priority='urgent')['id']}"
        pass_minutes(traveller, 16)
        changed = admin.patch(path, json={"subject": "New", "version": 1}).json()
        assert (changed["version"], changed["is_breached"]) == (2, True)
        sweep()
        problem(admin.patch(path, json={"subject": "Newer", "version": 2}), 409, "version_conflict", "/version")


class TestFilter:
    def test_it_parts_what_is_late_from_what_is_not(self, traveller, tenant, admin, sweep):
        early = [tenant.ticket(priority="urgent")["id"] for _ in range(3)]
        admin.patch(f"/tickets/{early[0]}", json={"status": "closed"})
        pass_minutes(traveller, 14)
        later = [tenant.ticket(priority="urgent")["id"] for _ in range(2)]
        pass_minutes(traveller, 2)
        for _ in range(2):
            for sort in ("created_at", "updated_at"):
                assert [row["id"] for row in walk(admin, "/tickets", is_breached=True, sort=sort, limit=1)] == early[1:]
            on_time = [row["id"] for row in walk(admin, "/tickets", is_breached=False, sort="-created_at", limit=2)]
            assert on_time == [*later[::-1], early[0]]
            sweep()
        assert ids(admin.get("/tickets?is_breached=true&status=closed")) == []

    def test_a_walk_goes_on_where_it_was_while_some_of_it_is_told(self, traveller, tenant, admin, sweep):
        tickets = [tenant.ticket(priority="urgent")["id"] for _ in range(5)]
        pass_minutes(traveller, 16)
        admin.patch(f"/tickets/{tickets[2]}", json={"subject": "New"})
        asked = {"is_breached": "true", "sort": "created_at", "limit": 2}
        page = admin.get("/tickets", params=asked).json()
        seen = [row["id"] for row in page["data"]]
        sweep()
        while page["next_cursor"] is not None:
            page = admin.get("/tickets", params={**asked, "cursor": page["next_cursor"]}).json()
            seen += [row["id"] for row in page["data"]]
        assert seen == tickets

    @pytest.mark.parametrize("swept", [False, True])
    def test_pages_have_a_total(self, traveller, tenant, admin, sweep, *, swept):
        tickets = [tenant.ticket(priority="urgent")["id"] for _ in range(3)]
        pass_minutes(traveller, 16)
        fresh = tenant.ticket()["id"]
        if swept:
            sweep()
        late = admin.get("/tickets?is_breached=true&page=2&per_page=2&sort=created_at").json()
        assert ([row["id"] for row in late["data"]], late["total"]) == (tickets[2:], 3)
        rest = admin.get("/tickets?is_breached=false&offset=0").json()
        assert ([row["id"] for row in rest["data"]], rest["total"]) == ([fresh], 1)

    def test_a_user_finds_their_own_only(self, traveller, tenant, user):
        mine = made(user.post("/tickets", json={"subject": "S", "description": "D"}))
        tenant.ticket()
        pass_minutes(traveller, 5 * 60)
        assert ids(user.get("/tickets?is_breached=true")) == [mine["id"]]
        assert ids(user.get("/tickets?is_breached=false")) == []

    def test_what_is_neither_is_a_400(self, admin):
        for value in ("yes", "1", "", "True", "null"):
            problem(admin.get(f"/tickets?is_breached={value}"), 400, "invalid_request", "/is_breached", where="query")

    def test_a_cursor_is_good_for_its_value_only(self, tenant, admin):
        for _ in range(2):
            tenant.ticket()
        cursor = admin.get("/tickets?is_breached=false&limit=1").json()["next_cursor"]
        answer = admin.get(f"/tickets?is_breached=true&limit=1&cursor={cursor}")
        problem(answer, 400, "invalid_request", "/cursor", where="query")

    @pytest.mark.parametrize("query", [{}, {"sort": "-updated_at"}, {"tag": "vip"}, {"page": 1}, {"search": "printer"}])
    def test_what_is_found_is_shown_as_what_was_asked_for_also_while_time_goes_by(self, service, query):
        looks, start = itertools.count(), clock.now()
        tenant = Tenant(service.database, service.origin)
        with pytest.MonkeyPatch.context() as patch, tenant.client() as admin:
            # Whoever looks at the clock finds that a minute has gone by since it was looked at last.
            patch.setattr(clock, "now", lambda: start + next(looks) * clock.MINUTE)
            for _ in range(20):
                tenant.ticket(priority="high", tags=["vip"])
            for _ in range(15):
                for asked in (True, False):
                    page = admin.get("/tickets", params={"is_breached": asked, "limit": 200, **query}).json()
                    assert {ticket["is_breached"] for ticket in page["data"]} <= {asked}
            assert page["data"] == []


class TestEvents:
    def test_each_target_is_warned_of_and_missed_once(self, traveller, tenant, admin, sweep):
        ticket = tenant.ticket(priority="urgent")
        found = []
        for minutes in (12, 0.01, 3, 0, 176.99, 0.01, 47.99, 0.01, 10_000):
            pass_minutes(traveller, minutes)
            sweep()
            sweep()
            found.append(len(told(admin, ticket)))
        assert found == [0, 1, 2, 2, 2, 3, 3, 4, 4]
        assert told(admin, ticket) == [
            ("warning", "first_response"),
            ("breached", "first_response"),
            ("warning", "resolution"),
            ("breached", "resolution"),
        ]

    def test_the_first_breach_changes_the_ticket_and_is_in_its_history(self, traveller, tenant, admin, sweep):
        ticket = tenant.ticket(priority="urgent")
        pass_minutes(traveller, 300)
        sweep()
        raised, warned, breached, *others = walk(admin, "/events", ticket_id=ticket["id"])
        assert warned["data"] == raised["data"] == ticket
        assert "changes" not in warned
        assert breached["changes"] == {"is_breached": {"old": False, "new": True}}
        assert breached["status_changed"] is False
        assert breached["data"] == admin.get(f"/tickets/{ticket['id']}").json()
        assert breached["data"]["updated_at"] == breached["created_at"] == "2031-03-30T05:30:00.250Z"
        assert breached["actor"] == {"type": "system", "id": None, "name": "The service"}
        assert [("changes" in event, event["data"]) for event in others] == [(False, breached["data"])] * 2
        [entry] = walk(admin, f"/tickets/{ticket['id']}/history")
        assert (entry["field"], entry["old"], entry["new"]) == ("is_breached", False, True)
        assert entry["actor"]["type"] == "system"

    def test_a_change_tells_nothing_of_the_due_time_that_passed_before_it(self, traveller, tenant, admin, sweep):
        ticket = tenant.ticket(priority="urgent", contact_id=tenant.contact()["id"])
        pass_minutes(traveller, 16)
        tenant.comment(ticket)
        *_, answered = walk(admin, "/events", ticket_id=ticket["id"])
        assert answered["changes"].keys() == {"first_responded_at"}
        assert answered["data"]["is_breached"] is False
        sweep()
        assert told(admin, ticket) == [("breached", "first_response")]  # nobody is to be warned any more
        *_, last = walk(admin, "/events", ticket_id=ticket["id"])
        assert last["data"] == admin.get(f"/tickets/{ticket['id']}").json()

    def test_another_priority_takes_a_breach_back_and_time_brings_it_again(self, traveller, tenant, admin, sweep):
        ticket = tenant.ticket(priority="urgent")
        path = f"/tickets/{ticket['id']}"
        pass_minutes(traveller, 16)
        sweep()
        assert admin.patch(path, json={"priority": "high"}).json()["is_breached"] is False
        *_, event = walk(admin, "/events", ticket_id=ticket["id"])
        assert event["changes"].keys() == {"priority", "is_breached"}
        pass_minutes(traveller, 60)
        sweep()
        assert told(admin, ticket) == [("warning", "first_response"), ("breached", "first_response")] * 2
        fields = [entry["field"] for entry in walk(admin, f"{path}/history")]
        assert Counter(fields) == {"is_breached": 3, "priority": 1}

    def test_types_can_be_asked_for(self, traveller, tenant, admin, sweep):
        tenant.ticket(priority="urgent")
        pass_minutes(traveller, 13)
        sweep()
        assert [event["type"] for event in walk(admin, "/events", type="ticket.sla_warning")] == ["ticket.sla_warning"]
        assert list(walk(admin, "/events", type="ticket.sla_breached")) == []


def live(tenant: Tenant, admin: Client, dice: random.Random, traveller: Any, sweep: Any) -> None:
    """Let tickets be raised, changed, discussed and deleted at random, while time goes by and some of it is told."""
    team = tenant.team()
    tenant.sla_policy(conditions={"team_ids": [team["id"]]})
    customer = tenant.contact()["id"]
    tickets = [tenant.ticket(priority="urgent", contact_id=customer) for _ in range(3)]
    for _ in range(60):
        pass_minutes(traveller, dice.choice([0, 1, 7, 20, 90]))
        ticket = dice.choice(tickets)
        path = f"/tickets/{ticket['id']}"
        act = dice.randrange(8)
        if act == 0:
            tickets.append(tenant.ticket(priority=dice.choice(["urgent", "high"]), contact_id=customer))
        elif act == 1 and len(tickets) > 2:
            tickets.remove(ticket)
            assert admin.delete(path).status_code == 204
        elif act == 2:
            tenant.comment(ticket)
        elif act == 3:
            admin.patch(path, json={"team_id": dice.choice([None, team["id"]])})
        elif act == 4:
            admin.patch(path, json={"priority": dice.choice(["urgent", "high", "low"])})
        elif act == 5:
            sweep()
        else:
            admin.patch(path, json={"status": dice.choice(["open", "pending", "resolved", "closed"])})


@pytest.mark.parametrize("seed", range(3))
def test_folding_the_log_gives_every_ticket_as_it_is_also_when_time_changed_it(tenant, admin, traveller, sweep, seed):
    live(tenant, admin, random.Random(seed), traveller, sweep)
    shown = list(walk(admin, "/tickets"))
    state = fold(list(walk(admin, "/events", entity="ticket")))
    assert {row["id"]: {**row, "is_breached": state[row["id"]]["is_breached"]} for row in shown} == state
    sweep()  # what had passed but was not told yet
    state = fold(list(walk(admin, "/events", entity="ticket")))
    assert state == {row["id"]: row for row in walk(admin, "/tickets")}
    assert Counter(row["is_breached"] for row in state.values())[True] > 0
    for ticket in state.values():
        history = list(walk(admin, f"/tickets/{ticket['id']}/history"))
        fields = {entry["field"]: entry["new"] for entry in history}
        assert fields.items() <= ticket.items()
