"""Any order of what can be done to tickets, against a model of the rules that is a page long."""

import copy
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from api.checks import made, problem, walk
from api.test_events import fold
from factories import Tenant
from service import ThreadService
from tickets.jobs import sla_sweep
from tickets.jobs.kind import Context

Ticket = dict[str, Any]

WAITING = ("open", "in_progress", "pending")
TO = {**dict.fromkeys(WAITING, (*WAITING, "resolved", "closed")), "resolved": ("open", "closed"), "closed": ("open",)}
DERIVED = ("version", "updated_at", "is_breached", "sla")
"""What follows from other fields, or from the time, and has no history of its own."""

NAMED = ("created_by_id", "merged_into_id", "first_responded_at")

places = st.integers(min_value=0, max_value=1_000)
changes = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from([*TO]),
        "priority": st.sampled_from(["low", "medium", "high", "urgent"]),
        "type": st.sampled_from(["question", "incident", "problem", "task"]),
        "subject": st.sampled_from(["Printer", "Scanner", "Straße 東京"]),
        "tags": st.lists(st.sampled_from(["vip", "eu", "beta"]), max_size=3, unique=True),
        "custom_fields": st.dictionaries(st.sampled_from(["seats", "paid"]), st.sampled_from([1, True, None, "x"])),
    },
).filter(bool)


class Life(RuleBasedStateMachine):
    """Tickets of one organization, and what is known of each."""

    service: ThreadService
    told: Counter[str]

    @initialize()
    def found(self) -> None:
        self.tenant = Tenant(self.service.database, self.service.origin)
        self.admin, self.agent, self.user = (self.tenant.client(role) for role in ("admin", "agent", "user"))
        self.live: list[Ticket] = []
        self.numbers: list[int] = []
        self.travel = time_machine.travel("2031-03-30T00:30:00.250Z", tick=False)
        self.clock = self.travel.start()

    def teardown(self) -> None:
        if hasattr(self, "clock"):
            try:
                self.assert_agreement()
            finally:
                self.travel.stop()
                self.tenant.close()

    def assert_agreement(self) -> None:
        """Let the lists, the numbers, the history and the log agree with what became of everything."""
        self.sweep()  # what has passed but was not told yet
        known = {ticket["id"]: ticket for ticket in self.live}
        shown = {ticket["id"]: ticket for ticket in walk(self.admin, "/tickets", limit=3)}
        assert shown == {number: self.admin.get(f"/tickets/{number}").json() for number in known}
        assert self.numbers == list(range(1, len(self.numbers) + 1))
        events = list(walk(self.admin, "/events"))
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        for number, ticket in shown.items():
            assert_known(ticket, known[number])
            born = next(e["data"] for e in events if e["type"] == "ticket.created" and e["data"]["id"] == number)
            assert_explained(born, list(walk(self.admin, f"/tickets/{number}/history")), ticket)
        assert fold([event for event in events if event["type"].startswith("ticket.")]) == shown
        self.told.update(event["type"] for event in events)
        self.assert_counted(list(shown.values()))

    def assert_counted(self, shown: list[Ticket]) -> None:
        """Let the statistics be what counting gives."""
        told = self.admin.get("/stats").json()
        assert told["total_tickets"] == len(shown)
        assert told["total_unprocessed_tickets"] == sum(ticket["status"] in WAITING for ticket in shown)
        for field in ("status", "priority"):
            counts = Counter(ticket[field] for ticket in shown)
            assert {value: count for value, count in told[f"by_{field}"].items() if count} == counts
        creators = Counter(ticket["created_by_id"] for ticket in shown if ticket["created_by_id"] is not None)
        top = min(creators, key=lambda user: (-creators[user], user), default=None)
        assert (told["top_user"] and told["top_user"]["id"]) == top

    @rule(minutes=st.sampled_from([0.001, 3, 13, 60, 300, 1_500]))
    def wait(self, minutes: float) -> None:
        self.clock.shift(timedelta(minutes=minutes))

    @rule()
    def sweep(self) -> None:
        """Let what has passed be told, by which the first breach changes a ticket."""
        latest = self.admin.get("/events", params={"sort": "-seq", "limit": 1}).json()["data"]
        since = latest[0]["seq"] if latest else 0
        sla_sweep.KIND.run(None, Context(self.service.settings, self.service.database))  # type: ignore[arg-type]
        known = {ticket["id"]: ticket for ticket in self.live}
        for event in walk(self.admin, "/events", since=since):
            assert event["type"] in ("ticket.sla_warning", "ticket.sla_breached")
            if "changes" in event:
                assert event["changes"] == {"is_breached": {"old": False, "new": True}}
                known[event["data"]["id"]]["version"] += 1

    @rule()
    def leave(self) -> None:
        """Delete the account of the one who raises tickets; another comes for it, who sees none of them."""
        gone = self.tenant.users["user"].id
        assert self.admin.delete(f"/users/{gone}").status_code == 204
        for ticket in self.live:
            ticket["of_user"] = False
            if ticket["created_by_id"] == gone:
                ticket |= {"created_by_id": None, "version": ticket["version"] + 1}
        self.user.close()
        del self.tenant._clients["user"]
        self.user = self.tenant.client("user")

    @rule(by=st.sampled_from(["admin", "user"]))
    def create(self, by: str) -> None:
        client = getattr(self, by)
        ticket = made(client.post("/tickets", json={"subject": "Printer", "description": "", "tags": ["new"]}))
        assert (ticket["version"], ticket["status"]) == (1, "open")
        self.numbers.append(ticket["number"])
        self.live.append({**ticket, "of_user": by == "user"})

    @precondition(lambda self: self.live)
    @rule(place=places, patch=changes)
    def change(self, place: int, patch: Ticket) -> None:
        ticket = self.pick(place)
        answer = self.agent.patch(f"/tickets/{ticket['id']}", json=patch)
        if self.may_move(ticket, patch):
            apply(ticket, patch)
            assert_known(answer.json(), ticket)
        else:
            problem(answer, 409, "invalid_transition", "/status")

    @precondition(lambda self: self.live)
    @rule(place=places, status=st.sampled_from([*TO]))
    def move(self, place: int, status: str) -> None:
        self.change(place, {"status": status})

    @precondition(lambda self: self.live)
    @rule(place=places, patch=changes)
    def change_what_is_stale(self, place: int, patch: Ticket) -> None:
        ticket = self.pick(place)
        stale = {**patch, "version": ticket["version"] + 1}
        problem(self.admin.patch(f"/tickets/{ticket['id']}", json=stale), 409, "version_conflict", "/version")

    @precondition(lambda self: self.live)
    @rule(place=places, said=st.sampled_from([("agent", "public"), ("agent", "internal"), ("user", "public")]))
    def comment(self, place: int, said: tuple[str, str]) -> None:
        ticket = self.pick(place)
        by, visibility = said
        body = {"body": "Hello", "visibility": visibility}
        answer = getattr(self, by).post(f"/tickets/{ticket['id']}/comments", json=body)
        if by == "user" and not ticket["of_user"]:
            problem(answer, 404, "not_found")
            return
        if self.goes_on_in(ticket):
            problem(answer, 409, "already_merged")
            return
        made(answer)
        if by == "user" and ticket["status"] in ("pending", "resolved"):
            ticket |= {"status": "open", "version": ticket["version"] + 1}
        if said == ("agent", "public") and ticket["first_responded_at"] is None:
            now = self.admin.get(f"/tickets/{ticket['id']}").json()
            ticket |= {"first_responded_at": now["first_responded_at"], "version": ticket["version"] + 1}
            assert now["first_responded_at"] is not None

    @precondition(lambda self: self.live)
    @rule(one=places, other=places)
    def merge(self, one: int, other: int) -> None:
        ticket, into = self.pick(one), self.pick(other)
        answer = self.agent.post(f"/tickets/{ticket['id']}/merge", json={"into": into["id"]})
        hides = ticket["status"] in WAITING and into["status"] not in WAITING
        if ticket["id"] == into["id"] or self.goes_on_in(ticket) or self.goes_on_in(into) or hides:
            assert answer.status_code == 409
            return
        answers = [each["first_responded_at"] for each in (ticket, into)]
        moved = answers[0] and max(answers[0], into["created_at"])
        first = min(filter(None, (moved, answers[1])), default=None)
        into |= {"first_responded_at": first, "version": into["version"] + (first != answers[1])}
        ticket |= {"status": "closed", "merged_into_id": into["id"], "version": ticket["version"] + 1}
        assert_known(answer.json(), ticket)

    @precondition(lambda self: self.live)
    @rule(place=places)
    def delete(self, place: int) -> None:
        ticket = self.pick(place)
        assert self.admin.delete(f"/tickets/{ticket['id']}").status_code == 204
        self.live.remove(ticket)

    @precondition(lambda self: self.live)
    @rule(
        asked=st.lists(st.tuples(places, st.none() | changes, st.booleans()), min_size=1, max_size=5),
        atomic=st.booleans(),
    )
    def many(self, asked: list[tuple[int, Ticket | None, bool]], *, atomic: bool) -> None:
        """Change and delete in bulk: no patch means delete, and some name a stale version."""
        before = copy.deepcopy(self.live)
        operations, expected = [], []
        for place, patch, is_stale in asked:
            ticket = before[place % len(before)]
            now = next((t for t in self.live if t["id"] == ticket["id"]), None)
            version = (now or ticket)["version"] + is_stale
            kind = {"op": "delete"} if patch is None else {"op": "update", "patch": patch}
            operations.append({**kind, "id": ticket["id"], "version": version})
            expected.append(self.apply(now, patch, is_stale=is_stale))
        answer = self.admin.post("/tickets/bulk", json={"operations": operations, "atomic": atomic})
        failures = [status for status in expected if status >= 400]
        if atomic and failures:
            assert answer.status_code == failures[0]
            self.live = before
            return
        results = answer.json()["results"]
        assert [result["status"] for result in results] == expected
        known = {ticket["id"]: ticket for ticket in self.live}
        last = {result["id"]: result["ticket"] for result in results if "ticket" in result}
        for number, shown in last.items():
            if number in known:
                assert_known(shown, known[number])

    def apply(self, ticket: Ticket | None, patch: Ticket | None, *, is_stale: bool) -> int:
        """Do one operation to what is known, and return its status."""
        if ticket is None:
            return 404
        if is_stale or (patch is not None and not self.may_move(ticket, patch)):
            return 409
        if patch is None:
            self.live.remove(ticket)
            return 204
        apply(ticket, patch)
        return 200

    def pick(self, place: int) -> Ticket:
        return self.live[place % len(self.live)]

    def goes_on_in(self, ticket: Ticket) -> bool:
        """Tell whether the ticket was merged into another that is still there."""
        return any(other["id"] == ticket["merged_into_id"] for other in self.live)

    def may_move(self, ticket: Ticket, patch: Ticket) -> bool:
        if "status" not in patch or patch["status"] == ticket["status"]:
            return True
        return not self.goes_on_in(ticket) and patch["status"] in TO[ticket["status"]]


def apply(ticket: Ticket, patch: Ticket) -> None:
    """Change what is known of a ticket; one that opens again is merged no more."""
    ticket |= patch | {"version": ticket["version"] + differs(ticket, patch)}
    if ticket["status"] != "closed":
        ticket["merged_into_id"] = None


def differs(ticket: Ticket, patch: Ticket) -> bool:
    """Tell whether anything is another value; in JSON, 1 is not true."""
    return any(repr(ticket[name]) != repr(value) for name, value in patch.items())


def assert_known(shown: Ticket, known: Ticket) -> None:
    for name in ("id", "number", "version", "status", "priority", "type", "subject", "tags", *NAMED):
        assert shown[name] == known[name], name
    assert repr(shown["custom_fields"]) == repr(known["custom_fields"])
    assert (shown["closed_at"] is not None) == (known["status"] == "closed")
    assert (shown["resolved_at"] is not None) == (known["status"] in ("resolved", "closed"))


def assert_explained(born: Ticket, history: list[dict[str, Any]], ticket: Ticket) -> None:
    """Let the history lead from the ticket as it was born to what it is, step by step."""
    state = dict(born)
    for entry in history:
        assert repr(state[entry["field"]]) == repr(entry["old"])
        state[entry["field"]] = entry["new"]
    for name in state.keys() - set(DERIVED):
        assert state[name] == ticket[name], name


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that runs no jobs: it sweeps when it is told to."""
    running = ThreadService(tmp_path_factory.mktemp("life"), worker_threads=0)
    yield running
    running.stop()


def test_whatever_is_done_to_tickets_their_rules_hold(quiet):
    class Here(Life):
        pass

    Here.service, Here.told = quiet, Counter()
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for kind in ("ticket.merged", "ticket.sla_warning", "ticket.sla_breached", "comment.updated", "user.deleted"):
        assert Here.told[kind] > 0, kind
