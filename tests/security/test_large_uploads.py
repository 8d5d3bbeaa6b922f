"""Who sends too much reads why, also a client that only reads once it has sent everything."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from rawhttp import JSON, Connection, request

from factories import Client, Tenant
from service import ProcessService, ThreadService
from tickets.http.server import LINGER_BYTES

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessService]:
    """A service whose memory and end can be looked at."""
    running = ProcessService(tmp_path_factory.mktemp("uploads"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(process: ProcessService) -> str:
    tenant = Tenant(process.database, process.origin)
    return tenant.key(tenant.user("admin"))


class TestABlockingClient:
    """It sends all of its body, then looks for an answer: urllib, http.client and many others."""

    @pytest.mark.parametrize("megabytes", [3, 5, 12])
    @pytest.mark.parametrize("chunks", [False, True], ids=["with its length", "in chunks"])
    def test_it_reads_the_413(self, service: ThreadService, admin: Client, megabytes: int, *, chunks: bool):
        for _ in range(3):
            client = HTTPConnection("127.0.0.1", service.port, timeout=10)
            body = b" " * (megabytes * MEGABYTE)
            client.request(
                "POST",
                "/api/v1/tickets",
                body=(body[at : at + 50_000] for at in range(0, len(body), 50_000)) if chunks else body,
                headers={"x-api-key": admin.key, "content-type": "application/json"},
                encode_chunked=chunks,
            )
            answer = client.getresponse()
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            problem = json.loads(answer.read())
            assert problem["code"] == "payload_too_large"
            assert problem["request_id"] == answer.headers["x-request-id"]
            client.close()

    def test_it_reads_what_is_said_of_its_headers(self, service: ThreadService):
        client = HTTPConnection("127.0.0.1", service.port, timeout=10)
        client.request("GET", "/health", headers={f"x-{number}": "x" * 60_000 for number in range(90)})
        answer = client.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (431, "headers_too_large")
        client.close()

    def test_one_that_reads_while_it_sends_sees_it_as_well(self, admin: Client):
        for body in (b" " * 5_000_000, iter([b" " * 50_000] * 100)):
            answer = admin.post("/tickets", content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


class TestBounds:
    """To let a client finish costs little, and not for long."""

    def flood(self, connection: socket.socket, most: int) -> int:
        """Send until the other end does not take it any more."""
        sent = 0
        try:
            while sent < most:
                connection.sendall(b" " * 65_536)
                sent += 65_536
        except (BrokenPipeError, ConnectionResetError):
            pass
        return sent

    def test_what_is_dropped_is_not_kept(self, process: ProcessService, key: str):
        memory = psutil.Process(process.process.pid).memory_info
        before = memory().rss
        for _ in range(20):
            with Connection(process.port) as connection:
                head = request("POST", "/api/v1/tickets", f"x-api-key: {key}", f"content-length: {15 * MEGABYTE}")
                connection.send(head + b" " * (15 * MEGABYTE))
                assert connection.answer().status == 413
                assert connection.ended()
        assert memory().rss - before < 8 * MEGABYTE

    def test_it_ends_after_an_amount(self, process: ProcessService, key: str):
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as connection:
            connection.sendall(request("POST", "/api/v1/tickets", f"x-api-key: {key}", f"content-length: {2**40}"))
            assert LINGER_BYTES / 2 < self.flood(connection, 10 * LINGER_BYTES) < 3 * LINGER_BYTES

    @pytest.mark.parametrize(("timeout", "most"), [(1, 1.8), (20, 6)])
    def test_it_ends_after_a_time_that_no_request_outlives(self, tmp_path: Path, timeout: int, most: float):
        running = ThreadService(tmp_path, request_timeout=timeout)
        try:
            with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
                connection.sendall(request("POST", "/api/v1/tickets", f"content-length: {2**40}"))
                began = time.monotonic()
                assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")
                try:
                    while time.monotonic() - began < 10:
                        connection.sendall(b" ")
                        threading.Event().wait(0.1)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                assert time.monotonic() - began < most
        finally:
            running.stop()

    def test_it_does_not_hold_up_the_end(self, tmp_path: Path):
        running = ProcessService(tmp_path)
        with Connection(running.port) as connection:
            connection.send(request("POST", "/api/v1/tickets", JSON, f"content-length: {2**40}"))
            assert connection.answer().status == 413
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < 5
