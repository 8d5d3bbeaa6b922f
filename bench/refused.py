"""What 50,000 requests that limits refuse leave on disk: `python -m bench.refused`.

A hundred keys of one account ask for a minute of the clock that the limits count by, at the rate of some 830 a second,
with the longest body that the audit log keeps. It runs in this process, without a server.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import time_machine
from sqlalchemy import func, select

from tickets import migrations
from tickets.db import Database, Statement
from tickets.domain.access import Principal
from tickets.errors import RateLimited
from tickets.http.audit import Audit
from tickets.http.exchange import Exchange, attach
from tickets.http.rate_limit import RateLimiter
from tickets.http.transaction import Writer
from tickets.models import AuditEntry
from tickets.settings import Settings

KEYS, SECONDS, ROUNDS = 100, 60, 11
_COUNT = Statement(select(func.count().label("count")).select_from(AuditEntry))
BODY = {"subject": "x" * 10_000}


def _scope() -> dict[str, Any]:
    headers = [(b"user-agent", b"a" * 500)]
    return {"method": "POST", "path": "/api/v1/tickets", "query_string": b"q=" + b"x" * 900, "headers": headers}


def _ask(limiter: RateLimiter, audit: Audit, key: int) -> bool:
    """Ask once with a key; tells whether a limit refused it."""
    caller = Principal(1, 1, "agent", "A", frozenset({"*"}), api_key_id=key, counts_as=key)
    exchange = Exchange(f"r{key}", "127.0.0.1", "/api/v1/tickets", body=BODY, body_size=10_000)
    scope = _scope()
    attach(scope, exchange)
    try:
        limiter.count(exchange, caller)
    except RateLimited:
        if not exchange.audited:
            audit.note(scope, exchange, 429)
        return True
    return False


async def _run(settings: Settings, database: Database) -> tuple[int, int]:
    writer = Writer(database)
    audit, limiter = Audit(settings, writer), RateLimiter(settings)
    audit.start()
    refused = 0
    with time_machine.travel(1_900_000_020, tick=False) as clock:
        for _ in range(SECONDS):
            refused += sum(_ask(limiter, audit, key) for _ in range(ROUNDS) for key in range(KEYS))
            clock.shift(1)
    await audit.close()
    with database.read() as tx:
        kept = tx.one(_COUNT).count
    return refused, kept


def main() -> None:
    """Measure, and print what was found."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(var_dir=Path(directory))
        database = Database(settings)
        migrations.upgrade(database)
        before = sum(file.stat().st_size for file in Path(directory).iterdir())
        refused, kept = asyncio.run(_run(settings, database))
        grown = sum(file.stat().st_size for file in Path(directory).iterdir()) - before
        print(f"{refused:,} refused requests of {KEYS} keys: {kept} rows, {grown / 1e6:.2f} MB more on disk")
        database.close()


if __name__ == "__main__":
    main()
