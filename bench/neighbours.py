"""What one tenant can do to another: ``python -m bench.neighbours [seconds] [way …]``.

One tenant does its worst in one way after another, each for some seconds, with `KEYS` keys whose own limit never
ends; another one reads, searches and raises tickets meanwhile, one request after another. What counts are its
latencies. The service has a database of its own, made by the command line. Who attacks is a process of its own, so that
it takes none of the time of who measures; on a machine with few cores they share these with the service all the same.
"""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from bench.servers import _free_port
from rich.console import Console
from rich.table import Table

KEYS = 40
TICKETS = 60_000
SECONDS = 8.0
LIMIT = "100000000/second"
SPAN = {"from": "2024-01-01T00:00:00Z", "to": "2025-12-31T00:00:00Z", "interval": "week", "group_by": "assignee"}
TICKET = {"subject": "Printer", "description": "The printer on floor 3 answers nothing."}
GOALS = {"GET": ("p95", 50.0), "search": ("p95", 1_000.0), "POST": ("longest", 1_000.0)}
"""Milliseconds."""

_LARGE = b'{"subject":"S","description":"D","tags":[' + b",".join([b'"%d"' % n for n in range(100_000)]) + b"]}"

Ask = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]
_numbers = itertools.count(1)


async def _nothing(_: httpx.AsyncClient, __: int) -> httpx.Response:
    await asyncio.sleep(0.05)
    return httpx.Response(200)


async def _statistics(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.get("/stats/tickets", params=SPAN)


async def _search(client: httpx.AsyncClient, turn: int) -> httpx.Response:
    return await client.get("/search", params={"q": ("the", "a*", "e* -o", "printer or the")[turn % 4], "limit": 200})


async def _pages(client: httpx.AsyncClient, turn: int) -> httpx.Response:
    return await client.get("/tickets", params={"page": 1 + turn % 500, "per_page": 100})


async def _posts(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.post("/tickets", json=TICKET)


async def _bulk(client: httpx.AsyncClient, turn: int) -> httpx.Response:
    start = 1 + (turn * 500) % (TICKETS // 2 - 500)
    tag = f"t-{next(_numbers)}"
    operations = [
        {"op": "update", "id": start + number, "version": 1 + turn, "patch": {"tags": [tag]}} for number in range(500)
    ]
    return await client.post("/tickets/bulk", json={"operations": operations})


async def _bodies(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.post("/tickets", content=_LARGE, headers={"content-type": "application/json"})


async def _passwords(client: httpx.AsyncClient, turn: int) -> httpx.Response:
    body = {"email": f"nobody-{turn}@acme.example", "password": "not the right one"}
    return await client.post("/auth/login", json=body, headers={"x-api-key": ""})


WORST: dict[str, Ask] = {  # long texts, merges and deletions are measured by bench.worst_writes
    "nothing": _nothing,
    "statistics": _statistics,
    "search": _search,
    "pages by number": _pages,
    "bulk, 500 each": _bulk,
    "POST": _posts,
    "bodies of 1 MB": _bodies,
    "passwords": _passwords,
}


def main() -> None:
    if sys.argv[1:] == ["attack"]:
        plan = json.load(sys.stdin)
        answers = asyncio.run(_attack(plan["origin"], plan["keys"], WORST[plan["way"]], plan["seconds"]))
        json.dump(answers, sys.stdout)
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    ways = sys.argv[2:] or list(WORST)
    console = Console(width=None if sys.stdout.isatty() else 140)
    columns = [f"{what} {figure}" for what in GOALS for figure in ("p50", "p95", "longest")]
    made = Table("one tenant does", *columns, "others' failures", "its answers", title="Milliseconds of another tenant")
    with _service(console) as (origin, greedy, modest):
        for way in ways:
            times, failed, answers = _measure(origin, greedy, modest, way, seconds)
            figures = [f"{figure:,.1f}" for what in GOALS for figure in _figures(times[what])]
            seen = " ".join(f"{status}: {count}" for status, count in sorted(answers.items()))
            made.add_row(way, *figures, str(failed), seen)
    console.print(made)
    goals = "; ".join(f"{what} {figure} {most:g}" for what, (figure, most) in GOALS.items())
    console.print(f"Goals, ms at most: {goals}.")


def _figures(times: list[float]) -> tuple[float, float, float]:
    ordered = sorted(times) or [float("nan")]
    return ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100], ordered[-1]


@contextlib.contextmanager
def _service(console: Console) -> Iterator[tuple[str, list[str], str]]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        unlimited = {f"TICKETS_RATE_LIMIT_{name}": LIMIT for name in ("ANONYMOUS", "SESSION", "AUTH", "LOGIN")}
        environment = {**os.environ, **unlimited, "TICKETS_VAR_DIR": folder, "TICKETS_LOG_LEVEL": "error"}

        def run(*words: str) -> dict[str, Any]:
            done = subprocess.run(  # noqa: S603 - ours
                [sys.executable, "-m", "tickets", *words, "--json"], env=environment, capture_output=True, check=True
            )
            made: dict[str, Any] = json.loads(done.stdout)
            return made

        console.print(f"Making {TICKETS:,} tickets …")
        run("migrate")
        keys = []
        for name in ("greedy", "modest"):
            run("create-org", "--name", name, "--slug", name, "--email", f"{name}@acme.example")
            count = KEYS if name == "greedy" else 1
            make = ("create-api-key", "--email", f"{name}@acme.example", "--rate-limit", LIMIT)
            keys.append([run(*make)["key"] for _ in range(count)])
        run("seed-data", "--tickets", str(TICKETS), "--org", "greedy")
        run("seed-data", "--tickets", "2000", "--seed", "2", "--org", "modest")
        command = [sys.executable, "-m", "tickets", "serve", "--port", str(port)]
        log = Path(folder, "service.log").open("wb")  # noqa: SIM115 - until the service has ended
        service = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            _wait(port)
            yield f"http://127.0.0.1:{port}/api/v1", keys[0], keys[1][0]
        finally:
            service.terminate()
            service.wait(20)
            log.close()


def _wait(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health")
            return
        time.sleep(0.1)
    raise TimeoutError("the service does not answer")


def _measure(
    origin: str, greedy: list[str], modest: str, way: str, seconds: float
) -> tuple[dict[str, list[float]], int, dict[str, int]]:
    """Let one tenant ask with all its keys at once, and time what the other one asks."""
    plan = {"origin": origin, "keys": greedy, "way": way, "seconds": seconds + 3}
    command = [sys.executable, "-m", "bench.neighbours", "attack"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attack:  # noqa: S603 - ours
        assert attack.stdin is not None
        assert attack.stdout is not None
        json.dump(plan, attack.stdin)
        attack.stdin.close()
        time.sleep(3)  # until all of its connections are open
        times, failed = asyncio.run(_watch(origin, modest, seconds))
        answers: dict[str, int] = json.loads(attack.stdout.read())
    return times, failed, answers


async def _attack(origin: str, keys: list[str], ask: Ask, seconds: float) -> Counter[str]:
    answers: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def go(key: str) -> None:
        async with _client(origin, key) as client:
            turn = 0
            while time.monotonic() < end:
                try:
                    answers[str((await ask(client, turn)).status_code)] += 1
                except httpx.TransportError as error:
                    answers[type(error).__name__] += 1
                turn += 1

    await asyncio.gather(*map(go, keys))
    return answers


async def _watch(origin: str, key: str, seconds: float) -> tuple[dict[str, list[float]], int]:
    times: dict[str, list[float]] = {what: [] for what in GOALS}
    end = time.monotonic() + seconds
    failed = 0

    async def watch(what: str) -> None:
        nonlocal failed
        async with _client(origin, key) as client:
            while time.monotonic() < end:
                began = time.perf_counter()
                answer = await _asked(client, what)
                times[what].append((time.perf_counter() - began) * 1000)
                failed += answer.status_code >= 400
                await asyncio.sleep(0.02)

    await asyncio.gather(*map(watch, GOALS))
    return times, failed


def _client(origin: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=origin, headers={"x-api-key": key}, timeout=90, verify=False)  # noqa: S501 - plain


async def _asked(client: httpx.AsyncClient, what: str) -> httpx.Response:
    if what == "GET":
        return await client.get("/tickets?limit=10")
    if what == "search":
        return await client.get("/search?q=printer&limit=10")
    return await client.post("/tickets", json=TICKET)


if __name__ == "__main__":
    main()
