"""What requests leave behind: nothing that only the garbage collector would free, which looks seldom."""

import gc
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest
from test_locks import held

sys.path.insert(0, str(Path(__file__).parents[1] / "security"))

from rawhttp import JSON, TICKET, Connection, chunked, request

from factories import Tenant
from jobs.workbench import Bench, until
from service import ThreadService
from tickets.errors import Problem
from tickets.jobs.kind import JobFailed, Kind

WIDE = b'{"subject": [' + b",".join([b"1.5"] * 100_000) + b"]}"
LOGIN = b'{"email": "nobody@acme.example", "password": "swordfish"}'
CODE = b'{"email": "nobody@acme.example", "code": "123456"}'


def get(target: str, *headers: str, body: bytes = b"") -> bytes:
    return request("GET", target, *headers, body=body)


def send(method: str, path: str, *headers: str, body: bytes = TICKET, length: bool = True) -> bytes:
    return request(method, f"/api/v1{path}", JSON, *headers, body=body, length=length)


def raise_ticket(body: bytes, *headers: str) -> bytes:
    return send("POST", "/tickets", "KEY", *headers, body=body)


KINDS: dict[str, tuple[int, bytes]] = {
    "a list": (200, get("/api/v1/tickets", "KEY")),
    "a list that is read apart": (200, get("/api/v1/tickets?search=printer", "KEY")),
    "a write": (201, raise_ticket(TICKET)),
    "a page": (200, get("/docs")),
    "no JSON": (400, raise_ticket(b"{")),
    "no JSON, large": (400, raise_ticket(WIDE[:-1])),
    "no UTF-8": (400, raise_ticket(b'{"a": "\xff"}')),
    "half a surrogate": (400, raise_ticket(rb'{"a": "\ud800"}')),
    "NUL": (400, raise_ticket(rb'{"a": "\u0000"}')),
    "a name twice": (400, raise_ticket(b'{"a": 1, "a": 2}')),
    "a constant that is none": (400, raise_ticket(b'{"a": NaN}')),
    "too large a number": (400, raise_ticket(b'{"a": 1e999}')),
    "a deep body": (400, raise_ticket(b"[" * 70 + b"]" * 70)),
    "a very deep body": (400, raise_ticket(b"[" * 20_000)),
    "faults": (400, raise_ticket(b'{"subject": 1, "x": 2}')),
    "a fault of a kind": (400, raise_ticket(b'{"subject": "S", "description": "D", "custom_fields": {"a": [1]}}')),
    "a wide body": (400, raise_ticket(WIDE)),
    "no body": (400, request("POST", "/api/v1/tickets", "KEY", JSON, "Content-Length: 0")),
    "a body where none belongs": (400, get("/api/v1/tickets", "KEY", JSON, body=b"{}")),
    "a wrong value in the query": (400, get("/api/v1/tickets?limit=x", "KEY")),
    "an unknown parameter": (400, get("/api/v1/tickets?unknown=x", "KEY")),
    "a query that is not UTF-8": (400, get("/api/v1/tickets?status=%ff", "KEY")),
    "a cursor that is none": (400, get("/api/v1/tickets?cursor=abc", "KEY")),
    "what cannot be combined": (400, get("/api/v1/tickets?page=1&offset=2", "KEY")),
    "a wrong header": (400, raise_ticket(TICKET, "Idempotency-Key: \u00e4")),
    "a wrong escape": (400, get("/api/v1/ticke%zz", "KEY")),
    "no HTTP": (400, b"GARBAGE\r\n\r\n"),
    "nobody": (401, get("/api/v1/tickets")),
    "an unknown key": (401, get("/api/v1/tickets", "x-api-key: tk_abcdefgh_abcdefghijklmnopqrstuvwxyz")),
    "a token that is none": (401, get("/api/v1/tickets", "authorization: Bearer x.y.z")),
    "an unknown scheme": (401, get("/api/v1/tickets", "authorization: Basic x")),
    "a key twice": (401, get("/api/v1/tickets", "KEY", "KEY")),
    "a wrong password": (401, send("POST", "/auth/login", body=LOGIN)),
    "a wrong code": (401, send("POST", "/auth/email-otp/verify", body=CODE)),
    "what a role may not read": (403, get("/api/v1/users", "USER")),
    "what a role may not write": (403, send("POST", "/teams", "USER", body=b'{"name": "Support"}')),
    "an origin that may not": (405, request("OPTIONS", "/api/v1/tickets", "Origin: https://else.example")),
    "an unknown ticket": (404, get("/api/v1/tickets/999999", "KEY")),
    "a change of an unknown ticket": (404, send("PATCH", "/tickets/999999", "KEY", body=b'{"subject": "S"}')),
    "an unknown address": (404, get("/api/v1/unknown", "KEY")),
    "an unknown page": (404, get("/unknown")),
    "an id beyond all": (404, get(f"/api/v1/tickets/{'9' * 30}", "KEY")),
    "what refers to nothing": (404, raise_ticket(b'{"subject": "S", "description": "D", "contact_id": 999999}')),
    "a method of no operation": (405, send("PUT", "/tickets", "KEY")),
    "a method of no page": (405, request("POST", "/docs", JSON, body=WIDE)),
    "a name that is taken": (409, send("POST", "/teams", "KEY", body=b'{"name": "Taken"}')),
    "an old version in the body": (
        409,
        send("PATCH", "/tickets/1", "KEY", body=b'{"subject": "S", "version": 77}'),
    ),
    "an old version in the header": (
        412,
        send("PATCH", "/tickets/1", "KEY", 'If-Match: "77"', body=b'{"subject": "S"}'),
    ),
    "too long": (413, send("POST", "/tickets", "KEY", "Content-Length: 99999999", body=b"", length=False)),
    "too many chunks": (
        413,
        send(
            "POST", "/tickets", "KEY", "Transfer-Encoding: chunked", body=chunked(*[b"x" * 65_536] * 17), length=False
        ),
    ),
    "too long for nobody": (413, send("POST", "/auth/login", body=b"x" * 20_000)),
    "a long address": (414, get(f"/api/v1/tickets?search={'x' * 9_000}", "KEY")),
    "no media type": (415, request("POST", "/api/v1/tickets", "KEY", body=TICKET)),
    "a key used again": (422, raise_ticket(TICKET, "Idempotency-Key: used")),
    "an answer that is replayed": (
        404,
        send("POST", "/tickets/999999/comments", "KEY", "Idempotency-Key: replayed", body=b'{"body": "B"}'),
    ),
    "a limit that is used up": (429, get("/api/v1/tickets", "LIMITED")),
    "too many headers": (431, get("/api/v1/tickets", "KEY", f"x: {'y' * 70_000}")),
    "a body that stalls": (408, send("POST", "/tickets", "KEY", "Content-Length: 1000", body=b"{", length=False)),
    "a client that leaves": (0, send("POST", "/tickets", "KEY", "Content-Length: 1000", body=b"{", length=False)),
}


class World:
    """A service with a tenant, and raw requests to it."""

    def __init__(self, service: ThreadService, tenant: Tenant) -> None:
        self.service = service
        admin = tenant.client("admin")
        keys = {
            b"KEY": admin.key,
            b"USER": tenant.client("user").key,
            b"LIMITED": tenant.key(tenant.users["admin"], rate_limit="1/day"),
        }
        self._keys = {name: f"x-api-key: {key}".encode() for name, key in keys.items()}
        tenant.ticket()
        tenant.team(name="Taken")
        assert admin.post("/tickets", json={"subject": "S", "description": "D"}, headers={"idempotency-key": "used"})

    def ask(self, data: bytes) -> int:
        """Send a request on a connection of its own and return the status; 0 of who does not wait for the answer."""
        for name, header in self._keys.items():
            data = re.sub(rb"^%b\r$" % name, header + b"\r", data, flags=re.MULTILINE)
        with Connection(self.service.port) as connection:
            connection.send(data)
            status = connection.answer().status if data else 0
        self.rest()
        return status

    def leave(self, data: bytes) -> int:
        """Begin a request and go."""
        with Connection(self.service.port) as connection:
            connection.send(data.replace(b"\r\nKEY\r\n", b"\r\n%b\r\n" % self._keys[b"KEY"]))
            until(lambda: self.service.server.server_state.tasks)
        self.rest()
        return 0

    def rest(self) -> None:
        """Wait until the service has done with all connections."""
        state = self.service.server.server_state
        until(lambda: not state.connections and not state.tasks)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One service for all kinds of requests."""
    service = ThreadService(tmp_path_factory.mktemp("garbage"), request_timeout=1, log_level="error", worker_threads=0)
    tenant = Tenant(service.database, service.origin)
    made = World(service, tenant)
    tenant.close()
    made.rest()
    yield made
    service.stop()


@contextmanager
def garbage() -> Iterator[list[str]]:
    """List what only the garbage collector frees of what is made within: errors, frames, requests, and what is ours."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += [name for thing in gc.garbage if (name := _name(thing))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _name(thing: Any) -> str:
    kind = type(thing)
    if isinstance(thing, FrameType):
        return f"frame of {thing.f_code.co_qualname}"
    if isinstance(thing, BaseException | TracebackType) or kind.__module__.startswith(("tickets", "uvicorn", "a2wsgi")):
        return kind.__qualname__
    if kind.__module__ == "builtins" and isinstance(thing, dict | list) and len(thing) > 100:
        return f"{kind.__name__} of {len(thing)}"
    return "scope" if kind is dict and "asgi" in thing else ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_leaves_nothing_to_the_garbage_collector(world: World, kind: str):
    status, data = KINDS[kind]
    ask = world.ask if status else world.leave
    ask(data)  # what is made once is made now
    with garbage() as left:
        assert ask(data) == status
    assert not Counter(left)


def test_nor_does_one_that_fails_for_a_fault_of_ours(world: World, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tickets.domain.records.expect", fail)
    monkeypatch.setattr("tickets.http.pagination.Cursors.write", fail)
    monkeypatch.setattr("flask.Flask.dispatch_request", fail)
    for data in (
        send("PATCH", "/tickets/1", "KEY", body=b'{"subject": "S"}'),
        get("/api/v1/tickets", "KEY"),
        get("/api/v1/tickets?search=printer", "KEY"),
        get("/docs"),
    ):
        world.ask(data)
        with garbage() as left:
            assert world.ask(data) == 500
        assert not Counter(left)


def test_nor_does_one_that_meets_a_locked_database(world: World):
    world.ask(raise_ticket(TICKET))
    with held(world.service.database.path, "SQLite's lock"), garbage() as left:
        assert world.ask(raise_ticket(TICKET)) == 503
    assert not Counter(left)


@pytest.mark.parametrize("error", [JobFailed("No.", permanent=True), ZeroDivisionError(), Problem("No.")])
def test_nor_does_a_job_that_fails(tmp_path: Path, error: Exception):
    bench = Bench(tmp_path)

    def fail(*_: Any) -> None:
        raise type(error)(*error.args)

    worker = bench.worker(Kind("fail", fail, attempts=1))
    bench.enqueue("fail")
    worker.wake()
    until(lambda: worker.ended["failed"] == 1)
    with garbage() as left:
        bench.enqueue("fail")
        worker.wake()
        until(lambda: worker.ended["failed"] == 2)
    bench.close()
    assert not Counter(left)
