"""Many who want the same at the same moment."""

import json
import os
import subprocess
import sys
from collections import Counter
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from outcomes import assert_sound, at_once, rows

from factories import PASSWORD, Client, Tenant
from post import Mailbox
from service import ThreadService
from tickets.domain import access, api_keys, organizations, users
from tickets.domain.events import SYSTEM
from tickets.http.pool import MOST_WAITING_OF_A_TENANT

BODY = {"subject": "Once", "description": "It is on fire."}


def test_50_posts_with_one_idempotency_key_make_one_ticket(admin: Client, service: ThreadService):
    clients = [Client(service.origin, admin.key) for _ in range(50)]
    answers = at_once(50, lambda n: clients[n].post("/tickets", json=BODY, headers={"idempotency-key": "the-one"}))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() <= {201, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    first = [a for a in answers if a.status_code == 201 and "idempotency-replayed" not in a.headers]
    assert len(first) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_progress"
            assert int(answer.headers["retry-after"]) >= 1
        else:
            assert answer.content == first[0].content
    again = [client.post("/tickets", json=BODY, headers={"idempotency-key": "the-one"}) for client in clients]
    assert {(answer.status_code, answer.content) for answer in again} == {(201, first[0].content)}
    assert all(answer.headers["idempotency-replayed"] == "true" for answer in again)
    assert [ticket["id"] for ticket in admin.get("/tickets").json()["data"]] == list(made)
    for client in clients:
        client.close()


def test_50_posts_with_a_key_each_make_50_tickets_numbered_without_gaps(admin: Client, service: ThreadService):
    clients = [Client(service.origin, admin.key) for _ in range(50)]
    answers = at_once(50, lambda n: clients[n].post("/tickets", json=BODY, headers={"idempotency-key": f"key-{n}"}))
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.json()["number"] for answer in answers) == list(range(1, 51))
    for client in clients:
        client.close()


@pytest.mark.parametrize("how", ["version", "if-match"])
def test_of_100_patches_of_one_version_one_wins(tenant: Tenant, admin: Client, service: ThreadService, how: str):
    ticket = tenant.ticket()
    clients = [Client(service.origin, admin.key) for _ in range(100)]

    def patch(number: int):
        body = {"subject": f"Changed by {number}"}
        if how == "version":
            return clients[number].patch(f"/tickets/{ticket['id']}", json={**body, "version": 1})
        return clients[number].patch(f"/tickets/{ticket['id']}", json=body, headers={"if-match": '"1"'})

    answers = at_once(100, patch)
    won = [answer.json() for answer in answers if answer.status_code == 200]
    lost = {(answer.status_code, answer.json()["code"]) for answer in answers if answer.status_code != 200}
    assert len(won) == 1
    assert lost == {(409, "version_conflict") if how == "version" else (412, "precondition_failed")}
    assert admin.get(f"/tickets/{ticket['id']}").json() == won[0]
    assert won[0]["version"] == 2
    for client in clients:
        client.close()


def test_of_100_patches_without_a_version_all_count(tenant: Tenant, admin: Client, service: ThreadService):
    ticket = tenant.ticket()
    clients = [Client(service.origin, admin.key) for _ in range(100)]
    answers = at_once(100, lambda n: clients[n].patch(f"/tickets/{ticket['id']}", json={"subject": f"Change {n}"}))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 102))
    for client in clients:
        client.close()


def test_of_20_contacts_with_one_address_one_is_made(admin: Client, service: ThreadService):
    clients = [Client(service.origin, admin.key) for _ in range(20)]
    answers = at_once(20, lambda n: clients[n].post("/contacts", json={"email": "a@example.com", "name": f"A {n}"}))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"already_exists"}
    for client in clients:
        client.close()


def test_of_two_last_admins_who_demote_each_other_one_stays(tenant: Tenant, service: ThreadService):
    first, second = tenant.user("admin"), tenant.user("admin")
    clients = [Client(service.origin, tenant.key(first)), Client(service.origin, tenant.key(second))]
    other = [second.id, first.id]
    answers = at_once(2, lambda n: clients[n].patch(f"/users/{other[n]}", json={"role": "agent"}))
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])
    for client in clients:
        client.close()


def test_the_command_line_writes_while_the_service_does(start):
    service, tenant = start()
    admin = tenant.client("admin")
    environment = {**os.environ, "TICKETS_VAR_DIR": str(service.settings.var_dir)}
    done, made, slowest = Event(), [], 0.0

    def write() -> None:
        nonlocal slowest
        while not done.is_set():
            answer = admin.post("/tickets", json=BODY)
            made.append(answer.status_code)
            slowest = max(slowest, answer.elapsed.total_seconds())

    writer = Thread(target=write)
    writer.start()
    try:
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "tickets",
                "seed-data",
                "--tickets",
                "12000",
                "--org",
                tenant.organization.slug,
                "--json",
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        done.set()
        writer.join(30)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["tickets"] == 12_000
    assert set(made) == {201}
    assert len(made) > 10
    assert slowest < 5
    path = service.database.path
    assert rows(path, "SELECT count(*), count(DISTINCT number), max(number) FROM tickets") == [
        (12_000 + len(made),) * 3
    ]
    assert_sound(path)


REVOKED = {
    "the key": lambda tx, _, key: api_keys.revoke(tx, key),
    "the account": lambda tx, user, _: users.change(tx, SYSTEM, user, {"is_active": False}),
    "the organization": lambda tx, user, _: organizations.remove(tx, access.organization(tx, user.organization_id)),
}


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("what", REVOKED)
def test_a_write_that_waited_while_its_key_ended_is_a_401(tenant: Tenant, service: ThreadService, what, idempotent):
    answer = _post_while(tenant, service, REVOKED[what], idempotent=idempotent)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert rows(service.database.path, f"SELECT count(*) FROM tickets WHERE organization_id = {tenant.id}") == [(0,)]


@pytest.mark.parametrize(("role", "status"), [("admin", 201), ("platform", 403)])
def test_a_write_that_waited_while_the_role_changed_is_judged_by_the_new_one(
    tenant: Tenant, service: ThreadService, role: str, status: int
):
    answer = _post_while(tenant, service, lambda tx, user, _: users.change(tx, SYSTEM, user, {"role": role}))
    assert answer.status_code == status


def _post_while(tenant: Tenant, service: ThreadService, change: Any, *, idempotent: bool = False) -> httpx.Response:
    """Post a ticket that has to wait for a transaction in which something changes."""
    user = tenant.user("agent")
    with service.database.write() as tx:
        record, key = api_keys.create(tx, user, name="test", rate_limit="1000000/day")
    answers: list[httpx.Response] = []
    with Client(service.origin, key) as client, Client(service.origin, key) as observer:
        headers = {"idempotency-key": "waiting"} if idempotent else {}
        posting = Thread(target=lambda: answers.append(client.post("/tickets", json=BODY, headers=headers)))
        left = int(observer.get("/organization").headers["x-ratelimit-remaining"])
        with service.database.write() as tx:
            change(tx, user, record)
            posting.start()
            # The service has counted it, so it has let it in and it waits for its turn to write.
            while int(observer.get("/organization").headers["x-ratelimit-remaining"]) == left - 1:
                left -= 1
        posting.join(10)
    return answers[0]


class TestWhatWorksOnce:
    """Of many who bring the same code, token or refresh token at the same moment, one is let in."""

    @staticmethod
    def _all_at_once(service: ThreadService, path: str, body: dict[str, str], number: int = 20) -> Counter[int]:
        clients = [Client(service.origin) for _ in range(number)]
        answers = at_once(number, lambda n: clients[n].post(path, json=body))
        for client in clients:
            client.close()
        return Counter(answer.status_code for answer in answers)

    def test_a_refresh_token(self, tenant: Tenant, service: ThreadService, anonymous: Client):
        user = tenant.with_password("agent")
        tokens = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD}).json()
        body = {"refresh_token": tokens["refresh_token"]}
        assert self._all_at_once(service, "/auth/refresh", body) == {200: 1, 401: 19}
        # 19 came too late: somebody has a copy, so the session is over.
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        assert anonymous.get("/auth/me", headers=headers).status_code == 401

    def test_a_code(self, tenant: Tenant, service: ThreadService, anonymous: Client, mailbox: Mailbox):
        email = tenant.user("agent", vouched=False).email
        anonymous.post("/auth/email-otp", json={"email": email})
        body = {"email": email, "code": mailbox.code(email)}
        assert self._all_at_once(service, "/auth/email-otp/verify", body) == {200: 1, 401: 19}

    def test_the_token_of_a_password_reset(
        self, tenant: Tenant, service: ThreadService, anonymous: Client, mailbox: Mailbox
    ):
        email = tenant.with_password("agent").email
        anonymous.post("/auth/password-reset", json={"email": email})
        body = {"token": mailbox.token(email), "password": "another horse battery"}
        # More passwords of one address are not hashed at once: the service says to come back.
        number = MOST_WAITING_OF_A_TENANT
        answers = self._all_at_once(service, "/auth/password-reset/confirm", body, number)
        assert answers == {204: 1, 401: number - 1}
