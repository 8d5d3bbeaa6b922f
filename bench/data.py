"""The data of every server: made once by the service's own command, and copied for each of them."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tickets import migrations
from tickets.db import Database, Transaction
from tickets.domain import api_keys, records
from tickets.models import User
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
    return Settings.from_env(environment(file))


def tidy() -> None:
    """Remove what servers left that were cut off."""
    for folder in FOLDER.glob("*/"):
        shutil.rmtree(folder, ignore_errors=True)


def environment(file: Path) -> dict[str, str]:
    return {
        "TICKETS_VAR_DIR": str(file.parent),
        "TICKETS_DATABASE_URL": f"sqlite:///{file}",
        "TICKETS_LOG_LEVEL": "warning",
        "TICKETS_SECRET_KEY": "a benchmark's cursors are good for each of its servers",
    }


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
    amount = ["--tickets", str(TICKETS), "--organizations", str(ORGANIZATIONS), "--seed", str(SEED), "--json"]
    command = [sys.executable, "-m", "tickets", "seed-data", *amount]
    subprocess.run(command, env=os.environ | environment(_FILE), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
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


def copy(name: str, source: Path = _FILE) -> Path:
    """Give a server a fresh copy of its own."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = Path(shutil.copyfile(source, folder / "tickets.db"))
    # What is still on its way to the disk would make the first commits wait.
    with made.open("rb") as file:
        os.fsync(file)
    return made


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
