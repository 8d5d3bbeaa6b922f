"""Teams and who belongs to them."""

import pytest

from api.checks import NOBODY, ids, made, problem


class TestListTeams:
    def test_it_shows_the_teams_of_the_organization(self, tenant, agent, other):
        other.team()
        teams = [tenant.team()["id"] for _ in range(2)]
        assert ids(agent.get("/teams")) == teams[::-1]

    def test_it_sorts_by_name(self, tenant, agent):
        for name in ("b", "a", "C"):
            tenant.team(name=name)
        assert [row["name"] for row in agent.get("/teams", params={"sort": "name"}).json()["data"]] == ["C", "a", "b"]


class TestCreateTeam:
    def test_without_a_description_it_is_empty(self, tenant, admin):
        body = made(admin.post("/teams", json={"name": "Support"}))
        assert (body["description"], body["organization_id"]) == ("", tenant.id)

    def test_upper_and_lower_case_make_two_names(self, admin):
        for name in ("Support", "support"):
            made(admin.post("/teams", json={"name": name}))

    def test_a_name_that_is_taken_is_a_409(self, tenant, admin):
        response = admin.post("/teams", json={"name": tenant.team()["name"]})
        problem(response, 409, "already_exists", "/name")

    def test_another_tenant_may_use_the_same_name(self, tenant, other):
        other.team(name=tenant.team()["name"])


class TestGetTeam:
    def test_an_agent_reads_it(self, tenant, agent):
        team = tenant.team()
        assert agent.get(f"/teams/{team['id']}").json() == team


class TestUpdateTeam:
    def test_a_description_may_be_emptied(self, tenant, admin):
        team = tenant.team(description="Something")
        assert admin.patch(f"/teams/{team['id']}", json={"description": ""}).json()["description"] == ""

    def test_a_name_that_is_taken_is_a_409(self, tenant, admin):
        one, another = tenant.team(), tenant.team()
        response = admin.patch(f"/teams/{one['id']}", json={"name": another["name"]})
        problem(response, 409, "already_exists", "/name")


class TestDeleteTeam:
    def test_members_and_tickets_stay(self, tenant, admin):
        team, user = tenant.team(), tenant.user("agent")
        admin.put(f"/teams/{team['id']}/members/{user.id}")
        ticket = tenant.ticket(team_id=team["id"])
        assert admin.delete(f"/teams/{team['id']}").status_code == 204
        assert admin.get(f"/tickets/{ticket['id']}").json()["team_id"] is None
        assert admin.get(f"/users/{user.id}").status_code == 200

    def test_who_has_the_old_etag_gets_the_ticket_as_it_is_now(self, tenant, admin):
        team = tenant.team()
        ticket = tenant.ticket(team_id=team["id"])
        admin.delete(f"/teams/{team['id']}")
        response = admin.get(f"/tickets/{ticket['id']}", headers={"if-none-match": f'"{ticket["version"]}"'})
        assert response.status_code == 200
        assert response.json()["team_id"] is None


class TestListTeamMembers:
    def test_it_shows_the_members_of_this_team_only(self, tenant, admin, agent):
        team, another, user = tenant.team(), tenant.team(), tenant.user("agent")
        admin.put(f"/teams/{team['id']}/members/{user.id}")
        admin.put(f"/teams/{another['id']}/members/{tenant.users['agent'].id}")
        [row] = agent.get(f"/teams/{team['id']}/members").json()["data"]
        assert row == admin.get(f"/users/{user.id}").json()

    def test_a_team_that_does_not_exist_is_a_404(self, agent):
        problem(agent.get(f"/teams/{NOBODY}/members"), 404, "not_found")


class TestAddTeamMember:
    def test_adding_twice_changes_nothing(self, tenant, admin):
        team, user = tenant.team(), tenant.user("user")
        for _ in range(2):
            response = admin.put(f"/teams/{team['id']}/members/{user.id}")
            assert (response.status_code, response.content) == (204, b"")
        assert ids(admin.get(f"/teams/{team['id']}/members")) == [user.id]

    @pytest.mark.parametrize("missing", ["team", "user"])
    def test_what_does_not_exist_is_a_404(self, tenant, admin, missing):
        team_id = NOBODY if missing == "team" else tenant.team()["id"]
        user_id = NOBODY if missing == "user" else tenant.user("user").id
        problem(admin.put(f"/teams/{team_id}/members/{user_id}"), 404, "not_found")


class TestRemoveTeamMember:
    def test_the_user_stays_and_is_no_member_any_more(self, tenant, admin):
        team, user = tenant.team(), tenant.user("user")
        address = f"/teams/{team['id']}/members/{user.id}"
        admin.put(address)
        assert admin.delete(address).status_code == 204
        assert ids(admin.get(f"/teams/{team['id']}/members")) == []
        assert admin.get(f"/users/{user.id}").status_code == 200

    def test_a_user_who_is_no_member_is_a_404(self, tenant, admin):
        problem(admin.delete(f"/teams/{tenant.team()['id']}/members/{tenant.user('user').id}"), 404, "not_found")
