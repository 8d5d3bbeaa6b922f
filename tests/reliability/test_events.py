"""The numbers of the event log, while many write and the service is killed."""

import itertools
import json
import random
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from forking import Forked
from outcomes import assert_sound, rows
from sqlalchemy import select

from api.test_events import Entity, fold
from factories import Tenant
from tickets.db import Database, Statement
from tickets.models import Ticket
from tickets.shapes.tickets import told_ticket

KILLS = 10
WRITERS = 8


def write(origin_port: int, keys: list[str], stop: threading.Event, seed: int) -> None:
    """Raise, change, discuss and delete tickets of two organizations until the service breaks off."""
    dice = random.Random(seed)
    connection = HTTPConnection("127.0.0.1", origin_port, timeout=20)
    mine: list[tuple[str, int]] = []

    def ask(method: str, path: str, key: str, body: object) -> tuple[int, dict[str, int]]:
        headers = {"x-api-key": key, "content-type": "application/json"}
        connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}

    try:
        for number in itertools.count():
            if stop.is_set():
                return
            act = dice.randrange(6)
            if act < 2 or not mine:
                key = dice.choice(keys)
                status, made = ask("POST", "/tickets", key, {"subject": f"S{number}", "description": ""})
                assert status == 201
                mine.append((key, made["id"]))
                continue
            key, ticket = dice.choice(mine)
            if act == 2 and len(mine) > 3:
                mine.remove((key, ticket))
                assert ask("DELETE", f"/tickets/{ticket}", key, None)[0] == 204
            elif act == 3:
                assert (
                    ask("POST", f"/tickets/{ticket}/comments", key, {"body": "B", "visibility": "internal"})[0] == 201
                )
            else:
                assert ask("PATCH", f"/tickets/{ticket}", key, {"subject": f"T{number}"})[0] == 200
    except (OSError, HTTPException):
        pass  # killed: what was under way is done or not done
    finally:
        connection.close()


def test_10_sigkills_under_8_writers_lose_double_and_skip_no_number(forked: Forked):
    tenants = [Tenant(forked.database, forked.origin) for _ in range(2)]
    keys = [tenant.key(tenant.user("admin")) for tenant in tenants]
    path = forked.database.path
    dice = random.Random(11)
    for kill in range(KILLS):
        forked.start()
        stop = threading.Event()
        writers = [
            threading.Thread(target=write, args=(forked.port, keys, stop, kill * WRITERS + number))
            for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(dice.uniform(0.2, 0.6))
        forked.kill()
        stop.set()
        for writer in writers:
            writer.join(30)
        assert_sound(path)
        for tenant in tenants:
            numbers = [
                seq for (seq,) in rows(path, f"SELECT seq FROM events WHERE organization_id = {tenant.id} ORDER BY id")
            ]
            assert numbers == list(range(1, len(numbers) + 1))  # also in the order of the commits
            assert rows(
                path, f"SELECT value FROM counters WHERE name = 'events' AND organization_id = {tenant.id}"
            ) == [(len(numbers),)]
        # Each ticket that is there was made and changed by as many events as it has versions; none else was.
        told = "SELECT entity_id, count(*) FROM events WHERE type IN ('ticket.created', 'ticket.updated') GROUP BY 1"
        gone = "SELECT entity_id FROM events WHERE type = 'ticket.deleted'"
        assert rows(path, "SELECT id, version FROM tickets ORDER BY 1") == rows(
            path, f"SELECT * FROM ({told}) WHERE entity_id NOT IN ({gone}) ORDER BY 1"
        )
    assert rows(path, "SELECT count(*) > 200 FROM events") == [(1,)]
    assert fold(logged(path)) == {ticket["id"]: ticket for ticket in stored(forked.database)}


def logged(path: Path) -> list[Entity]:
    """Read what the log tells of tickets."""
    told = rows(path, "SELECT type, data, changes FROM events WHERE type LIKE 'ticket.%' ORDER BY organization_id, seq")
    events = [{"type": kind, "data": json.loads(data), "changes": changes} for kind, data, changes in told]
    for event in events:
        changes = event.pop("changes")
        if changes is not None:
            event["changes"] = json.loads(changes)
    return events


def stored(database: Database) -> list[Entity]:
    """Read all tickets as they are."""
    with database.read() as tx:
        return [told_ticket(row) for row in tx.all(Statement(select(*Ticket.__table__.c)))]
