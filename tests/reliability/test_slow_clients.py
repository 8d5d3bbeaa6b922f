"""Clients that stop in the middle, and what the others notice of them."""

import resource
import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from factories import Tenant
from service import ProcessService

TIMEOUT = 2
STALLED = 500
SLACK = 0.005
"""Seconds that a busy machine adds to any answer."""
LATE = 8
"""Seconds that it adds to any wait."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessService]:
    """A service that waits two seconds for a request instead of twenty."""
    running = ProcessService(tmp_path_factory.mktemp("slow"), env={"TICKETS_REQUEST_TIMEOUT": str(TIMEOUT)})
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def key(process: ProcessService) -> str:
    """The key of an admin."""
    tenant = Tenant(process.database, process.origin)
    return tenant.key(tenant.user("admin"))


@pytest.fixture(autouse=True)
def _enough_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4 * STALLED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4 * STALLED, hard), hard))


def head(key: str, length: int) -> bytes:
    return (
        f"POST /api/v1/tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


def all_of(connection: socket.socket) -> bytes:
    """Read until the other end closes."""
    data = b""
    while chunk := connection.recv(65_536):
        data += chunk
    return data


def latencies(services: list[ProcessService], keys: list[str], seconds: float) -> list[list[float]]:
    """Read and write as one client does, one request after the other, at each service in turn."""
    connections = [HTTPConnection("127.0.0.1", service.port, timeout=10) for service in services]
    ticket = b'{"subject": "Another", "description": ""}'
    found: list[list[float]] = [[] for _ in services]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for connection, key, took in zip(connections, keys, found, strict=True):
            headers = {"x-api-key": key, "content-type": "application/json"}
            began = time.perf_counter()
            if len(took) % 5:
                connection.request("GET", "/api/v1/tickets?limit=10", headers=headers)
            else:
                connection.request("POST", "/api/v1/tickets", ticket, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 201)
            took.append(time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return found


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def test_500_stalled_clients_are_cut_off_and_others_hardly_notice(
    process: ProcessService, key: str, tmp_path: Path, record_property
):
    """A second service, which nobody stalls, tells what else the machine does in the meantime."""
    with ExitStack() as stack:
        control = ProcessService(tmp_path)
        stack.callback(control.stop)
        tenant = Tenant(control.database, control.origin)
        services, keys = [process, control], [key, tenant.key(tenant.user("admin"))]
        latencies(services, keys, 0.5)
        before, _ = latencies(services, keys, 1.5)
        stalled = [
            stack.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=10))
            for _ in range(STALLED)
        ]
        whole = head(key, 1_000)
        began = time.perf_counter()
        for number, connection in enumerate(stalled):
            connection.sendall(whole[:60] if number % 2 else whole + b'{"subject": "')
        during, beside = latencies(services, keys, TIMEOUT + 2)
        with selectors.DefaultSelector() as waiting:
            for connection in stalled:
                waiting.register(connection, selectors.EVENT_READ)
            assert len(waiting.select(0)) == STALLED
        assert time.perf_counter() - began < TIMEOUT + 2 + LATE
        for connection in stalled:
            answer = all_of(connection)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"content-type: application/problem+json" in answer
            assert b'"code":"request_timeout"' in answer
            assert b"connection: close" in answer
    for name, values in (("before", before), ("during", during), ("beside", beside)):
        record_property(f"p95 {name}, ms", round(p95(values) * 1000, 2))
        print(f"p95 {name}: {p95(values) * 1000:.2f} ms of {len(values)}")  # noqa: T201 - shown with -rP
    assert p95(during) <= 2 * max(p95(before), p95(beside)) + SLACK


@pytest.mark.parametrize("where", ["request line", "headers", "body", "chunks", "between", "silence", "blank lines"])
def test_a_client_that_dribbles_is_cut_off_as_well(process: ProcessService, key: str, where: str):
    """The time is for the whole, not from one byte to the next."""
    whole = head(key, 1_000)
    chunks = whole.replace(b"content-length: 1000", b"transfer-encoding: chunked")
    start, piece = {
        "request line": (b"GET /", b"x"),
        "headers": (whole[:60], b"x"),
        "body": (whole, b" "),
        "chunks": (chunks, b"1\r\n \r\n"),
        "between": (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /", b"x"),
        "silence": (b"", b""),
        "blank lines": (b"", b"\r\n"),
    }[where]
    with socket.create_connection(("127.0.0.1", process.port), timeout=10) as connection:
        began = time.monotonic()
        connection.sendall(start)
        connection.settimeout(0.1)
        got = b""
        while True:
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                assert time.monotonic() - began < TIMEOUT + LATE, "it was not cut off"
                connection.sendall(piece)
                continue
            except ConnectionResetError:
                break
            if not data:
                break
            got += data
        took = time.monotonic() - began
    assert TIMEOUT - 0.5 < took < TIMEOUT + LATE
    assert got.startswith(b"HTTP/1.1 200 " if where == "between" else b"HTTP/1.1 408 ")
    assert b"HTTP/1.1 408 " in got


def test_a_connection_that_rests_between_requests_is_closed_in_time(process: ProcessService):
    with socket.create_connection(("127.0.0.1", process.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        began = time.monotonic()
        assert all_of(connection).startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - began < TIMEOUT + LATE


def test_the_rest_of_a_refused_body_has_its_time_too(process: ProcessService):
    """The 401 leaves at once; whoever dribbles on after it is cut off without another answer."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=10) as connection:
        connection.sendall(head("wrong", 1_000))
        connection.settimeout(0.1)
        began, got = time.monotonic(), b""
        while time.monotonic() - began < TIMEOUT + LATE:
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                connection.sendall(b" ")
                continue
            except ConnectionResetError:
                break
            if not data:
                break
            got += data
        else:
            pytest.fail("it was not cut off")
    assert got.startswith(b"HTTP/1.1 401 ")
    assert got.count(b"HTTP/1.1") == 1


def test_a_client_that_takes_its_time_within_the_bound_is_served(process: ProcessService, key: str):
    body = b'{"subject": "Slow but sure", "description": ""}'
    data = head(key, len(body)) + body
    with socket.create_connection(("127.0.0.1", process.port), timeout=10) as connection:
        for start in range(0, len(data), 20):
            connection.sendall(data[start : start + 20])
            time.sleep(0.05)
        assert connection.recv(4_096).startswith(b"HTTP/1.1 201 ")
