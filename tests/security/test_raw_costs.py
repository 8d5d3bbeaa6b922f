"""What a request costs, however odd it is: an answer or a close, and no more than a few lines of log."""

import json
import random
import selectors
import socket
import time
from collections.abc import Iterator

import pytest
from rawhttp import JSON, Connection, chunked, request

from service import ProcessService
from tickets.http.server import MAX_PIPELINED

MOST_LOG = 4_096
"""Bytes that one request may add to the log."""
TOGETHER = 100
"""Connections that are open at once."""
OFFER = ("Connection: Upgrade", "Upgrade: h2c")
LAST = request("GET", "/health", "Connection: close")
"""Follows each odd request, so that its connection ends: with this one's answer, or before."""

METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "COPY", "LOCK", "MKCOL"),
    *("MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT"),
    *("MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "PURGE", "MKCALENDAR", "LINK", "UNLINK", "SOURCE", "QUERY"),
    *("DESCRIBE", "ANNOUNCE", "SETUP", "PLAY", "FLUSH", "BREW", "get"),
)
TARGETS: tuple[str | bytes, ...] = (
    *("*", "/", "//", "/*", "?", "#", "/?", "/#", "%", "127.0.0.1:443", "[::1]:443", "a@b:1", ":80", "/api/v1/tickets"),
    *("http://tickets.example", "http://tickets.example/health", "http://[::1", "http://a:99999/", "http://a b/"),
    *("https://u:p@tickets.example/api/v1/tickets?limit=1", "ftp://a/", "javascript:alert(1)", "http:///", "//a/b"),
    *("/" + "%F0%9F%98%80" * 650, "/" + "%22" * 2_600, "/" + "%C2%80" * 1_300, "/" + "%E2%80%A8" * 850),
    *("/" + "\\" * 7_900, "/" + '"' * 7_900, "/" + "<" * 7_900, "/api/v1/tickets?" + '"' * 7_900),
    *("/api/v1/tickets/" + "9" * 7_900, "/static/" + "%F0%9F%98%80" * 600, "/.well-known/" + "a" * 300 + ".json"),
    *("/docs/" + "%F0%9F%98%80" * 600, "/docs/%00", "/static/%2e%2e", "/.well-known/%5c..%5cx.json"),
    *("/" + "%F0%9F%98%80" * 5_000, "/" + "%22" * 20_000, "/" + "%5C" * 20_000, "/x" + "%7F" * 20_000),
    *("/api/v1/" + "%F0%9F%98%80" * 5_000, "/" + '"' * 60_000),
    b"/\xff",
    b"*\x00",
)
PIECES = (b"\r\n", b"\n", b"\0", b" ", b":", b"%", b"\xff", b"\r\n\r\n", b"0" * 40, b"*")
HEADS: dict[str, bytes] = {
    "nothing but lines": b"\r\n" * 2_000,
    "a line and no header": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.0": request("GET", "/api/v1/tickets", version="1.0"),
    "HTTP/1.2": request("GET", "/api/v1/tickets", version="1.2"),
    "HTTP/2.0": request("GET", "/api/v1/tickets", version="2.0"),
    "RTSP": b"GET / RTSP/1.0\r\nhost: a\r\n\r\n",
    "ICE": b"SOURCE / ICE/1.0\r\nhost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(200),
    "a handshake of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "an answer": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "an offer in chunks": request("POST", "/api/v1/tickets", *OFFER, JSON, "transfer-encoding: chunked")
    + chunked(b"{}"),
    "an offer in chunks that break": request("POST", "/api/v1/tickets", *OFFER, "transfer-encoding: chunked") + b"zz",
    "an offer that closes": request("GET", "/nothing", "Connection: upgrade, close", "Upgrade: h2c"),
    "an offer with 2,000 headers": request("GET", "/nothing", *OFFER, *(f"x-{n}: 1" for n in range(2_000))),
    "an offer with headers that are too large": request("GET", "/nothing", *OFFER, "x-a: " + "x" * 70_000),
    "15,000 headers": b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a:\r\n" * 15_000 + b"\r\n",
    "200 headers": b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a:\r\n" * 199 + b"\r\n",
    "2,000 protocols": request("GET", "/nothing", "Connection: Upgrade", "Upgrade: " + "h2c, " * 2_000),
    "CONNECT with a body": request("CONNECT", "*", body=b"x" * 5_000),
    "CONNECT that offers another protocol": request("CONNECT", "*", *OFFER, body=request("CONNECT", "*")),
    "CONNECT and what a tunnel would carry": request("CONNECT", "a:1") + request("CONNECT", "*") * 500,
    "a long id": request("GET", "/nothing", "x-request-id: " + "x" * 60_000),
    "a long agent": request("GET", "/nothing", b"user-agent: " + b"\xff" * 60_000),
    "many hops": request("GET", "/nothing", "x-forwarded-for: " + "1.2.3.4, " * 7_000),
    "a long type": request("POST", "/api/v1/tickets", "content-type: " + "x" * 60_000, body=b"{}"),
    "many ranges": request("GET", "/docs/swagger-ui.css", "range: bytes=" + "0-1," * 10_000),
    "many tags": request("GET", "/openapi.yaml", "if-none-match: " + '"a",' * 10_000),
    "a date that is none": request("GET", "/openapi.yaml", "if-modified-since: " + "9" * 60_000),
    "many cookies": request("GET", "/docs", "cookie: " + "a=b;" * 10_000),
    "a long host": b"GET / HTTP/1.1\r\nhost: " + b"a" * 60_000 + b"\r\n\r\n",
    "a host that is none": b'GET / HTTP/1.1\r\nhost: <a "b">\r\n\r\n',
    "a long origin": request("OPTIONS", "/docs", "origin: " + "x" * 30_000, "access-control-request-method: GET"),
    "a long bearer": request("GET", "/nothing", "authorization: Bearer " + "a." * 30_000),
    "a deep body": request("POST", "/api/v1/auth/login", JSON, body=b"[" * 10_000),
    "a form": request("POST", "/reset-password", "content-type: application/x-www-form-urlencoded", body=b"a&" * 5_000),
    "a form of many parts": request(
        "POST", "/reset-password", "content-type: multipart/form-data; boundary=x", body=b"--x\r\n\r\n\r\n" * 1_000
    ),
}
ODD = {
    **HEADS,
    **{f"{method} *": request(method, "*") for method in METHODS},
    **{f"{method} of an operation": request(method, "/api/v1/tickets", *OFFER) for method in METHODS},
    **{f"GET target {number}": request("GET", target) for number, target in enumerate(TARGETS)},
    **{f"GET target {number} with an offer": request("GET", target, *OFFER) for number, target in enumerate(TARGETS)},
    **{f"CONNECT target {number}": request("CONNECT", target) for number, target in enumerate(TARGETS)},
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessService]:
    """A service that logs each request, and waits a second for the rest of one."""
    running = ProcessService(
        tmp_path_factory.mktemp("odd"), env={"TICKETS_LOG_LEVEL": "info", "TICKETS_REQUEST_TIMEOUT": "1"}
    )
    yield running
    assert running.stop() == 0


@pytest.fixture
def logged(process: ProcessService) -> Iterator["Log"]:
    """The log; that the service is healthy is looked at in the end."""
    yield Log(process)
    with Connection(process.port) as connection:
        connection.send(request("GET", "/health/ready"))
        assert connection.answer().status == 200


class Log:
    """Counts what is logged."""

    def __init__(self, process: ProcessService) -> None:
        self._process = process
        self.take()

    def take(self) -> bytes:
        """Return what was logged since the last time; the line of a request is there before the next is answered."""
        with Connection(self._process.port) as connection:
            connection.send(LAST)
            assert connection.answer().status == 200
        size = self._process.log.stat().st_size
        with self._process.log.open("rb") as file:
            file.seek(getattr(self, "_at", size))
            data = file.read()
        self._at = size
        return data


def answers(port: int, requests: list[bytes], *, seconds: float = 60) -> list[bytes]:
    """Send each request on a connection of its own and return what came back until each was closed."""
    got = [b""] * len(requests)
    sent = [0] * len(requests)
    waiting = list(enumerate(requests))[::-1]
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            assert time.monotonic() < deadline, (
                f"not closed: {[requests[key.data] for key in selector.get_map().values()]}"
            )
            while waiting and len(selector.get_map()) < TOGETHER:
                number, _ = waiting.pop()
                connection = socket.create_connection(("127.0.0.1", port))
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, number)
            for key, events in selector.select(1):
                connection, number = key.fileobj, key.data
                try:
                    if events & selectors.EVENT_WRITE:
                        sent[number] += connection.send(requests[number][sent[number] :])
                        if sent[number] == len(requests[number]):
                            selector.modify(connection, selectors.EVENT_READ, number)
                    if events & selectors.EVENT_READ:
                        data = connection.recv(65_536)
                        got[number] += data
                        if data:
                            continue
                    else:
                        continue
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    pass
                selector.unregister(connection)
                connection.close()
    return got


@pytest.mark.parametrize("name", ODD)
def test_an_odd_request_is_answered_and_logs_little(process: ProcessService, logged: Log, name: str):
    (answer,) = answers(process.port, [ODD[name] + b"\r\n" + LAST])
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert b"HTTP/1.1 5" not in answer
    said = [line for line in logged.take().splitlines() if b'"path":"/health"' not in line]
    assert sum(map(len, said)) <= MOST_LOG
    assert all(json.loads(line)["event"] == "request" for line in said), said


@pytest.mark.parametrize("headers", [(), OFFER], ids=["plain", "with offers"])
def test_of_very_many_pipelined_requests_the_first_are_answered_one_by_one(
    process: ProcessService, logged: Log, headers: tuple[str, ...]
):
    """However many come in one packet, and although the parser stops at each offer."""
    few, many = request("GET", "/health", *headers) * MAX_PIPELINED, request("GET", "/health", *headers) * 3_000
    assert [answer.count(b"HTTP/1.1 200 ") for answer in answers(process.port, [few + LAST, many + LAST])] == [
        MAX_PIPELINED + 1,
        MAX_PIPELINED + 1,
    ]
    assert all(json.loads(line)["event"] == "request" for line in logged.take().splitlines())


def mutated(random_: random.Random) -> bytes:
    """Change a few bytes of a request that is odd, or of one that is right."""
    choice = random_.choice(list(HEADS.values()) + [LAST, request("POST", "/api/v1/auth/login", JSON, body=b"{}")] * 10)
    data = bytearray(choice[:2_000])
    for _ in range(random_.randint(1, 8)):
        at = random_.randrange(len(data) or 1)
        kind = random_.randrange(4)
        if kind == 0:
            data[at : at + 1] = bytes([random_.randrange(256)])
        elif kind == 1:
            data[at:at] = random_.choice(
                (b"\r\n", b"\n", b"\0", b" ", b":", b"%", b"\xff", b"\r\n\r\n", b"0" * 40, b"*")
            )
        elif kind == 2:
            del data[at : at + random_.randint(1, 20)]
        else:
            end = at + random_.randint(1, 60)
            data[at:at] = data[at:end]
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_bytes_come_the_service_answers_or_closes_and_goes_on(process: ProcessService, logged: Log, seed: int):
    random_ = random.Random(seed)
    requests = [mutated(random_) + LAST for _ in range(800)]
    for answer in answers(process.port, requests):
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert b"HTTP/1.1 50" not in answer
    said = logged.take()
    for line in said.splitlines():
        assert len(line) <= MOST_LOG
        assert json.loads(line)["event"] == "request", line
