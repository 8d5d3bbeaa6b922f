"""A read that would take for ever ends when its time is over, and when nobody waits for it any more."""

import asyncio
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from outcomes import assert_unavailable
from sqlalchemy import text

from factories import Tenant
from jobs.workbench import until
from service import ThreadService
from tickets import migrations
from tickets.db import Database, Statement, TookTooLong, Transaction
from tickets.http import budget
from tickets.http.transaction import Reader
from tickets.settings import Settings

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
            loop, began = asyncio.get_running_loop(), asyncio.Event()

            def work(tx: Transaction) -> None:
                loop.call_soon_threadsafe(began.set)
                endless(tx)

            reading = asyncio.create_task(reader.apart(work, tenant=1))
            await began.wait()
            reading.cancel()
            assert await reader.apart(short, tenant=1) == 7

        asyncio.run(play())

    def test_the_end_of_the_service_ends_it(self, reader: Reader, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(budget, "LONGEST_READ", 3_600.0)

        async def play() -> None:
            loop, began = asyncio.get_running_loop(), asyncio.Event()

            def work(tx: Transaction) -> None:
                loop.call_soon_threadsafe(began.set)
                endless(tx)

            reading = asyncio.create_task(reader.apart(work, tenant=1))
            await began.wait()
            reader.close()
            with pytest.raises(TookTooLong):
                await reading

        asyncio.run(play())


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
