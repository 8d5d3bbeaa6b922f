"""Rate limits: counted per key or address, told on every answer."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import time_machine
from structlog.testing import capture_logs

from api.checks import NOBODY, problem
from factories import Client, Tenant
from service import ThreadService
from tickets.app import create_app
from tickets.domain import passwords, sessions, users
from tickets.domain.access import Principal
from tickets.errors import InvalidCredentials, RateLimited, ServiceUnavailable
from tickets.http.exchange import Exchange
from tickets.http.pages import is_page
from tickets.http.rate_limit import FailedLogins, RateLimiter, counting_alone, network_of
from tickets.security import AccessTokens
from tickets.settings import Settings

START = datetime(2031, 1, 1, tzinfo=UTC)
FAMILIES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit")


def told(response: httpx.Response) -> tuple[str, ...]:
    return tuple(response.headers[name] for name in FAMILIES)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def slow(tenant: Tenant) -> Iterator[Client]:
    """A caller whose key has the limit that keys have unless they have another."""
    with tenant.client("admin", rate_limit=None) as client:
        yield client


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service of its own, in which somebody without a key is limited."""
    running = ThreadService(
        tmp_path_factory.mktemp("strict"),
        rate_limit_anonymous="3/minute",
        rate_limit_api_key="2/hour",
        rate_limit_pages="20/minute",
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service whose accounts and organizations have few requests."""
    running = ThreadService(
        tmp_path_factory.mktemp("crowded"),
        rate_limit_api_key="3/day",
        rate_limit_account="5/day",
        rate_limit_organization="8/day",
    )
    yield running
    running.stop()


class TestKeys:
    def test_five_a_second_and_then_a_429(self, slow, moment):
        for used in range(1, 6):
            response = slow.get("/organization")
            assert response.status_code == 200
            assert told(response)[:3] == ("5", str(5 - used), "1")
            assert told(response)[3].startswith('"api-key";q=5;w=1, "account";q=')
            assert told(response)[4].startswith(f'"api-key";r={5 - used};t=1, "account";r=')
        for _ in range(2):
            response = slow.get("/organization")
            assert "'api-key' of 5/second" in problem(response, 429, "rate_limited")["detail"]
            assert told(response)[:3] == ("5", "0", "1")
            assert response.headers["retry-after"] == "1"
        moment.shift(timedelta(seconds=1, milliseconds=1))
        assert told(slow.get("/organization"))[1] == "4"

    @pytest.mark.usefixtures("moment")
    def test_a_key_has_its_own_limit_and_window(self, tenant):
        with tenant.client("agent", rate_limit="2/minute") as client:
            answers = [client.get("/organization") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert told(answers[2]) == ("2", "0", "60", '"api-key";q=2;w=60', '"api-key";r=0;t=60')
        assert answers[2].headers["retry-after"] == "60"

    @pytest.mark.usefixtures("moment")
    def test_each_key_is_counted_for_itself(self, tenant):
        user = tenant.user("agent")
        for _ in range(2):
            with Client(tenant.origin, tenant.key(user, rate_limit="1/hour")) as client:
                assert client.get("/organization").status_code == 200
                assert client.get("/organization").status_code == 429

    def test_every_answer_tells_both_families(self, tenant):
        with tenant.client("admin", rate_limit="1000/hour") as client:
            ticket = client.post("/tickets", json={"subject": "S", "description": ""}).json()["id"]
            answers = [
                client.get("/tickets"),
                client.get(f"/tickets/{ticket}", headers={"if-none-match": "*"}),
                client.patch(f"/tickets/{ticket}", json={"tags": ["a"]}, headers={"if-match": '"7"'}),
                client.get(f"/tickets/{NOBODY}"),
                client.get("/tickets?surprise=1"),
                client.get("/organizations"),
                client.post("/tickets", json={}),
                client.post("/tickets", content=b"x"),
                client.delete(f"/tickets/{ticket}"),
            ]
            assert [answer.status_code for answer in answers] == [200, 304, 412, 404, 400, 403, 400, 415, 204]
            assert [told(answer)[:2] for answer in answers] == [("1000", str(998 - n)) for n in range(9)]

    @pytest.mark.usefixtures("moment")
    @pytest.mark.parametrize(
        ("method", "path", "request_body", "status"),
        [
            ("GET", "/nowhere", None, 404),
            ("GET", "/tickets/", None, 404),
            ("PUT", "/tickets", None, 405),
            ("GET", "/tickets/%zz", None, 400),
            ("GET", "/tickets?x=" + "x" * 9000, None, 414),
            ("POST", "/tickets", b"x" * 1_100_000, 413),
        ],
    )
    @pytest.mark.parametrize("scheme", ["x-api-key: {}", "authorization: Bearer {}"])
    def test_what_no_operation_answers_counts_for_the_key(self, tenant, method, path, request_body, status, scheme):
        key = tenant.key(tenant.user("agent"), rate_limit="2/hour")
        name, _, value = scheme.format(key).partition(": ")
        with Client(tenant.origin) as client:
            client.headers[name] = value
            answers = [client.request(method, path, content=request_body) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [status, status, 429]
            assert [told(answer)[:2] for answer in answers] == [("2", "1"), ("2", "0"), ("2", "0")]
            assert client.get("/organization").status_code == 429

    def test_a_page_that_is_none_counts_for_the_key_as_well(self, tenant):
        with tenant.client("agent", rate_limit="7/hour") as client:
            assert told(client.get(f"{tenant.origin}/nowhere"))[3] == '"api-key";q=7;w=3600'
            assert told(client.post(f"{tenant.origin}/docs"))[:2] == ("7", "5")

    @pytest.mark.usefixtures("moment")
    def test_what_no_operation_answers_counts_for_the_user_of_a_session(self, tenant, service):
        user = tenant.user("agent")
        with service.database.write() as tx:
            passwords.store(tx, user.id, "hash")
            opened = sessions.start(tx, user.id, "hash", lifetime=60_000)
        tokens = AccessTokens(service.settings.signing_keys(), 60)
        token, _ = tokens.write(opened.id, user.id, ends_at=opened.expires_at)
        with Client(tenant.origin) as client:
            client.headers["authorization"] = f"Bearer {token}"
            answers = [client.get(path) for path in ("/nowhere", "/organization", "/nowhere")]
        assert [answer.status_code for answer in answers] == [404, 200, 404]
        assert [told(answer)[1] for answer in answers] == ["999999", "999998", "999997"]
        assert told(answers[0])[3].startswith('"session";q=1000000;w=1, "account";')

    @pytest.mark.parametrize(
        "headers",
        [{"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}, {}],
        ids=str,
    )
    @pytest.mark.parametrize("path", ["/nowhere", "/tickets", "/tickets/%zz"])
    def test_bad_credentials_count_for_the_address(self, anonymous, headers, path):
        assert told(anonymous.get(path, headers=headers))[3].startswith('"anonymous";')

    @pytest.mark.parametrize(
        ("method", "path", "request_body", "status"),
        [
            ("GET", "/tickets/", None, 404),
            ("GET", "/tickets/%zz", None, 400),
            ("GET", "/tickets?x=" + "x" * 9000, None, 414),
            ("POST", "/tickets", b"x" * 1_100_000, 413),
        ],
    )
    def test_what_is_refused_at_the_door_tells_them_too(self, admin, method, path, request_body, status):
        response = admin.request(method, path, content=request_body)
        assert response.status_code == status
        assert len(told(response)) == 5

    def test_a_replayed_answer_counts(self, tenant):
        with tenant.client("admin", rate_limit="2/hour") as client:
            headers = {"idempotency-key": "k"}
            body = {"subject": "S", "description": ""}
            answers = [client.post("/tickets", json=body, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert "idempotency-replayed" not in answers[2].headers


class TestTogether:
    """What the keys and sessions of an account count together, and those of an organization."""

    @pytest.fixture
    def town(self, crowded: ThreadService) -> Iterator[Tenant]:
        made = Tenant(crowded.database, crowded.origin)
        yield made
        made.close()

    @staticmethod
    def ask(town: Tenant, *keys: str) -> list[tuple[int, str, str]]:
        """Ask once with each key; tell the status, what the tightest limit is, and what is left of it."""
        answers = []
        for key in keys:
            with Client(town.origin, key) as client:
                answer = client.get("/organization")
                answers.append((answer.status_code, *told(answer)[:2]))
        return answers

    @pytest.mark.usefixtures("moment")
    def test_the_keys_of_an_account_have_no_more_than_the_account(self, town):
        user = town.user("agent")
        keys = [town.key(user, rate_limit=None) for _ in range(4)]
        assert self.ask(town, *keys, *keys) == [
            (200, "3", "2"),
            (200, "3", "2"),
            (200, "5", "2"),
            (200, "5", "1"),
            (200, "5", "0"),
            *[(429, "5", "0")] * 3,
        ]
        with Client(town.origin, keys[3]) as client:
            refused = client.get("/organization")
        detail = problem(refused, 429, "rate_limited")["detail"]
        assert "'account' of 5/day" in detail
        assert "all keys and sessions of this account" in detail
        assert told(refused)[3] == '"api-key";q=3;w=86400, "account";q=5;w=86400, "organization";q=8;w=86400'
        assert int(refused.headers["retry-after"]) == int(told(refused)[2])

    @pytest.mark.usefixtures("moment")
    def test_sessions_and_keys_of_an_account_count_together(self, town):
        session = town.signed_in("agent")
        me = session.get("/auth/me").json()["id"]
        with town.database.read() as tx:
            user = users.by_id(tx, me)
        key = town.key(user, rate_limit=None)
        assert [session.get("/organization").status_code for _ in range(3)] == [200] * 3
        assert self.ask(town, key, key) == [(200, "5", "0"), (429, "5", "0")]
        assert session.get("/organization").status_code == 429

    @pytest.mark.usefixtures("moment")
    def test_the_accounts_of_an_organization_have_no_more_than_it_and_another_has_its_own(self, town, crowded):
        keys = [town.key(town.user("agent"), rate_limit=None) for _ in range(4)]
        answers = self.ask(town, *keys, *keys, *keys)
        assert [status for status, _, _ in answers] == [200] * 8 + [429] * 4
        assert answers[-1][1:] == ("8", "0")
        other = Tenant(crowded.database, crowded.origin)
        assert self.ask(other, other.key(other.user("agent"), rate_limit=None))[0][0] == 200
        other.close()

    @pytest.mark.usefixtures("moment")
    def test_what_a_narrower_limit_refuses_uses_up_no_wider_one(self, town):
        greedy, modest = town.user("agent"), town.user("agent")
        keys = [town.key(greedy, rate_limit=None) for _ in range(2)]
        assert [status for status, _, _ in self.ask(town, *[keys[0]] * 20)] == [200] * 3 + [429] * 17
        assert [status for status, _, _ in self.ask(town, *[keys[1]] * 20)] == [200] * 2 + [429] * 18
        key = town.key(modest, rate_limit=None)
        with Client(town.origin, key) as client:
            left = told(client.get("/organization"))[4]
        assert [int(left) for left in re.findall(r"r=([0-9]+)", left)] == [2, 4, 2]

    @pytest.mark.usefixtures("moment")
    def test_a_key_that_the_operator_gave_a_limit_is_counted_by_that_alone(self, town):
        user = town.user("agent")
        own, usual = town.key(user, rate_limit="20/day"), town.key(user, rate_limit=None)
        assert [status for status, _, _ in self.ask(town, *[own] * 21)] == [200] * 20 + [429]
        assert self.ask(town, usual) == [(200, "3", "2")]
        with Client(town.origin, own) as client:
            assert told(client.get("/organization"))[3] == '"api-key";q=20;w=86400'

    def test_what_an_organization_refuses_leaves_its_address_as_it_was(self):
        """An address is shared with people of other organizations, who want to sign in."""
        limiter = RateLimiter(Settings(rate_limit_organization="1/day", rate_limit_auth="3/day"))
        for number in range(1, 6):
            caller = Principal(number, 1, "agent", "A", frozenset({"*"}), session_id=number)
            if number == 1:
                limiter.count(Exchange("r", "192.0.2.1", "/"), caller, signing_in=True)
                continue
            with pytest.raises(RateLimited, match="organization"):
                limiter.count(Exchange("r", "192.0.2.1", "/"), caller, signing_in=True)
        exchange = Exchange("r", "192.0.2.1", "/")
        limiter.count(exchange, None, signing_in=True)
        assert dict(exchange.rate_headers or ())[b"x-ratelimit-remaining"] == b"1"

    def test_of_two_that_are_used_up_the_longer_is_told(self):
        limiter = RateLimiter(Settings(rate_limit_api_key="1/second", rate_limit_account="1/day"))
        caller = Principal(1, 1, "agent", "A", frozenset({"*"}), api_key_id=1, counts_as=1)
        with time_machine.travel(START, tick=False):
            exchange = Exchange("r", "192.0.2.1", "/")
            limiter.count(exchange, caller)
        headers = dict(exchange.rate_headers or ())
        assert (headers[b"x-ratelimit-remaining"], headers[b"x-ratelimit-reset"]) == (b"0", b"86400")


class TestAddresses:
    @pytest.fixture
    def nobody(self, strict: ThreadService) -> Iterator[Client]:
        with Client(strict.origin) as client:
            yield client

    def test_an_address_without_valid_credentials_is_limited(self, strict, nobody, moment):
        moment.shift(timedelta(hours=1))
        answers = [
            nobody.get("/tickets"),
            nobody.get("/tickets", headers={"x-api-key": "wrong"}),
            nobody.get("/nowhere"),
            nobody.get("/tickets"),
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 404, 429]
        assert [told(answer)[1] for answer in answers] == ["2", "1", "0", "0"]
        assert told(answers[3]) == ("3", "0", "60", '"anonymous";q=3;w=60', '"anonymous";r=0;t=60')
        problem(answers[3], 429, "rate_limited")
        assert answers[3].headers["retry-after"] == "60"
        assert "www-authenticate" not in answers[3].headers
        for path in ("/health", "/health/ready", "/_meta"):
            assert nobody.get(path).status_code == 200
            assert nobody.get(f"{strict.origin}{path}").status_code == 200
        for path in ("/", "/docs", "/openapi.json"):
            assert nobody.get(f"{strict.origin}{path}").status_code == 200
        moment.shift(timedelta(seconds=61))
        assert nobody.get("/tickets").status_code == 401

    def test_a_401_with_two_bad_credentials_counts_once(self, nobody, moment):
        moment.shift(timedelta(hours=3))
        headers = {"x-api-key": "wrong", "authorization": "Bearer tk_wrong"}
        assert [told(nobody.get("/tickets", headers=headers))[1] for _ in range(2)] == ["2", "1"]

    def test_a_valid_key_is_not_held_up_by_its_address(self, strict, nobody, moment):
        moment.shift(timedelta(hours=2))
        for _ in range(5):
            nobody.get("/tickets")
        tenant = Tenant(strict.database, strict.origin)
        with Client(strict.origin, tenant.key(tenant.user("agent"), rate_limit=None)) as client:
            answers = [client.get(path) for path in ("/nowhere", "/organization", "/nowhere")]
        assert [answer.status_code for answer in answers] == [404, 200, 429]
        assert told(answers[0])[3].startswith('"api-key";q=2;w=3600, "account";')
        tenant.close()


class TestPages:
    ADDRESSES = (
        *("/", "/docs", "/docs/", "/api-docs", "/openapi.yaml", "/openapi.json", "/reset-password", "/favicon.ico"),
        *("/docs/swagger-ui.css", "/docs/nothing.js", "/static/console.js", "/static/nothing.css"),
        *("/.well-known/nothing.json", "/.well-known/nothing"),
    )

    @pytest.fixture
    def visitor(self, strict: ThreadService) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=strict.origin) as client:
            yield client

    @pytest.mark.parametrize("path", ADDRESSES)
    def test_each_counts_for_its_address_and_beyond_the_limit_is_a_429(self, visitor, moment, path):
        moment.shift(timedelta(days=1, hours=self.ADDRESSES.index(path)))
        answers = [visitor.get(path) for _ in range(20)]
        assert [told(answer)[1] for answer in answers] == [str(left) for left in range(19, -1, -1)]
        refused = visitor.get(path)
        assert "'pages' of 20/minute" in problem(refused, 429, "rate_limited")["detail"]
        assert told(refused) == ("20", "0", "60", '"pages";q=20;w=60', '"pages";r=0;t=60')
        assert refused.headers["retry-after"] == "60"
        assert "x-request-id" in refused.headers
        moment.shift(timedelta(seconds=61))
        assert told(visitor.get(path))[1] == "19"

    def test_they_are_one_limit_that_has_nothing_to_do_with_any_other(self, visitor, moment):
        moment.shift(timedelta(days=2))
        for number in range(20):
            visitor.get(self.ADDRESSES[number % len(self.ADDRESSES)], headers={"x-api-key": "wrong"})
        assert [visitor.request(method, "/docs").status_code for method in ("GET", "HEAD")] == [429, 429]
        assert visitor.post("/reset-password").status_code == 429
        for path in ("/health", "/health/ready", "/_meta"):
            assert visitor.get(path).status_code == 200
        assert told(visitor.get("/api/v1/tickets"))[3] == '"anonymous";q=3;w=60'
        assert told(visitor.get("/nowhere"))[3] == '"anonymous";q=3;w=60'

    def test_all_that_is_served_beside_the_operations_is_a_page(self, service):
        app = create_app(Settings(var_dir=service.settings.var_dir))
        pages = _flask_of(app).blueprints["pages"]
        rules = [rule for rule in _flask_of(app).url_map.iter_rules() if rule.endpoint.startswith(f"{pages.name}.")]
        assert len(rules) > 10
        for rule in rules:
            for method in rule.methods - {"OPTIONS"}:
                assert is_page(method, re.sub(r"<[^>]*>", "x", rule.rule)), (method, rule.rule)


def _flask_of(app: Any) -> Any:
    """Find the Flask application behind the layers."""
    return app._app.app


class TestNetworks:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::1", "::/64"),
            ("", ""),
            ("unix", "unix"),
        ],
    )
    def test_a_client_counts_as_its_network(self, address, network):
        assert network_of(address) == network

    def test_every_limit_of_an_address_is_one_of_its_network(self):
        limiter = RateLimiter(Settings(rate_limit_anonymous="2/day", rate_limit_auth="2/day"))
        for signing_in, prefix in ((False, "2001:db8:1:2"), (True, "2001:db8:1:3")):
            for number in range(2):
                limiter.count(Exchange("r", f"{prefix}::{number}", "/"), None, signing_in=signing_in)
            with pytest.raises(RateLimited):
                limiter.count(Exchange("r", f"{prefix}::f", "/"), None, signing_in=signing_in)


class TestFailedLogins:
    def test_an_attempt_is_taken_back_in_the_minute_it_was_counted_in(self):
        failed = FailedLogins(Settings(rate_limit_login="2/minute"))
        with time_machine.travel(datetime(2031, 1, 1, 12, 0, 59, tzinfo=UTC), tick=False):
            begun = [failed._begin("192.0.2.1", "a@example.com") for _ in range(2)]
        with time_machine.travel(datetime(2031, 1, 1, 12, 1, 1, tzinfo=UTC), tick=False):
            for one in begun:
                failed._take_back(one)
            for _ in range(2):
                failed._begin("192.0.2.1", "a@example.com")
            with pytest.raises(RateLimited):
                failed._begin("192.0.2.1", "a@example.com")

    def test_who_succeeds_after_all_is_forgotten_takes_nothing_back(self):
        failed = FailedLogins(Settings(rate_limit_login="2/minute"))
        with failed.attempt("192.0.2.1", "a@example.com"):
            failed._windows._counts.clear()
        assert failed._windows._counts == {}

    @pytest.mark.parametrize("end", [ServiceUnavailable("Too much."), asyncio.CancelledError(), RuntimeError("x")])
    def test_what_ends_otherwise_than_with_a_wrong_password_is_none(self, end):
        failed = FailedLogins(Settings(rate_limit_login="2/day"))

        def attempt(error: BaseException) -> None:
            with failed.attempt("192.0.2.1", "a@example.com"):
                raise error

        for _ in range(5):
            with pytest.raises(type(end)):
                attempt(end)
        for expected in (InvalidCredentials, InvalidCredentials, RateLimited):
            with pytest.raises(expected):
                attempt(InvalidCredentials("Wrong."))

    def test_a_refusal_counts_for_nobody_else_behind_the_address(self):
        failed = FailedLogins(Settings(rate_limit_login="2/day"))

        def wrong(client: str, email: str) -> type[Exception]:
            with pytest.raises((InvalidCredentials, RateLimited)) as raised, failed.attempt(client, email):
                raise InvalidCredentials("Wrong.")
            return raised.type

        for number in range(3):
            wrong(f"192.0.2.{number}", "a@example.com")
        assert wrong("192.0.2.9", "a@example.com") is InvalidCredentials
        assert {wrong("192.0.2.9", "a@example.com") for _ in range(5)} == {RateLimited}  # it was wrong once
        assert [wrong("192.0.2.9", "b@example.com") for _ in range(2)] == [InvalidCredentials, RateLimited]


class TestCountingAlone:
    def test_a_second_process_on_the_database_is_told_of(self, tmp_path):
        with counting_alone(tmp_path / "tickets.db"), capture_logs() as said:
            with counting_alone(tmp_path / "tickets.db"):
                pass
            assert ["another process serves" in line["event"] for line in said] == [True]

    def test_one_after_another_is_alone(self, tmp_path):
        with capture_logs() as said:
            for _ in range(2):
                with counting_alone(tmp_path / "tickets.db"):
                    pass
        assert said == []

    def test_where_no_lock_can_be_made_it_serves_all_the_same(self, tmp_path):
        with capture_logs() as said, counting_alone(tmp_path / "nowhere" / "tickets.db"):
            assert ["nobody can tell" in line["event"] for line in said] == [True]
