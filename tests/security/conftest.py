"""What the tests of raw requests share: bytes on a socket, and a look at what is stored."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))

from probes import Probe
from rawhttp import Connection

from factories import Client, Tenant
from service import ThreadService
from tickets.db import Database, Statement
from tickets.models import Base

PATIENCE = 5
"""Seconds: the slowest takes half of one on an idle machine; what is quadratic takes more than five on any."""


def rows_stored(database: Database) -> dict[str, int]:
    """Count the rows of every table but the audit log, which tells of every request."""
    tables = Base.metadata.tables.keys() - {"audit_log"}
    with database.read() as tx:
        return {name: tx.first(Statement(text(f"SELECT count(*) FROM {name}")))[0] for name in tables}


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


@pytest.fixture
def refused(
    service: ThreadService, raw_tenant: Tenant, stored: Callable[[], dict[str, int]]
) -> Callable[[Probe], None]:
    """Send a bad request and check that it gets its problem, in time, and changes nothing."""
    key = raw_tenant.client("admin").key or ""

    def check(probe: Probe) -> None:
        before = stored()
        with Connection(service.port) as connection:
            connection.send(probe.data.replace(b"{KEY}", key.encode()))
            answer = connection.answer()
            assert (answer.status, answer.problem()["code"]) == (probe.status, probe.code), answer.body
            assert answer.seconds < PATIENCE
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert not answer.repeated
            if probe.closes:
                assert connection.ended()
        assert stored() == before

    return check


@pytest.fixture
def key(admin: Client) -> str:
    """A key that may do everything in the tenant, as a header."""
    return f"x-api-key: {admin.key}"
