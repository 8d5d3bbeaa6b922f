"""The data of every server: 100,000 tickets in 50 organizations, made once; each server gets a copy."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from sqlalchemy import bindparam, insert, update

from tickets import clock, migrations
from tickets.db import Database, Statement, Transaction
from tickets.domain import api_keys, organizations, records
from tickets.models import Contact, Counter, Ticket, User
from tickets.models.tickets import PRIORITIES, STATUSES, TYPES
from tickets.settings import Settings

TICKETS = 100_000
ORGANIZATIONS = 50
SEED = 7
LIMIT = "100000000/second"
"""The key's rate limit: counted on each request, never reached."""

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "var" / "bench"
_FILE = FOLDER / f"seed-{TICKETS}-{ORGANIZATIONS}.db"
_FACTS = _FILE.with_suffix(".json")
_TAGS = ("printer", "network", "billing", "invoice", "vpn", "phone")


@dataclass(kw_only=True)
class Facts:
    """What the requests need to know of the data.

    Attributes:
        key: an API key.
        organization_id: its tenant.
        ticket_ids: some tickets of the tenant.
        contact_id: a contact of the tenant.
        revision: the schema's.
    """

    key: str
    organization_id: int
    ticket_ids: list[int]
    contact_id: int
    revision: str


def settings(file: Path) -> Settings:
    """Make the service's settings for a database file; everything else it writes goes beside it."""
    return Settings.from_env(
        {
            "TICKETS_VAR_DIR": str(file.parent),
            "TICKETS_DATABASE_URL": f"sqlite:///{file}",
            "TICKETS_LOG_LEVEL": "warning",
        }
    )


def prepare(console: Console) -> Facts:
    """Make the data if it is not there, or of another revision; returns its facts."""
    if _FILE.exists() and _FACTS.exists():
        facts = Facts(**json.loads(_FACTS.read_text()))
        if facts.revision == migrations.head():
            return facts
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob(_FILE.name + "*"):
        old.unlink()
    console.print(f"Making {TICKETS:,} tickets in {ORGANIZATIONS} organizations …")
    with Database(settings(_FILE)) as database:
        migrations.upgrade(database)
    if not _seed_with_command():
        with Database(settings(_FILE)) as database, database.write() as tx:
            _seed(tx)
    with Database(settings(_FILE)) as database, database.write() as tx:
        facts = _facts(tx)
    # One file without a log beside it can be copied; the statistics serve every planner alike.
    with sqlite3.connect(_FILE) as connection:
        connection.execute("ANALYZE")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    _FACTS.write_text(json.dumps(asdict(facts)))
    return facts


def copy(name: str) -> Path:
    """Give a server a fresh copy of its own."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Path(shutil.copyfile(_FILE, folder / "tickets.db"))


def _seed_with_command() -> bool:
    """Let the service's own command make the data; False where it has none."""
    arguments = ["--tickets", str(TICKETS), "--organizations", str(ORGANIZATIONS), "--seed", str(SEED)]
    command = [sys.executable, "-m", "tickets", "seed-data", *arguments]
    return subprocess.run(command, env=_environment(_FILE), cwd=ROOT, capture_output=True, check=False).returncode == 0  # noqa: S603


def _seed(tx: Transaction) -> None:
    """Make data of the same size here; used while the command does not exist."""
    dice = random.Random(SEED)
    moment = clock.now()
    stamps = {"version": 1}
    tickets = Ticket.__table__
    add_ticket = Statement(insert(Ticket).values({c.name: bindparam(c.name) for c in tickets.c if c.name != "id"}))
    set_counter = Statement(
        update(Counter).where(Counter.organization_id == bindparam("of")).values(value=bindparam("to"))
    )
    each = TICKETS // ORGANIZATIONS
    for n in range(ORGANIZATIONS):
        organization = organizations.create(tx, name=f"Organization {n + 1}")
        staff = [
            records.add(
                tx,
                User,
                organization_id=organization.id,
                email=f"{role}{m}@organization-{n + 1}.example",
                name=f"{role.title()} {m}",
                role=role,
                is_active=True,
            )
            for role, count in (("admin", 1), ("agent", 5))
            for m in range(count)
        ]
        contacts = [
            records.add(
                tx,
                Contact,
                organization_id=organization.id,
                user_id=None,
                email=f"contact{m}@organization-{n + 1}.example",
                name=f"Contact {m}",
                external_id=None,
                attributes={},
            )
            for m in range(40)
        ]
        rows = []
        for number in range(1, each + 1):
            created = moment - dice.randrange(365 * clock.DAY)
            status = dice.choices(STATUSES, (40, 15, 10, 15, 20))[0]
            ended = created + dice.randrange(clock.DAY)
            rows.append(
                {
                    **stamps,
                    "organization_id": organization.id,
                    "number": number,
                    "subject": f"The device {dice.randrange(1000)} on floor {dice.randrange(20)} answers nothing",
                    "description": "It worked yesterday. " * dice.randrange(1, 12),
                    "status": status,
                    "priority": dice.choices(PRIORITIES, (30, 45, 20, 5))[0],
                    "type": dice.choice(TYPES),
                    "source": "import",
                    "contact_id": dice.choice(contacts).id,
                    "assignee_id": dice.choice([None, dice.choice(staff).id]),
                    "team_id": None,
                    "created_by_id": dice.choice(staff).id,
                    "tags": dice.sample(_TAGS, dice.randrange(4)),
                    "custom_fields": {"floor": dice.randrange(20)} if dice.random() < 0.5 else {},
                    "first_responded_at": None,
                    "resolved_at": ended if status in {"resolved", "closed"} else None,
                    "closed_at": ended if status == "closed" else None,
                    "created_at": created,
                    "updated_at": created,
                }
            )
        tx.many(add_ticket, rows)
        tx.run(set_counter, of=organization.id, to=each)


def _facts(tx: Transaction) -> Facts:
    """Take an organization of average size and give its admin a key."""
    connection = tx._connection
    sizes = connection.execute("SELECT count(*), organization_id FROM tickets GROUP BY 2 ORDER BY 1, 2").fetchall()
    middle = sizes[len(sizes) // 2][1]
    ids = [row[0] for row in connection.execute("SELECT id FROM tickets WHERE organization_id = ?", (middle,))]
    (user_id,) = connection.execute(
        "SELECT id FROM users WHERE organization_id = ? AND role = 'admin' AND is_active", (middle,)
    ).fetchone()
    (contact_id,) = connection.execute("SELECT min(id) FROM contacts WHERE organization_id = ?", (middle,)).fetchone()
    user = records.find(tx, User, user_id, middle)
    _, key = api_keys.create(tx, user, name="Benchmark", rate_limit=LIMIT)
    dice = random.Random(SEED)
    return Facts(
        key=key,
        organization_id=middle,
        ticket_ids=dice.sample(ids, min(1_000, len(ids))),
        contact_id=contact_id,
        revision=migrations.head(),
    )
