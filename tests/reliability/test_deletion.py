"""SIGKILL while a deleted organization's rows go."""

import time
from collections.abc import Callable
from pathlib import Path

from outcomes import assert_sound, rows

from factories import Tenant
from service import ProcessService

TICKETS = 30_000
KILLS = 3


def fill(path: Path, tenant: Tenant) -> None:
    contact = tenant.contact()["id"]
    with tenant.database.write() as tx:
        tx._connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
            " INSERT INTO tickets (organization_id, number, subject, description, status, priority, type, source,"
            " contact_id, tags, custom_fields, created_at, updated_at)"
            " SELECT :of, i, 'S', '', 'open', 'low', 'task', 'api', :contact, '[]', '{}', i, i FROM n",
            {"count": TICKETS, "of": tenant.id, "contact": contact},
        )
    assert left(path, tenant) == TICKETS


def left(path: Path, tenant: Tenant) -> int:
    ((count,),) = rows(path, f"SELECT count(*) FROM tickets WHERE organization_id = {tenant.id}")
    return int(count)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_sigkills_in_the_middle_bring_nothing_back_and_the_rest_goes(tmp_path: Path):
    service = ProcessService(tmp_path, env={"TICKETS_WORKER_LEASE": "1"})
    path = service.database.path
    gone, stays = (Tenant(service.database, service.origin) for _ in range(2))
    fill(path, gone)
    theirs, operator = gone.client(), stays.client("platform")
    ticket = stays.ticket()
    assert operator.delete(f"/organizations/{gone.id}").status_code == 204
    counts = [TICKETS]
    for number in range(KILLS):
        wait_until(lambda: left(path, gone) < counts[-1])
        answer = stays.client().patch(f"/tickets/{ticket['id']}", json={"subject": f"While it goes {number}"})
        assert answer.status_code == 200
        service.process.kill()
        service.process.wait(10)
        counts.append(left(path, gone))
        service.start()
        assert operator.get(f"/organizations/{gone.id}").status_code == 404
        assert theirs.get("/tickets").status_code == 401
    assert TICKETS > counts[1] > counts[-1] > 0
    wait_until(lambda: rows(path, "SELECT id FROM organizations") == [(stays.id,)])
    wait_until(lambda: rows(path, "SELECT * FROM jobs") == [])
    for table in ("tickets", "users", "contacts", "api_keys", "audit_log"):
        owners = set(rows(path, f"SELECT organization_id FROM {table}"))
        assert owners - {(None,)} == {(stays.id,)}
    assert stays.client().get(f"/tickets/{ticket['id']}").json()["subject"] == f"While it goes {KILLS - 1}"
    assert_sound(path)
    for tenant in (gone, stays):
        tenant.close()
    assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()
