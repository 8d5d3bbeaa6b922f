"""What is equal for all operations, asked of each of them as the contract describes it."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from api.checks import NOBODY, problem
from factories import Client, Tenant
from service import ThreadService
from tickets.contract.document import METHODS, Document
from tickets.contract.policy import scopes_of_roles
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))
RIGHTS = scopes_of_roles(DOCUMENT)
ROLES = ("admin", "agent", "user", "platform")
SCOPES = [scope for scope in DOCUMENT.data["components"]["schemas"]["Scope"]["enum"] if scope != "*"]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Operation:
    """An operation of the contract and how to ask for it."""

    path: str
    method: str
    spec: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return str(self.spec["operationId"])

    @property
    def public(self) -> bool:
        return self.spec.get("security") == []

    @property
    def roles(self) -> set[str]:
        return set(self.spec.get("x-roles", ()))

    @property
    def needs_verified_email(self) -> bool:
        return bool(self.spec.get("x-verified-email", False))

    @property
    def scope(self) -> str:
        return str(self.spec["x-scope"])

    def address(self, **ids: int) -> str:
        """Fill the path in, with ids of nothing where none is given, and what has to be asked."""
        path = re.sub(r"\{(\w+)\}", lambda match: str(ids.get(match[1], NOBODY)), self.path)
        return f"{path}?q=printer" if self.spec.get("operationId") == "searchTickets" else path

    def parameters(self, where: str) -> list[str]:
        """Name the parameters in one place."""
        item = DOCUMENT.data["paths"][self.path]
        found = [DOCUMENT.resolve(p) for p in (*item.get("parameters", ()), *self.spec.get("parameters", ()))]
        return [p["name"] for p in found if p["in"] == where]

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema of the body."""
        if "requestBody" not in self.spec:
            return None
        return DOCUMENT.resolve(self.spec["requestBody"]["content"]["application/json"]["schema"])

    def body(self) -> dict[str, Any] | None:
        """Make a body that the contract takes; names are new each time."""
        if self.schema is None:
            return None
        number = next(_numbers)
        known = {
            "name": f"Name {number}",
            "slug": f"slug-{number}",
            "email": f"body-{number}@example.com",
            "role": "agent",
            "subject": "Printer",
            "description": "It is on fire.",
            "ticket_id": NOBODY,
            "body": "On it.",
            "password": "correct horse battery",
            "organization_name": f"Organization {number}",
            "refresh_token": "unknown",
            "token": "unknown",
            "code": "123456",
            "overlap_seconds": 60,
            "status": "open",
            "priority": "low",
            "type": "task",
            "contact_id": NOBODY,
            "into": NOBODY,
            "targets": {
                priority: {"first_response_minutes": 5, "resolution_minutes": 60}
                for priority in ("urgent", "high", "medium", "low")
            },
            "operations": [{"op": "update", "id": NOBODY, "version": 1, "patch": {"priority": "low"}}],
        }
        required = self.schema.get("required") or [next(name for name in self.schema["properties"] if name in known)]
        made: dict[str, Any] = {name: known[name] for name in required}
        if str(self) == "register":
            made["organization_name"] = known["organization_name"]
        if str(self) == "createApiKey":  # its default scope, `*`, is more than a key that names its scopes can give
            made["scopes"] = ["tickets:read", "tickets:write"]
        return made

    @property
    def given(self) -> set[str]:
        """The scopes that the body gives somebody, with a role or by name: a key gives only what it has."""
        body = self.body() or {}
        return {*RIGHTS.get(body.get("role", ""), ()), *body.get("scopes", ())}


OPERATIONS = [Operation(path, method, spec) for path, method, spec in DOCUMENT.operations()]
GUARDED = [operation for operation in OPERATIONS if not operation.public]
WITH_BODY = [operation for operation in OPERATIONS if operation.schema is not None]
BODY_REFERENCES = [
    (operation, name)
    for operation in WITH_BODY
    for name in operation.schema["properties"]
    if name.endswith("_id")
    if name != "external_id"
]
QUERY_REFERENCES = [
    (operation, name)
    for operation in OPERATIONS
    for name in operation.parameters("query")
    if name == "assigned_to" or (name.endswith("_id") and name != "external_id")
]
PATH_REFERENCES = [
    (operation, name)
    for operation in GUARDED
    for name in operation.parameters("path")
    if name != "organization_id"  # only the operator asks for those, and may see all
]

WORDS = [  # what searches in the words of tickets and comments, and so tells what they are
    (operation, name) for operation in OPERATIONS for name in operation.parameters("query") if name in {"q", "search"}
]

LISTS = [  # the operator alone lists organizations, and sees all; an entry of a history is of the ticket in the path
    operation
    for operation in GUARDED
    if operation.method == "get" and "limit" in operation.parameters("query")
    if operation.path not in ("/organizations", "/tickets/{ticket_id}/history")
]


def surprising(address: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}surprise=1"


def each(operations: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=str)


def each_reference(references: list[tuple[Operation, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("operation", "name"), references, ids=[f"{operation}-{name}" for operation, name in references]
    )


class Keys:
    """Keys of every role with every set of scopes that matters, in one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._users = {role: tenant.user(role) for role in ROLES}
        self._keys: dict[tuple[str, tuple[str, ...]], str] = {}

    def unverified(self) -> str:
        """Make a key of an admin who signed up with an address that nobody has verified."""
        return self.tenant.key(self.tenant.user("admin", vouched=False))

    def of(self, role: str, *scopes: str) -> str:
        if (role, scopes) not in self._keys:
            self._keys[role, scopes] = self.tenant.key(self._users[role], scopes=list(scopes))
        return self._keys[role, scopes]


@pytest.fixture(scope="module")
def keys(service: ThreadService) -> Iterator[Keys]:
    tenant = Tenant(service.database, service.origin)
    tenant.client("admin")
    yield Keys(tenant)
    tenant.close()


@pytest.fixture(scope="module")
def client(service: ThreadService) -> Iterator[Client]:
    with Client(service.origin) as made:
        yield made


def signed(keys: Keys, operation: Operation) -> dict[str, str]:
    """Sign in as somebody who may call an operation; nobody where nobody has to."""
    return {} if operation.public else {"x-api-key": keys.of(min(operation.roles), "*")}


def ask(client: Client, operation: Operation, key: str | None = None, **ids: int) -> httpx.Response:
    headers = {"x-api-key": key} if key else {}
    return client.request(operation.method, operation.address(**ids), json=operation.body(), headers=headers)


class TestWhoMayCall:
    @each(OPERATIONS)
    def test_somebody_without_a_key_may_call_only_what_is_public(self, client, operation):
        response = ask(client, operation)
        if operation.public:
            # What they bring may be wrong, but they are heard.
            assert response.status_code < 300 or "Send an API key" not in response.json()["detail"]
        else:
            problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")

    @each(GUARDED)
    @pytest.mark.parametrize("role", ROLES)
    def test_a_key_may_call_exactly_what_its_role_and_scopes_say(self, client, keys, operation, role):
        others = [scope for scope in SCOPES if scope != operation.scope]
        given = operation.given
        for scopes in (("*",), (operation.scope,), tuple(others), tuple(sorted({operation.scope, *given}))):
            response = ask(client, operation, keys.of(role, *scopes))
            if role not in operation.roles or str(operation) == "logout":  # a key has no session to end
                problem(response, 403, "forbidden")
            elif "*" not in scopes and operation.scope not in (*scopes, "none"):
                assert operation.scope in problem(response, 403, "insufficient_scope")["detail"]
            elif "*" not in scopes and given - set(scopes):
                pointer = "/role" if "role" in operation.body() else "/scopes"
                detail = problem(response, 403, "insufficient_scope", pointer)["detail"]
                assert f"lacks {', '.join(sorted(given - set(scopes)))}" in detail
            else:
                assert response.status_code < 300 or response.status_code == 404, response.text

    @each([operation for operation in GUARDED if "admin" in operation.roles])
    def test_whose_address_is_not_verified_is_kept_from_what_the_contract_says(self, client, keys, operation):
        response = ask(client, operation, keys.unverified())
        if operation.needs_verified_email:
            problem(response, 403, "email_not_verified")
        elif str(operation) != "createTicket":  # which needs a contact of the caller's own, unless it names another
            assert response.status_code != 403 or response.json()["code"] != "email_not_verified"

    def test_a_verified_address_is_needed_for_all_that_only_admins_change_but_what_was_written(self):
        changes = {str(one) for one in GUARDED if one.method != "get" and one.roles == {"admin"}}
        needed = {str(one) for one in GUARDED if one.needs_verified_email}
        assert needed == changes - {"deleteTicket", "deleteComment"}

    @each_reference(WORDS)
    def test_words_are_searched_only_with_the_scope_for_it(self, client, keys, operation, name):
        own = [] if operation.scope == "search:read" else [operation.scope]
        asked = f"{operation.path}?{name}=lem*"
        answer = client.get(asked, headers={"x-api-key": keys.of("admin", *own, "comments:read")})
        pointers = (f"/{name}",) if own else ()
        assert "search:read" in problem(answer, 403, "insufficient_scope", *pointers, where="query")["detail"]
        for scopes in (["*"], [*own, "search:read"]):
            assert client.get(asked, headers={"x-api-key": keys.of("admin", *scopes)}).status_code == 200

    @each([operation for operation in WITH_BODY if not operation.public])
    def test_who_may_not_call_does_not_learn_what_a_valid_request_is(self, client, keys, operation):
        key = keys.of("admin" if "admin" not in operation.roles else "user", "organizations:read")
        response = client.request(
            operation.method, surprising(operation.address()), json={"surprise": 1}, headers={"x-api-key": key}
        )
        assert response.status_code == 403


class TestWhatIsUnknown:
    @each(OPERATIONS)
    def test_an_unknown_query_parameter_is_a_400_that_names_it(self, client, keys, operation):
        response = client.request(
            operation.method,
            surprising(operation.address()),
            json=operation.body(),
            headers=signed(keys, operation),
        )
        problem(response, 400, "invalid_request", "/surprise", where="query")

    @each(WITH_BODY)
    def test_an_unknown_body_field_is_a_400_that_names_it(self, client, keys, operation):
        response = client.request(
            operation.method,
            operation.address(),
            json={**operation.body(), "surprise": 1},
            headers=signed(keys, operation),
        )
        assert "surprise" in problem(response, 400, "invalid_request", "/surprise")["detail"]

    @each([operation for operation in WITH_BODY if operation.method == "post" and str(operation) != "mergeTicket"])
    @pytest.mark.parametrize("name", ["id", "organization_id", "created_at", "updated_at", "version"])
    def test_what_the_service_sets_cannot_be_set_on_creation(self, client, keys, operation, name):
        response = client.request(
            operation.method,
            operation.address(),
            json={**operation.body(), name: "2026-01-01T00:00:00Z" if name.endswith("_at") else 1},
            headers=signed(keys, operation),
        )
        problem(response, 400, "invalid_request", f"/{name}")

    @each([operation for operation in WITH_BODY if operation.method == "patch"])
    @pytest.mark.parametrize("name", ["id", "organization_id", "created_at", "updated_at"])
    def test_what_the_service_sets_cannot_be_changed(self, client, keys, operation, name):
        response = client.request(
            operation.method,
            operation.address(),
            json={**operation.body(), name: "2026-01-01T00:00:00Z" if name.endswith("_at") else 1},
            headers=signed(keys, operation),
        )
        problem(response, 400, "invalid_request", f"/{name}")

    @each([operation for operation in WITH_BODY if operation.spec["requestBody"]["required"]])
    def test_a_missing_body_is_a_400(self, client, keys, operation):
        response = client.request(operation.method, operation.address(), headers=signed(keys, operation))
        problem(response, 400, "invalid_request")

    @each(WITH_BODY)
    def test_a_body_that_is_not_json_is_a_415(self, client, keys, operation):
        response = client.request(
            operation.method,
            operation.address(),
            data={"name": "x"},
            headers=signed(keys, operation),
        )
        problem(response, 415, "unsupported_media_type")

    @pytest.mark.parametrize("path", DOCUMENT.data["paths"])
    def test_a_method_a_path_does_not_take_is_a_405_with_the_right_allow(self, client, path):
        item = DOCUMENT.data["paths"][path]
        allowed = {method.upper() for method in METHODS if method in item}
        allowed |= {"HEAD"} if "get" in item else set()
        for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
            response = client.request(method, Operation(path, method, {}).address())
            problem(response, 405, "method_not_allowed")
            assert set(response.headers["allow"].split(", ")) == allowed


class TestWhoseItIs:
    """Another tenant's id answers as one that never existed, byte for byte."""

    @staticmethod
    def _foreign(other: Tenant, name: str) -> tuple[int, str]:
        """Make what a parameter names in another tenant; returns its id and its address."""
        noun = {"assignee_id": "user_id", "assigned_to": "user_id", "entity_id": "ticket_id"}.get(name, name)
        if noun == "user_id":
            made = other.user("agent").id, "/users"
        elif noun == "comment_id":
            made = other.comment(other.ticket())["id"], "/comments"
        elif noun == "sla_policy_id":
            made = other.sla_policy()["id"], "/sla-policies"
        elif noun == "api_key_id":
            made = other.create("/api-keys", name="theirs")["id"], "/api-keys"
        else:
            kind = noun.removesuffix("_id")
            made = getattr(other, kind)()["id"], f"/{kind}s"
        return made[0], f"{made[1]}/{made[0]}"

    @staticmethod
    def _same(before: httpx.Response, after: httpx.Response) -> None:
        """Two answers differ in nothing but the date and what is left of the rate limit."""
        assert before.content == after.content
        assert before.status_code == after.status_code
        aside = {"date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"}
        assert [h for h in before.headers.multi_items() if h[0] not in aside] == [
            h for h in after.headers.multi_items() if h[0] not in aside
        ]

    def _ask_twice(self, tenant: Tenant, other: Tenant, name: str, **request: Any) -> httpx.Response:
        """Ask while the record exists in the other tenant, and when it does not."""
        record_id, address = self._foreign(other, name)
        request = {
            key: value(record_id) if callable(value) else value for key, value in request.items() if value is not None
        }
        headers = {"x-request-id": "the-same"}
        before = tenant.client("admin").request(**request, headers=headers)
        assert other.client("admin").delete(address).status_code == 204
        after = tenant.client("admin").request(**request, headers=headers)
        self._same(before, after)
        return after

    @each_reference(PATH_REFERENCES)
    def test_in_a_path(self, tenant, other, operation, name):
        own = {"team_id": tenant.team()["id"], "user_id": tenant.user("agent").id}
        response = self._ask_twice(
            tenant,
            other,
            name,
            method=operation.method,
            url=lambda record_id: operation.address(**{**own, name: record_id}),
            json=operation.body(),
        )
        problem(response, 404, "not_found")

    @each_reference(BODY_REFERENCES)
    def test_in_a_body(self, tenant, other, operation, name):
        ticket = tenant.ticket()
        body = operation.body()
        # What the body must name besides is there.
        body |= {
            there: ticket[own] for there, own in (("ticket_id", "id"), ("contact_id", "contact_id")) if there in body
        }
        response = self._ask_twice(
            tenant,
            other,
            name,
            method=operation.method,
            url=operation.address(ticket_id=ticket["id"]),
            json=lambda record_id: {**body, name: record_id},
        )
        problem(response, 404, "not_found", f"/{name}")

    @each_reference(QUERY_REFERENCES)
    def test_in_a_query(self, tenant, other, operation, name):
        response = self._ask_twice(
            tenant,
            other,
            name,
            method=operation.method,
            url=operation.address(),
            # Things of different kinds may have one number.
            params=lambda record_id: {name: record_id, **({"entity": "ticket"} if name == "entity_id" else {})},
        )
        page = response.json()
        assert page.pop("complete_since", 0) == 0
        assert page == {"data": [], "next_cursor": None, "prev_cursor": None}

    @each(LISTS)
    def test_a_list_shows_nothing_of_another_tenant(self, tenant, other, operation):
        other.comment(other.ticket(team_id=other.team()["id"]))
        other.sla_policy()
        team, ticket = tenant.team(), tenant.ticket()
        tenant.sla_policy()
        tenant.comment(ticket)
        admin = tenant.client("admin")
        assert admin.patch(f"/tickets/{tenant.ticket()['id']}", json={"status": "closed"}).status_code == 200
        assert admin.put(f"/teams/{team['id']}/members/{tenant.users['admin'].id}").status_code == 204
        mine = {"user_id": tenant.users["admin"].id, "contact_id": ticket["contact_id"]}
        address = operation.address(team_id=team["id"], ticket_id=ticket["id"], **mine)
        rows = admin.get(httpx.URL(address).copy_merge_params({"limit": 200})).json()["data"]
        assert {row.get("data", row.get("ticket", row))["organization_id"] for row in rows} == {tenant.id}

    def test_every_reference_of_the_contract_is_tried(self):
        assert {name for _, name in PATH_REFERENCES} == {
            "user_id",
            "team_id",
            "contact_id",
            "ticket_id",
            "comment_id",
            "sla_policy_id",
            "api_key_id",
        }
        assert {name for _, name in BODY_REFERENCES} == {
            "contact_id",
            "assignee_id",
            "team_id",
            "ticket_id",
            "user_id",
        }
        assert {name for _, name in QUERY_REFERENCES} == {
            "api_key_id",
            "contact_id",
            "assigned_to",
            "entity_id",
            "team_id",
            "ticket_id",
            "user_id",
        }
