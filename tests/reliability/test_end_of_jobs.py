"""The service or a worker ends while a job takes longer than it is waited for."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from outcomes import assert_sound, rows

from factories import Tenant
from jobs.workbench import until
from service import ProcessService
from tickets import migrations
from tickets.db import Database
from tickets.domain import organizations
from tickets.settings import Settings

# To erase the last row of an organization takes some seconds more than any job is waited for.
SLOW = """
CREATE TRIGGER slow BEFORE DELETE ON organizations BEGIN
    SELECT max(i) FROM (
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT i FROM n
    );
END
"""
LEASED = "SELECT count(*) FROM jobs WHERE kind = 'erase_organizations' AND lease IS NOT NULL"


def delete(database: Database) -> int:
    """Delete an organization, whose erasure is a job that takes long."""
    with database.write() as tx:
        tx._connection.execute("DROP TRIGGER IF EXISTS slow")
        tx._connection.execute(SLOW)
        made = organizations.create(tx, name="Old")
    with database.write() as tx:
        organizations.remove(tx, organizations.by_slug(tx, made.slug))
    return int(made.id)


def worker(var_dir: Path) -> "subprocess.Popen[bytes]":
    with (var_dir / "service.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tickets", "worker"],
            env={**os.environ, "TICKETS_VAR_DIR": str(var_dir)},
            stdout=log,
            stderr=log,
        )


class TestService:
    def test_it_ends_well_and_the_job_runs_again_after_the_next_start(self, tmp_path: Path):
        service = ProcessService(tmp_path, env={"TICKETS_WORKER_LEASE": "600"})
        try:
            tenant = Tenant(service.database, service.origin)
            made = [tenant.ticket()["id"] for _ in range(5)]
            tenant.close()
            old = delete(service.database)
            until(lambda: rows(service.database.path, LEASED)[0][0])
            assert service.stop() == 0
            assert "Traceback" not in service.log.read_text()
            assert rows(service.database.path, "SELECT id FROM tickets") == [(number,) for number in made]
            assert rows(service.database.path, f"SELECT count(*) FROM organizations WHERE id = {old}") == [(1,)]
            left = rows(service.database.path, "SELECT lease FROM jobs WHERE kind = 'erase_organizations'")
            assert left
            assert set(left) == {(None,)}  # given back, not left to its lease
            with Database(service.settings) as database, database.write() as tx:
                tx._connection.execute("DROP TRIGGER slow")
            service.start()
            until(lambda: rows(service.database.path, f"SELECT 1 FROM organizations WHERE id = {old}") == [])
        finally:
            service.stop()
        assert_sound(service.database.path)


def test_a_worker_ends_well_too(tmp_path: Path):
    with Database(Settings(var_dir=tmp_path)) as database:
        migrations.upgrade(database)
        Settings(var_dir=tmp_path).make_secret_key()
        old = delete(database)
    process = worker(tmp_path)
    path = tmp_path / "tickets.db"
    try:
        until(lambda: rows(path, LEASED)[0][0])  # the periodic one, too
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "service.log").read_text()
    assert rows(path, f"SELECT count(*) FROM organizations WHERE id = {old}") == [(1,)]
    assert_sound(path)


class TestDatabase:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        made = Database(Settings(var_dir=tmp_path))
        migrations.upgrade(made)
        return made

    @pytest.mark.parametrize("begin", [Database.read, Database.write], ids=["read", "write"])
    def test_a_thread_that_is_at_work_keeps_its_connection_until_it_is_done(
        self, database: Database, begin: Callable[[Database], object]
    ):
        inside, closed, failed = threading.Event(), threading.Event(), []

        def work() -> None:
            try:
                with begin(database) as tx:  # type: ignore[attr-defined]
                    inside.set()
                    assert closed.wait(10)
                    organizations.by_slug(tx, "acme")
            except BaseException as error:
                failed.append(error)
                raise

        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(10)
        database.close()
        [connection] = [one for _, one in database._threads if one._driver is not None]
        closed.set()
        thread.join(10)
        assert not failed
        assert connection._driver is None
        assert_sound(database.path)
        database.close()
