"""What a deleted organization is for everybody while its rows are there still: nothing."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from api.checks import ids, made, problem
from factories import PASSWORD, Client, Tenant
from service import ThreadService
from tickets.domain import registration
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.jobs import erase_organizations, send_email
from tickets.jobs.kind import Context


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that runs no jobs, so that the rows stay."""
    running = ThreadService(tmp_path_factory.mktemp("deleted"), worker_threads=0)
    yield running
    running.stop()


@pytest.fixture
def operator(tenant: Tenant) -> Client:
    return tenant.client("platform")


@pytest.fixture
def delete(operator: Client) -> Any:
    """Delete an organization."""

    def ask(gone: Tenant) -> None:
        assert operator.delete(f"/organizations/{gone.id}").status_code == 204

    return ask


def rows(service: ThreadService, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(service.database.path)) as connection:
        return connection.execute(sql, values).fetchall()


def unauthorized(answer: httpx.Response) -> None:
    problem(answer, 401, "unauthorized")


class TestTheOperator:
    def test_finds_it_nowhere(self, operator, other, delete):
        address, slug = f"/organizations/{other.id}", other.organization.slug
        delete(other)
        for answer in (operator.get(address), operator.patch(address, json={"name": "N"}), operator.delete(address)):
            problem(answer, 404, "not_found")
        assert other.id not in ids(operator.get("/organizations", params={"limit": 200}))
        assert ids(operator.get("/organizations", params={"slug": slug})) == []

    def test_who_has_seen_another_version_deletes_nothing(self, operator, other):
        answer = operator.delete(f"/organizations/{other.id}", headers={"if-match": '"7"'})
        problem(answer, 412, "precondition_failed", "/If-Match", where="header")
        assert operator.get(f"/organizations/{other.id}").status_code == 200

    def test_waits_for_none_of_its_rows(self, service, other, delete):
        for _ in range(3):
            other.ticket()
        delete(other)
        [(count,)] = rows(service, "SELECT count(*) FROM tickets WHERE organization_id = ?", other.id)
        assert count == 3
        assert rows(service, "SELECT count(*) FROM jobs WHERE kind = ?", erase_organizations.KIND.name) != [(0,)]

    def test_finds_what_it_did_since_in_the_log_under_no_organization(self, service, other, delete):
        theirs = other.client()
        delete(other)
        answer = theirs.post("/teams", json={"name": "T"})
        unauthorized(answer)
        assert rows(service, "SELECT count(*) FROM audit_log WHERE organization_id = ? AND status = 401", other.id) == [
            (0,)
        ]


class TestItsPeople:
    def test_their_keys_open_nothing_in_any_process(self, service, other, delete):
        keys = [other.client(role) for role in ("admin", "agent", "user", "platform")]
        second = ThreadService(service.settings.var_dir, worker_threads=0)
        delete(other)
        for client in keys:
            for origin in (service.origin, second.origin):
                with Client(origin, client.key) as asking:
                    unauthorized(asking.get("/organization"))
                    unauthorized(asking.post("/tickets", json={"subject": "S", "description": ""}))
        second.stop()

    def test_their_sessions_are_over_and_cannot_be_prolonged(self, anonymous, other, delete):
        user = other.with_password("admin")
        tokens = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD}).json()
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        assert anonymous.get("/auth/me", headers=bearer).status_code == 200
        delete(other)
        unauthorized(anonymous.get("/auth/me", headers=bearer))
        unauthorized(anonymous.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}))

    def test_their_passwords_are_wrong(self, anonymous, other, delete):
        user = other.with_password("agent")
        delete(other)
        answer = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD})
        problem(answer, 401, "invalid_credentials")

    def test_codes_and_links_they_were_sent_are_good_no_more(self, service, anonymous, other, delete):
        user = other.user("agent")
        one_time = OneTimeSecrets(service.settings.signing_keys())
        with service.database.write() as tx:
            code, token = (one_time.give(tx, user, purpose) for purpose in ("verify_email", "reset_password"))
        delete(other)
        body = {"email": user.email, "code": code}
        problem(anonymous.post("/auth/email-otp/verify", json=body), 401, "invalid_code")
        body = {"token": token, "password": "another horse battery"}
        problem(anonymous.post("/auth/password-reset/confirm", json=body), 401, "invalid_code")
        assert rows(service, "SELECT count(*) FROM passwords WHERE user_id = ?", user.id) == [(0,)]

    def test_no_mail_is_sent_to_who_asks_for_one(self, service, anonymous, other, delete):
        user = other.user("agent")
        delete(other)
        assert anonymous.post("/auth/password-reset", json={"email": user.email}).status_code == 202
        with service.database.write() as tx:
            one_time = OneTimeSecrets(service.settings.signing_keys())
            registration.send(tx, service.settings, one_time, email=user.email, purpose="reset_password")
        assert rows(service, "SELECT count(*) FROM jobs WHERE kind = ?", send_email.KIND.name) == [(0,)]

    def test_nobody_joins_it(self, anonymous, other, delete):
        other.client().patch("/organization", json={"settings": {"allow_self_registration": True}})
        delete(other)
        for slug in (other.organization.slug, f"deleted {other.id}"):
            body = {"email": "j@example.com", "password": PASSWORD, "name": "J", "organization_slug": slug}
            assert anonymous.post("/auth/register", json=body).status_code in (400, 404)


class TestItsNames:
    def test_the_slug_is_free_for_a_new_one_and_for_another(self, operator, tenant, other, delete):
        slug = other.organization.slug
        delete(other)
        made(operator.post("/organizations", json={"name": "Next", "slug": slug}))
        third = made(operator.post("/organizations", json={"name": "Third", "slug": "third"}))
        delete(Tenant(tenant.database, tenant.origin, slug=slug))
        assert operator.patch(f"/organizations/{third['id']}", json={"slug": slug}).json()["slug"] == slug

    def test_the_addresses_are_free_for_a_new_account_and_for_another(self, admin, tenant, anonymous, other, delete):
        addresses = [other.with_password("agent").email for _ in range(3)]
        delete(other)
        made(admin.post("/users", json={"email": addresses[0].upper(), "name": "N", "role": "agent"}))
        user = tenant.user("agent")
        changed = admin.patch(f"/users/{user.id}", json={"email": addresses[1]})
        assert (changed.status_code, changed.json()["email"]) == (200, addresses[1])
        body = {"email": addresses[2], "password": "another horse battery", "name": "F", "organization_name": "F"}
        assert anonymous.post("/auth/register", json=body).status_code == 201
        del body["name"], body["organization_name"]
        assert anonymous.post("/auth/login", json=body).status_code == 200
        assert ids(admin.get("/users", params={"email": addresses[0]})) != []

    def test_an_address_that_is_taken_is_taken(self, admin, other):
        email = other.user("agent").email
        problem(
            admin.post("/users", json={"email": email, "name": "N", "role": "agent"}), 409, "already_exists", "/email"
        )

    def test_whoever_has_them_next_stays_when_the_rows_go(self, service, operator, admin, other, delete):
        slug, email = other.organization.slug, other.user("agent").email
        other.comment(other.ticket())
        delete(other)
        next_one = made(operator.post("/organizations", json={"name": "Next", "slug": slug}))
        person = made(admin.post("/users", json={"email": email, "name": "N", "role": "agent"}))
        erase_organizations.KIND.run(None, Context(service.settings, service.database))
        assert rows(service, "SELECT count(*) FROM organizations WHERE deleted_at IS NOT NULL") == [(0,)]
        assert rows(service, "SELECT count(*) FROM tickets WHERE organization_id = ?", other.id) == [(0,)]
        assert operator.get(f"/organizations/{next_one['id']}").json() == next_one
        assert admin.get(f"/users/{person['id']}").json() == person


def test_the_command_line_knows_it_no_more(service, other, delete):
    slug, email = other.organization.slug, other.user("agent").email
    key = other.client().key
    delete(other)

    def run(*words: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "tickets", *words],
            env={**os.environ, "TICKETS_VAR_DIR": str(service.settings.var_dir)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

    code, listed = run("list-api-keys")
    assert (code, key[:11] in listed) == (0, False)
    assert run("revoke-api-key", key[:11])[0] == 2
    assert run("list-api-keys", "--org", slug)[0] == 2
    assert run("create-api-key", "--email", email)[0] == 2
    assert run("create-user", "--org", slug, "--email", "n@example.com", "--role", "agent")[0] == 2
    assert run("seed-data", "--org", slug, "--tickets", "1")[0] == 2
    assert run("create-org", "--name", "Next", "--slug", slug, "--email", email)[0] == 0
    assert run("create-user", "--org", slug, "--email", "n@example.com", "--role", "agent")[0] == 0
