"""What every answer has or tells, seen byte for byte: ids, security headers, methods, HEAD."""

import pytest
from rawhttp import JSON, Connection, answer_to, post, request

from tickets.http.guard import SECURITY_HEADERS


def test_head_answers_as_get_without_the_body(connection: Connection, key: str):
    get = answer_to(connection, request("GET", "/api/v1/organization", key))
    connection.send(request("HEAD", "/api/v1/organization", key))
    head = connection.answer(head=True)
    assert head.status == 200
    for name in ("content-type", "etag", "content-length"):
        assert head.headers[name] == get.headers[name]
    assert answer_to(connection, request("GET", "/health")).status == 200


def test_head_of_nothing_is_a_404(connection: Connection, key: str):
    connection.send(request("HEAD", "/api/v1/tickets/1000000000", key))
    assert connection.answer(head=True).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("OPTIONS", "/api/v1/tickets", {"GET", "HEAD", "POST"}),
        ("DELETE", "/api/v1/tickets", {"GET", "HEAD", "POST"}),
        ("POST", "/api/v1/tickets/1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("POST", "/api/v1/teams/1/members/1", {"PUT", "DELETE"}),
        ("GET", "/api/v1/teams/1/members/1", {"PUT", "DELETE"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/docs", {"GET", "HEAD"}),
    ],
)
def test_a_405_tells_what_is_allowed(connection: Connection, key: str, method: str, path: str, allow: set[str]):
    answer = answer_to(connection, request(method, path, key))
    assert answer.status == 405
    assert answer.problem()["code"] == "method_not_allowed"
    assert set(answer.headers["allow"].split(", ")) == allow


@pytest.mark.parametrize("sane", ["a", "x" * 128, "7d0e1f2c-8a4b.1_2"])
def test_a_sane_request_id_comes_back(connection: Connection, sane: str):
    assert answer_to(connection, request("GET", "/health", f"X-Request-Id: {sane}")).headers["x-request-id"] == sane


@pytest.mark.parametrize(
    "line",
    [
        b"x-request-id:",
        b"x-request-id: a b",
        b"x-request-id: a%0d%0ax-evil: 1",
        b"x-request-id: \xc3\xa9",
        b"x-request-id: <script>",
        b'x-request-id: {"$ne":1}',
        b"x-request-id: " + b"x" * 129,
        b"x-request-id: " + b"x" * 1_024,
    ],
)
def test_any_other_request_id_is_replaced(connection: Connection, line: bytes):
    answer = answer_to(connection, request("GET", "/api/v1/nothing", line))
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.problem()["request_id"] == answer.headers["x-request-id"]
    assert "x-evil" not in answer.headers


def test_a_request_id_cannot_smuggle_headers_in(connection: Connection):
    answer = answer_to(connection, request("GET", "/health", b"x-request-id: a\rx-evil: 1"))
    assert answer.status == 400
    assert "x-evil" not in answer.headers


def test_every_answer_carries_the_security_headers_once(connection: Connection, key: str):
    for data, status in [
        (request("GET", "/"), 200),
        (request("GET", "/docs"), 200),
        (request("GET", "/openapi.yaml"), 200),
        (request("GET", "/health"), 200),
        (request("GET", "/api-docs"), 302),
        (request("GET", "/api/v1/organization", key), 200),
        (request("GET", "/api/v1/organization"), 401),
        (post(key, JSON), 201),
        (post(key, JSON, body=b"{"), 400),
        (request("GET", "/nothing"), 404),
        (request("PUT", "/docs"), 405),
        (request("GET", "/" + "x" * 9_000), 414),
        (b"garbage\r\n\r\n", 400),
    ]:
        answer = answer_to(connection, data)
        assert answer.status == status
        assert not answer.repeated
        for name, value in SECURITY_HEADERS:
            assert answer.headers[name.decode()] == value.decode()
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
