"""What the tests of raw requests share: bytes on a socket, and a look at what is stored."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))

from rawhttp import Connection

from factories import Tenant
from service import ThreadService
from tickets.db import Database, Statement
from tickets.models import Base


def rows_stored(database: Database) -> dict[str, int]:
    """Count the rows of every table."""
    with database.read() as tx:
        return {name: tx.first(Statement(text(f"SELECT count(*) FROM {name}")))[0] for name in Base.metadata.tables}


@pytest.fixture
def stored(service: ThreadService) -> Callable[[], dict[str, int]]:
    """Count what the running service has stored; of a session's own, since each worker has its service."""
    return lambda: rows_stored(service.database)


@pytest.fixture
def connection(service: ThreadService) -> Iterator[Connection]:
    """A socket to the running service."""
    with Connection(service.port) as opened:
        yield opened


@pytest.fixture(scope="session")
def raw_tenant(service: ThreadService) -> Iterator[Tenant]:
    """One tenant for all probes: none of them stores anything."""
    made = Tenant(service.database, service.origin)
    made.ticket()
    yield made
    made.close()
