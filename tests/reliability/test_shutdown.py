"""The end of the service while writes take longer than its grace."""

import fcntl
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from outcomes import assert_sound, rows

from factories import Tenant
from jobs.workbench import until
from service import ThreadService

GRACE = 0.3

# Deleting a ticket takes a second or so, as if it had some hundred thousand comments.
SLOW = """
CREATE TRIGGER slow BEFORE DELETE ON tickets BEGIN
    SELECT max(i) FROM (
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT i FROM n
    );
END
"""


def is_writing(path: Path) -> bool:
    """Tell whether somebody is behind the gate."""
    with path.with_name(path.name + ".gate").open("ab") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_write_that_has_begun_gets_its_true_answer_and_one_that_waits_is_not_done(
    start: Callable[..., tuple[ThreadService, Tenant]],
):
    service, tenant = start()
    path = service.database.path
    client = tenant.client("admin")
    begun, waiting = (tenant.ticket()["id"] for _ in range(2))
    # The first use of a key is noted, which is a write.
    until(lambda: rows(path, "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL") == [(1,)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(SLOW)
    service.server.config.timeout_graceful_shutdown = GRACE  # type: ignore[assignment]  # uvicorn takes any number
    answers: dict[int, Any] = {}

    def delete(ticket: int) -> None:
        answers[ticket] = httpx.delete(
            f"{service.origin}/api/v1/tickets/{ticket}", headers={"x-api-key": client.key or ""}, timeout=30
        )

    threads = [Thread(target=delete, args=(ticket,)) for ticket in (begun, waiting)]
    threads[0].start()
    until(lambda: is_writing(path))
    threads[1].start()
    asked = time.monotonic()
    until(lambda: len(service.server.server_state.tasks) == 2)
    service.server.should_exit = True
    for thread in threads:
        thread.join(30)
    assert time.monotonic() - asked > GRACE
    until(lambda: not service._thread.is_alive())
    assert answers[begun].status_code == 204
    assert answers[waiting].status_code == 503
    assert rows(path, "SELECT id FROM tickets") == [(waiting,)]
    told = "SELECT path, status FROM audit_log WHERE operation = 'deleteTicket' ORDER BY status"
    assert rows(path, told) == [
        (f"/api/v1/tickets/{begun}", 204),
        (f"/api/v1/tickets/{waiting}", 503),
    ]
    assert_sound(path)
