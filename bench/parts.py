"""What a request costs by part: where the next improvement is.

The service runs in this process, without sockets, and the functions at the borders of its parts are timed;
what a part calls in another part counts for the other. The server's own cost is the CPU time of a process
that serves an application which does nothing.
"""

import asyncio
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import uvloop
from bench import data, servers
from bench.load import UNIQUE
from connexion.middleware.exceptions import ExceptionMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from rich.console import Console
from rich.table import Table

import tickets.contract.operation
import tickets.http.transaction
from tickets import logs
from tickets.app import create_app
from tickets.contract.operation import Plan
from tickets.db import Connection, Database, Transaction
from tickets.domain import api_keys
from tickets.http.exchange import Response
from tickets.http.guard import Guard
from tickets.http.idempotency import Idempotency
from tickets.http.rate_limit import RateLimiter
from tickets.http.transaction import Reader, Writer

AT_ONCE = 16
SECONDS = 2.0
SERVER = "server: HTTP, sockets"
BESIDE = "commit, beside the event loop"
WAITING = "waiting"
WHOLE = "whole"

# Part, where it lives, names of the functions at its border.
BORDERS: list[tuple[str, Any, tuple[str, ...]]] = [
    ("guard, request id, headers", Guard, ("__call__",)),
    ("routing", ExceptionMiddleware, ("__call__",)),
    ("routing", RoutingMiddleware, ("__call__",)),
    ("security: Connexion", SecurityMiddleware, ("__call__",)),
    ("security: key looked up", api_keys, ("authenticate",)),
    ("rate limit", RateLimiter, ("_hit",)),
    ("validation", Plan, ("_read_headers", "_arguments", "_read_body")),
    ("plan, Flask's context", Plan, ("__call__",)),
    ("handler", Plan, ("handler",)),
    ("statements", Transaction, ("all", "first", "one", "run", "many")),
    ("JSON, headers", Plan, ("_finish",)),
    ("JSON, headers", Response, ("send",)),
    ("idempotency", Idempotency, ("replay", "store")),
    ("begin, end, savepoints", Reader, ("begin", "end")),
    ("begin, end, savepoints", Database, ("begin_write", "end_write")),
    ("begin, end, savepoints", Connection, ("rollback",)),
    ("begin, end, savepoints", tickets.http.transaction, ("_attempt",)),
    (BESIDE, Connection, ("commit",)),
    (WAITING, Writer, ("run",)),
]
PARTS = list(dict.fromkeys([SERVER, *(part for part, _, _ in BORDERS if part != WAITING)]))


class Clock:
    """Adds up what each part takes by itself, for each task and thread on its own."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = defaultdict(float)
        self._stacks: dict[Any, list[list[float]]] = {}

    def _enter(self) -> tuple[Any, list[list[float]], list[float]]:
        try:
            key: Any = asyncio.current_task()
        except RuntimeError:
            key = None  # the commit's thread
        stack = self._stacks.setdefault(key, [])
        frame = [0.0]
        stack.append(frame)
        return key, stack, frame

    def _leave(self, name: str, took: float, key: Any, stack: list[list[float]], frame: list[float]) -> None:
        stack.pop()
        self.totals[name] += took - frame[0]
        if stack:
            stack[-1][0] += took
        else:
            del self._stacks[key]

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a function that is timed; it looks like the original to whoever inspects it."""
        # Of a commit the waiting is what costs; of the rest only work does, whatever else the machine is busy with.
        now = time.perf_counter if name == BESIDE else time.thread_time
        if iscoroutinefunction(function):

            @wraps(function)
            async def timed(*args: Any, **kwargs: Any) -> Any:
                inside = self._enter()
                started = now()
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._leave(name, now() - started, *inside)
        else:

            @wraps(function)
            def timed(*args: Any, **kwargs: Any) -> Any:
                inside = self._enter()
                started = now()
                try:
                    return function(*args, **kwargs)
                finally:
                    self._leave(name, now() - started, *inside)

        return timed


def _install(clock: Clock) -> None:
    for part, owner, names in BORDERS:
        for name in names:
            if (owner, name) == (Plan, "handler"):
                continue  # an attribute of each plan
            setattr(owner, name, clock.wrap(part, getattr(owner, name)))
    make = Plan.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.handler = clock.wrap("handler", self.handler)

    Plan.__init__ = init  # type: ignore[method-assign]


def _scope(request: str) -> tuple[dict[str, Any], bytes]:
    head, _, body = request.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    pairs = [line.split(": ", 1) for line in lines]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8080),
    }, body.encode()


async def drive(app: Any, row: servers.Row, at_once: int, seconds: float) -> tuple[int, float]:
    """Call the application in this process; returns how often, and how long the loop's thread worked."""
    scopes = [_scope(request) for request in row.requests]
    count = 0
    until = 0.0

    async def client() -> None:
        nonlocal count
        while time.perf_counter() < until:
            scope, body = scopes[count % len(scopes)]
            count += 1
            unique = b"%032x" % (count + int(until * 1e6))
            headers = [(name, unique if value == UNIQUE else value) for name, value in scope["headers"]]
            status = 0

            async def receive(body: bytes = body) -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: Any) -> None:
                nonlocal status
                status = message.get("status", status)

            await asyncio.create_task(app({**scope, "headers": headers, "extensions": {}}, receive, send))
            if str(status) != row.expect:
                raise RuntimeError(f"{row.title}: expected {row.expect}, got {status}")

    until = time.perf_counter() + seconds
    started = time.thread_time()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return count, time.thread_time() - started


async def _all(app: Any, facts: data.Facts, seconds: float, clock: Clock | None = None) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, row in servers.rows(facts).items():
        at_once = AT_ONCE if name.startswith("post") else 1
        await drive(app, row, at_once, 0.3)
        if clock is not None:
            clock.totals.clear()
        count, took = await drive(app, row, at_once, seconds)
        parts = clock.totals if clock is not None else {WHOLE: took}
        found[name] = {part: total / count * 1e6 for part, total in parts.items()}
    return found


async def _inside(facts: data.Facts, seconds: float) -> dict[str, dict[str, float]]:
    """Measure what happens in the application, first as it is, then with timers."""
    settings = data.settings(data.copy("parts"))
    logs.configure(settings)
    whole = await _all(create_app(settings), facts, seconds)
    clock = Clock()
    _install(clock)
    parts = await _all(create_app(settings), facts, seconds, clock)
    return {name: {**parts[name], **whole[name]} for name in whole}


def _server(facts: data.Facts, seconds: float) -> float:
    """Measure what a request costs that does nothing."""
    with servers.running("bare") as bare:
        row = servers.rows(facts)["get"]
        return min(servers.load(bare, row, seconds=seconds)[1] for _ in range(3))


def measure(facts: data.Facts, seconds: float) -> dict[str, dict[str, float]]:
    """Measure all parts of all requests, in microseconds."""
    found = asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_inside(facts, seconds))
    shutil.rmtree(data.FOLDER / "parts", ignore_errors=True)
    server = _server(facts, seconds)
    for parts in found.values():
        parts[SERVER] = server
        parts.pop(WAITING, None)
    return found


def lines(found: dict[str, dict[str, float]]) -> list[list[str]]:
    """Make the lines of a table: each part, what they add up to, and the whole without timers."""
    made = [[part, *(_cell(costs.get(part)) for costs in found.values())] for part in PARTS]
    sums = [sum(costs.get(part, 0) for part in PARTS if part != BESIDE) for costs in found.values()]
    made.append(["sum on the event loop", *map(_cell, sums)])
    made.append(["the application alone, without timers", *(_cell(costs[WHOLE]) for costs in found.values())])
    return made


def _cell(cost: float | None) -> str:
    return "" if cost is None else f"{cost:,.0f}"


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    console = Console()
    found = measure(data.prepare(console), seconds)
    if "--json" in sys.argv:
        json.dump(found, sys.stdout)
        return
    made = Table("part", title="Cost of a request by part, µs of CPU time", title_justify="left")
    for name in found:
        made.add_column(name, justify="right")
    for line in lines(found):
        made.add_row(*line)
    console.print(made)


if __name__ == "__main__":
    main()
