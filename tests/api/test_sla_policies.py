"""Service level policies."""

from typing import Any

import pytest

from api.checks import NOBODY, ids, made, problem
from factories import Tenant

TARGETS = {
    priority: {"first_response_minutes": response, "resolution_minutes": resolution}
    for priority, response, resolution in (
        ("urgent", 5, 60),
        ("high", 15, 240),
        ("medium", 60, 480),
        ("low", 240, 1440),
    )
}


def body(**values: Any) -> dict[str, Any]:
    return {"name": "Incidents", "targets": TARGETS, **values}


def promised(tenant: Tenant, **values: Any) -> tuple[int | None, int, int]:
    """Raise a ticket and return what is promised for it."""
    sla = tenant.ticket(**values)["sla"]
    return sla["policy_id"], sla["first_response_minutes"], sla["resolution_minutes"]


class TestListSlaPolicies:
    def test_it_shows_those_of_the_organization_in_the_order_in_which_they_are_asked(self, tenant, agent, other):
        other.sla_policy()
        last, first, second = (tenant.sla_policy(position=position)["id"] for position in (7, 1, 1))
        assert ids(agent.get("/sla-policies")) == [first, second, last]
        assert ids(agent.get("/sla-policies", params={"sort": "-position"})) == [last, second, first]
        page = agent.get("/sla-policies", params={"limit": 2}).json()
        assert ids(agent.get("/sla-policies", params={"cursor": page["next_cursor"]})) == [last]

    def test_a_user_does_not_see_them(self, user):
        problem(user.get("/sla-policies"), 403, "forbidden")

    def test_another_sort_is_a_400(self, admin):
        problem(admin.get("/sla-policies?sort=name"), 400, "invalid_request", "/sort", where="query")


class TestCreateSlaPolicy:
    def test_without_position_and_conditions_it_is_the_last_and_fits_every_ticket(self, tenant, admin):
        tenant.sla_policy(position=7, conditions={"types": ["task"]})
        policy = made(admin.post("/sla-policies", json=body()))
        assert (policy["position"], policy["conditions"]) == (8, {"types": [], "team_ids": []})
        assert (policy["targets"], policy["organization_id"]) == (TARGETS, tenant.id)
        for priority, target in TARGETS.items():
            assert promised(tenant, priority=priority) == (policy["id"], *target.values())

    def test_behind_the_last_position_there_is_no_other(self, tenant):
        assert [tenant.sla_policy(**where)["position"] for where in ({"position": 1_000_000}, {})] == [1_000_000] * 2

    def test_the_first_that_fits_counts_and_of_one_position_the_oldest(self, tenant):
        team = tenant.team()["id"]
        both = tenant.sla_policy(position=1, conditions={"types": ["incident", "problem"], "team_ids": [team]})["id"]
        of_team = tenant.sla_policy(position=2, conditions={"team_ids": [team]})["id"]
        tasks = tenant.sla_policy(position=2, conditions={"types": ["task"]})["id"]
        assert promised(tenant, type="problem", team_id=team)[0] == both
        assert promised(tenant, type="task", team_id=team)[0] == of_team
        assert promised(tenant, type="task")[0] == tasks
        assert promised(tenant, type="problem") == (None, 240, 1440)
        assert promised(tenant) == (None, 240, 1440)

    def test_another_tenants_fits_no_ticket(self, tenant, other):
        other.sla_policy()
        assert promised(tenant)[0] is None

    def test_each_team_that_does_not_exist_is_told(self, tenant, admin, other):
        teams = [tenant.team()["id"], other.team()["id"], NOBODY]
        answer = admin.post("/sla-policies", json=body(conditions={"team_ids": teams}))
        problem(answer, 404, "not_found", "/conditions/team_ids/1", "/conditions/team_ids/2")

    def test_a_hundred_teams_that_do_not_exist_fit_into_one_answer(self, admin):
        teams = [2**63 - 1 - number for number in range(100)]
        answer = admin.post("/sla-policies", json=body(conditions={"team_ids": teams}))
        told = problem(answer, 404, "not_found", *(f"/conditions/team_ids/{place}" for place in range(100)))
        assert "99 more" in told["detail"]
        assert len(told["detail"]) <= 2_000

    def test_another_tenants_team_answers_as_one_that_never_was(self, admin, other):
        team = other.team()["id"]
        before = admin.post("/sla-policies", json=body(conditions={"team_ids": [team]}))
        assert other.client().delete(f"/teams/{team}").status_code == 204
        after = admin.post("/sla-policies", json=body(conditions={"team_ids": [team]}))
        assert [{**answer.json(), "request_id": ""} for answer in (before, after)] == [
            {**before.json(), "request_id": ""}
        ] * 2

    def test_a_name_that_is_taken_is_a_409(self, tenant, admin):
        tenant.sla_policy(name="Incidents")
        problem(admin.post("/sla-policies", json=body()), 409, "already_exists", "/name")

    def test_there_are_a_hundred_at_most(self, tenant, admin):
        for _ in range(100):
            tenant.sla_policy()
        problem(admin.post("/sla-policies", json=body()), 409, "conflict")

    @pytest.mark.parametrize(
        ("wrong", "pointer"),
        [
            ({"position": 0}, "/position"),
            ({"position": 1_000_001}, "/position"),
            ({"targets": {**TARGETS, "low": {"first_response_minutes": 1}}}, "/targets/low/resolution_minutes"),
            ({"targets": {p: t for p, t in TARGETS.items() if p != "high"}}, "/targets/high"),
            ({"targets": {**TARGETS, "none": TARGETS["low"]}}, "/targets/none"),
            (
                {"targets": {**TARGETS, "low": {"first_response_minutes": 0, "resolution_minutes": 1}}},
                "/targets/low/first_response_minutes",
            ),
            (
                {"targets": {**TARGETS, "low": {"first_response_minutes": 1, "resolution_minutes": 525_601}}},
                "/targets/low/resolution_minutes",
            ),
            ({"conditions": {"types": ["bug"]}}, "/conditions/types/0"),
            ({"conditions": {"types": ["task", "task"]}}, "/conditions/types"),
            ({"conditions": {"tags": ["vip"]}}, "/conditions/tags"),
            ({"conditions": None}, "/conditions"),
        ],
    )
    def test_what_is_no_policy_is_a_400(self, admin, wrong, pointer):
        problem(admin.post("/sla-policies", json=body(**wrong)), 400, "invalid_request", pointer)

    def test_only_an_admin_makes_one(self, agent):
        problem(agent.post("/sla-policies", json=body()), 403, "forbidden")


class TestGetSlaPolicy:
    def test_an_agent_reads_it(self, tenant, agent):
        policy = tenant.sla_policy()
        assert agent.get(f"/sla-policies/{policy['id']}").json() == policy

    def test_it_goes_on_naming_a_team_that_was_deleted(self, tenant, admin):
        team = tenant.team()["id"]
        policy = tenant.sla_policy(conditions={"team_ids": [team]})
        assert admin.delete(f"/teams/{team}").status_code == 204
        assert admin.get(f"/sla-policies/{policy['id']}").json() == policy


class TestUpdateSlaPolicy:
    def test_conditions_and_targets_are_replaced_as_a_whole(self, tenant, admin):
        team = tenant.team()["id"]
        policy = tenant.sla_policy(conditions={"types": ["task"], "team_ids": [team]})
        changed = admin.patch(f"/sla-policies/{policy['id']}", json={"conditions": {"types": ["problem"]}}).json()
        assert changed["conditions"] == {"types": ["problem"], "team_ids": []}
        assert changed["targets"] == policy["targets"]

    def test_tickets_keep_their_targets_until_what_chose_them_changes(self, tenant, admin):
        policy = tenant.sla_policy(targets=TARGETS)
        one, two = tenant.ticket(priority="high"), tenant.ticket(priority="high")
        new = {**TARGETS, "high": {"first_response_minutes": 20, "resolution_minutes": 300}}
        assert admin.patch(f"/sla-policies/{policy['id']}", json={"targets": new}).status_code == 200
        for change, sla in (({"subject": "New"}, one["sla"]), ({"priority": "high"}, one["sla"])):
            assert admin.patch(f"/tickets/{one['id']}", json=change).json()["sla"] == sla
        chosen = admin.patch(f"/tickets/{two['id']}", json={"type": "task"}).json()["sla"]
        assert (chosen["first_response_minutes"], chosen["resolution_minutes"]) == (20, 300)

    def test_a_team_that_does_not_exist_is_a_404(self, tenant, admin):
        path = f"/sla-policies/{tenant.sla_policy()['id']}"
        answer = admin.patch(path, json={"conditions": {"team_ids": [NOBODY]}})
        problem(answer, 404, "not_found", "/conditions/team_ids/0")

    def test_the_name_of_another_is_a_409(self, tenant, admin):
        one, two = tenant.sla_policy(), tenant.sla_policy()
        answer = admin.patch(f"/sla-policies/{one['id']}", json={"name": two["name"]})
        problem(answer, 409, "already_exists", "/name")

    def test_only_an_admin_changes_it(self, tenant, agent):
        problem(agent.patch(f"/sla-policies/{tenant.sla_policy()['id']}", json={"position": 2}), 403, "forbidden")


class TestDeleteSlaPolicy:
    def test_tickets_keep_its_targets_and_its_id(self, tenant, admin):
        policy = tenant.sla_policy()
        ticket = tenant.ticket()
        assert admin.delete(f"/sla-policies/{policy['id']}").status_code == 204
        assert admin.get(f"/tickets/{ticket['id']}").json() == ticket
        assert promised(tenant)[0] is None
        assert admin.patch(f"/tickets/{ticket['id']}", json={"priority": "low"}).json()["sla"]["policy_id"] is None

    def test_only_an_admin_deletes_it(self, tenant, agent):
        problem(agent.delete(f"/sla-policies/{tenant.sla_policy()['id']}"), 403, "forbidden")
