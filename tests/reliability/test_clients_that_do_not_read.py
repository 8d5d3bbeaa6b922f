"""Clients that ask for much and take nothing of it, or take their time."""

import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from factories import Tenant
from service import ProcessService, free_port
from tickets.http.pool import MOST_WAITING_OF_A_TENANT
from tickets.http.server import configuration
from tickets.settings import Settings

TIMEOUT = 2
CLIENTS = MOST_WAITING_OF_A_TENANT  # whose large pages are made; more of one organization are told to come back


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessService]:
    """A service that waits two seconds instead of twenty."""
    running = ProcessService(tmp_path_factory.mktemp("unread"), env={"TICKETS_REQUEST_TIMEOUT": str(TIMEOUT)})
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def key(process: ProcessService) -> str:
    """The key of an admin whose tickets fill ten megabytes."""
    tenant = Tenant(process.database, process.origin)
    for _ in range(200):
        tenant.ticket(description="x" * 50_000)
    admin = tenant.client()
    with ThreadPoolExecutor(8) as pool:  # each thread that reads opens the database once
        answers = pool.map(lambda _: admin.get("/tickets", params={"page": 1, "per_page": 200}), range(8))
        assert {answer.status_code for answer in answers} == {200}
    tenant.close()
    return tenant.key(tenant.user("admin"))


def asked(key: str, *headers: str) -> bytes:
    # By number: a page by cursor ends early where its texts are long.
    lines = ["GET /api/v1/tickets?page=1&per_page=200 HTTP/1.1", "host: x", f"x-api-key: {key}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(port: int, buffer: int) -> socket.socket:
    """Open a connection with a receive buffer of that many bytes."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(30)
    made.connect(("127.0.0.1", port))
    return made


def count_descriptors(process: ProcessService) -> int:
    """Count what a process has open, on a system that tells; 0 on others."""
    folder = Path(f"/proc/{process.process.pid}/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def wait_until_reset(connection: socket.socket, seconds: float) -> None:
    """Wait for the other end to give a connection up, without reading from it."""
    poll = select.poll()
    poll.register(connection, 0)  # nothing but errors
    assert poll.poll(seconds * 1_000), "it was not cut off"


@pytest.mark.parametrize("how", ["keep-alive", "close", "pipelined", "half closed"])
def test_a_client_that_does_not_read_is_cut_off(process: ProcessService, key: str, how: str):
    """Its connection is reset: neither the service nor the kernel keeps what it did not take."""
    before = count_descriptors(process)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(process.port, 4_096)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(asked(key, "connection: close") if how == "close" else asked(key))
            if how == "pipelined":
                client.sendall(asked(key) * 3)
            elif how == "half closed":
                client.recv(1)
                client.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        for client in clients:
            wait_until_reset(client, began + 10 * TIMEOUT - time.monotonic())
        assert time.monotonic() - began > TIMEOUT - 1
        assert count_descriptors(process) <= before + 2  # a database's file may have been opened


def test_a_client_that_reads_slowly_but_steadily_gets_all(process: ProcessService, key: str):
    """What it takes frees the kernel's buffers long before the service's own."""
    with connect(process.port, 100_000) as client:
        client.sendall(asked(key, "connection: close"))
        began, got = time.monotonic(), 0
        while chunk := client.recv(32_768):
            got += len(chunk)
            if time.monotonic() - began < 4 * TIMEOUT:
                time.sleep(0.2)
    assert got > 200 * 50_000


def test_what_is_too_little_to_fill_a_buffer_is_not_kept_for_ever_either(tmp_path: Path):
    """Such an answer never stops the service from writing; it is found when the connection shall close."""

    async def app(scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        headers = [(b"content-length", b"60000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 60_000})

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = Settings(var_dir=tmp_path, request_timeout=1)
        server = uvicorn.Server(configuration(app, settings, host="127.0.0.1", port=free_port()))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        listener.listen()
        thread.start()
        with connect(port, 4_096) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            wait_until_reset(client, 5)
        server.should_exit = True
        thread.join(15)
    assert not thread.is_alive()
