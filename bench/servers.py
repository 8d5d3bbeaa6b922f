"""Servers under test: started on free ports with data of their own, ended by their own process ids."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
from bench import data
from bench.data import Facts
from bench.load import UNIQUE, Measured, Plan

READY_WITHIN = 60.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of request.

    Attributes:
        title: as the results name it.
        expect: the only status that is no error.
        requests: complete requests, sent in turn.
    """

    title: str
    expect: str
    requests: list[str]


def rows(facts: Facts) -> dict[str, Row]:
    """Make the requests, the same for every server."""
    body = json.dumps(
        {
            "subject": "Invoice shows the wrong address",
            "description": "Invoice 4711 still has our old address. " * 3,
            "type": "problem",
            "priority": "high",
            "contact_id": facts.contact_id,
            "tags": ["billing", "invoice"],
            "custom_fields": {"invoice": "4711", "amount": 99.5},
        }
    )

    def request(method: str, target: str, content: str = "", *more: str) -> str:
        lines = [
            f"{method} /api/v1/tickets{target} HTTP/1.1",
            "host: 127.0.0.1",
            "accept: application/json",
            f"x-api-key: {facts.key}",
            *more,
        ]
        if content:
            lines += ["content-type: application/json", f"content-length: {len(content)}"]
        return "\r\n".join([*lines, "", content])

    return {
        "get": Row(
            title="GET one ticket", expect="200", requests=[request("GET", f"/{number}") for number in facts.ticket_ids]
        ),
        "list": Row(
            title="list 50, filtered",
            expect="200",
            requests=[request("GET", "?status=open&priority=high&sort=-created_at&limit=50")],
        ),
        "post": Row(title="POST a ticket", expect="201", requests=[request("POST", "", body)]),
        "post-key": Row(
            title="POST with Idempotency-Key",
            expect="201",
            requests=[request("POST", "", body, f"idempotency-key: {UNIQUE.decode()}")],
        ),
    }


class Server:
    """A server that runs.

    Args:
        name: as `bench.serve` knows it.
        preload: a library that its process loads first.
        source: the database it gets a copy of; that of `bench.data` by default.
    """

    def __init__(self, name: str, *, preload: Path | None = None, source: Path | None = None) -> None:
        self.name = name
        self.port = _free_port()
        self.folder = f"{name}-{self.port}"
        file = data.copy(self.folder) if source is None else data.copy(self.folder, source)
        environment = dict(os.environ)
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        command = [sys.executable, "-m", "bench.serve", name, str(self.port), str(file)]
        self._log = (file.parent / "log.txt").open("w+b")
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=data.ROOT, env=environment, stdout=self._log, stderr=self._log
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(f"{self.name} ended: {self._log.read().decode(errors='replace')[-2000:]}")
            try:
                urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=5).close()
            except HTTPError:
                return  # any answer is an answer
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(f"{self.name} did not answer within {READY_WITHIN:g} s")

    def processes(self) -> list[psutil.Process]:
        """Return the server's process, and its worker if it has one."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the time its processes have worked so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def memory(self) -> int:
        """Return its resident bytes."""
        return sum(process.memory_info().rss for process in self.processes())

    def stop(self) -> None:
        """End it, and remove its copy of the data."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(data.FOLDER / self.folder, ignore_errors=True)


@contextlib.contextmanager
def running(name: str, *, preload: Path | None = None, source: Path | None = None) -> Iterator[Server]:
    """Run a server for a while."""
    server = Server(name, preload=preload, source=source)
    try:
        yield server
    finally:
        server.stop()


def load(server: Server, row: Row, **plan: Any) -> tuple[Measured, float]:
    """Put load on a server; returns what was measured and the server's CPU microseconds a request.

    Raises:
        RuntimeError: an answer had another status than it should.
    """
    text = json.dumps(asdict(Plan(port=server.port, requests=row.requests, **plan)))
    before = server.cpu_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=text, capture_output=True, text=True, cwd=data.ROOT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{server.name}, {row.title}: {done.stderr.strip().rpartition(chr(10))[2]}")
    measured = Measured(**json.loads(done.stdout))
    used = server.cpu_seconds() - before
    if set(measured.statuses) != {row.expect}:
        raise RuntimeError(f"{server.name}, {row.title}: expected {row.expect} alone, got {measured.statuses}")
    # The warm-up costs too; the rate was the same, so its share of the time is its share of the requests.
    busy = measured.seconds + Plan(port=0, requests=[], **plan).warm_up
    return measured, used / (measured.rate * busy) * 1e6


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
