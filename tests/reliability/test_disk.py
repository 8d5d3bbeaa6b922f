"""Disks that are full, read-only or give back something else than was written."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import httpx
import pytest
from outcomes import assert_sound, assert_unavailable, at_once, rows

from factories import Client, Tenant
from service import ProcessService

BODY = {"subject": "Disk", "description": "x" * 20_000}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 16 MB, for tests with `mounting`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        yield folder
        return
    run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder))
    yield folder
    run("umount", "-l", str(folder))


def mounting(test: Callable[..., None]) -> Callable[..., None]:
    """Let a test mount a disk: root may, and anybody else may as the root of a user namespace."""

    @wraps(test)
    def run_test(disk: Path, start: Any) -> None:
        if os.geteuid() == 0:
            test(disk, start)
            return
        own = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
        ]
        place = [f"--basetemp={disk.parent / 'inside'}", f"{__file__}::{test.__name__}"]
        inside = subprocess.run([*own, *place], capture_output=True, text=True, timeout=120, check=False)
        assert inside.returncode == 0, (
            f"as root, or where unshare(1) works, this passes:\n{inside.stdout}{inside.stderr}"
        )

    return run_test


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=10)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ProcessService]:
    """A service in a process of its own, whose limits the test can change."""
    running = ProcessService(tmp_path)
    yield running
    running.stop()


def post(client: Client, number: int) -> httpx.Response:
    return client.post("/tickets", json=BODY, headers={"idempotency-key": f"key-{number}"})


def assert_stored(path: Path, acknowledged: list[int]) -> None:
    """Check that what was acknowledged is there, and nothing that was not."""
    assert sorted(number for (number,) in rows(path, "SELECT id FROM tickets")) == sorted(acknowledged)
    assert rows(path, "SELECT count(*) FROM idempotency_records") == [(len(acknowledged),)]
    assert_sound(path)


@mounting
def test_a_full_disk_is_a_503_and_space_is_enough_to_go_on(disk: Path, start):
    service, tenant = start(disk)
    admin = tenant.client("admin")
    made = []
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for number in range(2_000):
            answer = post(admin, number)
            if answer.status_code != 201:
                break
            made.append(answer.json()["id"])
            if number == 20:
                try:
                    while True:
                        file.write(b"x" * 65_536)
                except OSError:
                    pass
    assert len(made) > 20
    assert_unavailable(answer)
    for retry in range(3):
        assert_unavailable(post(admin, number + retry))
        assert admin.get(f"/tickets/{made[-1]}").status_code == 200
        assert len(admin.get("/tickets?limit=200").json()["data"]) == min(200, len(made))
        assert httpx.get(f"{service.origin}/health/ready").status_code == 200
    others = [Client(service.origin, admin.key) for _ in range(20)]
    for answer in at_once(20, lambda n: post(others[n], number + n)):
        assert_unavailable(answer)
    assert_stored(service.database.path, made)
    ballast.unlink()
    for retry in range(20):
        answer = post(admin, number + retry)
        assert answer.status_code == 201, answer.text
        assert "idempotency-replayed" not in answer.headers
        made.append(answer.json()["id"])
    assert_stored(service.database.path, made)
    for client in others:
        client.close()


@mounting
def test_a_read_only_disk_is_a_503_until_it_can_be_written_again(disk: Path, start):
    # So that nobody has the disk open for writing: no worker, and not the test.
    service, tenant = start(disk, worker_threads=0)
    admin = tenant.client("admin")
    service.database.close()  # so that nobody has the disk open for writing
    run("mount", "-o", "remount,bind,ro", str(disk))
    for _ in range(3):
        assert_unavailable(post(admin, 1))
        ready = httpx.get(f"{service.origin}/health/ready")
        assert ready.status_code == 503
        assert httpx.get(f"{service.origin}/health").status_code == 200
    run("mount", "-o", "remount,bind,rw", str(disk))
    answer = post(admin, 1)
    assert answer.status_code == 201, answer.text
    assert admin.get("/tickets").status_code == 200
    assert httpx.get(f"{service.origin}/health/ready").status_code == 200
    assert_stored(service.database.path, [answer.json()["id"]])


def test_a_write_that_fails_answers_everybody_in_its_batch_503(process: ProcessService):
    """A limit on the size of files, set on the running process, makes every write to the log fail."""
    tenant = Tenant(process.database, process.origin)
    admin = tenant.client("admin")
    made = [post(admin, -number).json()["id"] for number in range(1, 4)]
    clients = [Client(process.origin, admin.key) for _ in range(40)]
    pid = process.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in process.var_dir.glob("tickets.db*"))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(size, 4_096), hard))
    for _ in range(2):
        for answer in at_once(40, lambda n: post(clients[n], n)):
            assert_unavailable(answer)
        assert admin.get(f"/tickets/{made[0]}").status_code == 200
    assert_stored(process.database.path, made)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    answers = at_once(40, lambda n: post(clients[n], n))
    assert {answer.status_code for answer in answers} == {201}
    assert_stored(process.database.path, made + [answer.json()["id"] for answer in answers])
    for client in (*clients, admin):
        client.close()


def test_a_database_that_cannot_be_read_is_a_503_without_a_word_of_it(start):
    service, tenant = start(worker_threads=0)  # a worker would have the database open
    key = tenant.key(tenant.user("admin"))
    service.database.close()  # so that all is in the one file, and the service has yet to open it
    path = service.database.path
    [(root,)] = rows(path, "SELECT rootpage FROM sqlite_master WHERE name = 'tickets'")
    [(size,)] = rows(path, "PRAGMA page_size")
    whole = path.read_bytes()
    path.write_bytes(whole[: (root - 1) * size] + b"\xa5" * size + whole[root * size :])
    with Client(service.origin, key) as client:
        for _ in range(2):
            assert_unavailable(client.get("/tickets/1"))
            assert_unavailable(post(client, 1))
            assert client.get("/organization").status_code == 200


def test_a_database_that_was_taken_away_is_never_a_500(start):
    service, tenant = start()
    admin = tenant.client("admin")
    tenant.ticket()
    for file in service.settings.var_dir.glob("tickets.db*"):
        file.rename(file.with_name(f"away-{file.name}"))
    with Client(service.origin, admin.key) as client:
        assert client.get("/tickets").status_code in (200, 503)
        assert client.post("/tickets", json=BODY).status_code in (201, 503)
    for file in service.settings.var_dir.glob("away-tickets.db*"):
        file.rename(file.with_name(file.name.removeprefix("away-")))
    assert admin.get("/tickets").status_code == 200
    assert admin.post("/tickets", json=BODY).status_code == 201
    assert_sound(service.database.path)
