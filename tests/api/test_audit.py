"""The audit log: a row for each request, and who may read it."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import time_machine
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from api.checks import NOBODY, ids, problem
from factories import PASSWORD, Client, Tenant
from jobs.workbench import until
from service import ThreadService
from tickets import clock
from tickets.domain import passwords
from tickets.http import audit, redaction

OUTDATED = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""A hash of the password as it would be made no more."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that flushes often, so that tests need not wait for long."""
    running = ThreadService(tmp_path_factory.mktemp("audit"), audit_flush_seconds=0.01)
    yield running
    running.stop()


@pytest.fixture
def row(service: ThreadService) -> Callable[..., dict[str, Any]]:
    """Find the one row of an answer."""
    return lambda answer: until(lambda: stored(service, answer))


def rows(service: ThreadService, sql: str, *values: Any) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(service.database.path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(found) for found in connection.execute(sql, values)]


def stored(service: ThreadService, answer: httpx.Response) -> dict[str, Any] | None:
    found = rows(service, "SELECT * FROM audit_log WHERE request_id = ?", answer.headers["x-request-id"])
    assert len(found) <= 1
    return found[0] if found else None


def shown(client: Client, answer: httpx.Response, **params: Any) -> list[dict[str, Any]]:
    """List what the API shows of a request."""
    data = client.get("/audit-log", params={"limit": 200, **params}).json()["data"]
    return [entry for entry in data if entry["request_id"] == answer.headers["x-request-id"]]


class TestListAuditLog:
    def test_an_entry_says_who_asked_for_what_and_what_came_of_it(self, tenant, admin, service):
        before = clock.now()
        answer = admin.post(
            "/tickets", json={"subject": "Printer", "description": "It burns."}, headers={"user-agent": "tests/1"}
        )
        [entry] = shown(admin, answer)
        assert before - 1 <= clock.parse_rfc3339(entry["created_at"]) <= clock.now()
        assert 0 <= entry["duration_ms"] < 10_000
        expected = {
            "organization_id": tenant.id,
            "user_id": tenant.users["admin"].id,
            "session_id": None,
            "method": "POST",
            "operation": "createTicket",
            "path": "/api/v1/tickets",
            "query": "",
            "status": 201,
            "ip": "127.0.0.1",
            "user_agent": "tests/1",
            "body": '{"subject":"Printer","description":"It burns."}',
            "request_id": answer.headers["x-request-id"],
        }
        assert expected.items() <= entry.items()
        [key] = rows(service, "SELECT id FROM api_keys WHERE user_id = ?", tenant.users["admin"].id)
        assert entry["api_key_id"] == key["id"]

    def test_an_admin_never_sees_the_entries_of_another_tenant(self, admin, other, row):
        answer = other.client().post("/teams", json={"name": "Theirs"})
        refused = other.client("user").get("/users")
        row(refused)
        assert shown(other.client(), answer)
        assert shown(other.client(), refused)
        assert not shown(admin, answer)
        assert not shown(admin, refused)

    def test_what_nobody_signed_in_for_is_the_operators_to_see(self, tenant, admin, anonymous, row):
        answer = anonymous.get("/tickets")
        assert row(answer)["organization_id"] is None
        assert not shown(admin, answer)
        assert shown(tenant.client("platform"), answer)

    def test_the_operator_sees_all(self, tenant, other):
        answer = other.client().post("/teams", json={"name": "Theirs"})
        [entry] = shown(tenant.client("platform"), answer)
        assert entry["organization_id"] == other.id

    @pytest.mark.parametrize("role", ["agent", "user"])
    def test_others_may_not_read_it(self, tenant, role):
        problem(tenant.client(role).get("/audit-log"), 403, "forbidden")

    def test_it_filters_with_or_inside_a_filter_and_and_between_them(self, tenant, admin, agent, row):
        tickets = [tenant.ticket() for _ in range(2)]
        answers = {
            "read": agent.get(f"/tickets/{tickets[0]['id']}"),
            "change": agent.patch(f"/tickets/{tickets[0]['id']}", json={"priority": "low"}),
            "missing": agent.get(f"/tickets/{NOBODY}"),
            "deleted": admin.delete(f"/tickets/{tickets[1]['id']}"),
        }
        ids_of = {name: row(answer)["id"] for name, answer in answers.items()}
        key_id = row(answers["read"])["api_key_id"]

        def found(**params: Any) -> set[str]:
            listed = set(ids(admin.get("/audit-log", params={"limit": 200, **params})))
            return {name for name, entry_id in ids_of.items() if entry_id in listed}

        assert found() == set(ids_of)
        assert found(user_id=tenant.users["agent"].id) == {"read", "change", "missing"}
        assert found(api_key_id=key_id) == {"read", "change", "missing"}
        assert found(method=["PATCH", "DELETE"]) == {"change", "deleted"}
        assert found(operation="getTicket") == {"read", "missing"}
        assert found(operation=["getTicket", "deleteTicket"], status=[200, 204]) == {"read", "deleted"}
        assert found(status=404) == {"missing"}
        assert found(ip="127.0.0.1") == set(ids_of)
        assert found(ip="203.0.113.7") == set()
        moment = clock.rfc3339(row(answers["missing"])["created_at"])
        assert found(created_from=moment) >= {"missing", "deleted"}
        assert "missing" not in found(created_to=moment)
        assert found(created_from=clock.rfc3339(clock.now() + clock.HOUR)) == set()

    def test_an_unknown_filter_is_refused(self, admin):
        problem(admin.get("/audit-log", params={"path": "/x"}), 400, "invalid_request", "/path", where="query")

    def test_a_walk_by_cursor_sees_each_entry_once_though_it_makes_new_ones(self, tenant, admin):
        for _ in range(7):
            tenant.team()
        every = ids(admin.get("/audit-log", params={"sort": "created_at", "method": "POST"}))
        assert len(every) == 7
        walked: list[int] = []
        params = {"limit": 2, "sort": "-created_at", "method": "POST"}
        while True:
            page = admin.get("/audit-log", params=params).json()
            walked += [entry["id"] for entry in page["data"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert walked == every[::-1]


class TestARowForEachRequest:
    @pytest.mark.parametrize(
        ("status", "ask"),
        [
            (200, lambda tenant: tenant.client().get("/tickets")),
            (201, lambda tenant: tenant.client().post("/teams", json={"name": "T"})),
            (400, lambda tenant: tenant.client().get("/tickets", params={"limit": 0})),
            (401, lambda tenant: tenant.client().get("/tickets", headers={"x-api-key": "tk_unknown"})),
            (403, lambda tenant: tenant.client("user").get("/users")),
            (404, lambda tenant: tenant.client().get(f"/tickets/{NOBODY}")),
            (404, lambda tenant: tenant.client().get("/nowhere")),
            (405, lambda tenant: tenant.client().put("/tickets")),
            (409, lambda tenant: tenant.client().patch(f"/teams/{tenant.team()['id']}", json={"version": 9})),
            (413, lambda tenant: tenant.client().post("/teams", content=b"x" * 2_000_000)),
            (414, lambda tenant: tenant.client().get("/tickets", params={"q": "x" * 9_000})),
            (415, lambda tenant: tenant.client().post("/teams", content=b"x")),
        ],
    )
    def test_whatever_its_answer_is(self, tenant, row, status, ask):
        answer = ask(tenant)
        assert answer.status_code == status
        found = row(answer)
        assert (found["status"], found["path"]) == (status, answer.request.url.path)

    def test_who_was_refused_is_known(self, tenant, row):
        found = row(tenant.client("user").get("/users"))
        assert (found["organization_id"], found["user_id"]) == (tenant.id, tenant.users["user"].id)
        assert found["operation"] == "listUsers"

    def test_a_429(self, tenant, row):
        with tenant.client("admin", rate_limit="1/day") as client:
            answers = [client.get("/tickets") for _ in range(2)]
        assert [row(answer)["status"] for answer in answers] == [200, 429]

    def test_a_request_with_a_session_names_it(self, tenant, row):
        client = tenant.signed_in("agent")
        found = row(client.get("/tickets"))
        assert found["session_id"] is not None
        assert found["api_key_id"] is None

    def test_a_failure_of_our_own(self, admin, service, row):
        with closing(sqlite3.connect(service.database.path, timeout=10)) as connection:
            connection.execute("ALTER TABLE teams RENAME TO away")
            answer = admin.get("/teams")
            connection.execute("ALTER TABLE away RENAME TO teams")
        assert answer.status_code >= 500
        assert row(answer)["status"] == answer.status_code

    def test_health_version_and_pages_are_no_news(self, anonymous, service, row):
        with httpx.Client(base_url=service.origin) as client:
            silent = [client.get(path) for path in ("/health", "/", "/openapi.json", "/api/v1/_meta", "/nowhere")]
        row(anonymous.get("/tickets"))  # what came before it would be there by now
        assert [stored(service, answer) for answer in silent] == [None] * 5

    def test_a_body_is_kept_also_when_it_was_refused_but_not_when_it_is_no_json(self, admin, row):
        assert row(admin.post("/teams", json={"name": "", "password": "swordfish"}))["body"] == (
            '{"name":"","password":"[redacted]"}'
        )
        headers = {"content-type": "application/json"}
        assert row(admin.post("/teams", content=b'{"password": "swordfish"', headers=headers))["body"] is None

    def test_signing_in_is_noted_without_the_password(self, tenant, anonymous, row):
        user = tenant.with_password("agent")
        answer = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD})
        assert answer.status_code == 200
        entry = row(answer)
        assert entry["body"] == f'{{"email":"{user.email}","password":"[redacted]"}}'
        assert (entry["organization_id"], entry["user_id"]) == (user.organization_id, user.id)
        assert entry["session_id"] is not None

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ({"email": "a@b.example", "pass": "swordfish", "pwd": "swordfish"}, '{"email":"a@b.example"}'),
            ({"swordfish": 1, "password": "swordfish"}, '{"password":"[redacted]"}'),
            ({"email": {"is": "swordfish"}}, '{"email":"[redacted]"}'),
            (["swordfish"], '"[redacted]"'),
            ("swordfish", '"[redacted]"'),
        ],
    )
    def test_of_a_refused_login_only_what_the_contract_knows_is_kept(self, anonymous, row, sent, kept):
        answer = anonymous.post("/auth/login", json=sent)
        assert answer.status_code == 400
        assert row(answer)["body"] == kept


class TestTheRowOfAWrite:
    @pytest.fixture
    def service(self, tmp_path: Any) -> Iterator[ThreadService]:
        """A service that flushes so seldom that a row which is there at once was not flushed."""
        running = ThreadService(tmp_path, audit_flush_seconds=3_600)
        yield running
        running.stop()

    def test_is_there_when_its_answer_is(self, tenant, admin, service):
        team = tenant.team()
        for answer in (
            admin.patch(f"/teams/{team['id']}", json={"name": "Other"}),
            admin.post("/teams", json={"name": "Next"}, headers={"idempotency-key": "k"}),
            admin.delete(f"/teams/{team['id']}"),
        ):
            found = stored(service, answer)
            assert found is not None
            assert found["status"] == answer.status_code

    def test_so_is_that_of_a_repeat_and_of_a_refusal_that_is_remembered(self, admin, service):
        for _ in range(2):
            headers = {"idempotency-key": f"k{next(_numbers)}"}
            body = {"ticket_id": NOBODY, "body": "On it."}
            first, again = (admin.post("/comments", json=body, headers=headers) for _ in range(2))
            assert again.headers["idempotency-replayed"] == "true"
            assert [stored(service, answer)["status"] for answer in (first, again)] == [404, 404]

    def test_so_is_that_of_signing_up_and_in_and_of_what_is_refused_there(self, tenant, anonymous, service):
        user = tenant.with_password("agent")
        signed_in = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD})
        refresh = {"refresh_token": signed_in.json()["refresh_token"]}
        new = {"email": f"new-{user.email}", "name": "New", "password": PASSWORD}
        code = {"code": "000000"}
        answers = [
            (200, signed_in),
            (200, anonymous.post("/auth/refresh", json=refresh)),
            (401, anonymous.post("/auth/refresh", json=refresh)),
            (201, anonymous.post("/auth/register", json={**new, "organization_name": "New"})),
            (404, anonymous.post("/auth/register", json={**new, "organization_slug": "nowhere"})),
            (401, anonymous.post("/auth/email-otp/verify", json={"email": user.email, **code})),
            (401, anonymous.post("/auth/email-otp/verify", json={"email": f"nobody-{user.email}", **code})),
            (401, anonymous.post("/auth/password-reset/confirm", json={"token": "x" * 43, "password": PASSWORD})),
        ]
        for status, answer in answers:
            assert answer.status_code == status
            assert stored(service, answer)["status"] == status
        named = [stored(service, answer)["user_id"] for _, answer in answers]
        assert named == [user.id, user.id, *[None] * 6]

    def test_a_sign_in_that_renews_an_old_hash_writes_once(self, tenant, anonymous, service):
        user = tenant.user("agent")
        with service.database.write() as tx:
            passwords.store(tx, user.id, OUTDATED)
        answer = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD})
        entry = stored(service, answer)
        assert (entry["status"], entry["user_id"]) == (200, user.id)
        assert entry["session_id"] is not None
        with service.database.read() as tx:
            assert passwords.of_user(tx, user.id) != OUTDATED

    def test_a_sign_in_that_is_not_stored_was_nobodys(self, tenant, anonymous, service):
        user = tenant.user("agent")
        with service.database.write() as tx:
            passwords.store(tx, user.id, OUTDATED)
        with closing(sqlite3.connect(service.database.path, timeout=10)) as connection:
            connection.execute(
                "CREATE TRIGGER refused BEFORE INSERT ON passwords BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
            with capture_logs() as lines:
                answer = anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD})
            connection.execute("DROP TRIGGER refused")
        assert answer.status_code >= 500
        assert stored(service, answer) is None
        assert [line["user"] for line in lines if line["event"] == "request"] == [None]

    def test_an_organization_that_deletes_itself_leaves_its_row_to_the_operator(self, service, tenant, other):
        own = other.client("platform")
        answer = own.delete(f"/organizations/{other.id}")
        assert answer.status_code == 204
        found = stored(service, answer)
        assert found is not None
        assert found["organization_id"] is None
        assert shown(tenant.client("platform"), answer)

    def test_is_not_there_when_the_write_was_undone(self, admin, service):
        with closing(sqlite3.connect(service.database.path, timeout=10)) as connection:
            connection.execute(
                "CREATE TRIGGER refused BEFORE INSERT ON contacts BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
            answer = admin.post("/contacts", json={"email": "a@b.example", "name": "A"})
            connection.execute("DROP TRIGGER refused")
        assert answer.status_code >= 500
        assert stored(service, answer) is None  # its failure waits with the reads, for the next flush


class TestADatabaseThatTakesNoRows:
    @pytest.fixture
    def service(self, tmp_path: Any) -> Iterator[ThreadService]:
        """A service of its own, since the test breaks it."""
        running = ThreadService(tmp_path, audit_flush_seconds=0.01)
        yield running
        running.stop()

    def test_breaks_no_request_and_rows_come_when_it_takes_them_again(self, service, tenant, admin, anonymous, row):
        user = tenant.with_password("agent")
        with closing(sqlite3.connect(service.database.path, timeout=10)) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
            answers = [
                admin.post("/teams", json={"name": "T"}),
                admin.post("/teams", json={"name": "U"}, headers={"idempotency-key": "k"}),
                admin.get("/teams"),
                admin.get("/nowhere"),
                anonymous.post("/auth/email-otp/verify", json={"email": "a@b.example", "code": "000000"}),
                anonymous.post("/auth/login", json={"email": user.email, "password": PASSWORD}),
            ]
            assert [answer.status_code for answer in answers] == [201, 201, 200, 404, 401, 200]
            assert len(ids(admin.get("/teams"))) == 2
            assert rows(service, "SELECT * FROM audit_log WHERE operation = 'createTeam'") == []
            connection.execute("DROP TRIGGER full")
        assert [row(answer)["status"] for answer in answers] == [201, 201, 200, 404, 401, 200]

    def test_a_tenant_that_goes_before_its_rows_are_stored_does_not_stop_those_of_others(self, tmp_path):
        slow = ThreadService(tmp_path / "slow", audit_flush_seconds=2)
        gone, stays = (Tenant(slow.database, slow.origin) for _ in range(2))
        answers = [gone.client().get("/tickets"), stays.client().get("/tickets")]
        assert stays.client("platform").delete(f"/organizations/{gone.id}").status_code == 204
        slow.stop()
        found = [stored(slow, answer) for answer in answers]
        assert [entry and entry["organization_id"] for entry in found] == [None, stays.id]
        for tenant in (gone, stays):
            tenant.close()


class TestNobody:
    """Who is refused cannot fill the disk, signed in or not."""

    @pytest.fixture
    def service(self, tmp_path: Any) -> Iterator[ThreadService]:
        """A service that lets nobody ask for much."""
        running = ThreadService(
            tmp_path,
            audit_flush_seconds=0.01,
            rate_limit_anonymous="3/hour",
            rate_limit_auth="1/hour",
            cors_origins=("https://a.example",),
        )
        yield running
        running.stop()

    def statuses(self, service: ThreadService) -> list[int]:
        return [entry["status"] for entry in rows(service, "SELECT status FROM audit_log ORDER BY id")]

    def test_of_the_429s_of_an_address_the_first_in_a_window_is_kept(self, service, anonymous):
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as moment:
            assert [anonymous.get("/nowhere").status_code for _ in range(9)] == [404] * 3 + [429] * 6
            until(lambda: self.statuses(service) == [404, 404, 404, 429])
            moment.shift(timedelta(hours=1))
            answers = [anonymous.post("/auth/login", json={}).status_code for _ in range(9)]
            assert answers == [400] + [429] * 8
            until(lambda: self.statuses(service)[4:] == [400, 429, 429])  # one of each limit

    def test_so_it_is_of_those_of_a_key(self, service):
        tenant = Tenant(service.database, service.origin)
        with (
            time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as moment,
            tenant.client("agent", rate_limit="2/minute") as client,
        ):
            assert [client.get(path).status_code for path in ["/teams", "/nowhere"] * 4] == [200, 404] + [429] * 6
            moment.shift(timedelta(minutes=1))
            assert [client.post("/teams", json={}).status_code for _ in range(5)] == [403, 403, 429, 429, 429]
            until(lambda: self.statuses(service) == [200, 404, 429, 403, 403, 429])
        tenant.close()

    def test_a_hundred_keys_of_an_organization_leave_no_more_rows_than_three_a_minute_and_limit(self, tmp_path):
        running = ThreadService(tmp_path / "many", audit_flush_seconds=0.01, rate_limit_api_key="2/second")
        tenant = Tenant(running.database, running.origin)
        user, other = tenant.user("agent"), Tenant(running.database, running.origin)
        callers = [Client(running.origin, tenant.key(user, rate_limit=None)) for _ in range(100)]
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as moment:
            for caller in callers:
                answers = [caller.get(f"/teams?q={'x' * 3_000}").status_code for _ in range(4)]
                assert answers == [400, 400, 429, 429]
                caller.close()
            with other.client("agent", rate_limit="1/minute") as client:
                assert [client.get("/teams").status_code for _ in range(3)] == [200, 429, 429]
            moment.shift(timedelta(minutes=1))
            with tenant.client("agent", rate_limit="1/minute") as client:
                assert [client.get("/teams").status_code for _ in range(3)] == [200, 429, 429]
        refused = "FROM audit_log WHERE status = 429"
        until(lambda: len(rows(running, "SELECT id FROM audit_log")) == 200 + 3 + 2 + 2)
        [size] = rows(running, f"SELECT sum(length(path) + length(query) + length(user_agent)) AS bytes {refused}")
        kept = [row["organization_id"] for row in rows(running, f"SELECT organization_id {refused} ORDER BY id")]
        assert kept == [tenant.id] * 3 + [other.id, tenant.id]
        assert size["bytes"] < 5 * 900
        tenant.close()
        other.close()
        running.stop()

    def test_little_is_kept_of_a_refused_one_that_somebody_signed(self, service, row):
        tenant, long = Tenant(service.database, service.origin), "x" * 3_000
        answer = tenant.client().post(f"/teams?q={long}", json={"name": long}, headers={"user-agent": long})
        entry = row(answer)
        assert answer.status_code == 400
        for name in ("query", "user_agent"):
            assert len(entry[name]) == audit.MAX_REFUSED + len(redaction.CUT)
        answer = tenant.client().post("/teams", json={"name": long})
        assert len(row(answer)["body"]) == audit.MAX_REFUSED_BODY + len(redaction.CUT)
        tenant.close()

    def test_little_is_kept_of_what_a_refused_one_sent(self, anonymous, row):
        long = "x" * 3_000
        answer = anonymous.post(f"/auth/{long}?q={long}", headers={"user-agent": long})
        entry = row(answer)
        for name in ("path", "query", "user_agent"):
            assert entry[name].endswith("x… [cut]")
            assert len(entry[name]) == audit.MAX_REFUSED + len(redaction.CUT)
        answer = anonymous.post("/auth/login", json={"email": long, "password": "x"})
        assert len(row(answer)["body"]) == audit.MAX_REFUSED + len(redaction.CUT)

    def test_a_question_of_a_browsers_own_leaves_none(self, service, anonymous):
        for origin, status in (("https://a.example", 204), ("https://b.example", 403)):
            asked = {"origin": origin, "access-control-request-method": "GET"}
            assert anonymous.options("/tickets", headers=asked).status_code == status
        anonymous.get("/nowhere")
        until(lambda: self.statuses(service) == [404])


def test_a_service_that_is_told_to_keep_none_keeps_none(tmp_path):
    silent = ThreadService(tmp_path, audit="off")
    tenant = Tenant(silent.database, silent.origin)
    tenant.team()
    tenant.client().get("/teams")
    assert shown(tenant.client(), tenant.client().get("/nowhere")) == []
    tenant.close()
    silent.stop()
    assert rows(silent, "SELECT * FROM audit_log") == []
