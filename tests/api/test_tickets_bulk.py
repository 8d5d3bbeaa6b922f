"""POST /tickets/bulk: many changes in one transaction, each by the rules of a single one."""

from typing import Any

import pytest

from api.checks import NOBODY, problem, walk
from factories import Client, Tenant

Json = dict[str, Any]


def update(ticket: Json, *, version: int | None = None, **patch: Any) -> Json:
    return {"op": "update", "id": ticket["id"], "version": version or ticket["version"], "patch": patch}


def delete(ticket: Json) -> Json:
    return {"op": "delete", "id": ticket["id"], "version": ticket["version"]}


def bulk(client: Client, *operations: Json, **more: Any) -> list[Json]:
    answer = client.post("/tickets/bulk", json={"operations": list(operations), **more})
    assert answer.status_code == 200, answer.text
    results: list[Json] = answer.json()["results"]
    assert [result["id"] for result in results] == [operation["id"] for operation in operations]
    return results


def statuses(results: list[Json]) -> list[int]:
    return [result["status"] for result in results]


def everything(client: Client) -> list[Json]:
    """Read the whole event log: what is not in it did not happen."""
    return list(walk(client, "/events"))


class TestUpdateTicketsInBulk:
    def test_each_operation_has_its_result_in_order(self, tenant: Tenant, admin: Client):
        one, two, three = (tenant.ticket() for _ in range(3))
        results = bulk(admin, update(three, status="closed"), delete(one), update(two, priority="high", tags=["a"]))
        assert statuses(results) == [200, 204, 200]
        assert results[0]["ticket"] == admin.get(f"/tickets/{three['id']}").json()
        assert results[0]["ticket"]["status"] == "closed"
        assert results[0]["ticket"]["closed_at"] is not None
        assert results[1] == {"id": one["id"], "status": 204}
        problem(admin.get(f"/tickets/{one['id']}"), 404, "not_found")
        changed = results[2]["ticket"]
        assert (changed["priority"], changed["tags"], changed["version"]) == ("high", ["a"], 2)

    def test_what_fails_does_not_keep_the_others_from_being_done(self, tenant: Tenant, admin: Client):
        stale, closed, fine = tenant.ticket(), tenant.ticket(), tenant.ticket()
        assert admin.patch(f"/tickets/{stale['id']}", json={"type": "task"}).status_code == 200
        closed = admin.patch(f"/tickets/{closed['id']}", json={"status": "closed"}).json()
        before = len(everything(admin))
        results = bulk(
            admin,
            update(stale, priority="low"),
            update(closed, status="pending", subject="Not stored either"),
            update({"id": NOBODY, "version": 1}, priority="low"),
            update(fine, team_id=NOBODY, priority="low"),
            update(fine, priority="low"),
        )
        assert statuses(results) == [409, 409, 404, 404, 200]
        told = [(result["problem"]["code"], result["problem"]["errors"]) for result in results[:4]]
        assert [code for code, _ in told] == ["version_conflict", "invalid_transition", "not_found", "not_found"]
        assert [[error["pointer"] for error in errors] for _, errors in told] == [
            ["/operations/0/version"],
            ["/operations/1/patch/status"],
            ["/operations/2/id"],
            ["/operations/3/patch/team_id"],
        ]
        assert [event["data"]["id"] for event in everything(admin)][before:] == [fine["id"]]
        assert admin.get(f"/tickets/{closed['id']}").json() == closed

    def test_a_problem_is_that_of_the_request(self, admin: Client):
        answer = admin.post(
            "/tickets/bulk", json={"operations": [update({"id": NOBODY, "version": 1}, priority="low")]}
        )
        told = answer.json()["results"][0]["problem"]
        assert told["request_id"] == answer.headers["x-request-id"]
        assert told["instance"] == "/api/v1/tickets/bulk"
        assert (told["status"], told["type"]) == (404, "urn:ticketing:problem:not_found")

    def test_all_or_nothing(self, tenant: Tenant, admin: Client):
        tickets = [tenant.ticket() for _ in range(4)]
        before = everything(admin)
        refused = admin.post(
            "/tickets/bulk",
            json={
                "operations": [
                    update(tickets[0], priority="high"),
                    delete(tickets[1]),
                    update(tickets[2], version=7, priority="high"),
                    update(tickets[3], team_id=NOBODY),
                ],
                "atomic": True,
            },
        )
        told = problem(refused, 409, "version_conflict", "/operations/2/version")
        assert told["detail"].startswith(f"Nothing was changed: the operation on ticket {tickets[2]['id']} fails.")
        assert everything(admin) == before
        assert [admin.get(f"/tickets/{ticket['id']}").json() for ticket in tickets] == tickets
        fine = bulk(admin, update(tickets[0], priority="high"), delete(tickets[1]), atomic=True)
        assert statuses(fine) == [200, 204]

    @pytest.mark.parametrize(
        ("operation", "status", "code", "pointer"),
        [
            ({"op": "delete", "id": NOBODY, "version": 1}, 404, "not_found", "/operations/0/id"),
            (update({"id": NOBODY, "version": 1}, priority="low"), 404, "not_found", "/operations/0/id"),
        ],
    )
    def test_an_atomic_call_fails_with_the_status_of_its_first_failure(
        self, admin: Client, operation: Json, status: int, code: str, pointer: str
    ):
        body = {"operations": [operation], "atomic": True}
        problem(admin.post("/tickets/bulk", json=body), status, code, pointer)

    def test_a_ticket_may_come_twice_when_the_later_one_names_the_version_between(self, tenant: Tenant, admin: Client):
        ticket, other = tenant.ticket(), tenant.ticket()
        results = bulk(
            admin,
            update(ticket, priority="high"),
            update(ticket, type="task"),
            update(ticket, version=2, type="task"),
            delete(other),
            delete(other),
        )
        assert statuses(results) == [200, 409, 200, 204, 404]
        assert results[2]["ticket"]["version"] == 3
        assert results[1]["problem"]["code"] == "version_conflict"

    def test_what_the_tickets_of_a_call_come_to_is_bounded(self, tenant: Tenant, admin: Client):
        long, short = tenant.ticket(description="\u6f22" * 50_000), tenant.ticket()
        before = len(everything(admin))
        operations = [update(long, version=1 + n, priority=("low", "high")[n % 2]) for n in range(100)]
        results = bulk(admin, *operations, update(short, subject="Again"))
        done = statuses(results).index(413)
        assert (done - 1) * 2 * 150_000 < 8_000_000 < (done + 1) * 2 * 151_000
        assert statuses(results) == [200] * done + [413] + [409] * (99 - done) + [413]
        told = results[done]["problem"]
        assert (told["code"], told["errors"][0]["pointer"]) == ("payload_too_large", f"/operations/{done}/id")
        assert len(everything(admin)) == before + done
        again = bulk(admin, *operations[done : done + 2], update(short, subject="Again"))
        assert statuses(again) == [200, 200, 200]

    def test_an_atomic_call_that_comes_to_too_much_does_nothing(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket(description="\u6f22" * 50_000)
        operations = [update(ticket, version=1 + n, priority=("low", "high")[n % 2]) for n in range(100)]
        before = everything(admin)
        refused = admin.post("/tickets/bulk", json={"operations": operations, "atomic": True})
        told = refused.json()["detail"]
        problem(refused, 413, "payload_too_large", refused.json()["errors"][0]["pointer"])
        assert told.startswith("Nothing was changed")
        assert everything(admin) == before

    def test_one_ticket_is_never_too_large(self, monkeypatch: pytest.MonkeyPatch, tenant: Tenant, admin: Client):
        monkeypatch.setattr("tickets.domain.bulk.MOST_BYTES", 10)
        one, two = tenant.ticket(), tenant.ticket()
        gone = update({"id": NOBODY, "version": 1}, priority="low")
        assert statuses(bulk(admin, gone, update(one, priority="low"), delete(two))) == [404, 200, 413]

    def test_the_comments_of_what_it_deletes_or_gives_to_others_are_bounded(
        self, monkeypatch: pytest.MonkeyPatch, tenant: Tenant, admin: Client
    ):
        monkeypatch.setattr("tickets.domain.bulk.MOST_COMMENTS", 3)
        tickets = [tenant.ticket() for _ in range(4)]
        for ticket in tickets[:3]:
            for _ in range(2):
                tenant.comment(ticket, visibility="internal")
        other = tenant.contact()["id"]
        results = bulk(
            admin,
            delete(tickets[0]),
            update(tickets[1], contact_id=other),
            update(tickets[1], priority="low"),
            delete(tickets[2]),
            delete(tickets[3]),
        )
        assert statuses(results) == [204, 413, 200, 413, 204]
        told = results[1]["problem"]
        assert (told["code"], told["errors"][0]["pointer"]) == ("payload_too_large", "/operations/1/id")
        assert statuses(bulk(admin, delete(tickets[2]))) == [204]

    def test_what_changes_nothing_moves_nothing(self, tenant: Tenant, admin: Client):
        ticket = tenant.ticket()
        before = everything(admin)
        [result] = bulk(admin, update(ticket, priority=ticket["priority"], tags=[]))
        assert result == {"id": ticket["id"], "status": 200, "ticket": ticket}
        assert everything(admin) == before

    def test_history_and_events_are_those_of_single_changes(self, tenant: Tenant, admin: Client):
        alone, many = tenant.ticket(), tenant.ticket()
        patch = {"status": "resolved", "priority": "urgent", "tags": ["x"], "custom_fields": {"floor": 3}}
        assert admin.patch(f"/tickets/{alone['id']}", json=patch).status_code == 200
        bulk(admin, update(many, **patch))
        seen = [
            [
                (entry["field"], entry["old"], entry["actor"])
                for entry in walk(admin, f"/tickets/{ticket['id']}/history")
            ]
            for ticket in (alone, many)
        ]
        assert seen[0] == seen[1]
        assert {field for field, *_ in seen[0]} == {*patch, "resolved_at"}
        events = [list(walk(admin, "/events", ticket_id=ticket["id"])) for ticket in (alone, many)]
        assert [[event["type"] for event in told] for told in events] == [["ticket.created", "ticket.updated"]] * 2
        assert all(told[-1]["previous_status"] == "open" for told in events)

    def test_an_agent_changes_but_does_not_delete(self, tenant: Tenant, agent: Client):
        one, two = tenant.ticket(), tenant.ticket()
        results = bulk(agent, delete(one), update(two, priority="low"))
        assert statuses(results) == [403, 200]
        assert results[0]["problem"]["code"] == "forbidden"
        assert results[0]["problem"]["errors"][0]["pointer"] == "/operations/0/op"
        assert agent.get(f"/tickets/{one['id']}").json() == one
        body = {"operations": [update(two, version=2, priority="high"), delete(one)], "atomic": True}
        problem(agent.post("/tickets/bulk", json=body), 403, "forbidden", "/operations/1/op")

    def test_an_agent_assigns_only_themself(self, tenant: Tenant, agent: Client):
        ticket, colleague = tenant.ticket(), tenant.user("agent").id
        results = bulk(
            agent, update(ticket, assignee_id=colleague), update(ticket, assignee_id=tenant.users["agent"].id)
        )
        assert statuses(results) == [403, 200]
        assert results[0]["problem"]["errors"][0]["pointer"] == "/operations/0/patch/assignee_id"

    def test_a_user_may_not(self, tenant: Tenant, user: Client):
        problem(
            user.post("/tickets/bulk", json={"operations": [update(tenant.ticket(), priority="low")]}), 403, "forbidden"
        )

    def test_nobody_may_not(self, anonymous: Client):
        problem(anonymous.post("/tickets/bulk", json={"operations": []}), 401, "unauthorized")

    def test_another_tenants_ticket_is_as_one_that_never_existed(self, admin: Client, other: Tenant):
        theirs = other.ticket()
        foreign, missing = bulk(
            admin, update(theirs, priority="low"), update({"id": NOBODY, "version": 1}, priority="low")
        )
        assert foreign["problem"]["detail"].replace(str(theirs["id"]), "") == missing["problem"]["detail"].replace(
            str(NOBODY), ""
        )
        assert statuses(bulk(admin, delete(theirs))) == [404]
        assert other.client().get(f"/tickets/{theirs['id']}").json() == theirs

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"operations": []}, "/operations"),
            ({}, "/operations"),
            ({"operations": [{"op": "update", "id": 1, "patch": {"priority": "low"}}]}, "/operations/0/version"),
            ({"operations": [{"op": "delete", "id": 1}]}, "/operations/0/version"),
            ({"operations": [{"op": "update", "id": 1, "version": 1}]}, "/operations/0/patch"),
            ({"operations": [{"op": "update", "id": 1, "version": 1, "patch": {}}]}, "/operations/0/patch"),
            (
                {"operations": [{"op": "update", "id": 1, "version": 1, "patch": {"version": 1}}]},
                "/operations/0/patch/version",
            ),
            (
                {"operations": [{"op": "delete", "id": 1, "version": 1, "patch": {"type": "task"}}]},
                "/operations/0/patch",
            ),
            ({"operations": [{"op": "create", "id": 1, "version": 1}]}, "/operations/0/op"),
            ({"operations": [{"op": "delete", "id": 1, "version": 1}], "atomic": "yes"}, "/atomic"),
        ],
    )
    def test_a_body_that_does_not_fit_is_a_400_that_points_into_it(self, admin: Client, body: Json, pointer: str):
        problem(admin.post("/tickets/bulk", json=body), 400, "invalid_request", pointer)

    def test_500_are_one_request_and_501_too_many(self, tenant: Tenant, admin: Client):
        tickets = [tenant.ticket() for _ in range(5)]
        # Each ticket a hundred times over, each time with the version that the time before left behind.
        operations = [
            update(ticket, version=lap, priority=("low", "high")[lap % 2])
            for lap in range(1, 101)
            for ticket in tickets
        ]
        with tenant.client("admin", scopes=["tickets:write"]) as client:
            answer = client.post("/tickets/bulk", json={"operations": operations})
            left = int(answer.headers["x-ratelimit-remaining"]), int(answer.headers["x-ratelimit-limit"])
        assert statuses(answer.json()["results"]) == [200] * 500
        assert left[1] - left[0] == 1
        for ticket in tickets:
            assert admin.get(f"/tickets/{ticket['id']}").json()["version"] == 101
        too_many = [*operations, update(tickets[0], version=101, priority="low")]
        problem(admin.post("/tickets/bulk", json={"operations": too_many}), 400, "invalid_request", "/operations")

    @pytest.mark.parametrize("atomic", [False, True])
    def test_a_repeat_with_its_key_is_answered_again_and_does_nothing(
        self, tenant: Tenant, admin: Client, *, atomic: bool
    ):
        ticket = tenant.ticket()
        body = {"operations": [update(ticket, priority="high"), update(ticket, type="task")], "atomic": atomic}
        headers = {"idempotency-key": f"bulk-{atomic}"}
        first = admin.post("/tickets/bulk", json=body, headers=headers)
        before = everything(admin)
        again = admin.post("/tickets/bulk", json=body, headers=headers)
        assert first.status_code == (409 if atomic else 200)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.headers["idempotency-replayed"] == "true"
        assert everything(admin) == before
        assert admin.get(f"/tickets/{ticket['id']}").json()["version"] == (1 if atomic else 2)
        other = {"operations": [update(ticket, priority="urgent")]}
        problem(
            admin.post("/tickets/bulk", json=other, headers=headers),
            422,
            "idempotency_key_reused",
            "/Idempotency-Key",
            where="header",
        )
