"""The problems that the contract shows are those that the service answers, word for word."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import time_machine

from factories import Client, Tenant
from tickets import errors
from tickets.contract.document import Document
from tickets.http import idempotency, problems
from tickets.http.idempotency import Attempt, Idempotency
from tickets.settings import Settings, shipped

DOCUMENT = Document(shipped("openapi.yaml"))
KINDS = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Problem)
}
TICKET = {"subject": "Printer", "description": "It is on fire."}
START = datetime(2031, 1, 1, tzinfo=UTC)
# What takes a broken disk, a slow network or a fault of ours; other tests see to those.
NOT_AT_WILL = {"RequestTimeout", "InternalError", "ServiceUnavailable"}


def _examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, response in DOCUMENT.data["components"]["responses"].items():
        content = response.get("content", {}).get("application/problem+json")
        if content is None:
            continue
        if "example" in content:
            yield name, content["example"]
        for key, example in content.get("examples", {}).items():
            yield f"{name}/{key}", example["value"]


EXAMPLES = dict(_examples())


def _closed(tenant: Tenant) -> str:
    path = f"/tickets/{tenant.ticket()['id']}"
    assert tenant.client().patch(path, json={"status": "closed"}).status_code == 200
    return path


def _versions(tenant: Tenant) -> str:
    path = f"/tickets/{tenant.ticket()['id']}"
    for subject in "abc":
        assert tenant.client().patch(path, json={"subject": subject}).status_code == 200
    return path


def _taken(tenant: Tenant) -> httpx.Response:
    return tenant.client().post("/teams", json={"name": tenant.team()["name"]})


def _in_use(tenant: Tenant) -> httpx.Response:
    contact = tenant.contact()
    tenant.ticket(contact_id=contact["id"])
    return tenant.client().delete(f"/contacts/{contact['id']}")


def _last_admin(tenant: Tenant) -> httpx.Response:
    admin = tenant.client()
    return admin.delete(f"/users/{tenant.users['admin'].id}")


def _reused(tenant: Tenant) -> httpx.Response:
    headers = {"idempotency-key": "one"}
    tenant.client().post("/tickets", json=TICKET, headers=headers)
    return tenant.client().post("/tickets", json={**TICKET, "subject": "Other"}, headers=headers)


def _too_many(tenant: Tenant) -> httpx.Response:
    with (
        Client(tenant.origin, tenant.key(tenant.user("admin"), rate_limit=None)) as client,
        time_machine.travel(START, tick=False),
    ):
        return [client.get("/tickets") for _ in range(6)][-1]


def _without_scope(tenant: Tenant) -> httpx.Response:
    with tenant.client("admin", scopes=["tickets:read"]) as client:
        return client.post("/tickets", json=TICKET)


def _anonymous(tenant: Tenant, path: str, **values: Any) -> httpx.Response:
    with Client(tenant.origin) as client:
        return client.get(path, **values)


LONG = {"x": "x" * 9000}
LARGE = {"x-large": "x" * 70_000}
PROVOKED: dict[str, Callable[[Tenant], httpx.Response]] = {
    "BadRequest": lambda tenant: tenant.client().post("/tickets", json={**TICKET, "subject": ""}),
    "BadRequestExempt": lambda tenant: _anonymous(tenant, "/health", params={"verbose": "1"}),
    "Unauthorized": lambda tenant: _anonymous(tenant, "/tickets"),
    "Forbidden/role": lambda tenant: tenant.client("user").post("/users", json={}),
    "Forbidden/scope": _without_scope,
    "NotFound": lambda tenant: tenant.client().get("/tickets/99"),
    "Conflict/versionConflict": lambda tenant: tenant.client().patch(_versions(tenant), json={"version": 3}),
    "Conflict/alreadyExists": _taken,
    "Conflict/inUse": _in_use,
    "Conflict/lastAdmin": _last_admin,
    "Conflict/invalidTransition": lambda tenant: tenant.client().patch(_closed(tenant), json={"status": "pending"}),
    "PreconditionFailed": lambda tenant: tenant.client().delete(_versions(tenant), headers={"if-match": '"3"'}),
    "PayloadTooLarge": lambda tenant: tenant.client().post("/tickets", content=b"x" * 1_048_577),
    "UriTooLong": lambda tenant: tenant.client().get("/tickets", params=LONG),
    "UriTooLongExempt": lambda tenant: _anonymous(tenant, "/health", params=LONG),
    "UnsupportedMediaType": lambda tenant: tenant.client().post("/tickets", content=b"subject=Printer"),
    "IdempotencyKeyReused": _reused,
    "TooManyRequests": _too_many,
    "HeadersTooLarge": lambda tenant: tenant.client().get("/tickets", headers=LARGE),
    "HeadersTooLargeExempt": lambda tenant: _anonymous(tenant, "/health", headers=LARGE),
}


def _told(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what names one request."""
    return {name: value for name, value in document.items() if name not in {"instance", "request_id"}}


class TestExamplesOfProblems:
    @pytest.mark.parametrize("name", EXAMPLES)
    def test_each_is_of_a_kind_that_there_is(self, name):
        shown = EXAMPLES[name]
        kind = KINDS[shown["code"]]
        assert (shown["status"], shown["title"]) == (kind.status, kind.title)
        assert shown["type"] == f"urn:ticketing:problem:{kind.code}"

    @pytest.mark.parametrize("name", PROVOKED)
    def test_the_service_answers_word_for_word(self, tenant, name):
        answer = PROVOKED[name](tenant)
        assert answer.status_code == EXAMPLES[name]["status"], answer.text
        assert _told(answer.json()) == _told(EXAMPLES[name])

    def test_a_deactivated_assignee_is_told_word_for_word(self, tenant):
        idle = tenant.user("agent", is_active=False)
        answer = tenant.client().post("/tickets", json={**TICKET, "assignee_id": idle.id})
        shown = EXAMPLES["Conflict/userInactive"]
        told = answer.text.replace(f"user {idle.id} ", "user 2 ")
        assert _told(httpx.Response(409, text=told).json()) == _told(shown)

    def test_a_request_that_still_runs_is_told_word_for_word(self):
        running, this = Idempotency([b"secret"]), Attempt(1, b"scope", b"fingerprint")
        running.enter(this)
        with pytest.raises(errors.IdempotencyInProgress) as caught:
            running.enter(this)
        made = problems.document(caught.value, path="/", request_id="1")
        assert _told(made) == _told(EXAMPLES["Conflict/idempotencyInProgress"])

    def test_an_answer_that_is_gone_is_told_word_for_word(self, tenant, monkeypatch):
        monkeypatch.setattr(idempotency, "MAX_KEPT", 1)
        first, again = (tenant.client().post("/tickets", json=TICKET, headers={"idempotency-key": "k"}) for _ in "12")
        told = again.text.replace(first.headers["location"], "/api/v1/tickets/1")
        assert _told(httpx.Response(409, text=told).json()) == _told(EXAMPLES["Conflict/idempotencyAnswerGone"])

    def test_a_slow_body_is_told_with_the_usual_patience(self, tmp_path):
        patience = Settings(var_dir=tmp_path).request_timeout
        assert EXAMPLES["RequestTimeout"]["detail"] == f"The body did not arrive within {patience} s."

    def test_every_other_example_is_provoked_here(self):
        here = {*PROVOKED, "Conflict/userInactive", "Conflict/idempotencyInProgress", "Conflict/idempotencyAnswerGone"}
        assert EXAMPLES.keys() - here == {*NOT_AT_WILL, "InternalErrorExempt", "ServiceUnavailableExempt"}
