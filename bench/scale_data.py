"""The data of `bench.scale`, made once: many tickets in many organizations, one of which has half of them.

What was made when it was broken off stays, and the next run goes on from there.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import data
from rich.console import Console

from tickets import clock, migrations
from tickets.db import Database, Transaction
from tickets.domain import api_keys, contacts, entities, records, users
from tickets.domain.events import SYSTEM
from tickets.models import Team, Ticket, User

FOLDER = data.ROOT / "var" / "bench-scale"
ORGANIZATIONS = 100
AT_ONCE = 100_000
"""Tickets to a step that can be repeated; each has a seed of its own, so that the data does not repeat."""
RARE = 20
"""How many tickets have a rare value."""
RARE_WORD = "zirconium"
"""What only these say."""


@dataclass(kw_only=True)
class Facts:
    """What the requests need to know of the large organization.

    Attributes:
        tickets: how many there are in all organizations.
        own: how many of them are the large one's.
        key: an API key of its admin.
        ticket_ids: some of its tickets.
        values: for each filter, a value that many tickets have, and one that few have.
        revision: the schema's.
    """

    tickets: int
    own: int
    key: str
    ticket_ids: list[int]
    values: dict[str, tuple[str, str]]
    revision: str


def file_of(tickets: int) -> Path:
    """Name the database with so many tickets."""
    return FOLDER / f"{tickets}.db"


def prepare(tickets: int, console: Console) -> Facts:
    """Make the data unless it is there, at this revision; returns its facts."""
    file = file_of(tickets)
    noted = file.with_suffix(".json")
    if file.exists() and noted.exists():
        facts = Facts(**json.loads(noted.read_text()))
        if facts.revision == migrations.head():
            return facts
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Database(data.settings(file)) as database:
        migrations.upgrade(database)
    while (missing := tickets - _count(file)) > 0:
        # Half of them everywhere, then the other half in one place.
        spread = missing - tickets // 2
        count = min(AT_ONCE, spread if spread > 0 else missing)
        where = ["--organizations", str(ORGANIZATIONS)] if spread > 0 else ["--org", _large(file)]
        console.print(f"{tickets - missing:,} of {tickets:,} tickets are there; {count:,} more …")
        command = [
            sys.executable,
            "-m",
            "tickets",
            "seed-data",
            "--tickets",
            str(count),
            "--seed",
            str(missing),
            *where,
        ]
        subprocess.run(command, env=os.environ | data.environment(file), cwd=data.ROOT, check=True)  # noqa: S603
    with Database(data.settings(file)) as database, database.write() as tx:
        driver = tx._connection
        (of,) = driver.execute("SELECT min(id) FROM organizations").fetchone()
        values = _rarities(tx, of)
        (admin,) = driver.execute(
            "SELECT min(id) FROM users WHERE organization_id = ? AND role = 'admin'", (of,)
        ).fetchone()
        _, key = api_keys.create(tx, records.find(tx, User, admin, of), name="Benchmark", rate_limit=data.LIMIT)
        own = driver.execute("SELECT count(*) FROM tickets WHERE organization_id = ?", (of,)).fetchone()[0]
        ids = driver.execute(
            "SELECT id FROM tickets WHERE organization_id = ? AND status = 'open' LIMIT 2000", (of,)
        ).fetchall()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    facts = Facts(
        tickets=tickets,
        own=own,
        key=key,
        ticket_ids=[row[0] for row in ids],
        values=values,
        revision=migrations.head(),
    )
    noted.write_text(json.dumps(asdict(facts)))
    return facts


def _count(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        count: int = connection.execute("SELECT count(*) FROM tickets").fetchone()[0]
    return count


def _large(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        slug: str = connection.execute("SELECT slug FROM organizations ORDER BY id LIMIT 1").fetchone()[0]
    return slug


def _rarities(tx: Transaction, of: int) -> dict[str, tuple[str, str]]:
    """See to it that each filter has a value that few tickets have, spread over all times, and one that many have."""
    connection = tx._connection
    values: dict[str, tuple[str, str]] = {}

    def ask(query: str, *more: object) -> str:
        return str(connection.execute(query, (of, *more)).fetchone()[0])

    def few(condition: str) -> list[int]:
        """Choose tickets that are spread over all times."""
        query = f"SELECT id FROM tickets WHERE organization_id = ? AND {condition} ORDER BY number * 7919 % 100003"
        return [row[0] for row in connection.execute(f"{query} LIMIT {RARE}", (of,))]

    for column, common, rare, instead in (
        ("status", "closed", "pending", "in_progress"),
        ("priority", "medium", "urgent", "high"),
        ("type", "incident", "question", "task"),
    ):
        kept = ", ".join(map(str, few(f"{column} = '{rare}'")))
        connection.execute(
            f"UPDATE tickets SET {column} = '{instead}' WHERE organization_id = ? AND {column} = '{rare}' "
            f"AND id NOT IN ({kept})",
            (of,),
        )
        values[column] = (common, rare)
    connection.execute("DELETE FROM ticket_tallies WHERE organization_id = ?", (of,))
    connection.execute(
        "INSERT INTO ticket_tallies (organization_id, status, priority, total) "
        "SELECT organization_id, status, priority, count(*) FROM tickets WHERE organization_id = ? GROUP BY 1, 2, 3",
        (of,),
    )
    # Somebody, a team and a contact who have few, a tag and a word that few have.
    common = "SELECT {0} FROM {1} WHERE organization_id = ? AND {0} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC"
    for column in ("assignee_id", "team_id", "contact_id"):
        values[column] = (ask(common.format(column, "tickets")), "")
    values["tag"] = (ask(common.format("tag", "ticket_tags")), "rare")
    email = "rare@bench.example"
    changes = {
        "assignee_id": users.create(tx, SYSTEM, of, role="agent", name="Rare", email=email).id,
        "team_id": entities.add(tx, SYSTEM, Team, organization_id=of, name="Rare", description="").id,
        "contact_id": contacts.create(tx, SYSTEM, of, email=email, name="Rare").id,
        "tags": ["rare"],
        "description": f"Somebody says {RARE_WORD}.",
    }
    for column in ("assignee_id", "team_id", "contact_id"):
        values[column] = (values[column][0], str(changes[column]))
    for number in few("status = 'closed'"):
        ticket = records.find(tx, Ticket, number, of)
        assert ticket is not None
        entities.change(tx, SYSTEM, Ticket, ticket, changes)
        # When it was changed before: they are to be spread over all times in this order as well.
        for table, key in (("tickets", "id"), ("ticket_tags", "ticket_id")):
            connection.execute(f"UPDATE {table} SET updated_at = ? WHERE {key} = ?", (ticket.updated_at, number))
    values |= _times(ask)
    return values


def _times(ask: Callable[..., str]) -> dict[str, tuple[str, str]]:
    """Choose times that have much, and little, on the side that is asked for."""
    own = int(ask("SELECT count(*) FROM tickets WHERE organization_id = ?"))
    values = {}
    for name, column, order in (
        ("created_from", "created_at", "DESC"),
        ("created_to", "created_at", "ASC"),
        ("updated_since", "updated_at", "DESC"),
    ):
        at = f"SELECT {column} FROM tickets WHERE organization_id = ? ORDER BY {column} {order} LIMIT 1 OFFSET ?"
        many, less = (clock.rfc3339(int(ask(at, place))) for place in (own * 9 // 10, RARE))
        values[name] = (many, less)
    return values
