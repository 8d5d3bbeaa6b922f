"""Who may call from where, what failures give away, and what the service refuses to start with."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from rawhttp import LEAKS, Connection, request

from factories import Client, Tenant
from service import ProcessService, ThreadService
from tickets.http.addresses import client_address
from tickets.http.cors import Cors
from tickets.http.guard import SECURITY_HEADERS
from tickets.settings import Settings, SettingsError

HOME = "https://app.example"
PREFLIGHT = {"access-control-request-method": "PATCH", "access-control-request-headers": "x-api-key,content-type"}


def allowed(answer: httpx.Response) -> str | None:
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that browsers may call from two origins."""
    running = ThreadService(tmp_path_factory.mktemp("cors"), cors_origins=(HOME, "http://127.0.0.1:5173"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service behind proxies it trusts."""
    proxies = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    running = ThreadService(tmp_path_factory.mktemp("proxy"), trusted_proxies=proxies, rate_limit_anonymous="100/day")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ProcessService, Tenant]]:
    """A service whose table of comments somebody dropped while it runs."""
    running = ProcessService(tmp_path_factory.mktemp("broken"))
    tenant = Tenant(running.database, running.origin)
    tenant.comment(tenant.ticket())
    with closing(sqlite3.connect(running.database.path)) as connection:
        connection.execute("DROP TABLE comments")
    yield running, tenant
    tenant.close()
    assert running.stop() == 0


class TestCors:
    """Browsers call from nowhere unless an origin is configured."""

    @pytest.mark.parametrize("origin", [HOME, "null", "http://127.0.0.1"])
    def test_it_is_closed_by_default(self, admin: Client, origin: str):
        answers = [
            admin.get("/tickets", headers={"origin": origin}),
            admin.get("/nothing", headers={"origin": origin}),
            admin.options("/tickets", headers={"origin": origin, **PREFLIGHT}),
        ]
        assert [answer.status_code for answer in answers] == [200, 404, 405]
        assert not any(name.startswith("access-control-") for answer in answers for name in answer.headers)

    @pytest.mark.parametrize(
        ("origin", "is_one"),
        [
            ("https://any.example:8443", True),
            ("capacitor://localhost", True),
            ("http://[::1]:3000", True),
            ("null", True),
            ("*", False),
            ("https://any.example/path", False),
            ("https://any.example, https://b.example", False),
            ('https://"><script>', False),
            ("https://" + "a" * 20_000, False),
        ],
    )
    def test_where_all_may_call_only_an_origin_is_repeated(self, origin: str, *, is_one: bool):
        scope = {"method": "GET", "headers": [(b"origin", origin.encode())]}
        said = dict(Cors(("*",)).headers(scope))
        assert said.get(b"access-control-allow-origin") == (origin.encode() if is_one else None)

    def test_a_configured_origin_may_ask_and_read(self, opened: ThreadService):
        with Client(opened.origin) as client:
            for origin in (HOME, "http://127.0.0.1:5173"):
                preflight = client.options("/tickets/1", headers={"origin": origin, **PREFLIGHT})
                assert (preflight.status_code, allowed(preflight)) == (204, origin)
                assert "PATCH" in preflight.headers["access-control-allow-methods"]
                answer = client.get("/tickets", headers={"origin": origin})
                assert (answer.status_code, allowed(answer)) == (401, origin)
                assert "origin" in answer.headers["vary"].lower()

    def test_it_may_read_what_the_outermost_layer_refuses(self, opened: ThreadService):
        with Client(opened.origin) as client:
            answer = client.post("/tickets", content=b"x" * 2_000_000, headers={"origin": HOME})
            assert (answer.status_code, allowed(answer)) == (413, HOME)

    @pytest.mark.parametrize(
        "origin",
        [
            "https://app.example.evil.test",
            "https://evil.test/https://app.example",
            "http://app.example",
            "https://app.example:8443",
            "https://APP.example",
            "null",
            "*",
            "",
        ],
    )
    def test_any_other_origin_may_not(self, opened: ThreadService, origin: str):
        with Client(opened.origin) as client:
            assert allowed(client.get("/tickets", headers={"origin": origin})) is None
            preflight = client.options("/tickets", headers={"origin": origin, **PREFLIGHT})
            assert (preflight.status_code, allowed(preflight)) == (403, None)

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"origin": "https://evil.test"}, "origin"),
            ({"access-control-request-method": "TRACE"}, "no other method"),
            ({"access-control-request-method": "patch"}, "no other method"),
            ({"access-control-request-headers": "x-api-key, x-http-method-override"}, "x-request-id, and no other"),
        ],
        ids=str,
    )
    def test_a_refused_preflight_is_a_problem_that_tells_why(
        self, opened: ThreadService, asked: dict[str, str], reason: str
    ):
        with Connection(opened.port) as connection:
            headers = {"origin": HOME, **PREFLIGHT, **asked}
            lines = [f"{name}: {value}" for name, value in headers.items()]
            connection.send(request("OPTIONS", "/api/v1/tickets/1", "x-request-id: mine", *lines))
            answer = connection.answer()
        assert answer.status == 403
        problem = answer.problem()
        assert (problem["code"], problem["instance"]) == ("forbidden", "/api/v1/tickets/1")
        assert reason in problem["detail"]
        assert answer.headers.get("access-control-allow-origin") == (HOME if headers["origin"] == HOME else None)
        assert not answer.repeated

    @pytest.mark.parametrize(
        "name", ["authorization", "content-type", "Idempotency-Key", "if-match", "if-none-match", "X-Request-Id"]
    )
    def test_what_the_contract_reads_may_be_sent(self, opened: ThreadService, name: str):
        with Client(opened.origin) as client:
            asked = {"origin": HOME, **PREFLIGHT, "access-control-request-headers": f"x-api-key,{name}"}
            preflight = client.options("/tickets/1", headers=asked)
            assert preflight.status_code == 204
            assert name.lower() in preflight.headers["access-control-allow-headers"]

    def test_no_answer_of_the_api_is_kept_by_a_cache(self, opened: ThreadService):
        with Client(opened.origin) as client:
            for path in ("/tickets", "/nothing", "/health"):
                assert client.get(path).headers.get_list("cache-control") == ["no-store"]
            assert client.get(f"{opened.origin}/health").headers["cache-control"] == "no-store"
            assert client.get(f"{opened.origin}/openapi.yaml").headers.get("cache-control") != "no-store"

    def test_a_preflight_has_what_every_answer_has(self, opened: ThreadService):
        with Client(opened.origin) as client:
            asked = {"origin": HOME, **PREFLIGHT, "x-request-id": "mine"}
            preflight = client.options("/tickets/1", headers=asked)
        assert preflight.headers["x-request-id"] == "mine"
        for name, value in SECURITY_HEADERS:
            assert preflight.headers[name.decode()] == value.decode()

    def test_preflights_are_not_limited(self, tmp_path: Path):
        running = ThreadService(tmp_path, cors_origins=(HOME,), rate_limit_anonymous="1/hour")
        try:
            with Client(running.origin) as client:
                for origin, status in ((HOME, 204), ("https://evil.test", 403)):
                    answers = [client.options("/tickets", headers={"origin": origin, **PREFLIGHT}) for _ in range(3)]
                    assert [answer.status_code for answer in answers] == [status] * 3
                    assert not any("ratelimit" in answer.headers for answer in answers)
                assert client.get("/tickets").status_code == 401
        finally:
            running.stop()

    def test_an_options_that_is_no_preflight_is_as_elsewhere(self, opened: ThreadService):
        with Client(opened.origin) as client:
            for headers in ({"origin": HOME}, PREFLIGHT):
                assert client.options("/tickets", headers=headers).status_code == 405

    @pytest.mark.parametrize(
        ("method", "path", "content", "status"),
        [
            ("GET", "/tickets", None, 401),
            ("GET", "/nothing", None, 404),
            ("PUT", "/tickets", None, 405),
            ("GET", "/tickets/%zz", None, 400),
            ("POST", "/tickets", b" " * 2_000_000, 413),
            ("GET", "/health", None, 200),
        ],
    )
    def test_a_page_of_an_allowed_origin_may_read_any_answer(
        self, opened: ThreadService, method: str, path: str, content: bytes | None, status: int
    ):
        with Client(opened.origin) as client:
            for origin in (HOME, "https://evil.test"):
                answer = client.request(method, path, content=content, headers={"origin": origin})
                assert (answer.status_code, allowed(answer)) == (status, HOME if origin == HOME else None)
                # It keeps others from using an answer as an image or script; requests with CORS do not ask it.
                assert answer.headers.get_list("cross-origin-resource-policy") == ["same-origin"]
                assert answer.headers.get_list("vary") == ["origin"]

    def test_all_origins_may_be_allowed(self, tmp_path: Path):
        running = ThreadService(tmp_path, cors_origins=("*",))
        try:
            with Client(running.origin) as client:
                assert allowed(client.get("/health", headers={"origin": "https://any.test"})) == "https://any.test"
        finally:
            running.stop()

    def test_cookies_are_never_invited(self, opened: ThreadService):
        with Client(opened.origin) as client:
            answer = client.get("/tickets", headers={"origin": HOME})
            assert "access-control-allow-credentials" not in answer.headers


class TestForwardedFor:
    """The client's address is what a trusted proxy says, or the peer's."""

    def left(self, service: ThreadService, *forwarded: str) -> int:
        """Ask anonymously and tell what the address has left of its limit."""
        with httpx.Client(base_url=service.origin) as client:
            headers = [("x-forwarded-for", value) for value in forwarded]
            return int(client.get("/api/v1/tickets", headers=headers).headers["x-ratelimit-remaining"])

    def test_nobody_is_trusted_by_default(self, tmp_path: Path):
        running = ThreadService(tmp_path, rate_limit_anonymous="100/day")
        try:
            found = [self.left(running, *address) for address in ((), ("192.0.2.1",), ("192.0.2.2", "192.0.2.3"))]
            assert found == [found[0], found[0] - 1, found[0] - 2]
        finally:
            running.stop()

    def test_a_trusted_proxy_tells_who_asks(self, fronted: ThreadService):
        assert [self.left(fronted, f"203.0.113.{n}") for n in (1, 2, 1, 2, 1)] == [99, 99, 98, 98, 97]

    @pytest.mark.parametrize(
        ("stranger", "forwarded"),
        [
            ("192.0.2.1", ("198.51.100.9, 192.0.2.1",)),
            ("192.0.2.2", ("192.0.2.77, 192.0.2.2, 10.1.2.3",)),
            ("192.0.2.3", ("192.0.2.3, 10.1.2.3, 10.4.5.6",)),
            ("192.0.2.4", ("198.51.100.1", "192.0.2.4")),
            ("192.0.2.5", ("127.0.0.1, 192.0.2.5",)),
            ("192.0.2.6", ("nonsense, 192.0.2.6",)),
            ("192.0.2.7", ("192.0.2.7 ,,",)),
            ("192.0.2.8", ("192.0.2.8, 2001:db8::7",)),
            ("2001:db9::1", ("2001:db9::1, 10.0.0.1",)),
            ("192.0.2.9", ("192.0.2.9:5678, 10.0.0.1:80",)),
            ("192.0.2.10", ("192.0.2.10, ::ffff:10.0.0.1",)),
            ("192.0.2.11", ("::ffff:192.0.2.11",)),
            ("2001:db9:1::1", ("[2001:db9:1::1]:443, [2001:db8::1]:443",)),
            ("2001:db9:2::1", ('"[2001:db9:2::1]:443"',)),
            ("2001:db9:3::1", ('"[2001:db9:3::1]"',)),
            ("fe80::1", ("fe80::1%eth0",)),
            ("fe80:0:0:1::1", ('"[fe80:0:0:1::1%25eth0]:1"',)),
        ],
    )
    def test_what_stands_left_of_the_first_stranger_does_not_count(
        self, fronted: ThreadService, stranger: str, forwarded: tuple[str, ...]
    ):
        assert self.left(fronted, stranger) == 99
        assert self.left(fronted, *forwarded) == 98

    @pytest.mark.parametrize(
        "forwarded",
        [
            *("nonsense", "192.0.2.1; DROP TABLE", "", "1" * 5_000, "é", "unknown", "_hidden", "192.0.2.1:port"),
            *("192.0.2.1:123456", "[192.0.2.1", "[2001:db9::1", "[2001:db9::1]443", "fe80::1%" + "z" * 5_000),
            *("," * 60_000, "10.0.0.1, " * 6_000 + "nonsense"),
        ],
        ids=lambda text: text[:20],
    )
    def test_what_is_no_address_is_not_taken_for_one(self, fronted: ThreadService, forwarded: str):
        before = self.left(fronted)
        with Connection(fronted.port) as connection:
            connection.send(request("GET", "/api/v1/tickets", f"x-forwarded-for: {forwarded}"))
            answer = connection.answer()
        assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (401, str(before - 1))

    @pytest.mark.parametrize(
        ("peer", "forwarded", "client"),
        [
            ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "192.0.2.1, " + "10.0.0.2, " * 40, "10.0.0.2"),
            ("10.0.0.1", "fe80::1%" + "z" * 50, "fe80::1"),
            ("192.0.2.5", "192.0.2.1", "192.0.2.5"),
            ("fe80::1%" + "z" * 5_000, "192.0.2.1", ("fe80::1%" + "z" * 5_000)[:64]),
            ("", "192.0.2.1", ""),
        ],
        ids=lambda text: text[:20],
    )
    def test_who_asks_is_an_address_of_bounded_length(self, peer: str, forwarded: str, client: str):
        scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
        assert client_address(scope, (ip_network("10.0.0.0/8"),)) == client


class TestFailures:
    """What breaks inside stays inside."""

    def test_a_500_says_nothing_and_the_log_says_all(self, broken: tuple[ProcessService, Tenant]):
        running, tenant = broken
        admin = tenant.client("admin")
        answers = [
            admin.get("/comments", headers={"x-request-id": "reading"}),
            admin.post("/tickets/1/comments", json={"body": "hello"}, headers={"x-request-id": "writing"}),
            admin.post(
                "/comments",
                json={"ticket_id": 1, "body": "x"},
                headers={"x-request-id": "once", "idempotency-key": "k"},
            ),
        ]
        for answer, request_id in zip(answers, ("reading", "writing", "once"), strict=True):
            assert answer.status_code == 500
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["code"] == "internal_error"
            assert problem["request_id"] == request_id
            assert not LEAKS.search(answer.content)
            assert "comments" not in problem["detail"]
            assert str(running.var_dir) not in answer.text
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]
        failed = {line["request_id"]: line for line in lines if line["level"] == "error"}
        for request_id in ("reading", "writing", "once"):
            assert "Traceback" in failed[request_id]["exception"]
            assert "no such table" in failed[request_id]["exception"]
        assert (admin.key or "?") not in running.log.read_text()

    def test_everything_else_goes_on(self, broken: tuple[ProcessService, Tenant]):
        _, tenant = broken
        admin = tenant.client("admin")
        assert admin.get("/comments").status_code == 500
        assert admin.post("/comments", json={"ticket_id": 1, "body": "x"}).status_code == 500
        assert admin.get("/tickets/1").status_code == 200
        assert tenant.contact()["id"]


def test_a_refusal_stays_one_while_the_database_does_not_say_who_asks(tmp_path: Path):
    running = ThreadService(tmp_path)
    try:
        with closing(sqlite3.connect(running.database.path)) as connection:
            connection.execute("DROP TABLE api_keys")
        with Client(running.origin, "tk_aaaaaaaa_bbb") as client:
            answers = [client.get("/nowhere"), client.put("/tickets"), client.get("/tickets/%zz")]
        assert [answer.status_code for answer in answers] == [404, 405, 400]
        assert not any("ratelimit" in answer.headers for answer in answers)
    finally:
        running.stop()


class TestSecrets:
    """The signing key is the operator's, or one that only the owner of the service can read."""

    def test_the_embedded_key_is_made_once_and_readable_by_its_owner_only(self, service: ThreadService):
        file = service.settings.var_dir / "secret.key"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_bytes()) >= 32
        assert service.settings.signing_keys() == [file.read_bytes()]

    def test_its_mode_does_not_depend_on_the_umask(self, tmp_path: Path):
        before = os.umask(0)
        try:
            Settings(var_dir=tmp_path).make_secret_key()
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600

    def test_two_services_do_not_share_one(self, tmp_path: Path):
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        settings = [Settings(var_dir=tmp_path / name) for name in ("a", "b")]
        for each in settings:
            each.make_secret_key()
        assert settings[0].signing_keys() != settings[1].signing_keys()

    def test_the_secret_is_not_in_the_text_of_the_settings(self, tmp_path: Path):
        secret = "correct-horse-battery-staple-and-more"
        assert secret not in repr(Settings(var_dir=tmp_path, secret_key=secret))

    def test_production_without_a_secret_refuses(self, tmp_path: Path):
        with pytest.raises(SettingsError, match="TICKETS_SECRET_KEY"):
            Settings.from_env({"TICKETS_ENV": "production", "TICKETS_VAR_DIR": str(tmp_path)})

    @pytest.mark.parametrize("env", [{"TICKETS_ENV": "production"}, {"TICKETS_SECRET_KEY": "short"}])
    def test_serve_refuses_it_in_one_line(self, tmp_path: Path, env: dict[str, str]):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKETS_")}
        ended = subprocess.run(
            [sys.executable, "-m", "tickets", "serve"],
            env={**environment, "TICKETS_VAR_DIR": str(tmp_path), **env},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "TICKETS_SECRET_KEY" in ended.stderr
        assert "short" not in ended.stderr.replace("too short", "")
        assert not (tmp_path / "secret.key").exists()

    @pytest.mark.parametrize("command", [("serve", "--host", "0.0.0.0"), ("worker",)])  # noqa: S104 - it does not start
    def test_production_mails_no_link_to_an_address_that_nobody_reaches(self, tmp_path: Path, command: tuple[str, ...]):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKETS_")}
        production = {"TICKETS_ENV": "production", "TICKETS_SECRET_KEY": "x" * 32, "TICKETS_VAR_DIR": str(tmp_path)}
        ended = subprocess.run(
            [sys.executable, "-m", "tickets", *command],
            env={**environment, **production},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "TICKETS_PASSWORD_RESET_URL" in ended.stderr
