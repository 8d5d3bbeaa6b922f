"""Another process that keeps the database to itself."""

import asyncio
import itertools
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from outcomes import assert_sound, assert_unavailable, at_once, rows
from sqlalchemy import text

from factories import Client
from tickets import migrations
from tickets.db import LOCK_TIMEOUT, Connection, Database, Statement, Transaction
from tickets.errors import ServiceUnavailable
from tickets.http.transaction import Writer
from tickets.settings import Settings

BODY = {"subject": "Locked", "description": ""}

HOLDS = {
    "SQLite's lock": """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
""",
    "the gate": """
import fcntl, sys
gate = open(sys.argv[1] + ".gate", "ab")
fcntl.flock(gate, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
""",
}


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Let another process hold a lock; it goes with the process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS[what], str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(10)


@pytest.mark.parametrize("what", HOLDS)
def test_reads_go_on_writes_get_a_503_and_then_all_is_well(start, what: str):
    service, tenant = start()
    ticket = tenant.ticket()
    writers = [Client(service.origin, tenant.client("admin").key) for _ in range(6)]
    fresh = tenant.client("agent", scopes=["*"])  # its first use is noted, which is a write
    reader = tenant.client("admin")
    answers: list[httpx.Response] = []
    with held(service.database.path, what):
        writing = Thread(
            target=lambda: answers.extend(
                at_once(6, lambda n: writers[n].post("/tickets", json=BODY, headers={"idempotency-key": f"k{n}"}))
            )
        )
        began = time.monotonic()
        writing.start()
        slowest, reads = 0.0, 0
        while writing.is_alive():
            for client in (reader, fresh):
                answer = client.get(f"/tickets/{ticket['id']}")
                assert answer.status_code == 200
                slowest = max(slowest, answer.elapsed.total_seconds())
                reads += 1
            time.sleep(0.02)
        took = time.monotonic() - began
    assert reads > 50
    assert slowest < LOCK_TIMEOUT - 1
    assert LOCK_TIMEOUT - 1 < took < LOCK_TIMEOUT + 10
    for answer in answers:
        assert_unavailable(answer)
    again = [writers[n].post("/tickets", json=BODY, headers={"idempotency-key": f"k{n}"}) for n in range(6)]
    assert {answer.status_code for answer in again} == {201}
    assert rows(service.database.path, "SELECT count(*) FROM tickets") == [(7,)]
    for client in (*writers, fresh):
        client.close()


def test_a_short_lock_is_waited_for(start):
    service, tenant = start()
    admin = tenant.client("admin")
    tenant.ticket()
    with held(service.database.path, "SQLite's lock"):
        answers: list[httpx.Response] = []
        writing = Thread(target=lambda: answers.append(admin.post("/tickets", json=BODY)))
        writing.start()
        time.sleep(0.5)
    writing.join(10)
    assert answers[0].status_code == 201


def test_the_use_of_a_key_is_noted_once_the_lock_is_gone(start):
    service, tenant = start()
    fresh = tenant.client("agent", scopes=["*"])
    with held(service.database.path, "SQLite's lock"):
        assert fresh.get("/organization").status_code == 200
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert fresh.get("/organization").status_code == 200
        if rows(service.database.path, "SELECT count(*) FROM api_keys WHERE last_used_at IS NULL") == [(0,)]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("last_used_at was never noted")
    fresh.close()


WRITES = """
import sys
from pathlib import Path
from sqlalchemy import text
from tickets.db import Database, Statement
from tickets.settings import Settings
insert = Statement(text(
    "INSERT INTO organizations (name, slug, settings, created_at, updated_at, version)"
    " VALUES (:who, :slug, '{}', 0, 0, 1)"
))
who = sys.argv[2]
with Database(Settings(var_dir=Path(sys.argv[1]))) as database:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(150):
        with database.write() as tx:
            tx.run(insert, who=who, slug=f"{who}-{number}")
"""


def test_two_processes_that_write_without_a_pause_take_turns(tmp_path: Path):
    with Database(Settings(var_dir=tmp_path)) as database:
        migrations.upgrade(database)
        path = database.path
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES, str(tmp_path), who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for who in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
    order = [name for (name,) in rows(path, "SELECT name FROM organizations ORDER BY id")]
    assert order.count("one") == order.count("two") == 150
    both = order[order.index("two" if order[0] == "one" else "one") : _last_of_the_first_to_end(order)]
    longest = max(len(list(run)) for _, run in itertools.groupby(both))
    assert longest < 20, longest


def test_threads_that_write_without_a_pause_take_turns_in_the_order_in_which_they_asked(tmp_path: Path):
    order: list[str] = []
    with Database(Settings(var_dir=tmp_path)) as database:
        migrations.upgrade(database)

        def write(name: str) -> None:
            with database.write():
                order.append(name)

        threads = [Thread(target=write, args=(name,)) for name in ("second", "third")]
        with database.write():
            for number, thread in enumerate(threads, start=1):
                thread.start()
                while database._gate._inside.waiting() < number:
                    time.sleep(0.001)
        for _ in range(50):
            write("first")
        for thread in threads:
            thread.join(10)
    assert order == ["second", "third", *["first"] * 50]


def test_a_thread_that_waits_for_its_turn_in_vain_holds_up_nobody(tmp_path: Path):
    with Database(Settings(var_dir=tmp_path)) as database:
        migrations.upgrade(database)
        failed: list[Exception] = []

        def write() -> None:
            try:
                with database.write(wait=0.05):
                    pass
            except ServiceUnavailable as error:
                failed.append(error)

        with database.write():
            for thread in [Thread(target=write) for _ in range(3)]:
                thread.start()
                thread.join(10)
        assert len(failed) == 3
        with database.write(wait=0):
            assert database._gate._inside.waiting() == 0


def test_a_database_that_is_closed_opens_no_connection_more(tmp_path: Path):
    with Database(Settings(var_dir=tmp_path)) as database:
        migrations.upgrade(database)
    refused: list[str] = []

    def use() -> None:
        for attempt in (database.read, database.write):
            with pytest.raises(ServiceUnavailable) as error, attempt():
                pass
            refused.append(error.value.detail)

    use()
    thread = Thread(target=use)
    thread.start()
    thread.join(10)
    assert refused == ["The process is ending."] * 4


def _last_of_the_first_to_end(order: list[str]) -> int:
    return min(len(order) - 1 - order[::-1].index(who) for who in ("one", "two"))


class TestWriter:
    """Writes that share a commit share its fate, and a failed write only its own."""

    INSERT = Statement(
        text(
            "INSERT INTO organizations (name, slug, settings, created_at, updated_at, version)"
            " VALUES (:name, :name, '{}', 0, 0, 1)"
        )
    )
    LARGE = Statement(
        text(
            "INSERT INTO organizations (name, slug, settings, created_at, updated_at, version)"
            " VALUES (:name, :name, zeroblob(1000000), 0, 0, 1)"
        )
    )

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with Database(Settings(var_dir=tmp_path)) as database:
            migrations.upgrade(database)
            yield database

    def together(self, database: Database, *works) -> list[object]:
        """Let works share a batch; returns what each got, an exception or a result."""

        async def run() -> list[object]:
            writer = Writer(database)
            try:
                return await asyncio.gather(*(writer.run(work) for work in works), return_exceptions=True)
            finally:
                await writer.close()

        return asyncio.run(run())

    def insert(self, name: str):
        return lambda tx: tx.run(self.INSERT, name=name)

    def names(self, database: Database) -> list[str]:
        return [name for (name,) in rows(database.path, "SELECT name FROM organizations ORDER BY id")]

    def test_a_work_that_fails_undoes_only_itself(self, database: Database):
        def failing(tx: Transaction) -> None:
            tx.run(self.INSERT, name="half")
            raise LookupError("its own fault")

        results = self.together(database, self.insert("a"), failing, self.insert("b"))
        assert [type(result) for result in results] == [int, LookupError, int]
        assert self.names(database) == ["a", "b"]

    def test_a_work_that_raises_stop_iteration_fails_and_the_others_go_on(self, database: Database):
        def failing(_: Transaction) -> None:
            next(iter(()))

        results = self.together(database, self.insert("a"), failing, self.insert("b"))
        assert [type(result) for result in results] == [int, RuntimeError, int]

    def test_a_full_database_in_the_middle_of_a_batch_is_a_503_for_all_that_is_not_stored(self, database: Database):
        """SQLite undoes the whole transaction on a full disk, not only the statement."""

        def filling(tx: Transaction) -> None:
            pages = tx._connection.execute("PRAGMA page_count").fetchone()[0]
            tx._connection.execute(f"PRAGMA max_page_count={pages + 1}")
            tx.run(self.LARGE, name="large")

        results = self.together(database, self.insert("a"), filling, self.insert("b"), self.insert("c"))
        stored = self.names(database)
        for name, result in zip(["a", "large", "b", "c"], results, strict=True):
            assert (name in stored) == (not isinstance(result, Exception)), (name, result, stored)
            assert isinstance(result, int | ServiceUnavailable), result

    def test_a_full_database_is_one_also_for_many_rows_at_once(self, database: Database):
        def filling(tx: Transaction) -> None:
            tx._connection.execute("PRAGMA max_page_count=1")
            tx.many(self.LARGE, [{"name": f"large {n}"} for n in range(5)])

        assert isinstance(self.together(database, filling)[0], ServiceUnavailable)

    def test_it_goes_on_after_a_full_database(self, database: Database):
        async def run() -> list[object]:
            writer = Writer(database)

            def limit(pages: int):
                return lambda tx: tx._connection.execute(f"PRAGMA max_page_count={pages}")

            await writer.run(limit(1))
            results: list[object] = await asyncio.gather(
                *(writer.run(lambda tx, n=n: tx.run(self.LARGE, name=f"large {n}")) for n in range(5)),
                return_exceptions=True,
            )
            await writer.run(limit(2**30))
            results.append(await writer.run(self.insert("after")))
            await writer.close()
            return results

        *failed, after = asyncio.run(run())
        assert {type(result) for result in failed} == {ServiceUnavailable}
        assert after == 1
        assert self.names(database) == ["after"]
        assert_sound(database.path)

    def test_the_lock_is_free_when_a_batch_has_failed(self, database: Database):
        def failing(_: Transaction) -> None:
            raise sqlite3.OperationalError("a fault of our own")

        assert isinstance(self.together(database, failing)[0], sqlite3.OperationalError)
        with database.write() as tx:
            tx.run(self.INSERT, name="next")
        assert self.names(database) == ["next"]

    def test_a_write_that_nobody_waits_for_any_more_is_not_done(self, database: Database):
        async def run() -> None:
            writer, blocker = Writer(database), Connection(database)
            database.begin_write(blocker)
            given_up = asyncio.ensure_future(writer.run(self.insert("given up")))
            wanted = asyncio.ensure_future(writer.run(self.insert("wanted")))
            await asyncio.sleep(0)  # both stand in the queue
            given_up.cancel()
            blocker.rollback()
            database.end_write()
            await wanted
            await writer.close()
            blocker.close()

        asyncio.run(run())
        assert self.names(database) == ["wanted"]

    def test_a_write_that_has_begun_is_told_to_whom_it_was_cancelled_for(self, database: Database):
        async def run() -> tuple[int, int]:
            writer, loop = Writer(database), asyncio.get_running_loop()
            tasks: dict[str, asyncio.Task[int]] = {}
            cancelled = Event()

            def within_a_batch(tx: Transaction) -> int:
                tasks["batch"].cancel()
                return tx.run(self.INSERT, name="in a batch")

            def cancel() -> None:
                tasks["alone"].cancel()
                tasks["alone"].cancel()  # as a loop that ends does once more
                cancelled.set()

            def alone(tx: Transaction) -> int:
                loop.call_soon_threadsafe(cancel)
                cancelled.wait(10)
                return tx.run(self.INSERT, name="alone")

            tasks["batch"] = asyncio.create_task(writer.run(within_a_batch))
            tasks["alone"] = asyncio.create_task(writer.run(alone, long=True))
            try:
                return await tasks["batch"], await tasks["alone"]
            finally:
                await writer.close()

        assert asyncio.run(run()) == (1, 1)
        assert self.names(database) == ["in a batch", "alone"]

    def test_a_write_that_fails_after_its_caller_was_cancelled_is_told_as_it_failed(self, database: Database):
        async def run() -> None:
            writer = Writer(database)

            def failing(_: Transaction) -> None:
                task.cancel()
                raise LookupError("its own fault")

            task = asyncio.create_task(writer.run(failing))
            with pytest.raises(LookupError):
                await task
            await writer.close()

        asyncio.run(run())

    def test_nobody_is_left_waiting_when_the_loop_ends_in_the_middle_of_a_write(self, database: Database):
        ended = Event()

        async def run() -> None:
            began = asyncio.Event()
            loop, writer = asyncio.get_running_loop(), Writer(database)

            def slow(_: Transaction) -> None:
                loop.call_soon_threadsafe(began.set)
                ended.wait(10)

            waiting.append(asyncio.create_task(writer.run(slow, long=True)))
            await began.wait()

        waiting: list[asyncio.Task[None]] = []
        asyncio.run(run())
        ended.set()
        assert waiting[0].cancelled()
