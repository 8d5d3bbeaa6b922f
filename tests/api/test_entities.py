"""What is equal for every entity: its address, its version, its ETag, its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from api.checks import made, problem
from factories import Client, Tenant
from tickets.contract.document import Document
from tickets.domain import entities
from tickets.models import Base
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))


@dataclass(frozen=True)
class Kind:
    """A kind of entity: how one is made and what can be changed on it."""

    path: str
    create: Callable[[Tenant], dict[str, Any]]
    change: dict[str, Any]
    role: str = "admin"

    def __str__(self) -> str:
        return self.path.removeprefix("/")

    def one(self, tenant: Tenant) -> tuple[Client, str, dict[str, Any]]:
        """Make one; return who may change it, its address and itself."""
        client, path = tenant.client(self.role), self.path
        body = self.create(tenant)
        return client, path, made(client.post(path, json=body))


PRIORITIES = ("urgent", "high", "medium", "low")
TARGETS = {priority: {"first_response_minutes": 5, "resolution_minutes": 60} for priority in PRIORITIES}
KINDS = [
    Kind("/organizations", lambda t: {"name": "Org", "slug": f"org-{t.number}"}, {"name": "New"}, role="platform"),
    Kind("/users", lambda t: {"email": f"e{t.number}@example.org", "name": "U", "role": "agent"}, {"name": "New"}),
    Kind("/teams", lambda _: {"name": "Team"}, {"name": "New"}),
    Kind("/contacts", lambda _: {"email": "c@example.org", "name": "C"}, {"attributes": {"vip": True}}),
    Kind("/tickets", lambda _: {"subject": "S", "description": "D"}, {"tags": ["new"]}),
    Kind("/comments", lambda t: {"ticket_id": t.ticket()["id"], "body": "B"}, {"body": "New"}),
    Kind("/sla-policies", lambda _: {"name": "Policy", "targets": TARGETS}, {"position": 7}),
    Kind("/api-keys", lambda _: {"name": "Key"}, {}),
]
CHANGEABLE = [kind for kind in KINDS if kind.change]
each = pytest.mark.parametrize("kind", KINDS, ids=str)
each_changeable = pytest.mark.parametrize("kind", CHANGEABLE, ids=str)


@each
class TestReading:
    def test_location_leads_to_what_was_created(self, tenant, kind):
        client = tenant.client(kind.role)
        response = client.post(kind.path, json=kind.create(tenant))
        body = made(response)
        assert response.headers["location"] == f"/api/v1{kind.path}/{body['id']}"
        # `response` is of the same origin: the Location is relative to it.
        read = client.get(response.request.url.join(response.headers["location"]))
        assert read.status_code == 200
        body.pop("key", None)
        assert read.json() == {**body, **({"last_used_at": None} if "last_used_at" in body else {})}

    def test_times_are_utc_with_milliseconds(self, tenant, kind):
        _, _, body = kind.one(tenant)
        assert body["created_at"] == body["updated_at"]
        assert body["created_at"].endswith("Z")
        assert len(body["created_at"]) == len("2026-01-02T03:04:05.678Z")

    def test_what_is_unchanged_is_a_304_without_body(self, tenant, kind):
        client, path, body = kind.one(tenant)
        if kind.path == "/api-keys":  # `last_used_at` moves without a new version: never a 304
            assert client.get(f"{path}/{body['id']}", headers={"if-none-match": '"1"'}).status_code == 200
            return
        for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
            response = client.get(f"{path}/{body['id']}", headers={"if-none-match": tag})
            assert response.status_code == 304, tag
            assert response.content == b""
            assert response.headers["etag"] == '"1"'
            assert "content-type" not in response.headers

    def test_another_etag_is_answered_in_full(self, tenant, kind):
        client, path, body = kind.one(tenant)
        for tag in ('"2"', "1", '"11"', '""'):
            response = client.get(f"{path}/{body['id']}", headers={"if-none-match": tag})
            assert response.status_code == 200, tag
            assert response.headers["etag"] == '"1"'

    def test_head_answers_as_get_does_without_a_body(self, tenant, kind):
        client, path, body = kind.one(tenant)
        response = client.head(f"{path}/{body['id']}")
        assert response.status_code == 200
        assert response.content == b""
        assert response.headers["etag"] == '"1"'
        assert int(response.headers["content-length"]) > 0

    def test_an_id_of_nothing_is_a_404(self, tenant, kind):
        for record_id in ("4000000000", "9223372036854775807", "9223372036854775808", "9" * 19):
            problem(tenant.client(kind.role).get(f"{kind.path}/{record_id}"), 404, "not_found")

    def test_what_is_no_id_is_a_404(self, tenant, kind):
        for text in ("0", "-1", "+1", "01", "1.0", "x", "9" * 20, "9" * 5000, "%20", "1%20", "1;", "null", "%D9%A1"):
            problem(tenant.client(kind.role).get(f"{kind.path}/{text}"), 404, "not_found")

    def test_more_than_the_address_is_a_404(self, tenant, kind):
        client, path, body = kind.one(tenant)
        for tail in ("/", "//", "%2F", "/x"):
            response = client.get(f"{path}/{body['id']}{tail}")
            assert response.status_code == 404, tail
            assert response.json()["code"] == "not_found"


@each_changeable
class TestChanging:
    def test_a_change_raises_the_version_and_nothing_else(self, tenant, kind):
        client, path, body = kind.one(tenant)
        response = client.patch(f"{path}/{body['id']}", json=kind.change)
        assert response.status_code == 200
        assert response.headers["etag"] == '"2"'
        changed = response.json()
        assert changed == {**body, **kind.change, "version": 2, "updated_at": changed["updated_at"]}
        assert changed["updated_at"] >= body["updated_at"]
        assert client.get(f"{path}/{body['id']}").json() == changed

    def test_equal_values_raise_nothing(self, tenant, kind):
        client, path, body = kind.one(tenant)
        response = client.patch(f"{path}/{body['id']}", json={name: body[name] for name in kind.change})
        assert response.status_code == 200
        assert response.json() == body
        assert response.headers["etag"] == '"1"'

    def test_the_present_version_is_accepted_in_either_place(self, tenant, kind):
        client, path, body = kind.one(tenant)
        headers = {"if-match": '"1"'}
        response = client.patch(f"{path}/{body['id']}", json={**kind.change, "version": 1}, headers=headers)
        assert response.status_code == 200
        assert client.patch(f"{path}/{body['id']}", json=kind.change, headers={"if-match": "*"}).status_code == 200

    def test_a_version_that_is_not_the_present_one_is_a_409(self, tenant, kind):
        client, path, body = kind.one(tenant)
        for version in (2, 9223372036854775807):
            response = client.patch(f"{path}/{body['id']}", json={**kind.change, "version": version})
            problem(response, 409, "version_conflict", "/version")
        assert client.get(f"{path}/{body['id']}").json() == body

    def test_an_if_match_that_does_not_match_is_a_412(self, tenant, kind):
        client, path, body = kind.one(tenant)
        for tag in ('"2"', "1", '"01"', 'W/"1"'):
            response = client.patch(f"{path}/{body['id']}", json=kind.change, headers={"if-match": tag})
            problem(response, 412, "precondition_failed", "/If-Match", where="header")
        assert client.get(f"{path}/{body['id']}").json() == body

    @pytest.mark.parametrize(
        ("tag", "advice"),
        [
            ("1", 'put the version in quotes: "1"'),
            ('W/"1"', 'send it without W/, as "1"'),
            ("W/1", 'send it without W/, as "1"'),
            ('"2"', "the present one is 1"),
            ("hunter2", "the present one is 1"),
        ],
    )
    def test_an_if_match_that_cannot_match_is_told_why(self, tenant, kind, tag, advice):
        client, path, body = kind.one(tenant)
        response = client.patch(f"{path}/{body['id']}", json=kind.change, headers={"if-match": tag})
        [error] = problem(response, 412, "precondition_failed", "/If-Match", where="header")["errors"]
        assert advice in error["detail"]
        assert "hunter2" not in response.text

    def test_an_old_etag_is_stale_after_a_change(self, tenant, kind):
        client, path, body = kind.one(tenant)
        address = f"{path}/{body['id']}"
        assert client.patch(address, json=kind.change, headers={"if-match": '"1"'}).status_code == 200
        stale = client.patch(address, json=kind.change, headers={"if-match": '"1"'})
        problem(stale, 412, "precondition_failed", "/If-Match", where="header")
        assert client.get(address, headers={"if-none-match": '"1"'}).status_code == 200
        assert client.get(address, headers={"if-none-match": '"2"'}).status_code == 304

    def test_a_version_alone_changes_nothing(self, tenant, kind):
        client, path, body = kind.one(tenant)
        assert client.patch(f"{path}/{body['id']}", json={"version": 1}).json() == body

    def test_nothing_to_change_is_a_400(self, tenant, kind):
        client, path, body = kind.one(tenant)
        problem(client.patch(f"{path}/{body['id']}", json={}), 400, "invalid_request", "")

    def test_null_is_refused_where_there_is_always_a_value(self, tenant, kind):
        client, path, body = kind.one(tenant)
        [name] = kind.change
        problem(client.patch(f"{path}/{body['id']}", json={name: None}), 400, "invalid_request", f"/{name}")


@each
class TestDeleting:
    def test_what_was_deleted_is_a_404_in_every_operation(self, tenant, kind):
        client, path, body = kind.one(tenant)
        address = f"{path}/{body['id']}"
        response = client.delete(address)
        assert response.status_code == 204
        assert response.content == b""
        assert "content-length" not in response.headers
        problem(client.get(address), 404, "not_found")
        problem(client.get(address, headers={"if-none-match": "*"}), 404, "not_found")
        problem(client.delete(address), 404, "not_found")
        if kind.change:
            problem(client.patch(address, json=kind.change), 404, "not_found")

    def test_a_stale_if_match_keeps_it(self, tenant, kind):
        client, path, body = kind.one(tenant)
        address = f"{path}/{body['id']}"
        problem(
            client.delete(address, headers={"if-match": '"2"'}), 412, "precondition_failed", "/If-Match", where="header"
        )
        assert client.get(address).status_code == 200
        assert client.delete(address, headers={"if-match": '"1"'}).status_code == 204

    def test_its_id_is_never_used_again(self, tenant, kind):
        client, path, body = kind.one(tenant)
        assert client.delete(f"{path}/{body['id']}").status_code == 204
        again = made(client.post(kind.path, json=kind.create(tenant)))
        assert again["id"] > body["id"]


class TestWhatTooMuchNames:
    """Others wait for as long as a deletion takes: so it is refused, with what can be done instead."""

    @pytest.fixture(autouse=True)
    def three(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tickets.domain.entities.MOST_NAMERS", 3)

    def test_the_texts_of_what_names_it_are_bounded_too(self, tenant, admin, monkeypatch):
        monkeypatch.setattr("tickets.domain.entities.MOST_CHARACTERS", 1_000)
        team = tenant.team()["id"]
        long, short = (tenant.ticket(team_id=team, description="x" * size)["id"] for size in (900, 99))
        told = problem(admin.delete(f"/teams/{team}"), 409, "in_use")
        assert told["detail"] == (
            "The tickets that name it have more than 1,000 characters, more than one request can change; "
            "give the tickets another team first."
        )
        admin.patch(f"/tickets/{long}", json={"team_id": None})
        assert admin.delete(f"/teams/{team}").status_code == 204
        assert admin.get(f"/tickets/{short}").json()["team_id"] is None

    def test_of_a_team(self, tenant, admin):
        team = tenant.team()["id"]
        tickets = [tenant.ticket(team_id=team)["id"] for _ in range(4)]
        told = problem(admin.delete(f"/teams/{team}"), 409, "in_use")
        assert told["detail"] == (
            "More than 3 tickets name it, more than one request can change; give the tickets another team first."
        )
        admin.patch(f"/tickets/{tickets[0]}", json={"team_id": None})
        assert admin.delete(f"/teams/{team}").status_code == 204
        assert [admin.get(f"/tickets/{ticket}").json()["team_id"] for ticket in tickets] == [None] * 4

    def test_of_a_user_for_all_that_names_them(self, tenant, admin):
        user = tenant.user("agent")
        client = Client(tenant.origin, tenant.key(user))
        raised = made(client.post("/tickets", json={"subject": "S", "description": ""}))
        assert admin.delete(f"/users/{tenant.user('agent').id}").status_code == 204
        said = [made(client.post("/comments", json={"ticket_id": raised["id"], "body": "B"})) for _ in range(2)]
        told = problem(admin.delete(f"/users/{user.id}"), 409, "in_use")
        assert told["detail"] == (
            "More than 3 comments or contacts or tickets name it, more than one request can change; "
            "deactivate the user instead."
        )
        assert admin.patch(f"/users/{user.id}", json={"is_active": False}).status_code == 200
        admin.delete(f"/comments/{said[0]['id']}")
        assert admin.delete(f"/users/{user.id}").status_code == 204
        assert admin.get(f"/tickets/{raised['id']}").json()["created_by_id"] is None
        client.close()

    def test_of_a_contact(self, tenant, admin, user):
        tickets = [made(user.post("/tickets", json={"subject": "S", "description": ""})) for _ in range(2)]
        said = [
            made(user.post("/comments", json={"ticket_id": ticket["id"], "body": "B"}))
            for ticket in tickets
            for _ in range(2)
        ]
        contact, another = f"/contacts/{tickets[0]['contact_id']}", tenant.contact()["id"]
        for ticket in tickets:
            assert admin.patch(f"/tickets/{ticket['id']}", json={"contact_id": another}).status_code == 200
        told = problem(admin.delete(contact), 409, "in_use")
        assert told["detail"] == (
            "More than 3 comments name it, more than one request can change; leave it, and change its name and "
            "e-mail if these have to go."
        )
        admin.delete(f"/comments/{said[0]['id']}")
        assert admin.delete(contact).status_code == 204

    def test_a_merge_moves_no_more_either(self, tenant, admin):
        one, other = tenant.ticket(), tenant.ticket()
        said = [tenant.comment(one)["id"] for _ in range(4)]
        merge = f"/tickets/{one['id']}/merge"
        told = problem(admin.post(merge, json={"into": other["id"]}), 409, "in_use")
        assert "more than 3 comments" in told["detail"]
        admin.delete(f"/comments/{said[0]}")
        assert admin.post(merge, json={"into": other["id"]}).status_code == 200

    def test_whoever_can_be_named_has_something_to_do_instead(self):
        named = {mapper.class_ for mapper in Base.registry.mappers if entities._namers(mapper.class_)}
        assert named == entities._INSTEAD.keys()

    @pytest.mark.parametrize("entity", ["User", "Team", "Contact", "Ticket"])
    def test_it_runs_in_a_thread(self, entity):
        [delete] = [spec for _, _, spec in DOCUMENT.operations() if spec["operationId"] == f"delete{entity}"]
        assert delete["x-execution"] == "thread"
