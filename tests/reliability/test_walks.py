"""Walks along a list of tickets while others write: none that was there throughout comes twice, or is missed."""

import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from factories import Client, Tenant
from service import ThreadService

WRITERS = 4
THERE = 1_500
CROWD = 10_000
_ADD = (
    "INSERT INTO tickets (organization_id, number, subject, description, status, priority, type, source, contact_id,"
    " tags, custom_fields, created_at, updated_at)"
    " VALUES (?, ?, 'S', '', 'open', 'low', 'task', 'import', ?, ?, '{}', ?, ?)"
)


_numbers = itertools.count(1_000_000)


class Writers:
    """Threads that raise, change and delete tickets through the service, but never delete those that are spared."""

    def __init__(self, service: ThreadService, tenant: Tenant, spared: list[int]) -> None:
        self._service = service
        self._key = tenant.key(tenant.user("admin"))
        self._spared = spared
        self._stop = threading.Event()
        self._faults: list[str] = []
        self.written = 0
        self._threads = [threading.Thread(target=self._write, args=(seed,)) for seed in range(WRITERS)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)
        assert not self._faults

    def _write(self, seed: int) -> None:
        dice = random.Random(seed)
        connection = HTTPConnection("127.0.0.1", self._service.port, timeout=30)
        headers = {"x-api-key": self._key, "content-type": "application/json"}

        def ask(method: str, path: str, body: Any = None) -> Any:
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                self._faults.append(f"{method} {path}: {answer.status} {text!r}")
            self.written += 1
            return json.loads(text) if text else {}

        mine: list[int] = []
        for number in itertools.count():
            if self._stop.is_set() or self._faults:
                break
            act = dice.randrange(4)
            if act == 0 or not mine:
                tags = dice.sample(["walked", "other"], dice.randrange(3))
                mine.append(ask("POST", "/tickets", {"subject": "New", "description": "", "tags": tags}).get("id", 0))
            elif act == 1:
                ask("DELETE", f"/tickets/{mine.pop(dice.randrange(len(mine)))}")
            else:
                ask("PATCH", f"/tickets/{dice.choice(self._spared)}", {"subject": f"S{seed} {number}"})
        connection.close()


def add(tenant: Tenant, times: list[int]) -> list[int]:
    """Store tickets of certain times, past the service; returns their ids."""
    contact = tenant.contact()["id"]
    with tenant.database.write() as tx:
        driver = tx._connection
        made = [
            driver.execute(_ADD, (tenant.id, next(_numbers), contact, '["walked"]', moment, moment)).lastrowid
            for moment in times
        ]
        driver.execute(
            "INSERT OR IGNORE INTO ticket_tags (ticket_id, tag, organization_id, created_at, updated_at)"
            " SELECT tickets.id, value, organization_id, created_at, updated_at FROM tickets, json_each(tags)"
            " WHERE organization_id = ?",
            (tenant.id,),
        )
    return [one for one in made if one is not None]


def walk(client: Client, **params: Any) -> Iterator[dict[str, Any]]:
    """Walk to the end."""
    cursor: dict[str, str] = {}
    while True:
        answer = client.get("/tickets", params={**params, **cursor})
        assert answer.status_code == 200, answer.text
        yield from answer.json()["data"]
        if answer.json()["next_cursor"] is None:
            return
        cursor = {"cursor": answer.json()["next_cursor"]}


Start = Callable[..., tuple[ThreadService, Tenant]]


@pytest.mark.parametrize(
    "params", [{}, {"tag": "walked"}, {"tag": ["walked", "other"]}, {"status": ["open", "pending"]}]
)
@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_while_4_writers_insert_update_and_delete(start: Start, sort, params):
    service, tenant = start()
    dice = random.Random(sort)
    there = add(tenant, [1_700_000_000_000 + dice.randrange(300) for _ in range(THERE)])  # five to a moment
    writers = Writers(service, tenant, there)
    with writers.at_work():
        before = writers.written
        seen = [ticket["id"] for ticket in walk(tenant.client(), sort=sort, limit=20, **params)]
        assert writers.written > before + WRITERS
    assert len(set(seen)) == len(seen)
    assert set(there) <= set(seen)


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_10_000_tickets_of_one_moment(start: Start, sort):
    service, tenant = start()
    there = add(tenant, [1_700_000_000_000] * CROWD)
    writers = Writers(service, tenant, there)
    with writers.at_work():
        seen = [ticket["id"] for ticket in walk(tenant.client(), sort=sort, limit=100)]
    assert len(set(seen)) == len(seen)
    expected = there if sort == "created_at" else there[::-1]
    assert [one for one in seen if one in set(there)] == expected


@pytest.mark.parametrize("params", [{}, {"tag": "walked"}])
def test_by_time_of_change_what_nobody_changed_comes_once_and_all_else_at_least_once_when_walked_forward(
    start: Start, params
):
    """A ticket that changes moves to the end of the order: a walk from the start meets it there, perhaps once more."""
    service, tenant = start()
    changing = add(tenant, [1_700_000_000_000 + n // 5 for n in range(THERE // 2)])
    resting = add(tenant, [1_700_000_000_000 + n // 5 for n in range(THERE // 2)])
    writers = Writers(service, tenant, changing[:50])
    with writers.at_work():
        seen: list[int] = []
        for ticket in walk(tenant.client(), sort="updated_at", limit=20, **params):
            seen.append(ticket["id"])
            if len(seen) > 3 * THERE:
                break  # what changes all the time comes again and again
    assert [one for one in seen if one in set(resting)] == resting
    assert set(changing) <= set(seen)


@pytest.mark.parametrize("params", [{}, {"tag": "walked"}])
def test_by_time_of_change_backwards_what_nobody_changed_comes_once(start: Start, params):
    """A ticket that changes moves to where the walk has been: it comes once, or not at all."""
    service, tenant = start()
    changing = add(tenant, [1_700_000_000_000 + n // 5 for n in range(THERE // 2)])
    resting = add(tenant, [1_700_000_000_000 + n // 5 for n in range(THERE // 2)])
    writers = Writers(service, tenant, changing[:50])
    with writers.at_work():
        seen = [ticket["id"] for ticket in walk(tenant.client(), sort="-updated_at", limit=20, **params)]
    assert [one for one in seen if one in set(resting)] == resting[::-1]
    assert len(set(seen)) == len(seen)
