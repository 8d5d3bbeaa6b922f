"""API keys, and what signing in with one means."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from api.checks import NOBODY, ids, made, problem
from factories import Client
from tickets.clock import parse_rfc3339
from tickets.domain import api_keys


class TestListApiKeys:
    def test_it_filters_by_users_combined_with_or(self, tenant, admin):
        users = [tenant.user("agent") for _ in range(3)]
        keys = [tenant.create("/api-keys", name="K", user_id=user.id)["id"] for user in users]
        assert ids(admin.get("/api-keys", params={"user_id": users[0].id})) == keys[:1]
        assert ids(admin.get("/api-keys", params={"user_id": [users[0].id, users[2].id]})) == [keys[2], keys[0]]

    def test_revoked_keys_are_gone(self, tenant, admin):
        key = tenant.create("/api-keys", name="K")
        admin.delete(f"/api-keys/{key['id']}")
        assert key["id"] not in ids(admin.get("/api-keys"))

    def test_no_secret_is_shown(self, tenant, admin):
        key = tenant.create("/api-keys", name="K")["key"]
        assert key not in admin.get("/api-keys").text


class TestCreateApiKey:
    def test_the_key_is_shown_once_and_works(self, tenant, admin, service):
        body = made(admin.post("/api-keys", json={"name": "Robot"}))
        assert re.fullmatch(r"tk_[a-z0-9]{8}_[A-Za-z0-9_-]{32}", body["key"])
        assert body["key"].startswith(body["prefix"] + "_")
        assert (body["user_id"], body["scopes"]) == (tenant.users["admin"].id, ["*"])
        assert (body["rate_limit"], body["expires_at"], body["last_used_at"]) == (None, None, None)
        assert "key" not in admin.get(f"/api-keys/{body['id']}").json()
        with Client(service.origin, body["key"]) as client:
            assert client.get("/organization").json()["id"] == tenant.id

    def test_it_acts_with_the_role_of_its_user(self, tenant, service):
        user = tenant.user("user")
        with Client(service.origin, tenant.create("/api-keys", name="K", user_id=user.id)["key"]) as client:
            problem(client.get("/users"), 403, "forbidden")

    def test_a_key_gives_only_the_scopes_it_has(self, tenant):
        with tenant.client("admin", scopes=["api_keys:write", "tickets:read"]) as client:
            made(client.post("/api-keys", json={"name": "K", "scopes": ["tickets:read"]}))
            for scopes in (["tickets:read", "tickets:write"], ["*"]):
                response = client.post("/api-keys", json={"name": "K", "scopes": scopes})
                problem(response, 403, "insufficient_scope", "/scopes")
            problem(client.post("/api-keys", json={"name": "K"}), 403, "insufficient_scope", "/scopes")

    def test_whose_own_address_is_not_verified_makes_none_that_would_outlast_them_and_revokes_none(self, tenant):
        client = tenant.signed_in("admin", vouched=False)
        colleague = tenant.user("agent")
        for body in ({"name": "K"}, {"name": "K", "user_id": colleague.id}):
            problem(client.post("/api-keys", json=body), 403, "email_not_verified")
        old = tenant.create("/api-keys", name="Robot", user_id=colleague.id)
        problem(client.post(f"/api-keys/{old['id']}/rotate", json={}), 403, "email_not_verified")
        problem(client.delete(f"/api-keys/{old['id']}"), 403, "email_not_verified")

    def test_an_operator_gets_keys_from_the_command_line_only(self, tenant, admin):
        response = admin.post("/api-keys", json={"name": "K", "user_id": tenant.user("platform").id})
        problem(response, 403, "forbidden")

    def test_a_user_who_does_not_exist_is_a_404_that_points_at_the_field(self, admin):
        problem(admin.post("/api-keys", json={"name": "K", "user_id": NOBODY}), 404, "not_found", "/user_id")

    @pytest.mark.parametrize("scopes", [[], ["*", "*"], ["tickets"], ["tickets:delete"], "*", None])
    def test_what_are_no_scopes_is_a_400(self, admin, scopes):
        response = admin.post("/api-keys", json={"name": "K", "scopes": scopes})
        assert response.status_code == 400
        assert response.json()["errors"][0]["pointer"].startswith("/scopes")

    def test_the_rate_limit_is_not_the_callers_to_choose(self, admin):
        response = admin.post("/api-keys", json={"name": "K", "rate_limit": "1000/second"})
        problem(response, 400, "invalid_request", "/rate_limit")

    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("2100-01-02T03:04:05Z", "2100-01-02T03:04:05.000Z"),
            ("2100-01-02T03:04:05.6789+01:00", "2100-01-02T02:04:05.678Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            (None, None),
        ],
    )
    def test_the_end_of_its_life_is_shown_in_utc(self, admin, given, shown):
        body = made(admin.post("/api-keys", json={"name": "K", "expires_at": given}))
        assert body["expires_at"] == shown
        assert admin.get(f"/api-keys/{body['id']}").json()["expires_at"] == shown

    @pytest.mark.parametrize("given", ["0001-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00"])
    def test_a_key_does_not_begin_after_its_end(self, admin, given):
        problem(admin.post("/api-keys", json={"name": "K", "expires_at": given}), 400, "invalid_request", "/expires_at")

    def test_who_is_deactivated_gets_no_key(self, tenant, admin):
        user = tenant.user("agent", is_active=False)
        problem(admin.post("/api-keys", json={"name": "K", "user_id": user.id}), 409, "user_inactive", "/user_id")

    @pytest.mark.parametrize(
        "given", ["tomorrow", "2100-01-02", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", 4102444800]
    )
    def test_what_is_no_time_is_a_400(self, admin, given):
        problem(admin.post("/api-keys", json={"name": "K", "expires_at": given}), 400, "invalid_request", "/expires_at")


class TestTooManyKeys:
    @pytest.fixture
    def full(self, tenant):
        """Whoever has as many keys as anybody may have, one of them made over the API."""
        user = tenant.user("agent")
        key = tenant.create("/api-keys", name="First", user_id=user.id)
        for _ in range(99):
            tenant.key(user)
        return user, key

    @staticmethod
    def make(admin, user, **values):
        return admin.post("/api-keys", json={"name": "K", "user_id": user.id, **values})

    def test_the_101st_is_a_409_that_says_to_revoke_one(self, tenant, admin, full):
        user, key = full
        assert "revoke one" in problem(self.make(admin, user), 409, "too_many_keys")["detail"]
        made(self.make(admin, tenant.user("agent")))
        assert admin.delete(f"/api-keys/{key['id']}").status_code == 204
        made(self.make(admin, user))
        problem(self.make(admin, user), 409, "too_many_keys")

    def test_what_has_expired_does_not_count(self, admin, full):
        user, key = full
        admin.delete(f"/api-keys/{key['id']}")
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
            made(self.make(admin, user, expires_at="2031-01-01T00:01:00Z"))
            problem(self.make(admin, user), 409, "too_many_keys")
            clock.shift(timedelta(seconds=60))
            made(self.make(admin, user))
            problem(self.make(admin, user), 409, "too_many_keys")

    def test_a_replacement_is_none_more_unless_both_live(self, admin, full):
        user, key = full
        rotate = f"/api-keys/{key['id']}/rotate"
        problem(admin.post(rotate, json={"overlap_seconds": 1}), 409, "too_many_keys")
        new = made(admin.post(rotate, json={}))
        made(admin.post(f"/api-keys/{new['id']}/rotate", json={"overlap_seconds": 0}))
        problem(self.make(admin, user), 409, "too_many_keys")

    def test_of_a_chain_of_replacements_two_live(self, tenant, admin):
        user = tenant.user("agent")
        for _ in range(98):
            tenant.key(user)
        chain = [tenant.create("/api-keys", name="First", user_id=user.id)]
        for _ in range(3):
            chain.append(made(admin.post(f"/api-keys/{chain[-1]['id']}/rotate", json={"overlap_seconds": 2_592_000})))
        statuses = []
        for key in chain:
            with Client(tenant.origin, key["key"]) as client:
                statuses.append(client.get("/tickets").status_code)
        assert statuses == [401, 401, 200, 200]
        problem(self.make(admin, user), 409, "too_many_keys")

    def test_a_key_and_its_successor_share_one_limit(self, tenant, admin):
        user = tenant.user("agent")
        key = tenant.key(user, rate_limit="3/day", name="Limited")
        [shown] = admin.get("/api-keys", params={"user_id": user.id}).json()["data"]
        new = made(admin.post(f"/api-keys/{shown['id']}/rotate", json={"overlap_seconds": 3600}))
        assert new["rate_limit"] == "3/day"
        with (
            time_machine.travel(datetime.now(UTC), tick=False),
            Client(tenant.origin, key) as old,
            Client(tenant.origin, new["key"]) as successor,
        ):
            statuses = [client.get("/tickets").status_code for client in (old, successor, old, successor, old)]
        assert statuses == [200, 200, 200, 429, 429]

    def test_they_are_counted_by_an_index_however_many_have_ended(self, tenant):
        with tenant.database.read() as tx:
            sql = api_keys._COUNT_LIVE.compiled(tx._dialect).sql
            plan = [row[3] for row in tx._connection.execute(f"EXPLAIN QUERY PLAN {sql}", {"user_id": 1, "now": 1})]
        assert sum("ix_api_keys_user_id_live (user_id=? AND expires_at" in step for step in plan) == 2, plan


class TestGetApiKey:
    def test_its_use_is_noted_to_the_minute_and_is_no_new_version(self, tenant, admin, service):
        body = tenant.create("/api-keys", name="K")
        address = f"/api-keys/{body['id']}"
        assert admin.get(address).json()["last_used_at"] is None
        start = datetime(2031, 1, 1, tzinfo=UTC)
        shown = []
        with Client(service.origin, body["key"]) as client:
            for seconds in (0, 30, 61):
                with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
                    assert client.get("/organization").status_code == 200
                    tenant.team()  # writes are done one after another: the note is stored before this one
                shown.append(admin.get(address).json())
        assert [record["last_used_at"] for record in shown] == [
            "2031-01-01T00:00:00.000Z",
            "2031-01-01T00:00:00.000Z",
            "2031-01-01T00:01:01.000Z",
        ]
        assert {record["version"] for record in shown} == {1}
        assert {record["updated_at"] for record in shown} == {body["updated_at"]}


class TestDeleteApiKey:
    def test_it_stops_working_at_once(self, tenant, admin, service):
        body = tenant.create("/api-keys", name="K")
        with Client(service.origin, body["key"]) as client:
            assert client.get("/organization").status_code == 200
            assert admin.delete(f"/api-keys/{body['id']}").status_code == 204
            problem(client.get("/organization"), 401, "unauthorized")

    def test_a_key_may_revoke_itself(self, tenant, service):
        body = tenant.create("/api-keys", name="K")
        with Client(service.origin, body["key"]) as client:
            assert client.delete(f"/api-keys/{body['id']}").status_code == 204
            problem(client.delete(f"/api-keys/{body['id']}"), 401, "unauthorized")

    def test_the_operators_keys_are_not_an_admins_to_revoke(self, tenant, admin):
        with tenant.client("platform", name="operator") as operator:
            key = next(key for key in admin.get("/api-keys").json()["data"] if key["name"] == "operator")
            problem(admin.delete(f"/api-keys/{key['id']}"), 403, "forbidden")
            assert operator.get("/organization").status_code == 200


class TestSigningIn:
    """Not one operation but all: how a key is sent and when it is good."""

    def test_either_header_is_accepted(self, tenant, anonymous):
        key = tenant.key(tenant.user("agent"))
        for headers in (
            {"x-api-key": key},
            {"X-API-Key": key},
            {"authorization": f"Bearer {key}"},
            {"authorization": f"bearer {key}"},
            {"authorization": f"BEARER   {key}"},
            {"x-api-key": "x", "authorization": f"Bearer {key}"},  # one good one is enough, as OpenAPI has it
        ):
            assert anonymous.get("/organization", headers=headers).status_code == 200, headers

    def test_anything_else_is_a_401_that_says_how(self, tenant, anonymous):
        key = tenant.key(tenant.user("agent"))
        for headers in (
            {},
            {"x-api-key": ""},
            {"x-api-key": "x"},
            {"x-api-key": key[:-1]},
            {"x-api-key": key + "x"},
            {"x-api-key": key.upper()},
            {"x-api-key": "\xff\xfe"},
            {"x-api-key": "tk_12345678_" + "x" * 5000},
            {"x-api-key": f"Bearer {key}"},
            {"authorization": key},
            {"authorization": "Bearer"},
            {"authorization": f"Basic {key}"},
            {"authorization": f"Bearer {key}x"},
        ):
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            response = anonymous.get("/organization", headers=raw)
            problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == 'Bearer realm="ticketing"'
            assert key not in response.text

    def test_the_same_header_twice_is_a_401(self, tenant, anonymous):
        key = tenant.key(tenant.user("agent"))
        for name, value in (("x-api-key", key), ("authorization", f"Bearer {key}")):
            problem(anonymous.get("/organization", headers=[(name, value), (name, value)]), 401, "unauthorized")

    def test_a_key_in_the_query_is_none(self, tenant, anonymous):
        key = tenant.key(tenant.user("agent"))
        assert anonymous.get("/organization", params={"x-api-key": key}).status_code == 401

    def test_a_key_ends_at_its_time(self, tenant):
        end = datetime(2031, 1, 1, tzinfo=UTC)
        expires_at = parse_rfc3339("2031-01-01T00:00:00Z")
        with tenant.client("agent", expires_at=expires_at) as client:
            with time_machine.travel(end - timedelta(milliseconds=1), tick=False):
                assert client.get("/organization").status_code == 200
            with time_machine.travel(end, tick=False):
                problem(client.get("/organization"), 401, "unauthorized")

    def test_the_key_of_a_deactivated_user_is_none(self, tenant):
        user = tenant.user("agent", is_active=False)
        with Client(tenant.origin, tenant.key(user)) as client:
            problem(client.get("/organization"), 401, "unauthorized")


class TestRotateApiKey:
    def test_the_new_key_is_as_the_old_one_and_both_work_for_a_while(self, tenant, admin, service):
        user = tenant.user("agent")
        old = tenant.create("/api-keys", name="Robot", user_id=user.id, scopes=["tickets:read"])
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
            new = made(admin.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60}))
            assert new["key"] != old["key"]
            for name in ("user_id", "name", "scopes", "rate_limit", "expires_at"):
                assert new[name] == old[name]
            assert admin.get(f"/api-keys/{old['id']}").json()["expires_at"] == "2031-01-01T00:01:00.000Z"
            with Client(service.origin, old["key"]) as before, Client(service.origin, new["key"]) as after:
                assert before.get("/tickets").status_code == after.get("/tickets").status_code == 200
                clock.shift(timedelta(seconds=60))
                problem(before.get("/tickets"), 401, "unauthorized")
                assert after.get("/tickets").status_code == 200

    def test_without_an_overlap_the_old_key_ends_at_once(self, tenant, admin, service):
        old = tenant.create("/api-keys", name="Robot")
        made(admin.post(f"/api-keys/{old['id']}/rotate"))  # a body would only say the overlap
        with Client(service.origin, old["key"]) as client:
            problem(client.get("/tickets"), 401, "unauthorized")

    def test_a_key_that_ends_sooner_is_not_prolonged(self, tenant, admin):
        old = tenant.create("/api-keys", name="Robot", expires_at="2100-01-01T00:00:00Z")
        with time_machine.travel(datetime(2099, 12, 31, tzinfo=UTC), tick=False):
            new = made(admin.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 2_592_000}))
        assert admin.get(f"/api-keys/{old['id']}").json()["expires_at"] == old["expires_at"] == new["expires_at"]

    def test_a_key_that_has_a_successor_is_not_replaced_again(self, tenant, admin):
        old = tenant.create("/api-keys", name="Robot")
        new = made(admin.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60}))
        refused = admin.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60})
        assert str(new["id"]) in problem(refused, 409, "already_replaced")["detail"]
        made(admin.post(f"/api-keys/{new['id']}/rotate", json={}))

    def test_a_key_that_has_expired_is_not_replaced(self, tenant, admin):
        old = tenant.create("/api-keys", name="Robot", expires_at="2100-01-01T00:00:00Z")
        with time_machine.travel(datetime(2100, 1, 1, tzinfo=UTC), tick=False):
            refused = admin.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60})
        assert "make a new key" in problem(refused, 409, "conflict")["detail"]

    def test_a_key_cannot_rotate_what_it_could_not_give(self, tenant):
        old = tenant.create("/api-keys", name="Robot")
        with tenant.client("admin", scopes=["api_keys:write"]) as narrow:
            problem(narrow.post(f"/api-keys/{old['id']}/rotate", json={}), 403, "insufficient_scope")

    def test_the_key_of_who_is_deactivated_or_an_operator_is_not_rotated(self, tenant, admin):
        user = tenant.user("agent")
        key = tenant.create("/api-keys", name="Robot", user_id=user.id)
        assert admin.patch(f"/users/{user.id}", json={"is_active": False}).status_code == 200
        problem(admin.post(f"/api-keys/{key['id']}/rotate", json={}), 409, "user_inactive", "/user_id")
        operator = tenant.user("platform")
        tenant.key(operator, name="operator")
        key = next(key for key in admin.get("/api-keys").json()["data"] if key["user_id"] == operator.id)
        problem(admin.post(f"/api-keys/{key['id']}/rotate", json={}), 403, "forbidden")
