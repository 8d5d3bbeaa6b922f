"""SIGKILL and SIGTERM while others write."""

import itertools
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
import pytest
from forking import Forked
from outcomes import assert_sound, rows

from factories import Tenant
from service import ProcessService

KILLS = 20


class Load:
    """Threads that write as fast as they can, each POST with a key and a subject of its own.

    Attributes:
        acknowledged: subject to id, of each 201.
        unknown: subjects whose request broke: it may have been done or not.
        refused: statuses other than 201.
    """

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self.acknowledged: dict[str, int] = {}
        self.unknown: list[str] = []
        self.refused: list[int] = []

    def post(self, connection: HTTPConnection, subject: str) -> None:
        """Write one ticket; the subject is its key."""
        headers = {"x-api-key": self._key, "content-type": "application/json", "idempotency-key": subject}
        connection.request("POST", "/api/v1/tickets", json.dumps({"subject": subject, "description": ""}), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 201:
            self.refused.append(answer.status)
            return
        made = json.loads(body)["id"]
        assert self.acknowledged.setdefault(subject, made) == made

    def _run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            subject = f"key-{next(self._numbers)}"
            try:
                self.post(connection, subject)
            except (OSError, HTTPException):
                self.unknown.append(subject)
                break
        connection.close()

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        """Write in the background; a broken connection ends its thread."""
        self._stop.clear()
        workers = [threading.Thread(target=self._run) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            self._stop.set()
            for worker in workers:
                worker.join(30)

    def retry(self) -> int:
        """Send what broke once more, with the same keys; returns how many those were."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        again, self.unknown = self.unknown, []
        for subject in again:
            self.post(connection, subject)
        connection.close()
        return len(again)


def test_20_sigkills_under_load_lose_no_acknowledged_write_and_repeat_none(forked: Forked):
    began = time.monotonic()
    tenant = Tenant(forked.database, forked.origin)
    key = tenant.key(tenant.user("admin"))
    load = Load(forked.port, key)
    dice = random.Random(7)
    path = forked.database.path
    retried = 0
    for _ in range(KILLS):
        forked.start()
        retried += load.retry()
        with load.running(4):
            time.sleep(dice.uniform(0.1, 0.5))
            forked.kill()
        stored = dict(rows(path, "SELECT subject, id FROM tickets"))
        assert load.acknowledged.items() <= stored.items()
        assert_sound(path)
    forked.start()
    retried += load.retry()
    assert load.refused == []
    assert load.unknown == []
    assert dict(rows(path, "SELECT subject, id FROM tickets")) == load.acknowledged
    count = len(load.acknowledged)
    assert rows(path, "SELECT count(*), count(DISTINCT subject), max(number) FROM tickets") == [(count, count, count)]
    assert rows(path, "SELECT count(*) FROM idempotency_records") == [(count,)]
    assert_sound(path)
    print(f"{KILLS} kills, {count} acknowledged, {retried} repeated, {time.monotonic() - began:.1f} s")  # noqa: T201 - shown with -rP
    assert retried >= KILLS


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ProcessService]:
    running = ProcessService(tmp_path)
    yield running
    running.stop()


def test_sigterm_finishes_what_is_in_flight_and_exits_0_within_10_seconds(process: ProcessService):
    tenant = Tenant(process.database, process.origin)
    key = tenant.key(tenant.user("admin"))
    body = b'{"subject": "in flight", "description": ""}'
    head = (
        f"POST /api/v1/tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nidempotency-key: %s\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    load = Load(process.port, key)
    in_flight, stalled, idle = (socket.create_connection(("127.0.0.1", process.port), timeout=15) for _ in range(3))
    with in_flight, stalled, idle:
        in_flight.sendall((head % "one").encode() + body[:10])
        stalled.sendall((head % "two").encode() + body[:10])
        with load.running(4):
            time.sleep(0.5)
            process.process.send_signal(signal.SIGTERM)
            told = time.monotonic()
            time.sleep(1)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{process.origin}/health")
            in_flight.sendall(body[10:])
            assert b" 201 Created\r\n" in in_flight.recv(4_096)
            assert idle.recv(1) == b""
        assert process.process.wait(15) == 0
        took = time.monotonic() - told
        refused = stalled.recv(4_096)
    assert took < 10
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"service_unavailable"' in refused
    assert len(load.acknowledged) > 10
    assert load.refused == []
    stored = dict(rows(process.database.path, "SELECT subject, id FROM tickets"))
    assert load.acknowledged.items() <= stored.items()
    assert stored.keys() - load.acknowledged.keys() <= {"in flight", *load.unknown}
    assert "in flight" in stored
    assert_sound(process.database.path)
    assert "Traceback" not in process.log.read_text()
