"""The audit log when things go wrong: a locked database, an end in the middle, more rows than can wait."""

import asyncio
from pathlib import Path

import pytest
from outcomes import assert_sound, rows
from structlog.testing import capture_logs
from test_locks import HOLDS, held

from factories import Tenant
from jobs.workbench import until
from service import ProcessService
from tickets import migrations
from tickets.db import Database
from tickets.http import audit
from tickets.http.audit import Audit
from tickets.http.exchange import Exchange, attach
from tickets.http.transaction import Writer
from tickets.settings import Settings

NOTED = "SELECT count(*) FROM audit_log WHERE operation = 'listTeams'"


def note(made: Audit, number: int) -> None:
    exchange = Exchange(f"r{number}", "127.0.0.1", "/api/v1/x")
    scope = {"method": "GET", "path": "/api/v1/x", "query_string": b"", "headers": []}
    attach(scope, exchange)
    made.note(scope, exchange, 200)


@pytest.mark.parametrize("what", HOLDS)
def test_reads_are_not_affected_by_a_lock_and_have_their_rows_afterwards(start, what: str):
    service, tenant = start(audit_flush_seconds=0.01)
    admin = tenant.client("admin")
    admin.get("/organization")  # the first use of a key is noted, which is a write
    with held(service.database.path, what):
        answers = [admin.get("/teams") for _ in range(50)]
        assert {answer.status_code for answer in answers} == {200}
        assert rows(service.database.path, NOTED) == [(0,)]
    until(lambda: rows(service.database.path, NOTED) == [(50,)])
    assert_sound(service.database.path)


def test_a_service_that_is_ended_writes_what_waits(tmp_path: Path):
    service = ProcessService(tmp_path, env={"TICKETS_AUDIT_FLUSH_SECONDS": "3600"})
    tenant = Tenant(service.database, service.origin)
    answers = [tenant.client("admin").get("/teams") for _ in range(300)]
    tenant.close()
    assert {answer.status_code for answer in answers} == {200}
    assert rows(service.database.path, NOTED) == [(0,)]
    assert service.stop() == 0
    assert rows(service.database.path, NOTED) == [(300,)]


def test_one_that_is_ended_while_the_database_is_locked_ends_all_the_same(tmp_path: Path):
    service = ProcessService(tmp_path, env={"TICKETS_AUDIT_FLUSH_SECONDS": "3600"})
    tenant = Tenant(service.database, service.origin)
    tenant.client("admin").get("/teams")
    tenant.close()
    with held(service.database.path, "SQLite's lock"):
        assert service.stop() == 0
    assert "audit failed" in service.log.read_text()
    assert_sound(service.settings.var_dir / "tickets.db")


def test_of_more_rows_than_can_wait_the_oldest_are_lost_and_counted(tmp_path: Path):
    settings = Settings(var_dir=tmp_path, audit_flush_seconds=3_600)
    extra = 25

    async def flood(database: Database) -> Audit:
        writer = Writer(database)
        made = Audit(settings, writer)
        for number in range(audit.MAX_WAITING + extra):
            note(made, number)
        made.start()
        await made.close()
        await writer.close()
        return made

    with Database(settings) as database:
        migrations.upgrade(database)
        made = asyncio.run(flood(database))
    assert (made.lost, made.failures) == (extra, 0)
    found = [name for (name,) in rows(database.path, "SELECT request_id FROM audit_log ORDER BY id")]
    assert found == [f"r{number}" for number in range(extra, audit.MAX_WAITING + extra)]


def test_a_flush_takes_what_waited_and_not_what_comes_meanwhile(tmp_path: Path):
    settings = Settings(var_dir=tmp_path, audit_flush_seconds=3_600)
    waited = audit.BITE + 1

    async def flush_under_load(database: Database) -> list[int]:
        writer = Writer(database)
        made = Audit(settings, writer)
        for number in range(waited):
            note(made, number)
        flushing = asyncio.create_task(made._flush())
        await asyncio.sleep(0)  # it has begun
        more = 0
        while not flushing.done() and more < audit.MAX_WAITING:
            note(made, waited + more)
            more += 1
            await asyncio.sleep(0)
        assert await flushing
        stored = [count for (count,) in rows(database.path, "SELECT count(*) FROM audit_log")]
        await made.close()
        await writer.close()
        return stored

    with Database(settings) as database:
        migrations.upgrade(database)
        assert asyncio.run(flush_under_load(database)) == [waited]


@pytest.mark.parametrize(
    "unstorable", [{"path": "\ud800 swordfish"}, {"user_id": 2**70}, {"method": None}, {"query": {}}], ids=str
)
@pytest.mark.parametrize("others", [0, audit.BITE + 5])
def test_a_row_that_cannot_be_stored_is_put_aside_and_holds_up_no_other(
    tmp_path: Path, unstorable: dict[str, object], others: int
):
    settings = Settings(var_dir=tmp_path, audit_flush_seconds=3_600)

    async def flush(database: Database) -> Audit:
        writer = Writer(database)
        made = Audit(settings, writer)
        for number in range(1 + others):
            note(made, number)
        made._waiting[0].update(unstorable)
        with capture_logs() as lines:
            assert await made._flush()
        [line] = [line for line in lines if line["event"] == "audit row cannot be stored"]
        assert line["request_id"] == "r0"
        assert "swordfish" not in str(line)
        note(made, 1 + others)
        assert await made._flush()
        await made.close()
        await writer.close()
        return made

    with Database(settings) as database:
        migrations.upgrade(database)
        made = asyncio.run(flush(database))
    assert (made.lost, made.failures) == (1, 0)
    found = [name for (name,) in rows(database.path, "SELECT request_id FROM audit_log ORDER BY id")]
    assert found == [f"r{number}" for number in range(1, 2 + others)]
