"""Writes with the longest texts, over HTTP: how long they hold the gate and the event loop, and how long others wait.

`python -m bench.worst_writes [NAME …]`, on a database of its own that goes with it; a few minutes without names. Each
row is one worst write, which is repeated; another tenant reads and writes all the time, also while the search index
follows.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn
from rich.console import Console
from rich.table import Table

from tickets import migrations
from tickets.app import create_app
from tickets.db import Database
from tickets.domain import api_keys, comments, contacts, first_start, lifecycle, organizations, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.http.server import configuration
from tickets.settings import Settings

PORT = 8393
LONG = "".join(chr(0x4E00 + place * 7_919 % 20_000) for place in range(50_000))
"""As long as a text may be, and each pair of characters a word of its own."""
ASCII = " ".join(f"{place * 7_919 % 46_656:03x}" for place in range(12_500))[:49_999]
NOTED = 0.002
"""Seconds from which on a hold of the gate or a block of the loop is noted."""


# The service, which watches itself -------------------------------------------------------------------


def serve() -> None:
    """Serve, and write each long hold of the gate and each long block of the loop to the standard output."""
    begin, end = Database.begin_write, Database.end_write
    began: dict[Database, float] = {}

    def begin_write(self: Database, *args: Any, **kwargs: Any) -> Any:
        transaction = begin(self, *args, **kwargs)
        began[self] = time.perf_counter()
        return transaction

    def end_write(self: Database) -> None:
        _note("gate", time.perf_counter() - began[self])
        end(self)

    Database.begin_write, Database.end_write = begin_write, end_write  # type: ignore[method-assign]
    settings = Settings.from_env()
    server = uvicorn.Server(configuration(create_app(settings), settings, host="127.0.0.1", port=PORT))
    gc.collect()  # as `tickets serve` does
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)

    async def run() -> None:
        beat = asyncio.create_task(_beat())
        await server.serve()
        beat.cancel()

    asyncio.run(run())


async def _beat() -> None:
    while True:
        before, used = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0.001)
        _note("loop", time.perf_counter() - before - 0.001)
        _note("cpu", time.thread_time() - used)


def _note(what: str, seconds: float) -> None:
    if seconds >= NOTED:
        os.write(1, f"{json.dumps([what, seconds])}\n".encode())  # whole, whichever thread


# What is done to it ----------------------------------------------------------------------------------


class Tenant(NamedTuple):
    """An organization with a client of its admin."""

    caller: Principal
    contact_id: int
    client: httpx.Client


class Bench:
    """A service with two tenants: one does the worst, the other wants to work."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(var_dir=folder)
        self.database = Database(settings)
        migrations.upgrade(self.database)
        first_start.prepare(settings, self.database)
        self.worst, self.other = self._tenant("worst"), self._tenant("other")
        self.seen: dict[str, list[float]] = {"gate": [], "loop": [], "cpu": []}
        self._service = subprocess.Popen(
            [sys.executable, "-m", "bench.worst_writes", "--serve"],
            env={**os.environ, "TICKETS_VAR_DIR": str(folder), "TICKETS_LOG_LEVEL": "error"},
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        _until(self._answers)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{PORT}/health").status_code == 200
        except httpx.TransportError:
            return False

    def _listen(self) -> None:
        assert self._service.stdout is not None
        for line in self._service.stdout:
            if line.startswith("["):
                what, seconds = json.loads(line)
                self.seen[what].append(seconds)

    def _tenant(self, name: str) -> Tenant:
        with self.database.write() as tx:
            made = organizations.create(tx, name=name, slug=name)
            user = users.create(tx, SYSTEM, made.id, email=f"a@{name}.example", name="A", role="admin")
            contact = contacts.create(tx, SYSTEM, made.id, email=f"c@{name}.example", name="C", user_id=user.id)
            key = api_keys.create(tx, user, name="Benchmark", rate_limit="100000000/second")[1]
        client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}/api/v1", headers={"x-api-key": key}, timeout=300)
        return Tenant(Principal(user.id, made.id, "admin", "A", frozenset({"*"})), contact.id, client)

    def ticket(self, description: str = "x", *, said: int = 0, text: str = LONG) -> int:
        """Raise a ticket with so many comments, all of them in the index, past the service."""
        with self.database.write() as tx:
            made = lifecycle.create(tx, self.worst.caller, {"subject": "S", "description": description})
        for first in range(0, said, 50):
            with self.database.write() as tx:
                ticket = tx.one(comments._TICKET, id=made.id)
                for _ in range(first, min(first + 50, said)):
                    comments.create(tx, self.worst.caller, ticket, body=text)
        self.wait_for_the_index()
        return int(made.id)

    def full(self, said: int) -> int:
        """Raise a ticket with copies of a comment that the index never had: to be deleted, and not to be searched."""
        number = self.ticket(said=1)
        with self.database.write() as tx:
            names = ", ".join(
                row[1] for row in tx._connection.execute("PRAGMA table_info(comments)").fetchall() if row[1] != "id"
            )
            tx._connection.execute(
                f"INSERT INTO comments ({names}) WITH RECURSIVE many AS (SELECT 2 AS n UNION ALL SELECT n + 1 FROM many"
                f" WHERE n < ?) SELECT {names} FROM many, (SELECT * FROM comments WHERE ticket_id = ?)",
                [said, number],
            )
        return number

    def wait_for_the_index(self) -> None:
        def is_done() -> bool:
            with self.database.read() as tx:
                return tx._connection.execute("SELECT count(*) FROM search_pending").fetchone() == (0,)

        _until(is_done, seconds=600)

    def close(self) -> None:
        self._service.terminate()
        self._service.wait(30)
        self.database.close()


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


@contextmanager
def _again_and_again(ask: Callable[[], httpx.Response]) -> Iterator[list[float]]:
    times: list[float] = []
    stop = threading.Event()

    def go() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            answer = ask()
            times.append(time.perf_counter() - began)
            assert answer.status_code < 300, answer.text
            stop.wait(0.002)

    thread = threading.Thread(target=go)
    thread.start()
    yield times
    stop.set()
    thread.join()


Work = Callable[[], httpx.Response]


def _works(bench: Bench) -> dict[str, Callable[[], list[Work]]]:
    """Name the worst writes: each prepares what it does, and then does it."""
    post, patch, delete = bench.worst.client.post, bench.worst.client.patch, bench.worst.client.delete

    def patches() -> list[Work]:
        number = bench.ticket(LONG)
        texts = [LONG[place:] + LONG[:place] for place in range(10)]
        return [partial(patch, f"/tickets/{number}", json={"description": text}) for text in texts]

    def bulk_updates() -> list[Work]:
        long, short = [bench.ticket(LONG) for _ in range(50)], [bench.ticket() for _ in range(450)]
        operations = [{"op": "update", "id": each, "version": 1, "patch": {"description": ""}} for each in long]
        operations += [{"op": "update", "id": each, "version": 1, "patch": {"priority": "low"}} for each in short]
        return [partial(post, "/tickets/bulk", json={"operations": operations})]

    def bulk_deletions() -> list[Work]:
        numbers = [bench.ticket(said=10, text="a short text") for _ in range(500)]
        operations = [{"op": "delete", "id": number, "version": 1} for number in numbers]
        return [partial(post, "/tickets/bulk", json={"operations": operations})]

    def another_contact() -> list[Work]:
        number = bench.ticket(said=300)
        with bench.database.write() as tx:
            of = bench.worst.caller.organization_id
            made = contacts.create(tx, SYSTEM, of, email=f"{number}@worst.example", name="D")
        return [partial(patch, f"/tickets/{number}", json={"contact_id": made.id})]

    def merges(said: int, text: str) -> list[Work]:
        pairs = [(bench.ticket(said=said, text=text), bench.ticket()) for _ in range(2)]
        return [partial(post, f"/tickets/{number}/merge", json={"into": into}) for number, into in pairs]

    def deletions(raised: Callable[[], int]) -> list[Work]:
        return [partial(delete, f"/tickets/{raised()}") for _ in range(2)]

    def posts(text: str) -> list[Work]:
        return [partial(post, "/tickets", json={"subject": "S", "description": text})] * 10

    def says(text: str) -> list[Work]:
        return [partial(post, "/comments", json={"ticket_id": bench.ticket(), "body": text})] * 10

    most = lifecycle.MOST_COMMENTS
    return {
        "POST ticket, 50,000 Han": lambda: posts(LONG),
        "POST ticket, 50,000 ASCII": lambda: posts(ASCII),
        "POST comment, 50,000 Han": lambda: says(LONG),
        "PATCH description, 50,000 Han": patches,
        "bulk: 50 descriptions of 50,000 Han, 450 others": bulk_updates,
        "bulk: 500 deletions, 10 comments each": bulk_deletions,
        "another contact: 300 comments of 50,000 Han": another_contact,
        "merge: 159 comments of 50,000 Han": lambda: merges(159, LONG),
        "merge: 2,000 short comments": lambda: merges(2_000, "a short text"),
        "delete: 300 comments of 50,000 Han": lambda: deletions(lambda: bench.ticket(said=300)),
        f"delete: {most:,} comments of 50,000 Han": lambda: deletions(lambda: bench.full(most)),
    }


def _measured(bench: Bench, prepare: Callable[[], list[Work]]) -> list[str]:
    works = prepare()
    bench.wait_for_the_index()
    other, body = bench.other.client, {"subject": "S", "description": "D"}
    for times in bench.seen.values():
        times.clear()
    with (
        _again_and_again(lambda: other.get("/tickets?limit=10")) as gets,
        _again_and_again(lambda: other.post("/tickets", json=body)) as posts,
    ):
        took = []
        for work in works:
            began = time.perf_counter()
            answer = work()
            took.append(time.perf_counter() - began)
            assert answer.status_code < 300, answer.text
        own = {what: max(times, default=0) for what, times in bench.seen.items()}
        began = time.perf_counter()
        bench.wait_for_the_index()
        followed = time.perf_counter() - began
    all_of_it = {what: max(times, default=0) for what, times in bench.seen.items()}
    gets.sort()
    return [
        *(f"{seconds * 1000:.0f}" for seconds in (max(took), *own.values())),
        f"{followed:.1f}",
        *(f"{all_of_it[what] * 1000:.0f}" for what in own),
        f"{max(posts) * 1000:.0f}",
        *(f"{seconds * 1000:.0f}" for seconds in (gets[len(gets) * 95 // 100], gets[-1])),
    ]


def main() -> None:
    if "--serve" in sys.argv:
        serve()
        return
    asked = sys.argv[1:]
    table = Table(
        *(
            "worst write",
            "ms",
            "gate",
            "loop",
            "CPU",
            "index s",
            "gate",
            "loop",
            "CPU",
            "others' POST",
            "GET p95",
            "longest",
        ),
        title="Longest in ms: the write; by then and until the index followed: hold of the gate, block of the loop, CPU"
        " time of the loop between two looks at its sockets; and what others wait for an answer all the time",
    )
    with tempfile.TemporaryDirectory(prefix="worst-writes-") as folder:
        bench = Bench(Path(folder))
        try:
            for name, prepare in _works(bench).items():
                if not asked or any(word in name for word in asked):
                    table.add_row(name, *_measured(bench, prepare))
        finally:
            bench.close()
    Console(width=None if sys.stdout.isatty() else 170).print(table)


if __name__ == "__main__":
    main()
