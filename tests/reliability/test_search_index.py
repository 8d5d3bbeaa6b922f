"""A service that is killed between a write and the job that indexes it."""

import os
import signal
from pathlib import Path

from outcomes import assert_sound, rows

from factories import Client, Tenant, catch_up
from service import ProcessService

LONG = "\N{CJK UNIFIED IDEOGRAPH-6771}\N{CJK UNIFIED IDEOGRAPH-4EAC}" * 24_990


def found(client: Client, q: str) -> list[int]:
    return [result["ticket"]["id"] for result in client.get("/search", params={"q": q}).json()["data"]]


def test_sigkill_between_the_answer_and_the_job_loses_nothing(tmp_path: Path):
    service = ProcessService(tmp_path, env={"TICKETS_WORKER_THREADS": "0"})
    try:
        tenant = Tenant(service.database, service.origin)
        ticket, gone = tenant.ticket(subject="printer", description=LONG), tenant.ticket(subject="plotter")
        assert tenant.client().patch(f"/tickets/{gone['id']}", json={"description": LONG}).status_code == 200
        assert tenant.client().delete(f"/tickets/{gone['id']}").status_code == 204
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait(10)
        waiting = rows(service.database.path, "SELECT kind FROM jobs WHERE kind = 'update_search_index'")
        assert waiting == [("update_search_index",)]
        assert rows(service.database.path, "SELECT place >> 16 FROM search_pending") == [(ticket["id"],)]
        service.start()
        assert found(tenant.client(), "printer") == []
        catch_up(service.database)
        assert found(tenant.client(), "printer") == [ticket["id"]]
        assert found(tenant.client(), "plotter") == []
        tenant.close()
    finally:
        assert service.stop() == 0
    assert_sound(service.database.path)
