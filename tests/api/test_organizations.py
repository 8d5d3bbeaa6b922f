"""Organizations: the operator's list of tenants, and everybody's own."""

import pytest

from api.checks import ids, made, problem
from factories import Tenant

DEFAULTS = {"timezone": "UTC", "allow_self_registration": False, "require_verified_email": False}


@pytest.fixture
def operator(tenant):
    return tenant.client("platform")


class TestListOrganizations:
    def test_the_operator_sees_every_tenant(self, operator, tenant, other):
        assert {tenant.id, other.id} <= set(ids(operator.get("/organizations", params={"limit": 200})))

    def test_it_filters_by_slug(self, operator, other):
        response = operator.get("/organizations", params={"slug": other.organization.slug})
        assert ids(response) == [other.id]
        assert ids(operator.get("/organizations", params={"slug": "nobody-has-this"})) == []

    @pytest.mark.parametrize("slug", ["", "Acme", "-a", "a-", "a" * 64, "a_b"])
    def test_what_is_no_slug_is_a_400(self, operator, slug):
        assert operator.get("/organizations", params={"slug": slug}).status_code == 400

    @pytest.mark.usefixtures("other")
    def test_it_can_be_walked_by_name(self, operator):
        first = operator.get("/organizations", params={"sort": "name", "limit": 1}).json()
        second = operator.get("/organizations", params={"sort": "name", "limit": 1, "cursor": first["next_cursor"]})
        assert first["data"][0]["name"] <= second.json()["data"][0]["name"]


class TestCreateOrganization:
    def test_it_starts_with_the_usual_settings_and_nobody_in_it(self, operator):
        body = made(operator.post("/organizations", json={"name": "New", "slug": "new-one"}))
        assert body["settings"] == DEFAULTS
        assert body["name"] == "New"

    def test_settings_can_be_chosen_one_by_one(self, operator):
        settings = {"timezone": "Europe/Vienna"}
        body = made(operator.post("/organizations", json={"name": "N", "slug": "vienna", "settings": settings}))
        assert body["settings"] == {**DEFAULTS, **settings}

    def test_a_slug_that_is_taken_is_a_409(self, operator, other):
        response = operator.post("/organizations", json={"name": "N", "slug": other.organization.slug})
        problem(response, 409, "already_exists", "/slug")

    @pytest.mark.parametrize("timezone", ["Mars/Olympus", "europe/vienna", "../etc/passwd", "CEST"])
    def test_an_unknown_time_zone_is_a_400(self, operator, timezone):
        body = {"name": "N", "slug": "mars", "settings": {"timezone": timezone}}
        problem(operator.post("/organizations", json=body), 400, "invalid_request", "/settings/timezone")

    def test_its_tickets_are_numbered_from_one(self, service, operator):
        slug = made(operator.post("/organizations", json={"name": "N", "slug": "numbered"}))["slug"]
        founded = Tenant(service.database, service.origin, slug=slug)
        assert [founded.ticket()["number"] for _ in range(3)] == [1, 2, 3]
        founded.close()


class TestGetOrganization:
    def test_the_operator_reads_any(self, operator, other):
        body = operator.get(f"/organizations/{other.id}").json()
        assert (body["id"], body["slug"]) == (other.id, other.organization.slug)


class TestUpdateOrganization:
    def test_settings_that_are_not_sent_stay(self, operator, other):
        address = f"/organizations/{other.id}"
        operator.patch(address, json={"settings": {"timezone": "Asia/Tokyo"}})
        body = operator.patch(address, json={"settings": {"allow_self_registration": True}}).json()
        assert body["settings"] == {**DEFAULTS, "timezone": "Asia/Tokyo", "allow_self_registration": True}
        assert body["version"] == 3

    def test_a_slug_that_is_taken_is_a_409(self, operator, tenant, other):
        response = operator.patch(f"/organizations/{other.id}", json={"slug": tenant.organization.slug})
        problem(response, 409, "already_exists", "/slug")


class TestDeleteOrganization:
    def test_everything_in_it_goes_and_its_keys_stop_at_once(self, operator, other):
        ticket = other.ticket(team_id=other.team()["id"], contact_id=other.contact()["id"])
        other.comment(ticket)
        theirs = other.client("agent")
        headers = {"idempotency-key": "k"}
        assert theirs.post("/tickets", json={"subject": "S", "description": ""}, headers=headers).status_code == 201
        assert operator.delete(f"/organizations/{other.id}").status_code == 204
        problem(operator.get(f"/organizations/{other.id}"), 404, "not_found")
        problem(theirs.get("/tickets"), 401, "unauthorized")

    def test_other_tenants_stay(self, operator, tenant, other):
        ticket = tenant.ticket()
        assert operator.delete(f"/organizations/{other.id}").status_code == 204
        assert tenant.client("admin").get(f"/tickets/{ticket['id']}").status_code == 200


class TestGetOwnOrganization:
    @pytest.mark.parametrize("role", ["admin", "agent", "user", "platform"])
    def test_everybody_reads_their_own(self, tenant, role):
        response = tenant.client(role).get("/organization")
        assert response.status_code == 200
        assert response.json()["id"] == tenant.id
        assert response.headers["etag"] == '"1"'

    def test_unchanged_is_a_304(self, user):
        assert user.get("/organization", headers={"if-none-match": '"1"'}).status_code == 304


class TestUpdateOwnOrganization:
    def test_an_admin_renames_it(self, admin):
        response = admin.patch("/organization", json={"name": "Renamed"})
        assert response.status_code == 200
        assert response.json() == {**admin.get("/organization").json(), "name": "Renamed", "version": 2}

    def test_another_tenant_is_not_touched(self, admin, other):
        admin.patch("/organization", json={"name": "Renamed"})
        assert other.client("admin").get("/organization").json()["name"] == other.organization.name

    def test_a_slug_that_is_taken_is_a_409(self, admin, other):
        response = admin.patch("/organization", json={"slug": other.organization.slug})
        problem(response, 409, "already_exists", "/slug")

    def test_a_stale_version_is_a_409_and_a_stale_etag_a_412(self, admin):
        problem(admin.patch("/organization", json={"name": "N", "version": 2}), 409, "version_conflict", "/version")
        response = admin.patch("/organization", json={"name": "N"}, headers={"if-match": '"2"'})
        problem(response, 412, "precondition_failed", "/If-Match", where="header")
