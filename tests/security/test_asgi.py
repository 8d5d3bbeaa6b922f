"""The application in a server that is not ours: `uvicorn tickets.asgi:app`."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from factories import Client, Tenant
from service import free_port, wait_for
from tickets import migrations
from tickets.db import Database
from tickets.domain import first_start
from tickets.settings import Settings


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    settings = Settings(var_dir=tmp_path)
    with Database(settings) as database:
        migrations.upgrade(database)
        first_start.prepare(settings, database)  # as the command does; the test adds a tenant before the service starts
        yield database


def test_a_request_that_fails_logs_no_credentials_and_no_local_variables(tmp_path: Path, database: Database):
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    tenant = Tenant(database, origin)
    key = tenant.key(tenant.user("admin"))
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "tickets.asgi:app", "--port", str(port)],
        env={**os.environ, "TICKETS_VAR_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(origin, process)
        with Client(origin, key) as client:
            ticket = client.post("/tickets", json={"subject": "Printer", "description": ""}).json()["id"]
            with closing(sqlite3.connect(database.path)) as connection:
                connection.execute("DROP TABLE comments")
            assert client.get("/comments", headers={"x-request-id": "reading"}).status_code == 500
            bearer = {"authorization": f"Bearer {key}"}
            comment = client.post("/comments", json={"ticket_id": ticket, "body": "hush"}, headers=bearer)
            assert comment.status_code == 500
    finally:
        process.terminate()
        log, _ = process.communicate(timeout=20)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    failed = [line for line in lines if line["event"] == "failed"]
    assert [line["request_id"] for line in failed][:1] == ["reading"]
    assert len(failed) == 2
    assert all("no such table: comments" in line["exception"] for line in failed)
    for secret in (key, key.rpartition("_")[2], "hush", "locals", "scope = ", "'headers': "):
        assert secret not in log, secret
