"""The database's files are replaced, moved or deleted under a running service."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import structlog
from outcomes import assert_sound, assert_unavailable, rows

from factories import Client, Tenant
from service import ThreadService
from tickets import migrations
from tickets.db import Database
from tickets.errors import ServiceUnavailable
from tickets.settings import Settings

BODY = {"subject": "Swapped", "description": ""}
Start = Callable[..., tuple[ThreadService, Tenant]]


def swapped(path: Path) -> None:
    """Put another database in the place, as a careless restore does."""
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    copy.replace(path)


def deleted(path: Path) -> None:
    path.unlink()


def without(end: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        path.with_name(path.name + end).unlink()

    return remove


def folder_renamed(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()


HARMS = {
    "another file in its place": swapped,
    "deleted": deleted,
    "its log deleted": without("-wal"),
    "its index of the log deleted": without("-shm"),
    "its folder renamed": folder_renamed,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_writes_are_refused_it_is_not_ready_and_the_log_says_so_once(
    start: Start, tmp_path: Path, harm: Callable[[Path], None]
):
    folder = tmp_path / "data"
    folder.mkdir()
    url = f"sqlite:///{folder}/tickets.db"
    service, tenant = start(database_url=url, worker_threads=0, audit="off")
    admin = tenant.client("admin")
    made = tenant.ticket()
    assert httpx.get(f"{service.origin}/health/ready").status_code == 200
    service.database.close()
    with structlog.testing.capture_logs() as lines:
        harm(service.database.path)
        for _ in range(3):
            answer = admin.post("/tickets", json=BODY)
            assert_unavailable(answer)
            assert "restart the service" in answer.json()["detail"]
            assert_unavailable(
                admin.post("/tickets/bulk", json={"operations": [{"op": "delete", "id": made["id"], "version": 1}]})
            )
            ready = httpx.get(f"{service.origin}/health/ready")
            assert_unavailable(ready)
            assert "put the file back, or restart the service" in ready.json()["detail"]
        assert httpx.get(f"{service.origin}/health").status_code == 200
        # What was stored before is still true, so whoever only reads goes on.
        assert admin.get(f"/tickets/{made['id']}").json()["id"] == made["id"]
        assert admin.get("/tickets?page=1").status_code in (200, 503)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [
        "the database was replaced, moved or deleted under this process"
    ]


def test_once_the_file_is_back_writes_go_on(start: Start):
    service, tenant = start(worker_threads=0)
    admin = tenant.client("admin")
    tenant.ticket()
    service.database.close()
    path = service.database.path
    away = path.with_name("away.db")
    path.rename(away)
    assert_unavailable(admin.post("/tickets", json=BODY))
    away.rename(path)
    made = admin.post("/tickets", json=BODY)
    assert made.status_code == 201
    assert httpx.get(f"{service.origin}/health/ready").status_code == 200
    assert len(rows(path, "SELECT id FROM tickets")) == 2
    assert_sound(path)


def test_nothing_of_the_old_log_gets_into_the_file_that_was_put_in_its_place(start: Start, tmp_path: Path):
    service, tenant = start(worker_threads=0)
    admin = tenant.client("admin")
    tenant.ticket()
    service.database.close()
    path = service.database.path
    other = tmp_path / "other"
    other.mkdir()
    with Database(Settings(var_dir=other)) as database:
        migrations.upgrade(database)
    before = (other / "tickets.db").read_bytes()
    shutil.copy(other / "tickets.db", other / "copy.db")
    (other / "copy.db").replace(path)
    assert_unavailable(admin.post("/tickets", json=BODY))
    admin.get("/tickets?page=1")  # in a thread that has not opened the database yet
    with Client(service.origin, admin.key) as client:
        assert_unavailable(client.post("/tickets/bulk", json={"operations": [{"op": "delete", "id": 1, "version": 1}]}))
    assert path.read_bytes() == before


def test_a_link_is_followed_and_one_that_leads_elsewhere_now_is_noticed(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with Database(Settings(var_dir=tmp_path / name)) as database:
            migrations.upgrade(database)
    link = tmp_path / "linked.db"
    link.symlink_to(tmp_path / "one" / "tickets.db")
    with Database(Settings(var_dir=tmp_path, database_url=f"sqlite:///{link}")) as database:
        assert database.path == tmp_path / "one" / "tickets.db"
        with database.write():
            pass
        link.unlink()
        link.symlink_to(tmp_path / "two" / "tickets.db")
        with pytest.raises(ServiceUnavailable, match="replaced"), database.write():
            pass
