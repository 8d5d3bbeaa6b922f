"""A read that would take for ever ends when its time is over, and when nobody waits for it any more."""

import asyncio
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from outcomes import assert_unavailable
from sqlalchemy import text

from factories import Tenant
from jobs.workbench import until
from service import ThreadService
from tickets import migrations
from tickets.contract.document import Document
from tickets.db import Database, Statement, TookTooLong, Transaction
from tickets.http import budget
from tickets.http.transaction import Reader
from tickets.settings import Settings, shipped

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
ENDLESS = Statement(text(f"{NUMBERS} SELECT max(i) FROM n"))
SHORT = Statement(text("SELECT 7"))
# The audit log never comes to its end, as if it had more rows than anybody could read.
ENDLESS_LOG = f"""
ALTER TABLE audit_log RENAME TO audit_log_rows;
CREATE VIEW audit_log AS {NUMBERS} SELECT audit_log_rows.* FROM audit_log_rows, n;
"""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with Database(Settings(var_dir=tmp_path)) as database:
        migrations.upgrade(database)
        reader = Reader(database)
        yield reader
        reader.close()


def endless(tx: Transaction) -> None:
    tx.first(ENDLESS)


def short(tx: Transaction) -> int:
    return int(tx.first(SHORT)[0])


async def begun(reader: Reader, work: Callable[[Transaction], None]) -> asyncio.Task[None]:
    """Ask for a read, and return when it has begun."""
    loop, began = asyncio.get_running_loop(), asyncio.Event()

    def whole(tx: Transaction) -> None:
        loop.call_soon_threadsafe(began.set)
        work(tx)

    reading = asyncio.create_task(reader.apart(whole, tenant=1))
    await began.wait()
    return reading


class TestReads:
    def test_a_statement_that_would_never_end_ends_with_its_time_and_the_thread_goes_on(
        self, reader: Reader, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(budget, "LONGEST_READ", 0.05)

        async def play() -> None:
            for _ in range(2):
                with pytest.raises(TookTooLong):
                    await reader.apart(endless, tenant=1)
            monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)
            assert await reader.apart(short, tenant=1) == 7

        asyncio.run(play())

    def test_many_short_statements_end_with_it_too(self, reader: Reader, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 0.05)

        def many(tx: Transaction) -> None:
            while True:
                tx.first(SHORT)

        async def play() -> None:
            with pytest.raises(TookTooLong):
                await reader.apart(many, tenant=1)

        asyncio.run(play())

    def test_a_caller_who_is_cancelled_ends_it(self, reader: Reader, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)

        async def play() -> None:
            reading = await begun(reader, endless)
            reading.cancel()
            assert await reader.apart(short, tenant=1) == 7

        asyncio.run(play())

    def test_the_end_of_the_service_ends_it(self, reader: Reader, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)

        async def play() -> None:
            reading = await begun(reader, endless)
            reader.close()
            with pytest.raises(TookTooLong):
                await reading

        asyncio.run(play())


class TestSearches:
    """FTS5 puts all that begins with some letters together within one step of SQLite's machine."""

    # It gathers the same again and again in few steps, so that it is long on a fast machine as well.
    SEARCH = Statement(
        text(
            f"{NUMBERS} SELECT count(*) FROM (SELECT i FROM n LIMIT 3000) CROSS JOIN search_index"
            " WHERE search_index MATCH 'a* b* c* nowhere' || noted(i)"
        )
    )

    def search(self, tx: Transaction, note: Callable[[int], object] = lambda _: None) -> None:
        def noted(number: int) -> int:
            note(number)
            return number

        tx._connection.create_function("noted", 1, noted)
        tx.first(self.SEARCH)

    @pytest.fixture
    def filled(self, reader: Reader) -> Reader:
        with reader._database.write() as tx:
            tx.run(
                Statement(
                    text(
                        f"INSERT INTO search_index (rowid, subject, body) {NUMBERS}"
                        " SELECT i, '', 'a' || i || ' b' || i || ' c' || i FROM n LIMIT 5000"
                    )
                )
            )
        return reader

    def test_a_search_for_beginnings_of_words_ends_with_its_time(self, filled: Reader, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 0.05)

        async def play() -> None:
            with pytest.raises(TookTooLong):
                await filled.apart(self.search, tenant=1)

        asyncio.run(play())

    def test_it_ends_when_its_caller_leaves(self, filled: Reader, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)
        ends: list[str] = []

        async def play() -> None:
            loop, searches = asyncio.get_running_loop(), asyncio.Event()

            def search(tx: Transaction) -> None:
                try:
                    self.search(tx, lambda number: number == 2 and loop.call_soon_threadsafe(searches.set))
                    ends.append("found")
                except TookTooLong:
                    ends.append("ended")

            reading = asyncio.create_task(filled.apart(search, tenant=1))
            await searches.wait()
            reading.cancel()
            assert await filled.apart(short, tenant=1) == 7

        asyncio.run(play())
        assert ends == ["ended"]


class TestInterrupts:
    def test_no_interrupt_hits_a_later_read(self, reader: Reader, monkeypatch: pytest.MonkeyPatch):
        count = Statement(text(f"{NUMBERS} SELECT count(*) FROM (SELECT i FROM n LIMIT 2000)"))

        def twice(tx: Transaction) -> list[int]:
            return [tx.first(count)[0] for _ in range(2)]

        async def play() -> None:
            loop = asyncio.get_running_loop()
            for turn in range(600):
                monkeypatch.setattr(budget, "LONGEST_READ", turn % 60 * 0.000_05)
                with suppress(TookTooLong):
                    assert await reader.apart(twice, tenant=1) == [2000, 2000]
                monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)
                if turn % 2:
                    leaving = asyncio.create_task(reader.apart(twice, tenant=1))
                    loop.call_later(turn % 60 * 0.000_05, leaving.cancel)
                    await asyncio.wait([leaving])
                assert await reader.apart(twice, tenant=1) == [2000, 2000]

        asyncio.run(play())

    def test_a_read_that_has_ended_is_interrupted_no_more(self):
        calls: list[str] = []
        limit = budget.Budget()
        limit.begin()
        with limit.interrupts(lambda: calls.append("within")):
            limit.end()
        limit.end()
        assert calls == ["within"]

    def test_an_interrupt_that_came_before_the_statement_is_sent_again(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 0.0)

        async def play() -> None:
            calls: list[str] = []
            third = asyncio.Event()

            def interrupt() -> None:
                calls.append("interrupt")
                if len(calls) == 3:
                    third.set()

            limit = budget.Budget()
            limit.begin()
            with limit.interrupts(interrupt):
                limit.watch(asyncio.get_running_loop())
                async with asyncio.timeout(20):
                    await third.wait()

        asyncio.run(play())

    def test_a_read_that_begins_after_its_end_has_no_time(self):
        limit = budget.Budget()
        limit.end()
        limit.begin()
        assert limit.is_over()


Start = Callable[..., tuple[ThreadService, Tenant]]


class TestService:
    def start(self, start: Start) -> tuple[ThreadService, Tenant]:
        service, tenant = start(audit="off", worker_threads=0)
        tenant.client("admin").get("/tickets")
        with closing(sqlite3.connect(service.database.path)) as connection:
            connection.execute(
                "INSERT INTO audit_log (organization_id, method, path, query, status, ip, duration_ms, request_id,"
                " created_at) VALUES (?, 'GET', '/', '', 200, '', 1, 'r', 1)",
                (tenant.id,),
            )
            connection.commit()
            connection.executescript(ENDLESS_LOG)
        return service, tenant

    def test_the_answer_says_what_to_narrow_and_others_are_served_meanwhile(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(budget, "LONGEST_READ", 0.3)
        _, tenant = self.start(start)
        answer = tenant.client("admin").get("/audit-log")
        assert_unavailable(answer)
        detail = answer.json()["detail"]
        assert "0.3 s" in detail
        assert "`limit`" in detail
        assert tenant.client("admin").get("/stats/tickets").status_code == 200
        assert tenant.client("admin").get("/tickets?page=1").status_code == 200

    def test_statistics_name_the_time_the_interval_and_the_groups(self, start: Start, monkeypatch: pytest.MonkeyPatch):
        _, tenant = start()
        client = tenant.client("admin")
        assert client.get("/stats/tickets").status_code == 200
        monkeypatch.setattr(budget, "LONGEST_READ", 0.0)
        answer = client.get("/stats/tickets?group_by=assignee")
        assert_unavailable(answer)
        for name in ("`from`", "`to`", "`interval`", "`group_by`"):
            assert name in answer.json()["detail"]
        named = {"/search?q=printer": "`q`", "/tickets?page=2": "`cursor`", "/tickets?search=a": "`search`"}
        for path, name in named.items():
            answer = client.get(path)
            assert_unavailable(answer)
            assert name in answer.json()["detail"]

    def test_a_client_that_leaves_ends_what_it_asked_for(self, start: Start, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)
        service, tenant = self.start(start)
        client = tenant.client("admin")
        tasks = service.server.server_state.tasks
        seen = len(tasks)
        request = f"GET /api/v1/audit-log HTTP/1.1\r\nhost: a\r\nx-api-key: {client.key}\r\n\r\n".encode()
        with ExitStack() as stack:
            for number in range(3):  # one runs, the others wait for it
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
                connection.sendall(request)
                until(lambda most=seen + number: len(tasks) > most)
        assert client.get("/stats/tickets").status_code == 200
        until(lambda: len(tasks) == seen)


def test_each_way_to_ask_for_less_names_a_parameter_of_the_contract():
    document = Document(shipped("openapi.yaml"))
    given = [document.resolve(each) for _, _, spec in document.operations() for each in spec.get("parameters", ())]
    assert set(budget._NARROWER) <= {each["name"] for each in given}
