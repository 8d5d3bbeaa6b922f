"""What is unusual and yet right gets its answer, and a connection survives what it can survive."""

import json
import re
from collections.abc import Callable

import pytest
from rawhttp import Answer, Connection, chunked, request

from factories import Client, Tenant
from service import ThreadService
from tickets.http.guard import SECURITY_HEADERS

JSON = "content-type: application/json"
TICKET = b'{"subject": "Printer", "description": "It is on fire."}'


@pytest.fixture
def key(admin: Client) -> str:
    """A key that may do everything in the tenant, as a header."""
    return f"x-api-key: {admin.key}"


def post(key: str, *headers: str, body: bytes = TICKET, length: bool = True, version: str = "1.1") -> bytes:
    return request("POST", "/api/v1/tickets", key, *headers, body=body, length=length, version=version)


def answer_to(connection: Connection, data: bytes) -> Answer:
    connection.send(data)
    return connection.answer()


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
    assert answer_to(connection, request("GET", "/api/v1/organization", key, body=b"x" * 200_000)).status == 200
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
        ("POST", "/api/v1/tickets/1", {"GET", "HEAD", "PATCH", "DELETE"}),
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


def test_one_good_key_of_two_is_enough(connection: Connection, key: str, admin: Client):
    """Two schemes in a contract are alternatives: one that is met authorizes (OpenAPI 3.0.3, 4.8.2)."""
    asked = request("GET", "/api/v1/organization", "x-api-key: wrong", f"authorization: bearer {admin.key}")
    assert answer_to(connection, asked).status == 200
    assert answer_to(connection, request("GET", "/api/v1/organization", key, "authorization: Basic dTpw")).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "x" * 255},
        {"subject": "\N{FIRE}" * 255},
        {"subject": "e\u0301" * 127},
        {"description": "x" * 50_000},
        {"description": "\N{FIRE}" * 50_000},
        {"description": "\r\n\t\x01\x7f\ufeff\uffff\u2028\u202e"},
        {"tags": [str(n) for n in range(50)]},
        {"tags": ["\N{FIRE}" * 50]},
        {"custom_fields": {str(n): None for n in range(50)}},
        {"custom_fields": {"\N{FIRE}" * 100: "\N{FIRE}" * 1_000}},
        {"custom_fields": {"a": 2**53 - 1, "b": -(2**53 - 1), "c": 5e-324, "d": -0.0, "e": 0.1, "f": True, "g": ""}},
        {"custom_fields": {"' OR 1=1--": "'; DROP TABLE tickets; --", "$where": "1", "{{ 7 * 7 }}": "{% raw %}"}},
        {"subject": "'); DELETE FROM tickets; --", "description": '"\\\\u0000%00\\x00<script>alert(1)</script>'},
        {"subject": "../../etc/passwd", "description": "${jndi:ldap://127.0.0.1/a}"},
    ],
    ids=str,
)
def test_what_the_contract_allows_comes_back_as_it_was_sent(admin: Client, fields: dict[str, object]):
    body = {"subject": "s", "description": "", **fields}
    made = admin.post("/tickets", content=json.dumps(body), headers={"content-type": "application/json"})
    assert made.status_code == 201, made.text
    read = admin.get(f"/tickets/{made.json()['id']}").json()
    assert {name: read[name] for name in body} == body


def test_escapes_are_read_as_what_they_stand_for(connection: Connection, key: str):
    answer = answer_to(connection, post(key, JSON, body=rb'{"subject": "\ud83d\udd25 \u00e9 \/", "description": ""}'))
    assert answer.json()["subject"] == "\N{FIRE} é /"


@pytest.mark.parametrize("depth", [64, 63])
def test_nesting_up_to_the_bound_is_read(connection: Connection, key: str, depth: int):
    """It is refused for what it is, not for its depth."""
    answer = answer_to(connection, post(key, JSON, body=b"[" * depth + b"]" * depth))
    assert (answer.status, "levels" in answer.problem()["detail"]) == (400, False)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/contacts", {"external_id": "' OR '1'='1"}),
        ("/contacts", {"external_id": '"; SELECT sqlite_version(); --'}),
        ("/contacts", {"external_id": "%"}),
        ("/contacts", {"external_id": "_*?[a]"}),
        ("/contacts", {"external_id": "$ne"}),
        ("/contacts", {"external_id": "\N{FIRE}" * 255}),
        ("/contacts", {"email": "o'brien@example.com"}),
        ("/contacts", {"email": "%@example.com"}),
        ("/users", {"email": "a*@example.com"}),
        ("/tickets", {"contact_id": str(2**63 - 1)}),
        ("/tickets", {"assigned_to": "9" * 19}),
        ("/tickets", {"team_id": str(2**63 - 1)}),
        ("/tickets", {"created_from": "9999-12-31T23:59:59.999Z"}),
        ("/tickets", {"created_to": "0001-01-01T00:00:00Z"}),
    ],
)
def test_operators_in_a_filter_match_what_they_spell(tenant: Tenant, admin: Client, path: str, value: dict[str, str]):
    contact = tenant.contact(external_id="plain")
    tenant.ticket(contact_id=contact["id"])
    answer = admin.get(path, params=value)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []


def test_a_filter_with_quotes_finds_what_has_them(tenant: Tenant, admin: Client):
    for external_id in ("it's", '"quoted"', "100%", "under_score", "semi;colon--"):
        contact = tenant.contact(external_id=external_id)
        tenant.contact(external_id=external_id.upper() + "x")
        found = admin.get("/contacts", params={"external_id": external_id}).json()["data"]
        assert [row["id"] for row in found] == [contact["id"]]


class TestCursors:
    """A cursor is good for the list it came from and nothing else."""

    @pytest.fixture
    def cursor(self, tenant: Tenant, admin: Client) -> str:
        for _ in range(3):
            tenant.ticket()
        cursor: str = admin.get("/tickets?limit=1").json()["next_cursor"]
        return cursor

    def refused(self, client: Client, path: str, cursor: str) -> bool:
        answer = client.get(f"{path}{'&' if '?' in path else '?'}cursor={cursor}")
        return answer.status_code == 400 and answer.json()["errors"][0]["pointer"] == "/cursor"

    def test_it_works_where_it_belongs(self, admin: Client, cursor: str):
        assert admin.get("/tickets", params={"cursor": cursor, "limit": 200}).status_code == 200

    def test_a_change_of_any_character_is_noticed(self, admin: Client, cursor: str):
        for place in range(len(cursor) - 1):
            tampered = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
            assert self.refused(admin, "/tickets", tampered)

    def test_more_or_less_of_it_is_noticed(self, admin: Client, cursor: str):
        for tampered in (cursor[:-1], cursor[1:], cursor + "A", cursor * 2, "A" + cursor):
            assert self.refused(admin, "/tickets", tampered)

    def test_another_tenant_cannot_use_it(self, other: Tenant, cursor: str):
        other.ticket()
        assert self.refused(other.client("admin"), "/tickets", cursor)

    def test_a_user_cannot_use_an_admins(self, user: Client, cursor: str):
        assert self.refused(user, "/tickets", cursor)

    @pytest.mark.parametrize(
        "path",
        ["/tickets?status=open", "/tickets?sort=created_at", "/tickets?assigned_to=me", "/comments", "/contacts"],
    )
    def test_another_filter_sort_or_list_cannot_use_it(self, admin: Client, cursor: str, path: str):
        assert self.refused(admin, path, cursor)

    def test_the_link_holds_one_however_the_name_was_escaped(self, admin: Client, cursor: str):
        answer = admin.get(f"/tickets?%63urs%6Fr={cursor}&limit=1")
        assert answer.status_code == 200
        for link in answer.links.values():
            assert re.findall(r"[?&]([^=]*)=", link["url"]) == ["limit", "cursor"]
            assert admin.get(answer.request.url.join(link["url"])).status_code == 200

    def test_two_of_them_are_refused(self, admin: Client, cursor: str):
        assert admin.get(f"/tickets?cursor={cursor}&cursor={cursor}").status_code == 400


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
