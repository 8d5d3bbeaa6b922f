"""Nobody gives more than they have: not with an account, not with a key, not with a setting."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest
import time_machine

from api.checks import made, problem
from factories import PASSWORD, Client, Tenant
from post import Mailbox
from tickets.clock import parse_rfc3339
from tickets.contract.document import Document
from tickets.contract.policy import scopes_of_roles
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))
RIGHTS = scopes_of_roles(DOCUMENT)
ROLES = ("admin", "agent", "user")

Ask = Callable[[Client], httpx.Response]


class Gift(NamedTuple):
    """An operation by which somebody gets rights.

    Attributes:
        scope: that the operation needs by itself.
        gives: the role whose rights it gives, or the scopes; None when it gives nothing.
        ask: makes what is asked for, and the question, anew each time.
        pointer: the field that gives them.
        callers: the roles that may call it at all.
    """

    scope: str
    gives: str | frozenset[str] | None
    ask: Callable[[Tenant], Ask]
    pointer: str
    callers: frozenset[str] = frozenset({"admin"})

    @property
    def rights(self) -> frozenset[str]:
        """The scopes of what it gives."""
        return RIGHTS[self.gives] if isinstance(self.gives, str) else self.gives or frozenset()


def _created(role: str) -> Callable[[Tenant], Ask]:
    def ask(tenant: Tenant) -> Ask:
        email = f"given-{next(_numbers)}@tenant-{tenant.number}.example"
        return lambda client: client.post("/users", json={"email": email, "name": "Given", "role": role})

    return ask


def _changed(before: dict[str, Any], change: dict[str, Any]) -> Callable[[Tenant], Ask]:
    def ask(tenant: Tenant) -> Ask:
        user = tenant.user(before.get("role", "user"), is_active=before.get("is_active", True))
        body = {
            name: value.format(next(_numbers)) if isinstance(value, str) else value for name, value in change.items()
        }
        return lambda client: client.patch(f"/users/{user.id}", json=body)

    return ask


def _deleted(tenant: Tenant) -> Ask:
    user = tenant.user("admin")
    return lambda client: client.delete(f"/users/{user.id}")


def _setting(before: dict[str, bool], after: dict[str, bool], *, own: bool = True) -> Callable[[Tenant], Ask]:
    def ask(tenant: Tenant) -> Ask:
        assert tenant.client("admin").patch("/organization", json={"settings": before}).status_code == 200
        path = "/organization" if own else f"/organizations/{tenant.id}"
        return lambda client: client.patch(path, json={"settings": after})

    return ask


def _contact(*, has_tickets: bool, change: dict[str, str]) -> Callable[[Tenant], Ask]:
    def ask(tenant: Tenant) -> Ask:
        contact = tenant.contact()
        if has_tickets:
            tenant.ticket(contact_id=contact["id"])
        body = {name: value.format(next(_numbers)) for name, value in change.items()}
        return lambda client: client.patch(f"/contacts/{contact['id']}", json=body)

    return ask


def _moved(way: str, *, elsewhere: bool = True) -> Callable[[Tenant], Ask]:
    """Give a ticket to another contact, or to the one that has it."""

    def ask(tenant: Tenant) -> Ask:
        ticket = tenant.ticket(contact_id=tenant.contact()["id"])
        contact = tenant.contact()["id"] if elsewhere else ticket["contact_id"]
        path, change = f"/tickets/{ticket['id']}", {"contact_id": contact, "priority": "low"}
        if way == "PUT":
            whole = {name: ticket[name] for name in ("subject", "description", "status", "priority", "type")}
            return lambda client: client.put(path, json={**whole, **change})
        if way == "bulk":
            one = {"op": "update", "id": ticket["id"], "version": ticket["version"], "patch": change}
            return lambda client: client.post("/tickets/bulk", json={"operations": [one], "atomic": True})
        return lambda client: client.patch(path, json=change)

    return ask


def _merged(*, elsewhere: bool) -> Callable[[Tenant], Ask]:
    def ask(tenant: Tenant) -> Ask:
        ticket = tenant.ticket(contact_id=tenant.contact()["id"])
        into = tenant.ticket(contact_id=tenant.contact()["id"] if elsewhere else ticket["contact_id"])
        return lambda client: client.post(f"/tickets/{ticket['id']}/merge", json={"into": into["id"]})

    return ask


def _member(tenant: Tenant) -> Ask:
    team, user = tenant.team(), tenant.user("user")
    return lambda client: client.put(f"/teams/{team['id']}/members/{user.id}")


_numbers = iter(range(1, 10**6))
STAFF = frozenset({"admin", "agent"})
OPERATOR = frozenset({"platform"})
OPEN, CLOSED = {"allow_self_registration": True}, {"allow_self_registration": False}
LAX, STRICT = {"require_verified_email": False}, {"require_verified_email": True}
MOVED = {"email": "moved-{}@example.com"}
ADMIN, GONE = {"role": "admin"}, {"is_active": False, "role": "admin"}

COMMENTS = frozenset({"comments:read"})
READS = COMMENTS | {"tickets:read"}

GIFTS = {
    **{f"an account of the role {role}": Gift("users:write", role, _created(role), "/role") for role in ROLES},
    "a role: user to agent": Gift("users:write", "agent", _changed({}, {"role": "agent"}), "/role"),
    "a role: user to admin": Gift("users:write", "admin", _changed({}, ADMIN), "/role"),
    "a role: agent to admin": Gift("users:write", "admin", _changed({"role": "agent"}, ADMIN), "/role"),
    "no role: admin to user": Gift("users:write", None, _changed(ADMIN, {"role": "user"}), ""),
    "no role: admin to admin": Gift("users:write", None, _changed(ADMIN, ADMIN), ""),
    **{
        f"the address of a {role}": Gift("users:write", role, _changed({"role": role}, MOVED), "/email")
        for role in ROLES
    },
    "the address of somebody demoted": Gift(
        "users:write", "user", _changed(ADMIN, {**MOVED, "role": "user"}), "/email"
    ),
    "activation": Gift("users:write", "admin", _changed(GONE, {"is_active": True}), "/is_active"),
    "no activation": Gift("users:write", None, _changed(ADMIN, {"is_active": True}), ""),
    "deactivation": Gift("users:write", None, _changed(ADMIN, {"is_active": False}), ""),
    "a name": Gift("users:write", None, _changed(ADMIN, {"name": "Named {}"}), ""),
    "a deletion": Gift("users:write", None, _deleted, ""),
    "an open door": Gift("organizations:write", "user", _setting(CLOSED, OPEN), "/settings/allow_self_registration"),
    "a closed door": Gift("organizations:write", None, _setting(OPEN, CLOSED), ""),
    "a door that was open": Gift("organizations:write", None, _setting(OPEN, OPEN), ""),
    "unverified sign-in": Gift(
        "organizations:write", "admin", _setting(STRICT, LAX), "/settings/require_verified_email"
    ),
    "verified sign-in": Gift("organizations:write", None, _setting(LAX, STRICT), ""),
    "an open door of a tenant": Gift(
        *("organizations:write", "user", _setting(CLOSED, OPEN, own=False), "/settings/allow_self_registration"),
        OPERATOR,
    ),
    "the tickets of a contact": Gift(
        "contacts:write", "user", _contact(has_tickets=True, change=MOVED), "/email", STAFF
    ),
    "a contact without tickets": Gift("contacts:write", None, _contact(has_tickets=False, change=MOVED), "", STAFF),
    "the name of a contact": Gift(
        "contacts:write", None, _contact(has_tickets=True, change={"name": "Named {}"}), "", STAFF
    ),
    **{
        f"a ticket by {way}": Gift("tickets:write", READS, _moved(way), pointer, STAFF)
        for way, pointer in (
            ("PATCH", "/contact_id"),
            ("PUT", "/contact_id"),
            ("bulk", "/operations/0/patch/contact_id"),
        )
    },
    **{
        f"no ticket by {way}": Gift("tickets:write", None, _moved(way, elsewhere=False), "", STAFF)
        for way in ("PATCH", "PUT", "bulk")
    },
    "comments by a merge": Gift("tickets:write", COMMENTS, _merged(elsewhere=True), "/into", STAFF),
    "no comments by a merge": Gift("tickets:write", None, _merged(elsewhere=False), "", STAFF),
    "a place in a team": Gift("teams:write", None, _member, ""),
}


class Keys:
    """Keys of each role with a set of scopes, made once."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._users = {role: tenant.user(role) for role in (*ROLES, "platform")}
        self._made: dict[tuple[str, frozenset[str]], Client] = {}

    def of(self, role: str, scopes: frozenset[str]) -> Client:
        if (role, scopes) not in self._made:
            key = self.tenant.key(self._users[role], scopes=sorted(scopes))
            self._made[role, scopes] = Client(self.tenant.origin, key)
        return self._made[role, scopes]

    def close(self) -> None:
        for client in self._made.values():
            client.close()


@pytest.fixture
def keys(tenant: Tenant) -> Iterator[Keys]:
    made = Keys(tenant)
    yield made
    made.close()


class TestEveryGift:
    @pytest.mark.parametrize("gift", GIFTS.values(), ids=GIFTS)
    @pytest.mark.parametrize("role", [*ROLES, "platform"])
    def test_a_key_gives_exactly_what_it_has(self, tenant, keys, gift, role):
        """Each role, with keys that have all, all by name, all but one, and what the operation needs by itself."""
        rights = gift.rights
        full = rights | {gift.scope}
        tried = [
            frozenset({"*"}),
            full,
            frozenset({gift.scope}),
            *(full - {one} for one in sorted(rights - {gift.scope})),
        ]
        for scopes in tried:
            answer = gift.ask(tenant)(keys.of(role, scopes))
            lacking = sorted(rights - scopes) if "*" not in scopes else []
            if role not in gift.callers:
                problem(answer, 403, "forbidden")
            elif lacking:
                detail = problem(answer, 403, "insufficient_scope", gift.pointer)["detail"]
                assert f"lacks {', '.join(lacking)}." in detail
            else:
                assert answer.status_code < 300, answer.text

    def test_the_rights_of_a_role_are_what_the_contract_lets_it_call(self):
        assert RIGHTS["user"] < RIGHTS["agent"] < RIGHTS["admin"]
        assert "search:read" in RIGHTS["user"]
        assert RIGHTS["admin"] | RIGHTS["platform"] == set(DOCUMENT.data["components"]["schemas"]["Scope"]["enum"]) - {
            "*"
        }

    def test_a_refusal_changes_nothing(self, tenant, keys, admin):
        user = tenant.user("user")
        narrow = keys.of("admin", frozenset({"users:write", "users:read"}))
        before = admin.get(f"/users/{user.id}").json()
        problem(
            narrow.patch(f"/users/{user.id}", json={"name": "N", "role": "admin"}), 403, "insufficient_scope", "/role"
        )
        body = {"email": "moved@example.com", "role": "admin"}
        problem(narrow.patch(f"/users/{user.id}", json=body), 403, "insufficient_scope", "/role", "/email")
        assert admin.get(f"/users/{user.id}").json() == before


class TestTheWayToASessionOfAnAdmin:
    """What a stolen key of `users:write` was good for: an own admin, a link by mail, a session that may do all."""

    def test_no_account_is_made_and_no_mail_goes_out(self, tenant, keys, anonymous, mailbox: Mailbox):
        narrow = keys.of("admin", frozenset({"users:write"}))
        mine = f"attacker-{tenant.number}@example.com"
        body = {"email": mine, "name": "Mallory", "role": "admin"}
        problem(narrow.post("/users", json=body), 403, "insufficient_scope", "/role")
        me = narrow.get("/auth/me").json()["id"]
        problem(narrow.patch(f"/users/{me}", json={"email": mine}), 403, "insufficient_scope", "/email")
        other = tenant.user("agent")
        for email in (mine, other.email):
            assert anonymous.post("/auth/password-reset", json={"email": email}).status_code == 202
        mailbox.wait(other.email)
        assert mailbox.of(mine) == []
        assert anonymous.post("/auth/login", json={"email": mine, "password": PASSWORD}).status_code == 401

    def test_the_operators_account_is_not_theirs_to_touch(self, tenant, keys):
        operator = tenant.user("platform")
        everything = keys.of("admin", frozenset({"*"}))
        for change in ({"email": "attacker@example.com"}, {"role": "admin"}, {"is_active": False}, {"name": "N"}):
            problem(everything.patch(f"/users/{operator.id}", json=change), 403, "forbidden")
        body = {"email": "attacker@example.com", "name": "N", "role": "platform"}
        problem(everything.post("/users", json=body), 400, "invalid_request", "/role")

    def test_the_tickets_of_a_contact_are_not_had_by_its_address(self, tenant, keys, anonymous, mailbox, admin):
        """Whoever verifies the address of a contact gets its tickets; so whoever may not see them may not move it."""
        ticket = tenant.ticket(contact_id=tenant.contact()["id"])
        assert admin.patch("/organization", json={"settings": OPEN}).status_code == 200
        mine = f"reader-{tenant.number}@example.com"
        narrow = keys.of("agent", frozenset({"contacts:write"}))
        moved = narrow.patch(f"/contacts/{ticket['contact_id']}", json={"email": mine})
        problem(moved, 403, "insufficient_scope", "/email")
        body = {"email": mine, "password": PASSWORD, "name": "R", "organization_slug": tenant.organization.slug}
        anonymous.post("/auth/register", json=body)
        anonymous.post("/auth/email-otp/verify", json={"email": mine, "code": mailbox.code(mine)})
        tokens = anonymous.post("/auth/login", json={"email": mine, "password": PASSWORD}).json()
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        assert anonymous.get("/tickets", headers=headers).json()["data"] == []

    def test_the_comments_of_a_ticket_are_not_had_by_giving_it_to_another_contact(self, tenant, keys, admin):
        """The contact of an account that somebody can read with: by no way that a narrow key has."""
        reader = tenant.client("user")
        own = made(reader.post("/tickets", json={"subject": "Mine", "description": "D"}))
        ticket = tenant.ticket(contact_id=tenant.contact()["id"])
        tenant.comment(ticket, body="The code of the door is 4711.")
        version = admin.get(f"/tickets/{ticket['id']}").json()["version"]
        narrow = keys.of("agent", frozenset({"tickets:write", "contacts:write"}))
        problem(narrow.get(f"/tickets/{ticket['id']}/comments"), 403, "insufficient_scope")
        path, mine = f"/tickets/{ticket['id']}", {"contact_id": own["contact_id"]}
        problem(narrow.patch(path, json=mine), 403, "insufficient_scope", "/contact_id")
        one = {"op": "update", "id": ticket["id"], "version": version, "patch": mine}
        [result] = narrow.post("/tickets/bulk", json={"operations": [one]}).json()["results"]
        assert (result["status"], result["problem"]["code"]) == (403, "insufficient_scope")
        problem(narrow.post(f"{path}/merge", json={"into": own["id"]}), 403, "insufficient_scope", "/into")
        assert reader.get(path).status_code == 404
        assert reader.get(f"/tickets/{own['id']}/comments").json()["data"] == []
        assert admin.get(path).json()["contact_id"] == ticket["contact_id"]
        assert tenant.signed_in("agent").patch(path, json=mine).status_code == 200
        assert len(reader.get(f"{path}/comments").json()["data"]) == 1

    def test_a_new_ticket_of_any_contact_needs_no_more_than_to_write_tickets(self, tenant, keys):
        narrow = keys.of("agent", frozenset({"tickets:write"}))
        body = {"subject": "S", "description": "D", "contact_id": tenant.contact()["id"]}
        assert narrow.post("/tickets", json=body).status_code == 201


class TestKeys:
    @pytest.mark.parametrize("of", ["own", "another"])
    def test_a_narrow_key_makes_and_rotates_none_with_more(self, tenant, keys, of):
        narrow = keys.of("admin", frozenset({"api_keys:write", "tickets:read"}))
        owner = tenant.user("agent") if of == "another" else tenant.users.get("admin") or tenant.user("admin")
        for scopes in (["*"], ["users:write"], ["tickets:read", "tickets:write"]):
            body = {"name": "K", "user_id": owner.id, "scopes": scopes}
            problem(narrow.post("/api-keys", json=body), 403, "insufficient_scope", "/scopes")
            held = tenant.create("/api-keys", **body)
            problem(narrow.post(f"/api-keys/{held['id']}/rotate", json={}), 403, "insufficient_scope")
        given = made(narrow.post("/api-keys", json={"name": "K", "user_id": owner.id, "scopes": ["tickets:read"]}))
        with Client(tenant.origin, given["key"]) as client:
            problem(client.post("/tickets", json={"subject": "S", "description": ""}), 403, "insufficient_scope")

    def test_a_key_that_ends_makes_and_rotates_none_that_outlives_it(self, tenant):
        end = "2031-01-02T00:00:00.000Z"
        lasting = tenant.create("/api-keys", name="Lasting")
        with (
            time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False),
            tenant.client("admin", expires_at=parse_rfc3339(end)) as client,
        ):
            for later in (None, "2031-01-02T00:00:00.001Z"):
                problem(
                    client.post("/api-keys", json={"name": "K", "expires_at": later}), 403, "forbidden", "/expires_at"
                )
            problem(client.post("/api-keys", json={"name": "K"}), 403, "forbidden", "/expires_at")
            problem(client.post(f"/api-keys/{lasting['id']}/rotate", json={}), 403, "forbidden")
            last = made(client.post("/api-keys", json={"name": "K", "expires_at": end}))
            rotated = made(client.post(f"/api-keys/{last['id']}/rotate", json={}))
            assert rotated["expires_at"] == end

    def test_a_key_that_was_replaced_takes_nothing_with_it_beyond_its_overlap(self, tenant, admin):
        old = tenant.create("/api-keys", name="Old")
        new = made(admin.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60}))
        with Client(tenant.origin, old["key"]) as client:
            problem(client.post(f"/api-keys/{new['id']}/rotate", json={}), 403, "forbidden")
            problem(client.post("/api-keys", json={"name": "K"}), 403, "forbidden", "/expires_at")


class TestWhatLivesOn:
    """What was given is worth no more than what its account is by now."""

    def test_the_keys_and_sessions_of_an_admin_who_was_demoted_are_a_users(self, tenant, admin):
        session = tenant.signed_in("admin")
        me = session.get("/auth/me").json()
        with Client(tenant.origin, tenant.create("/api-keys", name="K", user_id=me["id"])["key"]) as program:
            for client in (session, program):
                assert client.get("/api-keys").status_code == 200
            assert admin.patch(f"/users/{me['id']}", json={"role": "user"}).status_code == 200
            for client in (session, program):
                problem(client.get("/api-keys"), 403, "forbidden")
                problem(
                    client.post("/users", json={"email": "x@example.com", "name": "X", "role": "user"}),
                    403,
                    "forbidden",
                )
                assert client.get("/auth/me").json()["role"] == "user"

    def test_the_key_and_session_of_a_deleted_user_are_nobodys(self, tenant, admin, anonymous):
        session = tenant.signed_in("agent")
        me = session.get("/auth/me").json()
        login = {"email": me["email"], "password": PASSWORD}
        refresh = anonymous.post("/auth/login", json=login).json()["refresh_token"]
        with Client(tenant.origin, tenant.create("/api-keys", name="K", user_id=me["id"])["key"]) as program:
            assert admin.delete(f"/users/{me['id']}").status_code == 204
            for client in (session, program):
                problem(client.get("/auth/me"), 401, "unauthorized")
        problem(anonymous.post("/auth/refresh", json={"refresh_token": refresh}), 401, "unauthorized")
        problem(anonymous.post("/auth/login", json=login), 401, "invalid_credentials")

    def test_a_refresh_token_is_dead_with_the_deactivation_and_stays_so(self, tenant, admin, anonymous):
        user = tenant.with_password("agent")
        tokens = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD}).json()
        for is_active in (False, True):
            assert admin.patch(f"/users/{user.id}", json={"is_active": is_active}).status_code == 200
            answer = anonymous.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
            problem(answer, 401, "unauthorized")

    def test_a_link_that_was_sent_before_the_deactivation_is_dead_with_it(self, tenant, admin, anonymous, mailbox):
        user = tenant.with_password("agent")
        anonymous.post("/auth/password-reset", json={"email": user.email})
        body = {"token": mailbox.token(user.email), "password": "another horse battery"}
        for is_active in (False, True):
            assert admin.patch(f"/users/{user.id}", json={"is_active": is_active}).status_code == 200
            problem(anonymous.post("/auth/password-reset/confirm", json=body), 401, "invalid_code")

    def test_sessions_end_with_the_address_they_were_begun_under(self, tenant, admin, anonymous):
        """Whoever is given the account with its new address ends by a reset what else was known of it."""
        session = tenant.signed_in("agent")
        me = session.get("/auth/me").json()
        new = f"successor-{tenant.number}@example.com"
        assert admin.patch(f"/users/{me['id']}", json={"email": new}).status_code == 200
        problem(session.get("/auth/me"), 401, "unauthorized")
        for email, status in ((me["email"], 401), (new, 200)):
            assert anonymous.post("/auth/login", json={"email": email, "password": PASSWORD}).status_code == status
