"""Whoever signs up with somebody else's address loses everything when its owner takes the account over."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import bindparam, func, select

from api.checks import NOBODY, ids, problem
from factories import PASSWORD, Client
from post import Mailbox
from service import ThreadService
from tickets.db import Statement
from tickets.domain import api_keys, organizations, passwords, users
from tickets.domain.events import SYSTEM
from tickets.domain.registration import MOST_TOLD
from tickets.models import Event

OTHER = "another horse battery"
_HASHED = passwords.hashed(PASSWORD)
_TOLD = Statement(
    select(func.count().label("count")).where(
        Event.organization_id == bindparam("of"), Event.type == "user.updated", Event.actor_type == "system"
    )
)
_numbers = itertools.count(1)


class Squat:
    """An organization that a stranger founded with the address of somebody who knows nothing of it."""

    def __init__(self, service: ThreadService, mailbox: Mailbox) -> None:
        self.service = service
        self.mailbox = mailbox
        number = next(_numbers)
        self.victim = f"victim-{number}@example.com"
        self.accomplice = f"accomplice-{number}@example.com"
        self.clients: list[Client] = []
        self.nobody = self.client()
        founding = {"email": self.victim, "password": PASSWORD, "name": "Eve", "organization_name": f"Trap {number}"}
        assert self.nobody.post("/auth/register", json=founding).status_code == 201
        self.stranger = self.sign_in(self.victim, PASSWORD)
        self.me: int = self.stranger.get("/auth/me").json()["id"]
        self.organization: dict[str, Any] = self.stranger.get("/organization").json()

    def client(self, key: str | None = None) -> Client:
        self.clients.append(Client(self.service.origin, key))
        return self.clients[-1]

    def sign_in(self, email: str, password: str) -> Client:
        client = self.client()
        answer = client.post("/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    def join(self) -> Any:
        body = {"email": self.accomplice, "password": PASSWORD, "name": "Mallory"}
        return self.nobody.post("/auth/register", json={**body, "organization_slug": self.organization["slug"]})

    def reset(self) -> Client:
        """Let the victim take the account over, and sign in."""
        before = len(self.mailbox.wait(self.victim))
        assert self.nobody.post("/auth/password-reset", json={"email": self.victim}).status_code == 202
        body = {"token": self.mailbox.token(self.victim, before + 1), "password": OTHER}
        assert self.nobody.post("/auth/password-reset/confirm", json=body).status_code == 204
        return self.sign_in(self.victim, OTHER)

    def verify(self) -> Client:
        """Let the victim enter the code of the mail that the sign-up sent, and sign in with the password it chose."""
        body = {"email": self.victim, "code": self.mailbox.code(self.victim)}
        assert self.nobody.post("/auth/email-otp/verify", json=body).status_code == 200
        return self.sign_in(self.victim, PASSWORD)

    def open_as_before_the_rule(self) -> None:
        """Let strangers in, as the founder could before an unverified account was kept from it."""
        with self.service.database.write() as tx:
            organization = organizations.by_slug(tx, self.organization["slug"])
            organizations.change(tx, organization, {"settings": {"allow_self_registration": True}})

    def accomplice_as_before_the_rule(self, role: str, *, verified: bool) -> tuple[Client, Client]:
        """Make an account of the stranger's own with a role that the founder gave it; return its session and key."""
        self.open_as_before_the_rule()
        with self.service.database.write() as tx:
            made = users.create(
                tx,
                SYSTEM,
                self.organization["id"],
                email=self.accomplice,
                name="Mallory",
                role="user",
                vouched=False,
            )
            passwords.store(tx, made.id, _HASHED)
            if verified:
                made = users.verify(tx, made)
            made = users.change(tx, SYSTEM, made, {"role": role})
            _, key = api_keys.create(tx, made, name="Kept", rate_limit="1000/second")
        return self.sign_in(self.accomplice, PASSWORD), self.client(key)


@pytest.fixture
def squat(service: ThreadService, mailbox: Mailbox) -> Iterator[Squat]:
    """An organization that was founded with somebody else's address."""
    made = Squat(service, mailbox)
    yield made
    for client in made.clients:
        client.close()


TAKEOVERS = pytest.mark.parametrize("take_over", [Squat.reset, Squat.verify], ids=["reset", "code"])
TARGET = {"first_response_minutes": 5, "resolution_minutes": 60}
TARGETS = dict.fromkeys(("urgent", "high", "medium", "low"), TARGET)


class TestBeforeTheTakeover:
    def test_the_stranger_can_open_the_organization_to_nobody(self, squat):
        opening = {"settings": {"allow_self_registration": True}}
        problem(squat.stranger.patch("/organization", json=opening), 403, "email_not_verified")
        problem(squat.join(), 404, "not_found", "/organization_slug")
        assert squat.stranger.get("/organization").json() == squat.organization

    def test_the_stranger_changes_nothing_of_accounts_teams_policies_and_keys(self, squat):
        new = {"email": squat.accomplice, "name": "Mallory", "role": "admin"}
        asked = [
            ("POST", "/users", new),
            ("PATCH", f"/users/{squat.me}", {"email": squat.accomplice}),
            ("PATCH", f"/users/{squat.me}", {"role": "agent"}),
            ("PATCH", f"/users/{squat.me}", {"is_active": False}),
            ("PATCH", f"/users/{squat.me}", {"name": "Victim"}),
            ("DELETE", f"/users/{squat.me}", None),
            ("POST", "/teams", {"name": "T"}),
            ("PUT", f"/teams/{NOBODY}/members/{squat.me}", None),
            ("DELETE", f"/teams/{NOBODY}/members/{squat.me}", None),
            ("POST", "/sla-policies", {"name": "P", "targets": TARGETS}),
            ("POST", "/api-keys", {"name": "K"}),
            ("POST", f"/api-keys/{NOBODY}/rotate", {}),
            ("DELETE", f"/api-keys/{NOBODY}", None),
        ]
        for method, path, body in asked:
            problem(squat.stranger.request(method, path, json=body), 403, "email_not_verified")
        assert [row["id"] for row in squat.stranger.get("/users").json()["data"]] == [squat.me]

    def test_a_key_of_the_account_is_kept_from_it_as_well(self, squat, service):
        with service.database.write() as tx:
            _, key = api_keys.create(tx, users.by_email(tx, squat.victim), name="K", rate_limit="1000/second")
        opening = {"settings": {"allow_self_registration": True}}
        problem(squat.client(key).patch("/organization", json=opening), 403, "email_not_verified")

    def test_whoever_has_verified_their_own_address_may_do_all_that(self, squat):
        founder = squat.verify()
        opening = {"settings": {"allow_self_registration": True}}
        assert founder.patch("/organization", json=opening).status_code == 200
        assert squat.join().status_code == 201
        [joined] = founder.get("/users", params={"email": squat.accomplice}).json()["data"]
        assert founder.patch(f"/users/{joined['id']}", json={"role": "agent"}).status_code == 200
        assert founder.post("/teams", json={"name": "T"}).status_code == 201


class TestTheTakeover:
    @TAKEOVERS
    def test_of_an_organization_that_the_stranger_could_not_open(self, squat, take_over: Callable[[Squat], Client]):
        opening = {"settings": {"allow_self_registration": True}}
        assert squat.stranger.patch("/organization", json=opening).status_code == 403
        assert squat.join().status_code == 404
        owner = take_over(squat)
        problem(squat.stranger.get("/auth/me"), 401, "unauthorized")
        assert [row["email"] for row in owner.get("/users").json()["data"]] == [squat.victim]
        assert owner.get("/organization").json() == squat.organization
        assert owner.get("/auth/me").json()["email_verified_at"] is not None

    @TAKEOVERS
    @pytest.mark.parametrize("role", ["admin", "agent"])
    @pytest.mark.parametrize("verified", [True, False], ids=["verified", "unverified"])
    def test_whoever_was_given_a_role_before_has_nothing_left(self, squat, take_over, role, verified):
        session, program = squat.accomplice_as_before_the_rule(role, verified=verified)
        for client in (session, program):
            assert client.get("/users").status_code == 200
        refresh = squat.nobody.post("/auth/login", json={"email": squat.accomplice, "password": PASSWORD}).json()
        owner = take_over(squat)

        for client in (squat.stranger, session, program):
            problem(client.get("/auth/me"), 401, "unauthorized")
            problem(client.get("/users"), 401, "unauthorized")
            problem(client.patch(f"/users/{squat.me}", json={"role": "user"}), 401, "unauthorized")
        answer = squat.nobody.post("/auth/refresh", json={"refresh_token": refresh["refresh_token"]})
        problem(answer, 401, "unauthorized")
        answer = squat.nobody.post("/auth/login", json={"email": squat.accomplice, "password": PASSWORD})
        problem(answer, 401, "invalid_credentials")
        problem(squat.join(), 404, "not_found", "/organization_slug")

        [shown] = owner.get("/users", params={"email": squat.accomplice}).json()["data"]
        assert (shown["role"], shown["is_active"]) == (role, False)
        assert owner.get("/organization").json()["settings"]["allow_self_registration"] is False
        told = owner.get("/events", params={"type": "user.updated", "limit": 200}).json()["data"]
        event = next(one for one in told if one["data"]["id"] == shown["id"] and "is_active" in one["changes"])
        assert (event["actor"]["type"], event["changes"]["is_active"]) == ("system", {"old": True, "new": False})

    def test_more_accounts_than_have_events_lose_their_access_all_the_same(self, squat):
        squat.open_as_before_the_rule()
        with squat.service.database.write() as tx:
            for number in range(MOST_TOLD + 2):
                email = f"{number}-{squat.accomplice}"
                made = users.create(tx, SYSTEM, squat.organization["id"], email=email, name="M", role="agent")
            _, key = api_keys.create(tx, made, name="K", rate_limit="1000/second")
            passwords.store(tx, made.id, _HASHED)
        last = squat.sign_in(made.email, PASSWORD)
        assert squat.client(key).get("/users").status_code == 200
        owner = squat.reset()
        for client in (last, squat.client(key)):
            problem(client.get("/auth/me"), 401, "unauthorized")
        shown = owner.get(f"/users/{made.id}").json()
        assert (shown["is_active"], shown["version"]) == (False, 2)
        with squat.service.database.read() as tx:
            left = users.staff(tx, squat.organization["id"], but=0, most=10)
            told = tx.one(_TOLD, of=squat.organization["id"]).count
        assert [user.email for user in left] == [squat.victim]
        assert told == MOST_TOLD

    def test_what_was_ended_stays_so_when_the_owner_activates_the_account_again(self, squat):
        session, program = squat.accomplice_as_before_the_rule("admin", verified=True)
        owner = squat.reset()
        [shown] = owner.get("/users", params={"email": squat.accomplice}).json()["data"]
        assert owner.patch(f"/users/{shown['id']}", json={"is_active": True, "role": "user"}).status_code == 200
        for client in (session, program):
            problem(client.get("/auth/me"), 401, "unauthorized")
        assert owner.get("/api-keys").json()["data"] == []
        assert squat.sign_in(squat.accomplice, PASSWORD).get("/auth/me").json()["role"] == "user"

    def test_who_only_raises_tickets_keeps_the_account(self, squat):
        session, _ = squat.accomplice_as_before_the_rule("user", verified=True)
        owner = squat.reset()
        assert session.get("/auth/me").status_code == 200
        problem(session.get("/users"), 403, "forbidden")
        assert owner.get("/organization").json()["settings"]["allow_self_registration"] is False

    def test_the_second_verification_of_an_address_takes_nothing_from_anybody(self, squat):
        owner = squat.reset()
        new = {"email": squat.accomplice, "name": "Colleague", "role": "admin"}
        assert owner.post("/users", json=new).status_code == 201
        assert owner.patch("/organization", json={"settings": {"allow_self_registration": True}}).status_code == 200
        again = squat.reset()
        [colleague] = again.get("/users", params={"email": squat.accomplice}).json()["data"]
        assert colleague["is_active"] is True
        assert again.get("/organization").json()["settings"]["allow_self_registration"] is True


class TestSomebodyWhoWasPromoted:
    def test_their_first_verification_takes_nothing_from_those_who_were_there(self, tenant, admin, anonymous, mailbox):
        """An organization that an operator made: its admins are no strangers, whoever verifies later."""
        colleague = tenant.client("agent")
        joined = tenant.with_password("user", vouched=False)
        assert admin.patch(f"/users/{joined.id}", json={"role": "admin"}).status_code == 200
        assert admin.patch("/organization", json={"settings": {"allow_self_registration": True}}).status_code == 200
        anonymous.post("/auth/password-reset", json={"email": joined.email})
        body = {"token": mailbox.token(joined.email), "password": OTHER}
        assert anonymous.post("/auth/password-reset/confirm", json=body).status_code == 204
        assert admin.get("/users").status_code == colleague.get("/users").status_code == 200
        assert admin.get("/organization").json()["settings"]["allow_self_registration"] is True
        assert joined.id in ids(admin.get("/users"))
