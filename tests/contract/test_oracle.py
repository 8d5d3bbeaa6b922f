"""Our verdicts beside those of an oracle: Connexion as it comes, with the same contract."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import connexion
import httpx
import pytest
from connexion.resolver import Resolution, Resolver

from factories import Client, Tenant
from service import ThreadService
from tickets.contract.document import Document
from tickets.settings import shipped


class Case(NamedTuple):
    """A request, and why the verdict of Connexion as it comes is another one, if it is."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] | None = None
    differs: str = ""


TICKET = {"subject": "Printer", "description": "It is on fire."}
CONTACT = {"email": "oracle@example.com", "name": "Oracle"}


def _ticket(**more: Any) -> dict[str, Any]:
    return {**TICKET, **more}


def _contact(**more: Any) -> dict[str, Any]:
    return {**CONTACT, **more}


LOOSE_INTEGER = "limit=1_0, %205 and Arabic digits are accepted"
LAST_WINS = "the last duplicate wins"
LOOSE_JSON = "NaN, duplicate keys and lone surrogates pass"
CRASHES = "bad input in a body is a 500"
ONE_KIND = "4.0 and 1e3 are no integers to it, as in JSON Schema draft 4; JSON itself knows one kind of number"

CASES = [
    # Queries that are fine
    Case("GET", "/tickets"),
    Case("GET", "/tickets?limit=1"),
    Case("GET", "/tickets?limit=200"),
    Case("GET", "/tickets?sort=-updated_at&status=open&status=closed"),
    Case("GET", "/tickets?assigned_to=me&assigned_to=7&assigned_to=none"),
    Case("GET", "/tickets?team_id=1&team_id=2"),
    Case("GET", "/tickets?tag=printer&tag=vip"),
    Case("GET", "/tickets?expand=contact,assignee"),
    Case("GET", "/tickets/1?expand=comments,sla"),
    Case("GET", "/tickets/open?expand=team%2Chistory"),
    Case("GET", "/tickets?created_from=2026-01-02T03:04:05Z"),
    Case("GET", "/users?is_active=true&role=agent"),
    Case("GET", "/users?email=a@example.com"),
    Case("GET", "/contacts?external_id=A-1"),
    Case("GET", "/teams?sort=name"),
    Case("GET", "/tickets/1/comments?visibility=public"),
    Case("GET", "/tickets/1", headers={"If-None-Match": '"1"'}),
    # Queries that are not
    Case("GET", "/tickets?limit=0"),
    Case("GET", "/tickets?limit=201"),
    Case("GET", "/tickets?limit=-1"),
    Case("GET", "/tickets?limit=x"),
    Case("GET", "/tickets?limit=1.5"),
    Case("GET", "/tickets?limit="),
    Case("GET", "/tickets?sort=subject"),
    Case("GET", "/tickets?sort="),
    Case("GET", "/tickets?status=new"),
    Case("GET", "/tickets?status=open&status=new"),
    Case("GET", "/tickets?team_id=0"),
    Case("GET", "/tickets?team_id=x"),
    Case("GET", "/tickets?tag="),
    Case("GET", "/tickets?expand="),
    Case("GET", "/tickets?expand=contact,"),
    Case("GET", "/tickets/closed?expand=contact,surprise"),
    Case("GET", "/tickets?tag=two%20words"),
    Case("GET", "/tickets?assigned_to=you"),
    Case("GET", "/tickets?surprise=1"),
    Case("GET", "/tickets?Limit=1"),
    Case("GET", "/teams/1?surprise=1"),
    Case("GET", "/users?is_active=maybe"),
    Case("GET", "/users?email=nobody"),
    Case("GET", "/users?role=root"),
    Case("GET", "/teams?sort=description"),
    Case("GET", "/contacts?external_id=" + "x" * 256),
    Case("GET", "/tickets?cursor=" + "x" * 2049),
    Case("GET", "/tickets?cursor=*"),
    Case("GET", "/tickets/1", headers={"If-None-Match": "x" * 1025}),
    # Formats: Connexion checks a time only because a tool of the tests brings rfc3339-validator
    Case("GET", "/tickets?created_from=yesterday"),
    Case("GET", "/tickets?created_from=2026-02-30T00:00:00Z"),
    Case("POST", "/api-keys", {"name": "x", "expires_at": "tomorrow"}),
    # Queries that Connexion takes
    Case("GET", "/tickets?limit=1_0", differs=LOOSE_INTEGER),
    Case("GET", "/tickets?limit=%205", differs=LOOSE_INTEGER),
    Case("GET", "/tickets?limit=%D9%A5", differs=LOOSE_INTEGER),
    Case("GET", "/tickets?limit=1&limit=2", differs=LAST_WINS),
    # Bodies that are fine
    Case("POST", "/tickets", _ticket()),
    Case("POST", "/tickets", _ticket(description="", tags=[], custom_fields={})),
    Case("POST", "/tickets", _ticket(assignee_id=None, team_id=None)),
    Case("POST", "/tickets", _ticket(custom_fields={"a": "x", "b": 1.5, "c": True, "d": None})),
    Case("POST", "/tickets", _ticket(subject="x" * 255, tags=["a"] + [f"t{n}" for n in range(49)])),
    Case("POST", "/contacts", _contact(external_id=None, attributes={"vip": True})),
    Case("PATCH", "/teams/1", {"description": ""}),
    Case("PATCH", "/contacts/1", {"external_id": None}),
    Case("POST", "/tickets", _ticket(), headers={"Idempotency-Key": "oracle"}),
    Case("POST", "/api-keys/1/rotate", {"overlap_seconds": 4.0}, differs=ONE_KIND),
    Case("POST", "/api-keys/1/rotate", b'{"overlap_seconds": 1e3}', differs=ONE_KIND),
    # Bodies that are not
    Case("POST", "/tickets", {}),
    Case("POST", "/tickets", []),
    Case("POST", "/tickets", "text"),
    Case("POST", "/tickets", {"subject": "Printer"}),
    Case("POST", "/tickets", _ticket(subject="")),
    Case("POST", "/tickets", _ticket(subject=" ")),
    Case("POST", "/tickets", _ticket(subject="a\nb")),
    Case("POST", "/tickets", _ticket(subject="x" * 256)),
    Case("POST", "/tickets", _ticket(subject=7)),
    Case("POST", "/tickets", _ticket(subject=None)),
    Case("POST", "/tickets", _ticket(surprise=1)),
    Case("POST", "/tickets", _ticket(status="open")),
    Case("POST", "/tickets", _ticket(priority="huge")),
    Case("POST", "/tickets", _ticket(priority=None)),
    Case("POST", "/tickets", _ticket(contact_id=None)),
    Case("POST", "/tickets", _ticket(contact_id=0)),
    Case("POST", "/tickets", _ticket(contact_id="1")),
    Case("POST", "/tickets", _ticket(contact_id=True)),
    Case("POST", "/tickets", _ticket(contact_id=1.5)),
    Case("POST", "/tickets", _ticket(contact_id=2**63)),
    Case("POST", "/tickets", _ticket(tags=["a", "a"])),
    Case("POST", "/tickets", _ticket(tags=["a b"])),
    Case("POST", "/tickets", _ticket(tags=[f"t{n}" for n in range(51)])),
    Case("POST", "/tickets", _ticket(tags="a")),
    Case("POST", "/tickets", _ticket(custom_fields={"a": {}})),
    Case("POST", "/tickets", _ticket(custom_fields={"a": "x" * 1001})),
    Case("POST", "/tickets", _ticket(custom_fields={f"f{n}": 1 for n in range(51)})),
    Case("POST", "/contacts", _contact(email="nobody")),
    Case("POST", "/contacts", _contact(attributes=None)),
    Case("POST", "/tickets/1/comments", {"body": ""}),
    Case("POST", "/tickets/1/comments", {"body": " \n\t"}),
    Case("POST", "/api-keys/1/rotate", {"overlap_seconds": 1.5}),
    Case("PATCH", "/teams/1", {}),
    Case("PATCH", "/teams/1", {"name": None}),
    Case("PATCH", "/teams/1", {"name": "x", "version": 0}),
    Case("POST", "/users", {"email": "a@example.com", "name": "A", "role": "platform"}),
    Case("POST", "/api-keys", {"name": "x", "scopes": []}),
    Case("POST", "/api-keys", {"name": "x", "scopes": ["everything"]}),
    Case("POST", "/tickets", _ticket(), headers={"Idempotency-Key": "a b"}),
    Case("POST", "/tickets", _ticket(), headers={"Idempotency-Key": "x" * 256}),
    Case("POST", "/tickets", b""),
    Case("POST", "/tickets", b"{"),
    # Bodies that Connexion takes, or chokes on
    Case("POST", "/tickets", b'{"subject": "a", "subject": "b", "description": ""}', differs=LOOSE_JSON),
    Case("POST", "/tickets", rb'{"subject": "\ud800", "description": ""}', differs=LOOSE_JSON),
    Case("POST", "/tickets", b'{"subject": "\xff", "description": ""}', differs=CRASHES),
    Case("POST", "/tickets", b"[" * 100_000, differs=CRASHES),
]


class StubResolver(Resolver):
    """Every operation accepts everything."""

    def resolve(self, operation: Any) -> Resolution:
        return Resolution(lambda **_: ({}, 200), operation.operation_id)


def _send(client: httpx.Client, case: Case, key: str | None = None) -> int:
    headers = {"content-type": "application/json"} if case.body is not None else {}
    headers |= case.headers or {}
    if key is not None:
        headers["x-api-key"] = key
    content = case.body if case.body is None or isinstance(case.body, bytes) else json.dumps(case.body).encode()
    return client.request(case.method, f"/api/v1{case.path}", content=content, headers=headers).status_code


@pytest.fixture(scope="module")
def oracle() -> Iterator[httpx.Client]:
    """Connexion as it comes, with the same contract, without security, in this process."""
    data = Document(shipped("openapi.yaml")).data
    data.pop("security")
    app = connexion.FlaskApp("oracle")
    app.add_api(data, resolver=StubResolver(), strict_validation=True)
    with app.test_client(raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def ours(service: ThreadService) -> Iterator[tuple[httpx.Client, str]]:
    tenant = Tenant(service.database, service.origin)
    key = tenant.key(tenant.user("admin"))
    with Client(service.origin) as client:
        client.base_url = httpx.URL(service.origin)
        yield client, key
    tenant.close()


class TestOracle:
    """Connexion as it comes gives the same verdict as our plans, except where it is known not to."""

    @pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path[:60]} {str(case.body)[:60]}")
    def test_the_verdicts_agree(self, oracle, ours, case):
        client, key = ours
        our_status = _send(client, case, key)
        assert our_status in {200, 201, 304, 400, 404, 409}
        their_status = _send(oracle, case)
        assert their_status in {200, 400, 500}
        refused = our_status == 400
        agreed = (their_status == 400) is refused
        assert agreed is not bool(case.differs), (our_status, their_status)
