"""Statistics and bulk changes on a database of any size, over HTTP: how long they take, and how long others wait.

`TICKETS_VAR_DIR=… python -m bench.stats`, with a database that `tickets seed-data` filled, on a machine that does
nothing else. It adds a key and tickets to the database.
"""

import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from tickets.db import Database
from tickets.domain import api_keys, records
from tickets.models import User
from tickets.settings import Settings

PORT = 8392
READS = 1_000
BULKS = 20
SPAN = {"from": "2024-01-01T00:00:00Z", "to": "2025-12-31T00:00:00Z"}
"""All that `seed-data` makes up."""


def main() -> None:
    with Database(Settings.from_env()) as database:
        sizes, keys = _organizations(database)
    console = Console(width=None if sys.stdout.isatty() else 120)
    with _service() as (process, clients):
        large, small = (clients(key) for key in keys)
        made = Table("request", "tickets", "p50 ms", "p99 ms", title=f"{READS:,} requests, one after another")
        for path in ("/stats", "/tickets?page=1", "/tickets?page=1&status=open", "/tickets/open?page=1"):
            for size, client in zip(sizes, (large, small), strict=True):
                times = sorted(_timed(lambda at=path, by=client: by.get(at)) for _ in range(READS))
                made.add_row(path, f"{size:,}", f"{times[READS // 2]:.2f}", f"{times[READS * 99 // 100]:.2f}")
        console.print(made)
        console.print(_over_time(large, process, f"{sizes[0]:,}"))
        console.print(_bulk(large))


def _organizations(database: Database) -> tuple[list[int], list[str]]:
    """Choose the largest and a small organization, and make keys for them."""
    sizes, keys = [], []
    with database.write() as tx:
        found = tx._connection.execute(
            "SELECT sum(total), organization_id FROM ticket_tallies GROUP BY 2 HAVING sum(total) > 0 ORDER BY 1 DESC"
        ).fetchall()
        for size, organization_id in (found[0], found[-1]):
            (user_id,) = tx._connection.execute(
                "SELECT id FROM users WHERE organization_id = ? AND role = 'admin' AND is_active", (organization_id,)
            ).fetchone()
            user = records.find(tx, User, user_id, organization_id)
            sizes.append(size)
            keys.append(api_keys.create(tx, user, name="Benchmark", rate_limit="100000000/second")[1])
    return sizes, keys


@contextmanager
def _service() -> Iterator[tuple[psutil.Process, Callable[[str], httpx.Client]]]:
    service = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "tickets", "serve", "--port", str(PORT)],
        env={**os.environ, "TICKETS_LOG_LEVEL": "warning"},
    )
    origin = f"http://127.0.0.1:{PORT}/api/v1"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{origin}/health")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield (
            psutil.Process(service.pid),
            lambda key: httpx.Client(base_url=origin, headers={"x-api-key": key}, timeout=120),
        )
    finally:
        service.terminate()
        service.wait(15)


def _timed(ask: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    answer = ask()
    elapsed = (time.perf_counter() - began) * 1000
    assert answer.status_code < 300, answer.text
    return elapsed


@contextmanager
def _meanwhile(ask: Callable[[], httpx.Response]) -> Iterator[list[float]]:
    """Ask again and again, in a thread; the times come in as they are."""
    times: list[float] = []
    stop = threading.Event()

    def go() -> None:
        while not stop.is_set():
            times.append(_timed(ask))

    thread = threading.Thread(target=go)
    thread.start()
    time.sleep(0.5)
    times.clear()
    yield times
    stop.set()
    thread.join()


@contextmanager
def _rss(process: psutil.Process) -> Iterator[list[int]]:
    """Look at the memory of the service every 5 ms, in a thread: what it takes is given back before the answer."""
    seen: list[int] = []
    stop = threading.Event()

    def go() -> None:
        while True:
            seen.append(process.memory_info().rss)
            if stop.wait(0.005):
                return

    thread = threading.Thread(target=go)
    thread.start()
    yield seen
    stop.set()
    thread.join()


def _others(times: list[float]) -> tuple[str, str]:
    return f"{statistics.median(times):.1f}", f"{max(times):.0f}"


def _over_time(client: httpx.Client, process: psutil.Process, size: str) -> Table:
    made = Table(
        *("interval", "group_by", "entries", "ms", "RSS +MB", "others' GET p50", "longest"),
        title=f"GET /stats/tickets over all {size} tickets",
    )
    before = process.memory_info().rss  # at first: what was once taken is not all given back
    for interval, group_by in itertools.product(("day", "month"), ("none", "priority", "assignee")):
        asked = {**SPAN, "interval": interval, "group_by": group_by}
        if interval == "day":
            asked["to"] = "2025-02-01T00:00:00Z"  # 400 buckets at most
        with _rss(process) as seen_rss, _meanwhile(lambda: client.get("/tickets?limit=10")) as times:
            began = time.perf_counter()
            answer = client.get("/stats/tickets", params=asked)
            elapsed = (time.perf_counter() - began) * 1000
            seen = _others(list(times) or [elapsed])
        data: list[Any] = answer.json()["data"]
        made.add_row(
            *(interval, group_by, f"{len(data):,}", f"{elapsed:.0f}", f"{(max(seen_rss) - before) / 1e6:.0f}", *seen)
        )
    return made


def _bulk(client: httpx.Client) -> Table:
    made = Table(
        *("operations", "p50 ms", "longest", "others' POST p50", "longest"), title=f"POST /tickets/bulk, {BULKS} times"
    )
    body = {"subject": "S", "description": "D"}
    numbers = itertools.count()
    for count, what in ((1, "update"), (50, "update"), (500, "update"), (500, "delete")):
        times = []
        with _meanwhile(lambda: client.post("/tickets", json=body)) as others:
            for _ in range(BULKS):
                rows = client.get("/tickets", params={"limit": 200, "sort": "created_at"}).json()["data"]
                while len(rows) < count:
                    place = {"limit": 200, "sort": "created_at", "offset": len(rows)}
                    rows += client.get("/tickets", params=place).json()["data"]
                operations: list[dict[str, Any]] = [
                    {"op": what, "id": row["id"], "version": row["version"]} for row in rows[:count]
                ]
                if what == "update":
                    for operation in operations:
                        operation["patch"] = {"tags": [f"tag-{next(numbers)}"], "priority": "high"}
                times.append(_timed(lambda: client.post("/tickets/bulk", json={"operations": operations})))  # noqa: B023 - called at once
            seen = _others(list(others))
        made.add_row(f"{count} {what}s", f"{statistics.median(times):.0f}", f"{max(times):.0f}", *seen)
    return made


if __name__ == "__main__":
    main()
