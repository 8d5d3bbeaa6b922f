"""What is unusual and yet right gets its answer, and a connection survives what it can survive."""

from collections.abc import Callable

import pytest
from rawhttp import JSON, TICKET, Connection, answer_to, chunked, post, request

from factories import Client
from service import ThreadService


@pytest.mark.parametrize(
    "content_type",
    [
        "Content-Type: APPLICATION/JSON",
        "CONTENT-TYPE: application/json; charset=UTF-8",
        'content-type: application/json;charset="utf-8"',
        "content-type:application/json",
        "content-type: \t application/json \t ",
    ],
)
def test_a_content_type_means_the_same_in_any_letter_case(connection: Connection, key: str, content_type: str):
    assert answer_to(connection, post(key, content_type)).status == 201


@pytest.mark.parametrize(
    "chunks",
    [(TICKET,), tuple(TICKET[n : n + 1] for n in range(len(TICKET))), (TICKET[:10], TICKET[10:])],
    ids=["one", "a byte each", "two"],
)
def test_a_body_in_chunks_is_a_body(connection: Connection, key: str, chunks: tuple[bytes, ...]):
    answer = answer_to(connection, post(key, JSON, "transfer-encoding: chunked", body=chunked(*chunks), length=False))
    assert answer.status == 201
    assert answer.json()["description"] == "It is on fire."
    assert answer_to(connection, request("GET", answer.headers["location"], key)).status == 200


def test_chunks_may_have_extensions_and_trailers(connection: Connection, key: str):
    body = b"%x;name=value\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (len(TICKET), TICKET)
    assert answer_to(connection, post(key, JSON, "transfer-encoding: chunked", body=body, length=False)).status == 201


def test_a_key_in_a_trailer_is_nobodys(connection: Connection, key: str):
    body = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(TICKET), TICKET, key.encode())
    data = post("x-api-key: unknown", JSON, "transfer-encoding: chunked", body=body, length=False)
    assert answer_to(connection, data).status == 401


@pytest.mark.parametrize("pause", [1, 40, 230], ids=["after the first byte", "in the headers", "in the body"])
def test_a_request_may_come_in_pieces(connection: Connection, key: str, pause: int):
    data = post(key, JSON)
    connection.send(data[:pause])
    connection.send(data[pause:])
    assert connection.answer().status == 201


@pytest.mark.parametrize(
    "upgrade",
    [
        (
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        ),
        (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ),
        ("Connection: upgrade", "Upgrade: anything/1.0"),
    ],
    ids=["h2c, as Java offers it", "websocket", "anything"],
)
class TestUpgrades:
    """An offer of another protocol may be ignored (RFC 9110, 7.8); the request counts all the same."""

    def test_a_post_is_processed_and_the_connection_goes_on(
        self, connection: Connection, key: str, upgrade: tuple[str, ...]
    ):
        answer = answer_to(connection, post(key, JSON, *upgrade))
        assert answer.status == 201
        assert answer.json()["subject"] == "Printer"
        assert answer_to(connection, request("GET", answer.headers["location"], key)).status == 200
        assert answer_to(connection, post(key, JSON, *upgrade)).status == 201

    def test_a_body_that_comes_later_is_awaited(self, connection: Connection, key: str, upgrade: tuple[str, ...]):
        data = post(key, JSON, *upgrade)
        for piece in (data[: -len(TICKET)], TICKET[:9], TICKET[9:]):
            connection.send(piece)
        assert connection.answer().status == 201
        assert answer_to(connection, request("GET", "/health")).status == 200

    def test_a_get_is_answered_and_the_next_one_too(self, connection: Connection, key: str, upgrade: tuple[str, ...]):
        for _ in range(3):
            assert answer_to(connection, request("GET", "/api/v1/organization", key, *upgrade)).status == 200

    def test_pipelined_requests_are_answered_in_order(self, connection: Connection, key: str, upgrade: tuple[str, ...]):
        connection.send(
            post(key, JSON, *upgrade)
            + request("GET", "/health", *upgrade)
            + post(key, JSON)
            + request("GET", "/nothing")
        )
        assert [connection.answer().status for _ in range(4)] == [201, 200, 201, 404]


def test_expect_100_continue_is_answered_before_the_body(connection: Connection, key: str):
    data = post(key, JSON, "Expect: 100-continue")
    connection.send(data[: -len(TICKET)])
    connection.send(TICKET)
    answer = connection.answer()
    assert answer.informational == [100]
    assert answer.status == 201


def test_expect_100_continue_is_refused_before_a_large_body(connection: Connection, key: str):
    connection.send(post(key, JSON, "Expect: 100-continue", "content-length: 5000000", body=b""))
    answer = connection.answer()
    assert (answer.status, answer.informational) == (413, [])
    assert connection.ended()


def test_another_expectation_is_ignored(connection: Connection, key: str):
    assert answer_to(connection, post(key, JSON, "Expect: a-miracle")).status == 201


def test_http_1_0_is_answered_and_closed(connection: Connection, key: str):
    assert answer_to(connection, post(key, JSON, version="1.0")).status == 201
    assert connection.ended()


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /health HTTP/1.0",),
        ("GET /health HTTP/1.0", "host: a"),
        *(("GET /health HTTP/1.1", f"host: {host}") for host in ("a", "a.b-c_d.example:8080", "a.", "127.0.0.1:")),
        *(
            ("GET /health HTTP/1.1", f"host: {host}")
            for host in ("[::1]", "[2001:db8::1.2.3.4]:443", "xn--mller-kva.de")
        ),
    ],
    ids="; ".join,
)
def test_a_host_is_a_name_or_an_address_and_http_1_0_needs_none(connection: Connection, lines: tuple[str, ...]):
    assert answer_to(connection, "\r\n".join([*lines, "", ""]).encode()).status == 200


def test_connection_close_closes(connection: Connection, key: str):
    assert answer_to(connection, post(key, JSON, "Connection: close")).status == 201
    assert connection.ended()


def test_a_target_may_be_absolute(connection: Connection, service: ThreadService, key: str):
    for origin in (service.origin, "http://tickets.example"):
        assert answer_to(connection, request("GET", f"{origin}/api/v1/tickets?limit=1", key)).status == 200


def test_the_fragment_of_a_target_is_no_part_of_it(connection: Connection, key: str):
    assert answer_to(connection, request("GET", "/api/v1/tickets?limit=1#top", key)).status in (200, 400)


def test_an_escaped_path_is_the_path(connection: Connection, key: str):
    assert answer_to(connection, request("GET", "/api/v1/%74ickets", key)).status == 200


def test_empty_lines_before_a_request_are_skipped(connection: Connection, key: str):
    assert answer_to(connection, b"\r\n\r\n" + post(key, JSON)).status == 201


def test_pipelined_requests_are_answered_in_order(connection: Connection, key: str, admin: Client):
    requests = [request("GET", "/health"), post(key, JSON), request("GET", "/nothing"), post(key, JSON, body=b"[]")]
    connection.send(b"".join(requests * 10))
    assert [connection.answer().status for _ in range(40)] == [200, 201, 404, 400] * 10
    assert len(admin.get("/tickets?limit=200").json()["data"]) == 10


def test_what_came_before_garbage_is_answered_first(connection: Connection, key: str):
    connection.send(post(key, JSON) + b"garbage\r\n\r\n")
    assert connection.answer().status == 201
    assert connection.ended()


def test_a_half_request_after_a_whole_one_harms_nobody(connection: Connection, key: str):
    data = post(key, JSON)
    connection.send(data + data[:50])
    assert connection.answer().status == 201
    connection.send(data[50:])
    assert connection.answer().status == 201


@pytest.mark.parametrize("size", [50_000, 300_000, 900_000])
def test_a_body_nobody_read_does_not_disturb_the_next_request(connection: Connection, key: str, size: int):
    """A refusal may leave before the body has arrived; the rest of it is no header."""
    data = request("POST", "/api/v1/tickets", "x-api-key: wrong", JSON, body=b" " * size)
    connection.send(data[:400])
    assert connection.answer().status == 401
    for start in range(400, len(data), 30_000):
        connection.send(data[start : start + 30_000])
    assert answer_to(connection, request("GET", "/api/v1/organization", key)).status == 200


def test_a_body_where_none_belongs_does_not_disturb_the_next_request(connection: Connection, key: str):
    assert answer_to(connection, request("GET", "/api/v1/organization", key, body=b"x" * 200_000)).status == 400
    assert answer_to(connection, request("GET", "/api/v1/organization", key)).status == 200


def test_a_refused_request_leaves_the_connection_usable(connection: Connection, key: str):
    for data in (
        request("GET", "/api/v1/tickets/%00", key),
        request("GET", "/api/v1/tickets"),
        post(key, "content-type: text/plain"),
        post(key, JSON, body=b"{"),
        request("GET", "/" + "x" * 9_000),
    ):
        assert answer_to(connection, data).status in range(400, 500)
        assert answer_to(connection, request("GET", "/api/v1/organization", key)).status == 200


def test_a_client_that_is_gone_leaves_no_trace(service: ThreadService, key: str, stored: Callable[[], dict[str, int]]):
    before = stored()
    for cut in (1, 60, -30, -1):
        with Connection(service.port) as connection:
            connection.send(post(key, JSON)[:cut])
    with Connection(service.port) as connection:
        connection.send(post(key, JSON)[:-1])
        connection.finish()
        assert connection.ended()
    assert stored() == before


def test_one_good_key_of_two_is_enough(connection: Connection, key: str, admin: Client):
    """Two schemes in a contract are alternatives: one that is met authorizes (OpenAPI 3.0.3, 4.8.2)."""
    asked = request("GET", "/api/v1/organization", "x-api-key: wrong", f"authorization: bearer {admin.key}")
    assert answer_to(connection, asked).status == 200
    assert answer_to(connection, request("GET", "/api/v1/organization", key, "authorization: Basic dTpw")).status == 200
