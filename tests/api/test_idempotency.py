"""Idempotency-Key: a repeated POST is answered again, never done again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import time_machine
from sqlalchemy import text

from api.checks import NOBODY, ids, made, problem
from factories import PASSWORD, Client, Tenant
from service import ThreadService
from tickets.db import Statement
from tickets.http import idempotency
from tickets.http.exchange import Response

BODY = {"subject": "Printer", "description": "It is on fire."}
KEY = {"idempotency-key": "one"}
START = datetime(2031, 1, 1, tzinfo=UTC)


class TestReplay:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/tickets", BODY),
            ("/teams", {"name": "Support"}),
            ("/contacts", {"email": "a@example.com", "name": "A"}),
            ("/comments", {"body": "B"}),
            ("/api-keys", {"name": "K"}),
        ],
    )
    def test_the_first_answer_comes_again_and_nothing_is_done_twice(self, tenant, admin, path, body):
        if path == "/comments":
            body = {**body, "ticket_id": tenant.ticket()["id"]}
        first = admin.post(path, json=body, headers=KEY)
        made(first)
        assert "idempotency-replayed" not in first.headers
        before = ids(admin.get(path))
        again = admin.post(path, json=body, headers=KEY)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        for name in ("location", "etag", "content-type"):
            assert again.headers[name] == first.headers[name]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        assert ids(admin.get(path)) == before

    def test_an_answer_without_a_body_is_remembered_like_any_other(self, tenant):
        client = tenant.signed_in("agent")
        assert client.post("/auth/logout", headers=KEY).status_code == 204
        problem(client.get("/auth/me"), 401, "unauthorized")

    def test_it_comes_again_even_when_the_record_is_gone(self, admin):
        first = admin.post("/tickets", json=BODY, headers=KEY)
        admin.delete(f"/tickets/{first.json()['id']}")
        assert admin.post("/tickets", json=BODY, headers=KEY).json() == first.json()

    def test_order_and_white_space_in_the_body_do_not_count(self, admin):
        headers = {**KEY, "content-type": "application/json"}
        first = admin.post("/tickets", content=b'{"subject": "S", "description": "D"}', headers=headers)
        again = admin.post("/tickets", content=b' {"description":"D",\n"subject":"\\u0053"}', headers=headers)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()

    def test_another_body_is_a_422(self, admin):
        made(admin.post("/tickets", json=BODY, headers=KEY))
        response = admin.post("/tickets", json={**BODY, "subject": "Other"}, headers=KEY)
        problem(response, 422, "idempotency_key_reused", "/Idempotency-Key", where="header")
        assert "idempotency-replayed" not in response.headers
        assert len(ids(admin.get("/tickets"))) == 1

    def test_a_failure_comes_again_too(self, tenant, admin):
        body = {**BODY, "team_id": NOBODY}
        first = admin.post("/tickets", json=body, headers=KEY)
        problem(first, 404, "not_found", "/team_id")
        again = admin.post("/tickets", json=body, headers=KEY)
        problem(again, 404, "not_found", "/team_id")
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == first.content
        team = tenant.team()
        taken = admin.post("/teams", json={"name": team["name"]}, headers=KEY)
        problem(taken, 409, "already_exists", "/name")
        admin.delete(f"/teams/{team['id']}")
        assert admin.post("/teams", json={"name": team["name"]}, headers=KEY).content == taken.content

    def test_what_its_operation_refused_comes_again_until_the_key_is_another(self, tenant, admin):
        one, into = tenant.ticket(), tenant.ticket()
        path, body = f"/tickets/{one['id']}/merge", {"into": into["id"]}
        stale = admin.post(path, json=body, headers={**KEY, "if-match": '"7"'})
        problem(stale, 412, "precondition_failed", "/If-Match", where="header")
        again = admin.post(path, json=body, headers={**KEY, "if-match": '"1"'})
        assert (again.status_code, again.content) == (412, stale.content)
        assert again.headers["idempotency-replayed"] == "true"
        mended = admin.post(path, json=body, headers={"idempotency-key": "two", "if-match": '"1"'})
        assert mended.status_code == 200
        expired = {"name": "K", "expires_at": "2001-01-01T00:00:00Z"}
        first, second = (admin.post("/api-keys", json=expired, headers=KEY) for _ in range(2))
        problem(second, 400, "invalid_request", "/expires_at")
        assert (second.content, second.headers["idempotency-replayed"]) == (first.content, "true")

    def test_what_was_refused_before_it_began_may_be_mended_with_the_same_key(self, admin):
        problem(admin.post("/tickets", json={**BODY, "subject": ""}, headers=KEY), 400, "invalid_request", "/subject")
        made(admin.post("/tickets", json=BODY, headers=KEY))

    def test_a_refused_caller_may_try_the_key_again(self, tenant):
        with tenant.client("agent", scopes=["tickets:read"]) as client:
            problem(client.post("/tickets", json=BODY, headers=KEY), 403, "insufficient_scope")
        made(tenant.client("agent").post("/tickets", json=BODY, headers=KEY))

    def test_after_a_day_the_key_is_new(self, admin):
        with time_machine.travel(START, tick=False):
            first = made(admin.post("/tickets", json=BODY, headers=KEY))
        with time_machine.travel(START + timedelta(hours=24, milliseconds=-1), tick=False):
            assert admin.post("/tickets", json=BODY, headers=KEY).json() == first
        with time_machine.travel(START + timedelta(hours=24), tick=False):
            assert made(admin.post("/tickets", json=BODY, headers=KEY))["id"] != first["id"]

    def test_after_a_day_many_keys_are_new(self, admin):
        keys = [{"Idempotency-Key": f"old-{number}"} for number in range(25)]
        with time_machine.travel(START, tick=False):
            for key in keys:
                made(admin.post("/tickets", json=BODY, headers=key))
        with time_machine.travel(START + timedelta(hours=25), tick=False):
            made(admin.post("/tickets", json=BODY, headers=keys[-1]))

    def test_requests_at_the_same_time_do_it_once(self, tenant, admin):
        key = tenant.key(tenant.users["admin"])

        def post(_: int) -> tuple[int, str]:
            with Client(tenant.origin, key) as client:
                response = client.post("/tickets", json=BODY, headers=KEY)
            if response.status_code == 409:
                problem(response, 409, "idempotency_in_progress", "/Idempotency-Key", where="header")
                assert response.headers["retry-after"] == "1"
            return response.status_code, response.text

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(post, range(24)))
        assert {status for status, _ in answers} <= {201, 409}
        assert len({text for status, text in answers if status == 201}) == 1
        assert len(ids(admin.get("/tickets"))) == 1


class TestScope:
    def test_another_user_may_use_the_same_key(self, tenant, admin, agent, other):
        one = made(admin.post("/tickets", json=BODY, headers=KEY))
        another = made(agent.post("/tickets", json=BODY, headers=KEY))
        theirs = made(other.client("admin").post("/tickets", json=BODY, headers=KEY))
        assert len({one["id"], another["id"], theirs["id"]}) == 3
        assert (one["organization_id"], theirs["organization_id"]) == (tenant.id, other.id)

    def test_another_key_of_the_same_user_is_another_caller(self, tenant, admin):
        first = made(admin.post("/tickets", json=BODY, headers=KEY))
        with Client(tenant.origin, tenant.key(tenant.users["admin"])) as client:
            assert made(client.post("/tickets", json=BODY, headers=KEY))["id"] != first["id"]

    def test_a_narrow_key_is_not_given_what_a_wide_one_of_the_same_user_was(self, tenant, admin):
        wanted = {"name": "ops", "scopes": ["*"]}
        made(admin.post("/api-keys", json=wanted, headers=KEY))
        with Client(tenant.origin, tenant.key(tenant.users["admin"], scopes=["api_keys:write"])) as narrow:
            for _ in range(2):
                problem(narrow.post("/api-keys", json=wanted, headers=KEY), 403, "insufficient_scope", "/scopes")

    def test_the_sessions_of_a_user_are_one_caller(self, tenant):
        one = tenant.signed_in("agent")
        first = made(one.post("/tickets", json=BODY, headers=KEY))
        email = one.get("/auth/me").json()["email"]
        tokens = one.post("/auth/login", json={"email": email, "password": PASSWORD}).json()
        one.headers["authorization"] = f"Bearer {tokens['access_token']}"
        assert one.post("/tickets", json=BODY, headers=KEY).json() == first

    def test_another_path_may_use_the_same_key(self, tenant, admin):
        tickets = [tenant.ticket()["id"] for _ in range(2)]
        comments = [
            made(admin.post(f"/tickets/{ticket}/comments", json={"body": "B"}, headers=KEY)) for ticket in tickets
        ]
        assert [comment["ticket_id"] for comment in comments] == tickets

    @pytest.mark.parametrize("key", ["x" * 255, "!~", "a" * 1])
    def test_any_visible_text_is_a_key(self, admin, key):
        made(admin.post("/tickets", json=BODY, headers={"idempotency-key": key}))

    @pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\u00e4"])
    def test_anything_else_is_a_400(self, admin, key):
        response = admin.post("/tickets", json=BODY, headers=[(b"idempotency-key", key.encode("latin-1"))])
        problem(response, 400, "invalid_request", "/Idempotency-Key", where="header")

    def test_two_keys_are_a_400(self, admin):
        response = admin.post("/tickets", json=BODY, headers=[("idempotency-key", "a"), ("idempotency-key", "b")])
        problem(response, 400, "invalid_request", "/Idempotency-Key", where="header")


class TestSecretAnswers:
    def test_the_answer_that_shows_a_key_comes_again_with_it(self, tenant, admin):
        first = made(admin.post("/api-keys", json={"name": "K"}, headers=KEY))
        again = admin.post("/api-keys", json={"name": "K"}, headers=KEY)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first
        with Client(tenant.origin, again.json()["key"]) as client:
            assert client.get("/organization").status_code == 200

    def test_no_key_is_in_the_files_of_the_database(self, tenant, admin, service):
        shown = made(admin.post("/api-keys", json={"name": "K"}, headers=KEY))["key"]
        subject = f"not a secret {tenant.number}"
        made(admin.post("/tickets", json={**BODY, "subject": subject}, headers=KEY))
        files = [file.read_bytes() for file in service.database.path.parent.glob("tickets.db*")]
        assert any(subject.encode() in content for content in files)
        for secret in (shown, admin.key, shown.split("_", 2)[2]):
            assert not any(secret.encode() in content for content in files)


class TestRoom:
    """An organization has only so much room for answers; what is done stays done without them."""

    @pytest.fixture
    def kept(self, service: ThreadService, tenant: Tenant) -> Callable[[], list[int]]:
        """Read the length of each body that is kept, the oldest first; -1 where it is gone."""
        query = text(
            "SELECT CASE WHEN running_size IS NULL THEN -1 ELSE length(body) END FROM idempotency_records"
            " WHERE organization_id = :of ORDER BY rowid"
        )

        def read() -> list[int]:
            with service.database.read() as tx:
                return [size for (size,) in tx.all(Statement(query.bindparams(of=tenant.id)))]

        return read

    def post(self, client: Client, key: str, subject: str = "Printer") -> httpx.Response:
        body = {"subject": subject, "description": ""}
        return client.post("/tickets", json=body, headers={"idempotency-key": key})

    def test_the_oldest_bodies_go_first(self, admin, kept, monkeypatch):
        one = len(self.post(admin, "first").content)
        monkeypatch.setattr(idempotency, "MOST_KEPT", 3 * one - one // 2)
        answers = [self.post(admin, f"k{number}") for number in range(5)]
        assert [size > 0 for size in kept()] == [False] * 3 + [True] * 3
        assert self.post(admin, "k4").content == answers[4].content
        for key in ("first", "k1"):
            problem(self.post(admin, key), 409, "idempotency_answer_gone", "/Idempotency-Key", where="header")
        assert len(ids(admin.get("/tickets"))) == 6

    def test_others_keep_theirs(self, admin, other, monkeypatch):
        theirs = self.post(other.client("admin"), "theirs")
        monkeypatch.setattr(idempotency, "MOST_KEPT", 1)
        self.post(admin, "mine")
        assert self.post(other.client("admin"), "theirs").content == theirs.content

    def test_an_answer_without_a_body_takes_no_room_and_stays(self, service, tenant, admin, kept, monkeypatch):
        memory = idempotency.Idempotency([b"s" * 32])
        this = idempotency.Attempt(tenant.id, b"scope" * 6, b"fingerprint")
        with service.database.write() as tx:
            memory.store(tx, this, Response(204, [], b""), secret=False)
        monkeypatch.setattr(idempotency, "MOST_KEPT", 1)
        for key in ("one", "two"):
            self.post(admin, key)
        assert kept()[:2] == [0, -1]
        with service.database.read() as tx:
            again = memory.replay(tx, this)
        assert again is not None
        assert (again.status, again.body) == (204, b"")

    def test_what_is_told_of_one_that_is_gone(self, admin, monkeypatch):
        monkeypatch.setattr(idempotency, "MAX_KEPT", 10)
        first = self.post(admin, "k")
        again = self.post(admin, "k")
        told = problem(again, 409, "idempotency_answer_gone", "/Idempotency-Key", where="header")
        assert again.headers["location"] == first.headers["location"]
        assert "was done and answered with 201" in told["detail"]
        assert first.headers["location"] in told["detail"]
        assert "idempotency-replayed" not in again.headers
        assert len(ids(admin.get("/tickets"))) == 1
        problem(
            self.post(admin, "k", subject="Other"), 422, "idempotency_key_reused", "/Idempotency-Key", where="header"
        )

    def test_of_one_that_made_nothing_there_is_no_location(self, admin, monkeypatch):
        monkeypatch.setattr(idempotency, "MAX_KEPT", 10)
        body = {"subject": "S", "description": "", "team_id": NOBODY}
        problem(admin.post("/tickets", json=body, headers=KEY), 404, "not_found", "/team_id")
        answer = admin.post("/tickets", json=body, headers=KEY)
        problem(answer, 409, "idempotency_answer_gone", "/Idempotency-Key", where="header")
        assert "location" not in answer.headers
        assert "answered with 404" in answer.json()["detail"]

    def test_a_long_answer_is_packed_and_comes_again_as_it_was(self, tenant, admin, kept):
        operations = [
            {"op": "update", "id": tenant.ticket()["id"], "version": 1, "patch": {"priority": "low"}} for _ in range(20)
        ]
        first, again = (
            admin.post("/tickets/bulk", json={"operations": operations}, headers={"idempotency-key": "bulk"})
            for _ in range(2)
        )
        assert first.status_code == 200
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert 0 < kept()[-1] < len(first.content) / 4
